"""What goes wrong with a disk, said in our errors. Foreign exceptions are translated here and nowhere else.

No SQL and no value of a row ever gets into a message: it could be somebody's text.

Small files that must be whole or not there: written beside, forced to the disk, then moved into place.

The saved login of one account: secrets, in a file of mode 0600. Knows nothing of what is in it.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO

import structlog

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


def file_error(error: OSError, path: Path) -> StoreError:
    """The error of a file or folder as ours."""
    kind, cure = _FILE.get(error.errno or 0, (StoreError, error.strerror or type(error).__name__))
    return kind(f"{path} cannot be used: {cure}.")


def database_error(error: sqlite3.Error, path: Path) -> StoreError:
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


PRIVATE_MODE = 0o600


class AtomicFile:
    """A file that is changed off the event loop; of several changes the newest wins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = count(1)
        self._last_done = 0
        self._lock = threading.Lock()

    async def write(self, data: bytes) -> None:
        """Put `data` into the file, durably. Raises `StoreFull`, `StoreError`."""
        await self._change(lambda: write_atomically(self.path, data))

    async def delete(self) -> None:
        """Take the file away, durably."""
        await self._change(lambda: delete_file(self.path))

    async def _change(self, work: Callable[[], None]) -> None:
        """A wait that is cancelled leaves its thread behind; that must not undo what a later call does."""
        await asyncio.to_thread(self._apply_if_newest, next(self._numbers), work)

    def _apply_if_newest(self, number: int, work: Callable[[], None]) -> None:
        with self._lock:
            if number > self._last_done:
                work()
                self._last_done = number


def read_file(path: Path) -> bytes | None:
    """What is in the file; None when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise file_error(error, path) from error


def delete_file(path: Path) -> None:
    """Take a file away, durably; it need not be there."""
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise file_error(error, path) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` into `path`, mode 0600, durably. Whoever reads sees the old or the new content, whole.

    Raises `StoreError`; then the old content is still there.
    """
    try:
        _replace(path, data)
    except OSError as error:
        raise file_error(error, path) from error


def _replace(path: Path, data: bytes) -> None:
    with atomic_writer(path) as file:
        file.write(data)


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """What is written takes the place of `path` at the end, mode 0600, durably; nothing is left of it if it
    fails. Raises OSError.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600 by itself
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force names that came or went to the disk: a rename is durable only after this."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def quarantine(path: Path, *companions: str) -> Path:
    """Give a damaged file a new name and return it; nothing is deleted.

    `companions` are endings of files that belong to it (`-wal`). They are moved first: should we die in
    between, the damaged file is still found damaged, and never a new one beside an old companion.
    """
    aside = _unused(path)
    for ending in companions:
        companion = path.with_name(path.name + ending)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + ending))
    path.rename(aside)
    sync_folder(path.parent)
    return aside


def _unused(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    count = 1
    while aside.exists():
        count += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{count}")
    return aside


log = structlog.get_logger(__name__)


class SavedLoginFile:
    """A vault for one login; all I/O off the event loop, and the newest change wins."""

    def __init__(self, path: Path) -> None:
        self._file = AtomicFile(path)

    async def load(self) -> Mapping[str, object] | None:
        """What was saved last, or None. A damaged file is set aside and counts as none."""
        return await asyncio.to_thread(_load, self._file.path)

    async def save(self, session: Mapping[str, object]) -> None:
        """Keep this durably instead of what was there. Raises `StoreFull`, `StoreError`."""
        await self._file.write(json.dumps(dict(session)).encode())

    async def clear(self) -> None:
        """Forget it: the login is over."""
        await self._file.delete()


def _load(path: Path) -> Mapping[str, object] | None:
    data = read_file(path)
    if data is None:
        return None
    try:
        session = json.loads(data)
    except ValueError:
        session = None
    if isinstance(session, dict):
        return session
    log.warning("saved login damaged, set aside", set_aside=str(quarantine(path)))
    return None
