"""Helpers for SQL: named statements from `sql/*.sql`, inserts of many rows, values as text for columns.

In `sql/*.sql` each statement starts with `-- name --`, mostly followed by a comment that describes it.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache
from itertools import chain
from pathlib import Path

from wx2mqtt.model import Blob, Json
from wx2mqtt.store.files import sha256_in_media_name

ROWS_PER_STATEMENT = (32, 8, 1)  # few sizes, so that SQLite reuses its compiled statements

SQL_FOLDER = Path(__file__).with_name("sql")

_NAME_LINE = re.compile(r"^-- (\w+) --$", re.MULTILINE)
_MIME_TYPE = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}", re.ASCII)
_MAX_SQLITE_INTEGER = 2**63 - 1
_BLOB_FIELDS = tuple(item.name for item in fields(Blob))


def load_queries(module: str) -> Mapping[str, str]:
    """Returns the statements of `sql/<module>.sql` by name."""
    text = (SQL_FOLDER / f"{module}.sql").read_text(encoding="utf-8")
    parts = _NAME_LINE.split(text)[1:]
    return {name: _statement(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _statement(body: str) -> str:
    lines = (line for line in body.splitlines() if line and not line.startswith("--"))
    return "\n".join(lines).rstrip(";")


def insert_rows(connection: sqlite3.Connection, statement: str, rows: Sequence[Sequence[object]]) -> None:
    """Runs `statement`, which ends with `VALUES (?, …)`, for all rows; the rows are equally long.

    Uses few statements. Each one makes the thread release the interpreter and wait for it again: fifty single
    inserts took 0.3 ms beside an idle event loop and 30 ms beside a busy one.
    """
    done = 0
    for count in ROWS_PER_STATEMENT:
        while len(rows) - done >= count:
            chunk = rows[done : done + count]
            connection.execute(_with_rows(statement, count), tuple(chain.from_iterable(chunk)))
            done += count


@cache
def _with_rows(statement: str, count: int) -> str:
    head, values, row = statement.rpartition("VALUES ")
    return head + values + ", ".join([row] * count)


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


def json_list(values: Iterable[Json]) -> str:
    """Returns the argument of `json_each`, with which one statement takes any number of values."""
    return json.dumps(list(values))


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
