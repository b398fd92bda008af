"""The files of messages: where their bytes come from, and how the servers deliver them.

Bytes are read in pieces, so that large files need no memory. Has no HTTP and no login.
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
    """A file of `size` bytes that is read in pieces."""

    def __init__(self, size: int) -> None:
        self.size = size

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yields the bytes from `start` up to `stop` (None: the end), at most 64 KiB at once."""
        raise NotImplementedError

    @functools.cached_property
    def sha256(self) -> str:
        return self._digest("sha256")

    @functools.cached_property
    def md5(self) -> str:
        """The MD5 in hex; WeChat identifies files by it."""
        return self._digest("md5")

    @functools.cached_property
    def mime(self) -> str:
        """The MIME type, detected from the first bytes."""
        head = b"".join(self.pieces(0, _SNIFFED_BYTES))
        types = (mime for offset, magic, mime in _MAGIC if head.startswith(magic, offset))
        return next(types, "application/octet-stream")

    def _digest(self, name: str) -> str:
        digest = hashlib.new(name, usedforsecurity=False)
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()


class GivenBytes(ByteSource):
    def __init__(self, data: bytes) -> None:
        super().__init__(len(data))
        self._data = data

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        end = self.size if stop is None else min(stop, self.size)
        for offset in range(start, end, PIECE_BYTES):
            yield self._data[offset : min(offset + PIECE_BYTES, end)]


@functools.cache
def _noise() -> bytes:
    return random.Random(0).randbytes(PIECE_BYTES)


class GeneratedBytes(ByteSource):
    """`size` pseudo-random bytes after `head`; the same `seed` gives the same bytes."""

    def __init__(self, head: bytes, size: int, seed: str) -> None:
        super().__init__(size)
        self._head = head
        self._seed = seed

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        end = self.size if stop is None else min(stop, self.size)
        for index in range(start // PIECE_BYTES, -(-end // PIECE_BYTES)):
            offset = index * PIECE_BYTES
            yield self._piece(index)[max(start - offset, 0) : end - offset]

    def _piece(self, index: int) -> bytes:
        label = hashlib.sha256(f"{self._seed} {index}".encode()).hexdigest().encode()
        piece = label + _noise()[len(label) :]
        return (self._head + piece)[:PIECE_BYTES] if index == 0 else piece


class UploadedBytes(ByteSource):
    """Bytes that arrive in parts.

    Large content moves to a temporary file that lives as long as the object.
    """

    def __init__(self) -> None:
        super().__init__(0)
        self._buffer = bytearray()
        self._file: Path | None = None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def append(self, part: bytes) -> None:
        if self._file is None and self.size + len(part) <= _MAX_IN_MEMORY_BYTES:
            self._buffer += part
        else:
            with (self._file or self._move_to_file()).open("ab") as file:
                file.write(part)
        self._md5.update(part)
        self._sha256.update(part)
        self.size += len(part)

    def _move_to_file(self) -> Path:
        """Moves the buffer to a temporary file that is deleted with this object."""
        descriptor, name = tempfile.mkstemp(prefix="wx2mqtt-simulator-")
        self._file = Path(name)
        weakref.finalize(self, self._file.unlink, missing_ok=True)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._buffer)
        self._buffer.clear()
        return self._file

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        end = self.size if stop is None else min(stop, self.size)
        with self._file.open("rb") if self._file else io.BytesIO(self._buffer) as file:
            for offset in range(start, end, PIECE_BYTES):
                file.seek(offset)
                yield file.read(min(PIECE_BYTES, end - offset))

    @functools.cached_property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @functools.cached_property
    def md5(self) -> str:
        """The MD5 in hex; valid after the last part."""
        return self._md5.hexdigest()


STORE_STICKER = "store_sticker"
"""A kind without a file to download (webwx 2.16.8)."""

MAX_MESSAGES = 20_000
"""Number of messages with files that are kept."""

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
"""Kinds with a thumbnail, a link cover or a map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDescription:
    """The view of a file on the phone."""

    name: str
    size: int
    mime: str


@dataclass(slots=True, kw_only=True)
class MessageMedia:
    """The file of a message, its thumbnail, or both.

    `from_id` is the id behind FromUserName: the other person, the group, or the owner. The first
    `empty_answers` downloads have no bytes (None: as many as the setting says).
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
    """Returns what the phone shows of the file; None when there is none."""
    if attachment is None or attachment.content is None:
        return None
    content = attachment.content
    return FileDescription(name=attachment.name, size=content.size, mime=content.mime)


def has_bytes(kind: str) -> bool:
    return kind in _SAMPLE_OF_KIND


def generate_file(kind: str, msg_id: str, size: int | None = None) -> ByteSource:
    """Returns a file of that kind, different for each message; without `size` it is small."""
    head = samples.sample_of_kind(_SAMPLE_OF_KIND[kind])
    return GeneratedBytes(head, len(head) + _UNIQUE_TAIL_BYTES if size is None else size, msg_id)


def make_media(
    kind: str, msg_id: str, from_id: str, content: ByteSource | None = None
) -> MessageMedia | None:
    """Returns the media of a message of that kind; None when it has none, as a text."""
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
    head = samples.sample("avatar.jpg")
    return GeneratedBytes(head, len(head) + _UNIQUE_TAIL_BYTES, f"avatar {number}")


class MediaStore:
    """The media of all messages by id, and the active downloads."""

    def __init__(self) -> None:
        self._by_id: dict[str, MessageMedia] = {}
        self.active_downloads: list[ByteSource] = []
        self.max_concurrent = 0

    def put(self, msg_id: str, attachment: MessageMedia) -> None:
        """Stores the media of a message; drops the oldest beyond `MAX_MESSAGES`."""
        self._by_id[msg_id] = attachment
        if len(self._by_id) > MAX_MESSAGES:
            del self._by_id[next(iter(self._by_id))]

    def find(self, msg_id: str) -> MessageMedia | None:
        return self._by_id.get(msg_id)

    def avatar(self, contact_id: str, number: int) -> MessageMedia:
        """Returns the profile picture of a contact; each number is another picture."""
        name = f"avatar:{contact_id}:{number}"
        if name not in self._by_id:
            self._by_id[name] = MessageMedia(
                kind="avatar", from_id=contact_id, content=generate_avatar(number)
            )
        return self._by_id[name]

    def find_sticker(self, md5: str) -> MessageMedia | None:
        """Returns a received sticker by the MD5 in its XML."""
        for media in self._by_id.values():
            if media.kind == "sticker" and media.content and media.content.md5 == md5:
                return media
        return None

    def start_download(self, content: ByteSource) -> None:
        self.active_downloads.append(content)
        self.max_concurrent = max(self.max_concurrent, len(self.active_downloads))

    def finish_download(self, content: ByteSource) -> None:
        self.active_downloads.remove(content)
