"""A store is moved between SQLite and PostgreSQL with all its rows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.postgresql import empty_database
from tests.unit.store.make import command, message, record
from tests.unit.store.test_account_removal import MORE_THAN_TWO_BATCHES, fill
from wx2mqtt.errors import StoreError
from wx2mqtt.store import postgresql_backup
from wx2mqtt.store.account_removal import AccountRemoval
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.postgresql_backup import TABLES, copy_from_file, copy_to_file
from wx2mqtt.store.postgresql_database import PostgresqlDatabase
from wx2mqtt.store.snapshots import finish_snapshot
from wx2mqtt.store.sqlite_database import SqliteDatabase


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await SqliteDatabase.open(tmp_path / "other.db")
    yield opened
    await opened.close()


@pytest.fixture
async def postgresql() -> AsyncIterator[PostgresqlDatabase]:
    opened = await PostgresqlDatabase.open(empty_database())
    yield opened
    await opened.close()


def _dump(connection: Connection) -> dict[str, list[dict[str, object]]]:
    tables = {}
    for table, columns in TABLES.items():
        statement = f"SELECT * FROM {table} ORDER BY {', '.join(columns)}"
        rows = [{name: row[name] for name in row.keys()} for row in connection.named_rows(statement, ())]  # noqa: SIM118
        tables[table] = [row for row in rows if row.get("name") != "schema_version"]
    return tables


async def _fill(database: Database) -> None:
    journal = await fill(database, "home", MORE_THAN_TWO_BATCHES)
    await record(journal, message("nul\0", text="a\0b"), cursor="c\0")
    await fill(database, "other")
    await database.write("seen", lambda db: db.execute("INSERT INTO seen VALUES ('home', 'k', 1)"))


def _parts_of(path: Path) -> list[str]:
    return [part.name for part in path.parent.glob(f"{path.name}*")]


def _put_no_logins(_connection: Connection) -> None:
    """A store without saved logins."""


async def test_all_rows_move_to_postgresql_and_back(
    sqlite: SqliteDatabase, postgresql: PostgresqlDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_backup, "ROWS_PER_PAGE", 7)
    await _fill(sqlite)
    before = await sqlite.read(_dump)
    assert all(before.values())
    await copy_from_file(sqlite.path, postgresql, _put_no_logins)
    assert await postgresql.read(_dump) == before
    copy = tmp_path / "back.db"
    await copy_to_file(postgresql, copy)
    assert finish_snapshot(copy).accounts == ("home", "other")
    assert _parts_of(copy) == ["back.db"]
    back = await SqliteDatabase.open(copy)
    assert await back.read(_dump) == before
    await back.close()


async def test_the_rows_that_the_target_had_are_deleted(
    sqlite: SqliteDatabase, postgresql: PostgresqlDatabase
) -> None:
    await _fill(postgresql)
    journal = Journal(sqlite, "new")
    await journal.open()
    await copy_from_file(sqlite.path, postgresql, _put_no_logins)
    assert await AccountRemoval(postgresql).list_accounts() == ["new"]
    assert await postgresql.read(_dump) == await sqlite.read(_dump)


async def test_stream_seq_people_and_row_ids_continue_after_the_move(
    sqlite: SqliteDatabase, postgresql: PostgresqlDatabase
) -> None:
    await _fill(sqlite)
    journal = Journal(sqlite, "home")
    state = await journal.open()
    rows = await journal.outbox.list_waiting(0, 10_000)
    commands = await journal.commands.list_newest()
    await copy_from_file(sqlite.path, postgresql, _put_no_logins)
    moved = Journal(postgresql, "home")
    assert await moved.open() == state
    assert moved.stream == journal.stream
    assert await moved.outbox.list_waiting(0, 10_000) == rows
    assert await moved.commands.list_newest() == commands
    assert await StoredPeople(postgresql, "home").load() == await StoredPeople(sqlite, "home").load()
    recorded = await moved.received.record([message("after")], NO_CHANGES, None, "")
    assert recorded.seq == state.seq + 1
    assert recorded.outbox.last_id > rows[-1].id
    (accepted,) = await moved.commands.accept([command("after")])
    assert accepted.row is not None
    assert accepted.row.id > max(row.id for row in commands)


async def test_a_move_that_fails_leaves_the_target_as_it_was(
    sqlite: SqliteDatabase, postgresql: PostgresqlDatabase
) -> None:
    await _fill(postgresql)
    before = await postgresql.read(_dump)
    await _fill(sqlite)
    # SQLite stores any value in any column; a forged backup may have a text for a number.
    forged = "UPDATE deed SET created = 'yesterday'"
    await sqlite.write("forge", lambda db: db.execute(forged))
    with pytest.raises(StoreError):
        await copy_from_file(sqlite.path, postgresql, _put_no_logins)
    assert await postgresql.read(_dump) == before


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_snapshot_does_not_see_later_commits(
    sqlite: SqliteDatabase, postgresql: PostgresqlDatabase, kind: str, tmp_path: Path
) -> None:
    database: Database = sqlite if kind == "sqlite" else postgresql
    path = tmp_path / "other.db"
    writer = await SqliteDatabase.open(path) if kind == "sqlite" else database
    count = "SELECT count(*) FROM meta"

    def count_before_and_after(connection: Connection) -> tuple[int, int]:
        (before,) = connection.execute(count).fetchone()
        _write_from_outside(writer)
        (after,) = connection.execute(count).fetchone()
        return before, after

    def _write_from_outside(other: Database) -> None:
        other._writing.execute(other._begin_write)
        other._writing.execute("INSERT INTO meta (name, value) VALUES ('later', '')")
        other._writing.commit()

    before, after = await database.read_snapshot(count_before_and_after)
    assert before == after
    assert await database.read(lambda db: db.execute(count).fetchone()[0]) == before + 1
    if writer is not database:
        await writer.close()
