"""Bytes of a message: given, made up or uploaded. Read in pieces: a hundred megabytes need no memory."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import random
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

PIECE = 65536
_IN_MEMORY = 1024 * 1024

_MAGIC = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF8", "image/gif"),
    (0, b"BM", "image/bmp"),
    (4, b"ftyp", "video/mp4"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"\x02#!SILK_V3", "audio/silk"),
)
_HEAD = 16


class Content:
    """So many bytes."""

    def __init__(self, size: int) -> None:
        self.size = size

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `stop` (else the end), in pieces of at most 64 KiB."""
        raise NotImplementedError

    @functools.cached_property
    def sha256(self) -> str:
        """In hex."""
        return self._digest("sha256")

    @functools.cached_property
    def md5(self) -> str:
        """In hex; WeChat knows files by it."""
        return self._digest("md5")

    @functools.cached_property
    def mime(self) -> str:
        """What the first bytes say."""
        head = b"".join(self.pieces(0, _HEAD))
        found = (mime for offset, magic, mime in _MAGIC if head.startswith(magic, offset))
        return next(found, "application/octet-stream")

    def _digest(self, name: str) -> str:
        digest = hashlib.new(name, usedforsecurity=False)
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()


class Given(Content):
    """Bytes that somebody gave."""

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data))
        self._data = data

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Slices of them."""
        end = self.size if stop is None else min(stop, self.size)
        for place in range(start, end, PIECE):
            yield self._data[place : min(place + PIECE, end)]


@functools.cache
def _noise() -> bytes:
    return random.Random(0).randbytes(PIECE)


class MadeUp(Content):
    """`size` bytes that begin with `head`; the same for the same `seed`, different for another."""

    def __init__(self, head: bytes, size: int, seed: str) -> None:
        super().__init__(size)
        self._head = head
        self._seed = seed

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Made when they are asked for."""
        end = self.size if stop is None else min(stop, self.size)
        for number in range(start // PIECE, -(-end // PIECE)):
            place = number * PIECE
            yield self._piece(number)[max(start - place, 0) : end - place]

    def _piece(self, number: int) -> bytes:
        mark = hashlib.sha256(f"{self._seed} {number}".encode()).hexdigest().encode()
        piece = mark + _noise()[len(mark) :]
        return (self._head + piece)[:PIECE] if number == 0 else piece


class Uploaded(Content):
    """Bytes that come in parts; what is large lies in a file without a reader until nobody refers to it."""

    def __init__(self) -> None:
        super().__init__(0)
        self._start = bytearray()
        self._file: Path | None = None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def append(self, part: bytes) -> None:
        """Another part."""
        if self._file is None and self.size + len(part) <= _IN_MEMORY:
            self._start += part
        else:
            with (self._file or self._move()).open("ab") as file:
                file.write(part)
        self._md5.update(part)
        self._sha256.update(part)
        self.size += len(part)

    def _move(self) -> Path:
        """From memory to a file, which goes when this goes."""
        number, name = tempfile.mkstemp(prefix="wx2mqtt-simulator-")
        self._file = Path(name)
        weakref.finalize(self, self._file.unlink, missing_ok=True)
        with os.fdopen(number, "wb") as file:
            file.write(self._start)
        self._start.clear()
        return self._file

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Slices, or read from the file."""
        end = self.size if stop is None else min(stop, self.size)
        with self._file.open("rb") if self._file else io.BytesIO(self._start) as file:
            for place in range(start, end, PIECE):
                file.seek(place)
                yield file.read(min(PIECE, end - place))

    @functools.cached_property
    def sha256(self) -> str:
        """In hex; asked when all has come."""
        return self._sha256.hexdigest()

    @functools.cached_property
    def md5(self) -> str:
        """In hex; asked when all has come."""
        return self._md5.hexdigest()
