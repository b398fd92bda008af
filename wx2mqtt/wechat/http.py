"""HTTP for every backend: connections, limits of size and time, and the error for each kind of failure.

A backend makes each exchange in `HttpClient.track_exchange`, which reports its outcome and raises its error:

    outcome        why                                    error           of a call that delivers a message
    no_connection  the request was certainly not sent     Unreachable     Unreachable
    no_answer      none in time                           Unreachable     OutcomeUnknown
    broken_answer  the answer was cut off or is no HTTP   Unreachable     OutcomeUnknown
    too_large      it is larger than the call allows      BadAnswer       OutcomeUnknown
    a status       of HTTP; the backend judges the answer
    cancelled      the caller gave up, or failed itself

The only module that sends requests through httpx. Follows no redirect; puts no secret into a log or an error.
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
from enum import StrEnum
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol, cast

import httpx

from wx2mqtt.errors import BackendError, OutcomeUnknown, Unreachable
from wx2mqtt.wechat.backend import CallObserver
from wx2mqtt.wechat.json_reader import JsonObject, parse_json

CONNECT_TIMEOUT_SECONDS = 10.0

# Servers usually close an idle connection after 5 s. The client closes it first, so that no request is sent
# on a closed connection.
KEEP_ALIVE_SECONDS = 4.0

MAX_CONNECTIONS = 20

# The largest body that is decoded on the event loop, in some 10 ms.
MAX_BYTES_DECODED_ON_LOOP = 1 << 20

RequestBody = bytes | AsyncIterable[bytes] | None

# These two log whole addresses and headers, which contain the secrets of a login.
for _logger_name in ("httpx", "httpcore"):
    logging.getLogger(_logger_name).setLevel(logging.CRITICAL)


class CallSpec(Protocol):
    """The properties of a call that decide the error of a failed exchange.

    After an `is_delivery` call a lost answer leaves the outcome unknown. The server holds an `is_long_poll`
    call until there is news.
    """

    @property
    def name(self) -> str: ...
    @property
    def is_delivery(self) -> bool: ...
    @property
    def is_long_poll(self) -> bool: ...


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


class ExchangeOutcome:
    """The `outcome` of an exchange in one word, for the observer."""

    outcome = "cancelled"


class HttpClient:
    """The connections of one account to WeChat.

    `endpoint` is a base URL that replaces all hosts, or None. `observe` is called after every exchange.
    `text` returns the sentence for a key and the name of a call. `transport` replaces the network.
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
        """Reports the outcome of an exchange to `observe`, and turns its errors into `BackendError`s."""
        exchange = ExchangeOutcome()
        started_at = self._clock.monotonic()
        try:
            yield exchange
        except Exception as error:
            failure = _failure_of(error)
            if failure is None:
                raise
            exchange.outcome = failure
            raise self._error_for(call, failure) from None
        finally:
            self._observe(call.name, exchange.outcome, self._clock.monotonic() - started_at)

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
        """Sends a request, a POST where it has a body, and yields the answer when it begins.

        The answer must begin within `answer_timeout` seconds. With a `total_timeout` this is the limit
        instead, and `answer_timeout` limits each pause.
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

    def _error_for(self, call: CallSpec, failure: ExchangeFailure) -> BackendError:
        message = self._text(failure, call.name)
        if call.is_delivery and failure is not ExchangeFailure.NO_CONNECTION:
            return OutcomeUnknown(message)
        if failure is ExchangeFailure.TOO_LARGE:
            return BadAnswer(message)
        return Unreachable(message, poll_timed_out=call.is_long_poll and failure is ExchangeFailure.NO_ANSWER)


class StreamedResponse:
    """An answer whose body has not been read yet. It can be read once, whole or in chunks."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self._response = response

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
        async for chunk in self._response.aiter_bytes():
            size += len(chunk)
            if size > limit:
                raise _TooLarge
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def iter_bytes(self, idle_timeout: float) -> AsyncGenerator[bytes, None]:
        """Yields the body in chunks that are not empty.

        Raises an `httpx.HTTPError` for a compressed or incomplete body, `TimeoutError` where no byte arrives
        for `idle_timeout` seconds.
        """
        if self.header("Content-Encoding").lower() not in {"", "identity"}:
            raise httpx.DecodingError("compressed")  # decompressed it could be a thousand times as large
        received = 0
        # httpx declares an iterator, but it is a generator, which must be closed.
        chunks = cast("AsyncGenerator[bytes, None]", self._response.aiter_bytes())
        async with aclosing(chunks):
            while chunk := await _next_chunk(chunks, idle_timeout):
                received += len(chunk)
                yield chunk
        if self.header("Content-Length") not in {"", str(received)}:
            raise httpx.RemoteProtocolError("incomplete body")


async def _next_chunk(chunks: AsyncIterator[bytes], idle_timeout: float) -> bytes:
    """Returns the next chunk that is not empty, or an empty one at the end."""
    async with asyncio.timeout(idle_timeout):
        while (chunk := await anext(chunks, None)) is not None:
            if chunk:
                return chunk
    return b""


def create_client(
    endpoint: str | None, headers: Mapping[str, str], transport: httpx.AsyncBaseTransport | None
) -> httpx.AsyncClient | DirectClient:
    """Returns an HTTP client. With an `endpoint` it ignores the proxies of the environment."""
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
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # the backends handle cookies themselves
        headers=headers,
        limits=limits,
    )


class DirectClient:
    """An HTTP client without proxies, redirects and cookies, which takes a fifth less time than httpx's."""

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
    """Returns the TLS context with the certificates that httpx finds (SSL_CERT_FILE).

    It loads none for an endpoint without TLS. All accounts share one context, since it takes a megabyte.
    """
    if endpoint is not None and endpoint.startswith("http:"):
        return _empty_context()
    return _default_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=1)
def _empty_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@lru_cache(maxsize=1)
def _default_context(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """Returns a cached context; the parameters, which httpx reads itself, are the key of the cache."""
    return httpx.create_ssl_context()


def _ticking() -> float:
    """Returns seconds of a clock that advances while the machine sleeps and cannot be set."""
    clock_id = getattr(time, "CLOCK_BOOTTIME", None)  # Linux only; elsewhere the monotonic clock is used
    return time.monotonic() if clock_id is None else time.clock_gettime(clock_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Time and randomness as one value, which tests replace.

    `wall` returns seconds since 1970, `monotonic` and `ticking` seconds, `chance` a number in [0, 1).
    `ticking` also advances while the machine sleeps. `sleep` waits for seconds.
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


def parse_date(header: str) -> float | None:
    """Returns the seconds since 1970 of a date in a header, or None where it is unreadable."""
    try:
        return parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError, IndexError):
        return None


async def read_json(body: bytes) -> JsonObject:
    """Decodes a body, a large one in a thread: an address book of 40 MB takes 0.3 s.

    Raises `UnreadableJson`.
    """
    if len(body) <= MAX_BYTES_DECODED_ON_LOOP:
        return parse_json(body)
    return await asyncio.to_thread(parse_json, body)
