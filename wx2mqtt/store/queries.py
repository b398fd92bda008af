"""Many rows with few statements.

Each statement of SQLite makes its thread give up the interpreter and ask for it again, and an event loop that
has work keeps it waiting: fifty single inserts took 0.3 ms beside an idle loop and 30 ms beside a busy one.

How values are written into rows: compact JSON, and text that UTF-8 can hold.

Half a surrogate pair from a stranger becomes `?`; it must not stop the batch that it came in.

Loads SQL that has names: each statement of `sql/*.sql` begins with `-- name --` and a sentence of why.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache
from importlib.resources import files
from itertools import chain

from wx2mqtt.model import Blob, Json

_SIZES = (32, 8, 1)  # rows of one statement: few sizes, so that SQLite's compiled statements are used again


def insert_rows(connection: sqlite3.Connection, statement: str, rows: Sequence[Sequence[object]]) -> None:
    """Run `statement`, which ends with `VALUES (?, …)`, for all rows; the rows are equally long."""
    done = 0
    for size in _SIZES:
        while len(rows) - done >= size:
            part = rows[done : done + size]
            connection.execute(_repeated(statement, size), tuple(chain.from_iterable(part)))
            done += size


@cache
def _repeated(statement: str, size: int) -> str:
    head, values, row = statement.rpartition("VALUES ")
    return head + values + ", ".join([row] * size)


_LARGEST = 2**63 - 1


_BLOB = tuple(item.name for item in fields(Blob))


compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_payload(body: Mapping[str, Json]) -> bytes:
    """A payload."""
    return compact(dict(body)).encode("utf-8", "replace")


def storable_text(text: str) -> str:
    """Text for a column."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def bounded_integer(number: int) -> int:
    """A number that a column can hold; a time beyond it is no time of ours."""
    return min(max(number, -_LARGEST), _LARGEST)


def json_list(values: Iterable[Json]) -> str:
    """Values for `json_each`: one statement, however many there are."""
    return json.dumps(list(values))


def blob_to_text(blob: Blob | None) -> str | None:
    """A blob for a column."""
    return None if blob is None else compact(asdict(blob))


def blob_from_text(text: str | None) -> Blob | None:
    """The blob of a column; keys that a newer version wrote are left out."""
    if text is None:
        return None
    return Blob(**{name: value for name, value in json.loads(text).items() if name in _BLOB})


_HEAD = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def load_queries(topic: str) -> Mapping[str, str]:
    """The statements of one file by name."""
    text = (files("wx2mqtt.store") / "sql" / f"{topic}.sql").read_text(encoding="utf-8")
    parts = _HEAD.split(text)[1:]
    return {name: _statement(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _statement(body: str) -> str:
    lines = (line for line in body.splitlines() if line and not line.startswith("--"))
    return "\n".join(lines).rstrip(";")
