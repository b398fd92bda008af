"""Limits on connections: how many there are, and how long a client may take.

uvicorn limits neither the time until a request is complete nor the time until a response is taken.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

MAX_CONNECTIONS = 100  # each takes a file descriptor, of which a process usually has 1,024
HEAD_TIMEOUT_SECONDS = 10.0  # for a whole request head, from the connection or the last response on
WRITE_STALL_SECONDS = 30.0  # in which a client must take 48 KiB: at that level asyncio resumes writing

_TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\n\r\ntoo many connections\n"
)

_silent_logger = logging.getLogger("wx2mqtt.web.uvicorn")  # uvicorn logs every malformed request of anybody
_silent_logger.setLevel(logging.CRITICAL)


class LimitedConnection(Protocol):
    """A connection that the limiter can close."""

    def abort(self) -> None: ...


class ConnectionLimiter:
    """The open connections. At the limit a new one replaces the one that is idle for the longest time."""

    def __init__(self, max_connections: int = MAX_CONNECTIONS) -> None:
        self._max_connections = max_connections
        self._connections: dict[LimitedConnection, None] = {}
        self._idle: dict[LimitedConnection, None] = {}  # in the order in which they became idle
        self.empty = asyncio.Event()
        self.empty.set()

    @property
    def connections(self) -> list[LimitedConnection]:
        return [*self._connections]

    def add(self, connection: LimitedConnection) -> bool:
        """Adds a connection, as idle. Returns false if all others are busy and none can be closed for it."""
        if len(self._connections) >= self._max_connections:
            longest_idle = next(iter(self._idle), None)
            if longest_idle is None:
                return False
            self.remove(longest_idle)
            longest_idle.abort()
        self._connections[connection] = None
        self._idle[connection] = None
        self.empty.clear()
        return True

    def mark_busy(self, connection: LimitedConnection) -> None:
        self._idle.pop(connection, None)

    def mark_idle(self, connection: LimitedConnection) -> None:
        if connection in self._connections:
            self._idle.setdefault(connection)

    def remove(self, connection: LimitedConnection) -> None:
        self._idle.pop(connection, None)
        self._connections.pop(connection, None)
        if not self._connections:
            self.empty.set()


class HttpConnection(H11Protocol):
    """uvicorn's HTTP/1.1 connection with the limiter and deadlines."""

    def __init__(self, config: Config, state: ServerState, limiter: ConnectionLimiter) -> None:
        super().__init__(config, state, {})
        self.logger = _silent_logger
        self._limiter = limiter
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    def abort(self) -> None:
        self.transport.abort()

    def close_after_response(self) -> None:
        """Closes the connection when the client has taken the response in progress, if there is one."""
        if self._is_answering:
            self.cycle.keep_alive = False
        else:
            self._close_gracefully()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._limiter.add(self):
            self._update_head_timer()
        else:
            transport.write(_TOO_MANY_CONNECTIONS)
            self._close_gracefully()

    def connection_lost(self, exc: Exception | None) -> None:
        self._limiter.remove(self)
        self._cancel_head_timer()
        self._cancel_stall_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_head_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._update_head_timer()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(WRITE_STALL_SECONDS, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._cancel_stall_timer()

    def send_400_response(self, msg: str) -> None:
        """Answers malformed HTTP; after the start of a response only closing is left."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.abort()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _update_head_timer(self) -> None:
        """Runs the timer for the next request head while no request is being answered."""
        if self._is_answering:
            self._limiter.mark_busy(self)
            self._cancel_head_timer()
        else:
            self._limiter.mark_idle(self)
            self._head_timer = self._head_timer or self.loop.call_later(
                HEAD_TIMEOUT_SECONDS, self._close_gracefully
            )

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cancel_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _close_gracefully(self) -> None:
        """Closes the connection when the client has taken all data, at the latest after the stall time."""
        self.transport.close()
        self._stall_timer = self._stall_timer or self.loop.call_later(WRITE_STALL_SECONDS, self.abort)
