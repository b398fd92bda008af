"""Two small files that are mapped into memory: they outlive a killed process, but not a power cut.

A change is no system call, so that it can be made for each message. `ProcessingMarks` says which message a
process was killed at, `PubackLog` which publications the broker had acknowledged.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import mmap
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import structlog

from wx2mqtt.aio import Signal
from wx2mqtt.clock import boot_time
from wx2mqtt.store.files import open_regular, open_to_read

log = structlog.get_logger(__name__)


class MappedFile:
    """A file of `size` bytes, mode 0600, in memory that the kernel writes back, also after a kill.

    All blocks are written when it is opened: a full disk is an `OSError` here, and not a signal at a later
    change.
    """

    def __init__(self, path: Path, size: int) -> None:
        handle = open_regular(path, os.O_RDWR | os.O_CREAT)
        try:
            missing = size - os.fstat(handle).st_size
            if missing > 0 and os.pwrite(handle, bytes(missing), size - missing) < missing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(handle, size)
            self._memory = mmap.mmap(handle, size)
        finally:
            os.close(handle)

    def write(self, data: bytes, position: int) -> None:
        """Changes bytes within the size."""
        self._memory[position : position + len(data)] = data

    def close(self) -> None:
        """Ends the mapping."""
        self._memory.close()


# Behind the name of an account; a purge removes the file with the saved login.
MARKS_SUFFIX = ".json.processing"

# In a row. A message that was being processed at so many is not processed again. Fewer would cost a message
# that is not at fault: a process that is killed again and again from outside meets one twice now and then.
MAX_KILLS = 3

# Of those that are remembered; the oldest is forgotten first.
MAX_FATAL_MESSAGES = 64

# How often progress is reported at most.
PROGRESS_INTERVAL_SECONDS = 1.0

_NO_MESSAGE = "-"
_DIGEST_BYTES = 16
_MARK_CHARACTERS = 2 * _DIGEST_BYTES
_MARK = re.compile(rf"[0-9a-f]{{{_MARK_CHARACTERS}}}", re.ASCII)

# Of the first line; the fatal messages follow, one on a line.
_MARK_BYTES = 64
_FATAL_BYTES = MAX_FATAL_MESSAGES * (_MARK_CHARACTERS + 1)

# Of the file, which may be damaged.
_MAX_READ_BYTES = 65_536


class ProcessingMarks(AbstractContextManager[None]):
    """Marks the message that is being processed, in a file, so that one that ends the process is found.

    A message is read in one block of `processing` and stored in another. Its mark is replaced by that of the
    next message, and removed in the next turn of the event loop, or by `clear`. Where the last process was
    killed at the message, its mark is removed with its block, since the next kills are decisive.

    The file is not synchronised: that costs microseconds, and a message that ends the process does not end
    the machine. A file that cannot be written, or no `path`, marks nothing. `fatal` are the marks of messages
    that ended processes elsewhere (`SharedMarks`).
    """

    def __init__(self, path: Path | None = None, fatal: Sequence[str] = ()) -> None:
        #: Emitted about once a second while messages are processed.
        self.progressed: Signal[[]] = Signal()
        self._path = path
        self._file: MappedFile | None = None
        self._key: str | None = None  # of the last block
        self._mark = _NO_MESSAGE
        self._is_last_block = True
        self._written = _NO_MESSAGE  # the mark that is in the file
        self._clearing: asyncio.Handle | None = None
        self._reported_at = 0.0
        self._suspect, kills, self._fatal = _NO_MESSAGE, 0, list[str]()
        if path is not None:
            self._suspect, kills, self._fatal = _read_marks(path)
        self._fatal += fatal
        self._kills = kills
        if kills >= MAX_KILLS:
            self._fatal = [*self._fatal, self._suspect][-MAX_FATAL_MESSAGES:]
            fatal_lines = "".join(f"{mark}\n" for mark in self._fatal)
            self._write(fatal_lines.ljust(_FATAL_BYTES, "\0"), _MARK_BYTES)
            self._write_mark(_NO_MESSAGE, 0)

    def is_fatal(self, key: str) -> bool:
        """Returns whether `MAX_KILLS` processes in a row were killed while they processed this message."""
        return bool(self._fatal) and _mark_of(key) in self._fatal

    def processing(self, key: str, *, is_last: bool = False) -> AbstractContextManager[None]:
        """Marks a message in a block without `await`: of one process, one message is marked at a time.

        A message has been processed when its block with `is_last` ends without an error.
        """
        if key != self._key:
            self._key, self._mark = key, _mark_of(key)
        self._is_last_block = is_last
        return self

    def __enter__(self) -> None:
        if self._written != self._mark:
            self._write_mark(self._mark, self._kills if self._mark == self._suspect else 0)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._mark == self._suspect:  # a kill right after its block is not its fault
            self._write_mark(_NO_MESSAGE, 0)
        if self._clearing is None:
            self._clear_soon()
        if kind is not None:
            return
        if self._is_last_block and self._mark == self._suspect:
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

    def close(self) -> None:
        """Closes the file; nothing is marked any more."""
        self.clear()
        self._path = None
        if self._file is not None:
            self._file.close()

    def _clear_soon(self) -> None:
        try:
            self._clearing = asyncio.get_running_loop().call_soon(self.clear)
        except RuntimeError:  # no event loop runs
            self._write_mark(_NO_MESSAGE, 0)

    def _write_mark(self, mark: str, kills: int) -> None:
        self._written = mark
        self._write(f"{mark} {kills}".ljust(_MARK_BYTES - 1) + "\n", 0)

    def _write(self, text: str, offset: int) -> None:
        if self._path is None:
            return
        try:
            if self._file is None:
                self._file = MappedFile(self._path, _MARK_BYTES + _FATAL_BYTES)
            self._file.write(text.encode(), offset)
        except OSError as error:
            self._path = None
            log.warning("messages are not marked while they are processed", error=error.strerror)


def take_marks(folder: Path) -> list[tuple[str, str]]:
    """Returns accounts whose process was killed at a message, with its mark; removes the files."""
    taken: list[tuple[str, str]] = []
    for path in sorted(folder.glob(f"*{MARKS_SUFFIX}")):
        mark, kills, _ = _read_marks(path)
        path.unlink(missing_ok=True)
        if kills:
            taken.append((path.name.removesuffix(MARKS_SUFFIX), mark))
    return taken


def _read_marks(path: Path) -> tuple[str, int, list[str]]:
    """Returns the message that was marked when the last process ended, how often by now, and fatal ones."""
    try:
        # Damaged bytes are left out: a file that cannot be read at all would never mark anything again.
        with open_to_read(path) as file:
            text = file.read(_MAX_READ_BYTES).decode("ascii", "ignore").replace("\0", "")
    except OSError:
        return _NO_MESSAGE, 0, []
    first, *fatal = text.split("\n")
    mark, _, kills = first.strip().partition(" ")
    fatal = [line for line in fatal if _MARK.fullmatch(line)][:MAX_FATAL_MESSAGES]
    if not _MARK.fullmatch(mark) or kills not in map(str, range(MAX_KILLS)):
        return _NO_MESSAGE, 0, fatal
    return mark, int(kills) + 1, fatal


def _mark_of(key: str) -> str:
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).hexdigest()


# Behind the name of an account, as `MARKS_SUFFIX`.
PUBACK_LOG_SUFFIX = ".json.pubacks"

# The id of a row and when it was created, in milliseconds; behind them a checksum of stream id, id and time.
_PUBACK = struct.Struct(">Qq")
_CHECKSUM_BYTES = 4
_RECORD_BYTES = _PUBACK.size + _CHECKSUM_BYTES

# So many publications wait for their commit at most: a power cut may repeat them.
MAX_PUBACK_RECORDS = 400
PUBACK_LOG_BYTES = MAX_PUBACK_RECORDS * _RECORD_BYTES


class PubackLog:
    """Records each PUBACK in a file, until a commit marks the publication in the journal.

    A publication whose PUBACK is known nowhere is published again after a kill, and a commit for each of them
    would be slow. The file has the rows that have a PUBACK and no mark yet. A record is valid in one stream
    only: another database, and the same one after a restore, has other rows with the same ids. So may a
    database whose last commits the disk has lost although it had reported them as written: hence the time.

    Without a `path`, and after an error of the file, nothing is recorded. `earlier` is what a process has
    recorded that was killed, the time of each row by its id; the file keeps it until the first `replace`.
    """

    def __init__(self, path: Path | None = None, stream: str = "") -> None:
        #: Whether PUBACKs are recorded.
        self.is_usable = path is not None
        self._path = path
        self._seed = zlib.crc32(stream.encode())
        self._file: MappedFile | None = None
        records = b"" if path is None else _read_records(path)
        self._end = len(records)  # where the next one begins
        self.earlier = dict(self._valid_records(records))

    def add(self, row_id: int, created: int) -> bool:
        """Records the PUBACK of a row; returns whether a later process can read it."""
        if self._end >= PUBACK_LOG_BYTES or not self._write(self._record(row_id, created), self._end):
            return False
        self._end += _RECORD_BYTES
        return True

    def replace(self, rows: Iterable[tuple[int, int]]) -> None:
        """Records the PUBACKs of these rows (id, time) only: all others are marked in the journal."""
        if not self._end:
            return
        records = b"".join(self._record(row_id, created) for row_id, created in rows)
        self._write(records.ljust(self._end, b"\0"), 0)
        self._end = len(records)

    def close(self) -> None:
        """Closes the file; nothing is recorded any more."""
        self.is_usable = False
        if self._file is not None:
            self._file.close()

    def _valid_records(self, records: bytes) -> Iterator[tuple[int, int]]:
        for start in range(0, len(records), _RECORD_BYTES):
            row_id, created = _PUBACK.unpack_from(records, start)
            if records[start : start + _RECORD_BYTES] == self._record(row_id, created):
                yield row_id, created

    def _record(self, row_id: int, created: int) -> bytes:
        record = _PUBACK.pack(row_id, created)
        return record + zlib.crc32(record, self._seed).to_bytes(_CHECKSUM_BYTES)

    def _write(self, data: bytes, position: int) -> bool:
        if self._path is None or not self.is_usable:
            return False
        try:
            if self._file is None:
                self._file = MappedFile(self._path, PUBACK_LOG_BYTES)
            self._file.write(data, position)
        except OSError as error:
            self.is_usable = False
            log.warning("acknowledgements of the broker are not recorded", error=error.strerror)
            return False
        return True


def _read_records(path: Path) -> bytes:
    """Returns whole records, up to the last one that is not empty."""
    try:
        with open_to_read(path) as file:
            content = file.read(PUBACK_LOG_BYTES).rstrip(b"\0")
    except OSError:
        return b""
    missing_bytes = -len(content) % _RECORD_BYTES
    return content + bytes(missing_bytes)
