"""Files of the store: atomic writes, quarantine, marks; errors of the disk become `StoreError`.

All exceptions of the disk and of SQLite are translated here and nowhere else. A message never has SQL or the
value of a row in it: it could be the text of a person.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO

import structlog

from wx2mqtt.aio import Signal
from wx2mqtt.clock import boot_time
from wx2mqtt.errors import StoreError, StoreFull

log = structlog.get_logger(__name__)

PRIVATE_MODE = 0o600  # of files
PRIVATE_FOLDER_MODE = 0o700

_MEDIA_NAME = re.compile(r"media/([0-9a-f]{2})/(?P<sha256>\1[0-9a-f]{62})(\.[A-Za-z0-9]{1,8})?", re.ASCII)

_FULL = "there is no room on the disk; make room, or give storage.path a larger one"
_TOO_LONG = "no file may grow so large; lift the limit of the process (ulimit -f, LimitFSIZE)"
_DENIED = "this user may not write there; correct the owner and the rights, or set storage.path"
_READ_ONLY = "the folder is read-only; mount it writable, or set storage.path to another one"
_NO_FOLDER = "there is a file where a folder should be; set storage.path to a folder"
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


class AtomicFile:
    """A file that is written in threads; of several changes the newest wins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._change_numbers = count(1)
        self._last_done = 0
        self._lock = threading.Lock()

    async def write(self, data: bytes) -> None:
        """Replaces the content durably. Raises `StoreFull`, `StoreError`."""
        await self._change(lambda: write_atomically(self.path, data))

    async def delete(self) -> None:
        """Deletes the file durably. Raises `StoreError`."""
        await self._change(lambda: delete_file(self.path))

    async def _change(self, work: Callable[[], None]) -> None:
        """Runs `work` in a thread, which goes on after a cancelled wait: it must not undo a later change."""
        await asyncio.to_thread(self._apply_if_newest, next(self._change_numbers), work)

    def _apply_if_newest(self, change_number: int, work: Callable[[], None]) -> None:
        with self._lock:
            if change_number > self._last_done:
                work()
                self._last_done = change_number


def sha256_in_media_name(name: str) -> str | None:
    """Returns the SHA-256 in the name of a media file, from the folder of the store; None for any other name.

    Names come from backups too, which may be forged: there is one form, and nothing else is opened.
    """
    match = _MEDIA_NAME.fullmatch(name)
    return match["sha256"] if match else None


def read_file(path: Path) -> bytes | None:
    """Returns the content; None if there is no such file. Raises `StoreError`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise file_error(error, path) from error


def delete_file(path: Path) -> None:
    """Deletes a file durably; does nothing if there is none. Raises `StoreError`."""
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise file_error(error, path) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces the content of `path` durably, mode 0600. A reader sees the old or the new content, complete.

    Raises `StoreError`, and then the old content is still there.
    """
    try:
        with atomic_writer(path) as file:
            file.write(data)
    except OSError as error:
        raise file_error(error, path) from error


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
    aside = _unused_path(path)
    for suffix in companions:
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + suffix))
    path.rename(aside)
    sync_folder(path.parent)
    return aside


def _unused_path(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    copy_number = 1
    while aside.exists():
        copy_number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{copy_number}")
    return aside


# Behind the name of an account; a purge removes the file with the saved login.
MARKS_SUFFIX = ".json.processing"

# In a row. A message that was being processed at so many is not processed again.
MAX_KILLS = 2

# Of those that are remembered; the oldest is forgotten first.
MAX_FATAL_MESSAGES = 64

# How often progress is reported at most.
PROGRESS_INTERVAL_SECONDS = 1.0

_NO_MESSAGE = "-"
_DIGEST_BYTES = 16

# Of the first line; the fatal messages follow, one on a line.
_MARK_BYTES = 64


class ProcessingMarks:
    """Marks the message that is being processed, in a file, so that one that ends the process is found.

    The mark outlives the process, and is not synchronised: it costs microseconds, and a message that ends the
    process does not end the machine. In a batch the mark of a message is replaced by that of the next one; it
    is removed in the next turn of the event loop, or by `clear`. A file that cannot be written, or no `path`,
    marks nothing. `progressed` is emitted about once a second while messages are processed. `fatal` are the
    marks of messages that ended processes elsewhere (`SharedMarks`).
    """

    def __init__(self, path: Path | None = None, fatal: Sequence[str] = ()) -> None:
        self.progressed: Signal[[]] = Signal()
        self._path = path
        self._handle: int | None = None
        self._clearing: asyncio.Handle | None = None
        self._reported_at = 0.0
        self._suspect, kills, self._fatal = _NO_MESSAGE, 0, list[str]()
        if path is not None:
            self._suspect, kills, self._fatal = _read_marks(path)
        self._fatal += fatal
        self._kills = kills
        if kills >= MAX_KILLS:
            self._fatal = [*self._fatal, self._suspect][-MAX_FATAL_MESSAGES:]
            self._write("".join(f"{mark}\n" for mark in self._fatal), _MARK_BYTES)

    def is_fatal(self, key: str) -> bool:
        """Returns whether `MAX_KILLS` processes in a row were killed while they processed this message."""
        return bool(self._fatal) and _mark_of(key) in self._fatal

    def processing(self, key: str) -> AbstractContextManager[None]:
        """Marks a message in a block without `await`: of one process, one message is marked at a time."""
        return _Processing(self, _mark_of(key))

    def begin(self, mark: str) -> None:
        """Marks the message of a block that begins."""
        self._write_mark(mark, self._kills if mark == self._suspect else 0)

    def end(self, mark: str, *, has_failed: bool) -> None:
        """Has the mark of a block that ends removed soon; a block with an error is no progress."""
        if self._clearing is None:
            self._clear_soon()
        if has_failed:
            return
        if mark == self._suspect:
            self._suspect, self._kills = _NO_MESSAGE, 0
        now = boot_time()
        if now - self._reported_at >= PROGRESS_INTERVAL_SECONDS:
            self._reported_at = now
            self.progressed.emit()

    def clear(self) -> None:
        """Removes the mark of the last message: what follows is not its fault."""
        if self._clearing is not None:
            self._clearing.cancel()
            self._clearing = None
            self._write_mark(_NO_MESSAGE, 0)

    def _clear_soon(self) -> None:
        try:
            self._clearing = asyncio.get_running_loop().call_soon(self.clear)
        except RuntimeError:  # no event loop runs
            self._write_mark(_NO_MESSAGE, 0)

    def _write_mark(self, mark: str, kills: int) -> None:
        self._write(f"{mark} {kills}".ljust(_MARK_BYTES - 1) + "\n", 0)

    def _write(self, text: str, offset: int) -> None:
        if self._path is None:
            return
        try:
            if self._handle is None:
                self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, PRIVATE_MODE)
            os.pwrite(self._handle, text.encode(), offset)
        except OSError as error:
            self._path = None
            log.warning("messages are not marked while they are processed", error=error.strerror)


class _Processing(AbstractContextManager[None]):
    """The block of `ProcessingMarks.processing`; two for each message, cheaper than a generator."""

    __slots__ = ("_mark", "_marks")

    def __init__(self, marks: ProcessingMarks, mark: str) -> None:
        self._marks = marks
        self._mark = mark

    def __enter__(self) -> None:
        self._marks.begin(self._mark)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._marks.end(self._mark, has_failed=kind is not None)


def take_marks(folder: Path) -> list[tuple[str, str]]:
    """Returns accounts whose process was killed at a message, with its mark; removes the files."""
    taken = [
        (path.name.removesuffix(MARKS_SUFFIX), _take_mark(path))
        for path in sorted(folder.glob(f"*{MARKS_SUFFIX}"))
    ]
    return [(account, mark) for account, mark in taken if mark is not None]


def _take_mark(path: Path) -> str | None:
    """Returns the mark of the message at which the last process was killed, and removes the file."""
    mark, kills, _ = _read_marks(path)
    path.unlink(missing_ok=True)
    return mark if kills else None


def _read_marks(path: Path) -> tuple[str, int, list[str]]:
    """Returns the message that was marked when the last process ended, how often by now, and fatal ones."""
    try:
        # Damaged bytes are left out: a file that cannot be read at all would never mark anything again.
        first, *fatal = path.read_text(encoding="ascii", errors="ignore").split("\n")
    except OSError:
        return _NO_MESSAGE, 0, []
    mark, _, kills = first.strip().partition(" ")
    fatal = [line for line in fatal if line][:MAX_FATAL_MESSAGES]
    if mark == _NO_MESSAGE or kills not in map(str, range(MAX_KILLS)):
        return _NO_MESSAGE, 0, fatal
    return mark, int(kills) + 1, fatal


def _mark_of(key: str) -> str:
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).hexdigest()


def file_error(error: OSError, path: Path) -> StoreError:
    """Returns the error of a file or folder as a `StoreError` with a remedy."""
    error_class, remedy = _BY_ERRNO.get(
        error.errno or 0, (StoreError, error.strerror or type(error).__name__)
    )
    return error_class(f"{path} cannot be used: {remedy}.")


def database_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Returns the error of SQLite as a `StoreError` with a remedy."""
    known = _known(error)
    if known is None:
        return StoreError(
            f"{path} refused a change ({getattr(error, 'sqlite_errorname', type(error).__name__)})."
        )
    error_class, remedy = known
    return error_class(f"{path} cannot be used: {remedy}.")


def is_damage(error: sqlite3.Error) -> bool:
    """Returns whether the database file itself is damaged, not only out of reach."""
    return _code(error) & _PRIMARY_CODE_MASK in _DAMAGE_CODES


def _known(error: sqlite3.Error) -> tuple[type[StoreError], str] | None:
    code = _code(error)
    return _BY_SQLITE_CODE.get(code) or _BY_SQLITE_CODE.get(code & _PRIMARY_CODE_MASK)


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0))
