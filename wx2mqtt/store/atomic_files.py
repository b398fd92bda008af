"""Files of the store: written whole or not at all, private, and never through a link.

    await AtomicFile(path).write(data)  # at any moment the file has the old content or the new one
    the disk is full                ->  StoreFull: "… cannot be used: there is no room on the disk; …"

Errors of the disk and of SQLite become `StoreError` here and nowhere else, with the sentences at the end.
None has SQL or the value of a row in it: it could be the text of a person. The functions block.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import re
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import IO

from wx2mqtt.errors import StoreError, StoreFull

PRIVATE_MODE = 0o600  # of files
PRIVATE_FOLDER_MODE = 0o700

# media/9f/9f86d081….jpg
_MEDIA_NAME = re.compile(r"media/([0-9a-f]{2})/(?P<sha256>\1[0-9a-f]{62})(\.[A-Za-z0-9]{1,8})?", re.ASCII)


class AtomicFile:
    """A file that is written in threads; of several changes the newest wins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: The numbers of the changes, given on the event loop in the order of the calls.
        self._change_numbers = count(1)
        #: The number of the change that was made last; a thread with a lower number does nothing.
        self._last_done = 0
        #: Held while a thread makes its change.
        self._lock = threading.Lock()

    async def write(self, data: bytes) -> None:
        """Replaces the content durably. Raises `StoreFull`, `StoreError`."""
        work = partial(write_atomically, self.path, data)
        await asyncio.to_thread(self._apply_if_newest, next(self._change_numbers), work)

    async def delete(self) -> None:
        """Deletes the file durably. Raises `StoreError`."""
        work = partial(delete_file, self.path)
        await asyncio.to_thread(self._apply_if_newest, next(self._change_numbers), work)

    def _apply_if_newest(self, change_number: int, work: Callable[[], None]) -> None:
        """A thread goes on after a cancelled wait: it must not undo a later change."""
        with self._lock:
            if change_number > self._last_done:
                work()
                self._last_done = change_number


def read_file(path: Path) -> bytes | None:
    """Returns the content; None if there is no such file. Raises `StoreError`."""
    with file_errors(path):
        try:
            with open_to_read(path) as file:
                return file.read()
        except FileNotFoundError:
            return None


def delete_file(path: Path) -> None:
    """Deletes a file durably; does nothing if there is none. Raises `StoreError`."""
    with file_errors(path):
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces the content of `path` durably, mode 0600. A reader sees the old or the new content, complete.

    Raises `StoreError`, and then the old content is still there.
    """
    with file_errors(path), atomic_writer(path) as file:
        file.write(data)


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Yields a temporary file that replaces `path` durably at the end, mode 0600, and is deleted on an error.

    Raises `OSError`.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp gives mode 0600
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


def open_regular(path: Path, flags: int) -> int:
    """Opens a regular file and returns its handle; a new one gets mode 0600. Raises `OSError`.

    Follows no link, and does not wait for the other end of a FIFO.
    """
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, PRIVATE_MODE)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def open_to_read(path: Path) -> io.BufferedReader:
    """Opens a regular file to read. Raises `OSError`, as `open_regular`."""
    return os.fdopen(open_regular(path, os.O_RDONLY), "rb")


def make_private_file(path: Path) -> None:
    """Creates a file, mode 0600, or gives an existing one that mode. Raises `OSError`, as `open_regular`."""
    handle = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        os.fchmod(handle, PRIVATE_MODE)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Creates a folder with its parents durably, mode 0700; does nothing if it exists. Raises `OSError`.

    Without the name of the folder on the disk, a power cut would take away everything in it, however durable.
    """
    created = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
    for folder in created:
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Forces the names in a folder to the disk: a new, deleted or renamed file is durable only after this."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def quarantine(path: Path, *companions: str) -> Path:
    """Renames a damaged file and returns its new path; nothing is deleted.

    `companions` are suffixes of files that belong to it (`-wal`). They are renamed first: after a crash in
    between, the damaged file is found damaged again, and there is never a new file beside an old companion.
    """
    aside = _free_path_beside(path)
    for suffix in companions:
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + suffix))
    path.rename(aside)
    sync_folder(path.parent)
    return aside


def _free_path_beside(path: Path) -> Path:
    """Returns `wx2mqtt.db.damaged-20261125T080000Z`, or the first of `…Z-2`, `…Z-3` that no file has."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    numbers = count(2)
    while aside.exists():
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{next(numbers)}")
    return aside


def sha256_in_media_name(name: str) -> str | None:
    """Returns the SHA-256 in the name of a media file, from the folder of the store; None for any other name.

    Names come from backups too, which may be forged: there is one form, and nothing else is opened.
    """
    match = _MEDIA_NAME.fullmatch(name)
    return match["sha256"] if match else None


# Errors

_FULL = "there is no room on the disk; make room, or give storage.path a larger one"
_TOO_LONG = "no file may grow so large; lift the limit of the process (ulimit -f, LimitFSIZE)"
_DENIED = "this user may not write there; correct the owner and the rights, or set storage.path"
_READ_ONLY = "the folder is read-only; mount it writable, or set storage.path to another one"
_NO_FOLDER = "there is a file where a folder should be; set storage.path to a folder"
_LINK = "there is a symbolic link, or no regular file, where a file of the store should be; remove it"
_DISK = "the disk answered with an error; look into the system's log and check the disk"
_BY_ERRNO: dict[int, tuple[type[StoreError], str]] = {
    errno.ENOSPC: (StoreFull, _FULL),
    errno.EDQUOT: (StoreFull, _FULL),
    errno.EFBIG: (StoreFull, _TOO_LONG),
    errno.EACCES: (StoreError, _DENIED),
    errno.EPERM: (StoreError, _DENIED),
    errno.EROFS: (StoreError, _READ_ONLY),
    errno.EIO: (StoreError, _DISK),
    errno.ENOTDIR: (StoreError, _NO_FOLDER),
    errno.ELOOP: (StoreError, _LINK),
    errno.EEXIST: (StoreError, _NO_FOLDER),
}
_BY_SQLITE_CODE: dict[int, tuple[type[StoreError], str]] = {
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
_DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY_CODE_MASK = 0xFF  # an extended code of SQLite has its primary code in the low byte


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Raises the error of a file or folder as a `StoreError`."""
    try:
        yield
    except OSError as error:
        raise file_error(error, path) from error


def file_error(error: OSError, path: Path) -> StoreError:
    """Returns the error of a file or folder as a `StoreError` with a remedy."""
    error_class, remedy = _BY_ERRNO.get(
        error.errno or 0, (StoreError, error.strerror or type(error).__name__)
    )
    return error_class(f"{path} cannot be used: {remedy}.")


def database_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Returns the error of SQLite as a `StoreError` with a remedy."""
    code = int(getattr(error, "sqlite_errorcode", 0))
    known = _BY_SQLITE_CODE.get(code) or _BY_SQLITE_CODE.get(code & _PRIMARY_CODE_MASK)
    if known is None:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return StoreError(f"{path} refused a change ({name}).")
    error_class, remedy = known
    return error_class(f"{path} cannot be used: {remedy}.")


def is_damage(error: sqlite3.Error) -> bool:
    """Returns whether the database file itself is damaged, not only out of reach."""
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY_CODE_MASK in _DAMAGE_CODES
