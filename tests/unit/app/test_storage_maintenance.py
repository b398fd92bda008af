"""The store stays below its maximum size, whatever fills it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import structlog

from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.app import storage_maintenance
from wx2mqtt.app.storage_maintenance import StorageMaintenance
from wx2mqtt.clock import now_ms
from wx2mqtt.model import Blob, Command, Cursor, MediaRef, Result, SendKey, Status
from wx2mqtt.settings.schema import Account, History, Media
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.command_records import NewCommand
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.folder import DATABASE_NAME, StoreFolder
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.journal_retention import MIN_REFUSED_RETENTION_MS, REFUSED_RETENTION_MS, JournalRetention
from wx2mqtt.store.media_retention import REASON_STORE_FULL, MediaRetention
from wx2mqtt.store.person_records import PeopleChanges
from wx2mqtt.store.records import (
    MediaPart,
    MediaState,
    NewMedia,
    NewMessage,
    NewPublication,
)
from wx2mqtt.store.search_index import SearchIndex
from wx2mqtt.store.sqlite_database import SqliteDatabase

LONG_AGO = 1_000
A_CENTURY = 3e9


def limits(*, media_seconds: float = A_CENTURY, media_bytes: int = 10**12) -> Account:
    """Returns an account that keeps its history for ever, and its media as long as these limits say."""
    media = Media(keep=media_seconds, max_total=media_bytes)
    return Account(history=History(keep=A_CENTURY), media=media)


KEEPS_EVERYTHING = limits()


def message(number: int, *media: NewMedia, text: str = "x" * 1000) -> NewMessage:
    return NewMessage(
        key=str(number),
        id=str(number),
        topic="wx/in/wife",
        user="wife",
        kind="text",
        time=LONG_AGO,
        text=text,
        body={"text": text},
        media=media,
    )


def picture(media_id: str) -> NewMedia:
    return NewMedia(id=media_id, part=MediaPart.WHOLE, kind="image", ref=MediaRef(locator={}), due=1)


def command(blob: Blob) -> NewCommand:
    return NewCommand(
        command=Command(user="wife", kind="image"),
        command_id="a",
        fingerprint="a",
        person=None,
        key=SendKey("1"),
        accepted=LONG_AGO,
        expires=None,
        replies=(),
        blob=blob,
    )


@dataclass
class StoreHarness:
    """A store with one account, whose rows were all created long ago."""

    folder: StoreFolder
    database: Database
    blobs: Blobs
    journal: Journal
    maintenance: StorageMaintenance

    async def add_downloaded(self, media_id: str, size: int) -> Blob:
        """Adds a published message whose file was downloaded."""
        number = int(media_id, 36)
        await self.journal.received.record(
            [message(number, picture(media_id))], PeopleChanges(), Cursor("c"), "l"
        )
        await self.mark_all_published()
        blob = await self.blobs.store(media_id.encode().ljust(size, b"\0"), size)
        await self.journal.media.mark_ready(media_id, blob, ())
        return blob

    async def mark_all_published(self) -> None:
        await self.journal.outbox.mark_published(
            [row.id for row in await self.journal.outbox.list_waiting(0, 1000)]
        )

    async def count_messages(self) -> int:
        def count(connection: Connection) -> int:
            return int(connection.execute("SELECT count(*) FROM publication").fetchone()[0])

        return await self.database.read(count)

    async def states(self, *ids: str) -> list[MediaState]:
        rows = [await self.journal.media.get(media_id) for media_id in ids]
        return [row.state for row in rows if row]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[StoreHarness]:
    folder = StoreFolder.open(tmp_path / "store")
    database = await SqliteDatabase.open(folder.path / DATABASE_NAME)
    blobs = Blobs(folder.path)
    await blobs.open()
    journal = Journal(database, "home", lambda: LONG_AGO, on_referenced=blobs.mark_referenced)
    await journal.open()
    maintenance = StorageMaintenance(
        folder,
        database,
        MediaRetention(database, blobs),
        SearchIndex(database, folder.path / "search.db"),
        limit=1_000_000,
    )
    maintenance.set_limits({journal: KEEPS_EVERYTHING})
    yield StoreHarness(folder, database, blobs, journal, maintenance)
    await database.close()
    folder.close()


async def test_an_account_that_is_added_later_is_pruned_soon(
    store: StoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where several instances share the accounts, an instance runs none at its start."""
    pruned: asyncio.Queue[str] = asyncio.Queue()

    async def prune(self: JournalRetention, *_: object) -> None:
        pruned.put_nowait(self._account)

    monkeypatch.setattr(JournalRetention, "prune", prune)
    running = asyncio.create_task(store.maintenance.run())
    try:
        assert await asyncio.wait_for(pruned.get(), MAX_WAIT_SECONDS) == "home"
        other = Journal(store.database, "office")
        store.maintenance.set_limits({store.journal: KEEPS_EVERYTHING, other: KEEPS_EVERYTHING})
        assert await asyncio.wait_for(pruned.get(), MAX_WAIT_SECONDS) == "office"
        assert pruned.empty()
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_an_account_that_leaves_while_others_are_pruned_is_left_alone(
    store: StoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [Journal(store.database, name) for name in ("first", "second")]
    pruned: list[str] = []

    async def prune(self: JournalRetention, *_: object) -> None:
        pruned.append(self._account)
        store.maintenance.set_limits(
            {journal: KEEPS_EVERYTHING for journal in others if journal.account in pruned}
        )

    monkeypatch.setattr(JournalRetention, "prune", prune)
    store.maintenance.set_limits(dict.fromkeys(others, KEEPS_EVERYTHING))
    assert await store.maintenance.check_size(prune_due=True)
    assert pruned == ["first"]


async def test_history_is_deleted_when_other_files_fill_the_folder(store: StoreHarness) -> None:
    """The limit is for everything below the folder: a small database must shrink for other files."""
    (store.folder.path / "other").write_bytes(b"\0" * 900_000)
    items = [message(number) for number in range(100)]
    await store.journal.received.record(items, PeopleChanges(), Cursor("c"), "l")
    await store.mark_all_published()

    assert await store.maintenance.check_size(prune_due=False)

    assert await store.count_messages() == 1  # the newest is kept for `last`


def refused(number: int) -> NewCommand:
    """Returns a command that was refused, with its result."""
    message = "nobody is called so" * 20
    result = Result(
        id=str(number),
        user="nobody",
        status=Status.REJECTED,
        code="unknown_user",
        message=message,
        time=LONG_AGO,
    )
    body = NewPublication(
        topic="wx/result/nobody", payload=message.encode(), category="result", content_type=""
    )
    return replace(
        command(EMPTY_BLOB), command_id=str(number), blob=None, result=result, publications=(body,)
    )


EMPTY_BLOB = Blob(sha256="", size=0, mime="", path="")


@pytest.mark.parametrize("age_ms", [REFUSED_RETENTION_MS + 1, MIN_REFUSED_RETENTION_MS + 1])
async def test_refused_commands_and_their_results_are_deleted_before_messages_and_media(
    store: StoreHarness, age_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_maintenance, "now_ms", lambda: LONG_AGO + age_ms)
    items = [message(number) for number in range(1000, 1100)]
    await store.journal.received.record(items, PeopleChanges(), Cursor("c"), "l")
    await store.journal.commands.accept([refused(number) for number in range(500)])
    await store.journal.commands.accept([replace(command(EMPTY_BLOB), command_id="waits", blob=None)])
    await store.mark_all_published()
    await store.add_downloaded("a", 100_000)
    assert isinstance(store.database, SqliteDatabase)
    await store.database.checkpoint()
    store.maintenance.quota.limit = store.maintenance.quota.size

    assert await store.maintenance.check_size(prune_due=False)

    assert store.maintenance.quota.size < 0.9 * store.maintenance.quota.limit
    assert await store.count_messages() == 101
    assert await store.states("a") == [MediaState.READY]
    assert [row.command_id for row in await store.journal.commands.list_newest(limit=1000)] == ["waits"]


async def test_a_command_that_was_refused_lately_stays_for_a_broker_that_delivers_it_again(
    store: StoreHarness,
) -> None:
    await store.journal.commands.accept([refused(1)])
    (row,) = await store.journal.commands.list_newest()
    assert await store.journal.retention.prune_refused(LONG_AGO + REFUSED_RETENTION_MS) == 0
    assert await store.journal.retention.prune_refused(LONG_AGO + REFUSED_RETENTION_MS + 1) == 1
    assert row.command_id == "1"


async def test_media_are_deleted_before_history(store: StoreHarness) -> None:
    items = [message(number) for number in range(1000, 1100)]
    await store.journal.received.record(items, PeopleChanges(), Cursor("c"), "l")
    await store.mark_all_published()
    ids = [chr(ord("a") + number) for number in range(8)]
    for media_id in ids:
        await store.add_downloaded(media_id, 100_000)
    store.maintenance.quota.limit = store.maintenance.quota.size

    assert await store.maintenance.check_size(prune_due=False)

    assert store.maintenance.quota.size < 0.9 * store.maintenance.quota.limit
    assert await store.count_messages() == 108
    states = await store.states(*ids)
    assert states == sorted(states), "the oldest first"  # gone, then ready
    assert 1 <= states.count(MediaState.GONE) < 8
    assert [row.reason for row in await store.journal.media.of_messages([str(int("a", 36))])] == [
        REASON_STORE_FULL
    ]


async def test_a_file_that_a_command_has_still_to_send_stays_also_in_a_full_store(
    store: StoreHarness,
) -> None:
    blob = await store.add_downloaded("a", 1_000_000)
    await store.journal.commands.accept(
        [command(await store.blobs.store(store.blobs.path_of(blob).read_bytes(), 10**6))]
    )
    other = await store.add_downloaded("b", 100_000)

    assert await store.maintenance.check_size(prune_due=True)

    assert store.blobs.exists(blob)
    assert not store.blobs.exists(other)
    assert await store.states("a", "b") == [MediaState.READY, MediaState.GONE]


async def test_the_media_beyond_the_limit_of_an_account_are_deleted_at_the_next_check(
    store: StoreHarness,
) -> None:
    store.maintenance.set_limits({store.journal: limits(media_bytes=250)})
    ids = ["a", "b", "c", "d"]
    for media_id in ids:
        await store.add_downloaded(media_id, 100)

    assert not await store.maintenance.check_size(prune_due=False)

    assert await store.states(*ids) == [MediaState.GONE, MediaState.GONE, MediaState.READY, MediaState.READY]
    assert store.blobs.size == 200


async def test_media_are_deleted_when_they_were_kept_long_enough(store: StoreHarness) -> None:
    blob = await store.add_downloaded("a", 100)
    store.maintenance.set_limits({store.journal: limits(media_seconds=(now_ms() - LONG_AGO) / 1000 + 60)})
    await store.maintenance.check_size(prune_due=True)
    assert store.blobs.exists(blob)

    store.maintenance.set_limits({store.journal: limits(media_seconds=60.0)})
    await store.maintenance.check_size(prune_due=True)

    assert not store.blobs.exists(blob)
    assert await store.states("a") == [MediaState.GONE]


async def test_the_size_counts_changes_of_database_and_media_between_two_checks(store: StoreHarness) -> None:
    """A full store must be noticed before the next message is stored, not at the next check."""
    (store.folder.path / "other").write_bytes(b"\0" * 5_000)
    await store.maintenance.check_size(prune_due=False)
    before = store.maintenance.quota.size

    items = [message(number) for number in range(200)]
    await store.journal.received.record(items, PeopleChanges(), Cursor("c"), "l")
    await store.blobs.store(b"\0" * 70_000, 70_000)

    assert store.maintenance.quota.size > before + 270_000
    assert store.maintenance.quota.size == store.folder.size_bytes()


async def test_an_error_while_pruning_is_logged_and_does_not_end_the_maintenance(store: StoreHarness) -> None:
    await store.database.close()
    with structlog.testing.capture_logs() as logged:
        assert await store.maintenance.check_size(prune_due=True)
    assert {line["event"] for line in logged} == {"store cannot be pruned"}
