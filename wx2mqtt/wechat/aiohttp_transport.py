"""The network of `HttpClient`: a transport of httpx over the client of aiohttp.

In goes a request of httpx, out comes its answer as soon as the head is there. A failure raises `ConnectError`
as long as nothing of the request was written, and later `WriteTimeout`, `ReadTimeout` or a protocol error. A
request is written once at most, and only while the lease is valid: then no other instance has the account.

httpx-aiohttp is not used: it reports a connection that broke as one that was not made, and respells URLs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import ClassVar
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import httpx
from typing_extensions import override
from yarl import URL

from wx2mqtt.clock import Lease, loop_time
from wx2mqtt.memory import hide_certificates

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


class AiohttpTransport(httpx.AsyncBaseTransport):
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
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request, whose extension `timeout` has the times `pool`, `connect`, `read` and `write`."""
        if self._session is None:
            self._session = self._create_session()
        sending = _Sending(request, self._lease)
        timeouts = request.extensions["timeout"]
        try:
            async with asyncio.timeout(None) as sending.write_timeout:
                response = await self._session.request(
                    request.method,
                    URL(str(request.url), encoded=True),
                    headers=[(name.decode("ascii"), value.decode()) for name, value in request.headers.raw],
                    data=None if request.method == "GET" else sending.body(),
                    allow_redirects=False,
                    proxy=proxy_for(request.url.scheme, request.url.host) if self._uses_proxies else None,
                    timeout=aiohttp.ClientTimeout(
                        connect=timeouts["pool"], sock_connect=timeouts["connect"], sock_read=timeouts["read"]
                    ),
                    trace_request_ctx=sending,
                )
        except (aiohttp.ClientError, httpx.HTTPError, OSError, ValueError) as error:
            raise _failure(error, is_written=sending.is_written) from error
        finally:
            sending.write_timeout = None
        if response.status == 101:
            response.close()
            raise httpx.RemoteProtocolError("the server wants another protocol")
        return httpx.Response(response.status, headers=response.raw_headers, stream=_ReceivedBody(response))

    @override
    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # asyncio closes the sockets in the next turn of the loop

    def _create_session(self) -> aiohttp.ClientSession:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(_before_head)
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


def _failure(error: Exception, *, is_written: bool) -> httpx.TransportError:
    """Returns the error of httpx for a request without an answer."""
    if not is_written:
        return httpx.ConnectError(type(error).__name__)
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout("no byte in time")
    return httpx.RemoteProtocolError(type(error).__name__)


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
            if connection.protocol not in self._used:
                self._used.add(connection.protocol)
                return connection
            if not connection.protocol.should_close and not _has_news(connection):
                return connection
            connection.close()


def _has_news(connection: Connection) -> bool:
    """Returns whether bytes or an end have come. The system knows that before the event loop does."""
    assert connection.transport is not None
    poll = select.poll()
    poll.register(connection.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))


@dataclass
class _Sending:
    """One request on its way, from its first byte to the head of its answer."""

    _request: httpx.Request
    _lease: Lease
    #: A write has begun. As long as this is False, certainly nothing of the request was sent.
    is_written: bool = False
    #: Ends the exchange when a piece of the body is not written in time; None once the head has arrived.
    write_timeout: asyncio.Timeout | None = None

    async def body(self) -> AsyncGenerator[bytes, None]:
        """Yields the body to the task that writes it: each piece at once, the next one when it is taken."""
        assert isinstance(self._request.stream, httpx.AsyncByteStream)
        missing_bytes = int(self._request.headers["Content-Length"])
        async for piece in self._request.stream:
            missing_bytes -= len(piece)
            if missing_bytes < 0:
                break
            self.begin_writing()
            if self.write_timeout is not None:
                self.write_timeout.reschedule(loop_time() + self._request.extensions["timeout"]["write"])
            yield piece
        if missing_bytes:
            raise httpx.LocalProtocolError("a body of another length than its header says")
        if self.write_timeout is not None:
            self.write_timeout.reschedule(None)

    def begin_writing(self) -> None:
        """Is called right before each write. Without a lease the first one raises `httpx.ConnectError`."""
        if not self.is_written and not self._lease.is_valid:
            raise httpx.ConnectError("another process may have the account")
        self.is_written = True


async def _before_head(
    _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    """Is called by aiohttp right before the head is written. That of a POST waits for its body."""
    if params.method == "GET":
        context.trace_request_ctx.begin_writing()


async def _send_once(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
    """Replaces the two errors after which aiohttp repeats a GET."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise httpx.ReadError(type(error).__name__) from error


@dataclass
class _ReceivedBody(httpx.AsyncByteStream):
    """The body of an answer. One that was not read to its end closes the connection."""

    _response: aiohttp.ClientResponse

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._response.connection
        protocol = None if connection is None else connection.protocol
        try:
            async for piece in self._response.content.iter_chunked(MAX_PIECE_BYTES):
                yield piece
            # A body without a length ends with its connection, for aiohttp also with a broken one.
            if protocol is not None and isinstance(protocol.exception(), OSError):
                raise httpx.ReadError("the connection broke")
        except TimeoutError as error:
            raise httpx.ReadTimeout("no byte in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.ReadError(type(error).__name__) from error
        finally:
            self._response.close()

    @override
    async def aclose(self) -> None:
        self._response.close()


def proxy_for(scheme: str, host: str) -> str | None:
    """Returns the URL of the proxy that the environment names for a server; None without one."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def tls_context(endpoint: str | None) -> ssl.SSLContext:
    """Returns a TLS context with the certificates of the environment, else those of httpx.

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
    return httpx.create_ssl_context(trust_env=False)
