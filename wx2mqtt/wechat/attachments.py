"""Files that go out, for all backends: whether WeChat takes them, reading them, and which were uploaded."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from errno import EIO
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

import structlog

from wx2mqtt.errors import Rejected
from wx2mqtt.model import Attachment, Draft
from wx2mqtt.wechat.backend import Capabilities

log = structlog.get_logger(__name__)

_Read = TypeVar("_Read")
Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class Texts(Protocol):
    """Who has the sentences of a backend."""

    def text(self, message_key: str, /, **facts: object) -> str:
        """The sentence for a key, in the language of the settings."""


def require_attachment(draft: Draft, capabilities: Capabilities, texts: Texts) -> Attachment:
    """The attachment of a draft. Raises `Rejected` for what WeChat is known to refuse, before an upload."""
    attachment = draft.attachment
    limits = capabilities.media.get(draft.kind)
    if limits is None or attachment is None:
        raise Rejected(texts.text("kind_unsupported", kind=draft.kind), code="unsupported")
    blob = attachment.blob
    if not blob.size:
        raise Rejected(texts.text("empty_file"), code="empty")
    if blob.size > limits.max_bytes:
        message = texts.text("file_too_large", size=blob.size, limit=limits.max_bytes, kind=draft.kind)
        raise Rejected(message, code="too_large")
    if limits.mime_types and blob.mime not in limits.mime_types:
        message = texts.text("file_unsupported", mime=blob.mime, kind=draft.kind)
        raise Rejected(message, code="unsupported")
    return attachment


class UploadCache(Generic[Key, Item]):
    """What WeChat answered to uploads; at most `max_entries`, the longest unused go first.

    Two tasks that want the same key at once make one upload.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._items: OrderedDict[Key, Item] = OrderedDict()
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def get_or_upload(
        self,
        key: Key,
        upload: Callable[[], Awaitable[Item]],
        is_fresh: Callable[[Item], bool] = lambda _: True,
    ) -> Item:
        """The remembered answer if it `is_fresh`, else that of a new upload. Raises what `upload` raises."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            known = self._items.get(key)
            if known is not None and is_fresh(known):
                self._items.move_to_end(key)
                return known
            uploaded = await upload()
            self.store(key, uploaded)
            return uploaded

    def store(self, key: Key, item: Item) -> None:
        """Remembers an answer in place of the one before."""
        self._items[key] = item
        self._items.move_to_end(key)
        if len(self._items) > self._max_entries:
            self._items.popitem(last=False)

    def invalidate(self, key: Key) -> None:
        """Removes an answer that WeChat may not know any more."""
        self._items.pop(key, None)


async def read_attachment(reader: Callable[[], _Read], error_text: str) -> _Read:
    """Runs a reader beside the loop. Raises `Rejected` with code `bad_file` where the disk fails."""
    try:
        return await asyncio.to_thread(reader)
    except OSError as why:
        log.error("file cannot be read", reason=why.strerror)
        raise Rejected(error_text, code="bad_file") from None


def file_md5(file: Path) -> str:
    """The MD5 of the whole file, in hex. Raises `OSError`."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def read_piece(file: Path, start: int, size: int, max_bytes: int) -> bytes:
    """At most `max_bytes` from `start` on, of a file of `size` bytes. Raises `OSError` if it is shorter."""
    expected = min(max_bytes, size - start)
    with file.open("rb") as opened:
        opened.seek(start)
        content = opened.read(expected)
    if len(content) != expected:
        raise OSError(EIO, "it is shorter than it was")
    return content
