"""The database as a file of SQLite: how it is used, and behind that how it is opened, checked and migrated.

SqliteDatabase.open(path)    the file of a newer wx2mqtt  ->  StoreTooNew, and it stays as it is
                             a damaged file               ->  renamed, and a new one begun
                             an older one                 ->  migrated
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog
from typing_extensions import override

from wx2mqtt.errors import StoreError
from wx2mqtt.store.atomic_files import (
    database_error,
    file_error,
    is_damage,
    make_private_file,
    open_to_read,
    quarantine,
)
from wx2mqtt.store.database import (
    Connection,
    Database,
    JobOutcome,
    NamedRow,
    OnCommitPoint,
    QueuedJob,
    ignore_commit_point,
    refuse_newer,
)
from wx2mqtt.store.statements import insert_rows
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

MIGRATIONS_FOLDER = Path(__file__).with_name("sql")

WAL_SUFFIXES = ("-wal", "-shm")

# A running bridge that meets damage leaves an empty file with this suffix.
SUSPECT_SUFFIX = ".suspect"

# A check of the whole file takes less than 0.1 s up to the first size. Up to the second it takes about a
# second, which a start after a kill may take.
QUICK_CHECK_MAX_BYTES = 4 * 1024 * 1024
FULL_CHECK_MAX_BYTES = 64 * 1024 * 1024

# The wait for a lock of another connection.
BUSY_TIMEOUT_SECONDS = 10.0

# SQLite moves the write-ahead log into the file at so many pages, and then cuts it to so many bytes.
WAL_CHECKPOINT_PAGES = 1000
WAL_LIMIT_BYTES = 8 * 1024 * 1024

# The free pages that one run returns: nothing is committed meanwhile.
VACUUM_BATCH_PAGES = 500

# The header of a file: how it begins, its length, and where the version is, big-endian.
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_USER_VERSION = slice(60, 64)


class SqliteDatabase(Database):
    """An open file, and its write-ahead log beside it."""

    _begin_write = "BEGIN IMMEDIATE"
    _writing: SqliteConnection

    def __init__(self, path: Path, opened: OpenDatabase, on_commit_point: OnCommitPoint) -> None:
        self.path = path
        self._files = [f"{path}{suffix}" for suffix in ("", *WAL_SUFFIXES)]
        self.set_aside = opened.set_aside
        self.is_new = opened.fresh
        self.allocated_bytes = self._file_bytes()
        super().__init__(opened.writer, opened.reader, on_commit_point)

    @classmethod
    async def open(cls, path: Path, on_commit_point: OnCommitPoint = ignore_commit_point) -> SqliteDatabase:
        """Opens or creates the file, mode 0600; a damaged file is set aside and a new one created.

        Crash tests pass `on_commit_point`: the writer thread calls it with `before:<name>` and `after:<name>`
        for each job of a commit. Raises `StoreTooNew`, `StoreFull`, `StoreError`.
        """
        return cls(path, await asyncio.to_thread(open_file, path), on_commit_point)

    @override
    def _run_writes(self, jobs: Sequence[QueuedJob]) -> list[JobOutcome]:
        """Measures the files as well, in the writer thread: the size is asked for with each message."""
        outcomes = super()._run_writes(jobs)
        self.allocated_bytes = self._file_bytes()
        return outcomes

    def _file_bytes(self) -> int:
        size = 0
        for path in self._files:
            with suppress(OSError):  # SQLite creates and removes the last two
                size += os.stat(path).st_size  # noqa: PTH116 - twice as fast, and called for each commit
        return size

    async def used_bytes(self) -> int:
        """Returns the size of the database without its free pages."""
        statement = "SELECT * FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
        ((pages, free, page_size),) = await self.fetch(statement)
        return int((pages - free) * page_size)

    @override
    async def measure(self, enough: int) -> None:
        """Measures the files: another process may have written."""
        self.allocated_bytes = self._file_bytes()

    async def shrink(self, spare_pages: int) -> None:
        """Returns free pages in batches, so that jobs run in between, then empties the write-ahead log."""

        def vacuum(_: Connection) -> int:
            # `executescript` runs the PRAGMA to its end; `execute` would stop after the first page.
            self._writing.executescript(f"PRAGMA incremental_vacuum({min(excess, VACUUM_BATCH_PAGES)})")
            return int(self._writing.execute("PRAGMA freelist_count").fetchone()[0])

        ((free,),) = await self.fetch("PRAGMA freelist_count")
        excess = free - spare_pages
        has_shrunk = False
        while excess > 0:
            left = await self.on_write_connection(vacuum) - spare_pages
            if left >= excess:
                break
            excess, has_shrunk = left, True
        if has_shrunk:
            await self.checkpoint()

    async def checkpoint(self) -> None:
        """Moves the write-ahead log into the file."""
        await self.on_write_connection(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())

    async def release_memory(self) -> None:
        """Frees the pages that SQLite keeps in memory: 2 MB after a login with 5,000 contacts."""
        statement = "PRAGMA shrink_memory"
        await self.on_write_connection(lambda connection: connection.execute(statement).fetchone())
        await self.fetch(statement)

    def _translate(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        if is_damage(error):
            with suppress(OSError):  # without the mark, the damage is noticed again later
                make_private_file(_suspect_mark(self.path))
        store_error = database_error(error, self.path)
        store_error.__cause__ = error
        return store_error


class SqliteConnection(sqlite3.Connection):
    """A connection with what jobs need beside the methods of `sqlite3`."""

    def commit(self) -> None:
        self.execute("COMMIT")  # that of `sqlite3` is silent where the transaction is lost

    def named_rows(self, statement: str, values: Sequence[object]) -> Sequence[NamedRow]:
        cursor = self.execute(statement, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def insert_returning_ids(self, statement: str, rows: Sequence[Sequence[object]]) -> Sequence[int]:
        insert_rows(self, statement, rows)
        # One INSERT after the other in one transaction gives consecutive ids.
        (last_id,) = self.execute("SELECT last_insert_rowid()").fetchone()
        return range(last_id - len(rows) + 1, last_id + 1)

    def continue_ids(self, table: str) -> None:
        """Does nothing: AUTOINCREMENT follows the rows that are inserted."""


@frozen
class OpenDatabase:
    writer: SqliteConnection
    reader: SqliteConnection
    #: The new path of a damaged file.
    set_aside: Path | None
    #: There was no file before, or none that could be read.
    fresh: bool


def open_file(path: Path) -> OpenDatabase:
    """Opens or creates the file. Raises `StoreTooNew` (without touching it), `StoreFull`, `StoreError`."""
    try:
        return _open(path)
    except sqlite3.Error as error:
        raise database_error(error, path) from error
    except OSError as error:
        raise file_error(error, path) from error


def _open(path: Path) -> OpenDatabase:
    _refuse_newer(path)
    set_aside = _set_aside_orphaned_wal(path)
    must_check = _must_check(path)
    writer = _open_writer(path)
    try:
        if not _configure_and_check(writer, path, must_check=must_check):
            set_aside = _set_aside(path)
            writer.close()  # only now: closing earlier would have merged and deleted the write-ahead log
            writer = _open_writer(path)
            _configure(writer, path)
        fresh = _migrate(writer) == 0
        _suspect_mark(path).unlink(missing_ok=True)
        reader = _open_reader(path)
    except BaseException:
        writer.close()
        raise
    return OpenDatabase(writer=writer, reader=reader, set_aside=set_aside, fresh=fresh)


def _refuse_newer(path: Path) -> None:
    """Reads the version from the header without SQLite, which would already write to the folder."""
    try:
        with open_to_read(path) as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return
    if len(header) == _HEADER_BYTES and header.startswith(_MAGIC):
        refuse_newer(int.from_bytes(header[_USER_VERSION], "big"), newest_version())


def _set_aside_orphaned_wal(path: Path) -> Path | None:
    """Sets an empty file aside that has a write-ahead log: SQLite would delete the log and all data in it."""
    if _length(path) or not _length(path.with_name(path.name + "-wal")):
        return None
    make_private_file(path)
    return _set_aside(path)


def _set_aside(path: Path) -> Path:
    aside = quarantine(path, *WAL_SUFFIXES)
    log.error("database damaged, set aside", set_aside=str(aside))
    return aside


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _must_check(path: Path) -> bool:
    """Returns whether the start reads the whole file to find damage. Call it before the file is opened.

    A file that was closed in order is checked only while that costs nothing, one after a kill or a power cut
    up to a larger size, and one that a running bridge has marked as suspect always. Other damage is noticed
    where it is met, which leaves such a mark.
    """
    size = _length(path)
    was_closed = not path.with_name(path.name + "-wal").exists()  # SQLite removes it at an orderly end
    limit = QUICK_CHECK_MAX_BYTES if was_closed else FULL_CHECK_MAX_BYTES
    return size <= limit or _suspect_mark(path).exists()


def _configure_and_check(connection: sqlite3.Connection, path: Path, *, must_check: bool) -> bool:
    """Configures the connection and checks the file; returns False if it is damaged."""
    try:
        _configure(connection, path)
        return not must_check or connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    except sqlite3.Error as error:
        if is_damage(error):
            return False
        raise


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    if not _length(path):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # effective only before the first write
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"{path} is on a file system without shared memory; set storage.path to a local disk."
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")


def _open_writer(path: Path) -> SqliteConnection:
    """Opens the files with mode 0600. SQLite creates `-wal` and `-shm` with the mode of the database file.

    Refuses links: SQLite would follow them.
    """
    make_private_file(path)
    for suffix in WAL_SUFFIXES:
        file = path.with_name(path.name + suffix)
        if os.path.lexists(file):
            make_private_file(file)
    return _connect(path)


def _open_reader(path: Path) -> SqliteConnection:
    reader = _connect(path)
    try:
        reader.execute("PRAGMA query_only = ON")
        reader.execute("PRAGMA cache_size = -1000")
    except BaseException:
        reader.close()
        raise
    return reader


def _connect(path: Path) -> SqliteConnection:
    """Returns a connection in autocommit mode. One thread uses it, but not the one that opened it."""
    return sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=SqliteConnection,
    )


def _suspect_mark(path: Path) -> Path:
    return path.with_name(path.name + SUSPECT_SUFFIX)


def newest_version() -> int:
    """Returns the version of the stores that this wx2mqtt creates."""
    return len(migrations())


def migrations() -> list[str]:
    """Returns the scripts that make each version of a store of the one before, the first one of nothing."""
    return [script.read_text(encoding="utf-8") for script in sorted(MIGRATIONS_FOLDER.glob("[0-9]*.sql"))]


def _migrate(connection: sqlite3.Connection) -> int:
    """Runs each missing migration in a transaction that stores its number too; returns the old version."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    refuse_newer(version, newest_version())
    for number, script in enumerate(migrations()[version:], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT")
    # The version must be in the file itself, not in the log: an older wx2mqtt reads it without SQLite.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return version
