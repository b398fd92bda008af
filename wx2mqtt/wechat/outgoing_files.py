"""Outgoing files, for all backends: checks them, reads them, and remembers uploads."""

from __future__ import annotations

import asyncio
import hashlib
import time
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from errno import EIO
from math import inf
from pathlib import Path
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

import structlog

from wx2mqtt.errors import Rejected
from wx2mqtt.model import Attachment, Draft
from wx2mqtt.wechat.backend import Capabilities

log = structlog.get_logger(__name__)

Result = TypeVar("Result")
Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


def require_attachment(draft: Draft, capabilities: Capabilities, text: Callable[..., str]) -> Attachment:
    """Returns the attachment of a draft. Raises `Rejected` where WeChat is known to refuse it.

    `text` returns the sentence of the backend's catalogue for a key and facts.
    """
    attachment = draft.attachment
    limits = capabilities.media.get(draft.kind)
    if limits is None or attachment is None:
        raise Rejected(text("kind_unsupported", kind=draft.kind), code="unsupported")
    blob = attachment.blob
    if not blob.size:
        raise Rejected(text("empty_file"), code="empty")
    if blob.size < limits.min_bytes:
        message = text("file_too_small", size=blob.size, limit=limits.min_bytes)
        raise Rejected(message, code="bad_file")
    if blob.size > limits.max_bytes:
        message = text("file_too_large", size=blob.size, limit=limits.max_bytes, kind=draft.kind)
        raise Rejected(message, code="too_large")
    if limits.mime_types and blob.mime not in limits.mime_types:
        message = text("file_unsupported", mime=blob.mime, kind=draft.kind)
        raise Rejected(message, code="unsupported")
    return attachment


class UploadCache(Generic[Key, Item]):
    """WeChat's answers to uploads, used for `max_age_seconds` of the clock `now`.

    Beyond `max_entries` the least recently used goes. Two tasks with the same key make one upload.
    """

    def __init__(
        self, max_entries: int, max_age_seconds: float = inf, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_entries = max_entries
        self._max_age_seconds = max_age_seconds
        self._now = now
        #: Each answer with the time when it was stored, the least recently used first.
        self._items: OrderedDict[Key, tuple[Item, float]] = OrderedDict()
        #: Held during the upload of a key; forgotten when no task uses it any more.
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def get_or_upload(self, key: Key, upload: Callable[[], Awaitable[Item]]) -> Item:
        """Returns the stored answer, else that of `upload`. Raises what `upload` raises."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if key in self._items:
                stored, stored_at = self._items[key]
                if self._now() - stored_at < self._max_age_seconds:
                    self._items.move_to_end(key)
                    return stored
            uploaded = await upload()
            self.store(key, uploaded)
            return uploaded

    def store(self, key: Key, item: Item) -> None:
        """Stores an answer in place of an earlier one."""
        self._items[key] = item, self._now()
        self._items.move_to_end(key)
        if len(self._items) > self._max_entries:
            self._items.popitem(last=False)

    def invalidate(self, key: Key) -> None:
        """Removes the answer for an upload that WeChat may not have any more."""
        self._items.pop(key, None)


async def read_md5(file: Path, error_text: str) -> str:
    """Returns the MD5 of a file in hex. Raises `Rejected` with code `bad_file` where it cannot be read."""

    def read() -> str:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

    return await _in_thread(read, error_text)


async def read_piece(file: Path, start: int, size: int, max_bytes: int, error_text: str) -> bytes:
    """Returns at most `max_bytes` from `start` of a file of `size` bytes.

    Raises `Rejected` with code `bad_file` where it cannot be read, or is shorter.
    """
    return await _in_thread(lambda: _read_piece(file, start, size, max_bytes), error_text)


async def read_base64_piece(file: Path, start: int, size: int, max_bytes: int, error_text: str) -> str:
    """Returns the base64 of what `read_piece` returns; the event loop is not held meanwhile."""
    return await _in_thread(lambda: b64encode(_read_piece(file, start, size, max_bytes)).decode(), error_text)


def _read_piece(file: Path, start: int, size: int, max_bytes: int) -> bytes:
    expected = min(max_bytes, size - start)
    with file.open("rb") as opened:
        opened.seek(start)
        content = opened.read(expected)
    if len(content) != expected:
        raise OSError(EIO, "it is shorter than it was")
    return content


async def _in_thread(read: Callable[[], Result], error_text: str) -> Result:
    try:
        return await asyncio.to_thread(read)
    except OSError as why:
        log.error("file cannot be read", reason=why.strerror)
        raise Rejected(error_text, code="bad_file") from None
