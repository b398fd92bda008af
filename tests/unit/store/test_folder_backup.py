"""After a backup and its restore nothing is lost or sent twice, and no store is replaced by mistake."""

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

from tests.unit.store.make import command, delivery_mark, media, message, person, picture, result
from tests.unit.store.test_backup_archive import header_fields, make_archive
from wx2mqtt.errors import BadBackup, StoreLocked, StoreTooNew
from wx2mqtt.model import Cursor
from wx2mqtt.store.backup_archive import measure_file
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

    async def fill(self) -> None:
        """Stores messages, people, a login, a picture, and commands that wait or are finished."""
        await StoredPeople(self.database, "home").save(PeopleChanges(persons=(person(1, "wife"),)))
        await self.journal.received.record([message("a"), picture("b", media("m"))], NO_CHANGES, C1, "login")
        blob = await self.blobs.store(b"\xff\xd8\xff a picture", 1000)
        await self.journal.media.mark_ready("m", blob, [])
        unsent = await self.blobs.store(b"%PDF-1.4 a file", 1000)
        await self.journal.commands.accept(
            [
                command("waits", delivery=delivery_mark(7)),
                replace(command("with-file"), blob=unsent),
                command("finished", result=result("finished")),
            ]
        )
        await PeopleFile(self.database, self.path / PEOPLE_FILE_NAME).write()
        (self.path / SESSIONS_FOLDER).mkdir(mode=0o700)
        await SavedLoginFile(self.path / SESSIONS_FOLDER / "home.json").save({"skey": "secret"})


Scenario = Callable[[OpenStore], Awaitable[None]]


def write_sample_store(path: Path) -> None:
    """Writes a store with some of everything, and closes it."""

    async def scenario() -> None:
        open_store = await OpenStore.open(path)
        await open_store.fill()
        await open_store.close()

    asyncio.run(scenario())


def run_on_store(path: Path, scenario: Scenario) -> None:
    """Opens the store, runs the scenario on it and closes it."""

    async def run() -> None:
        open_store = await OpenStore.open(path)
        try:
            await scenario(open_store)
        finally:
            await open_store.close()

    asyncio.run(run())


def make_backup(path: Path, *, media: bool = False) -> bytes:
    out = io.BytesIO()
    create_backup(path, out, path.parent, media=media)
    return out.getvalue()


def restore(data: bytes, path: Path, *, force: bool = False) -> str:
    """Restores a backup; returns the new stream id."""
    return restore_store(path, io.BytesIO(data), force=force).stream


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The folder of a closed store."""
    write_sample_store(tmp_path / "old")
    return tmp_path / "old"


def test_a_store_that_is_moved_by_a_backup_has_all_its_data(old: Path, tmp_path: Path) -> None:
    data = make_backup(old, media=True)
    stream = restore(data, tmp_path / "new")

    async def scenario(open_store: OpenStore) -> None:
        state = await open_store.journal.open()
        assert (state.cursor, state.login_id, state.seq) == (C1, "login", 2)
        assert [row.topic for row in await open_store.journal.outbox.list_waiting(0, 10)] == [
            "wx/in/wife"
        ] * 2
        people, topic_names = await StoredPeople(open_store.database, "home").load()
        assert ([person.topic_name for person in people], topic_names) == (["wife"], {"wife": 1})
        assert await SavedLoginFile(open_store.path / SESSIONS_FOLDER / "home.json").load() == {
            "skey": "secret"
        }
        row = await open_store.journal.media.get("m")
        assert row is not None
        assert row.blob is not None
        assert open_store.blobs.exists(row.blob)
        assert json.loads((open_store.path / PEOPLE_FILE_NAME).read_bytes())["accounts"].keys() == {"home"}
        assert open_store.journal.stream == stream

    run_on_store(tmp_path / "new", scenario)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "new").rglob("*") if file.is_file()} == {
        0o600
    }


def test_commands_that_waited_in_a_stopped_bridge_are_still_to_be_sent(old: Path, tmp_path: Path) -> None:
    """Nothing else can have sent them. The rows are the same, also for a delivery that the broker repeats."""
    restore(make_backup(old), tmp_path / "new")

    async def scenario(open_store: OpenStore) -> None:
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
        (again,) = await open_store.journal.commands.accept(
            [command("x", delivery=delivery_mark(7, dup=True))]
        )
        assert again.row is not None
        assert again.row.command_id == "waits"

    run_on_store(tmp_path / "new", scenario)


def test_commands_that_waited_in_a_bridge_that_ran_on_are_not_sent_again(old: Path, tmp_path: Path) -> None:
    """It may have sent them since. The sender ends a command with so many unanswered attempts as uncertain."""
    data = io.BytesIO()

    async def back_up(open_store: OpenStore) -> None:
        summary = await asyncio.to_thread(create_backup, open_store.path, data, tmp_path, media=False)
        assert summary.head.running is True

    run_on_store(old, back_up)
    restore(data.getvalue(), tmp_path / "new")

    async def scenario(open_store: OpenStore) -> None:
        rows = await open_store.journal.commands.list_newest(CommandState.WAITING, limit=10)
        assert {(row.unanswered, row.attempt_open, row.duplicate_possible) for row in rows} == {
            (RESTORED_UNANSWERED, False, True)
        }
        assert {row.command_id for row in rows} == {"waits", "with-file"}
        finished = await open_store.journal.commands.list_newest(CommandState.FINISHED, limit=10)
        assert [row.command_id for row in finished] == ["finished"]
        assert len(await open_store.journal.commands.list_unanswered(0)) == 2, "their echoes may still arrive"

    run_on_store(tmp_path / "new", scenario)


def test_seqs_that_are_given_again_after_a_restore_have_another_stream(old: Path, tmp_path: Path) -> None:
    data = make_backup(old)
    streams = set()

    async def record_message(open_store: OpenStore) -> None:
        await open_store.journal.received.record([message("c")], NO_CHANGES, C1, "login")
        (newest,) = (await open_store.journal.history.find(HistoryQuery(limit=1)))[0]
        body = json.loads(newest.payload)
        streams.add((body["stream"], body["seq"]))

    run_on_store(old, record_message)
    restore(data, old, force=True)
    run_on_store(old, record_message)
    (first_stream, first_seq), (second_stream, second_seq) = sorted(streams)
    assert first_seq == second_seq == 3
    assert first_stream != second_stream


async def _write_until(open_store: OpenStore, is_enough: asyncio.Event) -> int:
    count = 0
    while not is_enough.is_set():
        await open_store.journal.received.record(
            [message(f"{count}-{number}") for number in range(5)], NO_CHANGES, Cursor(str(count)), "login"
        )
        count += 1
    return count


def test_a_backup_that_is_made_while_the_bridge_writes_holds_whole_commits(tmp_path: Path) -> None:
    backups: list[bytes] = []

    async def scenario(open_store: OpenStore) -> None:
        is_enough = asyncio.Event()
        writing = asyncio.create_task(_write_until(open_store, is_enough))
        backups.extend([await asyncio.to_thread(make_backup, open_store.path) for _ in range(5)])
        is_enough.set()
        assert await writing > 5

    run_on_store(tmp_path / "old", scenario)
    seqs = []
    for number, data in enumerate(backups):
        restore(data, tmp_path / str(number))
        with closing(sqlite3.connect(tmp_path / str(number) / DATABASE_NAME)) as connection:
            cursor, seq = connection.execute("SELECT cursor, seq FROM account").fetchone()
            (count,) = connection.execute("SELECT count(*) FROM publication").fetchone()
        assert seq == count == (0 if cursor is None else 5 * (int(cursor) + 1))
        seqs.append(seq)
    assert seqs == sorted(seqs)


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    """The folder of another closed store, into which a backup is restored."""
    write_sample_store(tmp_path / "new")
    return tmp_path / "new"


def test_an_existing_store_is_replaced_with_force_only_and_kept_whole_in_another_folder(
    old: Path, existing: Path
) -> None:
    data, before = make_backup(old), contents_below(existing)
    with pytest.raises(BadBackup) as caught:
        restore(data, existing)
    assert caught.value.key == "restore_not_empty"
    assert contents_below(existing) == before
    done = restore_store(existing, io.BytesIO(data), force=True)
    assert done.replaced is not None
    assert contents_below(done.replaced) == before


def test_a_store_in_use_is_not_touched_even_with_force(old: Path, tmp_path: Path) -> None:
    data = make_backup(old)

    async def scenario(open_store: OpenStore) -> None:
        before = contents_below(open_store.path)
        with pytest.raises(StoreLocked):
            await asyncio.to_thread(restore, data, open_store.path, force=True)
        assert contents_below(open_store.path) == before

    run_on_store(tmp_path / "new", scenario)


def test_a_store_of_a_newer_version_can_be_backed_up_but_not_restored(old: Path, existing: Path) -> None:
    with closing(sqlite3.connect(old / DATABASE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {newest_version() + 1}")
    data, before = make_backup(old), contents_below(existing)
    with pytest.raises(StoreTooNew, match="install the newer one"):
        restore(data, existing, force=True)
    assert contents_below(existing) == before


def test_a_store_of_the_first_version_is_restored_and_migrated(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    script = (Path(__file__).parent / "version_1.sql").read_text()
    with closing(sqlite3.connect(tmp_path / "old" / DATABASE_NAME)) as connection:
        connection.executescript(script)
        connection.execute("PRAGMA user_version = 1")
    data = make_backup(tmp_path / "old")
    with closing(sqlite3.connect(tmp_path / "old" / DATABASE_NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,), "a backup migrates nothing"
    stream = restore(data, tmp_path / "new")

    async def scenario(open_store: OpenStore) -> None:
        assert open_store.journal.stream == stream

    run_on_store(tmp_path / "new", scenario)
    with closing(sqlite3.connect(tmp_path / "new" / DATABASE_NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (newest_version(),)


def test_a_backup_without_a_readable_database_is_refused(existing: Path, tmp_path: Path) -> None:
    before = contents_below(existing)
    (tmp_path / "x").write_bytes(b"no database at all")
    entry = measure_file(tmp_path / "x")
    header = header_fields(files={"wx2mqtt.db": {"size": entry.size, "sha256": entry.sha256}})
    for data, key in (
        (make_archive(("wx2mqtt.db", b"no database at all"), header=header), "backup_damaged"),
        (make_archive(header=header_fields()), "backup_incomplete"),
    ):
        with pytest.raises(BadBackup) as caught:
            restore(data, existing, force=True)
        assert caught.value.key == key
        assert contents_below(existing) == before


def test_a_folder_without_a_store_cannot_be_backed_up(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(BadBackup) as caught:
            make_backup(path)
        assert caught.value.key == "backup_no_store"


def test_files_of_others_in_the_folder_are_not_part_of_a_backup_which_leaves_no_temporary_file(
    old: Path, tmp_path: Path
) -> None:
    (old / "media" / "ab").mkdir()
    (old / "media" / "ab" / "notes.txt").write_text("mine")
    (old / "media" / "ab" / "folder").mkdir()
    (old / SESSIONS_FOLDER / "Copy of home.json").write_text("{}")
    data = make_backup(old, media=True)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    restore(data, tmp_path / "new")
    restored = {file.name for file in (tmp_path / "new").rglob("*")}
    assert not restored & {"notes.txt", "folder", "Copy of home.json"}


def test_a_backup_without_media_has_only_the_files_that_are_still_to_be_sent(
    old: Path, tmp_path: Path
) -> None:
    restore(make_backup(old), tmp_path / "few")
    restore(make_backup(old, media=True), tmp_path / "all")
    without_media, with_media = (
        {file.name for file in path.glob("media/*/*")} for path in (tmp_path / "few", tmp_path / "all")
    )
    assert (len(without_media), len(with_media)) == (1, 2)
    assert without_media < with_media


def contents_below(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Returns content and time of all files below, but for the lock, which names the last process."""
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in folder.rglob("*")
        if file.is_file() and file.name != "lock"
    }
