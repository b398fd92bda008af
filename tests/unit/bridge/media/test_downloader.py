"""Files are downloaded in the background, one at a time, and each outcome is published, whatever fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.media.harness import PNG, MediaHarness, failing_answer, open_media_harness
from wx2mqtt.bridge.media import downloader, inline_files
from wx2mqtt.bridge.media.download_retries import (
    GIVE_UP_AFTER_MS,
)
from wx2mqtt.clock import Backoff, now_ms
from wx2mqtt.errors import (
    LoggedOut,
    NoContentYet,
    ProtocolViolation,
    Rejected,
    StoreError,
    StoreFull,
    Throttled,
    Unreachable,
)
from wx2mqtt.model import Kind, MediaRef
from wx2mqtt.settings.schema import Media
from wx2mqtt.store.records import MediaPart, MediaState

GONE, READY, FAILED, PENDING = MediaState.GONE, MediaState.READY, MediaState.FAILED, MediaState.PENDING


SMALL = MediaRef(locator={"msgid": "small"})


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[MediaHarness]:
    async with open_media_harness(tmp_path) as harness:
        yield harness


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the pauses and time limits of the downloader last for 20 ms."""
    for name in (
        "DOWNLOAD_IDLE_TIMEOUT_SECONDS",
        "STORE_FULL_POLL_SECONDS",
        "MAX_DISK_PAUSE_SECONDS",
        "MAX_FAILURE_PAUSE_SECONDS",
    ):
        monkeypatch.setattr(downloader, name, 0.02)


async def test_a_name_that_comes_with_the_bytes_is_announced_and_stays(harness: MediaHarness):
    harness.files.names["a"] = "报告.pdf"
    await harness.receive("a", kind=Kind.FILE)
    (_, message), (topic, event) = await harness.wait_for_published(2)
    assert "name" not in message["file"]
    assert (topic, event["name"]) == ("event/media", "报告.pdf")
    assert (await harness.row("a")).ref.name == "报告.pdf"
    assert (await harness.ask(message_id="a"))["name"] == "报告.pdf"


async def test_the_name_in_the_message_counts_more_than_one_that_comes_with_the_bytes(harness: MediaHarness):
    harness.files.names["a"] = "download.bin"
    ref = MediaRef(locator={"msgid": "a"}, name="a.pdf")
    await harness.receive("a", kind=Kind.FILE, media=ref)
    (_, message), (_, event) = await harness.wait_for_published(2)
    assert (message["file"]["name"], event["name"]) == ("a.pdf", "a.pdf")


async def test_a_message_is_published_at_once_and_its_file_announced_when_it_is_stored(harness: MediaHarness):
    still = asyncio.Event()
    harness.files.answer("77", [PNG, still, b"more"])
    await harness.receive("77")
    ((topic, body),) = await harness.wait_for_published(1)
    assert (topic, body["image"]["state"]) == ("in/wife", "pending")
    still.set()
    row = await harness.wait_for_state("77", READY)
    _, (topic, event) = await harness.wait_for_published(2)
    assert topic == "event/media"
    assert body["image"]["url"] == event["url"] == f"/media/{row.id}"
    assert (event["message_id"], event["user"], event["state"]) == ("77", "wife", "ready")
    assert (event["mime"], event["size"], event["width"], event["height"]) == ("image/png", 37, 2, 3)
    assert row.blob is not None
    assert harness.blobs.path_of(row.blob).read_bytes() == PNG + b"more"
    assert (harness.folder / event["path"]).read_bytes() == PNG + b"more"


async def test_never_two_at_a_time_and_in_the_order_of_the_messages(harness: MediaHarness):
    keys = [f"{number}" for number in range(20)]
    await harness.receive(*keys)
    await harness.wait_for_state("19", READY)
    assert harness.files.asked == keys
    assert harness.files.most_open == 1


async def test_small_pictures_come_after_the_things_themselves_and_without_an_event(
    harness: MediaHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("wx2mqtt.bridge.media.media_payloads.THUMBNAIL_DELAY_MS", 50)
    await harness.receive("1", "2", thumbnail=SMALL)
    assert await harness.wait_for_requests(4) == ["1", "2", "small", "small"]
    whole, small = await harness.journal.media.of_messages(["1"])
    assert (whole.part, small.part) == (MediaPart.WHOLE, MediaPart.THUMBNAIL)
    await harness.downloader.library.find(small.id, MAX_WAIT_SECONDS)
    await harness.receive("3", kind=Kind.TEXT)
    sent = await harness.wait_for_published(5)
    assert sorted(topic for topic, _ in sent) == ["event/media"] * 2 + ["in/wife"] * 3


async def test_texts_pass_a_download_that_hangs(harness: MediaHarness):
    harness.files.answer("1", [asyncio.Event()])
    await harness.receive("1")
    await harness.wait_for_requests(1)
    await harness.receive(*map(str, range(2, 50)), kind=Kind.TEXT)
    sent = await harness.wait_for_published(49)
    assert [body["id"] for _, body in sent] == [str(number) for number in range(1, 50)]


async def test_a_download_without_further_bytes_is_ended_and_the_next_one_begins(
    harness: MediaHarness, short_limits: None
):
    harness.files.answer("1", [PNG, asyncio.Event()])
    await harness.receive("1", "2")
    await harness.wait_for_state("2", READY)
    row = await harness.row("1")
    assert (row.state, row.attempts, row.reason) == (PENDING, 1, "no byte came for 0.02 s")
    assert harness.files.open == 0
    assert len(harness.on_disk()) == 1


async def test_a_download_that_is_too_slow_is_ended(harness: MediaHarness, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(downloader, "DOWNLOAD_TIMEOUT_SECONDS", -1.0)
    harness.files.answer("1", [b"a", b"b"])
    await harness.receive("1")
    assert (
        await harness.wait_for_row(lambda row: row.attempts > 0, "1")
    ).reason == "the bytes came too slowly"


@pytest.mark.parametrize(
    "first", [Unreachable("cut"), ProtocolViolation("odd"), RuntimeError("a fault of ours")]
)
async def test_what_failed_is_tried_again_by_itself_until_it_is_there(
    harness: MediaHarness, first: Exception
):
    harness.files.answer("1", [first], [PNG])
    await harness.receive("1")
    row = await harness.wait_for_state("1", READY)
    assert (row.attempts, row.reason) == (1, "")
    assert harness.files.asked == ["1", "1"]


UNKNOWN_BYTES = b"\x00\x01{<garbage"


def ref_of_size(size: int | None = 13_927) -> MediaRef:
    return MediaRef(locator={"msgid": "1"}, size=size)


async def test_garbage_instead_of_a_picture_is_asked_for_again(harness: MediaHarness):
    harness.files.answer("1", [UNKNOWN_BYTES], [PNG])
    await harness.receive("1", media=ref_of_size())
    row = await harness.wait_for_state("1", READY)
    assert row.attempts == 1
    assert row.blob is not None
    assert row.blob.mime == "image/png"
    await harness.wait_for_published(2)
    assert harness.ctx.counters.media == {READY: 1}


async def test_a_format_that_no_library_knows_is_kept_after_two_more_attempts(harness: MediaHarness):
    harness.files.answer("1", [UNKNOWN_BYTES])
    await harness.receive("1", media=ref_of_size())
    row = await harness.wait_for_state("1", READY)
    assert harness.files.asked == ["1"] * 3
    assert row.blob is not None
    assert row.blob.size == len(UNKNOWN_BYTES)


@pytest.mark.parametrize("size", [None, len(UNKNOWN_BYTES)])
async def test_an_unknown_format_of_the_announced_size_is_kept_at_once(
    harness: MediaHarness, size: int | None
):
    harness.files.answer("1", [UNKNOWN_BYTES])
    await harness.receive("1", media=ref_of_size(size))
    await harness.wait_for_state("1", READY)
    assert harness.files.asked == ["1"]


async def test_while_all_downloads_fail_there_are_few_attempts(harness: MediaHarness):
    """Each message has its own back-off; a hundred messages must not lead to a hundred attempts a second."""
    keys = [f"{number}" for number in range(100)]
    for key in keys:
        harness.files.answer(key, failing_answer(Unreachable))
    await harness.receive(*keys)
    await harness.wait_for_requests(3)
    started = asyncio.get_running_loop().time()
    await harness.wait_for_requests(4)
    assert asyncio.get_running_loop().time() - started > 0.4
    assert len(harness.files.asked) == 4


async def test_when_the_account_is_online_again_what_failed_is_fetched_at_once(
    harness: MediaHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Backoff, "wait", lambda self, _chance: 600.0 * bool(self.failures))
    harness.files.answer("1", [Unreachable()], [PNG])
    harness.files.answer("2", [Unreachable()], [PNG])
    await harness.receive("1", "2")
    await harness.wait_for_row(lambda row: row.attempts > 0, "1")
    await harness.wait_for_row(lambda row: row.attempts > 0, "2")
    harness.set_conditions(online=False)
    harness.set_conditions(online=True)
    await harness.wait_for_state("1", READY)
    await harness.wait_for_state("2", READY)


async def test_no_bytes_at_all_are_no_file_and_are_asked_for_again(harness: MediaHarness):
    harness.files.answer("1", [], failing_answer(NoContentYet), [PNG])
    await harness.receive("1")
    row = await harness.wait_for_row(lambda row: row.empty_attempts > 0, "1")
    assert (row.state, row.empty_attempts) == (PENDING, 1)
    assert harness.on_disk() == []


async def test_what_never_has_any_bytes_is_gone_and_says_so(
    harness: MediaHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("wx2mqtt.bridge.media.download_retries.EMPTY_RETRY_DELAYS_SECONDS", (0, 0))
    harness.files.answer("1", failing_answer(NoContentYet))
    await harness.receive("1", kind=Kind.STICKER)
    row = await harness.wait_for_state("1", GONE)
    assert harness.files.asked == ["1"] * 3
    _, (topic, event) = await harness.wait_for_published(2)
    assert (topic, event["state"], event["reason"]) == ("event/media", "gone", row.reason)
    assert event["media_id"] == row.id


async def test_what_wechat_says_is_gone_is_not_asked_for_again(harness: MediaHarness):
    harness.files.answer("1", failing_answer(Rejected, "no such message", code="gone"))
    await harness.receive("1", "2")
    await harness.wait_for_state("2", READY)
    assert (await harness.row("1")).state is GONE
    assert harness.files.asked == ["1", "2"]


async def test_what_is_too_large_is_broken_off_by_counting_what_comes(tmp_path: Path):
    async with open_media_harness(tmp_path, Media(max_size=1_000_000)) as harness:
        endless = [b"x" * 100_000] * 10_000
        harness.files.answer("1", endless)
        await harness.receive("1", media=MediaRef(locator={"msgid": "1"}, size=5))
        row = await harness.wait_for_state("1", MediaState.TOO_LARGE)
        _, (_, event) = await harness.wait_for_published(2)
        assert (event["state"], event["reason"]) == ("too_large", row.reason)
        assert "max_size (1 MB)" in row.reason
        assert harness.on_disk() == []
        assert harness.files.open == 0


async def test_what_is_announced_as_too_large_and_is_not_is_there(tmp_path: Path):
    async with open_media_harness(tmp_path, Media(max_size=1000)) as harness:
        await harness.receive("1", media=MediaRef(locator={"msgid": "1"}, size=10**9))
        await harness.wait_for_state("1", READY)


async def test_after_a_day_it_is_given_up_with_a_last_try(harness: MediaHarness):
    harness.clock.now = now_ms() - GIVE_UP_AFTER_MS - 1000
    harness.files.answer("1", failing_answer(Unreachable, "the file server is away"))
    await harness.receive("1")
    row = await harness.wait_for_state("1", FAILED)
    _, (_, event) = await harness.wait_for_published(2)
    assert event["state"] == "failed"
    assert event["reason"] == row.reason == "it could not be fetched within a day: the file server is away"


async def test_nothing_is_fetched_while_logged_out_and_all_goes_on_with_the_next_login(harness: MediaHarness):
    harness.set_conditions(online=False)
    await harness.receive("1")
    await harness.wait_for_published(1)
    await harness.broker.wait_until(lambda: harness.heartbeats[-1] is None)
    assert harness.files.asked == []
    harness.set_conditions(online=True)
    await harness.wait_for_state("1", READY)


async def test_a_login_that_a_download_finds_ended_is_reported_and_is_no_attempt(
    harness: MediaHarness, short_limits: None
):
    harness.files.answer("1", failing_answer(LoggedOut, "logged out on the phone"), [PNG])
    await harness.receive("1")
    await harness.broker.wait_until(lambda: harness.logged_out)
    assert (await harness.row("1")).attempts == 0
    harness.set_conditions(online=True)
    await harness.wait_for_state("1", READY)


async def test_no_try_counts_while_wechat_is_away_for_everybody(harness: MediaHarness):
    still = asyncio.Event()
    harness.files.answer("1", [still, Unreachable()], [PNG])
    await harness.receive("1")
    await harness.wait_for_requests(1)
    harness.set_conditions(online=False)
    still.set()
    await harness.broker.wait_until(lambda: harness.heartbeats[-1] is None)
    row = await harness.row("1")
    assert (row.attempts, row.state) == (0, PENDING)
    harness.set_conditions(online=True)
    await harness.wait_for_state("1", READY)


async def test_wechat_that_says_too_often_is_left_alone_for_as_long_as_it_says(harness: MediaHarness):
    harness.files.answer("1", failing_answer(Throttled, retry_after=300.0))
    await harness.receive("1", "2")
    row = await harness.wait_for_row(lambda row: row.attempts > 0, "1")
    assert row.due is not None
    assert row.due >= now_ms() + 290_000
    await harness.broker.wait_until(lambda: harness.heartbeats[-1] is not None)
    assert harness.files.asked == ["1"]


async def test_a_full_store_starts_no_download_until_there_is_space(
    harness: MediaHarness, short_limits: None
):
    harness.set_conditions(full=True)
    await harness.receive("1")
    await harness.wait_for_published(1)
    assert harness.files.asked == []
    harness.quota.size = 0  # nobody tells: it looks again by itself
    await harness.wait_for_state("1", READY)


@pytest.mark.parametrize("error", [StoreFull, StoreError])
async def test_a_disk_that_takes_no_file_delays_and_costs_no_try(
    harness: MediaHarness, short_limits: None, monkeypatch: pytest.MonkeyPatch, error: type[StoreError]
):
    take = harness.blobs.store
    errors = [error(), error()]

    async def fail_at_first(*given: Any) -> Any:
        if errors:
            raise errors.pop()
        return await take(*given)

    monkeypatch.setattr(harness.blobs, "store", fail_at_first)
    await harness.receive("1")
    row = await harness.wait_for_state("1", READY)
    assert row.attempts == 0


async def test_a_disk_that_refuses_one_file_delays_the_downloads_for_a_moment_only(
    harness: MediaHarness, monkeypatch: pytest.MonkeyPatch
):
    take = harness.blobs.store
    errors = [StoreError()]

    async def fail_at_first(*given: Any) -> Any:
        if errors:
            raise errors.pop()
        return await take(*given)

    monkeypatch.setattr(harness.blobs, "store", fail_at_first)
    await harness.receive("1")
    await harness.wait_for_state("1", READY)  # waits for 5 s at most


@pytest.mark.parametrize("work", ["next_download", "mark_ready"])
async def test_a_journal_that_fails_delays_what_it_has_to_store(harness: MediaHarness, work: str):
    harness.journal.failing_operations += [work, work]
    await harness.receive("1")
    await harness.wait_for_state("1", READY)
    sent = await harness.wait_for_published(2)
    assert [topic for topic, _ in sent] == ["in/wife", "event/media"]
    assert harness.files.asked == ["1"]


async def test_a_restart_in_the_middle_of_a_download_loses_no_job_and_leaves_no_half_file(tmp_path: Path):
    async with open_media_harness(tmp_path) as harness:
        harness.files.answer("1", [PNG, b"x" * 600_000, asyncio.Event()])
        await harness.receive("1")
        await harness.broker.wait_until(lambda: harness.files.stuck)
    async with open_media_harness(tmp_path) as harness:
        harness.files.answer("1", [PNG])
        row = await harness.wait_for_state("1", READY)
        assert row.attempts == 0
        assert [file.name for file in harness.on_disk()] == [Path(row.blob.path).name if row.blob else ""]


async def test_without_download_nothing_is_fetched_until_somebody_asks(tmp_path: Path):
    async with open_media_harness(tmp_path, Media(download=False)) as harness:
        await harness.receive("1", "2")
        await harness.wait_for_published(2)
        assert harness.files.asked == []
        assert (await harness.find("2")).state is READY
        assert harness.files.asked == ["2"]


async def test_after_a_restart_without_download_only_what_is_requested_is_fetched(tmp_path: Path):
    async with open_media_harness(tmp_path, runs=False) as harness:
        await harness.receive("1", "2", thumbnail=SMALL)
    async with open_media_harness(tmp_path, Media(download=False)) as harness:
        await harness.wait_for_row(lambda row: row.due is None, "1")
        assert (await harness.find("2")).state is READY
        assert harness.files.asked == ["2"]
        assert [row.due for row in await harness.journal.media.of_messages(["1"])] == [None, None]


async def test_after_a_reload_without_download_only_what_is_requested_is_fetched(harness: MediaHarness):
    harness.set_conditions(online=False)
    await harness.receive("1", "2")
    harness.apply(Media(download=False))
    harness.set_conditions(online=True)
    assert (await harness.find("2")).state is READY
    assert harness.files.asked == ["2"]


async def test_a_download_that_fails_after_such_a_reload_is_not_tried_again(harness: MediaHarness):
    cut = asyncio.Event()
    harness.files.answer("1", [cut, Unreachable("cut")])
    await harness.receive("1")
    await harness.wait_for_requests(1)
    harness.apply(Media(download=False))
    cut.set()
    assert (await harness.wait_for_row(lambda row: row.attempts == 1, "1")).due is None


async def test_what_was_requested_without_download_is_tried_again_and_survives_a_restart(tmp_path: Path):
    async with open_media_harness(tmp_path, Media(download=False)) as harness:
        harness.set_conditions(online=False)
        await harness.receive("1")
        await harness.find("1", 0)
    async with open_media_harness(tmp_path, Media(download=False)) as harness:
        harness.files.answer("1", [Unreachable("cut")], [PNG])
        await harness.wait_for_state("1", READY)
        assert harness.files.asked == ["1", "1"]


async def test_two_messages_with_the_same_bytes_share_a_file(harness: MediaHarness):
    for key in ("1", "2"):
        harness.files.answer(key, [PNG])
    await harness.receive("1", "2")
    first, second = await harness.wait_for_state("1", READY), await harness.wait_for_state("2", READY)
    assert first.blob == second.blob
    assert len(harness.on_disk()) == 1


async def test_the_limit_that_counts_is_that_of_now(harness: MediaHarness):
    harness.apply(Media(max_size=10))
    await harness.receive("1")
    await harness.wait_for_state("1", MediaState.TOO_LARGE)


async def test_it_is_counted_what_became_of_each_file(harness: MediaHarness):
    harness.files.answer("2", failing_answer(Rejected, code="gone"))
    await harness.receive("1", "2")
    await harness.wait_for_state("2", GONE)
    await harness.wait_for_published(4)
    assert harness.ctx.counters.media == {READY: 1, GONE: 1}
    assert harness.blobs.size == 34


async def test_the_watchdog_gets_heartbeats_and_expects_none_while_the_downloader_is_idle(
    harness: MediaHarness,
):
    await harness.broker.wait_until(lambda: harness.heartbeats and harness.heartbeats[-1] is None)
    harness.files.answer("1", [PNG, b"x", b"y"])
    await harness.receive("1")
    await harness.wait_for_state("1", READY)
    assert harness.heartbeats.count(inline_files.WATCHDOG_LIMIT_SECONDS) >= 5


async def test_a_file_that_is_fetched_twice_has_one_event(harness: MediaHarness):
    await harness.receive("1")
    row = await harness.wait_for_state("1", READY)
    await harness.wait_for_published(2)
    assert row.blob is not None
    await harness.journal.media.mark_ready(row.id, row.blob, [])
    await harness.receive("2", kind=Kind.TEXT)
    assert [
        json.loads(publication.payload).get("event")
        for publication in await harness.broker.wait_for_publications(3)
    ] == [
        None,
        "media",
        None,
    ]
