"""The helpers for SQL, and the SQL files: every statement is used, and SQLite understands it."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.store.make import blob
from wx2mqtt import store
from wx2mqtt.store.database import Database
from wx2mqtt.store.queries import (
    blob_from_text,
    blob_to_text,
    encode_payload,
    insert_rows,
    json_list,
    load_queries,
    storable_text,
)

STATEMENT = "INSERT INTO pair (a, b)\nVALUES (?, ?)"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE pair (a, b)")
    yield connection
    connection.close()


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 31, 32, 33, 50, 100])
def test_all_rows_go_in_in_their_order(connection: sqlite3.Connection, count: int) -> None:
    rows = [(number, str(number)) for number in range(count)]
    insert_rows(connection, STATEMENT, rows)
    assert connection.execute("SELECT a, b FROM pair ORDER BY rowid").fetchall() == rows


def test_few_statements_are_enough(connection: sqlite3.Connection) -> None:
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


FOLDER = files("wx2mqtt.store") / "sql"


MODULES = sorted(entry.name[:-4] for entry in FOLDER.iterdir() if not entry.name[0].isdigit())


CODE = "".join(path.read_text() for path in Path(store.__file__).parent.glob("*.py"))


def _plan(connection: sqlite3.Connection, statement: str) -> list[str]:
    numbers = [int(number) for number in re.findall(r"\?(\d+)", statement)]
    count = max(numbers) if numbers else statement.count("?")
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", [None] * count)]


# The index of `search_index.py` is a file of its own; its tests run each statement.
@pytest.mark.parametrize("module", [module for module in MODULES if module != "search_index"])
async def test_sqlite_understands_every_statement(database: Database, module: str) -> None:
    for statement in load_queries(module).values():
        await database.read(partial(_plan, statement=statement))


@pytest.mark.parametrize("module", MODULES)
def test_every_statement_is_used(module: str) -> None:
    for name in load_queries(module):
        assert f'"{name}"' in CODE, f"{module}: {name}"


FREQUENT = [
    ("outbox", "waiting"),
    ("outbox", "waiting_in_topic"),
    ("outbox", "mark_published"),
    ("outbox", "drop_topic"),
    ("outbox", "list_set_aside"),
    ("received", "known_keys"),
    ("account_state", "newest_payload"),
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
    ("retention", "stats"),
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
    ("media_retention", "needed"),
    ("media_retention", "finished_page"),
    ("history", "seq_range"),
    ("history", "oldest"),
    ("history", "newest"),
    ("history", "oldest_in_chat"),
    ("history", "newest_in_chat"),
    ("requests", "known"),
    ("people", "level_conflict"),
    ("people", "delete_levels"),
]


@pytest.mark.parametrize(("module", "name"), FREQUENT)
async def test_no_frequent_statement_reads_a_whole_table(database: Database, module: str, name: str) -> None:
    plan = await database.read(lambda connection: _plan(connection, load_queries(module)[name]))
    scans = [
        step
        for step in plan
        if step.startswith("SCAN") and not re.search("json_each|CONSTANT|VIRTUAL TABLE", step)
        and not re.fullmatch(r"SCAN \(?subquery.*", step, re.IGNORECASE)
    ]  # fmt: skip
    assert not scans, plan


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


@pytest.mark.parametrize("name", ["start_attempt", "mark_not_delivered", "mark_uncertain", "settle"])
async def test_an_attempt_is_marked_without_reading_what_waits(database: Database, name: str) -> None:
    """Each command of 10,000 that waited took twice the CPU: all of them were read for each mark."""
    plan = await database.read(partial(_plan, statement=load_queries("commands")[name]))
    assert not [step for step in plan if "command_waiting" in step and "id=?" not in step], plan


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
