"""New, old, newer, damaged and unreachable database files are opened, migrated, set aside or refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.unit.store.conftest import unprivileged
from tests.unit.store.make import chmod, contents, message, modes, names, on_sqlite, record
from wx2mqtt.errors import StoreError, StoreTooNew
from wx2mqtt.store import sqlite_database
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.sqlite_database import SqliteDatabase

MESSAGES = 300
PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wx2mqtt.db"


async def _write_store(path: Path, *, with_checkpoint: bool = False) -> SqliteDatabase:
    database = await SqliteDatabase.open(path)
    journal = Journal(database, "home")
    await journal.open()
    if with_checkpoint:
        await database.checkpoint()
    await record(journal, *(message(f"k{number}", text="x" * 200) for number in range(MESSAGES)))
    return database


async def _leave_stopped_store(path: Path) -> None:
    await (await _write_store(path)).close()


async def _leave_killed_store(path: Path) -> None:
    """Leaves the files of a killed process: the WAL is not yet moved into the database."""
    other = path.parent / "other"
    other.mkdir()
    database = await _write_store(other / path.name, with_checkpoint=True)
    for file in other.iterdir():
        shutil.copy(file, path.parent)
    await database.close()
    shutil.rmtree(other)


async def _count_messages(path: Path) -> tuple[int, SqliteDatabase]:
    database = await SqliteDatabase.open(path)
    seq = (await Journal(database, "home").open()).seq
    await database.close()
    return seq, database


def _overwrite(path: Path, start: int, length: int) -> None:
    data = bytearray(path.read_bytes())
    data[start : start + length] = os.urandom(length)
    path.write_bytes(data)


Damage = Callable[[Path], object]
DAMAGES: dict[str, Damage] = {
    "header": partial(_overwrite, start=0, length=100),
    "first page": partial(_overwrite, start=0, length=PAGE),
    "page": partial(_overwrite, start=30 * PAGE, length=PAGE),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut to ten bytes": lambda path: os.truncate(path, 10),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "random bytes": lambda path: path.write_bytes(os.urandom(50_000)),
    "empty": lambda path: os.truncate(path, 0),
}


async def test_a_new_file_is_new_and_for_its_owner_only(path: Path) -> None:
    umask = os.umask(0)
    try:
        database = await SqliteDatabase.open(path)
        await Journal(database, "home").open()
        file_modes = modes(path.parent)
    finally:
        os.umask(umask)
    assert (database.is_new, database.set_aside) == (True, None)
    assert file_modes == dict.fromkeys(("wx2mqtt.db", "wx2mqtt.db-wal", "wx2mqtt.db-shm"), 0o600)
    await database.close()


async def test_files_that_everybody_may_read_get_the_mode_for_their_owner_only(path: Path) -> None:
    await _leave_killed_store(path)
    for name in names(path.parent):
        chmod(path.parent / name, 0o644)
    database = await SqliteDatabase.open(path)
    assert set(modes(path.parent).values()) == {0o600}
    await database.close()


@on_sqlite
async def test_durable_settings_are_on(database: Database) -> None:
    def settings(connection: Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum")
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    values = await database.write("settings", settings)
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "auto_vacuum": 2}


@pytest.mark.parametrize(
    ("leave", "damage"),
    [
        (_leave_stopped_store, None),
        (_leave_killed_store, None),
        (_leave_killed_store, "header"),  # it is whole with its WAL
    ],
)
async def test_a_second_start_finds_what_was_written(path: Path, leave: Any, damage: str | None) -> None:
    await leave(path)
    if damage:
        DAMAGES[damage](path)
    seq, database = await _count_messages(path)
    assert (seq, database.is_new, database.set_aside) == (MESSAGES, False, None)


async def test_opening_an_up_to_date_file_writes_nothing(path: Path) -> None:
    await _leave_stopped_store(path)
    before = contents(path.parent)["wx2mqtt.db"][0]
    database = await SqliteDatabase.open(path)
    assert contents(path.parent)["wx2mqtt.db-wal"][0] == b""
    await database.close()
    assert contents(path.parent)["wx2mqtt.db"][0] == before


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "empty"])
async def test_a_damaged_file_is_set_aside_and_a_new_one_made(path: Path, damage: str) -> None:
    await _leave_stopped_store(path)
    DAMAGES[damage](path)
    damaged = contents(path.parent)["wx2mqtt.db"][0]
    seq, database = await _count_messages(path)
    assert (seq, database.is_new) == (0, True)
    assert database.set_aside is not None
    assert database.set_aside.name.startswith("wx2mqtt.db.damaged-")
    assert contents(path.parent)[database.set_aside.name][0] == damaged


@pytest.mark.parametrize("damage", ["cut in half", "cut to ten bytes", "zeros", "random bytes", "empty"])
async def test_the_wal_of_a_damaged_file_is_set_aside_with_it(path: Path, damage: str) -> None:
    await _leave_killed_store(path)
    DAMAGES[damage](path)
    wal = contents(path.parent)["wx2mqtt.db-wal"][0]
    seq, database = await _count_messages(path)
    assert seq == 0
    assert database.set_aside is not None
    files = contents(path.parent)
    assert files[f"{database.set_aside.name}-wal"][0] == wal
    assert f"{database.set_aside.name}-shm" in files


def _make_empty_file(path: Path) -> None:
    """A disk that is full at the first start leaves one. If it were damage, each start would set one aside."""
    path.touch()


def _make_file_without_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()


@pytest.mark.parametrize("make", [_make_empty_file, _make_file_without_tables])
async def test_a_file_that_is_empty_or_without_tables_is_new(path: Path, make: Damage) -> None:
    make(path)
    seq, database = await _count_messages(path)
    assert (seq, database.is_new, database.set_aside) == (0, True, None)


async def test_a_file_that_a_running_bridge_finds_damaged_is_set_aside_at_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _leave_stopped_store(path)
    # as with a file too large to be checked each time
    monkeypatch.setattr(sqlite_database, "QUICK_CHECK_MAX_BYTES", 0)
    _overwrite(path, 50 * PAGE, 20 * PAGE)
    database = await SqliteDatabase.open(path)
    assert database.set_aside is None
    with pytest.raises(StoreError, match="the next start sets it aside"):
        await Journal(database, "home").outbox.list_waiting(0, MESSAGES)
    await database.close()
    seq, database = await _count_messages(path)
    assert seq == 0
    assert database.set_aside is not None
    _, database = await _count_messages(path)
    assert database.set_aside is None


@pytest.mark.parametrize(
    ("leave", "limit", "is_found"),
    [
        (_leave_stopped_store, "QUICK_CHECK_MAX_BYTES", False),
        (_leave_killed_store, "QUICK_CHECK_MAX_BYTES", True),
        (_leave_killed_store, "FULL_CHECK_MAX_BYTES", False),
    ],
)
async def test_a_larger_file_is_checked_after_a_kill_only(
    path: Path, monkeypatch: pytest.MonkeyPatch, leave: Any, limit: str, is_found: bool
) -> None:
    await leave(path)
    statements: list[str] = []

    def execute(connection: sqlite3.Connection, statement: str, *values: Any) -> sqlite3.Cursor:
        statements.append(statement)
        return sqlite3.Connection.execute(connection, statement, *values)

    monkeypatch.setattr(sqlite_database, limit, 0)
    monkeypatch.setattr(sqlite_database.SqliteConnection, "execute", execute)
    database = await SqliteDatabase.open(path)
    await database.close()
    assert ("PRAGMA quick_check(1)" in statements) is is_found


async def test_a_newer_file_is_left_untouched(path: Path) -> None:
    await _leave_stopped_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = contents(path.parent)
    with pytest.raises(StoreTooNew, match="99"):
        await SqliteDatabase.open(path)
    assert contents(path.parent) == before


async def test_a_newer_version_that_is_only_in_the_wal_is_refused(path: Path) -> None:
    await _leave_stopped_store(path)
    other_path = path.parent / "other" / path.name
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
        shutil.copytree(path.parent, other_path.parent)
    with pytest.raises(StoreTooNew):
        await SqliteDatabase.open(other_path)
    with closing(sqlite3.connect(other_path)) as connection:
        assert connection.execute("SELECT count(*) FROM publication").fetchone() == (MESSAGES,)


async def test_an_older_file_is_brought_up_to_date_step_by_step(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _leave_stopped_store(path)
    more = ["ALTER TABLE account ADD COLUMN two TEXT", "CREATE TABLE three (a)"]
    steps = [*sqlite_database.migrations(), *more]
    monkeypatch.setattr(sqlite_database, "migrations", lambda: steps)
    seq, database = await _count_messages(path)
    assert (seq, database.is_new) == (MESSAGES, False)
    assert int.from_bytes(contents(path.parent)["wx2mqtt.db"][0][60:64], "big") == len(steps)


async def test_a_migration_that_fails_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _leave_stopped_store(path)
    steps = [*sqlite_database.migrations(), "CREATE TABLE two (a); SELECT * FROM none"]
    with monkeypatch.context() as patch, pytest.raises(StoreError):
        patch.setattr(sqlite_database, "migrations", lambda: steps)
        await SqliteDatabase.open(path)
    seq, _ = await _count_messages(path)
    assert seq == MESSAGES
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'two'").fetchone() == (0,)


async def test_a_folder_or_file_without_write_right_is_reported_with_a_remedy_and_no_damage(
    read_only_folder: Path,
) -> None:
    path = read_only_folder / "wx2mqtt.db"
    with unprivileged(), pytest.raises(StoreError, match=r"storage\.path"):
        await SqliteDatabase.open(path)
    chmod(read_only_folder, 0o777)
    await _leave_stopped_store(path)
    chmod(path, 0o444)
    chmod(read_only_folder, 0o555)
    with unprivileged(), pytest.raises(StoreError, match=r"storage\.path"):
        await SqliteDatabase.open(path)
    assert names(read_only_folder) == ["wx2mqtt.db"]


async def test_a_file_system_without_wal_is_refused_with_the_reason(tmp_path: Path) -> None:
    """A database in memory stays in another mode, as one on a network share does."""
    with closing(sqlite3.connect(":memory:")) as memory, pytest.raises(StoreError, match="local disk"):
        sqlite_database._configure(memory, tmp_path / "none")


async def test_a_database_that_another_program_has_locked_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_database, "BUSY_TIMEOUT_SECONDS", 0.01)
    path = tmp_path / "wx2mqtt.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="another program"):
            await SqliteDatabase.open(path)
    assert path.exists()
