"""The helpers for SQL, and the SQL files: every statement is used, and SQLite understands it."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wx2mqtt
from tests.support.rows import every_row
from tests.unit.store.make import blob, on_postgresql, on_sqlite
from wx2mqtt.store.database import Connection, Database, json_list
from wx2mqtt.store.database_backup import TABLES
from wx2mqtt.store.postgresql import newest_schema_version
from wx2mqtt.store.queries import (
    SQL_FOLDER,
    Statement,
    blob_from_text,
    blob_to_text,
    encode_payload,
    for_postgresql,
    insert_rows,
    load_queries,
    read_statements,
    storable_text,
    with_rows,
)
from wx2mqtt.store.sqlite_database import SqliteConnection, SqliteDatabase, newest_version

STATEMENT = "INSERT INTO pair (a, b)\nVALUES (?, ?)"


@pytest.fixture
def connection() -> Iterator[SqliteConnection]:
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=SqliteConnection)
    connection.execute("CREATE TABLE pair (a, b)")
    yield connection
    connection.close()


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 31, 32, 33, 50, 100])
def test_all_rows_go_in_in_their_order(connection: SqliteConnection, count: int) -> None:
    rows = [(number, str(number)) for number in range(count)]
    insert_rows(connection, STATEMENT, rows)
    assert connection.execute("SELECT a, b FROM pair ORDER BY rowid").fetchall() == rows


def test_few_statements_are_enough(connection: SqliteConnection) -> None:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    insert_rows(connection, STATEMENT, [(number, "") for number in range(50)])
    assert len(statements) <= 5


anything = st.text(st.characters())  # with single surrogates


@given(anything)
def test_every_text_can_be_stored(text: str) -> None:
    assert len(storable_text(text).encode()) >= len(text)


@given(st.text())
def test_text_that_utf8_can_hold_is_not_changed(text: str) -> None:
    assert storable_text(text) == text


@given(anything)
def test_every_body_can_be_written_and_is_json(text: str) -> None:
    assert set(json.loads(encode_payload({"text": text}))) == {"text"}


def test_a_body_is_compact_utf8() -> None:
    assert encode_payload({"a": "开灯", "b": 1}) == '{"a":"开灯","b":1}'.encode()


def test_half_a_pair_becomes_a_question_mark() -> None:
    assert storable_text("a\ud83d") == "a?"
    assert encode_payload({"a": "\ud83d"}) == b'{"a":"?"}'


def test_a_list_is_json() -> None:
    assert json.loads(json_list(number for number in (1, 2))) == [1, 2]


def test_a_blob_is_read_as_it_was_written() -> None:
    assert blob_from_text(blob_to_text(blob("x"))) == blob("x")
    assert blob_from_text(blob_to_text(None)) is None


def test_what_a_newer_version_knows_of_a_blob_is_left_out() -> None:
    text = json.dumps({**json.loads(blob_to_text(blob("x")) or ""), "colours": 3})
    assert blob_from_text(text) == blob("x")


FOLDER = SQL_FOLDER


MODULES = sorted(
    entry.name[:-4] for entry in FOLDER.iterdir() if entry.is_file() and not entry.name[0].isdigit()
)


POSTGRESQL_MODULES = sorted(
    path.stem for path in (FOLDER / "postgresql").glob("[a-z]*.sql") if path.stem not in MODULES
)
"""Those of what is stored in PostgreSQL only."""


SOURCES = [
    path for folder in ("store", "cluster") for path in (Path(wx2mqtt.__file__).parent / folder).glob("*.py")
]


CODE = "".join(path.read_text() for path in SOURCES)


def _plan(connection: Connection, statement: str) -> list[str]:
    numbers = [int(number) for number in re.findall(r"\?(\d+)", statement)]
    count = max(numbers) if numbers else statement.count("?")
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", [None] * count)]


# The index of `search_index.py` is a file of its own; its tests run each statement.
@pytest.mark.parametrize("module", [module for module in MODULES if module != "search_index"])
@on_sqlite
async def test_sqlite_understands_every_statement(database: Database, module: str) -> None:
    for statement in load_queries(module).values():
        await database.read(partial(_plan, statement=statement))


@on_postgresql
@pytest.mark.parametrize(
    "module", [*(module for module in MODULES if module != "search_index"), *POSTGRESQL_MODULES]
)
async def test_postgresql_prepares_every_statement(database: Database, module: str) -> None:
    for name, statement in load_queries(module).items():
        await database.read(partial(_prepare, name=f"{module}_{name}", statement=statement.postgresql))


def _prepare(connection: Connection, name: str, statement: str) -> None:
    connection.execute(f"PREPARE {name} AS {statement}")
    connection.execute(f"DEALLOCATE {name}")


@on_postgresql
async def test_postgresql_prepares_what_the_search_index_reads_in_the_database(database: Database) -> None:
    for name in ("stored_ids", "new_rows", "stream"):
        statement = load_queries("search_index")[name].postgresql
        await database.read(partial(_prepare, name=name, statement=statement))


@every_row("module", MODULES)
def test_each_statement_for_postgresql_has_one_for_sqlite_that_differs(module: str) -> None:
    path = FOLDER / "postgresql" / f"{module}.sql"
    common = load_queries(module)
    for name, text in (read_statements(path) if path.exists() else {}).items():
        assert name in common
        assert for_postgresql(text) != for_postgresql(str(common[name])), f"{name} needs no twin"


def test_the_newest_schemas_of_both_have_the_same_version() -> None:
    assert newest_schema_version() == newest_version()


@on_postgresql
async def test_the_tables_of_both_have_the_same_columns(database: Database, tmp_path: Path) -> None:
    sqlite = await SqliteDatabase.open(tmp_path / "wx2mqtt.db")
    tables = await database.read(_postgresql_columns)
    for name in ONLY_IN_POSTGRESQL:
        tables.pop(name)
    columns = {name: await sqlite.read(partial(_sqlite_columns, table=name)) for name in tables}
    await sqlite.close()
    assert tables.keys() == TABLES.keys()
    assert tables == columns


# What are files beside SQLite, and the instances that share a database.
ONLY_IN_POSTGRESQL = (
    "drained",
    "login",
    "login_key",
    "login_number",
    "media_file",
    "media_piece",
    "operation",
    "mark",
    "instance",
    "ownership",
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
        ("INSERT OR IGNORE INTO a (b)\nVALUES (?)", "INSERT INTO a (b)\nVALUES ($1) ON CONFLICT DO NOTHING"),
    ],
)
def test_a_statement_gets_the_words_of_postgresql(text: str, translated: str) -> None:
    assert for_postgresql(text) == translated


def test_more_rows_of_an_insert_are_numbered_on() -> None:
    statement = Statement(
        "INSERT INTO a VALUES (?, ?)", "INSERT INTO a VALUES (?, ?)\nON CONFLICT DO NOTHING"
    )
    assert with_rows(statement, 2) == "INSERT INTO a VALUES (?, ?), (?, ?)"
    assert (
        with_rows(statement, 2).postgresql
        == "INSERT INTO a VALUES ($1, $2), ($3, $4)\nON CONFLICT DO NOTHING"
    )


@every_row("module", [*MODULES, *POSTGRESQL_MODULES])
def test_every_statement_is_used(module: str) -> None:
    for name in load_queries(module):
        assert f'"{name}"' in CODE, f"{module}: {name}"


def test_every_statement_that_is_named_exists() -> None:
    """A typing error would show when the line runs only."""
    for path in SOURCES:
        code = path.read_text()
        for variable, module in re.findall(r'^(\w+) = load_queries\("(\w+)"\)$', code, re.MULTILINE):
            named = set(re.findall(rf'\b{variable}\["(\w+)"\]', code))
            assert named <= load_queries(module).keys(), path.name


FREQUENT = [
    ("outbox", "waiting"),
    ("outbox", "waiting_in_topic"),
    ("outbox", "mark_published"),
    ("outbox", "drop_topic"),
    ("outbox", "drop_expired"),
    ("outbox", "list_rejected"),
    ("received", "known_keys"),
    ("journal", "newest_payload"),
    ("commands", "by_ids"),
    ("commands", "same_delivery"),
    ("commands", "similar_delivery"),
    ("commands", "due"),
    ("commands", "is_sent_message"),
    ("commands", "in_doubt"),
    ("commands", "recover_attempts"),
    ("commands", "newest"),
    ("retention", "oldest_messages"),
    ("retention", "finished_transient"),
    ("retention", "delete_commands"),
    ("journal", "stats"),
    ("traffic", "seq_bounds"),
    ("traffic", "created_from"),
    ("traffic", "sent"),
    ("traffic", "not_sent"),
    ("commands", "sent_command"),
    ("commands", "message_by_key"),
    ("retention", "delete_requests"),
    ("media", "next_due"),
    ("media", "by_id"),
    ("media", "of_messages"),
    ("media", "newest_avatar"),
    ("media", "mark_ready"),
    ("media", "held_messages"),
    ("media", "held_message"),
    ("media_retention", "downloaded_before"),
    ("media_retention", "oldest_of_account"),
    ("media_retention", "total_bytes"),
    ("media_retention", "mark_gone"),
    ("media_retention", "used"),
    ("media_retention", "finished_page"),
    ("history", "seq_range"),
    ("history", "oldest"),
    ("history", "newest"),
    ("history", "oldest_in_chat"),
    ("history", "newest_in_chat"),
    ("requests", "known"),
    ("people", "level_conflict"),
    ("people", "delete_levels"),
    ("questions", "answer"),
    ("questions", "of_asker"),
    ("questions", "close"),
    ("questions", "newest_of_person"),
    ("questions", "by_card"),
]


@pytest.mark.parametrize(("module", "name"), FREQUENT)
@on_sqlite
async def test_no_frequent_statement_reads_a_whole_table(database: Database, module: str, name: str) -> None:
    plan = await database.read(lambda connection: _plan(connection, load_queries(module)[name]))
    scans = [
        step
        for step in plan
        if step.startswith("SCAN") and not re.search("json_each|CONSTANT|VIRTUAL TABLE", step)
        and not re.fullmatch(r"SCAN \(?subquery.*", step, re.IGNORECASE)
    ]  # fmt: skip
    assert not scans, plan


@on_sqlite
@pytest.mark.parametrize(
    ("module", "name"),
    [("retention", "keep_keys"), ("retention", "delete_publications"), ("outbox", "mark_published")],
)
async def test_rows_that_are_named_by_id_are_found_by_it(database: Database, module: str, name: str) -> None:
    """Pruning read all keys of the account for each batch of rows: of 100,000 messages, 50 million keys."""
    plan = await database.read(partial(_plan, statement=load_queries(module)[name]))
    searches = [step for step in plan if step.startswith("SEARCH publication")]
    assert len(searches) == 1
    assert "INTEGER PRIMARY KEY" in searches[0], plan


@on_sqlite
@pytest.mark.parametrize("name", ["start_attempt", "mark_not_delivered", "mark_uncertain", "finish"])
async def test_an_attempt_is_marked_without_reading_what_waits(database: Database, name: str) -> None:
    """Each command of 10,000 that waited took twice the CPU: all of them were read for each mark."""
    plan = await database.read(partial(_plan, statement=load_queries("commands")[name]))
    assert not [step for step in plan if "command_waiting" in step and "id=?" not in step], plan


@on_sqlite
async def test_what_waits_is_read_in_order_without_sorting(database: Database) -> None:
    sorted_by_index = [
        ("outbox", "waiting"),
        ("commands", "due"),
        ("media", "next_due"),
        ("media", "newest_avatar"),
        ("media_retention", "downloaded_before"),
        ("media_retention", "oldest_of_account"),
        ("media_retention", "oldest"),
        ("media_retention", "finished_page"),
        ("history", "oldest"),
        ("history", "newest"),
    ]
    for module, name in sorted_by_index:
        plan = await database.read(partial(_plan, statement=load_queries(module)[name]))
        assert not [step for step in plan if "TEMP B-TREE" in step], plan


def test_the_plain_sentences_are_left_out() -> None:
    assert all("--" not in statement for module in MODULES for statement in load_queries(module).values())
