"""The store stays within its bounds, whatever fills it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import structlog

from wx2mqtt.app.upkeep import Keep, Upkeep
from wx2mqtt.clock import now_ms
from wx2mqtt.model import Blob, Command, Cursor, MediaRef, SendKey
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Database
from wx2mqtt.store.folder import DATABASE, Folder
from wx2mqtt.store.journal import Journal, MediaState, NewCommand, NewMedia, NewMessage, Part
from wx2mqtt.store.media_upkeep import NO_ROOM, MediaUpkeep
from wx2mqtt.store.people import PeopleChanges

LONG_AGO = 1_000
FOREVER = Keep(history=1e11, media=1e11, media_total=10**12)


def message(number: int, *media: NewMedia, text: str = "x" * 1000) -> NewMessage:
    return NewMessage(
        key=str(number),
        id=str(number),
        topic="wx/in/wife",
        user="wife",
        kind="text",
        sender="wife",
        time=LONG_AGO,
        text=text,
        body={"text": text},
        media=media,
    )


def picture(media_id: str) -> NewMedia:
    return NewMedia(id=media_id, part=Part.WHOLE, kind="image", ref=MediaRef(locator={}), due=1)


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
class Store:
    """A store with one account in it, whose clock stands long ago."""

    folder: Folder
    database: Database
    blobs: Blobs
    journal: Journal
    upkeep: Upkeep

    async def fetched(self, media_id: str, size: int) -> Blob:
        """A published message whose bytes were fetched."""
        number = int(media_id, 36)
        await self.journal.record([message(number, picture(media_id))], PeopleChanges(), Cursor("c"), "l")
        await self.published()
        blob = await self.blobs.take(media_id.encode().ljust(size, b"\0"), size)
        await self.journal.media_ready(media_id, blob, ())
        return blob

    async def published(self) -> None:
        await self.journal.published([row.id for row in await self.journal.waiting(0, 1000)])

    async def messages(self) -> int:
        def job(connection: sqlite3.Connection) -> int:
            return int(connection.execute("SELECT count(*) FROM publication").fetchone()[0])

        return await self.database.read(job)

    async def states(self, *ids: str) -> list[MediaState]:
        rows = [await self.journal.media_get(one) for one in ids]
        return [row.state for row in rows if row]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    folder = Folder.open(tmp_path / "store")
    database = await Database.open(folder.path / DATABASE)
    blobs = Blobs(folder.path)
    await blobs.open()
    journal = Journal(database, "home", lambda: LONG_AGO, referred=blobs.referred)
    await journal.open()
    upkeep = Upkeep(folder, MediaUpkeep(database, blobs), limit=1_000_000)
    upkeep.journals = {journal: FOREVER}
    yield Store(folder, database, blobs, journal, upkeep)
    await database.close()
    folder.close()


async def test_history_goes_when_other_files_fill_the_folder(store: Store) -> None:
    """90 % is of everything below the folder (DESIGN 4.3): a small database must give way to other files."""
    (store.folder.path / "other").write_bytes(b"\0" * 900_000)
    items = [message(number) for number in range(100)]
    await store.journal.record(items, PeopleChanges(), Cursor("c"), "l")
    await store.published()

    assert await store.upkeep.look(due=False)

    assert await store.messages() == 1  # the newest is kept for `last`


async def test_media_go_before_history(store: Store) -> None:
    items = [message(number) for number in range(1000, 1100)]
    await store.journal.record(items, PeopleChanges(), Cursor("c"), "l")
    await store.published()
    ids = [chr(ord("a") + number) for number in range(8)]
    for one in ids:
        await store.fetched(one, 100_000)
    store.upkeep.limit = store.upkeep.size

    assert await store.upkeep.look(due=False)

    assert store.upkeep.size < 0.9 * store.upkeep.limit
    assert await store.messages() == 108
    states = await store.states(*ids)
    assert states == sorted(states), "the oldest first"  # gone, then ready
    assert 1 <= states.count(MediaState.GONE) < 8
    assert [row.why for row in await store.journal.media_of([str(int("a", 36))])] == [NO_ROOM]


async def test_what_a_command_has_still_to_send_stays_whatever_the_room(store: Store) -> None:
    blob = await store.fetched("a", 1_000_000)
    await store.journal.accept([command(await store.blobs.take(store.blobs.file(blob).read_bytes(), 10**6))])
    other = await store.fetched("b", 100_000)

    assert await store.upkeep.look(due=True)

    assert store.blobs.has(blob)
    assert not store.blobs.has(other)
    assert await store.states("a", "b") == [MediaState.READY, MediaState.GONE]


async def test_more_media_than_an_account_may_have_go_at_the_next_look(store: Store) -> None:
    store.upkeep.journals = {store.journal: replace(FOREVER, media_total=250)}
    ids = ["a", "b", "c", "d"]
    for one in ids:
        await store.fetched(one, 100)

    assert not await store.upkeep.look(due=False)

    assert await store.states(*ids) == [MediaState.GONE, MediaState.GONE, MediaState.READY, MediaState.READY]
    assert store.blobs.size == 200


async def test_media_go_when_they_were_kept_long_enough(store: Store) -> None:
    blob = await store.fetched("a", 100)
    store.upkeep.journals = {store.journal: replace(FOREVER, media=(now_ms() - LONG_AGO) / 1000 + 60)}
    await store.upkeep.look(due=True)
    assert store.blobs.has(blob)

    store.upkeep.journals = {store.journal: replace(FOREVER, media=60.0)}
    await store.upkeep.look(due=True)

    assert not store.blobs.has(blob)
    assert await store.states("a") == [MediaState.GONE]


async def test_the_size_follows_database_and_media_between_two_looks(store: Store) -> None:
    """A full store must be seen before the next message, not at the next look."""
    (store.folder.path / "other").write_bytes(b"\0" * 5_000)
    await store.upkeep.look(due=False)
    before = store.upkeep.size

    items = [message(number) for number in range(200)]
    await store.journal.record(items, PeopleChanges(), Cursor("c"), "l")
    await store.blobs.take(b"\0" * 70_000, 70_000)

    assert store.upkeep.size > before + 270_000
    assert store.upkeep.size == store.folder.size()


async def test_trouble_while_pruning_is_told_and_does_not_end_the_upkeep(store: Store) -> None:
    await store.database.close()
    with structlog.testing.capture_logs() as logged:
        assert await store.upkeep.look(due=True)
    assert {line["event"] for line in logged} == {"store cannot be pruned"}
