"""Opens the database file: refuses a newer one, sets a damaged one aside, brings an older one up to date.

Blocking; `database.py` calls it off the event loop.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import structlog

from wx2mqtt.errors import StoreError, StoreTooNew
from wx2mqtt.store.files import PRIVATE_MODE, database_error, file_error, is_damage, quarantine

log = structlog.get_logger(__name__)

WAL_SUFFIXES = ("-wal", "-shm")
SUSPECT_SUFFIX = ".suspect"  # ending of the mark that a running bridge met damage
FULL_CHECK_MAX_BYTES = 64 * 1024 * 1024  # bytes: up to here a full check costs no more than a blink at start
BUSY_TIMEOUT_SECONDS = 10.0  # seconds to wait for a lock of another connection
WAL_CHECKPOINT_PAGES = 1000  # pages in the WAL before SQLite moves them into the file
WAL_LIMIT_BYTES = 8 * 1024 * 1024  # bytes that the WAL keeps after that
_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDatabase:
    """An open database: the one connection that writes, one that reads, and what was found.

    `fresh` is true when there was nothing before, or nothing that could be read.
    """

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    set_aside: Path | None
    fresh: bool


def open_file(path: Path) -> OpenDatabase:
    """Open or create. Raises `StoreTooNew` (the file is not touched), `StoreFull`, `StoreError`."""
    try:
        return _open(path)
    except sqlite3.Error as error:
        raise database_error(error, path) from error
    except OSError as error:
        raise file_error(error, path) from error


def mark_suspect(path: Path) -> None:
    """Leave a mark beside the file, so that the next start checks the whole of it."""
    _mark(path).touch(mode=PRIVATE_MODE)


def _open(path: Path) -> OpenDatabase:
    _refuse_newer(path)
    set_aside = _lonely_wal(path)
    writer = _writer(path)
    try:
        if not _sound(writer, path):
            set_aside = _put_aside(path)
            writer.close()  # only now: closing before would have merged and deleted the WAL
            writer = _writer(path)
            _configure(writer, path)
        fresh = _migrate(writer) == 0
        _mark(path).unlink(missing_ok=True)
        reader = _reader(path)
    except BaseException:
        writer.close()
        raise
    return OpenDatabase(writer=writer, reader=reader, set_aside=set_aside, fresh=fresh)


def _refuse_newer(path: Path) -> None:
    """Look at the header without SQLite, which would already write: `-wal`, `-shm`, a checkpoint."""
    if not path.exists():
        return
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) == 100 and header.startswith(_MAGIC):
        _compare(int.from_bytes(header[60:64], "big"))


def _compare(version: int) -> None:
    if version > newest_version():
        raise StoreTooNew(
            f"The store has version {version}, this wx2mqtt knows {newest_version()}; "
            "install the newer one again."
        )


def _lonely_wal(path: Path) -> Path | None:
    """SQLite would delete the WAL of an empty file, and with it what a damaged disk left us."""
    if _length(path) or not _length(path.with_name(path.name + "-wal")):
        return None
    path.touch(mode=PRIVATE_MODE)
    return _put_aside(path)


def _put_aside(path: Path) -> Path:
    aside = quarantine(path, *WAL_SUFFIXES)
    log.error("database damaged, set aside", set_aside=str(aside))
    return aside


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sound(connection: sqlite3.Connection, path: Path) -> bool:
    """Make the connection ready and look at the file; False when it is damaged."""
    try:
        _configure(connection, path)
        return _checked(connection, path)
    except sqlite3.Error as error:
        if is_damage(error):
            return False
        raise


def _checked(connection: sqlite3.Connection, path: Path) -> bool:
    """A large file is checked only when a running bridge met damage: reading it all would hold the start."""
    if path.stat().st_size > FULL_CHECK_MAX_BYTES and not _mark(path).exists():
        return True
    found: tuple[str] = connection.execute("PRAGMA quick_check(1)").fetchone()
    return found == ("ok",)


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    if not _length(path):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has an effect only before the first write
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"{path} is on a file system without shared memory; set storage.path to a local disk."
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")


def _writer(path: Path) -> sqlite3.Connection:
    _make_private(path)
    return _plain(path)


def _reader(path: Path) -> sqlite3.Connection:
    connection = _plain(path)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -1000")
    return connection


def _plain(path: Path) -> sqlite3.Connection:
    """A connection without transactions of its own; each is used by one thread only, whichever that is."""
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)


def _make_private(path: Path) -> None:
    """SQLite gives `-wal` and `-shm` the mode that the file has when it opens it."""
    path.touch(mode=PRIVATE_MODE)
    for ending in ("", *WAL_SUFFIXES):
        file = path.with_name(path.name + ending)
        if file.exists():
            file.chmod(PRIVATE_MODE)


def _mark(path: Path) -> Path:
    return path.with_name(path.name + SUSPECT_SUFFIX)


def newest_version() -> int:
    """The version of the stores that this wx2mqtt makes."""
    return len(_migrations())


def _migrations() -> list[str]:
    folder = files("wx2mqtt.store") / "sql"
    found = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name[:4].isdigit())
    return [entry.read_text(encoding="utf-8") for _, entry in found]


def _migrate(connection: sqlite3.Connection) -> int:
    """Each step in its own transaction, with the number that says it was done; returns the one before."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    _compare(version)
    for number, script in enumerate(_migrations()[version:], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT")
    # The number must stand in the file itself: an older wx2mqtt reads it there, without SQLite.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return version
