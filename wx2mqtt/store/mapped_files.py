"""A small file that is mapped into memory: it outlives a killed process, but not a power cut.

    log.add(17, created)                        the broker has acknowledged publication 17
    the process is killed before its commit     the next process finds {17: created} in `PubackLog.earlier`

`ProcessingMarks` has such a file, too. Both change with each message: a change is no system call.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import structlog

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
    if path is None:
        return b""
    try:
        with open_to_read(path) as file:
            content = file.read(PUBACK_LOG_BYTES).rstrip(b"\0")
    except OSError:
        return b""
    missing_bytes = -len(content) % _RECORD_BYTES
    return content + bytes(missing_bytes)


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
