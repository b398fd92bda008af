"""A stored file as a response, with range requests (RFC 9110, 14) and conditional requests (RFC 9110, 13).

A file is read in chunks as the client takes them, so that a download needs little memory.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import BinaryIO

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wx2mqtt.web.responses import WaitInterrupted, disconnected, run_unless

READ_CHUNK_BYTES = 128 * 1024  # in memory for each download

_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.ASCII | re.IGNORECASE)


class RangeNotSatisfiable(Exception):
    """The file has no byte of the requested range."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from `start` to before `stop`."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.stop - self.start


class FileRangeResponse(Response):
    """Sends a range of an open file, and closes the file, also if the client disconnects."""

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
            return  # the client has disconnected: there is nobody to send to
        finally:
            self._file.close()

    async def _send_body(self, send: Send) -> None:
        remaining = self._byte_range.size
        self._file.seek(self._byte_range.start)
        while remaining:
            chunk = await asyncio.to_thread(self._file.read, min(READ_CHUNK_BYTES, remaining))
            if not chunk:
                raise EOFError("the file has become shorter")
            remaining -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": remaining > 0})
        if not self._byte_range.size:
            await send({"type": "http.response.body", "body": b""})


def requested_range(headers: Mapping[str, str], size: int, etag: str, modified: int) -> ByteRange | None:
    """Returns the requested range, None for the whole file. Raises `RangeNotSatisfiable`.

    Several ranges in one request get the whole file, which a server may do (14.2). Names in `headers` are in
    lower case; `size` is that of the file in bytes, `modified` in seconds since 1970.
    """
    match = _RANGE.fullmatch(headers.get("range", ""))
    if match is None or not _is_unchanged(headers.get("if-range"), etag, modified):
        return None
    first, last = match[1], match[2]
    if not first:
        return _last_bytes(int(last), size) if last else None
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable
    return ByteRange(start, min(int(last) + 1, size) if last else size)


def is_not_modified(headers: Mapping[str, str], etag: str, modified: int) -> bool:
    """Returns whether the client has this version of the file already; parameters as in `requested_range`."""
    none_match = headers.get("if-none-match")
    if none_match is not None:
        known_etags = {part.strip().removeprefix("W/") for part in none_match.split(",")}
        return etag in known_etags or "*" in known_etags
    since = _http_date_seconds(headers.get("if-modified-since", ""))
    return since is not None and modified <= since


def _last_bytes(count: int, size: int) -> ByteRange:
    if not count or not size:
        raise RangeNotSatisfiable
    return ByteRange(max(0, size - count), size)


def _is_unchanged(if_range: str | None, etag: str, modified: int) -> bool:
    return if_range is None or if_range.strip() == etag or _http_date_seconds(if_range) == modified


def _http_date_seconds(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError, OSError):
        return None
