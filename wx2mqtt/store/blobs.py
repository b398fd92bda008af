"""Files that hold the bytes of messages and commands, named by what is in them; whole or not there at all.

A file is forced to the disk under a temporary name, renamed, and its folder forced too, before anybody hears
of it. Knows nothing of rows: which files rows refer to is told when files are to go.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterable, Iterable, Iterator
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
CLAIMED = 3600.0  # seconds for which a file that came is safe though no row refers to it
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
        self._claims = Claims(CLAIMED)
        self.size = 0

    async def open(self) -> None:
        """Take away what dead lives left half done, and see how much there is. Raises `StoreError`."""
        await asyncio.to_thread(self._open)

    async def take(self, pieces: AsyncIterable[bytes] | bytes, limit: int) -> Blob:
        """Put bytes onto the disk, at most `limit`; the caller closes `pieces`.

        Whatever is raised, `TooMuch`, `StoreFull`, `StoreError` or what `pieces` raises, leaves no file. A
        file that came is safe from `remove` until `referred` is told, for an hour at most.
        """
        part = Part(self._media, self._grow)
        try:
            rest = pieces if isinstance(pieces, bytes) else await self._gather(part, pieces, limit)
            if part.size + len(rest) > limit:
                raise TooMuch(limit)
            return await asyncio.to_thread(part.finish, rest, self._put)
        except BaseException:
            await asyncio.to_thread(part.discard)
            raise

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

    def remove(self, files: Iterable[Path]) -> int:
        """Take away files to which no row refers, but not those just taken; returns how many bytes went.

        Blocking. To be called where no row can come to refer to them meanwhile.
        """
        return sum(self._unlink(file) for file in files)

    async def older(self, seconds: float) -> list[Path]:
        """All files that were taken longer ago than that; `size` is counted anew."""
        return await asyncio.to_thread(self._older, seconds)

    async def _gather(self, part: Part, pieces: AsyncIterable[bytes], limit: int) -> bytes:
        """Write what comes, in few trips to the disk; returns what was not worth one."""
        waiting, count = [], 0
        async for piece in pieces:
            waiting.append(piece)
            count += len(piece)
            if part.size + count > limit:
                raise TooMuch(limit)
            if count >= GATHERED:
                await asyncio.to_thread(part.write, b"".join(waiting))
                waiting, count = [], 0
        return b"".join(waiting)

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
            self._claims.end(sha256_of(file))
            if before is None:
                file.unlink(missing_ok=True)
            else:
                self.size += before

    def _open(self) -> None:
        try:
            self._media.mkdir(mode=_OWN_ONLY, parents=True, exist_ok=True)
            sync_folder(self._folder)
            for part in self._media.glob(f"{PREFIX}*"):
                part.unlink(missing_ok=True)
        except OSError as error:
            raise file_trouble(error, self._media) from error
        self._measured()

    def _older(self, seconds: float) -> list[Path]:
        before = time.time() - seconds
        return [file for file, written in self._measured() if written <= before]

    def _measured(self) -> list[tuple[Path, float]]:
        """Every whole file and when it was taken. `size` is then right; what comes meanwhile counts, too."""
        known, measured = self.size, 0
        found: list[tuple[Path, float]] = []
        for file, size, written in self._files():
            measured += size
            if not file.name.startswith(PREFIX):
                found.append((file, written))
        self._grow(measured - known)
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
            if self._claims.holds(sha256_of(file)):
                return 0
            try:
                size = file.lstat().st_size
                file.unlink()
            except FileNotFoundError:
                return 0
            except OSError as error:
                log.warning("media file cannot be removed", problem=str(file_trouble(error, file)))
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
