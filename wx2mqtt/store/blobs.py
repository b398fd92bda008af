"""Files that hold the bytes of messages and commands, named by what is in them; whole or not there at all.

A file is forced to the disk under a temporary name, renamed, and its folder forced too, before anybody hears
of it. Knows nothing of rows: which files rows refer to is told when files are to go.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import AsyncIterable, Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import structlog

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Blob
from wx2mqtt.store.claims import Claims
from wx2mqtt.store.faults import file_trouble
from wx2mqtt.store.files import sync_folder
from wx2mqtt.store.parts import PREFIX, Part

log = structlog.get_logger(__name__)

MEDIA = "media"  # below the folder of the store
GATHERED = 256 * 1024  # bytes that wait for one trip to the disk
ORPHANED = 3600.0  # seconds after which a file goes to which nobody refers
_OWN_ONLY = 0o700


class TooMuch(Wx2MqttError):
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
        self._media = folder / MEDIA
        self._lock = threading.Lock()
        self._claims = Claims(ORPHANED)
        self.size = 0

    async def open(self) -> None:
        """Take away what dead lives left half done, and see how much there is. Raises `StoreError`."""
        await asyncio.to_thread(self._open)

    async def take(self, pieces: AsyncIterable[bytes] | bytes, limit: int) -> Blob:
        """Put bytes onto the disk, at most `limit`; the caller closes `pieces`.

        Whatever is raised, `TooMuch`, `StoreFull`, `StoreError` or what `pieces` raises, leaves no file. A
        file that came is safe from `sweep` and `remove` until `referred` is told, for an hour at most.
        """
        part = Part(self._media)
        try:
            if isinstance(pieces, bytes):
                await self._write(part, pieces, limit)
            else:
                await self._gather(part, pieces, limit)
            return await asyncio.to_thread(part.finish, self._put)
        finally:
            await asyncio.to_thread(self._discard, part)

    def file(self, blob: Blob) -> Path:
        """Where it lies."""
        return self._folder / blob.path

    def has(self, blob: Blob) -> bool:
        """Whether it is there, whole: somebody may have taken it away by hand."""
        return _length(self.file(blob)) == blob.size

    def referred(self, blob: Blob) -> None:
        """A row refers to what one `take` returned, or nobody wants it any more."""
        with self._lock:
            self._claims.end(blob.sha256)

    def remove(self, blobs: Iterable[Blob]) -> int:
        """Take away files to which no row refers; not those just taken. Returns how many bytes went.

        Blocking. To be called where no row can come to refer to them meanwhile.
        """
        return sum(self._unlink(self.file(blob), math.inf) for blob in blobs)

    async def sweep(self, referenced: Collection[str], older: float = ORPHANED) -> int:
        """Take away what nobody refers to and is older than so many seconds; returns how many bytes went.

        `referenced` are the sha256 to which rows referred a moment ago.
        """
        return await asyncio.to_thread(self._sweep, referenced, older)

    async def _gather(self, part: Part, pieces: AsyncIterable[bytes], limit: int) -> None:
        waiting, count = [], 0
        async for piece in pieces:
            waiting.append(piece)
            count += len(piece)
            if count >= GATHERED or part.size + count > limit:
                await self._write(part, b"".join(waiting), limit)
                waiting, count = [], 0
        await self._write(part, b"".join(waiting), limit)

    async def _write(self, part: Part, data: bytes, limit: int) -> None:
        if part.size + len(data) > limit:
            raise TooMuch(limit)
        await asyncio.to_thread(part.write, data)
        self._grow(len(data))

    def _discard(self, part: Part) -> None:
        if part.discard():
            self._grow(-part.size)

    def _grow(self, count: int) -> None:
        with self._lock:
            self.size += count

    def _put(self, part: Path, blob: Blob) -> None:
        """Give a whole file its name, durably."""
        file = self.file(blob)
        file.parent.mkdir(mode=_OWN_ONLY, exist_ok=True)
        with self._lock:
            before = _length(file)
            part.replace(file)
            self.size -= before or 0
            self._claims.begin(blob.sha256)
        try:
            sync_folder(file.parent)
            sync_folder(self._media)
        except OSError:
            self._take_back(file, before)
            raise

    def _take_back(self, file: Path, before: int | None) -> None:
        """Nobody hears of a file whose name may not last; one that had been there has its rows."""
        with self._lock:
            self._claims.end(_sha256(file))
            if before is None:
                file.unlink(missing_ok=True)
            else:
                self.size += before

    def _open(self) -> None:
        try:
            self._media.mkdir(mode=_OWN_ONLY, parents=True, exist_ok=True)
            for part in self._media.glob(f"{PREFIX}*"):
                part.unlink(missing_ok=True)
        except OSError as error:
            raise file_trouble(error, self._media) from error
        self._measure()

    def _measure(self) -> None:
        """What comes or goes while we look counts, too."""
        before = self.size
        measured = sum(size for _, size, _ in self._files())
        self._grow(measured - before)

    def _sweep(self, referenced: Collection[str], older: float) -> int:
        now = time.time()
        gone = 0
        for file, _, written in self._files():
            limit = now - (ORPHANED if file.name.startswith(PREFIX) else older)
            if written <= limit and _sha256(file) not in referenced:
                gone += self._unlink(file, limit)
        self._measure()
        return gone

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        """Every file, its size and when it was written."""
        for folder, _, names in os.walk(self._media):
            for name in names:
                file = Path(folder) / name
                with suppress(OSError):  # went away while we looked
                    found = file.lstat()
                    yield file, found.st_size, found.st_mtime

    def _unlink(self, file: Path, before: float) -> int:
        """Unless it was taken, or taken again, after `before`."""
        with self._lock:
            try:
                found = file.lstat()
                if found.st_mtime > before or self._claims.holds(_sha256(file)):
                    return 0
                file.unlink()
            except FileNotFoundError:
                return 0
            except OSError as error:
                log.warning("media file cannot be removed", problem=str(file_trouble(error, file)))
                return 0
            self.size -= found.st_size
            return found.st_size


def _sha256(file: Path) -> str:
    return file.name.partition(".")[0]


def _length(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None
