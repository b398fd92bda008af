"""New, old, newer, damaged and unreachable database files are opened, migrated, set aside or refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.unit.store.conftest import unprivileged
from tests.unit.store.make import chmod, contents, message, modes, names, on_sqlite
from wx2mqtt.errors import StoreError, StoreTooNew
from wx2mqtt.store import sqlite_database
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.sqlite_database import SqliteDatabase

MESSAGES = 300
PAGE = 4096


async def _write_store(path: Path) -> None:
    database = await SqliteDatabase.open(path)
    journal = Journal(database, "home")
    await journal.open()
    items = [message(f"k{number}", text="x" * 200) for number in range(MESSAGES)]
    await journal.received.record(items, NO_CHANGES, None, "")
    await database.close()


async def _leave_killed_store(path: Path) -> None:
    """Leaves the files of a killed process: the WAL is not yet moved into the database."""
    other = path.parent / "other"
    other.mkdir()
    database = await SqliteDatabase.open(other / path.name)
    journal = Journal(database, "home")
    await journal.open()
    await database.checkpoint()
    items = [message(f"k{number}", text="x" * 200) for number in range(MESSAGES)]
    await journal.received.record(items, NO_CHANGES, None, "")
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


def _damage_header(path: Path) -> None:
    _overwrite(path, 0, 100)


def _damage_page(path: Path) -> None:
    _overwrite(path, 30 * PAGE, PAGE)


def _damage_first_page(path: Path) -> None:
    _overwrite(path, 0, PAGE)


def _cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _cut_to_ten_bytes(path: Path) -> None:
    os.truncate(path, 10)


def _fill_with_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _make_empty(path: Path) -> None:
    os.truncate(path, 0)


def _fill_with_random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(50_000))


Damage = Callable[[Path], None]


async def test_a_new_file_is_new_and_for_its_owner_only(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        database = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
        await Journal(database, "home").open()
        file_modes = modes(tmp_path)
    finally:
        os.umask(umask)
    assert database.is_new
    assert database.set_aside is None
    assert file_modes == dict.fromkeys(("wx2mqtt.db", "wx2mqtt.db-wal", "wx2mqtt.db-shm"), 0o600)
    await database.close()


async def test_files_that_everybody_may_read_get_the_mode_for_their_owner_only(tmp_path: Path) -> None:
    await _leave_killed_store(tmp_path / "wx2mqtt.db")
    for name in names(tmp_path):
        chmod(tmp_path / name, 0o644)
    database = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
    assert set(modes(tmp_path).values()) == {0o600}
    await database.close()


@on_sqlite
async def test_durable_settings_are_on(database: Database) -> None:
    def settings(connection: Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum")
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    values = await database.write("settings", settings)
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "auto_vacuum": 2}


async def test_a_second_start_finds_what_was_written(tmp_path: Path) -> None:
    await _write_store(tmp_path / "wx2mqtt.db")
    seq, database = await _count_messages(tmp_path / "wx2mqtt.db")
    assert seq == MESSAGES
    assert not database.is_new


async def test_opening_an_up_to_date_file_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "wx2mqtt.db"
    await _write_store(path)
    before = path.read_bytes()
    database = await SqliteDatabase.open(path)
    assert path.with_name("wx2mqtt.db-wal").stat().st_size == 0
    await database.close()
    assert path.read_bytes() == before


async def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    await _leave_killed_store(tmp_path / "wx2mqtt.db")
    seq, database = await _count_messages(tmp_path / "wx2mqtt.db")
    assert seq == MESSAGES
    assert database.set_aside is None


@pytest.mark.parametrize(
    "damage",
    [
        _damage_header,
        _damage_first_page,
        _damage_page,
        _cut_in_half,
        _cut_to_ten_bytes,
        _fill_with_zeros,
        _fill_with_random_bytes,
    ],
)
async def test_a_damaged_file_is_set_aside_and_a_new_one_made(tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "wx2mqtt.db"
    await _write_store(path)
    damage(path)
    damaged = path.read_bytes()
    seq, database = await _count_messages(path)
    assert seq == 0
    assert database.is_new
    assert database.set_aside is not None
    assert database.set_aside.name.startswith("wx2mqtt.db.damaged-")
    assert database.set_aside.read_bytes() == damaged


@pytest.mark.parametrize(
    "damage", [_cut_in_half, _cut_to_ten_bytes, _fill_with_zeros, _fill_with_random_bytes, _make_empty]
)
async def test_the_wal_of_a_damaged_file_is_set_aside_with_it(tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "wx2mqtt.db"
    await _leave_killed_store(path)
    damage(path)
    wal = path.with_name("wx2mqtt.db-wal").read_bytes()
    seq, database = await _count_messages(path)
    assert seq == 0
    set_aside = database.set_aside
    assert set_aside is not None
    assert set_aside.with_name(set_aside.name + "-wal").read_bytes() == wal
    assert set_aside.with_name(set_aside.name + "-shm").exists()


async def test_a_file_that_is_whole_with_its_wal_is_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "wx2mqtt.db"
    await _leave_killed_store(path)
    _damage_header(path)
    seq, database = await _count_messages(path)
    assert seq == MESSAGES
    assert database.set_aside is None


async def test_an_empty_file_without_wal_is_a_new_one(tmp_path: Path) -> None:
    """A disk that is full at the first start leaves one. If it were damage, each start would set one aside."""
    (tmp_path / "wx2mqtt.db").touch()
    seq, database = await _count_messages(tmp_path / "wx2mqtt.db")
    assert seq == 0
    assert database.is_new
    assert database.set_aside is None


async def test_a_file_without_tables_is_new(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "wx2mqtt.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    _, database = await _count_messages(tmp_path / "wx2mqtt.db")
    assert database.is_new


async def test_a_file_that_a_running_bridge_finds_damaged_is_set_aside_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wx2mqtt.db"
    await _write_store(path)
    # as with a file too large to be checked each time
    monkeypatch.setattr(sqlite_database, "QUICK_CHECK_MAX_BYTES", 0)
    for page in range(50, 70):
        _overwrite(path, page * PAGE, PAGE)
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
    ("end", "limit", "is_found"),
    [
        ("stopped", "QUICK_CHECK_MAX_BYTES", False),
        ("killed", "QUICK_CHECK_MAX_BYTES", True),
        ("killed", "FULL_CHECK_MAX_BYTES", False),
    ],
)
async def test_a_larger_file_is_checked_after_a_kill_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, limit: str, is_found: bool
) -> None:
    path = tmp_path / "wx2mqtt.db"
    await (_write_store if end == "stopped" else _leave_killed_store)(path)
    statements: list[str] = []

    def execute(connection: sqlite3.Connection, statement: str, *values: Any) -> sqlite3.Cursor:
        statements.append(statement)
        return sqlite3.Connection.execute(connection, statement, *values)

    monkeypatch.setattr(sqlite_database, limit, 0)
    monkeypatch.setattr(sqlite_database.SqliteConnection, "execute", execute)
    database = await SqliteDatabase.open(path)
    await database.close()
    assert ("PRAGMA quick_check(1)" in statements) is is_found


async def test_a_newer_file_is_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "wx2mqtt.db"
    await _write_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = contents(tmp_path)
    with pytest.raises(StoreTooNew, match="99"):
        await SqliteDatabase.open(path)
    assert contents(tmp_path) == before


async def test_a_newer_version_that_is_only_in_the_wal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wx2mqtt.db"
    await _write_store(path)
    (tmp_path / "other").mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
        for name in names(tmp_path):
            if name != "other":
                shutil.copy(tmp_path / name, tmp_path / "other")
    with pytest.raises(StoreTooNew):
        await SqliteDatabase.open(tmp_path / "other" / "wx2mqtt.db")
    with closing(sqlite3.connect(tmp_path / "other" / "wx2mqtt.db")) as connection:
        assert connection.execute("SELECT count(*) FROM publication").fetchone() == (MESSAGES,)


async def test_an_older_file_is_brought_up_to_date_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wx2mqtt.db"
    await _write_store(path)
    steps = [
        *sqlite_database.migrations(),
        "ALTER TABLE account ADD COLUMN two TEXT",
        "CREATE TABLE three (a)",
    ]
    monkeypatch.setattr(sqlite_database, "migrations", lambda: steps)
    seq, database = await _count_messages(path)
    assert seq == MESSAGES
    assert not database.is_new
    assert int.from_bytes(path.read_bytes()[60:64], "big") == len(steps)


async def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wx2mqtt.db"
    await _write_store(path)
    first = sqlite_database.migrations()
    monkeypatch.setattr(
        sqlite_database, "migrations", lambda: [*first, "CREATE TABLE two (a); SELECT * FROM none"]
    )
    with pytest.raises(StoreError):
        await SqliteDatabase.open(path)
    monkeypatch.setattr(sqlite_database, "migrations", lambda: first)
    seq, _ = await _count_messages(path)
    assert seq == MESSAGES
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'two'").fetchone() == (0,)


async def test_a_folder_without_write_right_is_reported_with_a_remedy(read_only_folder: Path) -> None:
    with unprivileged(), pytest.raises(StoreError, match=r"storage\.path"):
        await SqliteDatabase.open(read_only_folder / "wx2mqtt.db")


async def test_a_file_without_write_right_is_no_damage(read_only_folder: Path) -> None:
    chmod(read_only_folder, 0o777)
    await _write_store(read_only_folder / "wx2mqtt.db")
    chmod(read_only_folder / "wx2mqtt.db", 0o444)
    chmod(read_only_folder, 0o555)
    with unprivileged(), pytest.raises(StoreError, match=r"storage\.path"):
        await SqliteDatabase.open(read_only_folder / "wx2mqtt.db")
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
