"""Backup and restore of a store: nothing is lost, nothing is sent twice, no store is replaced by mistake."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.store.make import command, mark, media, message, person, picture, result
from tests.unit.store.test_backup_archive import crafted, telling
from wx2mqtt.errors import StoreLocked, StoreTooNew
from wx2mqtt.model import Cursor
from wx2mqtt.store.backup_archive import BadBackup, measure_file
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.command_records import RESTORED_UNANSWERED, CommandState
from wx2mqtt.store.database import Database
from wx2mqtt.store.folder import DATABASE_NAME, PEOPLE_FILE_NAME, SESSIONS_FOLDER, StoreFolder
from wx2mqtt.store.folder_backup import create_backup, restore_store
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.people_file import PeopleFile
from wx2mqtt.store.person_records import NO_CHANGES, PeopleChanges
from wx2mqtt.store.records import HistoryQuery
from wx2mqtt.store.saved_logins import SavedLoginFile
from wx2mqtt.store.sqlite_database import SqliteDatabase, newest_version

C1 = Cursor("cursor 1")


class OpenStore:
    """A store, open as a bridge has it."""

    def __init__(self, path: Path, folder: StoreFolder, database: Database) -> None:
        self.path = path
        self.folder = folder
        self.database = database
        self.blobs = Blobs(path)
        self.journal = Journal(database, "home", on_referenced=self.blobs.mark_referenced)

    @classmethod
    async def open(cls, path: Path) -> OpenStore:
        folder = StoreFolder.open(path)
        open_store = cls(path, folder, await SqliteDatabase.open(path / DATABASE_NAME))
        await open_store.journal.open()
        await open_store.blobs.open()
        return open_store

    async def close(self) -> None:
        await self.database.close()
        self.folder.close()

    async def live(self) -> None:
        """Something of everything: messages, people, a login, a picture, commands that wait and are over."""
        await StoredPeople(self.database, "home").save(PeopleChanges(persons=(person(1, "wife"),)))
        await self.journal.received.record([message("a"), picture("b", media("m"))], NO_CHANGES, C1, "login")
        blob = await self.blobs.store(b"\xff\xd8\xff a picture", 1000)
        await self.journal.media.mark_ready("m", blob, [])
        unsent = await self.blobs.store(b"%PDF-1.4 a file", 1000)
        await self.journal.commands.accept(
            [
                command("waits", delivery=mark(7)),
                replace(command("with-file"), blob=unsent),
                command("over", settled=result("over")),
            ]
        )
        await PeopleFile(self.database, self.path / PEOPLE_FILE_NAME).write()
        (self.path / SESSIONS_FOLDER).mkdir(mode=0o700)
        await SavedLoginFile(self.path / SESSIONS_FOLDER / "home.json").save({"skey": "secret"})


Story = Callable[[OpenStore], Awaitable[None]]


def living(path: Path) -> None:
    """A store in which a bridge has lived, and which is closed."""

    async def story() -> None:
        open_store = await OpenStore.open(path)
        await open_store.live()
        await open_store.close()

    asyncio.run(story())


def opened(path: Path, story: Story) -> None:
    async def whole() -> None:
        open_store = await OpenStore.open(path)
        try:
            await story(open_store)
        finally:
            await open_store.close()

    asyncio.run(whole())


def packed(path: Path, *, media: bool = False) -> bytes:
    out = io.BytesIO()
    create_backup(path, out, path.parent, media=media)
    return out.getvalue()


def put(data: bytes, path: Path, *, force: bool = False) -> str:
    return restore_store(path, io.BytesIO(data), force=force).stream


@pytest.fixture
def old(tmp_path: Path) -> Path:
    living(tmp_path / "old")
    return tmp_path / "old"


def test_a_moved_store_goes_on_where_it_was(old: Path, tmp_path: Path) -> None:
    data = packed(old, media=True)
    stream = put(data, tmp_path / "new")

    async def story(open_store: OpenStore) -> None:
        at = await open_store.journal.open()
        assert (at.cursor, at.login_id, at.seq) == (C1, "login", 2)
        assert [row.topic for row in await open_store.journal.outbox.list_waiting(0, 10)] == [
            "wx/in/wife"
        ] * 2
        people, levels = await StoredPeople(open_store.database, "home").load()
        assert ([one.topic_name for one in people], levels) == (["wife"], {"wife": 1})
        assert await SavedLoginFile(open_store.path / SESSIONS_FOLDER / "home.json").load() == {
            "skey": "secret"
        }
        found = await open_store.journal.media.get("m")
        assert found is not None
        assert found.blob is not None
        assert open_store.blobs.exists(found.blob)
        assert json.loads((open_store.path / PEOPLE_FILE_NAME).read_bytes())["accounts"].keys() == {"home"}
        assert open_store.journal.stream == stream

    opened(tmp_path / "new", story)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "new").rglob("*") if file.is_file()} == {
        0o600
    }


def test_what_waited_in_a_bridge_that_was_stopped_is_still_to_be_sent(old: Path, tmp_path: Path) -> None:
    """Nothing else can have sent it: the very same row, which the broker may also deliver again."""
    put(packed(old), tmp_path / "new")

    async def story(open_store: OpenStore) -> None:
        rows = {
            row.command_id: row
            for row in await open_store.journal.commands.list_newest(CommandState.WAITING, limit=10)
        }
        assert rows.keys() == {"waits", "with-file"}
        assert {(row.unanswered, row.attempts, row.duplicate_possible) for row in rows.values()} == {
            (0, 0, False)
        }
        blob = rows["with-file"].blob
        assert blob is not None
        assert open_store.blobs.exists(blob), "also without --media"
        (again,) = await open_store.journal.commands.accept([command("x", delivery=mark(7, dup=True))])
        assert again.row is not None
        assert again.row.command_id == "waits"

    opened(tmp_path / "new", story)


def test_what_waited_in_a_bridge_that_went_on_is_not_sent_again(old: Path, tmp_path: Path) -> None:
    """It may have sent them since; the sender ends what has so many unanswered attempts with `uncertain`."""
    data = io.BytesIO()

    async def beside(open_store: OpenStore) -> None:
        made = await asyncio.to_thread(create_backup, open_store.path, data, tmp_path, media=False)
        assert made.head.running is True

    opened(old, beside)
    put(data.getvalue(), tmp_path / "new")

    async def story(open_store: OpenStore) -> None:
        rows = await open_store.journal.commands.list_newest(CommandState.WAITING, limit=10)
        assert {(row.unanswered, row.attempt_open, row.duplicate_possible) for row in rows} == {
            (RESTORED_UNANSWERED, False, True)
        }
        assert {row.command_id for row in rows} == {"waits", "with-file"}
        settled = await open_store.journal.commands.list_newest(CommandState.FINISHED, limit=10)
        assert [row.command_id for row in settled] == ["over"]
        assert len(await open_store.journal.commands.list_unanswered(0)) == 2, "their echoes are expected"

    opened(tmp_path / "new", story)


def test_numbers_that_are_given_again_have_another_stream(old: Path, tmp_path: Path) -> None:
    data = packed(old)
    streams = set()

    async def lives_on(open_store: OpenStore) -> None:
        await open_store.journal.received.record([message("c")], NO_CHANGES, C1, "login")
        (newest,) = (await open_store.journal.history.find(HistoryQuery(limit=1)))[0]
        body = json.loads(newest.payload)
        streams.add((body["stream"], body["seq"]))

    opened(old, lives_on)
    put(data, old, force=True)
    opened(old, lives_on)
    (one, first), (other, second) = sorted(streams)
    assert first == second == 3
    assert one != other


async def _writing(open_store: OpenStore, stop: asyncio.Event) -> int:
    count = 0
    while not stop.is_set():
        await open_store.journal.received.record(
            [message(f"{count}-{number}") for number in range(5)], NO_CHANGES, Cursor(str(count)), "login"
        )
        count += 1
    return count


def test_a_backup_beside_a_bridge_that_writes_holds_whole_commits(tmp_path: Path) -> None:
    datas: list[bytes] = []

    async def story(open_store: OpenStore) -> None:
        stop = asyncio.Event()
        writing = asyncio.create_task(_writing(open_store, stop))
        datas.extend([await asyncio.to_thread(packed, open_store.path) for _ in range(5)])
        stop.set()
        assert await writing > 5

    opened(tmp_path / "old", story)
    seqs = []
    for number, data in enumerate(datas):
        put(data, tmp_path / str(number))
        with closing(sqlite3.connect(tmp_path / str(number) / DATABASE_NAME)) as connection:
            cursor, seq = connection.execute("SELECT cursor, seq FROM account").fetchone()
            (count,) = connection.execute("SELECT count(*) FROM publication").fetchone()
        assert seq == count == (0 if cursor is None else 5 * (int(cursor) + 1))
        seqs.append(seq)
    assert seqs == sorted(seqs)


def test_a_store_that_is_there_stays_as_it_is(old: Path, tmp_path: Path) -> None:
    data = packed(old)
    living(tmp_path / "new")
    before = contents_below(tmp_path / "new")
    with pytest.raises(BadBackup) as caught:
        put(data, tmp_path / "new")
    assert caught.value.key == "restore_not_empty"
    assert contents_below(tmp_path / "new") == before


def test_with_force_it_is_put_aside_whole(old: Path, tmp_path: Path) -> None:
    data = packed(old)
    living(tmp_path / "new")
    before = contents_below(tmp_path / "new")
    done = restore_store(tmp_path / "new", io.BytesIO(data), force=True)
    assert done.replaced is not None
    assert contents_below(done.replaced) == before


def test_a_store_in_use_is_not_touched_even_with_force(old: Path, tmp_path: Path) -> None:
    data = packed(old)

    async def story(open_store: OpenStore) -> None:
        before = contents_below(open_store.path)
        with pytest.raises(StoreLocked):
            await asyncio.to_thread(put, data, open_store.path, force=True)
        assert contents_below(open_store.path) == before

    opened(tmp_path / "new", story)


def test_a_store_of_a_newer_version_can_be_backed_up_but_not_restored(old: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(old / DATABASE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {newest_version() + 1}")
    data = packed(old)
    living(tmp_path / "new")
    before = contents_below(tmp_path / "new")
    with pytest.raises(StoreTooNew, match="install the newer one"):
        put(data, tmp_path / "new", force=True)
    assert contents_below(tmp_path / "new") == before


def test_a_store_of_the_first_version_comes_back_and_moves_forward(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    script = (Path(__file__).parent / "version_1.sql").read_text()
    with closing(sqlite3.connect(tmp_path / "old" / DATABASE_NAME)) as connection:
        connection.executescript(script)
        connection.execute("PRAGMA user_version = 1")
    data = packed(tmp_path / "old")
    with closing(sqlite3.connect(tmp_path / "old" / DATABASE_NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,), "a backup migrates nothing"
    stream = put(data, tmp_path / "new")

    async def story(open_store: OpenStore) -> None:
        assert open_store.journal.stream == stream

    opened(tmp_path / "new", story)
    with closing(sqlite3.connect(tmp_path / "new" / DATABASE_NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (newest_version(),)


def test_a_database_that_is_none_is_refused(old: Path, tmp_path: Path) -> None:
    living(tmp_path / "new")
    before = contents_below(tmp_path / "new")
    (tmp_path / "x").write_bytes(b"no database at all")
    entry = measure_file(tmp_path / "x")
    told = telling(files={"wx2mqtt.db": {"size": entry.size, "sha256": entry.sha256}})
    for data, word in (
        (crafted(("wx2mqtt.db", b"no database at all"), told=told), "backup_damaged"),
        (crafted(told=telling()), "backup_incomplete"),
    ):
        with pytest.raises(BadBackup) as caught:
            put(data, tmp_path / "new", force=True)
        assert caught.value.key == word
        assert contents_below(tmp_path / "new") == before


def test_where_there_is_no_store_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(BadBackup) as caught:
            packed(path)
        assert caught.value.key == "backup_no_store"


def test_nothing_is_left_beside_the_backup(old: Path, tmp_path: Path) -> None:
    packed(old, media=True)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_what_others_put_into_the_folder_does_not_go_along(old: Path, tmp_path: Path) -> None:
    (old / "media" / "ab").mkdir()
    (old / "media" / "ab" / "notes.txt").write_text("mine")
    (old / "media" / "ab" / "folder").mkdir()
    (old / SESSIONS_FOLDER / "Copy of home.json").write_text("{}")
    put(packed(old, media=True), tmp_path / "new")
    names = {file.name for file in (tmp_path / "new").rglob("*")}
    assert not names & {"notes.txt", "folder", "Copy of home.json"}


def test_without_media_only_what_has_still_to_be_sent_goes_along(old: Path, tmp_path: Path) -> None:
    put(packed(old), tmp_path / "few")
    put(packed(old, media=True), tmp_path / "all")
    few, every = (
        {file.name for file in path.glob("media/*/*")} for path in (tmp_path / "few", tmp_path / "all")
    )
    assert (len(few), len(every)) == (1, 2)
    assert few < every


def contents_below(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every byte below, and when it was written; but for the lock, which says who looked last."""
    return {
        str(place.relative_to(folder) / name): found
        for place in (folder, *(path for path in folder.rglob("*") if path.is_dir()))
        for name, found in files(place).items()
        if name != "lock"
    }


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()
    }
