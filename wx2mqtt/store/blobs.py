"""The files of messages and commands, named by the SHA-256 of their content; each is complete or absent.

    blob = await blobs.store(b"...", limit=1_000_000)  # media/9f/9f86d081….jpg
    a row that refers to it is stored
    blobs.mark_referenced(blob)

A file is written under a temporary name, forced to the disk, renamed, and its folder is forced to the disk,
before a caller gets it. Rows are unknown here: callers say which files no row refers to. A file is pending
while its row is still to be stored; `remove` spares it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import suppress
from pathlib import Path

import structlog

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Blob
from wx2mqtt.store.atomic_files import PRIVATE_FOLDER_MODE, file_error, file_errors, make_folder, sync_folder
from wx2mqtt.store.database import Connection
from wx2mqtt.store.partial_file import PARTIAL_FILE_PREFIX, PartialFile

log = structlog.get_logger(__name__)

# Within the folder of the store.
MEDIA_FOLDER = "media"

# Bytes that are collected for one write in a thread.
WRITE_BUFFER_BYTES = 256 * 1024

# A file is pending for this time at most.
PENDING_SECONDS = 3600.0


class SizeLimitExceeded(Wx2MqttError):
    """More bytes came than are allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} bytes came")
        self.limit = limit


class Blobs:
    """The files within `<folder>/media`; one object for each store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._media = folder / MEDIA_FOLDER
        #: Guards `_pending` and `size`; held while a file is renamed or deleted, too.
        self._lock = threading.Lock()
        #: The SHA-256 of each file for which a caller has still to store a row.
        self._pending = PendingFiles(PENDING_SECONDS)
        #: The sum of all files in bytes, with those that are being written.
        self.size = 0

    async def open(self) -> None:
        """Deletes partial files of earlier processes and measures the others. Raises `StoreError`."""
        await asyncio.to_thread(self._open)

    async def store(self, chunks: AsyncIterable[bytes] | bytes, limit: int) -> Blob:
        """Stores at most `limit` bytes as a file; the caller closes `chunks`.

        Raises `SizeLimitExceeded`, `StoreFull`, `StoreError` and what `chunks` raises; no file is left then.
        `remove` spares the file until `mark_referenced` is called for it, for an hour at most.
        """
        partial_file = PartialFile(self._media, self._add_size)
        try:
            if isinstance(chunks, bytes):
                rest = chunks
            else:
                rest = await self._write_chunks(partial_file, chunks, limit)
            if partial_file.size + len(rest) > limit:
                raise SizeLimitExceeded(limit)
            return await asyncio.to_thread(partial_file.finish, rest, self._move_into_place)
        except BaseException:
            await asyncio.to_thread(partial_file.discard)
            raise

    def path_of(self, blob: Blob) -> Path:
        """Returns where the file is, or would be."""
        return self._folder / blob.path

    def exists(self, blob: Blob) -> bool:
        """Returns whether the file is there with its full size: someone may have deleted it by hand."""
        return _size_of(self.path_of(blob)) == blob.size

    async def fetch(self, blob: Blob) -> bool:
        """Brings a stored file into the folder; returns whether it is there. Raises `StoreError`."""
        return await asyncio.to_thread(self.exists, blob)

    def mark_referenced(self, blob: Blob) -> None:
        """Makes a file that `store` returned pending no more: its row is stored, or it is not wanted.

        Each `store` of the same content needs a call of its own.
        """
        with self._lock:
            self._pending.release(blob.sha256)

    def remove(self, paths: Iterable[Path], connection: Connection | None = None) -> int:  # noqa: ARG002
        """Deletes files to which no row refers, except pending ones; returns the bytes deleted.

        Blocking. Call this within a write job, with its connection: no row can start to refer to the files
        then. `DatabaseBlobs` deletes them in its transaction.
        """
        return sum(self._unlink(path) for path in paths)

    async def older_than(self, seconds: float) -> list[Path]:
        """Returns all files that were stored longer ago than that; corrects `size`."""
        before = time.time() - seconds
        measured = await asyncio.to_thread(self._measure)
        return [path for path, modified in measured if modified <= before]

    async def _write_chunks(
        self, partial_file: PartialFile, chunks: AsyncIterable[bytes], limit: int
    ) -> bytes:
        """Writes chunks in few thread calls; returns the last bytes, which are not written yet."""
        buffered: list[bytes] = []
        count = 0
        async for chunk in chunks:
            buffered.append(chunk)
            count += len(chunk)
            if partial_file.size + count > limit:
                raise SizeLimitExceeded(limit)
            if count >= WRITE_BUFFER_BYTES:
                await asyncio.to_thread(partial_file.write, b"".join(buffered))
                buffered = []
                count = 0
        return b"".join(buffered)

    def _add_size(self, count: int) -> None:
        with self._lock:
            self.size += count

    def _move_into_place(self, partial_path: Path, blob: Blob) -> None:
        """Gives a complete file its final name, durably."""
        path = self.path_of(blob)
        path.parent.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
        with self._lock:
            size_before = _size_of(path)
            partial_path.replace(path)
            self._pending.add(blob.sha256)
        try:
            sync_folder(path.parent)
            sync_folder(self._media)
        except OSError:
            with self._lock:
                self._pending.release(blob.sha256)
                if size_before is None:  # else there may be rows for the file that was there before
                    path.unlink(missing_ok=True)
            raise
        self._add_size(-(size_before or 0))

    def _open(self) -> None:
        with file_errors(self._media):
            make_folder(self._media)
            for partial_path in self._media.glob(f"{PARTIAL_FILE_PREFIX}*"):
                partial_path.unlink(missing_ok=True)
        self._measure()

    def _measure(self) -> list[tuple[Path, float]]:
        """Corrects `size`; returns every complete file and when it was written (Unix time)."""
        size_before = self.size  # what is written during the walk is added to `size` meanwhile
        measured = 0
        complete: list[tuple[Path, float]] = []
        for folder, _, names in os.walk(self._media):
            for name in names:
                path = Path(folder) / name
                with suppress(OSError):  # deleted meanwhile
                    status = path.lstat()
                    measured += status.st_size
                    if not name.startswith(PARTIAL_FILE_PREFIX):
                        complete.append((path, status.st_mtime))
        self._add_size(measured - size_before)
        return complete

    def _unlink(self, path: Path) -> int:
        """Deletes a file unless it is pending; returns its bytes."""
        with self._lock:
            if self._pending.contains(sha256_of(path)):
                return 0
            try:
                size = path.lstat().st_size
                path.unlink()
            except FileNotFoundError:
                return 0
            except OSError as error:
                log.warning("media file cannot be removed", problem=str(file_error(error, path)))
                return 0
        self._add_size(-size)
        return size


class PendingFiles:
    """Counts for each file how many callers have still to store a row for it. Not thread-safe.

    A file whose callers never store one is released after `max_age` seconds.
    """

    def __init__(self, max_age: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age = max_age
        self._clock = clock
        #: By file: how many callers there are, and when the last one was added.
        self._counts: dict[str, tuple[int, float]] = {}

    def add(self, name: str) -> None:
        """Counts one more caller; the age starts again at zero."""
        count, _ = self._counts.get(name, (0, 0.0))
        self._counts[name] = (count + 1, self._clock())

    def release(self, name: str) -> None:
        """Counts one caller less: it stored its row, or does not want the file."""
        count, since = self._counts.get(name, (0, 0.0))
        if count > 1:
            self._counts[name] = (count - 1, since)
        else:
            self._counts.pop(name, None)

    def contains(self, name: str) -> bool:
        """Returns whether a caller has still to store a row for the file."""
        if name not in self._counts:
            return False
        _, since = self._counts[name]
        if self._clock() - since >= self._max_age:
            del self._counts[name]
            return False
        return True


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 in the name of a file."""
    return path.name.partition(".")[0]


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
