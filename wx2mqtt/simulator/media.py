"""Bytes of a message: given, made up or uploaded. Read in pieces: a hundred megabytes need no memory.

The bytes of messages, and how the servers give them out. Knows no HTTP and no login.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import random
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wx2mqtt.simulator import app_message_kinds, samples
from wx2mqtt.simulator.settings import GoneAnswer

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


class ByteSource:
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


class GivenBytes(ByteSource):
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


class GeneratedBytes(ByteSource):
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


class UploadedBytes(ByteSource):
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


STORE_STICKER = "store_sticker"
"""Comes without anything to fetch (webwx 2.16.8)."""


KEPT = 20_000
"""So many messages with bytes are kept."""


_MARK = 64


_KINDS = {
    "image": "image",
    "image_token": "image",
    "private_image": "image",
    "voice": "voice",
    "video": "video",
    "iphone_video": "video",
    "micro_video": "video",
    "sticker": "sticker",
    "app_image": "image",
    "app_sticker": "sticker",
    "file": "file",
}


_PICTURED = frozenset(
    {
        *("image", "image_token", "private_image", "video", "iphone_video", "micro_video", "app_image"),
        *app_message_kinds.PICTURED,
        *("location", "location_48"),
    }
)
"""Kinds that have a small picture: thumbnails, the covers of links, maps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFile:
    """What the phone says of a file."""

    name: str
    size: int
    mime: str


@dataclass(slots=True, kw_only=True)
class MessageMedia:
    """What a message brings: the thing itself, a small picture of it, or both.

    `side` is who stands as FromUserName in the message: the other person or group, or the owner. `empty`
    is how many first answers have no bytes; None: as many as the setting says.
    """

    kind: str
    side: str
    name: str = ""
    content: ByteSource | None = None
    thumbnail: ByteSource | None = None
    gone: GoneAnswer = ""
    empty: int | None = None
    given: Counter[str] = field(default_factory=Counter)


def shown(attachment: MessageMedia | None) -> ShownFile | None:
    """What the phone says of it; None where there is no file, but at most a small picture."""
    if attachment is None or attachment.content is None:
        return None
    content = attachment.content
    return ShownFile(name=attachment.name, size=content.size, mime=content.mime)


def has_bytes(kind: str) -> bool:
    """Whether messages of that kind bring a file."""
    return kind in _KINDS


def made_up(kind: str, msg_id: str, size: int | None = None) -> ByteSource:
    """A file of that kind that no other message has; without a `size` it is small."""
    head = samples.of_kind(_KINDS[kind])
    return GeneratedBytes(head, len(head) + _MARK if size is None else size, msg_id)


def attach(kind: str, msg_id: str, side: str, content: ByteSource | None = None) -> MessageMedia | None:
    """What a message of that kind brings; None for a text."""
    thumbnail = None
    if kind in _PICTURED:
        head = samples.sample("thumb.jpg")
        thumbnail = GeneratedBytes(head, len(head) + _MARK, f"{msg_id} thumbnail")
    if content is None and has_bytes(kind):
        content = made_up(kind, msg_id)
    if content is None and thumbnail is None and kind != STORE_STICKER:
        return None
    return MessageMedia(kind=kind, side=side, content=content, thumbnail=thumbnail)


def avatar(number: int) -> ByteSource:
    """Somebody's picture; another number, another picture."""
    head = samples.sample("avatar.jpg")
    return GeneratedBytes(head, len(head) + _MARK, f"avatar {number}")


class MediaStore:
    """All attachments by message id, and how many downloads are under way."""

    def __init__(self) -> None:
        self._all: dict[str, MessageMedia] = {}
        self.active_downloads: list[ByteSource] = []
        self.max_concurrent = 0

    def put(self, msg_id: str, attachment: MessageMedia) -> None:
        """Keep what a message brings; of very many the oldest go."""
        self._all[msg_id] = attachment
        if len(self._all) > KEPT:
            del self._all[next(iter(self._all))]

    def find(self, msg_id: str) -> MessageMedia | None:
        """What a message brings."""
        return self._all.get(msg_id)

    def avatar(self, contact_id: str, number: int) -> MessageMedia:
        """Somebody's picture; with another number it is another one."""
        name = f"avatar:{contact_id}:{number}"
        if name not in self._all:
            self._all[name] = MessageMedia(kind="avatar", side=contact_id, content=avatar(number))
        return self._all[name]

    def sticker(self, md5: str) -> MessageMedia | None:
        """A sticker that came, by the MD5 in its XML."""
        found = (one for one in self._all.values() if one.kind == "sticker" and one.content)
        return next((one for one in found if one.content and one.content.md5 == md5), None)

    def start_download(self, content: ByteSource) -> None:
        """A download begins."""
        self.active_downloads.append(content)
        self.max_concurrent = max(self.max_concurrent, len(self.active_downloads))

    def finish_download(self, content: ByteSource) -> None:
        """It is over."""
        self.active_downloads.remove(content)
