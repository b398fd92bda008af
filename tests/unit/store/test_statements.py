"""Every statement is used, and both databases understand it; rows are inserted in few statements."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from inspect import getsource
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

import pytest

from tests.support.rows import every_row
from tests.unit.store.make import on_postgresql, on_sqlite
from wx2mqtt import cluster, store
from wx2mqtt.store import (
    command_acceptance,
    commands,
    history,
    journal,
    journal_retention,
    media,
    media_retention,
    outbox,
    people,
    questions,
    received_messages,
    requests,
    stored_commands,
    traffic,
)
from wx2mqtt.store.database import Connection, Database, json_list
from wx2mqtt.store.postgresql_backup import TABLES
from wx2mqtt.store.postgresql_database import newest_schema_version
from wx2mqtt.store.sqlite_database import SqliteConnection, SqliteDatabase, newest_version
from wx2mqtt.store.statements import Statement, for_postgresql, insert_rows, with_rows

STATEMENT = "INSERT INTO pair (a, b)\nVALUES (?, ?)"


@pytest.fixture
def connection() -> Iterator[SqliteConnection]:
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=SqliteConnection)
    connection.execute("CREATE TABLE pair (a, b)")
    yield connection
    connection.close()


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 31, 32, 33, 50, 100])
def test_all_rows_are_inserted_in_their_order(connection: SqliteConnection, count: int) -> None:
    rows = [(number, str(number)) for number in range(count)]
    insert_rows(connection, STATEMENT, rows)
    assert connection.execute("SELECT a, b FROM pair ORDER BY rowid").fetchall() == rows


def test_many_rows_are_inserted_in_few_statements(connection: SqliteConnection) -> None:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    insert_rows(connection, STATEMENT, [(number, "") for number in range(50)])
    assert len(statements) <= 5
    assert json.loads(json_list(number for number in (1, 2))) == [1, 2]


def _statements_of(package: ModuleType) -> dict[str, dict[str, Statement]]:
    """Returns the statements by the name of their module, then by their own."""
    modules = [
        import_module(f"{package.__name__}.{module_info.name}")
        for module_info in iter_modules(package.__path__)
    ]
    return {
        module.__name__.rpartition(".")[2]: {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, Statement) and f"\n{name} = Statement(" in getsource(module)
        }
        for module in modules
    }


STATEMENTS = {
    module: statements
    for module, statements in {**_statements_of(store), **_statements_of(cluster)}.items()
    if statements
}


# The modules of what is stored in PostgreSQL only.
POSTGRESQL_MODULES = {
    *("encrypted_logins", "operation_queue", "shared_marks"),
    *("postgresql_blobs", "postgresql_database", "tables"),
}


# The search index is a file of its own, which only SQLite has; its tests run each statement. These three run
# in the database.
DATABASE_STATEMENTS_OF_INDEX = ("_STORED_IDS", "_READ_STREAM", "_NEW_ROWS")


CODE = {
    path.stem: path.read_text()
    for package in (store, cluster)
    for path in Path(package.__path__[0]).glob("*.py")
}
ALL_CODE = "".join(CODE.values())


def _plan(connection: Connection, statement: str) -> list[str]:
    numbers = [int(number) for number in re.findall(r"\?(\d+)", statement)]
    count = max(numbers) if numbers else statement.count("?")
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", [None] * count)]


@pytest.mark.parametrize("module", sorted(STATEMENTS.keys() - POSTGRESQL_MODULES - {"search_index"}))
@on_sqlite
async def test_sqlite_understands_every_statement(database: Database, module: str) -> None:
    for statement in STATEMENTS[module].values():
        await database.read(partial(_plan, statement=statement))


@on_postgresql
@pytest.mark.parametrize("module", sorted(STATEMENTS))
async def test_postgresql_prepares_every_statement(database: Database, module: str) -> None:
    for name, statement in STATEMENTS[module].items():
        if module != "search_index" or name in DATABASE_STATEMENTS_OF_INDEX:
            await database.read(partial(_prepare, name=f"{module}{name}", statement=statement.postgresql))


def _prepare(connection: Connection, name: str, statement: str) -> None:
    connection.execute(f"PREPARE {name} AS {statement}")
    connection.execute(f"DEALLOCATE {name}")


@every_row("module", sorted(STATEMENTS))
def test_a_second_text_for_postgresql_differs_from_what_is_made_of_the_first(module: str) -> None:
    for name, statement in STATEMENTS[module].items():
        if statement.twin != str(statement):
            assert statement.postgresql != for_postgresql(str(statement)), f"{name} needs no second text"


def test_the_newest_schemas_of_both_databases_have_the_same_version() -> None:
    assert newest_schema_version() == newest_version()


@on_postgresql
async def test_the_tables_of_both_databases_have_the_same_columns(database: Database, tmp_path: Path) -> None:
    sqlite = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
    tables = await database.read(_postgresql_columns)
    for name in ONLY_IN_POSTGRESQL:
        tables.pop(name)
    columns = {name: await sqlite.read(partial(_sqlite_columns, table=name)) for name in tables}
    await sqlite.close()
    assert tables.keys() == TABLES.keys()
    assert tables == columns


# In a folder these are files, or concern several instances, which only PostgreSQL has.


# In a folder these are files, or concern several instances, which only PostgreSQL has.
ONLY_IN_POSTGRESQL = (
    *("drained", "login", "login_key", "login_number", "media_file", "media_piece", "operation", "mark"),
    *("instance", "ownership"),
)


def _postgresql_columns(connection: Connection) -> dict[str, set[str]]:
    columns: dict[str, set[str]] = {}
    for table, column in connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    ):
        columns.setdefault(table, set()).add(column)
    return columns


def _sqlite_columns(connection: Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


@every_row(
    ("text", "translated"),
    [
        ("SELECT ?, ?", "SELECT $1, $2"),
        ("SELECT ?2 WHERE ?1 = ?2", "SELECT $2 WHERE $1 = $2"),
        ("SELECT user FROM a WHERE b.user = '$.user?'", 'SELECT "user" FROM a WHERE b."user" = \'$.user?\''),
        (
            "SELECT json_extract(a, '$.user') FROM b",
            r"SELECT (replace(a, '\u0000', '\ufffd')::json ->> 'user') FROM b",
        ),
        ("INSERT OR IGNORE INTO a (b)\nVALUES (?)", "INSERT INTO a (b)\nVALUES ($1) ON CONFLICT DO NOTHING"),
    ],
)
def test_a_statement_is_translated_for_postgresql(text: str, translated: str) -> None:
    assert for_postgresql(text) == translated


def test_the_parameters_of_several_rows_are_numbered() -> None:
    statement = Statement(
        "INSERT INTO a VALUES (?, ?)", "INSERT INTO a VALUES (?, ?)\nON CONFLICT DO NOTHING"
    )
    assert with_rows(statement, 2) == "INSERT INTO a VALUES (?, ?), (?, ?)"
    assert (
        with_rows(statement, 2).postgresql
        == "INSERT INTO a VALUES ($1, $2), ($3, $4)\nON CONFLICT DO NOTHING"
    )


@every_row("module", sorted(STATEMENTS))
def test_every_statement_is_used(module: str) -> None:
    """A private statement is used in its module, a public one anywhere."""
    for name in STATEMENTS[module]:
        assert len(re.findall(rf"\b{name}\b", CODE[module] if name.startswith("_") else ALL_CODE)) > 1, name


def test_the_statements_of_all_modules_are_found() -> None:
    count = sum(map(len, STATEMENTS.values()))
    assert count > 200
    assert count == len(re.findall(r"^\w+ = Statement\(", ALL_CODE, re.MULTILINE))


FREQUENT = [
    outbox._WAITING,
    outbox._WAITING_IN_TOPIC,
    outbox._MARK_PUBLISHED,
    outbox._DROP_TOPIC,
    outbox._DROP_EXPIRED,
    outbox._REJECTED,
    received_messages._KNOWN_KEYS,
    journal._NEWEST_PAYLOAD,
    command_acceptance._BY_IDS,
    command_acceptance._SAME_DELIVERY,
    command_acceptance._SIMILAR_DELIVERY,
    stored_commands._DUE,
    stored_commands._IS_SENT_MESSAGE,
    commands._IN_DOUBT,
    commands._RECOVER_ATTEMPTS,
    stored_commands._NEWEST,
    journal_retention._OLDEST_MESSAGES,
    journal_retention._FINISHED_TRANSIENT,
    journal_retention._DELETE_COMMANDS,
    journal._STATS,
    traffic._SEQ_BOUNDS,
    traffic._FIRST_MESSAGE_FROM,
    traffic._SENT_BY_HOUR,
    traffic._NOT_SENT_BY_HOUR,
    stored_commands._SENT_COMMAND,
    stored_commands._MESSAGE_BY_KEY,
    journal_retention._DELETE_REQUESTS,
    media._NEXT_DUE,
    media._MEDIA_BY_ID,
    media._MEDIA_OF_MESSAGES,
    media._NEWEST_AVATAR,
    media._MARK_READY,
    media._HELD_MESSAGES,
    media._HELD_MESSAGE,
    media_retention._DOWNLOADED_BEFORE,
    media_retention._OLDEST_OF_ACCOUNT,
    media_retention._TOTAL_BYTES,
    media_retention._MARK_GONE,
    media_retention._USED_HASHES,
    media_retention._FINISHED_PAGE,
    history._SEQ_RANGE,
    history._OLDEST,
    history._NEWEST,
    history._OLDEST_IN_CHAT,
    history._NEWEST_IN_CHAT,
    requests._KNOWN_ANSWER,
    people._TOPIC_NAME_CONFLICT,
    people._DELETE_TOPIC_NAMES,
    questions._ANSWER_QUESTION,
    questions._OF_ASKER,
    questions._CLOSE_QUESTION,
    questions._NEWEST_OF_PERSON,
    questions._BY_CARD,
]


@on_sqlite
async def test_no_frequent_statement_reads_a_whole_table(database: Database) -> None:
    for statement in FREQUENT:
        plan = await database.read(partial(_plan, statement=statement))
        scans = [
            step
            for step in plan
            if step.startswith("SCAN") and not re.search("json_each|CONSTANT|VIRTUAL TABLE", step)
            and not re.fullmatch(r"SCAN \(?subquery.*", step, re.IGNORECASE)
        ]  # fmt: skip
        assert not scans, (statement, plan)


@on_sqlite
async def test_rows_that_are_named_by_id_are_found_by_it(database: Database) -> None:
    """Pruning once read all keys of an account for each batch: 50 million keys for 100,000 messages."""
    for statement in (
        journal_retention._KEEP_KEYS,
        journal_retention._DELETE_PUBLICATIONS,
        outbox._MARK_PUBLISHED,
    ):
        plan = await database.read(partial(_plan, statement=statement))
        searches = [step for step in plan if step.startswith("SEARCH publication")]
        assert len(searches) == 1, statement
        assert "INTEGER PRIMARY KEY" in searches[0], plan


@on_sqlite
async def test_an_attempt_is_stored_without_reading_other_waiting_commands(database: Database) -> None:
    """Once all waiting commands were read for each attempt: with 10,000 of them it took twice the CPU."""
    marks = (
        commands._START_ATTEMPT,
        commands._MARK_NOT_DELIVERED,
        commands._MARK_UNCERTAIN,
        commands._FINISH,
    )
    for statement in marks:
        plan = await database.read(partial(_plan, statement=statement))
        assert not [step for step in plan if "command_waiting" in step and "id=?" not in step], plan


@on_sqlite
async def test_waiting_rows_are_read_in_order_without_sorting(database: Database) -> None:
    sorted_by_index = [
        outbox._WAITING,
        stored_commands._DUE,
        media._NEXT_DUE,
        media._NEWEST_AVATAR,
        media_retention._DOWNLOADED_BEFORE,
        media_retention._OLDEST_OF_ACCOUNT,
        media_retention._OLDEST_OF_STORE,
        media_retention._FINISHED_PAGE,
        history._OLDEST,
        history._NEWEST,
    ]
    for statement in sorted_by_index:
        plan = await database.read(partial(_plan, statement=statement))
        assert not [step for step in plan if "TEMP B-TREE" in step], plan
