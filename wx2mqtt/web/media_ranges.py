"""The bytes of a file that a client wants (RFC 9110, 13 and 14), and the response that sends them.

    Range: bytes=10-19   ->   range(10, 20)

Names in `headers` are in lower case; `modified` is in seconds since 1970.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import BinaryIO

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wx2mqtt.clock import parse_http_date
from wx2mqtt.web.responses import WaitInterrupted, disconnected, run_unless

READ_CHUNK_BYTES = 128 * 1024  # so much of a file is in memory for each client

# bytes=10-19, bytes=10-, bytes=-500
_RANGE = re.compile(r"\s*bytes\s*=\s*+([0-9]{0,18})\s*+-\s*+([0-9]{0,18})\s*+", re.ASCII | re.IGNORECASE)


class RangeNotSatisfiable(Exception):
    """The file has no byte of the requested range."""


def is_not_modified(headers: Mapping[str, str], etag: str, modified: int) -> bool:
    """Returns whether the client has this version of the file already."""
    none_match = headers.get("if-none-match")
    if none_match is not None:
        known_etags = {part.strip().removeprefix("W/") for part in none_match.split(",")}
        return etag in known_etags or "*" in known_etags
    since = parse_http_date(headers.get("if-modified-since", ""))
    return since is not None and modified <= since


def requested_range(headers: Mapping[str, str], size: int, etag: str, modified: int) -> range | None:
    """Returns the requested bytes of a file with `size` bytes, None for all. Raises `RangeNotSatisfiable`.

    Several ranges in one request get the whole file, which a server may do (14.2).
    """
    match = _RANGE.fullmatch(headers.get("range", ""))
    if match is None:
        return None
    if_range = headers.get("if-range")
    if if_range is not None and if_range.strip() != etag and parse_http_date(if_range) != modified:
        return None  # the client has a part of another version
    first, last = match[1], match[2]
    if not first and not last:
        return None
    if not first:  # the last bytes of the file
        if not int(last) or not size:
            raise RangeNotSatisfiable
        return range(max(0, size - int(last)), size)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable
    return range(start, min(int(last) + 1, size) if last else size)


class FileRangeResponse(Response):
    """Sends a range of the bytes of an open file, and closes the file, also if the client disconnects.

    The file is read in chunks as the client takes them, so that a download needs little memory.
    """

    def __init__(self, file: BinaryIO, byte_range: range, status: int, headers: Mapping[str, str]) -> None:
        self._file = file
        self._byte_range = byte_range
        super().__init__(status_code=status, headers={**headers, "content-length": str(len(byte_range))})

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
        remaining = len(self._byte_range)
        self._file.seek(self._byte_range.start)
        while remaining:
            chunk = await asyncio.to_thread(self._file.read, min(READ_CHUNK_BYTES, remaining))
            if not chunk:
                raise EOFError("the file has become shorter")
            remaining -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": remaining > 0})
        if not self._byte_range:
            await send({"type": "http.response.body", "body": b""})
