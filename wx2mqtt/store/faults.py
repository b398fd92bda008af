"""What goes wrong with a disk, said in our errors. Foreign exceptions are translated here and nowhere else.

No SQL and no value of a row ever gets into a message: it could be somebody's text.
"""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from wx2mqtt.errors import StoreError, StoreFull

_FULL = "there is no room on the disk; make room, or give storage.path a larger one"
_TOO_LONG = "no file may grow so large; lift the limit of the process (ulimit -f, LimitFSIZE)"
_DENIED = "this user may not write there; correct the owner and the rights, or set storage.path"
_READ_ONLY = "the folder is read-only; mount it writable, or set storage.path to another one"
_NO_FOLDER = "there is a file where a folder should be; set storage.path to a folder"
_DISK = "the disk answered with an error; look into the system's log and check the disk"

_FILE: dict[int, tuple[type[StoreError], str]] = {
    errno.ENOSPC: (StoreFull, _FULL),
    errno.EDQUOT: (StoreFull, _FULL),
    errno.EFBIG: (StoreFull, _TOO_LONG),
    errno.EACCES: (StoreError, _DENIED),
    errno.EPERM: (StoreError, _DENIED),
    errno.EROFS: (StoreError, _READ_ONLY),
    errno.EIO: (StoreError, _DISK),
    errno.ENOTDIR: (StoreError, _NO_FOLDER),
    errno.EEXIST: (StoreError, _NO_FOLDER),
}

_SQLITE: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_FULL: (StoreFull, _FULL),
    sqlite3.SQLITE_IOERR_SHMSIZE: (StoreFull, _FULL),
    sqlite3.SQLITE_READONLY: (StoreError, _READ_ONLY),
    sqlite3.SQLITE_CANTOPEN: (StoreError, _DENIED),
    sqlite3.SQLITE_PERM: (StoreError, _DENIED),
    sqlite3.SQLITE_IOERR: (StoreError, _DISK),
    sqlite3.SQLITE_BUSY: (StoreError, "another program holds the database; close it"),
    sqlite3.SQLITE_CORRUPT: (StoreError, "it is damaged; the next start sets it aside and begins a new one"),
    sqlite3.SQLITE_NOTADB: (StoreError, "it is damaged; the next start sets it aside and begins a new one"),
    sqlite3.SQLITE_NOMEM: (StoreError, "there is no memory left"),
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY = 0xFF  # an extended code holds its primary code in the low byte


def file_trouble(error: OSError, path: Path) -> StoreError:
    """The error of a file or folder as ours."""
    kind, cure = _FILE.get(error.errno or 0, (StoreError, error.strerror or type(error).__name__))
    return kind(f"{path} cannot be used: {cure}.")


def database_trouble(error: sqlite3.Error, path: Path) -> StoreError:
    """The error of SQLite as ours."""
    known = _known(error)
    if known is None:
        return StoreError(
            f"{path} refused a change ({getattr(error, 'sqlite_errorname', type(error).__name__)})."
        )
    kind, cure = known
    return kind(f"{path} cannot be used: {cure}.")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, and not only out of reach."""
    return _code(error) & _PRIMARY in _DAMAGED


def _known(error: sqlite3.Error) -> tuple[type[StoreError], str] | None:
    code = _code(error)
    return _SQLITE.get(code) or _SQLITE.get(code & _PRIMARY)


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0))
