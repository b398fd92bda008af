"""Media are deleted by age and size: first the row is changed, then a file that no row needs is deleted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import accept, blob, command, media, message, picture, publish_all, record, result
from wx2mqtt.model import Blob
from wx2mqtt.store import media_retention
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.media_retention import REASON_AGED, REASON_STORE_FULL, REASON_TOTAL_SIZE, MediaRetention
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState

NO_LIMIT = 10**9
DAY = 86_400_000
WEEK = 7 * DAY


@pytest.fixture
async def blobs(tmp_path: Path) -> Blobs:
    blobs = Blobs(tmp_path)
    await blobs.open()
    return blobs


@pytest.fixture
async def journal(database: Database, clock: Clock, blobs: Blobs) -> Journal:
    journal = Journal(database, "home", clock, blobs.mark_referenced)
    await journal.open()
    return journal


@pytest.fixture
async def work(database: Database, clock: Clock, blobs: Blobs) -> Journal:
    work = Journal(database, "work", clock, blobs.mark_referenced)
    await work.open()
    return work


@pytest.fixture
def retention(database: Database, blobs: Blobs) -> MediaRetention:
    return MediaRetention(database, blobs)


AddDownloaded = Callable[..., Awaitable[Blob]]


@pytest.fixture
def add_downloaded(journal: Journal, blobs: Blobs, clock: Clock) -> AddDownloaded:
    """Returns a function that adds a published message whose file was downloaded.

    Each of them comes a millisecond after the previous one.
    """

    async def add_downloaded(media_id: str, data: bytes = b"", account: Journal = journal) -> Blob:
        await record(account, picture(media_id, media(media_id)))
        await publish_all(account)
        stored = await blobs.store(data or media_id.encode() * 10, NO_LIMIT)
        await account.media.mark_ready(media_id, stored, ())
        clock.now += 1
        return stored

    return add_downloaded


async def _row(journal: Journal, media_id: str) -> MediaRow:
    row = await journal.media.get(media_id)
    assert row is not None
    return row


async def _states(journal: Journal, *ids: str) -> list[str | None]:
    rows = [await journal.media.get(media_id) for media_id in ids]
    return [None if row is None else str(row.state) for row in rows]


async def test_media_are_deleted_after_their_time(
    journal: Journal, retention: MediaRetention, blobs: Blobs, add_downloaded: AddDownloaded, clock: Clock
) -> None:
    old = await add_downloaded("a")
    clock.now += WEEK
    young = await add_downloaded("b")
    assert await retention.prune("home", clock.now, WEEK) == 10
    row = await _row(journal, "a")
    assert (row.state, row.reason, row.blob, row.due) == (MediaState.GONE, REASON_AGED, None, None)
    assert await _states(journal, "b") == ["ready"]
    assert (blobs.exists(old), blobs.exists(young)) == (False, True)
    assert retention.blobs.size == 10


async def test_nothing_is_deleted_while_the_clock_is_behind_the_newest_row(
    journal: Journal, retention: MediaRetention, add_downloaded: AddDownloaded, clock: Clock
) -> None:
    await add_downloaded("a")
    clock.now += 10 * WEEK
    await record(journal, message("z"))
    assert await retention.prune("home", clock.now, 1) == 0
    assert await retention.prune("home", clock.now + 1, 1) == 10


async def test_a_file_that_another_message_has_too_stays(
    journal: Journal, retention: MediaRetention, blobs: Blobs, add_downloaded: AddDownloaded, clock: Clock
) -> None:
    same = await add_downloaded("a", b"same")
    clock.now += WEEK
    await add_downloaded("b", b"same")
    assert await retention.prune("home", clock.now, WEEK) == 0
    assert await _states(journal, "a", "b") == ["gone", "ready"]
    assert blobs.exists(same)
    clock.now += WEEK
    assert await retention.prune("home", clock.now, WEEK) == 4
    assert not blobs.exists(same)


async def test_a_file_that_another_account_has_too_stays(
    work: Journal, retention: MediaRetention, blobs: Blobs, add_downloaded: AddDownloaded, clock: Clock
) -> None:
    same = await add_downloaded("a", b"same")
    await add_downloaded("b", b"same", work)
    assert await retention.prune("home", clock.now, 0) == 0
    assert blobs.exists(same)
    assert await _states(work, "b") == ["ready"]


async def test_a_file_that_a_command_has_still_to_send_stays(
    journal: Journal, retention: MediaRetention, blobs: Blobs, add_downloaded: AddDownloaded, clock: Clock
) -> None:
    same = await add_downloaded("a", b"same")
    (row,) = await accept(journal, command("c", blob=await blobs.store(b"same", NO_LIMIT)))
    clock.now += 1
    assert await retention.prune("home", clock.now, 0) == 0
    assert await _states(journal, "a") == ["gone"]
    assert await retention.delete_unused_files(0) == 0
    assert blobs.exists(same)
    await journal.commands.finish(row.id, result("c"), [])
    assert await retention.delete_unused_files(0) == 4


async def test_above_its_total_an_account_loses_what_it_fetched_first(
    journal: Journal, work: Journal, retention: MediaRetention, add_downloaded: AddDownloaded
) -> None:
    await add_downloaded("w", b"w" * 1000, work)
    for media_id in "abcd":
        await add_downloaded(media_id)
    assert await retention.enforce_limit("home", 40) == 0
    assert await retention.enforce_limit("home", 25) == 20
    assert await _states(journal, *"abcd") == ["gone", "gone", "ready", "ready"]
    assert await _states(work, "w") == ["ready"]
    assert (await _row(journal, "a")).reason == REASON_TOTAL_SIZE


async def test_bytes_that_several_messages_share_count_once(
    journal: Journal, retention: MediaRetention, add_downloaded: AddDownloaded
) -> None:
    for media_id in "abc":
        await add_downloaded(media_id, b"same content")
    assert await retention.enforce_limit("home", 12) == 0
    assert await _states(journal, *"abc") == ["ready"] * 3
    assert await retention.enforce_limit("home", 11) == 12
    assert await _states(journal, *"abc") == ["gone"] * 3


async def test_no_limit_removes_a_file_that_a_command_needs(
    journal: Journal, retention: MediaRetention, blobs: Blobs, add_downloaded: AddDownloaded
) -> None:
    needed = await add_downloaded("a", b"needed")
    await accept(journal, command("c", blob=await blobs.store(b"needed", NO_LIMIT)))
    await add_downloaded("b", b"other")
    assert await retention.enforce_limit("home", 0) == 5
    assert await retention.free_space(NO_LIMIT) == 0
    assert await _states(journal, "a", "b") == ["ready", "gone"]
    assert blobs.exists(needed)


async def test_space_is_freed_from_unused_files_first_and_then_from_the_oldest_files_of_all_accounts(
    journal: Journal, work: Journal, retention: MediaRetention, blobs: Blobs, add_downloaded: AddDownloaded
) -> None:
    await add_downloaded("a")
    await add_downloaded("b", account=work)
    await add_downloaded("c")
    blobs.mark_referenced(await blobs.store(b"orphan", NO_LIMIT))
    assert await retention.free_space(5) == 6
    assert await retention.free_space(11) == 20
    assert await _states(journal, "a", "c") == ["gone", "ready"]
    assert await _states(work, "b") == ["gone"]
    assert (await _row(journal, "a")).reason == REASON_STORE_FULL
    assert await retention.free_space(NO_LIMIT) == 10
    assert retention.blobs.size == 0


async def test_a_file_that_is_just_being_stored_is_not_unused(
    journal: Journal, retention: MediaRetention, blobs: Blobs
) -> None:
    stored = await blobs.store(b"hello", NO_LIMIT)
    assert await retention.free_space(NO_LIMIT) == 0
    await accept(journal, command("c", blob=stored))
    assert await retention.free_space(NO_LIMIT) == 0
    assert blobs.exists(stored)


async def test_unused_files_are_deleted_after_an_hour_or_at_once_on_demand(
    retention: MediaRetention, blobs: Blobs, add_downloaded: AddDownloaded
) -> None:
    used = await add_downloaded("a")
    old, young = await blobs.store(b"old", NO_LIMIT), await blobs.store(b"young", NO_LIMIT)
    for file in (old, young):
        blobs.mark_referenced(file)
    for file in (used, old):
        os.utime(blobs.path_of(file), (1, 1))
    assert await retention.delete_unused_files() == 3
    assert [blobs.exists(file) for file in (used, old, young)] == [True, False, True]
    for file in (used, young, blob("never taken")):
        await retention.delete_if_unused(file)
    assert [blobs.exists(file) for file in (used, young)] == [True, False]
    assert blobs.size == used.size


async def test_a_file_that_gets_a_row_while_unused_files_are_deleted_stays(
    journal: Journal,
    retention: MediaRetention,
    blobs: Blobs,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the first check and the removal a command stores the same bytes, and its row refers to them."""
    blobs.mark_referenced(await blobs.store(b"same", NO_LIMIT))
    write = database.write

    async def write_after_new_row(name: str, job: Callable[[Connection], object]) -> object:
        if name == "media_remove":
            monkeypatch.setattr(database, "write", write)
            await journal.commands.accept([command("c", blob=await blobs.store(b"same", NO_LIMIT))])
        return await write(name, job)

    monkeypatch.setattr(database, "write", write_after_new_row)
    assert await retention.delete_unused_files(0) == 0
    assert blobs.exists(await blobs.store(b"same", NO_LIMIT))


async def test_every_row_keeps_its_file_while_files_are_stored_and_unused_ones_are_deleted(
    journal: Journal, retention: MediaRetention, blobs: Blobs
) -> None:
    await record(journal, *(picture(f"k{n}", media(f"m{n}")) for n in range(60)))

    async def store_files(numbers: range) -> None:
        for number in numbers:
            stored = await blobs.store(b"%d" % (number % 5), NO_LIMIT)
            await journal.media.mark_ready(f"m{number}", stored, ())
            if number % 3 == 0:
                await journal.media.mark_lost(f"m{number}", 0)

    async def delete_unused_files_repeatedly() -> None:
        while True:
            await retention.delete_unused_files(0)
            await asyncio.sleep(0)

    deleting = asyncio.create_task(delete_unused_files_repeatedly())
    await asyncio.gather(*(store_files(range(start, 60, 3)) for start in range(3)))
    deleting.cancel()
    rows = [await _row(journal, f"m{number}") for number in range(60)]
    ready = [row.blob for row in rows if row.blob]
    assert len(ready) == 40
    assert all(blobs.exists(file) for file in ready)


async def test_a_row_without_a_file_is_deleted_after_its_message_was_deleted(
    journal: Journal, retention: MediaRetention, add_downloaded: AddDownloaded, clock: Clock
) -> None:
    await record(journal, picture("f", media("failed")), picture("p", media("pending")))
    await journal.media.mark_unavailable("failed", MediaState.FAILED, "", ())
    await add_downloaded("ready")
    await record(journal, picture("w", media("waits")), message("z"))
    await journal.media.mark_unavailable("waits", MediaState.GONE, "", ())
    clock.now += 10 * WEEK
    await journal.retention.prune(clock.now, WEEK, WEEK)
    await retention.prune("home", clock.now, 100 * WEEK)
    assert await _states(journal, "failed", "pending", "ready", "waits") == [None, "pending", "ready", "gone"]
    await retention.prune("home", clock.now, WEEK)
    await journal.media.mark_unavailable("pending", MediaState.FAILED, "", ())
    await retention.prune("home", clock.now, WEEK)
    assert await _states(journal, "failed", "pending", "ready", "waits") == [None, None, None, "gone"]


async def test_an_avatar_is_deleted_after_its_time_with_its_row(
    journal: Journal, retention: MediaRetention, blobs: Blobs, clock: Clock
) -> None:
    await journal.media.add(media("av", part=MediaPart.AVATAR), "wife")
    await journal.media.mark_ready("av", await blobs.store(b"face", NO_LIMIT), ())
    assert await retention.prune("home", clock.now + WEEK, WEEK) == 0
    assert await retention.prune("home", clock.now + WEEK + 1, WEEK) == 4
    assert await journal.media.get("av") is None


async def test_more_media_than_one_commit_deletes_are_deleted(
    journal: Journal,
    retention: MediaRetention,
    add_downloaded: AddDownloaded,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(media_retention, "PRUNE_BATCH_ROWS", 4)
    monkeypatch.setattr(media_retention, "PRUNE_BATCH_FILES", 3)
    ids = [f"m{number:02}" for number in range(11)]
    for media_id in ids:
        await add_downloaded(media_id)
    assert await retention.enforce_limit("home", 100) == 240
    assert await _states(journal, *ids) == ["gone"] * 8 + ["ready"] * 3
    await record(journal, message("z"))
    clock.now += 10 * WEEK
    await journal.retention.prune(clock.now, WEEK, WEEK)
    await retention.prune("home", clock.now, WEEK)
    assert await _states(journal, *ids) == [None] * 11
    assert retention.blobs.size == 0


async def _make_unreadable(database: Database, text: str | None, *ids: str) -> None:
    rows = [(text, media_id) for media_id in ids]
    await database.write("damage", lambda db: db.executemany("UPDATE media SET blob = ? WHERE id = ?", rows))


@pytest.mark.parametrize("text", [None, "{", "[]", '{"sha256":"aa"}'])
async def test_rows_that_cannot_be_read_do_not_end_a_pruning_by_age(
    database: Database,
    journal: Journal,
    retention: MediaRetention,
    add_downloaded: AddDownloaded,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
) -> None:
    monkeypatch.setattr(media_retention, "PRUNE_BATCH_ROWS", 2)
    for media_id in "abc":
        await add_downloaded(media_id)
    await _make_unreadable(database, text, "a", "b")
    clock.now += WEEK
    assert await retention.prune("home", clock.now, 0) == 10
    assert await _states(journal, *"abc") == ["gone"] * 3
    assert await retention.delete_unused_files(0) == 20
    assert retention.blobs.size == 0


@pytest.mark.parametrize("by", ["size", "free space"])
async def test_rows_that_cannot_be_read_do_not_end_a_pruning_by_size(
    database: Database,
    journal: Journal,
    retention: MediaRetention,
    add_downloaded: AddDownloaded,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    monkeypatch.setattr(media_retention, "PRUNE_BATCH_ROWS", 2)
    for media_id in "abcd":
        await add_downloaded(media_id)
    await _make_unreadable(database, None, "a", "b")
    pruning = retention.enforce_limit("home", 10) if by == "size" else retention.free_space(5)
    assert await pruning == 10
    assert await _states(journal, *"abcd") == ["gone", "gone", "gone", "ready"]


async def test_media_whose_file_was_lost_are_gone_after_a_search_for_space(
    journal: Journal, retention: MediaRetention, blobs: Blobs, add_downloaded: AddDownloaded
) -> None:
    blobs.path_of(await add_downloaded("a")).unlink()
    assert await retention.free_space(5) == 0
    assert await _states(journal, "a") == ["gone"]
