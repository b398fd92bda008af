"""How many may be connected: when it is full, who has been idle longest makes room for the newcomer.

One connection, with deadlines: no client may take as long as it likes.

uvicorn bounds neither the time until a request has come nor the time until an answer was taken.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

MAX_CONNECTIONS = (
    100  # connections; each takes a file descriptor, of which a process has 1,024 unless told otherwise
)


class LimitedConnection(Protocol):
    """A connection."""

    def abort(self) -> None:
        """End it at once."""
        ...


class ConnectionLimiter:
    """The connections that stand. One that enters is idle until it says otherwise."""

    def __init__(self, max_connections: int = MAX_CONNECTIONS) -> None:
        self._max_connections = max_connections
        self._connections: dict[LimitedConnection, None] = {}
        self._idle: dict[LimitedConnection, None] = {}  # the longest idle first
        self.empty = asyncio.Event()
        self.empty.set()

    @property
    def connections(self) -> list[LimitedConnection]:
        """All that are here."""
        return [*self._connections]

    def add(self, connection: LimitedConnection) -> bool:
        """Let somebody in; false when it is full and everybody is busy."""
        if len(self._connections) >= self._max_connections:
            longest = next(iter(self._idle), None)
            if longest is None:
                return False
            self.remove(longest)
            longest.abort()
        self._connections[connection] = self._idle[connection] = None
        self.empty.clear()
        return True

    def mark_busy(self, connection: LimitedConnection) -> None:
        """It has a request that is being answered."""
        self._idle.pop(connection, None)

    def mark_idle(self, connection: LimitedConnection) -> None:
        """It has none."""
        if connection in self._connections:
            self._idle.setdefault(connection)

    def remove(self, connection: LimitedConnection) -> None:
        """It is gone."""
        self._idle.pop(connection, None)
        self._connections.pop(connection, None)
        if not self._connections:
            self.empty.set()


HEAD_TIMEOUT_SECONDS = (
    10.0  # seconds until a whole head must be here, from the beginning and from the last answer on
)


WRITE_STALL_SECONDS = (
    30.0  # seconds in which a client must take 48 KiB of what waits for it; that is what asyncio looks at
)


_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\n\r\ntoo many connections\n"
)


_silent = logging.getLogger("wx2mqtt.web.uvicorn")  # it would log every malformed request of anybody


_silent.setLevel(logging.CRITICAL)


class HttpConnection(H11Protocol):
    """uvicorn's HTTP/1.1 in a room of limited size."""

    def __init__(self, config: Config, state: ServerState, limiter: ConnectionLimiter) -> None:
        super().__init__(config, state, {})
        self.logger = _silent
        self._limiter = limiter
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    def abort(self) -> None:
        """End it at once."""
        self.transport.abort()

    def close_after_response(self) -> None:
        """End it once the answer that is under way has been taken."""
        if self._is_answering:
            self.cycle.keep_alive = False
        else:
            self._close_soon()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._limiter.add(self):
            self._update_head_timer()
        else:
            transport.write(_FULL)
            self._close_soon()

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
        """To what is no HTTP; where an answer has begun there is nothing to be said any more."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.abort()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _update_head_timer(self) -> None:
        """The clock for the next head runs while no request is being answered."""
        if self._is_answering:
            self._limiter.mark_busy(self)
            self._cancel_head_timer()
        else:
            self._limiter.mark_idle(self)
            self._head_timer = self._head_timer or self.loop.call_later(
                HEAD_TIMEOUT_SECONDS, self._close_soon
            )

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cancel_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _close_soon(self) -> None:
        """End it when everything was taken, or soon after."""
        self.transport.close()
        self._stall_timer = self._stall_timer or self.loop.call_later(WRITE_STALL_SECONDS, self.abort)
