"""What follows from a failed download: when the next attempt is, and when the download is given up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rows import every_row
from tests.unit.bridge.media.rows import NOW, row
from wx2mqtt.bridge.media.download_retries import (
    GIVE_UP_AFTER_MS,
    GiveUp,
    RetryAt,
    is_wrong_content,
    next_attempt,
    too_large_outcome,
)
from wx2mqtt.errors import (
    NoContentYet,
    ProtocolViolation,
    Rejected,
    Throttled,
    Unreachable,
)
from wx2mqtt.model import Blob, MediaRef
from wx2mqtt.store.records import MediaRow, MediaState


def ref_of_size(size: int | None = 13_927) -> MediaRef:
    return MediaRef(locator={"msgid": "1"}, size=size)


def outcome_of(media_row: MediaRow, error: Exception, now: int = NOW, chance: float = 0.999999) -> Any:
    return next_attempt(media_row, error, now=now, chance=chance, language="en")


@every_row(("tries", "seconds"), [(0, 1), (1, 2), (2, 4), (3, 8), (7, 128), (8, 256), (9, 300), (500, 300)])
def test_waits_double_up_to_five_minutes_and_have_jitter(tries, seconds):
    longest = outcome_of(row(attempts=tries), Unreachable())
    shortest = outcome_of(row(attempts=tries), Unreachable(), chance=0.0)
    assert (longest.due - NOW) / 1000 == pytest.approx(seconds, rel=0.01)
    assert (shortest.due - NOW) / 1000 == pytest.approx(seconds / 2, rel=0.01)


@pytest.mark.parametrize("error", [Unreachable("the line is cut."), ProtocolViolation("the line is cut")])
def test_what_may_pass_is_tried_again_for_a_day_and_says_why(error):
    old = row(attempts=300, created=NOW - GIVE_UP_AFTER_MS + 1)
    assert outcome_of(old, error).reason == "the line is cut"
    over = outcome_of(row(attempts=300, created=NOW - GIVE_UP_AFTER_MS), error)
    assert over == GiveUp(MediaState.FAILED, "it could not be fetched within a day: the line is cut")


def test_after_a_bug_a_download_is_tried_again_and_its_reason_repeats_no_text_of_the_error():
    again = outcome_of(row(), ValueError("skey=@crypt_secret"))
    assert isinstance(again, RetryAt)
    assert "secret" not in again.reason


def test_wechat_says_itself_for_how_long_it_is_too_often():
    assert outcome_of(row(), Throttled(retry_after=120)).due == NOW + 120_000
    assert outcome_of(row(attempts=20), Throttled(retry_after=1)).due == pytest.approx(
        NOW + 300_000, rel=0.001
    )


@every_row("kind", ["image", "voice", "sticker", "link"])
def test_bytes_that_are_not_there_are_asked_for_four_times_more(kind):
    waits = [outcome_of(row(kind=kind, empty_attempts=empty), NoContentYet()).due - NOW for empty in range(4)]
    assert waits == [1_000, 3_000, 9_000, 27_000]
    assert outcome_of(row(kind=kind, empty_attempts=4), NoContentYet()).state is MediaState.GONE


@pytest.mark.parametrize("kind", ["video", "file"])
def test_what_a_phone_may_still_be_sending_gets_more_time(kind):
    waits = [outcome_of(row(kind=kind, empty_attempts=empty), NoContentYet()).due - NOW for empty in range(6)]
    assert waits == [1_000, 3_000, 9_000, 27_000, 81_000, 240_000]
    assert outcome_of(row(kind=kind, empty_attempts=6), NoContentYet()).state is MediaState.GONE


def test_only_tries_in_a_row_that_bring_nothing_count():
    assert outcome_of(row(empty_attempts=2, attempts=2), NoContentYet()).empty_tries == 3
    assert outcome_of(row(empty_attempts=3, attempts=3), Unreachable()).empty_tries == 0


def test_what_wechat_says_is_gone_is_gone_at_once():
    assert outcome_of(row(), Rejected("no such message", code="gone")) == GiveUp(
        MediaState.GONE, "no such message"
    )


@every_row("error", [Unreachable("cut"), NoContentYet("cut"), Throttled("cut", retry_after=600)])
def test_a_file_is_tried_last_when_its_address_expires_and_is_gone_then(error):
    expiring = row(attempts=20, ref=MediaRef(locator={}, expires=NOW + 900))
    assert outcome_of(expiring, error).due == NOW + 900
    assert outcome_of(expiring, error, now=NOW + 900) == GiveUp(
        MediaState.GONE, "its address has expired, and the file could not be fetched before: cut"
    )


def test_what_wechat_refuses_is_not_asked_for_again():
    over = outcome_of(row(), Rejected("not for you"))
    assert over == GiveUp(MediaState.FAILED, "WeChat refused to hand it over: not for you")


@every_row(
    ("kind", "mime", "wrong"),
    [
        ("image", "image/jpeg", False),
        ("image", "text/html", True),
        ("sticker", "image/gif", False),
        ("voice", "audio/silk", False),
        ("voice", "image/jpeg", True),
        ("video", "application/octet-stream", True),
        ("file", "text/plain", False),
        ("file", "application/octet-stream", True),
        ("link", "image/png", False),
    ],
)
def test_bytes_of_another_size_and_format_are_wrong(kind, mime, wrong):
    blob = Blob(sha256="00", size=11, mime=mime, path="media/00/00.bin")
    assert is_wrong_content(row(kind=kind, ref=ref_of_size()), blob) is wrong
    assert not is_wrong_content(row(kind=kind, ref=ref_of_size(11)), blob)


def test_what_is_too_large_names_the_limit():
    assert too_large_outcome(25_000_000, "en") == GiveUp(
        MediaState.TOO_LARGE, "it has more than media.max_size (25 MB); raise that for what comes later"
    )
