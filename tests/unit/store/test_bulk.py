"""Many rows with few statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from wx2mqtt.store.bulk import insert

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
    insert(connection, STATEMENT, rows)
    assert connection.execute("SELECT a, b FROM pair ORDER BY rowid").fetchall() == rows


def test_few_statements_are_enough(connection: sqlite3.Connection) -> None:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    insert(connection, STATEMENT, [(number, "") for number in range(50)])
    assert len(statements) <= 5
