"""HTTP requests and answers as values. The only module that reads and writes ASGI messages."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from wx2mqtt.simulator.media import ByteSource, GivenBytes, UploadedBytes

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[str, str], ...]

JAVASCRIPT = "text/javascript"
PLAIN = "text/plain"
HTML = "text/html; charset=utf-8"

MAX_BODY_BYTES = 32 * 1024 * 1024
UNBUFFERED_PATHS = frozenset({"/c2c/upload"})
"""Paths whose request bodies have no size limit; they are read into `Request.content`, not into memory."""
_DRIP_INTERVAL_SECONDS = 0.1


class Request:
    """A request. Header names are in lower case; the query is percent-decoded once."""

    def __init__(self, scope: Scope, body: bytes, content: ByteSource | None = None) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.scheme: str = scope["scheme"]
        self.body = body
        self.content = content or GivenBytes(body)
        self.transport: asyncio.Transport = scope["state"]["transport"]
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self._query_string: bytes = scope["query_string"]

    @property
    def host(self) -> str:
        return self.headers.get("host", "")

    @functools.cached_property
    def query(self) -> dict[str, str]:
        """The parameters of the query; the last one of a name counts."""
        return dict(parse_qsl(self._query_string.decode("latin-1"), keep_blank_values=True))

    @functools.cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies; values are not decoded."""
        pairs = (pair.strip().partition("=") for pair in self.headers.get("cookie", "").split(";"))
        return {name: value for name, _, value in pairs if name}


def _do_nothing() -> None:
    """The default `on_done`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyStream:
    """A body in pieces. `on_done` is called before the last piece is sent, or when the client disconnects."""

    size: int
    pieces: Iterator[bytes]
    on_done: Callable[[], None] = _do_nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDelivery:
    """The change of an answer's delivery by a fault.

    After `max_bytes` the connection closes, or with `stalls` stays open without data. `bytes_per_second` 0 is
    no limit. Without `has_content_length` the header Content-Length is missing.
    """

    max_bytes: int | None = None
    stalls: bool = False
    bytes_per_second: float = 0
    has_content_length: bool = True


_NORMAL_DELIVERY = AnswerDelivery()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedAnswer:
    """An HTTP answer. Its body is `stream` if there is one, else `body`."""

    body: bytes = b""
    stream: BodyStream | None = None
    status: int = 200
    content_type: str = PLAIN
    headers: Headers = ()
    delivery: AnswerDelivery = _NORMAL_DELIVERY

    @property
    def size(self) -> int:
        return self.stream.size if self.stream else len(self.body)

    def pieces(self) -> Iterator[bytes]:
        return self.stream.pieces if self.stream else iter((self.body,))

    @property
    def is_plain(self) -> bool:
        """Whether the answer is sent in one piece."""
        return self.stream is None and self.delivery == _NORMAL_DELIVERY

    def close(self) -> None:
        """Ends the stream; may be called more than once."""
        if self.stream:
            self.stream.on_done()

    def header_list(self) -> list[tuple[bytes, bytes]]:
        lines = [("content-type", self.content_type), *self.headers]
        if self.delivery.has_content_length:
            lines.append(("content-length", str(self.size)))
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines]


class BodyTooLarge(Exception):
    """The body is larger than `MAX_BODY_BYTES`."""


async def read_request(scope: Scope, receive: Receive) -> Request | None:
    """Reads the whole request; returns None when the client disconnects before the end."""
    parts: list[bytes] = []
    content = UploadedBytes()
    unbuffered = scope["path"] in UNBUFFERED_PATHS
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        size += len(part)
        if unbuffered:
            content.append(part)
        elif size > MAX_BODY_BYTES:
            raise BodyTooLarge
        else:
            parts.append(part)
        if not message.get("more_body"):
            return Request(scope, b"".join(parts), content if unbuffered else None)


async def wait_for_disconnect(receive: Receive, seconds: float | None = None) -> None:
    """Waits until the client disconnects, at most `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                continue


async def write_answer(
    answer: SimulatedAnswer, transport: asyncio.Transport, receive: Receive, send: Send
) -> None:
    """Sends an answer according to its delivery, until the client disconnects."""
    with contextlib.closing(answer):
        head = {"status": answer.status, "headers": answer.header_list()}
        await send({"type": "http.response.start", **head})
        if answer.is_plain:
            await send({"type": "http.response.body", "body": answer.body})
            return
        await _stream_body(answer, transport, receive, send)


async def _stream_body(
    answer: SimulatedAnswer, transport: asyncio.Transport, receive: Receive, send: Send
) -> None:
    delivery = answer.delivery
    for piece, last in _mark_last(_body_pieces(answer)):
        if transport.is_closing():
            return
        if last:
            answer.close()
        more = not last or delivery.max_bytes is not None
        await send({"type": "http.response.body", "body": piece, "more_body": more})
        if delivery.bytes_per_second:
            await wait_for_disconnect(receive, len(piece) / delivery.bytes_per_second)
    if delivery.max_bytes is not None:
        if not delivery.stalls:
            transport.close()
        await wait_for_disconnect(receive)


def _body_pieces(answer: SimulatedAnswer) -> Iterator[bytes]:
    """Yields the pieces to send: at most `max_bytes`, and small ones when the rate is limited."""
    delivery = answer.delivery
    remaining = answer.size if delivery.max_bytes is None else delivery.max_bytes
    for piece in answer.pieces():
        kept = piece[:remaining]
        step = max(
            1,
            int(delivery.bytes_per_second * _DRIP_INTERVAL_SECONDS)
            if delivery.bytes_per_second
            else len(kept),
        )
        yield from (kept[offset : offset + step] for offset in range(0, len(kept), step))
        remaining -= len(kept)
        if not remaining:
            return


def _mark_last(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    previous = next(pieces, b"")
    for piece in pieces:
        yield previous, False
        previous = piece
    yield previous, True
