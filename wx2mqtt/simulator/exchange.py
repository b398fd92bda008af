"""An HTTP request and its answer as values, and the one place that knows ASGI's shape of both."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[str, str], ...]

JAVASCRIPT = "text/javascript"
PLAIN = "text/plain"
HTML = "text/html; charset=utf-8"

BODY_LIMIT = 32 * 1024 * 1024


class Request:
    """What came. Header names are in lower case; the query is decoded once."""

    def __init__(self, scope: Scope, body: bytes) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.scheme: str = scope["scheme"]
        self.body = body
        self.transport: asyncio.Transport = scope["state"]["transport"]
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self._query_string: bytes = scope["query_string"]

    @property
    def host(self) -> str:
        """The Host header, with the port."""
        return self.headers.get("host", "")

    @functools.cached_property
    def query(self) -> dict[str, str]:
        """The query's parameters; the last one counts."""
        return dict(parse_qsl(self._query_string.decode("latin-1"), keep_blank_values=True))

    @functools.cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies, values as they are."""
        pairs = (pair.strip().partition("=") for pair in self.headers.get("cookie", "").split(";"))
        return {name: value for name, _, value in pairs if name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back."""

    body: bytes = b""
    status: int = 200
    content_type: str = PLAIN
    headers: Headers = ()

    def header_list(self) -> list[tuple[bytes, bytes]]:
        """The headers as ASGI wants them."""
        lines = (("content-type", self.content_type), ("content-length", str(len(self.body))), *self.headers)
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines]


class TooLarge(Exception):
    """The body is larger than anything that a client sends here."""


async def read(scope: Scope, receive: Receive) -> Request | None:
    """The whole request; None when the client went away before it was complete."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > BODY_LIMIT:
            raise TooLarge
        if not message.get("more_body"):
            return Request(scope, b"".join(parts))


async def until_gone(receive: Receive, seconds: float | None = None) -> None:
    """Wait until the client goes away, at most so long."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass


async def write(answer: Answer, send: Send) -> None:
    """Send an answer."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.header_list()})
    await send({"type": "http.response.body", "body": answer.body})
