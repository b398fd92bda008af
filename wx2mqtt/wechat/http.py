"""HTTP for every backend: connections, limits of size and time, and the error for each kind of failure.

A backend makes each exchange in `HttpClient.exchange`, which sends the request, waits for the head of the
answer, lets the backend read the body, closes the answer, and reports the outcome:

    outcome        why                                    error           of a call that delivers a message
    no_connection  the request was certainly not sent     Unreachable     Unreachable
    no_answer      none in time                           Unreachable     OutcomeUnknown
    broken_answer  the answer was cut off or is no HTTP   Unreachable     OutcomeUnknown
    too_large      it is larger than the call allows      BadAnswer       OutcomeUnknown
    a status       of HTTP; the backend judges the answer
    cancelled      the caller gave up before there was a status

The only module that sends requests through httpx. Follows no redirect; puts no secret into a log or an error.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from enum import StrEnum
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol, cast
from urllib.request import getproxies

import httpx

from wx2mqtt.clock import Clock, loop_time
from wx2mqtt.errors import BackendError, OutcomeUnknown, Unreachable
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import CallObserver
from wx2mqtt.wechat.http_transport import Http11Transport, OccasionalTransport
from wx2mqtt.wechat.json_reader import JsonObject, parse_json

CONNECT_TIMEOUT_SECONDS = 10.0

# Servers usually close an idle connection after 5 s. The client closes it first, so that no request is sent
# on a closed connection.
KEEP_ALIVE_SECONDS = 4.0

MAX_CONNECTIONS = 20

# The largest body that is decoded on the event loop, in some 10 ms.
MAX_BYTES_DECODED_ON_LOOP = 1 << 20

RequestBody = bytes | AsyncIterable[bytes] | None


class CallSpec(Protocol):
    """The properties of a call that decide its transport, and the error of a failed exchange.

    After an `is_delivery` call a lost answer leaves the outcome unknown. The server holds an `is_long_poll`
    call until there is news. An `is_frequent` call is made for every message or every poll.
    """

    @property
    def name(self) -> str: ...
    @property
    def is_delivery(self) -> bool: ...
    @property
    def is_long_poll(self) -> bool: ...
    @property
    def is_frequent(self) -> bool: ...


class BadAnswer(Unreachable):
    """WeChat answered, but the answer cannot be used."""


class _TooLarge(Exception):
    """The answer is larger than its limit."""


class ExchangeFailure(StrEnum):
    """The outcome of an exchange without a usable answer, and the key of its sentence."""

    NO_CONNECTION = "no_connection"
    NO_ANSWER = "no_answer"
    BROKEN_ANSWER = "broken_answer"
    TOO_LARGE = "too_large"


# The first entry that matches an error is its failure. Only after the errors of NO_CONNECTION it is certain
# that no byte of the request was sent.
_FAILURES: tuple[tuple[ExchangeFailure, tuple[type[Exception], ...]], ...] = (
    (
        ExchangeFailure.NO_CONNECTION,
        (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.PoolTimeout,
            httpx.ProxyError,
            httpx.UnsupportedProtocol,
            httpx.LocalProtocolError,
            httpx.InvalidURL,
        ),
    ),
    (ExchangeFailure.NO_ANSWER, (httpx.ReadTimeout, httpx.WriteTimeout, TimeoutError)),
    (ExchangeFailure.BROKEN_ANSWER, (httpx.HTTPError,)),
    (ExchangeFailure.TOO_LARGE, (_TooLarge,)),
)


def _failure_of(error: Exception) -> ExchangeFailure | None:
    return next((failure for failure, errors in _FAILURES if isinstance(error, errors)), None)


@frozen
class TimeLimits:
    """The seconds that an exchange may take.

    idle   between two chunks of the request or of the answer
    head   until the head of the answer has arrived
    whole  until the body has been read; None where only the other two count
    """

    idle: float
    head: float
    whole: float | None = None

    @classmethod
    def for_whole(cls, seconds: float) -> TimeLimits:
        """Returns the limits of an exchange that ends within `seconds`.

        A server that sends a byte now and then never exceeds `idle`.
        """
        return cls(idle=seconds, head=seconds, whole=seconds)


class HttpClient:
    """The connections of one account to WeChat.

    `endpoint` is a base URL that replaces all hosts, or None. `observe` is called after every exchange.
    `text` returns the sentence for a key and the name of a call. `transport` replaces the network.

    Frequent calls go over a transport of their own (`http_transport`), unless there is a proxy.
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
        _silence_httpx()
        self._headers = headers
        self._clock = clock
        self._observe = observe
        self._text = text
        self._transport = transport or create_transport(endpoint)
        self._frequent_transport = transport or create_frequent_transport(endpoint) or self._transport
        self._parsed_urls: dict[str, tuple[str, httpx.URL]] = {}

    @asynccontextmanager
    async def exchange(
        self, call: CallSpec, url: str, *, headers: Mapping[str, str], body: RequestBody, limits: TimeLimits
    ) -> AsyncIterator[StreamedResponse]:
        """Sends a request, a POST where it has a body, and yields the answer when its head has arrived.

        Turns the errors of sending and of reading the body into `BackendError`s.
        """
        outcome = "cancelled"
        started_at = self._clock.monotonic()
        try:
            response = await self._send(call, url, headers, body, limits)
            outcome = str(response.status)
            try:
                yield response
            finally:
                await response.close()
        except Exception as error:
            failure = _failure_of(error)
            if failure is None:
                raise
            outcome = failure
            raise self._error_for(call, failure) from None
        finally:
            self._observe(call.name, outcome, self._clock.monotonic() - started_at)

    async def _send(
        self, call: CallSpec, url: str, headers: Mapping[str, str], body: RequestBody, limits: TimeLimits
    ) -> StreamedResponse:
        deadline = None if limits.whole is None else loop_time() + limits.whole
        timeout = {
            "connect": min(CONNECT_TIMEOUT_SECONDS, limits.idle),
            "read": limits.idle,
            "write": limits.idle,
            "pool": limits.idle,
        }
        request = httpx.Request(
            "GET" if body is None else "POST",
            self._parse_url(call, url) if call.is_frequent else url,
            content=body,
            headers={**self._headers, **headers},
            extensions={"timeout": timeout},
        )
        transport = self._frequent_transport if call.is_frequent else self._transport
        async with asyncio.timeout(limits.head):
            response = await transport.handle_async_request(request)
        return StreamedResponse(response, idle_seconds=limits.idle, deadline=deadline)

    def _parse_url(self, call: CallSpec, url: str) -> httpx.URL:
        """Returns the parsed URL. That of the last request of a call is kept: most calls never change it."""
        text, parsed = self._parsed_urls.get(call.name, ("", None))
        if parsed is None or text != url:
            parsed = httpx.URL(url)
            self._parsed_urls[call.name] = url, parsed
        return parsed

    async def close(self) -> None:
        """Closes all connections."""
        await self._frequent_transport.aclose()
        await self._transport.aclose()

    def _error_for(self, call: CallSpec, failure: ExchangeFailure) -> BackendError:
        message = self._text(failure, call.name)
        if call.is_delivery and failure is not ExchangeFailure.NO_CONNECTION:
            return OutcomeUnknown(message)
        if failure is ExchangeFailure.TOO_LARGE:
            return BadAnswer(message)
        return Unreachable(message, poll_timed_out=call.is_long_poll and failure is ExchangeFailure.NO_ANSWER)


class StreamedResponse:
    """An answer whose body has not been read yet. It can be read once, whole or in chunks.

    `deadline` is a time of the event loop's clock, or None.
    """

    def __init__(self, response: httpx.Response, *, idle_seconds: float, deadline: float | None) -> None:
        self.status = response.status_code
        self._response = response
        self._idle_seconds = idle_seconds
        self._deadline = deadline

    def header(self, name: str) -> str:
        """Returns the stripped value of a header, empty where it is missing."""
        return str(self._response.headers.get(name, "")).strip()

    def headers(self, name: str) -> list[str]:
        """Returns the values of a header that may occur several times."""
        return self._response.headers.get_list(name)

    async def read(self, limit: int) -> bytes:
        """Returns the decompressed body. Raises `_TooLarge` where it has more than `limit` bytes."""
        chunks = []
        size = 0
        async with asyncio.timeout_at(self._deadline):
            async for chunk in self._response.aiter_bytes():
                size += len(chunk)
                if size > limit:
                    raise _TooLarge
                chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def iter_bytes(self) -> AsyncGenerator[bytes, None]:
        """Yields the body in chunks that are not empty.

        Raises an `httpx.HTTPError` for a compressed or incomplete body, `TimeoutError` where no byte arrives
        for too long.
        """
        if self.header("Content-Encoding").lower() not in {"", "identity"}:
            raise httpx.DecodingError("compressed")  # decompressed it could be a thousand times as large
        received = 0
        # httpx declares an iterator, but it is a generator, which must be closed.
        chunks = cast("AsyncGenerator[bytes, None]", self._response.aiter_bytes())
        async with aclosing(chunks):
            while chunk := await _next_chunk(chunks, self._idle_seconds):
                received += len(chunk)
                yield chunk
        if self.header("Content-Length") not in {"", str(received)}:
            raise httpx.RemoteProtocolError("incomplete body")

    async def close(self) -> None:
        """Gives the connection back, or closes it where the body was not read to its end."""
        await self._response.aclose()


async def _next_chunk(chunks: AsyncIterator[bytes], idle_seconds: float) -> bytes:
    """Returns the next chunk that is not empty, or an empty one at the end."""
    async with asyncio.timeout(idle_seconds):
        while (chunk := await anext(chunks, None)) is not None:
            if chunk:
                return chunk
    return b""


def create_transport(endpoint: str | None) -> httpx.AsyncBaseTransport:
    """Returns the connections to `endpoint`, or to WeChat through the proxies of the environment."""
    context = tls_context(endpoint)
    limits = httpx.Limits(
        max_connections=MAX_CONNECTIONS,
        max_keepalive_connections=MAX_CONNECTIONS,
        keepalive_expiry=KEEP_ALIVE_SECONDS,
    )
    if endpoint is None and has_proxy():
        return ProxiedTransport(context, limits)
    return OccasionalTransport(
        lambda: httpx.AsyncHTTPTransport(verify=context, limits=limits), idle_seconds=KEEP_ALIVE_SECONDS
    )


def create_frequent_transport(endpoint: str | None) -> httpx.AsyncBaseTransport | None:
    """Returns the connections for frequent calls, None where these go through a proxy as all others do."""
    if endpoint is None and has_proxy():
        return None
    return Http11Transport(
        tls_context(endpoint), max_connections=MAX_CONNECTIONS, keep_alive_seconds=KEEP_ALIVE_SECONDS
    )


def has_proxy() -> bool:
    """Returns whether the environment names a proxy, for any host; httpx looks for the same."""
    proxies = getproxies()
    return any(proxies.get(scheme) for scheme in ("http", "https", "all"))


class ProxiedTransport(httpx.AsyncBaseTransport):
    """Sends each request through the proxy that the environment names for its host, if any.

    Only httpx's client reads the environment. It takes three times as long for a request as a transport.
    """

    def __init__(self, context: ssl.SSLContext, limits: httpx.Limits) -> None:
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # the backends handle them themselves
        self._client = httpx.AsyncClient(verify=context, limits=limits, cookies=no_cookies)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._client.send(request, stream=True)

    async def aclose(self) -> None:
        await self._client.aclose()


def _silence_httpx() -> None:
    """Turns off the logs of httpx: they have whole addresses and headers, and so the secrets of a login."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def tls_context(endpoint: str | None) -> ssl.SSLContext:
    """Returns a TLS context with the certificates of the environment, else those of httpx.

    It has none for an endpoint without TLS. All accounts share one context, since it takes a megabyte.
    """
    if endpoint is not None and endpoint.startswith("http:"):
        return _empty_context()
    return _context_with(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=1)
def _empty_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@lru_cache(maxsize=1)
def _context_with(cert_file: str | None, cert_folder: str | None) -> ssl.SSLContext:
    if cert_file:
        return ssl.create_default_context(cafile=cert_file)
    if cert_folder:
        return ssl.create_default_context(capath=cert_folder)
    return httpx.create_ssl_context(trust_env=False)


async def read_json(body: bytes) -> JsonObject:
    """Decodes a body, a large one in a thread: an address book of 40 MB takes 0.3 s.

    Raises `UnreadableJson`.
    """
    if len(body) <= MAX_BYTES_DECODED_ON_LOOP:
        return parse_json(body)
    return await asyncio.to_thread(parse_json, body)
