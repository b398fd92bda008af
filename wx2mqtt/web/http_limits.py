"""Limits on connections: how many there are, how long a client may take, how much it may send unasked.

    socket  ->  HttpConnection  ->  uvicorn's HTTP protocol  ->  RequestWatch  ->  the application

uvicorn has none of these limits. `HttpConnection` stands before it, and `RequestWatch`, an ASGI layer, tells
the connection when a request begins and ends. `ConnectionLimiter` decides which connection must go when there
are too many.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.web import server_text
from wx2mqtt.web.allowed_hosts import client_network, is_in_networks
from wx2mqtt.web.options import IpNetwork
from wx2mqtt.web.request_context import MAX_HEAD_BYTES

MAX_CONNECTIONS = 100  # each takes a file descriptor, of which a process usually has 1,024
MAX_CONNECTIONS_PER_ADDRESS = 40  # a browser opens up to six, and `MAX_VIEWERS` pages stay open in all
RESERVED_CONNECTIONS = 10  # beyond the two limits above, for `/livez` and `/healthz`

# A request head must be complete so long after the begin of the connection, or after the last response.
HEAD_TIMEOUT_SECONDS = 10.0

# A client must take 48 KiB of an answer in this time: then asyncio goes on writing.
WRITE_STALL_SECONDS = 30.0

# Bytes that are read at once. uvicorn pauses a client that sends requests ahead after the first one that is
# complete in what was read.
READ_BYTES = 1024

# Bytes that may come during a request besides the body that was read: sizes of chunks, further request heads.
MAX_UNREAD_BYTES = 128 * 1024

# Keys in the state of an ASGI scope: whether the connection is a reserved one, and its `HttpConnection`.
HEALTH_ONLY_KEY = "wx2mqtt.health_only"
_CONNECTION_KEY = "wx2mqtt.connection"

# uvicorn would log every malformed request, which anybody can send.
_silent_logger = logging.getLogger("wx2mqtt.web.uvicorn")
_silent_logger.setLevel(logging.CRITICAL)


class RequestPhase(Enum):
    """Where a connection is. After `IDLE` another request may follow."""

    #: No request has begun yet.
    NEW = auto()
    #: The application reads a request.
    OPEN = auto()
    #: The application has begun to answer it.
    ANSWERED = auto()
    #: The last request has ended.
    IDLE = auto()


class HttpConnection(asyncio.BufferedProtocol):
    """One connection. The event loop and `RequestWatch` call its methods.

    1. When the client connects, the limiter admits it; else it is answered 503 and closed.
    2. A request head must be complete within `HEAD_TIMEOUT_SECONDS` and `MAX_HEAD_BYTES`.
    3. While a request is answered, the client may not send more than the application reads.
    4. A client that takes nothing of an answer for `WRITE_STALL_SECONDS` is closed.
    """

    def __init__(
        self, config: Config, state: ServerState, limiter: ConnectionLimiter, language: Language
    ) -> None:
        self._limiter = limiter
        self._language = language
        self._scope_state: dict[str, Any] = {_CONNECTION_KEY: self}  # uvicorn copies it into each scope
        protocol_class: Any = config.http_protocol_class
        self._http = protocol_class(config=config, server_state=state, app_state=self._scope_state)
        self._http.logger = _silent_logger
        self._buffer = bytearray(READ_BYTES)
        #: Bytes that were received for this request and not read as its body, or since the last request.
        self._unread_bytes = 0
        self._phase = RequestPhase.NEW
        self._is_lost = False
        #: uvicorn may not write now.
        self.is_muted = False
        self._head_timer = _Timer(self._close_gracefully)
        self._stall_timer = _Timer(self.abort)

    # Called by the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._http.connection_made(_TransportForUvicorn(transport, self))
        peer = transport.get_extra_info("peername")
        admission = self._limiter.add(self, str(peer[0]) if peer else "")
        self._scope_state[HEALTH_ONLY_KEY] = admission is Admission.HEALTH
        if admission is Admission.NOTHING:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", "retry-after: 5")
        else:
            self._head_timer.start(HEAD_TIMEOUT_SECONDS)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - asyncio's name
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._unread_bytes += nbytes
        # uvicorn answers a malformed request with 400, which must not stand amid another answer.
        self.is_muted = self._phase is RequestPhase.ANSWERED
        self._http.data_received(bytes(self._buffer[:nbytes]))
        self.is_muted = False
        if self._unread_bytes > MAX_HEAD_BYTES:
            # It is checked later, when a request that is complete now has begun.
            asyncio.get_running_loop().call_soon(self._check_unread)

    def eof_received(self) -> None:
        self._http.eof_received()

    def pause_writing(self) -> None:
        self._http.pause_writing()
        self._stall_timer.start(WRITE_STALL_SECONDS)

    def resume_writing(self) -> None:
        self._http.resume_writing()
        if not self._transport.is_closing():
            self._stall_timer.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._limiter.remove(self)
        self._head_timer.cancel()
        self._stall_timer.cancel()
        self._http.connection_lost(exc)

    # Called by `RequestWatch`

    def begin_request(self) -> None:
        self._phase = RequestPhase.OPEN
        self._unread_bytes = 0
        self._limiter.mark_busy(self)
        self._head_timer.cancel()

    def take_body(self, size: int) -> None:
        """Notes that the application has read a part of the body. Chunk sizes may take as much again."""
        self._unread_bytes = max(0, self._unread_bytes - 2 * size)

    def begin_answer(self) -> None:
        self._phase = RequestPhase.ANSWERED

    def end_request(self) -> None:
        self._phase = RequestPhase.IDLE
        self._unread_bytes = 0
        self._limiter.mark_idle(self)
        if not self._is_lost:
            self._head_timer.start(HEAD_TIMEOUT_SECONDS)

    # Closing

    def abort(self) -> None:
        self._transport.abort()

    def close_after_response(self) -> None:
        """Closes the connection when the client has taken the response in progress, if there is one."""
        self._http.shutdown()

    def _check_unread(self) -> None:
        if self._transport.is_closing():
            return
        match self._phase:
            case RequestPhase.OPEN | RequestPhase.ANSWERED:
                if self._unread_bytes > MAX_UNREAD_BYTES:
                    self.abort()
            case RequestPhase.NEW:
                if self._unread_bytes > MAX_HEAD_BYTES:
                    self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
            case RequestPhase.IDLE:
                if self._unread_bytes > MAX_HEAD_BYTES:  # perhaps the rest of a body that nobody has read
                    self._close_gracefully()

    def _refuse(self, status: HTTPStatus, message_key: str, *headers: str) -> None:
        """Writes a whole response without the application, and closes the connection."""
        body = f"{server_text(self._language, message_key)}\n".encode()
        lines = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            "connection: close",
            "content-type: text/plain; charset=utf-8",
            f"content-length: {len(body)}",
            *headers,
        )
        self._transport.write("\r\n".join((*lines, "", "")).encode() + body)
        self._close_gracefully()

    def _close_gracefully(self) -> None:
        """Closes the connection when the client has taken all data, at the latest after the stall time."""
        self._transport.close()
        self._stall_timer.start(WRITE_STALL_SECONDS)


class _Timer:
    """Calls a function after some seconds, unless it is cancelled before; a second start changes nothing."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(seconds, self._function)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None


class _TransportForUvicorn:
    """The real transport, on which nothing is written while the connection is muted."""

    def __init__(self, transport: asyncio.Transport, connection: HttpConnection) -> None:
        self._transport = transport
        self._connection = connection

    def write(self, data: bytes) -> None:
        if not self._connection.is_muted:
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class RequestWatch:
    """The outermost ASGI layer: tells the connection when a request begins and ends. Requires one Host."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection: HttpConnection = scope["state"][_CONNECTION_KEY]

        async def receive_body() -> Message:
            message = await receive()
            connection.take_body(len(message.get("body", b"")))
            return message

        async def send_answer(message: Message) -> None:
            connection.begin_answer()
            await send(message)

        app: ASGIApp = self._app
        host_count = len(Headers(scope=scope).getlist("host"))
        needs_host = scope["http_version"] == "1.1"
        if host_count > 1 or (needs_host and host_count == 0):  # RFC 9112, 3.2
            headers = {"connection": "close"}
            app = PlainTextResponse("Invalid HTTP request received.", HTTPStatus.BAD_REQUEST, headers)
        connection.begin_request()
        try:
            await app(scope, receive_body, send_answer)
        finally:
            connection.end_request()


class Admission(Enum):
    """What a new connection may ask for."""

    EVERYTHING = auto()
    HEALTH = auto()
    NOTHING = auto()


@dataclass(slots=True)
class _Registration:
    """What the limiter knows of an open connection."""

    #: The `client_network` of its client; empty for a proxy.
    network: str
    admission: Admission


class ConnectionLimiter:
    """The open connections, with a limit for all and one for each address; some are for health checks only.

    At a limit a new connection replaces the one that has been idle for the longest time: at the limit of its
    address one of its address, else one of all. Where none is idle it gets a reserved connection, or none.
    Addresses of `proxies` have no limit of their own, since they bring the connections of many.
    """

    def __init__(
        self,
        max_connections: int = MAX_CONNECTIONS,
        max_per_address: int = MAX_CONNECTIONS_PER_ADDRESS,
        reserved: int = RESERVED_CONNECTIONS,
        proxies: tuple[IpNetwork, ...] = (),
    ) -> None:
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._reserved = reserved
        self._proxies = proxies
        self.connections: dict[HttpConnection, _Registration] = {}
        #: The idle ones of `connections`, in the order in which they became idle; the values say nothing.
        self._idle: dict[HttpConnection, None] = {}
        #: Set while there is no connection.
        self.empty = asyncio.Event()
        self.empty.set()

    def add(self, connection: HttpConnection, address: str) -> Admission:
        """Adds a connection, which is idle at first. After the result `NOTHING` it must be closed."""
        network = "" if is_in_networks(address, self._proxies) else client_network(address)
        for admission in (Admission.EVERYTHING, Admission.HEALTH):
            rivals = self._rivals(admission, network)
            if rivals is None or self._abort_longest_idle(rivals):
                self.connections[connection] = _Registration(network, admission)
                self._idle[connection] = None
                self.empty.clear()
                return admission
        return Admission.NOTHING

    def mark_busy(self, connection: HttpConnection) -> None:
        self._idle.pop(connection, None)

    def mark_idle(self, connection: HttpConnection) -> None:
        """Puts a connection after all idle ones. One that is idle already keeps its place in the order."""
        if connection in self.connections:
            self._idle.setdefault(connection)

    def remove(self, connection: HttpConnection) -> None:
        self._idle.pop(connection, None)
        self.connections.pop(connection, None)
        if not self.connections:
            self.empty.set()

    def _rivals(self, admission: Admission, network: str) -> list[HttpConnection] | None:
        """Returns the connections of which one must go for a new one; None while there is room."""
        admitted = [other for other, its in self.connections.items() if its.admission is admission]
        if admission is Admission.HEALTH:
            return admitted if len(admitted) >= self._reserved else None
        neighbours = [other for other in admitted if self.connections[other].network == network]
        if network and len(neighbours) >= self._max_per_address:
            return neighbours
        return admitted if len(admitted) >= self._max_connections else None

    def _abort_longest_idle(self, connections: Collection[HttpConnection]) -> bool:
        """Aborts the one that has been idle for the longest time; returns False where none is idle."""
        candidates = set(connections)
        longest_idle = next((idle for idle in self._idle if idle in candidates), None)
        if longest_idle is None:
            return False
        self.remove(longest_idle)
        longest_idle.abort()
        return True
