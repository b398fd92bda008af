"""SQL statements for SQLite and PostgreSQL, and inserts of many rows.

    _SET_BASE_TOPIC = Statement("UPDATE account SET base_topic = ? WHERE name = ?")
    connection.execute(_SET_BASE_TOPIC, ("wx", account))

A statement is written for SQLite. PostgreSQL gets the same with `$1` for `?1` and some other words
(`for_postgresql`); where that is not enough, the statement has a second text. What is stored in PostgreSQL
only has statements in its own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, count
from typing import Self, TypeVar

from wx2mqtt.store.database import Connection

T = TypeVar("T")

# How many rows one statement inserts: few sizes, so that SQLite uses its compiled statements again.
ROWS_PER_STATEMENT = (32, 8, 1)

_ONE_ROW = re.compile(r"VALUES (\([?, ]+\))")  # VALUES (?, ?, ?)


class Statement(str):
    """A statement as SQLite gets it; `postgresql` is the same statement for PostgreSQL."""

    __slots__ = ("twin",)

    #: The text for PostgreSQL, still with the placeholders and the words of SQLite.
    twin: str

    def __new__(cls, text: str, postgresql: str | None = None) -> Self:
        """`postgresql` is given where `for_postgresql` cannot make the statement of `text`."""
        statement = super().__new__(cls, text.strip())
        statement.twin = (text if postgresql is None else postgresql).strip()
        return statement

    @property
    def postgresql(self) -> str:
        return for_postgresql(self.twin)


def insert_rows(connection: Connection, statement: str, rows: Sequence[Sequence[object]]) -> None:
    """Runs `statement`, which ends with `VALUES (?, …)`, for all rows; the rows are equally long.

    Uses few statements. Each one makes the thread release the interpreter and wait for it again: fifty single
    inserts took 0.3 ms beside an idle event loop and 30 ms beside a busy one.
    """
    for several, values in insert_batches(statement, rows):
        connection.execute(several, values)


def insert_batches(
    statement: str, rows: Sequence[Sequence[object]]
) -> Iterator[tuple[Statement, tuple[object, ...]]]:
    """Yields the statements that insert all rows, with their values."""
    done = 0
    for row_count in ROWS_PER_STATEMENT:
        while len(rows) - done >= row_count:
            chunk = rows[done : done + row_count]
            yield with_rows(statement, row_count), tuple(chain.from_iterable(chunk))
            done += row_count


@cache
def with_rows(statement: str, row_count: int) -> Statement:
    """Returns an INSERT of one row as one of several rows."""

    def repeat_row(text: str) -> str:
        return _ONE_ROW.sub(lambda match: "VALUES " + ", ".join([match[1]] * row_count), text)

    twin = statement.twin if isinstance(statement, Statement) else None
    return Statement(repeat_row(statement), None if twin is None else repeat_row(twin))


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yields parts of a sequence: the rows of all items at once would be memory that the process keeps."""
    return (items[start : start + size] for start in range(0, len(items), size))


# The words of PostgreSQL

_LITERAL = re.compile(r"('[^']*')")  # 'sent'
_PLACEHOLDER = re.compile(r"\?(\d*)")  # ?1, or ?
_USER = re.compile(r'(?<!")\buser\b(?!")')  # a column, which PostgreSQL wants as "user"
_INSERT_OR_IGNORE = "INSERT OR IGNORE"

# The text of a JSON column may have a NUL, which no text of PostgreSQL has.
_JSON_FIELD = re.compile(r"json_extract\((\w+), '\$\.(\w+)'\)")  # json_extract(command, '$.user')
_JSON_FIELD_IN_POSTGRESQL = r"(replace(\1, '\\u0000', '\\ufffd')::json ->> '\2')"

# Other words of SQLite, each with what PostgreSQL has for it.
_WORDS = (
    (
        re.compile(r"CAST\(value AS INTEGER\) FROM json_each\((\?\d)\)"),
        r"value::bigint FROM jsonb_array_elements_text(\1::jsonb) AS value",
    ),
    (
        re.compile(r"value FROM json_each\((\?\d)\)"),
        r"value FROM jsonb_array_elements_text(\1::jsonb) AS value",
    ),
    (re.compile(r"\binstr\("), "strpos("),
    (re.compile(r"(?<=[ (])\+(?=[a-z])"), ""),  # before a column: keeps SQLite from using its index
)


@cache
def for_postgresql(text: str) -> str:
    """Returns a statement with the placeholders and the words of PostgreSQL."""
    numbers = count(1)
    pieces = _LITERAL.split(_JSON_FIELD.sub(_JSON_FIELD_IN_POSTGRESQL, text))
    for index in range(0, len(pieces), 2):  # every second one is a literal
        piece = pieces[index]
        for word, replacement in _WORDS:
            piece = word.sub(replacement, piece)
        piece = _PLACEHOLDER.sub(lambda match: f"${match[1] or next(numbers)}", piece)
        pieces[index] = _USER.sub('"user"', piece)
    changed = "".join(pieces)
    if changed.startswith(_INSERT_OR_IGNORE):
        return f"INSERT{changed.removeprefix(_INSERT_OR_IGNORE)} ON CONFLICT DO NOTHING"
    return changed
