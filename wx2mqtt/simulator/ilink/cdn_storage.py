"""The files on the CDN by the opaque parameter that names each, and reserved uploads (ilink 8)."""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass, field

from wx2mqtt.simulator.ilink.aes import DecryptedBytes, EncryptedBytes
from wx2mqtt.simulator.media import ByteSource

MAX_KEPT_FILES = 20_000
"""Largest number of files, and of reserved uploads, that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSlot:
    """A reserved upload with the values that `getuploadurl` was given."""

    param: str
    filekey: str
    media_type: int
    person: str
    key: bytes
    size: int
    md5: str
    ciphertext_size: int
    is_thumbnail: bool = False


@dataclass(slots=True, kw_only=True)
class CdnFile:
    """A file as the CDN delivers it. `slot` and `plain` are set when a bot uploaded it.

    `gone`: the file has expired; `full_url_only`: only the full URL delivers it.
    """

    content: ByteSource
    slot: UploadSlot | None = None
    plain: DecryptedBytes | None = None
    gone: bool = False
    full_url_only: bool = False


@dataclass(slots=True)
class CdnStorage:
    rng: random.Random
    files: dict[str, CdnFile] = field(default_factory=dict)
    slots: dict[str, UploadSlot] = field(default_factory=dict)

    def new_param(self) -> str:
        """Returns an opaque parameter with characters that a query must percent-encode."""
        return base64.b64encode(b"\xfb\xef\xff" + self.rng.randbytes(90)).decode()

    def new_key(self) -> bytes:
        return self.rng.randbytes(16)

    def put(self, file: CdnFile) -> str:
        """Stores a file and returns its parameter; drops the oldest beyond `MAX_KEPT_FILES`."""
        param = self.new_param()
        self.files[param] = file
        if len(self.files) > MAX_KEPT_FILES:
            del self.files[next(iter(self.files))]
        return param

    def seal(self, plain: ByteSource) -> tuple[str, bytes]:
        """Encrypts and stores a file; returns its parameter and its key."""
        key = self.new_key()
        return self.put(CdnFile(content=EncryptedBytes(plain, key))), key

    def reserve(self, slot: UploadSlot) -> None:
        """Stores a reserved upload; drops the oldest beyond `MAX_KEPT_FILES`."""
        self.slots[slot.param] = slot
        if len(self.slots) > MAX_KEPT_FILES:
            del self.slots[next(iter(self.slots))]


@dataclass(slots=True)
class MessageFiles:
    """The decrypted files of messages in both directions, by message id, and their files on the CDN."""

    plain: dict[str, ByteSource] = field(default_factory=dict)
    files: dict[str, list[CdnFile]] = field(default_factory=dict)
    items: dict[str, dict[str, object]] = field(default_factory=dict)

    def record_sent_item(self, msg_id: str, item: dict[str, object]) -> None:
        """Keeps the item that a bot sent, for quotes; drops the oldest beyond `MAX_KEPT_FILES`."""
        self.items[msg_id] = item
        if len(self.items) > MAX_KEPT_FILES:
            del self.items[next(iter(self.items))]

    def put(self, msg_id: str, plain: ByteSource, *files: CdnFile) -> None:
        """Keeps the file of a message; drops the oldest beyond `MAX_KEPT_FILES`."""
        self.plain[msg_id] = plain
        self.files[msg_id] = [*files]
        if len(self.plain) > MAX_KEPT_FILES:
            oldest = next(iter(self.plain))
            del self.plain[oldest], self.files[oldest]
