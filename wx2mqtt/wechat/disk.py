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


async def read(reader: Callable[[], _Read], trouble: str) -> _Read:
    """What a reader gives. Raises `Rejected` with the sentence `trouble` where the disk does not give it."""
    try:
        return await asyncio.to_thread(reader)
    except OSError as why:
        log.error("file cannot be read", reason=why.strerror)
        raise Rejected(trouble, code="bad_file") from None


def md5(file: Path) -> str:
    """Of the whole file, in hex. Raises `OSError`."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def piece(file: Path, start: int, size: int, most: int) -> bytes:
    """What stands in a file of `size` bytes from `start` on, at most `most` bytes. Raises `OSError`."""
    wanted = min(most, size - start)
    with file.open("rb") as opened:
        opened.seek(start)
        content = opened.read(wanted)
    if len(content) != wanted:
        raise OSError(EIO, "it is shorter than it was")
    return content
