"""The answer that does not end: events for one viewer, until they go or the server ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wx2mqtt.web.waiting import Interrupted, left, until

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx would gather them
}


class Events(Response):
    """Sends what `events` yields as it comes."""

    def __init__(self, events: AsyncGenerator[bytes, None], closing: asyncio.Event) -> None:
        self._events = events
        self._closing = closing
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            try:
                if scope["method"] != "HEAD":
                    await until(self._pour(send), left(receive), self._closing.wait())
            except Interrupted:
                pass  # the end is an end like any other; the browser asks again
            await send({"type": "http.response.body", "body": b""})

    async def _pour(self, send: Send) -> None:
        async for event in self._events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
