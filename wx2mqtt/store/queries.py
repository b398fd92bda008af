"""SQL statements for both databases, inserts of many rows, values as text for columns.

    _SET_BASE_TOPIC = Statement("UPDATE account SET base_topic = ? WHERE name = ?")
    connection.execute(_SET_BASE_TOPIC, ("wx", account))

A statement is written for SQLite. PostgreSQL gets the same with `$1` for `?1` and some other words
(`for_postgresql`); where that is not enough, the statement has a second text. What is stored in PostgreSQL
only has statements in its own words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache
from itertools import chain, count
from typing import Self, TypeVar

from wx2mqtt.model import Blob, Json
from wx2mqtt.store.database import Connection
from wx2mqtt.store.files import sha256_in_media_name

T = TypeVar("T")

ROWS_PER_STATEMENT = (32, 8, 1)  # few sizes, so that SQLite reuses its compiled statements

_ONE_ROW = re.compile(r"VALUES (\([?, ]+\))")
_MIME_TYPE = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}", re.ASCII)
_MAX_SQLITE_INTEGER = 2**63 - 1
_BLOB_FIELDS = tuple(item.name for item in fields(Blob))


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
    twin = statement.twin if isinstance(statement, Statement) else statement
    texts = (
        _ONE_ROW.sub(lambda match: "VALUES " + ", ".join([match[1]] * row_count), text)
        for text in (statement, twin)
    )
    return Statement(*texts)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yields parts of a sequence: the rows of all items at once would be memory that the process keeps."""
    return (items[start : start + size] for start in range(0, len(items), size))


# Returns a value as JSON without spaces.
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_payload(body: Mapping[str, Json]) -> bytes:
    """Returns a payload as compact JSON in UTF-8; half of a surrogate pair becomes `?`."""
    return compact(dict(body)).encode("utf-8", "replace")


def storable_text(text: str) -> str:
    """Returns text that UTF-8 can hold: half of a surrogate pair must not fail a whole commit."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def bounded_integer(number: int) -> int:
    """Returns the nearest integer that a column can hold; times from WeChat may be absurd."""
    return min(max(number, -_MAX_SQLITE_INTEGER), _MAX_SQLITE_INTEGER)


def blob_to_text(blob: Blob | None) -> str | None:
    return None if blob is None else compact(asdict(blob))


def blob_from_text(text: str | None) -> Blob | None:
    """Returns the blob of a column, without fields that a newer version added.

    Returns None as well for a row of a forged backup that names anything but a media file of the store.
    """
    if text is None:
        return None
    blob = Blob(**{name: value for name, value in json.loads(text).items() if name in _BLOB_FIELDS})
    is_own = sha256_in_media_name(blob.path) == blob.sha256 and _MIME_TYPE.fullmatch(blob.mime)
    return blob if is_own and blob.size >= 0 else None


# The statements of PostgreSQL

_LITERAL = re.compile(r"('[^']*')")
_PLACEHOLDER = re.compile(r"\?(\d*)")
_USER = re.compile(r'(?<!")\buser\b(?!")')
_INSERT_OR_IGNORE = "INSERT OR IGNORE"
# Functions of SQLite, and those of PostgreSQL that return the same.
_FUNCTIONS = (
    (
        re.compile(r"CAST\(value AS INTEGER\) FROM json_each\((\?\d)\)"),
        r"value::bigint FROM jsonb_array_elements_text(\1::jsonb) AS value",
    ),
    (
        re.compile(r"value FROM json_each\((\?\d)\)"),
        r"value FROM jsonb_array_elements_text(\1::jsonb) AS value",
    ),
    (re.compile(r"\binstr\("), "strpos("),
    # Before a column, keeps SQLite from using its index.
    (re.compile(r"(?<=[ (])\+(?=[a-z])"), ""),
)


@cache
def for_postgresql(text: str) -> str:
    """Returns a statement with the placeholders and the words of PostgreSQL, where `user` has a meaning."""
    numbers = count(1)
    pieces = _LITERAL.split(text)
    for index in range(0, len(pieces), 2):  # every second one is a literal
        piece = pieces[index]
        for function, replacement in _FUNCTIONS:
            piece = function.sub(replacement, piece)
        piece = _PLACEHOLDER.sub(lambda match: f"${match[1] or next(numbers)}", piece)
        pieces[index] = _USER.sub('"user"', piece)
    changed = "".join(pieces)
    if changed.startswith(_INSERT_OR_IGNORE):
        return f"INSERT{changed.removeprefix(_INSERT_OR_IGNORE)} ON CONFLICT DO NOTHING"
    return changed
