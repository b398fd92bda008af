"""Media within age and size limits: the row says so first, then the file goes if it is not needed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import blob, command, media, message, picture, result
from wx2mqtt.model import Blob
from wx2mqtt.store import media_retention
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.media_retention import REASON_AGED, REASON_STORE_FULL, REASON_TOTAL_SIZE, MediaRetention
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState, NewMessage

MUCH = 10**9
DAY = 86_400_000
WEEK = 7 * DAY


@pytest.fixture
async def blobs(tmp_path: Path) -> Blobs:
    made = Blobs(tmp_path)
    await made.open()
    return made


@pytest.fixture
async def journal(database: Database, clock: Clock, blobs: Blobs) -> Journal:
    journal = Journal(database, "home", clock, blobs.mark_referenced)
    await journal.open()
    return journal


@pytest.fixture
def retention(database: Database, blobs: Blobs) -> MediaRetention:
    return MediaRetention(database, blobs)


Fetch = Callable[..., Awaitable[Blob]]


@pytest.fixture
def fetch(journal: Journal, blobs: Blobs, clock: Clock) -> Fetch:
    """Records and publishes a message with media and stores the file; each a millisecond after the last."""

    async def fetched(media_id: str, data: bytes = b"", of: Journal = journal) -> Blob:
        await _record(of, picture(media_id, media(media_id)))
        await of.outbox.mark_published([row.id for row in await of.outbox.list_waiting(0, 1000)])
        taken = await blobs.store(data or media_id.encode() * 10, MUCH)
        await of.media.mark_ready(media_id, taken, ())
        clock.now += 1
        return taken

    return fetched


async def _record(journal: Journal, *items: NewMessage) -> None:
    await journal.received.record(items, NO_CHANGES, None, "")


async def _row(journal: Journal, media_id: str) -> MediaRow | None:
    return await journal.media.get(media_id)


async def _states(journal: Journal, *ids: str) -> list[str | None]:
    rows = [await _row(journal, one) for one in ids]
    return [None if row is None else str(row.state) for row in rows]


def _files(blobs: Blobs, tmp_path: Path) -> set[str]:
    return {str(file.relative_to(tmp_path)) for file in (tmp_path / "media").rglob("*") if file.is_file()}


async def test_what_was_kept_long_enough_goes(
    journal: Journal, retention: MediaRetention, blobs: Blobs, fetch: Fetch, clock: Clock
) -> None:
    old = await fetch("a")
    clock.now += WEEK
    young = await fetch("b")
    assert await retention.prune("home", clock.now, WEEK) == 10
    row = await _row(journal, "a")
    assert row is not None
    assert (row.state, row.reason, row.blob, row.due) == (MediaState.GONE, REASON_AGED, None, None)
    assert await _states(journal, "b") == ["ready"]
    assert (blobs.exists(old), blobs.exists(young)) == (False, True)
    assert retention.blobs.size == 10


async def test_nothing_goes_while_the_clock_is_behind_the_newest_row(
    journal: Journal, retention: MediaRetention, fetch: Fetch, clock: Clock
) -> None:
    await fetch("a")
    clock.now += 10 * WEEK
    await _record(journal, message("z"))
    assert await retention.prune("home", clock.now, 1) == 0
    assert await retention.prune("home", clock.now + 1, 1) == 10


async def test_a_file_that_another_message_has_too_stays(
    journal: Journal, retention: MediaRetention, blobs: Blobs, fetch: Fetch, clock: Clock
) -> None:
    same = await fetch("a", b"same")
    clock.now += WEEK
    await fetch("b", b"same")
    assert await retention.prune("home", clock.now, WEEK) == 0
    assert await _states(journal, "a", "b") == ["gone", "ready"]
    assert blobs.exists(same)
    clock.now += WEEK
    assert await retention.prune("home", clock.now, WEEK) == 4
    assert not blobs.exists(same)


async def test_a_file_that_another_account_has_too_stays(
    database: Database, retention: MediaRetention, blobs: Blobs, fetch: Fetch, clock: Clock
) -> None:
    work = Journal(database, "work", clock, blobs.mark_referenced)
    await work.open()
    same = await fetch("a", b"same")
    await fetch("b", b"same", work)
    assert await retention.prune("home", clock.now, 0) == 0
    assert blobs.exists(same)
    assert await _states(work, "b") == ["ready"]


async def test_a_file_that_a_command_has_still_to_send_stays(
    journal: Journal, retention: MediaRetention, blobs: Blobs, fetch: Fetch, clock: Clock
) -> None:
    same = await fetch("a", b"same")
    again = await blobs.store(b"same", MUCH)
    (accepted,) = await journal.commands.accept([command("c", blob=again)])
    clock.now += 1
    assert await retention.prune("home", clock.now, 0) == 0
    assert await _states(journal, "a") == ["gone"]
    assert await retention.delete_unused_files(0) == 0
    assert blobs.exists(same)
    assert accepted.row is not None
    await journal.commands.finish(accepted.row.id, result("c"), [])
    assert await retention.delete_unused_files(0) == 4


async def test_above_its_total_an_account_loses_what_it_fetched_first(
    database: Database, journal: Journal, retention: MediaRetention, blobs: Blobs, fetch: Fetch, clock: Clock
) -> None:
    work = Journal(database, "work", clock, blobs.mark_referenced)
    await work.open()
    await fetch("w", b"w" * 1000, work)
    for one in "abcd":
        await fetch(one)
    assert await retention.enforce_limit("home", 40) == 0
    assert await retention.enforce_limit("home", 25) == 20
    assert await _states(journal, *"abcd") == ["gone", "gone", "ready", "ready"]
    assert await _states(work, "w") == ["ready"]
    row = await _row(journal, "a")
    assert row is not None
    assert row.reason == REASON_TOTAL_SIZE


async def test_bytes_that_several_messages_share_count_once(
    journal: Journal, retention: MediaRetention, fetch: Fetch
) -> None:
    for one in "abc":
        await fetch(one, b"same content")
    assert await retention.enforce_limit("home", 12) == 0
    assert await _states(journal, *"abc") == ["ready"] * 3
    assert await retention.enforce_limit("home", 11) == 12
    assert await _states(journal, *"abc") == ["gone"] * 3


async def test_no_limit_removes_a_file_that_a_command_needs(
    journal: Journal, retention: MediaRetention, blobs: Blobs, fetch: Fetch
) -> None:
    needed = await fetch("a", b"needed")
    await journal.commands.accept([command("c", blob=await blobs.store(b"needed", MUCH))])
    await fetch("b", b"other")
    assert await retention.enforce_limit("home", 0) == 5
    assert await retention.free_space(MUCH) == 0
    assert await _states(journal, "a", "b") == ["ready", "gone"]
    assert blobs.exists(needed)


async def test_space_is_freed_from_orphans_first_and_then_from_the_oldest_files_of_all_accounts(
    database: Database, journal: Journal, retention: MediaRetention, blobs: Blobs, fetch: Fetch, clock: Clock
) -> None:
    work = Journal(database, "work", clock, blobs.mark_referenced)
    await work.open()
    await fetch("a")
    await fetch("b", of=work)
    await fetch("c")
    blobs.mark_referenced(await blobs.store(b"orphan", MUCH))
    assert await retention.free_space(5) == 6
    assert await retention.free_space(11) == 20
    assert await _states(journal, "a", "c") == ["gone", "ready"]
    assert await _states(work, "b") == ["gone"]
    row = await _row(journal, "a")
    assert row is not None
    assert row.reason == REASON_STORE_FULL
    assert await retention.free_space(MUCH) == 10
    assert retention.blobs.size == 0


async def test_what_is_just_being_taken_is_no_orphan(
    journal: Journal, retention: MediaRetention, blobs: Blobs
) -> None:
    taken = await blobs.store(b"hello", MUCH)
    assert await retention.free_space(MUCH) == 0
    await journal.commands.accept([command("c", blob=taken)])
    assert await retention.free_space(MUCH) == 0
    assert blobs.exists(taken)


async def test_orphans_go_after_an_hour(
    retention: MediaRetention, blobs: Blobs, fetch: Fetch, tmp_path: Path
) -> None:
    kept = await fetch("a")
    old, young = await blobs.store(b"old", MUCH), await blobs.store(b"young", MUCH)
    for one in (old, young):
        blobs.mark_referenced(one)
    for one in (kept, old):
        os.utime(blobs.path_of(one), (1, 1))
    assert await retention.delete_unused_files() == 3
    assert _files(blobs, tmp_path) == {kept.path, young.path}


async def test_a_file_that_gets_a_row_while_it_is_swept_stays(
    journal: Journal,
    retention: MediaRetention,
    blobs: Blobs,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the first check and the removal, a command stores the same bytes and refers to them."""
    blobs.mark_referenced(await blobs.store(b"same", MUCH))
    write = database.write

    async def late(name: str, job: Callable[[Connection], object]) -> object:
        if name == "media_remove":
            monkeypatch.setattr(database, "write", write)
            await journal.commands.accept([command("c", blob=await blobs.store(b"same", MUCH))])
        return await write(name, job)

    monkeypatch.setattr(database, "write", late)
    assert await retention.delete_unused_files(0) == 0
    assert blobs.exists(await blobs.store(b"same", MUCH))


async def test_many_takers_and_a_busy_sweep_leave_every_row_its_file(
    journal: Journal, retention: MediaRetention, blobs: Blobs
) -> None:
    await _record(journal, *(picture(f"k{n}", media(f"m{n}")) for n in range(60)))

    async def taker(numbers: range) -> None:
        for number in numbers:
            taken = await blobs.store(b"%d" % (number % 5), MUCH)
            await journal.media.mark_ready(f"m{number}", taken, ())
            if number % 3 == 0:
                await journal.media.mark_lost(f"m{number}", 0)

    async def sweeper() -> None:
        while True:
            await retention.delete_unused_files(0)
            await asyncio.sleep(0)

    sweeping = asyncio.create_task(sweeper())
    await asyncio.gather(*(taker(range(start, 60, 3)) for start in range(3)))
    sweeping.cancel()
    rows = [await _row(journal, f"m{number}") for number in range(60)]
    ready = [row.blob for row in rows if row and row.blob]
    assert len(ready) == 40
    assert all(blobs.exists(one) for one in ready)


async def test_a_row_goes_when_its_message_went_and_there_are_no_bytes(
    database: Database, journal: Journal, retention: MediaRetention, fetch: Fetch, clock: Clock
) -> None:
    await _record(journal, picture("f", media("failed")), picture("p", media("pending")))
    await journal.media.mark_unavailable("failed", MediaState.FAILED, "", ())
    await fetch("ready")
    await _record(journal, picture("w", media("waits")), message("z"))
    await journal.media.mark_unavailable("waits", MediaState.GONE, "", ())
    clock.now += 10 * WEEK
    await journal.retention.prune(clock.now, WEEK, WEEK)
    await retention.prune("home", clock.now, 100 * WEEK)
    assert await _states(journal, "failed", "pending", "ready", "waits") == [None, "pending", "ready", "gone"]
    await retention.prune("home", clock.now, WEEK)
    await journal.media.mark_unavailable("pending", MediaState.FAILED, "", ())
    await retention.prune("home", clock.now, WEEK)
    assert await _states(journal, "failed", "pending", "ready", "waits") == [None, None, None, "gone"]


async def test_an_avatar_goes_after_its_time_and_is_forgotten(
    journal: Journal, retention: MediaRetention, blobs: Blobs, clock: Clock
) -> None:
    await journal.media.add(media("av", part=MediaPart.AVATAR), "wife")
    taken = await blobs.store(b"face", MUCH)
    await journal.media.mark_ready("av", taken, ())
    assert await retention.prune("home", clock.now + WEEK, WEEK) == 0
    assert await retention.prune("home", clock.now + WEEK + 1, WEEK) == 4
    assert await _row(journal, "av") is None


async def test_more_than_fits_in_one_commit_goes_too(
    journal: Journal, retention: MediaRetention, fetch: Fetch, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_retention, "PRUNE_BATCH_ROWS", 4)
    monkeypatch.setattr(media_retention, "PRUNE_BATCH_FILES", 3)
    ids = [f"m{number:02}" for number in range(11)]
    for one in ids:
        await fetch(one)
    assert await retention.enforce_limit("home", 100) == 240
    assert await _states(journal, *ids) == ["gone"] * 8 + ["ready"] * 3
    await _record(journal, message("z"))
    clock.now += 10 * WEEK
    await journal.retention.prune(clock.now, WEEK, WEEK)
    await retention.prune("home", clock.now, WEEK)
    assert await _states(journal, *ids) == [None] * 11
    assert retention.blobs.size == 0


async def _make_unreadable(database: Database, text: str | None, *ids: str) -> None:
    rows = [(text, media_id) for media_id in ids]
    await database.write(
        "damage", lambda connection: connection.executemany("UPDATE media SET blob = ? WHERE id = ?", rows)
    )


@pytest.mark.parametrize("text", [None, "{", "[]", '{"sha256":"aa"}'])
async def test_rows_that_cannot_be_read_do_not_end_a_pruning_by_age(
    database: Database,
    journal: Journal,
    retention: MediaRetention,
    blobs: Blobs,
    fetch: Fetch,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
) -> None:
    monkeypatch.setattr(media_retention, "PRUNE_BATCH_ROWS", 2)
    unreadable = [await fetch("a"), await fetch("b")]
    readable = await fetch("c")
    await _make_unreadable(database, text, "a", "b")
    clock.now += WEEK
    assert await retention.prune("home", clock.now, 0) == readable.size
    assert await _states(journal, *"abc") == ["gone"] * 3
    assert await retention.delete_unused_files(0) == sum(file.size for file in unreadable)
    assert blobs.size == 0


async def test_rows_that_cannot_be_read_do_not_end_a_pruning_by_size(
    database: Database,
    journal: Journal,
    retention: MediaRetention,
    fetch: Fetch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(media_retention, "PRUNE_BATCH_ROWS", 2)
    for media_id in "abcd":
        await fetch(media_id)
    await _make_unreadable(database, None, "a", "b")
    assert await retention.enforce_limit("home", 10) == 10
    assert await _states(journal, *"abcd") == ["gone", "gone", "gone", "ready"]


async def test_rows_that_cannot_be_read_do_not_end_a_search_for_free_space(
    database: Database,
    journal: Journal,
    retention: MediaRetention,
    fetch: Fetch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(media_retention, "PRUNE_BATCH_ROWS", 2)
    for media_id in "abcd":
        await fetch(media_id)
    await _make_unreadable(database, None, "a", "b")
    assert await retention.free_space(5) == 10
    assert await _states(journal, *"abcd") == ["gone", "gone", "gone", "ready"]


async def test_a_row_whose_file_is_not_there_goes_as_well(
    journal: Journal, retention: MediaRetention, blobs: Blobs, fetch: Fetch
) -> None:
    taken = await fetch("a")
    blobs.path_of(taken).unlink()
    assert await retention.free_space(5) == 0
    assert await _states(journal, "a") == ["gone"]


async def test_bytes_that_nobody_wants_after_all_go_at_once_unless_somebody_needs_them(
    retention: MediaRetention, blobs: Blobs, fetch: Fetch
) -> None:
    needed = await fetch("a")
    for one in (needed, await blobs.store(b"unwanted", MUCH)):
        blobs.mark_referenced(one)
        await retention.delete_if_unused(one)
    assert blobs.size == needed.size


async def test_a_blob_without_a_file_is_no_trouble(retention: MediaRetention) -> None:
    await retention.delete_if_unused(blob("never taken"))
