"""Files that were taken and to which no row refers yet: they are not to be swept away in between.

A file whose bytes are still coming: under a temporary name, counted, and gone unless it is finished.

Blocking; `blobs.py` calls it in threads. A wait that is cancelled leaves its thread behind, so one lock keeps
what comes after it from touching a file that is closed.

Files that hold the bytes of messages and commands, named by what is in them; whole or not there at all.

A file is forced to the disk under a temporary name, renamed, and its folder forced too, before anybody hears
of it. Knows nothing of rows: which files rows refer to is told when files are to go.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import structlog

from wx2mqtt.errors import StoreError, Wx2MqttError
from wx2mqtt.model import Blob
from wx2mqtt.store.file_type import SNIFFED_BYTES, file_type_of, image_size
from wx2mqtt.store.files import file_error, sync_folder


class PendingFiles:
    """How many takers of each file have still to write their row. For one thread at a time.

    Whoever never does is forgotten after `lasts` seconds.
    """

    def __init__(self, max_age: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age = max_age
        self._clock = clock
        self._counts: dict[str, tuple[int, float]] = {}

    def add(self, name: str) -> None:
        """Somebody took it."""
        count, _ = self._counts.get(name, (0, 0.0))
        self._counts[name] = count + 1, self._clock()

    def release(self, name: str) -> None:
        """One of them has written the row, or gave up."""
        count, since = self._counts.get(name, (0, 0.0))
        if count > 1:
            self._counts[name] = count - 1, since
        else:
            self._counts.pop(name, None)

    def contains(self, name: str) -> bool:
        """Whether it is to stay."""
        if name not in self._counts:
            return False
        if self._clock() - self._counts[name][1] < self._max_age:
            return True
        del self._counts[name]
        return False


T = TypeVar("T")


PARTIAL_FILE_PREFIX = ".part-"


class PartialFile:
    """One such file in `folder`, mode 0600; `grew` hears how many bytes more, or less, there are on the disk.

    `write` and `finish` raise `StoreFull` and `StoreError`.
    """

    def __init__(self, folder: Path, on_size_change: Callable[[int], None]) -> None:
        self._folder = folder
        self._on_size_change = on_size_change
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._path: Path | None = None
        self._digest = hashlib.sha256()
        self._head = b""
        self._named = self._discarded = False
        self.size = 0

    def write(self, data: bytes) -> None:
        """Put these behind the others."""
        with self._lock:
            self._translate_errors(lambda: self._write(data))

    def finish(self, data: bytes, move_into_place: Callable[[Path, Blob], None]) -> Blob:
        """Write the last bytes, force all to the disk, see what it is; `put` gives the file its name."""
        with self._lock:
            return self._translate_errors(lambda: self._finish(data, move_into_place))

    def discard(self) -> None:
        """Leave nothing behind, unless it was finished. What cannot be taken away goes at the next start."""
        with self._lock, suppress(OSError):
            self._discarded = True
            self._close()

    def _close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)
        path, self._path = self._path, None
        if path is not None and not self._named:
            path.unlink(missing_ok=True)
            self._on_size_change(-self.size)

    def _write(self, data: bytes) -> None:
        handle = self._open()
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        self._digest.update(data)
        self._head += data[: SNIFFED_BYTES - len(self._head)]
        self.size += len(data)
        self._on_size_change(len(data))

    def _finish(self, data: bytes, move_into_place: Callable[[Path, Blob], None]) -> Blob:
        self._write(data)
        os.fsync(self._open())
        assert self._path is not None
        blob = self._blob()
        move_into_place(self._path, blob)
        self._named = True
        self._close()
        return blob

    def _blob(self) -> Blob:
        sha256, sort = self._digest.hexdigest(), file_type_of(self._head, self.size)
        width, height = image_size(self._head, sort.mime) or (None, None)
        return Blob(
            sha256=sha256,
            size=self.size,
            mime=sort.mime,
            path=f"{self._folder.name}/{sha256[:2]}/{sha256}{sort.extension}",
            width=width,
            height=height,
        )

    def _open(self) -> int:
        if self._discarded:
            raise StoreError("nobody waits for this file any more")
        if self._handle is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._handle, name = tempfile.mkstemp(prefix=PARTIAL_FILE_PREFIX, dir=self._folder)
            self._path = Path(name)
        return self._handle

    def _translate_errors(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except OSError as error:
            raise file_error(error, self._folder) from error


log = structlog.get_logger(__name__)


MEDIA_FOLDER = "media"  # below the folder of the store


WRITE_BUFFER_BYTES = 256 * 1024  # bytes that wait for one trip to the disk


CLAIM_SECONDS = 3600.0  # seconds for which a file that came is safe though no row refers to it


_OWN_ONLY = 0o700


class SizeLimitExceeded(Wx2MqttError):
    """More bytes came than may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} bytes came")
        self.limit = limit


class Blobs:
    """The files below `<folder>/media`; one object for each store.

    `size` is what they hold in bytes, with those that are still coming.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._media = folder / MEDIA_FOLDER
        self._lock = threading.Lock()
        self._pending = PendingFiles(CLAIM_SECONDS)
        self.size = 0

    async def open(self) -> None:
        """Take away what dead lives left half done, and see how much there is. Raises `StoreError`."""
        await asyncio.to_thread(self._open)

    async def store(self, chunks: AsyncIterable[bytes] | bytes, limit: int) -> Blob:
        """Put bytes onto the disk, at most `limit`; the caller closes `pieces`.

        Whatever is raised, `SizeLimitExceeded`, `StoreFull`, `StoreError` or what `pieces` raises, leaves
        no file. A
        file that came is safe from `remove` until `referred` is told, for an hour at most.
        """
        part = PartialFile(self._media, self._add_size)
        try:
            rest = chunks if isinstance(chunks, bytes) else await self._gather(part, chunks, limit)
            if part.size + len(rest) > limit:
                raise SizeLimitExceeded(limit)
            return await asyncio.to_thread(part.finish, rest, self._move_into_place)
        except BaseException:
            await asyncio.to_thread(part.discard)
            raise

    def path_of(self, blob: Blob) -> Path:
        """Where it lies."""
        return self._folder / blob.path

    def exists(self, blob: Blob) -> bool:
        """Whether it is there, whole: somebody may have taken it away by hand."""
        return _length(self.path_of(blob)) == blob.size

    def mark_referenced(self, blob: Blob) -> None:
        """A row refers to what one `take` returned, or nobody wants it any more."""
        with self._lock:
            self._pending.release(blob.sha256)

    def remove(self, files: Iterable[Path]) -> int:
        """Take away files to which no row refers, but not those just taken; returns how many bytes went.

        Blocking. To be called where no row can come to refer to them meanwhile.
        """
        return sum(self._unlink(file) for file in files)

    async def older_than(self, seconds: float) -> list[Path]:
        """All files that were taken longer ago than that; `size` is counted anew."""
        return await asyncio.to_thread(self._older, seconds)

    async def _gather(self, part: PartialFile, chunks: AsyncIterable[bytes], limit: int) -> bytes:
        """Write what comes, in few trips to the disk; returns what was not worth one."""
        waiting, count = [], 0
        async for piece in chunks:
            waiting.append(piece)
            count += len(piece)
            if part.size + count > limit:
                raise SizeLimitExceeded(limit)
            if count >= WRITE_BUFFER_BYTES:
                await asyncio.to_thread(part.write, b"".join(waiting))
                waiting, count = [], 0
        return b"".join(waiting)

    def _add_size(self, count: int) -> None:
        with self._lock:
            self.size += count

    def _move_into_place(self, part: Path, blob: Blob) -> None:
        """Give a whole file its name, durably."""
        file = self.path_of(blob)
        file.parent.mkdir(mode=_OWN_ONLY, exist_ok=True)
        with self._lock:
            before = _length(file)
            part.replace(file)
            self.size -= before or 0
            self._pending.add(blob.sha256)
        try:
            sync_folder(file.parent)
            sync_folder(self._media)
        except OSError:
            self._undo_move(file, before)
            raise

    def _undo_move(self, file: Path, before: int | None) -> None:
        """Nobody hears of a file whose name may not last; one that had been there has its rows."""
        with self._lock:
            self._pending.release(sha256_of(file))
            if before is None:
                file.unlink(missing_ok=True)
            else:
                self.size += before

    def _open(self) -> None:
        try:
            self._media.mkdir(mode=_OWN_ONLY, parents=True, exist_ok=True)
            sync_folder(self._folder)
            for part in self._media.glob(f"{PARTIAL_FILE_PREFIX}*"):
                part.unlink(missing_ok=True)
        except OSError as error:
            raise file_error(error, self._media) from error
        self._measure()

    def _older(self, seconds: float) -> list[Path]:
        before = time.time() - seconds
        return [file for file, written in self._measure() if written <= before]

    def _measure(self) -> list[tuple[Path, float]]:
        """Every whole file and when it was taken. `size` is then right; what comes meanwhile counts, too."""
        known, measured = self.size, 0
        found: list[tuple[Path, float]] = []
        for file, size, written in self._files():
            measured += size
            if not file.name.startswith(PARTIAL_FILE_PREFIX):
                found.append((file, written))
        self._add_size(measured - known)
        return found

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        """Every file, its size and when it was written."""
        for folder, _, names in os.walk(self._media):
            for name in names:
                file = Path(folder) / name
                with suppress(OSError):  # went away while we looked
                    found = file.lstat()
                    yield file, found.st_size, found.st_mtime

    def _unlink(self, file: Path) -> int:
        with self._lock:
            if self._pending.contains(sha256_of(file)):
                return 0
            try:
                size = file.lstat().st_size
                file.unlink()
            except FileNotFoundError:
                return 0
            except OSError as error:
                log.warning("media file cannot be removed", problem=str(file_error(error, file)))
                return 0
            self.size -= size
            return size


def sha256_of(file: Path) -> str:
    """What is in a file, as its name says."""
    return file.name.partition(".")[0]


def _length(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None
