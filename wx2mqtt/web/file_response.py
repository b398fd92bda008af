"""Which part of a file a client wants, and whether it has it already (RFC 9110, 13 and 14). Pure.

To wait for something only as long as it is of use: while the client is there, and the server stays.

A file, or a part of it, as an answer: read piece by piece, as fast as the client takes it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.ASCII | re.IGNORECASE)


class RangeNotSatisfiable(Exception):
    """The file has no such part."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` to before `stop`."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many they are."""
        return self.stop - self.start


def requested_range(headers: Mapping[str, str], size: int, etag: str, modified: int) -> ByteRange | None:
    """The one part that is wanted; None for the whole, also where several are: a server may (14.2).

    `headers` by names in small letters, `changed` in seconds. Raises `RangeNotSatisfiable`.
    """
    found = _RANGE.fullmatch(headers.get("range", ""))
    if found is None or not _unchanged(headers.get("if-range"), etag, modified):
        return None
    first, last = found[1], found[2]
    if not first:
        return _last(int(last), size) if last else None
    start = int(first)
    stop = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable
    return ByteRange(start, stop)


def is_not_modified(headers: Mapping[str, str], etag: str, modified: int) -> bool:
    """Whether the client has just this already."""
    known = headers.get("if-none-match")
    if known is not None:
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        return etag in tags or "*" in tags
    since = _seconds(headers.get("if-modified-since", ""))
    return since is not None and modified <= since


def _last(count: int, size: int) -> ByteRange:
    if not count or not size:
        raise RangeNotSatisfiable
    return ByteRange(max(0, size - count), size)


def _unchanged(condition: str | None, etag: str, modified: int) -> bool:
    return condition is None or condition.strip() == etag or _seconds(condition) == modified


def _seconds(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError, OSError):
        return None


T = TypeVar("T")


class WaitInterrupted(Exception):
    """Something else came first, and the work was cancelled."""


async def run_unless(work: Coroutine[Any, Any, T], *interrupts: Coroutine[Any, Any, object]) -> T:
    """The result of `work`; raises `WaitInterrupted` when one of `ends` comes first. Leaves nothing
    running.
    """
    working = asyncio.ensure_future(work)
    ending = [asyncio.ensure_future(end) for end in interrupts]
    try:
        await asyncio.wait({working, *ending}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise WaitInterrupted
        return working.result()
    finally:
        for task in (working, *ending):
            task.cancel()
        await asyncio.wait({working, *ending})


async def disconnected(receive: Receive) -> None:
    """Over when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


READ_CHUNK_BYTES = 128 * 1024  # bytes in memory for each download


class FileSpanResponse(Response):
    """Sends `span` of an open file and closes it, also when the client goes away in between."""

    def __init__(
        self, file: BinaryIO, byte_range: ByteRange, status_code: int, headers: Mapping[str, str]
    ) -> None:
        self._file = file
        self._byte_range = byte_range
        super().__init__(status_code=status_code, headers={**headers, "content-length": str(byte_range.size)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
            else:
                await run_unless(self._send_body(send), disconnected(receive))
        except WaitInterrupted:
            return  # whoever is gone wants nothing more
        finally:
            self._file.close()

    async def _send_body(self, send: Send) -> None:
        remaining = self._byte_range.size
        self._file.seek(self._byte_range.start)
        while remaining:
            piece = await asyncio.to_thread(self._file.read, min(READ_CHUNK_BYTES, remaining))
            if not piece:
                raise EOFError("the file has become shorter")
            remaining -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": remaining > 0})
        if not self._byte_range.size:
            await send({"type": "http.response.body", "body": b""})
