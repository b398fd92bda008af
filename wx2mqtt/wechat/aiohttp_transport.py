"""The network of `HttpClient`: its requests through the client of aiohttp.

In goes an `HttpRequest`, out comes the answer as soon as its head is there, or `ExchangeFailed`: with
`NO_CONNECTION` as long as nothing of the request was written, else with another `ExchangeFailure`. A request
is written once at most, and only while the lease is valid: then no other instance has the account.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import SimpleNamespace
from typing import ClassVar, Protocol
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import certifi
from typing_extensions import override
from yarl import URL

from wx2mqtt.clock import Lease, loop_time
from wx2mqtt.limits import HTTP_CONNECT_SECONDS
from wx2mqtt.memory import hide_certificates
from wx2mqtt.values import frozen

with hide_certificates():
    import aiohttp
    from aiohttp.client_middlewares import ClientHandlerType
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

MAX_CONNECTIONS = 20

# Servers usually close an idle connection after 5 s. The client does so first: no request meets a closed one.
KEEP_ALIVE_SECONDS = 4.0

# The longest line that the head of an answer may have, and how many lines.
MAX_HEAD_LINE_BYTES = 16 * 1024
MAX_HEAD_LINES = 128

# The largest piece of a body that is handed on at once.
MAX_PIECE_BYTES = 64 * 1024

# Reading pauses while so much was received and not yet asked for.
MAX_UNREAD_BYTES = 128 * 1024

# The headers that aiohttp would add. The backends name all that they want.
_UNWANTED_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

# The warnings of aiohttp may quote cookies.
logging.getLogger("aiohttp").setLevel(logging.CRITICAL)


class ExchangeFailure(StrEnum):
    """The outcome of an exchange without a usable answer, and the key of its sentence.

    Its error is `Unreachable`, or `OutcomeUnknown` after a call that delivers a message.
    """

    #: The request was certainly not sent. The error is `Unreachable` also for a delivery.
    NO_CONNECTION = "no_connection"
    #: No answer came in time.
    NO_ANSWER = "no_answer"
    #: The answer was cut off, or is no HTTP.
    BROKEN_ANSWER = "broken_answer"
    #: The answer is larger than the call allows. The error is `BadAnswer` in place of `Unreachable`.
    TOO_LARGE = "too_large"


class ExchangeFailed(Exception):
    """An exchange without a usable answer; `__cause__` is the error of the network, if there was one."""

    def __init__(self, failure: ExchangeFailure) -> None:
        super().__init__(failure)
        self.failure = failure


@frozen
class HttpRequest:
    """A POST where it has a body, else a GET."""

    url: str
    headers: Mapping[str, str]
    #: Pieces need the header `Content-Length`.
    body: bytes | AsyncIterable[bytes] | None
    #: The longest pause, in seconds, until there is a connection, and between two pieces in either direction.
    idle_seconds: float


class HttpResponse(Protocol):
    """An answer whose head has arrived. Its body can be read once."""

    status: int

    def header_values(self, name: str) -> list[str]:
        """Returns the values of a header, which may occur several times."""

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yields the body as it comes, compressed as it is. Raises `ExchangeFailed`."""

    def close(self) -> None:
        """Gives the connection back, or closes it where the body was not read to its end."""


class HttpTransport(Protocol):
    """Sends the requests of one account."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Returns the answer when its head has arrived. Raises `ExchangeFailed`."""

    async def close(self) -> None:
        """Closes all connections."""


class AiohttpTransport(HttpTransport):
    """The connections of one account: each idle one is kept for `keep_alive_seconds`.

    With `uses_proxies` the environment names the proxy of each server.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        lease: Lease,
        *,
        uses_proxies: bool,
        max_connections: int = MAX_CONNECTIONS,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        self._context = context
        self._lease = lease
        self._uses_proxies = uses_proxies
        self._max_connections = max_connections
        self._keep_alive_seconds = keep_alive_seconds
        #: Holds the connections; made for the first request.
        self._session: aiohttp.ClientSession | None = None

    @override
    async def send(self, request: HttpRequest) -> HttpResponse:
        if self._session is None:
            self._session = self._create_session()
        body = request.body
        sending = _Sending(request, self._lease)
        is_spelled_right = request.url.isascii() and request.url.isprintable() and " " not in request.url
        try:
            url = URL(request.url, encoded=is_spelled_right)
            async with asyncio.timeout(None) as sending.write_timeout:
                response = await self._session.request(
                    "GET" if body is None else "POST",
                    url,
                    headers=request.headers,
                    data=body if body is None or isinstance(body, bytes) else sending.pieces(body),
                    allow_redirects=False,
                    proxy=proxy_for(url.scheme, url.host or "") if self._uses_proxies else None,
                    timeout=aiohttp.ClientTimeout(
                        connect=request.idle_seconds,
                        sock_connect=min(HTTP_CONNECT_SECONDS, request.idle_seconds),
                        sock_read=request.idle_seconds,
                    ),
                    trace_request_ctx=sending,
                )
        except (aiohttp.ClientError, ConnectionNotAllowed, OSError, ValueError) as error:
            raise _failed(error, is_written=sending.is_written) from error
        finally:
            sending.write_timeout = None
        if response.status == 101:  # the server wants another protocol
            response.close()
            raise ExchangeFailed(ExchangeFailure.BROKEN_ANSWER)
        return _Response(response.status, response)

    @override
    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # asyncio closes the sockets in the next turn of the loop

    def _create_session(self) -> aiohttp.ClientSession:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(_before_head)
        tracing.on_request_chunk_sent.append(_before_body)
        return aiohttp.ClientSession(
            connector=_Connector(
                ssl=self._context, limit=self._max_connections, keepalive_timeout=self._keep_alive_seconds
            ),
            cookie_jar=aiohttp.DummyCookieJar(),  # the backends keep the cookies
            skip_auto_headers=_UNWANTED_HEADERS,
            auto_decompress=False,
            max_line_size=MAX_HEAD_LINE_BYTES,
            max_field_size=MAX_HEAD_LINE_BYTES,
            max_headers=MAX_HEAD_LINES,
            read_bufsize=MAX_UNREAD_BYTES // 2,  # aiohttp pauses at twice as much
            middlewares=[_send_once],
            trace_configs=[tracing],
        )


def _failed(error: Exception, *, is_written: bool) -> ExchangeFailed:
    """Returns the error for a request without an answer."""
    if not is_written:
        return ExchangeFailed(ExchangeFailure.NO_CONNECTION)
    if isinstance(error, TimeoutError):
        return ExchangeFailed(ExchangeFailure.NO_ANSWER)
    return ExchangeFailed(ExchangeFailure.BROKEN_ANSWER)


class _Connector(aiohttp.TCPConnector):
    """Keeps idle connections, and closes one on which bytes or an end came since its last answer.

    aiohttp itself would take bytes that nobody asked for as the answer to the next request.
    """

    #: The connections, of all accounts, that have carried a request before.
    _used: ClassVar[WeakSet[ResponseHandler]] = WeakSet()

    @override
    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            assert connection.protocol is not None
            assert connection.transport is not None
            if connection.protocol not in self._used:
                self._used.add(connection.protocol)
                return connection
            received = select.poll()  # the system knows what has come before the event loop does
            received.register(connection.transport.get_extra_info("socket").fileno(), select.POLLIN)
            if not connection.protocol.should_close and not received.poll(0):
                return connection
            connection.close()


class ConnectionNotAllowed(Exception):
    """Another process may have the account."""


@dataclass
class _Sending:
    """One request on its way, from its first byte to the head of its answer."""

    _request: HttpRequest
    _lease: Lease
    #: A write has begun. As long as this is False, certainly nothing of the request was sent.
    is_written: bool = False
    #: Ends the exchange when a piece of the body is not written in time; None once the head has arrived.
    write_timeout: asyncio.Timeout | None = None

    async def pieces(self, body: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """Yields the pieces to the task that writes them: each one must be taken in time."""
        missing_bytes = int(self._request.headers["Content-Length"])
        async for piece in body:
            missing_bytes -= len(piece)
            if missing_bytes < 0:
                break
            if self.write_timeout is not None:
                self.write_timeout.reschedule(loop_time() + self._request.idle_seconds)
            yield piece
        if missing_bytes:
            raise ValueError("a body of another length than its header says")
        if self.write_timeout is not None:
            self.write_timeout.reschedule(None)

    def begin_writing(self) -> None:
        """Is called right before each write. Without a lease the first one raises `ConnectionNotAllowed`."""
        if not self.is_written and not self._lease.is_valid:
            raise ConnectionNotAllowed
        self.is_written = True


async def _before_head(
    _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    """Is called by aiohttp right before the head is written. That of a POST waits for its body."""
    if params.method == "GET":
        context.trace_request_ctx.begin_writing()


async def _before_body(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _: aiohttp.TraceRequestChunkSentParams
) -> None:
    """Is called by aiohttp right before a piece of the body is written, the first one with the head."""
    context.trace_request_ctx.begin_writing()


async def _send_once(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
    """Replaces the two errors after which aiohttp repeats a GET."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientError(type(error).__name__) from error


@dataclass
class _Response(HttpResponse):
    status: int
    _response: aiohttp.ClientResponse

    @override
    def header_values(self, name: str) -> list[str]:
        return self._response.headers.getall(name, [])

    @override
    async def chunks(self) -> AsyncGenerator[bytes, None]:
        connection = self._response.connection
        protocol = None if connection is None else connection.protocol
        try:
            async for piece in self._response.content.iter_chunked(MAX_PIECE_BYTES):
                yield piece
        except TimeoutError as error:
            raise ExchangeFailed(ExchangeFailure.NO_ANSWER) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ExchangeFailed(ExchangeFailure.BROKEN_ANSWER) from error
        finally:
            self._response.close()
        # A body without a length ends with its connection, for aiohttp also with a broken one.
        if protocol is not None and isinstance(protocol.exception(), OSError):
            raise ExchangeFailed(ExchangeFailure.BROKEN_ANSWER)

    @override
    def close(self) -> None:
        self._response.close()


def proxy_for(scheme: str, host: str) -> str | None:
    """Returns the URL of the proxy that the environment names for a server; None without one."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def tls_context(endpoint: str | None) -> ssl.SSLContext:
    """Returns a TLS context with the certificates of the environment, else those of certifi.

    It has none for an endpoint without TLS. All accounts share one context, since it takes a megabyte.
    """
    needs_certificates = endpoint is None or not endpoint.startswith("http:")
    return _create_context(
        needs_certificates, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    )


@lru_cache(maxsize=2)
def _create_context(
    needs_certificates: bool, cert_file: str | None, cert_folder: str | None
) -> ssl.SSLContext:
    if not needs_certificates:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if cert_file:
        return ssl.create_default_context(cafile=cert_file)
    if cert_folder:
        return ssl.create_default_context(capath=cert_folder)
    return ssl.create_default_context(cafile=certifi.where())
