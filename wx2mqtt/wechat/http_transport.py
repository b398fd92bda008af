"""Transports for httpx: `Http11Transport` for regular calls, `OccasionalTransport` for all others.

`Http11Transport` speaks HTTP/1.1 without a proxy on connections that stay open, and does less for an exchange
than the transport of httpx: no layer between the event loop and h11, and one write for a request. Timeouts,
limits and exceptions are those of httpx; so is what is certain after an error.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping

import h11
import httpx

from wx2mqtt.clock import Lease
from wx2mqtt.wechat.http_connection import Origin, PooledConnection, open_connection

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Http11Transport(httpx.AsyncBaseTransport):
    """Keeps at most `max_connections`, each idle one for `keep_alive_seconds`.

    It never repeats a request: after a failure on a connection that was used before, nobody knows whether the
    server has read it. It writes no request when `lease` has ended: to connect takes time.
    """

    def __init__(
        self, context: ssl.SSLContext, lease: Lease, *, max_connections: int, keep_alive_seconds: float
    ) -> None:
        context.set_alpn_protocols(["http/1.1"])
        self._context = context
        self._lease = lease
        self._max_connections = max_connections
        self._keep_alive_seconds = keep_alive_seconds
        self._slots = asyncio.Semaphore(max_connections)
        self._in_use = 0
        self._busy: set[PooledConnection] = set()
        self._idle: list[PooledConnection] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request and returns the answer when its head has arrived. A body is sent as a whole.

        Takes the extensions `timeout` and `target` of httpx.
        """
        timeouts: Mapping[str, float | None] = request.extensions.get("timeout", {})
        origin, head, body = _origin_of(request.url), _head_of(request), await request.aread()
        connection = await self._acquire(origin, timeouts)
        try:
            if not self._lease.is_valid:
                raise httpx.ConnectError("another process may have the account")
            await connection.send(head, body, seconds=timeouts.get("write"))
            answer = await connection.receive_head(seconds=timeouts.get("read"))
        except BaseException:
            self.release(connection)
            raise
        return httpx.Response(
            answer.status_code,
            headers=answer.headers.raw_items(),
            stream=_ResponseBody(self, connection, timeouts.get("read")),
            extensions={"http_version": b"HTTP/" + answer.http_version, "reason_phrase": answer.reason},
        )

    def release(self, connection: PooledConnection) -> None:
        """Takes back the connection of an exchange that has ended in any way."""
        self._busy.discard(connection)
        if connection.finish():
            self._idle.append(connection)
        self._release_slot()

    async def aclose(self) -> None:
        """Closes all connections, also those of an exchange."""
        for connection in (*self._idle, *self._busy):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # asyncio closes their sockets in the next turn of the loop

    async def _acquire(self, origin: Origin, timeouts: Mapping[str, float | None]) -> PooledConnection:
        await self._acquire_slot(timeouts.get("pool"))
        try:
            connection = self._take_idle(origin)
            if connection is None:
                connection = await open_connection(origin, self._context, seconds=timeouts.get("connect"))
        except BaseException:
            self._release_slot()
            raise
        self._busy.add(connection)
        return connection

    async def _acquire_slot(self, seconds: float | None) -> None:
        """Waits until an exchange can begin. Raises `httpx.PoolTimeout`."""
        if self._slots.locked():
            try:
                async with asyncio.timeout(seconds):
                    await self._slots.acquire()
            except TimeoutError as error:
                raise httpx.PoolTimeout("no free connection in time") from error
        else:
            await self._slots.acquire()
        self._in_use += 1

    def _release_slot(self) -> None:
        self._in_use -= 1
        self._slots.release()

    def _take_idle(self, origin: Origin) -> PooledConnection | None:
        """Returns the idle connection to a server that was used last; closes all that cannot be used.

        Without one the oldest of the others is closed where a new one would be too many.
        """
        usable = []
        for connection in self._idle:
            if connection.can_start(self._keep_alive_seconds):
                usable.append(connection)
            else:
                connection.abort()
        self._idle = usable
        for connection in reversed(usable):
            if connection.origin == origin:
                usable.remove(connection)
                connection.start()
                return connection
        if self._in_use + len(usable) > self._max_connections:
            usable.pop(0).abort()
        return None


class _ResponseBody(httpx.AsyncByteStream):
    """The body of an answer. Its end, an error and `aclose` give the connection back."""

    def __init__(
        self, pool: Http11Transport, connection: PooledConnection, read_seconds: float | None
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._read_seconds = read_seconds
        self._is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._is_closed:
            raise StopAsyncIteration
        try:
            piece = await self._connection.receive_body(seconds=self._read_seconds)
        except BaseException:
            await self.aclose()
            raise
        if not piece:
            await self.aclose()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._pool.release(self._connection)


class OccasionalTransport(httpx.AsyncBaseTransport):
    """A transport that is closed when it was not used for `idle_seconds`, and made anew for the next request.

    httpx closes idle connections only with a next request, which may come days later. Until then each takes
    memory and a descriptor, also after the server has closed it.
    """

    def __init__(self, create: Callable[[], httpx.AsyncBaseTransport], *, idle_seconds: float) -> None:
        self._create = create
        self._idle_seconds = idle_seconds
        self._transport: httpx.AsyncBaseTransport | None = None
        self._open_count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request."""
        self._stop_timer()
        if self._transport is None:
            self._transport = self._create()
        self._open_count += 1
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException:
            self.end_exchange()
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _CountedBody(self, response.stream)
        return response

    def end_exchange(self) -> None:
        """Notes the end of an exchange; the idle time begins with that of the last one."""
        self._open_count -= 1
        if self._open_count == 0:
            self._timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._close_idle)

    async def aclose(self) -> None:
        """Closes all connections."""
        self._stop_timer()
        if self._closing is not None:
            await self._closing
        await self._close()

    def _close_idle(self) -> None:
        self._closing = asyncio.create_task(self._close())

    async def _close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _CountedBody(httpx.AsyncByteStream):
    """The body of an answer, whose end is the end of an exchange."""

    def __init__(self, transport: OccasionalTransport, body: httpx.AsyncByteStream) -> None:
        self._transport = transport
        self._body = body
        self._is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._body)

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            try:
                await self._body.aclose()
            finally:
                self._transport.end_exchange()


def _origin_of(url: httpx.URL) -> Origin:
    """Returns the server of a URL. Raises `httpx.UnsupportedProtocol`."""
    if url.scheme not in _DEFAULT_PORTS:
        raise httpx.UnsupportedProtocol(f"the protocol {url.scheme!r}")
    port = _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    return Origin(is_tls=url.scheme == "https", host=url.raw_host.decode("ascii"), port=port)


def _head_of(request: httpx.Request) -> h11.Request:
    """Raises `httpx.LocalProtocolError` for a request that HTTP cannot express."""
    try:
        return h11.Request(
            method=request.method.encode("ascii"),
            target=request.extensions.get("target", request.url.raw_path),
            headers=request.headers.raw,
        )
    except h11.LocalProtocolError as error:
        raise httpx.LocalProtocolError(str(error)) from error
