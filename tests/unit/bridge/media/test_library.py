"""The media library: finds stored files, and waits for the download of the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bridge.media.rows import row
from tests.unit.bridge.media.works import PNG, Works, trouble, working
from wx2mqtt.bridge.media import retries
from wx2mqtt.errors import NoContentYet, Rejected, Unreachable
from wx2mqtt.settings.schema import Media
from wx2mqtt.store.records import MediaState

READY, PENDING, FAILED, GONE = MediaState.READY, MediaState.PENDING, MediaState.FAILED, MediaState.GONE


@pytest.fixture
async def works(tmp_path: Path) -> AsyncIterator[Works]:
    async with working(tmp_path) as works:
        yield works


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "REQUESTED_RETRY_DELAY_MS", 0)


async def test_what_is_there_is_found_at_once(works: Works):
    await works.comes("1")
    await works.is_in("1", READY)
    found = await works.find("1", 0.0)
    assert found.state is READY
    assert works.room.library.file(found).read_bytes() == PNG + b"1"
    assert works.files.asked == ["1"]


async def test_an_id_that_nobody_knows_is_nothing(works: Works):
    for name in ("", "nope", "../../etc/passwd", "\ud800", "x" * 10_000):
        assert await works.room.library.find(name, 1.0) is None


async def test_what_is_under_way_is_waited_for_by_all_who_want_it(works: Works):
    still = asyncio.Event()
    works.files.answer("1", [still, PNG])
    await works.comes("1")
    finding = [asyncio.create_task(works.find("1")) for _ in range(5)]
    await works.asked(1)
    still.set()
    found = await asyncio.gather(*finding)
    assert {one.state for one in found} == {READY}
    assert works.files.asked == ["1"]


async def test_the_wait_has_its_bound(works: Works):
    works.files.answer("1", [asyncio.Event()])
    await works.comes("1")
    for wait in (0.0, 0.05):
        assert (await works.find("1", wait)).state is PENDING


async def test_what_is_wanted_goes_before_what_only_waits_for_its_turn(works: Works):
    still = asyncio.Event()
    works.files.answer("0", [still, PNG])
    await works.comes(*(f"{number}" for number in range(50)))
    await works.asked(1)
    finding = asyncio.create_task(works.find("42"))
    await works.when(lambda row: row.due == 0, "42")
    still.set()
    assert (await finding).state is READY
    assert works.files.asked[:2] == ["0", "42"]


async def test_what_is_not_to_be_had_is_said_at_once(works: Works):
    works.files.answer("1", trouble(Rejected, code="gone"))
    await works.comes("1")
    assert (await works.find("1")).state is GONE
    assert (await works.find("1")).state is GONE
    assert works.files.asked == ["1"]


async def test_what_was_given_up_is_tried_once_more_when_somebody_wants_it(works: Works, at_once: None):
    works.files.answer("1", trouble(Rejected, "not now"), [PNG])
    await works.comes("1")
    await works.is_in("1", FAILED)
    assert (await works.find("1")).state is READY


async def test_the_end_of_the_try_before_is_not_that_of_the_one_that_was_asked_for(
    works: Works, at_once: None, monkeypatch: pytest.MonkeyPatch
):
    media_over, finding = works.journal.media.mark_unavailable, []

    async def over_and_asked_for(*given: Any) -> None:
        await media_over(*given)
        finding.append(asyncio.create_task(works.find("1")))
        await works.when(lambda row: row.state is PENDING, "1")

    monkeypatch.setattr(works.journal.media, "mark_unavailable", over_and_asked_for)
    works.files.answer("1", trouble(Rejected, "not now"), [PNG])
    await works.comes("1")
    await works.link.until(lambda: finding)
    assert (await finding[0]).state is READY


async def test_who_asks_again_and_again_makes_no_storm(works: Works):
    works.files.answer("1", trouble(Unreachable, "cut"))
    await works.comes("1")
    await works.when(lambda row: row.attempts >= 1, "1")
    for _ in range(30):
        await works.find("1", 0.0)
    assert len(works.files.asked) <= 2


async def test_who_asks_does_not_shorten_the_time_for_bytes_that_are_not_there_yet(works: Works):
    works.files.answer("1", trouble(NoContentYet))
    await works.comes("1")
    before = await works.when(lambda row: row.empty_attempts == 1, "1")
    await works.find("1", 0.0)
    assert (await works.row("1")).due == before.due


async def test_a_file_that_somebody_took_away_is_fetched_again(works: Works):
    await works.comes("1")
    before = await works.is_in("1", READY)
    works.room.library.file(before).unlink()
    found = await works.find("1")
    assert found.state is READY
    assert works.room.library.file(found).read_bytes() == PNG + b"1"
    assert works.files.asked == ["1", "1"]


async def test_a_file_that_somebody_cut_off_is_fetched_again(works: Works):
    await works.comes("1")
    before = await works.is_in("1", READY)
    works.room.library.file(before).write_bytes(b"half")
    assert works.room.library.file(await works.find("1")).read_bytes() == PNG + b"1"


async def test_a_file_that_is_gone_here_and_at_wechat_is_gone(works: Works):
    works.files.answer("1", [PNG], trouble(Rejected, code="gone"))
    await works.comes("1")
    works.room.library.file(await works.is_in("1", READY)).unlink()
    assert (await works.find("1")).state is GONE


async def test_what_nobody_waits_for_any_more_is_forgotten(works: Works):
    works.files.answer("1", [asyncio.Event()])
    await works.comes("1")
    finding = asyncio.create_task(works.find("1"))
    await works.link.until(lambda: works.room.library._waiters)
    finding.cancel()
    await asyncio.wait({finding})
    assert works.room.library._waiters == {}


async def test_without_download_the_first_who_wants_it_gets_it(tmp_path: Path):
    async with working(tmp_path, Media(download=False)) as works:
        await works.comes("1")
        assert (await works.row("1")).due is None
        assert (await works.find("1")).state is READY


async def test_where_there_are_no_bytes_there_is_no_file(works: Works):
    with pytest.raises(ValueError, match="not stored"):
        works.room.library.file(row())
