"""One HTTP/1.1 connection: an asyncio protocol that lets h11 write the request and read the answer.

A request is written whole, head and body at once, after h11 has accepted all of it. Until then it is certain
that nothing was sent; from then on nobody knows what the server received. Raises the exceptions of httpx.
"""

from __future__ import annotations

import asyncio
import ipaddress
import select
import ssl
from collections import deque

import h11
import httpx

from wx2mqtt.h11_patterns import replace_h11_patterns
from wx2mqtt.values import frozen

replace_h11_patterns()

# The limits of httpx: the largest head, and the largest piece of a body that is decompressed at once.
MAX_HEAD_BYTES = 100 * 1024
MAX_PIECE_BYTES = 64 * 1024

# Reading pauses while so much was received and not yet asked for.
MAX_BUFFERED_BYTES = 256 * 1024

# A second address of a host is tried when the first one has not answered for so long (RFC 8305).
NEXT_ADDRESS_SECONDS = 0.25


@frozen
class Origin:
    """The server of a URL."""

    is_tls: bool
    host: str
    port: int


class PooledConnection(asyncio.Protocol):
    """A connection that makes one exchange after another: `send`, `receive_head`, `receive_body`, `finish`.

    In between it is idle. The end of the connection, and any byte that arrives then, make it useless.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._received: deque[bytes] = deque()
        self._received_size = 0
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._has_ended = False
        self._is_lost = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._idle_since: float | None = None

    # An exchange

    async def send(self, request: h11.Request, body: bytes, *, seconds: float | None) -> None:
        """Writes a request. Raises `httpx.LocalProtocolError` before a byte is written, `WriteTimeout` later.

        A connection that breaks meanwhile is noticed by `receive_head`: the server may have answered before.
        """
        events = (request, h11.Data(data=body), h11.EndOfMessage()) if body else (request, h11.EndOfMessage())
        try:
            data = b"".join([self._state.send(event) for event in events])
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        self.transport.write(data)
        while self._is_writing_paused and not self._has_ended:
            await self._wait(seconds, httpx.WriteTimeout)

    async def receive_head(self, *, seconds: float | None) -> h11.Response:
        """Returns the head of the answer; skips informational ones (1xx)."""
        while True:
            event = await self._next_event(seconds)
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise httpx.RemoteProtocolError("no head of an answer")

    async def receive_body(self, *, seconds: float | None) -> bytes:
        """Returns the next piece of the body, empty at its end."""
        event = await self._next_event(seconds)
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            return b""
        raise httpx.RemoteProtocolError("no body of an answer")

    def finish(self) -> bool:
        """Ends an exchange and returns whether another one can follow; else closes the connection.

        None can follow on an answer that was not read to its end, or on bytes that belong to no answer.
        """
        is_complete = self._state.our_state is h11.DONE and self._state.their_state is h11.DONE
        has_excess = bool(self._received) or bool(self._state.trailing_data[0])
        if not is_complete or has_excess or self._is_writing_paused or self._is_closed():
            self.abort()
            return False
        self._state.start_next_cycle()
        self._idle_since = self._loop.time()
        return True

    # Between two exchanges

    def can_start(self, keep_alive_seconds: float) -> bool:
        """Returns whether an idle connection can be used: it is young, and nothing has arrived on it.

        The system knows of a server's FIN or RST before the event loop does, so it is asked.
        """
        if self._is_closed() or self._idle_since is None:
            return False
        return self._loop.time() - self._idle_since <= keep_alive_seconds and not self._has_input()

    def start(self) -> None:
        """Ends the idle time."""
        self._idle_since = None

    def abort(self) -> None:
        """Closes the connection at once, whatever is still to be written or read."""
        self._has_ended = True
        if not self._is_lost:  # asyncio's transports do not always survive it
            self.transport.abort()

    def _is_closed(self) -> bool:
        return self._has_ended or self.transport.is_closing()

    def _has_input(self) -> bool:
        descriptor = self.transport.get_extra_info("socket").fileno()
        if descriptor < 0:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))

    # Events of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Stores the transport, whose buffer counts as full as soon as the system does not take all.

        Over TLS only what is not encrypted yet counts.
        """
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=1)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Stores what arrives; closes an idle connection."""
        if self._idle_since is not None or self._has_ended:
            self.abort()
            return
        if len(data) <= MAX_PIECE_BYTES:
            self._received.append(data)
        else:
            pieces = range(0, len(data), MAX_PIECE_BYTES)
            self._received.extend(data[start : start + MAX_PIECE_BYTES] for start in pieces)
        self._received_size += len(data)
        if self._received_size > MAX_BUFFERED_BYTES and not self._is_reading_paused:
            self._is_reading_paused = True
            self.transport.pause_reading()
        self._wake_up()

    def eof_received(self) -> None:
        """Notes the end of what the server sends; asyncio then closes the connection."""
        self._has_ended = True
        self._wake_up()

    def connection_lost(self, error: Exception | None) -> None:
        """Notes the end of the connection."""
        self._has_ended = self._is_lost = True
        self._error = self._error or error
        self._is_writing_paused = False
        self._wake_up()

    def pause_writing(self) -> None:
        """Notes that the system has not taken the whole request."""
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        """Notes that it has."""
        self._is_writing_paused = False
        self._wake_up()

    # Waiting

    async def _next_event(self, seconds: float | None) -> h11.Event | type[h11.PAUSED | h11.NEED_DATA]:
        while True:
            try:
                event = self._state.next_event()
            except h11.RemoteProtocolError as error:
                raise httpx.RemoteProtocolError(str(error)) from error
            if event is not h11.NEED_DATA:
                return event
            while not self._received and not self._has_ended:
                await self._wait(seconds, httpx.ReadTimeout)
            self._feed()

    def _feed(self) -> None:
        """Hands the oldest piece to h11, or the end. Raises `httpx.ReadError` for a broken connection."""
        if self._received:
            piece = self._received.popleft()
            self._received_size -= len(piece)
            self._state.receive_data(piece)
            if self._is_reading_paused and not self._received:
                self._is_reading_paused = False
                self.transport.resume_reading()
        elif self._error is not None:
            raise httpx.ReadError(type(self._error).__name__) from self._error
        else:
            self._state.receive_data(b"")

    async def _wait(self, seconds: float | None, error: type[httpx.TimeoutException]) -> None:
        """Waits until the connection has changed. Raises `error` after `seconds`."""
        waiter = self._waiter = self._loop.create_future()
        timer = None if seconds is None else self._loop.call_later(seconds, _expire, waiter, error)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake_up(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _expire(waiter: asyncio.Future[None], error: type[httpx.TimeoutException]) -> None:
    if not waiter.done():
        waiter.set_exception(error("no byte in time"))


async def open_connection(
    origin: Origin, context: ssl.SSLContext, *, seconds: float | None
) -> PooledConnection:
    """Connects to a server; TCP and TLS may take `seconds` each, as in httpx.

    Raises `httpx.ConnectError` or `httpx.ConnectTimeout`.
    """
    loop = asyncio.get_running_loop()
    connection = PooledConnection(origin)
    try:
        async with asyncio.timeout(seconds):
            await loop.create_connection(
                lambda: connection, origin.host, origin.port, happy_eyeballs_delay=_next_address_delay(origin)
            )
        if origin.is_tls:
            await _start_tls(connection, context, seconds=seconds)
    except TimeoutError as error:
        raise httpx.ConnectTimeout("no connection in time") from error
    except (OSError, ValueError) as error:  # ValueError: a name that DNS or TLS cannot have
        raise httpx.ConnectError(type(error).__name__) from error
    return connection


def _next_address_delay(origin: Origin) -> float | None:
    """Returns when the next address of a host is tried, None for a host that is an address itself.

    With a delay, asyncio leaves a socket to the garbage collector when it is cancelled just as it connects.
    """
    try:
        ipaddress.ip_address(origin.host)
    except ValueError:
        return NEXT_ADDRESS_SECONDS
    return None


async def _start_tls(connection: PooledConnection, context: ssl.SSLContext, *, seconds: float | None) -> None:
    plain = connection.transport
    try:
        async with asyncio.timeout(seconds):
            transport = await asyncio.get_running_loop().start_tls(
                plain, connection, context, server_hostname=connection.origin.host
            )
    except BaseException:
        plain.abort()
        raise
    if transport is None:
        raise ConnectionAbortedError
    connection.connection_made(transport)
