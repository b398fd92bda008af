"""Copies of the database of a store as one file: for a backup, and from a backup.

    snapshot = take_snapshot(store / "wx2mqtt.db", copy)  # the bridge may run meanwhile
    snapshot = inspect_snapshot(copy)                     # of a backup, which may be damaged or forged

All functions block.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from wx2mqtt.bounded_json import JsonOutOfBounds
from wx2mqtt.errors import StoreError
from wx2mqtt.limits import STORED_JSON
from wx2mqtt.model import Blob
from wx2mqtt.store.atomic_files import database_error
from wx2mqtt.store.column_values import blob_from_text
from wx2mqtt.store.folder import new_stream_id
from wx2mqtt.store.sqlite_database import migrations
from wx2mqtt.store.statements import Statement
from wx2mqtt.values import frozen

# The first version of the store whose commands have files.
_FIRST_VERSION_WITH_FILES = 2

# The columns with JSON, of which older stores have some only.
_JSON_COLUMNS = {
    "account": {"announced", "owner"},
    "publication": {"payload", "private"},
    "command": {"replies", "result", "command", "blob"},
    "person": {"profile"},
    "media": {"ref", "blob"},
    "question": {"buttons"},
    "deed": {"answer"},
}

# The compared part of a statement of a schema; no migration has a longer one.
_COMPARED_CHARACTERS = 10_000

_SQL_TOKEN = re.compile(r"'[^']*'|--[^\n]*|\w+|\S")

_SchemaObject = tuple[str, str, str, tuple[str, ...]]

# The wait for a lock of another connection.
_BUSY_TIMEOUT_SECONDS = 10.0


@frozen
class StoreSnapshot:
    """The content of a database copy."""

    version: int
    stream: str
    accounts: tuple[str, ...]
    messages: int
    #: The files that waiting commands need.
    unsent: tuple[Blob, ...]


def take_snapshot(source: Path, target: Path) -> StoreSnapshot:
    """Copies the database, without migration or repair. Raises `StoreError`."""
    with open_database(source) as database, open_database(target) as copy:
        database.backup(copy)
        return _finish(copy)


def finish_snapshot(path: Path) -> StoreSnapshot:
    """Makes a database that nobody uses a single file. Raises `StoreError`."""
    with open_database(path) as copy:
        return _finish(copy)


def _finish(copy: sqlite3.Connection) -> StoreSnapshot:
    copy.execute("PRAGMA journal_mode = DELETE").fetchone()  # one file, without -wal and -shm
    return _read_snapshot(copy)


def inspect_snapshot(path: Path) -> StoreSnapshot:
    """Reads a copy from elsewhere. Raises `StoreError` if it is damaged, or holds what no store holds."""
    with open_database(path) as copy:
        if not _has_own_schema(copy):
            raise StoreError(f"{path.name} has tables or indices that no store has.")
        if copy.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise StoreError(f"{path.name} is damaged.")
        if not _is_json_within_bounds(copy):
            raise StoreError(f"{path.name} has rows that cannot be read.")
        return _read_snapshot(copy)


def _has_own_schema(connection: sqlite3.Connection) -> bool:
    """Returns whether tables and indices are exactly those that the migrations of its version create.

    Anything else may run by itself when the database is read or written, such as a trigger, or refuse each
    row, such as a constraint.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    with closing(sqlite3.connect(":memory:")) as empty:
        for script in migrations()[:version]:
            empty.executescript(script)
        own = set(_schema(empty))
    present: set[_SchemaObject] = set()
    for schema_object in _schema(connection):
        if schema_object not in own:
            return False
        present.add(schema_object)
    return present == own


def _schema(connection: sqlite3.Connection) -> Iterator[_SchemaObject]:
    """Yields kind, name, table and tokens of all that a database has, but for what `ANALYZE` adds."""
    rows = connection.execute(
        "SELECT type, name, tbl_name, coalesce(substr(sql, 1, ?), '') FROM sqlite_master"
        " WHERE NOT (type = 'table' AND name IN ('sqlite_stat1', 'sqlite_stat4'))",
        (_COMPARED_CHARACTERS,),
    )
    for kind, name, table, statement in rows:
        yield kind, name, table, _tokens(statement)


def _tokens(statement: str) -> tuple[str, ...]:
    """Returns the tokens of a statement of a migration, without comments."""
    return tuple(token for token in _SQL_TOKEN.findall(statement) if not token.startswith("--"))


def _is_json_within_bounds(copy: sqlite3.Connection) -> bool:
    """Returns whether the bridge can parse every row: a forged one may be nested so deep that it cannot."""
    copy.create_function("is_within_bounds", 1, _is_within_bounds, deterministic=True)
    for table, columns in _JSON_COLUMNS.items():
        present = {name for _, name, *_ in copy.execute(f"PRAGMA table_info({table})")} & columns
        conditions = " OR ".join(f"NOT is_within_bounds({name})" for name in sorted(present))
        if conditions and copy.execute(f"SELECT 1 FROM {table} WHERE {conditions} LIMIT 1").fetchone():  # noqa: S608
            return False
    return True


def _is_within_bounds(value: object) -> bool:
    text = value.encode("utf-8", "replace") if isinstance(value, str) else value
    try:
        STORED_JSON.check(text if isinstance(text, bytes) else b"", exact=True)
    except JsonOutOfBounds:
        return False
    return True


def start_new_stream(path: Path, *, other_store_active: bool) -> str:
    """Gives a copy a new stream id, which makes it a store of its own; returns the id.

    With `other_store_active` the bridge ran on after the copy was made and may have sent the commands that
    wait in it. They become uncertain, so that none is sent twice.
    """
    stream = new_stream_id()
    with open_database(path) as copy, copy:
        copy.execute("BEGIN IMMEDIATE")
        copy.execute(_SET_STREAM, (stream,))
        if other_store_active:
            copy.execute(_MARK_WAITING_UNCERTAIN)
    return stream


@contextmanager
def open_database(path: Path) -> Iterator[sqlite3.Connection]:
    """Yields a connection of its own to a database. Raises `StoreError`."""
    try:
        with closing(
            sqlite3.connect(path, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise database_error(error, path) from error


def _read_snapshot(copy: sqlite3.Connection) -> StoreSnapshot:
    version: int = copy.execute("PRAGMA user_version").fetchone()[0]
    unsent: list[Blob | None] = []
    if version >= _FIRST_VERSION_WITH_FILES:
        unsent = [blob_from_text(text) for (text,) in copy.execute(_UNSENT_FILES)]
    stream = copy.execute(_READ_STREAM).fetchone()
    return StoreSnapshot(
        version=version,
        stream=stream[0] if stream else "",
        accounts=tuple(name for (name,) in copy.execute(_ACCOUNTS)),
        messages=copy.execute(_MESSAGE_COUNT).fetchone()[0],
        unsent=tuple(blob for blob in unsent if blob is not None),
    )


# Statements

# Gives the copy another stream id: it may give a `seq` again that consumers have seen on messages which it
# does not contain.
_SET_STREAM = Statement("""
    INSERT INTO meta (name, value) VALUES ('stream', ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
""")

# The bridge that ran on after the backup may have sent these commands; to send twice is worse than to ask
# the owner. `RESTORED_UNANSWERED` ends a command. Its echo may still arrive, so one attempt is counted as
# made.
_MARK_WAITING_UNCERTAIN = Statement("""
    UPDATE command SET
        open = 0,
        unknown = 1000,
        attempts = attempts + 1,
        duplicate_possible = 1
    WHERE status IS NULL
""")

# Files that commands have still to send.
_UNSENT_FILES = Statement("SELECT DISTINCT blob FROM command WHERE status IS NULL AND blob IS NOT NULL")

_READ_STREAM = Statement("SELECT value FROM meta WHERE name = 'stream'")

_ACCOUNTS = Statement("SELECT name FROM account ORDER BY name")

_MESSAGE_COUNT = Statement("SELECT count(*) FROM publication WHERE seq IS NOT NULL")
