"""HTTP for every backend: one exchange with WeChat, its limits of size and time, and the error for a failure.

`HttpClient.exchange` sends the request, waits for the head of the answer, lets the backend read the body,
closes the answer, and reports the outcome: the status, whatever it is, an `ExchangeFailure`, or `cancelled`
where the caller gave up before there was a status. It follows no redirect, and puts no secret into a log or
an error. The network is `aiohttp_transport.py`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from wx2mqtt.aio import run_by_size, yield_after_long_work
from wx2mqtt.clock import Clock, loop_time
from wx2mqtt.errors import BackendError, OutcomeUnknown, Unreachable
from wx2mqtt.values import frozen
from wx2mqtt.wechat.aiohttp_transport import (
    AiohttpTransport,
    ExchangeFailed,
    ExchangeFailure,
    HttpRequest,
    HttpResponse,
    HttpTransport,
    tls_context,
)
from wx2mqtt.wechat.backend import CallSpec
from wx2mqtt.wechat.backend_options import BackendOptions
from wx2mqtt.wechat.json_reader import JsonObject, parse_json

log = structlog.get_logger(__name__)

T = TypeVar("T")

# The values of `Content-Encoding` that are accepted: requests offer only these compressions. Several of them,
# one after the other, could make 2 GB of 3 kB.
_COMPRESSIONS = frozenset({"gzip", "deflate"})
_UNCOMPRESSED = frozenset({"", "identity"})

# None: the request is a GET.
RequestBody = bytes | AsyncIterable[bytes] | None


class HttpClient:
    """Makes the exchanges of one account with WeChat.

    `headers` go with every request. `text` returns the sentence for people about a failure: it takes an
    `ExchangeFailure` and the name of the call. `transport` replaces the network.
    """

    def __init__(
        self,
        options: BackendOptions,
        headers: Mapping[str, str],
        text: Callable[[str, str], str],
        transport: HttpTransport | None = None,
    ) -> None:
        self._headers = headers
        self._clock = options.clock
        self._observe = options.observe
        self._text = text
        self._transport = transport or AiohttpTransport(
            tls_context(options.endpoint), options.clock.lease, uses_proxies=options.endpoint is None
        )

    @asynccontextmanager
    async def exchange(
        self, call: CallSpec, url: str, *, headers: Mapping[str, str], body: RequestBody, limits: TimeLimits
    ) -> AsyncIterator[StreamedResponse]:
        """Sends a request, a POST where it has a body, and yields the answer when its head has arrived.

        Without a valid lease another instance may have the account: it ends as one without a connection.
        Calls `options.observe` at the end. Raises a `BackendError`; reading the body raises one as well.
        """
        outcome = _Outcome(call, self._text)
        started_at = self._clock.monotonic()
        deadline = None if limits.whole is None else loop_time() + limits.whole
        request = HttpRequest(
            url=url, headers={**self._headers, **headers}, body=body, idle_seconds=limits.idle
        )
        try:
            if not self._clock.lease.is_valid:
                raise outcome.failed(ExchangeFailure.NO_CONNECTION)
            try:
                async with asyncio.timeout(limits.head):
                    response = await self._transport.send(request)
            except (ExchangeFailed, TimeoutError) as error:
                raise outcome.failed(_failure_of(error)) from None
            outcome.value = str(response.status)
            try:
                yield StreamedResponse(response.status, response, outcome, limits.idle, deadline)
            finally:
                response.close()
        finally:
            self._observe(call.name, outcome.value, self._clock.monotonic() - started_at)

    async def close(self) -> None:
        await self._transport.close()


@dataclass
class StreamedResponse:
    """An answer whose body has not been read yet. It can be read once, whole or in chunks.

    Each failure to read it raises the `BackendError` of an `ExchangeFailure`.
    """

    status: int
    _response: HttpResponse
    _outcome: _Outcome
    #: How long `iter_bytes` waits for each chunk.
    _idle_seconds: float
    #: When `read` must have ended, by the clock of the event loop; None: at any time.
    _deadline: float | None

    def header(self, name: str) -> str:
        """Returns the stripped value of a header, empty where it is missing."""
        return next(iter(self.headers(name)), "").strip()

    def headers(self, name: str) -> list[str]:
        """Returns the values of a header that may occur several times."""
        return self._response.header_values(name)

    async def read(self, limit: int) -> bytes:
        """Returns the decompressed body. One of more than `limit` bytes is `too_large`."""
        stream: AsyncIterable[bytes] = self._response.chunks()
        encoding = self.header("Content-Encoding").lower()
        if encoding in _COMPRESSIONS:
            stream = _decompress(stream, encoding)
        elif encoding not in _UNCOMPRESSED:
            raise self._outcome.failed(ExchangeFailure.BROKEN_ANSWER)
        chunks = []
        size = 0
        working_since = loop_time()
        try:
            async with asyncio.timeout_at(self._deadline):
                async for chunk in stream:
                    size += len(chunk)
                    if size > limit:
                        raise self._outcome.failed(ExchangeFailure.TOO_LARGE)
                    chunks.append(chunk)
                    working_since = await yield_after_long_work(working_since, loop_time)
        except (ExchangeFailed, TimeoutError) as error:
            raise self._outcome.failed(_failure_of(error)) from None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def iter_bytes(self) -> AsyncGenerator[bytes, None]:
        """Yields the body in chunks that are not empty.

        A compressed or incomplete body is a `broken_answer`, one without a byte for too long `no_answer`.
        """
        if self.header("Content-Encoding").lower() not in _UNCOMPRESSED:
            # Decompressed it could be a thousand times as large.
            raise self._outcome.failed(ExchangeFailure.BROKEN_ANSWER)
        received = 0
        working_since = loop_time()
        async with aclosing(self._response.chunks()) as chunks:
            while True:
                try:
                    async with asyncio.timeout(self._idle_seconds):
                        chunk = await anext(chunks, None)
                except (ExchangeFailed, TimeoutError) as error:
                    raise self._outcome.failed(_failure_of(error)) from None
                if chunk is None:
                    break
                received += len(chunk)
                yield chunk
                working_since = await yield_after_long_work(working_since, loop_time)
        if self.header("Content-Length") not in {"", str(received)}:
            raise self._outcome.failed(ExchangeFailure.BROKEN_ANSWER)


# So much is decompressed at once: a kilobyte may become a megabyte.
DECOMPRESSED_PIECE_BYTES = 1 << 16


async def _decompress(chunks: AsyncIterable[bytes], encoding: str) -> AsyncGenerator[bytes, None]:
    """Yields a body in gzip or deflate, decompressed in pieces. Raises `ExchangeFailed`."""
    decompressor = None
    async for chunk in chunks:
        if decompressor is None:
            decompressor = zlib.decompressobj(_window_bits(encoding, first_byte=chunk[0]))
        if decompressor.eof:
            raise ExchangeFailed(ExchangeFailure.BROKEN_ANSWER)  # bytes behind the end of what is compressed
        rest = chunk
        try:
            while piece := decompressor.decompress(rest, DECOMPRESSED_PIECE_BYTES):
                yield piece
                rest = decompressor.unconsumed_tail
        except zlib.error as error:
            raise ExchangeFailed(ExchangeFailure.BROKEN_ANSWER) from error


def _window_bits(encoding: str, first_byte: int) -> int:
    """Returns the argument of zlib that says in which form a body is compressed."""
    if encoding == "gzip":
        return zlib.MAX_WBITS | 16
    has_zlib_head = first_byte & 0x0F == zlib.DEFLATED
    return zlib.MAX_WBITS if has_zlib_head else -zlib.MAX_WBITS  # some servers send deflate without its head


async def read_json(body: bytes, kept_keys: frozenset[str] | None = None) -> JsonObject:
    """Decodes a body as `parse_json`, a large one in a thread: an address book of 40 MB takes 0.3 s.

    Raises `UnreadableJson`.
    """
    return await run_by_size(len(body), partial(parse_json, body, kept_keys))


# `with_retries` makes a call so often, with this pause between, as the official web client (webwx 2.4.3.3).
MAX_ATTEMPTS = 3
RETRY_SECONDS = 1.0


async def with_retries(attempt: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Returns the result of `attempt`. After `Unreachable` it is made again: one answer may be lost."""
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return await attempt()
        except Unreachable as why:
            log.info("trying again", reason=str(why))
            await clock.sleep(RETRY_SECONDS)
    return await attempt()


# What an exchange needs


@frozen
class TimeLimits:
    """The seconds that an exchange may take. A server that sends a byte now and then never exceeds `idle`."""

    #: The longest pause between two chunks of the request or of the answer.
    idle: float
    #: The time from the begin until the head of the answer has arrived.
    head: float
    #: The time from the begin until the body has been read; None where only the other two count.
    whole: float | None = None


# Failures


class BadAnswer(Unreachable):
    """WeChat answered, but the answer cannot be used."""


def _failure_of(error: ExchangeFailed | TimeoutError) -> ExchangeFailure:
    return error.failure if isinstance(error, ExchangeFailed) else ExchangeFailure.NO_ANSWER


@dataclass
class _Outcome:
    """How an exchange has ended so far, as `value`; makes the error for a failure."""

    _call: CallSpec
    #: The parameter `text` of `HttpClient`.
    _text: Callable[[str, str], str]
    value: str = "cancelled"

    def failed(self, failure: ExchangeFailure) -> BackendError:
        """Records a failure, and returns its error."""
        self.value = failure
        call = self._call
        message = self._text(failure, call.name)
        if call.is_delivery and failure is not ExchangeFailure.NO_CONNECTION:
            return OutcomeUnknown(message)
        if failure is ExchangeFailure.TOO_LARGE:
            return BadAnswer(message)
        return Unreachable(message, poll_timed_out=call.is_long_poll and failure is ExchangeFailure.NO_ANSWER)
