"""What outlives a killed process in small files that are mapped into memory, but not a power cut.

    log.add(17, created)                        the broker has acknowledged publication 17
    the process is killed before its commit     the next process finds {17: created} in `PubackLog.earlier`

    a message is read          its mark is in the file until it is stored (`ProcessingMarks`)
    the process is killed      the next one finds the mark, and counts: `MAX_KILLS` make the message fatal
    a fatal message comes      the bridge leaves it out, so that it does not end the process again

Both files change with each message: a change is no system call (`MappedFile`). With PostgreSQL the kills of
all instances count together (`shared_marks.py`).
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
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import structlog
from typing_extensions import override

from wx2mqtt.aio import Signal
from wx2mqtt.clock import boot_time
from wx2mqtt.store.atomic_files import open_regular, open_to_read

log = structlog.get_logger(__name__)

# Behind the name of an account; a purge removes the file with the saved login.
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

    Without a `path`, and after an error of the file, nothing is recorded.
    """

    def __init__(self, path: Path | None = None, stream: str = "") -> None:
        #: Whether PUBACKs are recorded.
        self.is_usable = path is not None
        #: What a killed process has recorded: the time of each row by its id. `replace` removes it.
        self.earlier: dict[int, int] = {}
        self._seed = zlib.crc32(stream.encode())
        self._file = MappedFile(path, PUBACK_LOG_BYTES, "acknowledgements of the broker are not recorded")
        records = _read_records(path)
        self._end = len(records)  # where the next one begins
        for start in range(0, len(records), _RECORD_BYTES):
            row_id, created = _PUBACK.unpack_from(records, start)
            if records[start : start + _RECORD_BYTES] == self._record(row_id, created):
                self.earlier[row_id] = created

    def add(self, row_id: int, created: int) -> bool:
        """Records the PUBACK of a row; returns whether a later process can read it."""
        if self._end >= PUBACK_LOG_BYTES:
            return False
        self.is_usable = self._file.write(self._record(row_id, created), self._end)
        if self.is_usable:
            self._end += _RECORD_BYTES
        return self.is_usable

    def replace(self, rows: Iterable[tuple[int, int]]) -> None:
        """Records the PUBACKs of these rows (id, time) only: all others are marked in the journal."""
        if not self._end:
            return
        records = bytearray()
        for row_id, created in rows:
            records += self._record(row_id, created)
        self.is_usable = self._file.write(records.ljust(self._end, b"\0"), 0)
        self._end = len(records)

    def close(self) -> None:
        """Closes the file; nothing is recorded any more."""
        self.is_usable = False
        self._file.close()

    def _record(self, row_id: int, created: int) -> bytes:
        record = _PUBACK.pack(row_id, created)
        return record + zlib.crc32(record, self._seed).to_bytes(_CHECKSUM_BYTES)


def _read_records(path: Path | None) -> bytes:
    """Returns whole records, up to the last one that is not empty."""
    content = _content(path, PUBACK_LOG_BYTES).rstrip(b"\0")
    missing_bytes = -len(content) % _RECORD_BYTES
    return content + bytes(missing_bytes)


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


class ProcessingMarks(AbstractContextManager[object]):
    """Marks the message that is being processed, in a file, so that one that ends the process is found.

    A message is read in one block of `processing` and stored in another. The mark in the file:

        a block begins    that of its message, with the number of kills in a row so far
        the block ends    the same; it is removed in the next turn of the event loop, or by `clear`

    The suspect is the message at which the last process was killed. Its mark is removed with its block: the
    next kills are decisive, and one right after the block is not its fault.

    The file is not synchronised: that costs microseconds, and a message that ends the process does not end
    the machine. A file that cannot be written, or no `path`, marks nothing. `fatal` are the marks of messages
    that ended processes elsewhere (`SharedMarks`).
    """

    def __init__(self, path: Path | None = None, fatal: Sequence[str] = ()) -> None:
        #: Emitted about once a second while messages are processed.
        self.progressed: Signal[[]] = Signal()
        warning = "messages are not marked while they are processed"
        self._file = MappedFile(path, _MARK_BYTES + _FATAL_BYTES, warning)
        #: Key and mark of the message of the last block; None before the first one.
        self._key: str | None = None
        self._mark = _NO_MESSAGE
        self._is_last_block = True
        #: The mark that is in the file.
        self._written = _NO_MESSAGE
        #: The call that removes the mark in the next turn of the event loop; None while none is planned.
        self._clearing: asyncio.Handle | None = None
        #: When `progressed` was emitted last (`boot_time`).
        self._reported_at = 0.0
        #: The mark of the suspect, its kills in a row, and the marks of fatal messages.
        self._suspect, self._kills, self._fatal = read_marks(path)
        self._fatal += fatal
        if self._kills >= MAX_KILLS:
            self._fatal = [*self._fatal, self._suspect][-MAX_FATAL_MESSAGES:]
            fatal_lines = "".join(f"{mark}\n" for mark in self._fatal)
            self._file.write(fatal_lines.ljust(_FATAL_BYTES, "\0").encode(), _MARK_BYTES)
            self._write_mark(_NO_MESSAGE, 0)

    def is_fatal(self, key: str) -> bool:
        """Returns whether `MAX_KILLS` processes in a row were killed while they processed this message."""
        return bool(self._fatal) and _mark_of(key) in self._fatal

    def processing(self, key: str, *, is_last: bool = False) -> AbstractContextManager[object]:
        """Marks a message in a block without `await`: of one process, one message is marked at a time.

        A message has been processed when its block with `is_last` ends without an error.
        """
        if key != self._key:
            self._key, self._mark = key, _mark_of(key)
        self._is_last_block = is_last
        if self._written != self._mark:
            self._write_mark(self._mark, self._kills if self._mark == self._suspect else 0)
        return self

    @override
    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._mark == self._suspect:
            self._write_mark(_NO_MESSAGE, 0)
        if self._clearing is None:
            try:
                self._clearing = asyncio.get_running_loop().call_soon(self.clear)
            except RuntimeError:  # no event loop runs
                self._write_mark(_NO_MESSAGE, 0)
        if kind is not None:  # an error of the block: the message is not processed yet
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
        self._file.close()

    def _write_mark(self, mark: str, kills: int) -> None:
        self._written = mark
        self._file.write(f"{mark} {kills}".ljust(_MARK_BYTES - 1).encode() + b"\n", 0)


def read_marks(path: Path | None) -> tuple[str, int, list[str]]:
    """Returns the message that was marked when the last process ended, how often by now, and fatal ones."""
    # Damaged bytes are left out: a file that cannot be read at all would never mark anything again.
    text = _content(path, _MAX_READ_BYTES).decode("ascii", "ignore").replace("\0", "")
    first, *fatal = text.split("\n")
    mark, _, kills = first.strip().partition(" ")
    fatal = [line for line in fatal if _MARK.fullmatch(line)][:MAX_FATAL_MESSAGES]
    if not _MARK.fullmatch(mark) or kills not in map(str, range(MAX_KILLS)):
        return _NO_MESSAGE, 0, fatal
    return mark, int(kills) + 1, fatal


def _mark_of(key: str) -> str:
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).hexdigest()


def _content(path: Path | None, limit: int) -> bytes:
    """Returns what a killed process has left in a file, at most `limit` bytes; nothing without a file."""
    if path is None:
        return b""
    try:
        with open_to_read(path) as file:
            return file.read(limit)
    except OSError:
        return b""


class MappedFile:
    """A file of `size` bytes, mode 0600, in memory that the kernel writes back, also after a kill.

    It is opened by the first `write`. All blocks are written then: a full disk is an `OSError`, and not a
    signal at a later change. After an error, which is logged as `warning`, nothing is written any more.
    """

    def __init__(self, path: Path | None, size: int, warning: str) -> None:
        self._path = path
        self._size = size
        self._warning = warning
        self._memory: mmap.mmap | None = None

    def write(self, data: bytes | bytearray, position: int) -> bool:
        """Changes bytes within the size; returns whether they will outlive the process."""
        if self._path is None:
            return False
        try:
            if self._memory is None:
                self._memory = _mapped(self._path, self._size)
        except OSError as error:
            self._path = None
            log.warning(self._warning, error=error.strerror)
            return False
        self._memory[position : position + len(data)] = data
        return True

    def close(self) -> None:
        """Ends the mapping; nothing is written any more."""
        self._path = None
        if self._memory is not None:
            self._memory.close()


def _mapped(path: Path, size: int) -> mmap.mmap:
    handle = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        missing = size - os.fstat(handle).st_size
        if missing > 0 and os.pwrite(handle, bytes(missing), size - missing) < missing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(handle, size)
        return mmap.mmap(handle, size)
    finally:
        os.close(handle)
