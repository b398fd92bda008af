"""The media library: finds stored files, and waits for the download of the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bridge.media.harness import PNG, MediaHarness, failing_answer, open_media_harness
from tests.unit.bridge.media.rows import NOW, row
from wx2mqtt.bridge.media import stored_media
from wx2mqtt.bridge.media.stored_media import retry_time_when_requested
from wx2mqtt.errors import (
    NoContentYet,
    Rejected,
    Unreachable,
)
from wx2mqtt.settings.schema import Media
from wx2mqtt.store.records import MediaState, OutboxBatch

READY, PENDING, FAILED, GONE = MediaState.READY, MediaState.PENDING, MediaState.FAILED, MediaState.GONE


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[MediaHarness]:
    async with open_media_harness(tmp_path) as harness:
        yield harness


@pytest.fixture
def without_retry_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_media, "REQUESTED_RETRY_DELAY_MS", 0)


async def test_what_is_there_is_found_at_once(harness: MediaHarness):
    await harness.receive("1")
    await harness.wait_for_state("1", READY)
    found = await harness.find("1", 0.0)
    assert found.state is READY
    assert harness.downloader.library.file(found).read_bytes() == PNG + b"1"
    assert harness.files.asked == ["1"]


async def test_an_id_that_nobody_knows_is_nothing(harness: MediaHarness):
    for name in ("", "nope", "../../etc/passwd", "\ud800", "x" * 10_000):
        assert await harness.downloader.library.find(name, 1.0) is None


async def test_what_is_under_way_is_waited_for_by_all_who_want_it(harness: MediaHarness):
    still = asyncio.Event()
    harness.files.answer("1", [still, PNG])
    await harness.receive("1")
    finding = [asyncio.create_task(harness.find("1")) for _ in range(5)]
    await harness.wait_for_requests(1)
    still.set()
    found = await asyncio.gather(*finding)
    assert {row.state for row in found} == {READY}
    assert harness.files.asked == ["1"]


async def test_the_wait_has_its_bound(harness: MediaHarness):
    harness.files.answer("1", [asyncio.Event()])
    await harness.receive("1")
    for wait in (0.0, 0.05):
        assert (await harness.find("1", wait)).state is PENDING


async def test_what_is_wanted_goes_before_what_only_waits_for_its_turn(harness: MediaHarness):
    still = asyncio.Event()
    harness.files.answer("0", [still, PNG])
    await harness.receive(*(f"{number}" for number in range(50)))
    await harness.wait_for_requests(1)
    finding = asyncio.create_task(harness.find("42"))
    await harness.wait_for_row(lambda row: row.due == 0, "42")
    still.set()
    assert (await finding).state is READY
    assert harness.files.asked[:2] == ["0", "42"]


async def test_what_is_not_to_be_had_is_said_at_once(harness: MediaHarness):
    harness.files.answer("1", failing_answer(Rejected, code="gone"))
    await harness.receive("1")
    assert (await harness.find("1")).state is GONE
    assert (await harness.find("1")).state is GONE
    assert harness.files.asked == ["1"]


async def test_what_was_given_up_is_tried_once_more_when_somebody_wants_it(
    harness: MediaHarness, without_retry_delay: None
):
    harness.files.answer("1", failing_answer(Rejected, "not now"), [PNG])
    await harness.receive("1")
    await harness.wait_for_state("1", FAILED)
    assert (await harness.find("1")).state is READY


async def test_the_end_of_the_try_before_is_not_that_of_the_one_that_was_asked_for(
    harness: MediaHarness, without_retry_delay: None, monkeypatch: pytest.MonkeyPatch
):
    mark_unavailable, finding = harness.journal.media.mark_unavailable, []

    async def mark_and_ask_again(*given: Any) -> OutboxBatch:
        batch = await mark_unavailable(*given)
        finding.append(asyncio.create_task(harness.find("1")))
        await harness.wait_for_row(lambda row: row.state is PENDING, "1")
        return batch

    monkeypatch.setattr(harness.journal.media, "mark_unavailable", mark_and_ask_again)
    harness.files.answer("1", failing_answer(Rejected, "not now"), [PNG])
    await harness.receive("1")
    await harness.broker.wait_until(lambda: finding)
    assert (await finding[0]).state is READY


async def test_many_requests_for_a_file_lead_to_few_attempts(harness: MediaHarness):
    harness.files.answer("1", failing_answer(Unreachable, "cut"))
    await harness.receive("1")
    await harness.wait_for_row(lambda row: row.attempts >= 1, "1")
    for _ in range(30):
        await harness.find("1", 0.0)
    assert len(harness.files.asked) <= 5  # on a busy machine some retries are due meanwhile


async def test_who_asks_does_not_shorten_the_time_for_bytes_that_are_not_there_yet(harness: MediaHarness):
    harness.files.answer("1", failing_answer(NoContentYet))
    await harness.receive("1")
    before = await harness.wait_for_row(lambda row: row.empty_attempts == 1, "1")
    await harness.find("1", 0.0)
    assert (await harness.row("1")).due == before.due


async def test_a_file_that_somebody_took_away_is_fetched_again(harness: MediaHarness):
    await harness.receive("1")
    before = await harness.wait_for_state("1", READY)
    harness.downloader.library.file(before).unlink()
    found = await harness.find("1")
    assert found.state is READY
    assert harness.downloader.library.file(found).read_bytes() == PNG + b"1"
    assert harness.files.asked == ["1", "1"]


async def test_a_file_that_somebody_cut_off_is_fetched_again(harness: MediaHarness):
    await harness.receive("1")
    before = await harness.wait_for_state("1", READY)
    harness.downloader.library.file(before).write_bytes(b"half")
    assert harness.downloader.library.file(await harness.find("1")).read_bytes() == PNG + b"1"


async def test_a_file_that_is_gone_here_and_at_wechat_is_gone(harness: MediaHarness):
    harness.files.answer("1", [PNG], failing_answer(Rejected, code="gone"))
    await harness.receive("1")
    harness.downloader.library.file(await harness.wait_for_state("1", READY)).unlink()
    assert (await harness.find("1")).state is GONE


async def test_what_nobody_waits_for_any_more_is_forgotten(harness: MediaHarness):
    harness.files.answer("1", [asyncio.Event()])
    await harness.receive("1")
    finding = asyncio.create_task(harness.find("1"))
    await harness.broker.wait_until(lambda: harness.downloader.library._waiters)
    finding.cancel()
    await asyncio.wait({finding})
    assert harness.downloader.library._waiters == {}


async def test_without_download_the_first_who_wants_it_gets_it(tmp_path: Path):
    async with open_media_harness(tmp_path, Media(download=False)) as harness:
        await harness.receive("1")
        assert (await harness.row("1")).due is None
        assert (await harness.find("1")).state is READY


async def test_where_there_are_no_bytes_there_is_no_file(harness: MediaHarness):
    with pytest.raises(ValueError, match="not stored"):
        harness.downloader.library.file(row())


def test_what_was_never_tried_goes_before_all_that_waits_for_its_turn():
    assert retry_time_when_requested(row(due=NOW + 1), NOW) == 0
    assert retry_time_when_requested(row(due=None), NOW) == 0


@pytest.mark.parametrize("state", [MediaState.PENDING, MediaState.FAILED])
def test_what_failed_is_tried_once_in_five_seconds_however_often_it_is_asked_for(state):
    assert (
        retry_time_when_requested(
            row(attempts=3, reason="the line is cut", due=NOW + 60_000, state=state), NOW
        )
        == NOW + 5_000
    )


def test_nobody_shortens_the_time_that_wechat_gets_to_have_the_bytes():
    assert (
        retry_time_when_requested(row(attempts=2, empty_attempts=2, reason="nothing", due=NOW + 9_000), NOW)
        is None
    )
