"""What follows a try to fetch bytes: when the next one is, and when there is none any more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.bridge.media.rows import NOW, row
from wx2mqtt.bridge.media.tries import DAY, Again, Over, after, too_large, wanted_by
from wx2mqtt.errors import NothingYet, ProtocolViolation, Rejected, Throttled, Unreachable
from wx2mqtt.store.rows import MediaRow, MediaState


def follows(one: MediaRow, trouble: Exception, now: int = NOW, chance: float = 0.999999) -> Any:
    return after(one, trouble, now=now, chance=chance, language="en")


@pytest.mark.parametrize(
    ("tries", "seconds"), [(0, 1), (1, 2), (2, 4), (3, 8), (7, 128), (8, 256), (9, 300), (500, 300)]
)
def test_waits_double_up_to_five_minutes_and_have_jitter(tries, seconds):
    longest = follows(row(tries=tries), Unreachable())
    shortest = follows(row(tries=tries), Unreachable(), chance=0.0)
    assert (longest.due - NOW) / 1000 == pytest.approx(seconds, rel=0.01)
    assert (shortest.due - NOW) / 1000 == pytest.approx(seconds / 2, rel=0.01)


@pytest.mark.parametrize("trouble", [Unreachable("the line is cut."), ProtocolViolation("the line is cut")])
def test_what_may_pass_is_tried_again_for_a_day_and_says_why(trouble):
    old = row(tries=300, created=NOW - DAY + 1)
    assert follows(old, trouble).why == "the line is cut"
    over = follows(row(tries=300, created=NOW - DAY), trouble)
    assert over == Over(MediaState.FAILED, "it could not be fetched within a day: the line is cut")


def test_a_fault_of_ours_is_tried_again_and_says_nothing_of_what_it_holds():
    again = follows(row(), ValueError("skey=@crypt_secret"))
    assert isinstance(again, Again)
    assert "secret" not in again.why


def test_wechat_says_itself_for_how_long_it_is_too_often():
    assert follows(row(), Throttled(retry_after=120)).due == NOW + 120_000
    assert follows(row(tries=20), Throttled(retry_after=1)).due == pytest.approx(NOW + 300_000, rel=0.001)


@pytest.mark.parametrize("kind", ["image", "voice", "sticker", "link"])
def test_bytes_that_are_not_there_are_asked_for_four_times_more(kind):
    waits = [follows(row(kind=kind, empty=empty), NothingYet()).due - NOW for empty in range(4)]
    assert waits == [1_000, 3_000, 9_000, 27_000]
    assert follows(row(kind=kind, empty=4), NothingYet()).state is MediaState.GONE


@pytest.mark.parametrize("kind", ["video", "file"])
def test_what_a_phone_may_still_be_sending_gets_more_time(kind):
    waits = [follows(row(kind=kind, empty=empty), NothingYet()).due - NOW for empty in range(6)]
    assert waits == [1_000, 3_000, 9_000, 27_000, 81_000, 240_000]
    assert follows(row(kind=kind, empty=6), NothingYet()).state is MediaState.GONE


def test_only_tries_in_a_row_that_bring_nothing_count():
    assert follows(row(empty=2, tries=2), NothingYet()).empty == 3
    assert follows(row(empty=3, tries=3), Unreachable()).empty == 0


def test_what_wechat_says_is_gone_is_gone_at_once():
    assert follows(row(), Rejected(code="gone")).state is MediaState.GONE


def test_what_wechat_refuses_is_not_asked_for_again():
    over = follows(row(), Rejected("not for you"))
    assert over == Over(MediaState.FAILED, "WeChat refused to hand it over: not for you")


def test_what_is_too_large_names_the_limit():
    assert too_large(25_000_000, "en") == Over(
        MediaState.TOO_LARGE, "it has more than media.max_size (25 MB); raise that for what comes later"
    )


# somebody waits for it


def test_what_was_never_tried_goes_before_all_that_waits_for_its_turn():
    assert wanted_by(row(due=NOW + 1), NOW) == 0
    assert wanted_by(row(due=None), NOW) == 0


@pytest.mark.parametrize("state", [MediaState.PENDING, MediaState.FAILED])
def test_what_failed_is_tried_once_in_five_seconds_however_often_it_is_asked_for(state):
    assert wanted_by(row(tries=3, why="the line is cut", due=NOW + 60_000, state=state), NOW) == NOW + 5_000


def test_nobody_shortens_the_time_that_wechat_gets_to_have_the_bytes():
    assert wanted_by(row(tries=2, empty=2, why="nothing", due=NOW + 9_000), NOW) is None
