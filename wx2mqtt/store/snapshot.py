"""The database of a store as it is at one moment, in a file of its own; and how a store goes on from one.

Opens connections of its own, beside a running bridge too: SQLite lets many read while one writes. Blocking.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob
from wx2mqtt.store.encoding import blob_of
from wx2mqtt.store.faults import database_trouble
from wx2mqtt.store.queries import queries
from wx2mqtt.store.stream import new_stream

_SQL = queries("snapshot")
_WITH_FILES = 2  # the version of the store from which on commands have files


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is in a copy: the store's version and name, and which files its waiting commands need."""

    version: int
    stream: str
    accounts: tuple[str, ...]
    messages: int
    unsent: tuple[Blob, ...]


def take(source: Path, target: Path) -> Snapshot:
    """Copy the database; neither is migrated nor repaired. Raises `StoreError`."""
    with _opened(source) as database, _opened(target) as copy:
        database.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()  # one file, without companions
        return _read(copy)


def look(path: Path) -> Snapshot:
    """What is in a copy that was made elsewhere. Raises `StoreError` where it is damaged or no store."""
    with _opened(path) as copy:
        if copy.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise StoreError(f"{path.name} is damaged.")
        return _read(copy)


def go_on_from(path: Path, *, others_went_on: bool) -> str:
    """Make the store that is to begin with this copy: it gets a new name, which is returned.

    Where the bridge went on after the copy was made, what waited in it may have been sent: nothing of that
    is sent again, and the results say that nobody knows.
    """
    stream = new_stream()
    with _opened(path) as copy, copy:
        copy.execute("BEGIN IMMEDIATE")
        copy.execute(_SQL["new_stream"], (stream,))
        if others_went_on:
            copy.execute(_SQL["doubt"])
    return stream


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, timeout=10.0, isolation_level=None)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise database_trouble(error, path) from error


def _read(copy: sqlite3.Connection) -> Snapshot:
    version: int = copy.execute("PRAGMA user_version").fetchone()[0]
    stream = copy.execute(_SQL["stream"]).fetchone()
    return Snapshot(
        version=version,
        stream=stream[0] if stream else "",
        accounts=tuple(name for (name,) in copy.execute(_SQL["accounts"])),
        messages=copy.execute(_SQL["messages"]).fetchone()[0],
        unsent=_unsent(copy) if version >= _WITH_FILES else (),
    )


def _unsent(copy: sqlite3.Connection) -> tuple[Blob, ...]:
    found = (blob_of(text) for (text,) in copy.execute(_SQL["unsent"]))
    return tuple(blob for blob in found if blob is not None)
