"""A file, or a part of it, as an answer: read piece by piece, as fast as the client takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import BinaryIO

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wx2mqtt.web.ranges import Span
from wx2mqtt.web.waiting import Interrupted, left, until

PIECE = 128 * 1024  # bytes in memory for each download


class FileAnswer(Response):
    """Sends `span` of an open file and closes it, also when the client goes away in between."""

    def __init__(self, file: BinaryIO, span: Span, status_code: int, headers: Mapping[str, str]) -> None:
        self._file = file
        self._span = span
        super().__init__(status_code=status_code, headers={**headers, "content-length": str(span.size)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
            else:
                await until(self._pour(send), left(receive))
        except Interrupted:
            return  # whoever is gone wants nothing more
        finally:
            self._file.close()

    async def _pour(self, send: Send) -> None:
        remaining = self._span.size
        self._file.seek(self._span.start)
        while remaining:
            piece = await asyncio.to_thread(self._file.read, min(PIECE, remaining))
            if not piece:
                raise EOFError("the file has become shorter")
            remaining -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": remaining > 0})
        if not self._span.size:
            await send({"type": "http.response.body", "body": b""})
