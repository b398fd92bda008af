"""A copy of a database is accepted with exactly the tables and indices of its version."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.rows import every_row
from tests.unit.store.test_sqlite_database import write_version_1
from wx2mqtt.store import snapshots
from wx2mqtt.store.sqlite_database import SqliteDatabase


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database of a store of version 1."""
    return write_version_1(tmp_path / "wx2mqtt.db")


async def test_statistics_are_no_part_of_the_schema_and_every_index_is(path: Path) -> None:
    database = await SqliteDatabase.open(path)
    await database.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ANALYZE")
        assert snapshots._has_own_schema(connection)
        connection.execute("CREATE INDEX more ON publication (topic)")
        assert not snapshots._has_own_schema(connection)


@pytest.mark.parametrize(
    ("statement", "other"),
    [
        ("a TEXT, -- a comment\n  b TEXT", "a TEXT,\n  b TEXT -- another"),
        ("a TEXT DEFAULT ' '", "a  TEXT\nDEFAULT ' '"),
    ],
)
def test_comments_and_blanks_are_no_part_of_the_schema(statement: str, other: str) -> None:
    assert snapshots._tokens(statement) == snapshots._tokens(other)


@every_row(
    "other",
    ["a TEXT DEFAULT '--' CHECK (a = '\n')", "a TEXT DEFAULT ''''", "a TEXT DEFAULT '  '", "a TEXT DEFAULT"],
)
def test_a_quoted_text_is_part_of_the_schema_also_where_it_looks_like_a_comment(other: str) -> None:
    assert snapshots._tokens(other) != snapshots._tokens("a TEXT DEFAULT ' '")
