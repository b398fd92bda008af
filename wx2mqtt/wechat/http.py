"""HTTP for every backend: connections, limits in size and time, and which error a failure becomes.

The only module that sends requests through httpx. Follows no redirect; nothing secret gets into a log or an
error.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol, cast

import httpx

from wx2mqtt.errors import BackendError, OutcomeUnknown, Unreachable
from wx2mqtt.wechat.backend import CallObserver


def _ticking() -> float:
    """Seconds on a clock that goes on while the machine sleeps, and that nobody can set."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; elsewhere the monotonic clock must do
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Time and randomness as one value, which tests replace.

    `wall` in seconds since 1970, `monotonic`, `ticking` and `sleep` in seconds, `chance` in [0, 1). `ticking`
    goes on while the machine sleeps.
    """

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    ticking: Callable[[], float] = _ticking
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    @property
    def now(self) -> int:
        """Milliseconds since 1970."""
        return int(self.wall() * 1000)


RequestBody = bytes | AsyncIterable[bytes] | None


CONNECT_TIMEOUT_SECONDS = 10.0  # seconds


KEEP_ALIVE_SECONDS = (
    4.0  # seconds; below the usual five of servers, so that no request meets a closing socket
)


MAX_CONNECTIONS = 20


# These two write whole addresses and headers, that is every key of the login, into the log.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


# Nothing of the request was written when one of these is raised; after any other, who knows.
_NOT_WRITTEN = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
)


_TOO_LATE = (httpx.ReadTimeout, httpx.WriteTimeout, TimeoutError)


class CallSpec(Protocol):
    """The facts of a call on which the error of a failed exchange depends.

    After an `is_delivery` call a lost answer leaves the outcome unknown; an `is_long_poll` call is held by
    the server.
    """

    @property
    def name(self) -> str: ...
    @property
    def is_delivery(self) -> bool: ...
    @property
    def is_long_poll(self) -> bool: ...


class BadAnswer(Unreachable):
    """WeChat answered, but not with what was asked for."""


class _TooLarge(Exception):
    """The answer has passed its limit."""


class ExchangeOutcome:
    """The outcome of an exchange in one word, for the observer."""

    outcome = "cancelled"


class StreamedResponse:
    """An answer that is under way: its body is taken once, whole or in pieces."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self._response = response

    def header(self, name: str) -> str:
        """A header's value, stripped; empty where there is none."""
        return str(self._response.headers.get(name, "")).strip()

    def headers(self, name: str) -> list[str]:
        """The values of a header that may come several times."""
        return self._response.headers.get_list(name)

    async def read(self, limit: int) -> bytes:
        """The body, at most `limit` bytes of it, unpacked."""
        chunks, size = [], 0
        async for chunk in self._response.aiter_bytes():
            size += len(chunk)
            if size > limit:
                raise _TooLarge
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def iter_bytes(self, idle_timeout: float) -> AsyncGenerator[bytes, None]:
        """The bytes as they come, none of them empty; a body cut short is an error.

        `idle_timeout` is how many seconds may pass without one.
        """
        if self.header("Content-Encoding").lower() not in {"", "identity"}:
            raise httpx.DecodingError("packed")  # unpacked it could be a thousand times as large
        received = 0
        # Typed by httpx as an iterator, but it is a generator, and to be closed as one.
        chunks = cast("AsyncGenerator[bytes, None]", self._response.aiter_bytes())
        async with aclosing(chunks):
            while chunk := await _next(chunks, idle_timeout):
                received += len(chunk)
                yield chunk
        if self.header("Content-Length") not in {"", str(received)}:
            raise httpx.RemoteProtocolError("cut short")


async def _next(chunks: AsyncIterator[bytes], idle_timeout: float) -> bytes:
    async with asyncio.timeout(idle_timeout):
        while (chunk := await anext(chunks, None)) is not None:
            if chunk:
                return chunk
    return b""


class HttpClient:
    """The connections of one account to WeChat. `endpoint` is one base URL that stands for all its hosts.

    `observe` is called after every exchange, `text` makes a sentence of a key and the name of a call,
    `transport` replaces the network.
    """

    def __init__(
        self,
        *,
        endpoint: str | None,
        headers: Mapping[str, str],
        clock: Clock,
        observe: CallObserver,
        text: Callable[[str, str], str],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._clock = clock
        self._observe = observe
        self._text = text
        self._client = create_client(endpoint, headers, transport)

    @contextmanager
    def track_exchange(self, call: CallSpec) -> Iterator[ExchangeOutcome]:
        """Reports how an exchange ended, and raises the `BackendError` that a failure means."""
        seen, started_at = ExchangeOutcome(), self._clock.monotonic()
        try:
            yield seen
        except _NOT_WRITTEN:
            seen.outcome = "no_connection"
            raise Unreachable(self._text("no_connection", call.name)) from None
        except _TOO_LATE:
            seen.outcome = "no_answer"
            raise self._error_for(call, "no_answer") from None
        except httpx.HTTPError:
            seen.outcome = "broken_answer"
            raise self._error_for(call, "broken_answer") from None
        except _TooLarge:
            seen.outcome = "too_large"
            raise self._error_for(call, "too_large") from None
        finally:
            self._observe(call.name, seen.outcome, self._clock.monotonic() - started_at)

    @asynccontextmanager
    async def stream(
        self,
        url: str,
        headers: Mapping[str, str],
        body: RequestBody,
        answer_timeout: float,
        *,
        total_timeout: float | None = None,
    ) -> AsyncIterator[StreamedResponse]:
        """Sends a request, POST where there is a body; the answer must begin within `answer_timeout` seconds.

        With a `total_timeout` sending may take that long, and `answer_timeout` limits each pause in it.
        """
        timeout = {
            "connect": min(CONNECT_TIMEOUT_SECONDS, answer_timeout),
            "read": answer_timeout,
            "write": answer_timeout,
            "pool": answer_timeout,
        }
        request = self._client.build_request(
            "GET" if body is None else "POST",
            url,
            content=body,
            headers=headers,
            extensions={"timeout": timeout},
        )
        async with asyncio.timeout(total_timeout or answer_timeout):
            response = await self._client.send(request, stream=True)
        try:
            yield StreamedResponse(response)
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    def _error_for(self, call: CallSpec, outcome: str) -> BackendError:
        message = self._text(outcome, call.name)
        if call.is_delivery:
            return OutcomeUnknown(message)
        if outcome == "too_large":
            return BadAnswer(message)
        return Unreachable(message, poll_timed_out=call.is_long_poll and outcome == "no_answer")


def create_client(
    endpoint: str | None, headers: Mapping[str, str], transport: httpx.AsyncBaseTransport | None
) -> httpx.AsyncClient | DirectClient:
    """The client for these hosts. With an `endpoint` the proxies of the environment are not used."""
    limits = httpx.Limits(
        max_connections=MAX_CONNECTIONS,
        max_keepalive_connections=MAX_CONNECTIONS,
        keepalive_expiry=KEEP_ALIVE_SECONDS,
    )
    if transport is not None or endpoint is not None:
        transport = transport or httpx.AsyncHTTPTransport(verify=trust_for(endpoint), limits=limits)
        return DirectClient(transport, headers)
    return httpx.AsyncClient(
        verify=trust_for(endpoint),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # no backend leaves its cookies to httpx
        headers=headers,
        limits=limits,
    )


class DirectClient:
    """The needed part of an HTTP client, without proxies, redirects and cookies: a fifth less work."""

    def __init__(self, transport: httpx.AsyncBaseTransport, headers: Mapping[str, str]) -> None:
        self._transport = transport
        self._headers = headers

    def build_request(
        self,
        method: str,
        url: str,
        *,
        content: RequestBody,
        headers: Mapping[str, str],
        extensions: Mapping[str, object],
    ) -> httpx.Request:
        return httpx.Request(
            method, url, content=content, headers={**self._headers, **headers}, extensions=dict(extensions)
        )

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        assert stream
        response = await self._transport.handle_async_request(request)
        response.request = request
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


def trust_for(endpoint: str | None) -> ssl.SSLContext:
    """Certificates as httpx finds them (SSL_CERT_FILE); none are loaded for an address without TLS.

    All accounts share one list of them: it takes a megabyte.
    """
    if endpoint is not None and endpoint.startswith("http:"):
        return _no_trust()
    return _trust(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=1)
def _no_trust() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@lru_cache(maxsize=1)
def _trust(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()


def parse_date(written: str) -> float | None:
    """The seconds since 1970 of a date in a header; None where it is none."""
    try:
        return parsedate_to_datetime(written).timestamp()
    except (ValueError, OverflowError, IndexError):
        return None
