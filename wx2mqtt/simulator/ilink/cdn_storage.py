"""What lies on the CDN: files under the texts that name them, and places for uploads (ilink 8)."""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass, field

from wx2mqtt.simulator.ilink.aes import DecryptedBytes, EncryptedBytes
from wx2mqtt.simulator.media import ByteSource

MAX_KEPT_FILES = 20_000
"""So many files and so many places are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSlot:
    """A place for an upload, as `getuploadurl` was asked for it. `thumb`: for the small picture."""

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
    """What the CDN gives out for a text. `slot` and `plain` are there when a bot uploaded it.

    `gone`: it is not to be had any more; `linked_only`: only the full URL leads to it.
    """

    content: ByteSource
    slot: UploadSlot | None = None
    plain: DecryptedBytes | None = None
    gone: bool = False
    full_url_only: bool = False


@dataclass(slots=True)
class CdnStorage:
    """All files and places."""

    rng: random.Random
    files: dict[str, CdnFile] = field(default_factory=dict)
    slots: dict[str, UploadSlot] = field(default_factory=dict)

    def new_param(self) -> str:
        """An opaque text; with characters that a query must encode."""
        return base64.b64encode(b"\xfb\xef\xff" + self.rng.randbytes(90)).decode()

    def new_key(self) -> bytes:
        """A key for AES."""
        return self.rng.randbytes(16)

    def put(self, file: CdnFile) -> str:
        """Keep a file; returns the text that names it. Of very many the oldest go."""
        param = self.new_param()
        self.files[param] = file
        if len(self.files) > MAX_KEPT_FILES:
            del self.files[next(iter(self.files))]
        return param

    def seal(self, plain: ByteSource) -> tuple[str, bytes]:
        """Keep a file encrypted; returns the text that names it, and the key."""
        key = self.new_key()
        return self.put(CdnFile(content=EncryptedBytes(plain, key))), key

    def reserve(self, slot: UploadSlot) -> None:
        """Keep a place; of very many the oldest go."""
        self.slots[slot.param] = slot
        if len(self.slots) > MAX_KEPT_FILES:
            del self.slots[next(iter(self.slots))]


@dataclass(slots=True)
class MessageFiles:
    """The files of messages in either direction, in plain, by message id; and where they lie on the CDN."""

    plain: dict[str, ByteSource] = field(default_factory=dict)
    files: dict[str, list[CdnFile]] = field(default_factory=dict)
    items: dict[str, dict[str, object]] = field(default_factory=dict)

    def record_sent_item(self, msg_id: str, item: dict[str, object]) -> None:
        """Keep the item that a bot sent, for quotes; of very many the oldest go."""
        self.items[msg_id] = item
        if len(self.items) > MAX_KEPT_FILES:
            del self.items[next(iter(self.items))]

    def put(self, msg_id: str, plain: ByteSource, *files: CdnFile) -> None:
        """Keep what a message brings; of very many the oldest go."""
        self.plain[msg_id] = plain
        self.files[msg_id] = [*files]
        if len(self.plain) > MAX_KEPT_FILES:
            oldest = next(iter(self.plain))
            del self.plain[oldest], self.files[oldest]
