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

PIECE_BYTES = 65536


_MAX_IN_MEMORY_BYTES = 1024 * 1024


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


_SNIFFED_BYTES = 16


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
        head = b"".join(self.pieces(0, _SNIFFED_BYTES))
        types = (mime for offset, magic, mime in _MAGIC if head.startswith(magic, offset))
        return next(types, "application/octet-stream")

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
        for offset in range(start, end, PIECE_BYTES):
            yield self._data[offset : min(offset + PIECE_BYTES, end)]


@functools.cache
def _noise() -> bytes:
    return random.Random(0).randbytes(PIECE_BYTES)


class GeneratedBytes(ByteSource):
    """`size` bytes that begin with `head`; the same for the same `seed`, different for another."""

    def __init__(self, head: bytes, size: int, seed: str) -> None:
        super().__init__(size)
        self._head = head
        self._seed = seed

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Made when they are asked for."""
        end = self.size if stop is None else min(stop, self.size)
        for index in range(start // PIECE_BYTES, -(-end // PIECE_BYTES)):
            offset = index * PIECE_BYTES
            yield self._piece(index)[max(start - offset, 0) : end - offset]

    def _piece(self, index: int) -> bytes:
        label = hashlib.sha256(f"{self._seed} {index}".encode()).hexdigest().encode()
        piece = label + _noise()[len(label) :]
        return (self._head + piece)[:PIECE_BYTES] if index == 0 else piece


class UploadedBytes(ByteSource):
    """Bytes that come in parts; what is large lies in a file without a reader until nobody refers to it."""

    def __init__(self) -> None:
        super().__init__(0)
        self._buffer = bytearray()
        self._file: Path | None = None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def append(self, part: bytes) -> None:
        """Another part."""
        if self._file is None and self.size + len(part) <= _MAX_IN_MEMORY_BYTES:
            self._buffer += part
        else:
            with (self._file or self._move_to_file()).open("ab") as file:
                file.write(part)
        self._md5.update(part)
        self._sha256.update(part)
        self.size += len(part)

    def _move_to_file(self) -> Path:
        """From memory to a file, which goes when this goes."""
        descriptor, name = tempfile.mkstemp(prefix="wx2mqtt-simulator-")
        self._file = Path(name)
        weakref.finalize(self, self._file.unlink, missing_ok=True)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._buffer)
        self._buffer.clear()
        return self._file

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Slices, or read from the file."""
        end = self.size if stop is None else min(stop, self.size)
        with self._file.open("rb") if self._file else io.BytesIO(self._buffer) as file:
            for offset in range(start, end, PIECE_BYTES):
                file.seek(offset)
                yield file.read(min(PIECE_BYTES, end - offset))

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


MAX_MESSAGES = 20_000
"""So many messages with bytes are kept."""


_UNIQUE_TAIL_BYTES = 64


_SAMPLE_OF_KIND = {
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


_KINDS_WITH_THUMBNAIL = frozenset(
    {
        *("image", "image_token", "private_image", "video", "iphone_video", "micro_video", "app_image"),
        *app_message_kinds.KINDS_WITH_THUMBNAIL,
        *("location", "location_48"),
    }
)
"""Kinds that have a small picture: thumbnails, the covers of links, maps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDescription:
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
    from_id: str
    name: str = ""
    content: ByteSource | None = None
    thumbnail: ByteSource | None = None
    gone: GoneAnswer = ""
    empty_answers: int | None = None
    answers_given: Counter[str] = field(default_factory=Counter)


def describe_file(attachment: MessageMedia | None) -> FileDescription | None:
    """What the phone says of it; None where there is no file, but at most a small picture."""
    if attachment is None or attachment.content is None:
        return None
    content = attachment.content
    return FileDescription(name=attachment.name, size=content.size, mime=content.mime)


def has_bytes(kind: str) -> bool:
    """Whether messages of that kind bring a file."""
    return kind in _SAMPLE_OF_KIND


def generate_file(kind: str, msg_id: str, size: int | None = None) -> ByteSource:
    """A file of that kind that no other message has; without a `size` it is small."""
    head = samples.sample_of_kind(_SAMPLE_OF_KIND[kind])
    return GeneratedBytes(head, len(head) + _UNIQUE_TAIL_BYTES if size is None else size, msg_id)


def make_media(
    kind: str, msg_id: str, from_id: str, content: ByteSource | None = None
) -> MessageMedia | None:
    """What a message of that kind brings; None for a text."""
    thumbnail = None
    if kind in _KINDS_WITH_THUMBNAIL:
        head = samples.sample("thumb.jpg")
        thumbnail = GeneratedBytes(head, len(head) + _UNIQUE_TAIL_BYTES, f"{msg_id} thumbnail")
    if content is None and has_bytes(kind):
        content = generate_file(kind, msg_id)
    if content is None and thumbnail is None and kind != STORE_STICKER:
        return None
    return MessageMedia(kind=kind, from_id=from_id, content=content, thumbnail=thumbnail)


def generate_avatar(number: int) -> ByteSource:
    """Somebody's picture; another number, another picture."""
    head = samples.sample("avatar.jpg")
    return GeneratedBytes(head, len(head) + _UNIQUE_TAIL_BYTES, f"avatar {number}")


class MediaStore:
    """All attachments by message id, and how many downloads are under way."""

    def __init__(self) -> None:
        self._by_id: dict[str, MessageMedia] = {}
        self.active_downloads: list[ByteSource] = []
        self.max_concurrent = 0

    def put(self, msg_id: str, attachment: MessageMedia) -> None:
        """Keep what a message brings; of very many the oldest go."""
        self._by_id[msg_id] = attachment
        if len(self._by_id) > MAX_MESSAGES:
            del self._by_id[next(iter(self._by_id))]

    def find(self, msg_id: str) -> MessageMedia | None:
        """What a message brings."""
        return self._by_id.get(msg_id)

    def avatar(self, contact_id: str, number: int) -> MessageMedia:
        """Somebody's picture; with another number it is another one."""
        name = f"avatar:{contact_id}:{number}"
        if name not in self._by_id:
            self._by_id[name] = MessageMedia(
                kind="avatar", from_id=contact_id, content=generate_avatar(number)
            )
        return self._by_id[name]

    def find_sticker(self, md5: str) -> MessageMedia | None:
        """A sticker that came, by the MD5 in its XML."""
        stickers = (one for one in self._by_id.values() if one.kind == "sticker" and one.content)
        return next((one for one in stickers if one.content and one.content.md5 == md5), None)

    def start_download(self, content: ByteSource) -> None:
        """A download begins."""
        self.active_downloads.append(content)
        self.max_concurrent = max(self.max_concurrent, len(self.active_downloads))

    def finish_download(self, content: ByteSource) -> None:
        """It is over."""
        self.active_downloads.remove(content)
