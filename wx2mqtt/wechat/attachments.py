"""Files that go out, read beside the loop: hashed whole, or in pieces. Knows no backend."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from errno import EIO
from pathlib import Path
from typing import TypeVar

import structlog

from wx2mqtt.errors import Rejected

log = structlog.get_logger(__name__)

_Read = TypeVar("_Read")


async def read_attachment(reader: Callable[[], _Read], error_text: str) -> _Read:
    """What a reader gives. Raises `Rejected` with the sentence `trouble` where the disk does not give it."""
    try:
        return await asyncio.to_thread(reader)
    except OSError as why:
        log.error("file cannot be read", reason=why.strerror)
        raise Rejected(error_text, code="bad_file") from None


def file_md5(file: Path) -> str:
    """Of the whole file, in hex. Raises `OSError`."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def read_piece(file: Path, start: int, size: int, max_bytes: int) -> bytes:
    """What stands in a file of `size` bytes from `start` on, at most `most` bytes. Raises `OSError`."""
    wanted = min(max_bytes, size - start)
    with file.open("rb") as opened:
        opened.seek(start)
        content = opened.read(wanted)
    if len(content) != wanted:
        raise OSError(EIO, "it is shorter than it was")
    return content
