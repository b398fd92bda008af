"""Limits on connections: how many there are, and how long a client may take.

uvicorn limits neither the time until a request is complete nor the time until a response is taken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from wx2mqtt.h11_patterns import replace_h11_patterns
from wx2mqtt.web.hosts import client_network, is_in_networks
from wx2mqtt.web.options import IpNetwork

MAX_CONNECTIONS = 100  # each takes a file descriptor, of which a process usually has 1,024
MAX_CONNECTIONS_PER_ADDRESS = 40  # a browser opens up to six, and `MAX_VIEWERS` pages stay open in all
RESERVED_CONNECTIONS = 10  # beyond these limits, for `/livez` and `/healthz`
HEALTH_ONLY_KEY = "wx2mqtt.health_only"  # in the state of the scope: it is a reserved connection
HEAD_TIMEOUT_SECONDS = 10.0  # for a whole request head, from the connection or the last response on
WRITE_STALL_SECONDS = 30.0  # in which a client must take 48 KiB: at that level asyncio resumes writing

_TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\n\r\ntoo many connections\n"
)

replace_h11_patterns()

_silent_logger = logging.getLogger("wx2mqtt.web.uvicorn")  # uvicorn logs every malformed request of anybody
_silent_logger.setLevel(logging.CRITICAL)


class LimitedConnection(Protocol):
    """A connection that the limiter can close."""

    def abort(self) -> None: ...


class Admission(Enum):
    """What a new connection may ask for."""

    EVERYTHING = auto()
    HEALTH = auto()
    NOTHING = auto()


@dataclass(slots=True)
class _Registration:
    """A connection in the limiter: the network of its client, empty for a proxy, and what it may ask for."""

    network: str
    admission: Admission


class ConnectionLimiter:
    """The open connections, with a limit for all and one for each address; reserved ones are for health only.

    At a limit a new connection replaces the one that is idle for the longest time: of its address, of all, or
    of the reserved ones. `proxies` have no limit of their own, since they bring the connections of many.
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
        self._registrations: dict[LimitedConnection, _Registration] = {}
        self._idle: dict[LimitedConnection, None] = {}  # in the order in which they became idle
        self.empty = asyncio.Event()
        self.empty.set()

    @property
    def connections(self) -> list[LimitedConnection]:
        return [*self._registrations]

    def add(self, connection: LimitedConnection, address: str) -> Admission:
        """Adds a connection, as idle, unless the result is `NOTHING`: it must be closed then."""
        network = "" if is_in_networks(address, self._proxies) else client_network(address)
        for admission in (Admission.EVERYTHING, Admission.HEALTH):
            registration = _Registration(network, admission)
            if self._make_room(registration):
                self._registrations[connection] = registration
                self._idle[connection] = None
                self.empty.clear()
                return admission
        return Admission.NOTHING

    def _make_room(self, registration: _Registration) -> bool:
        """Returns whether there is room for a connection; closes an idle connection for it if it must."""
        same = [
            other for other, its in self._registrations.items() if its.admission is registration.admission
        ]
        if registration.admission is Admission.HEALTH:
            return len(same) < self._reserved or self._close_idle(same)
        if registration.network:
            neighbours = [
                other for other in same if self._registrations[other].network == registration.network
            ]
            if len(neighbours) >= self._max_per_address:
                return self._close_idle(neighbours)
        return len(same) < self._max_connections or self._close_idle(same)

    def _close_idle(self, connections: Collection[LimitedConnection]) -> bool:
        """Closes the one of these that is idle for the longest time; returns whether there was one."""
        candidates = set(connections)
        longest_idle = next((idle for idle in self._idle if idle in candidates), None)
        if longest_idle is None:
            return False
        self.remove(longest_idle)
        longest_idle.abort()
        return True

    def mark_busy(self, connection: LimitedConnection) -> None:
        self._idle.pop(connection, None)

    def mark_idle(self, connection: LimitedConnection) -> None:
        if connection in self._registrations:
            self._idle.setdefault(connection)

    def remove(self, connection: LimitedConnection) -> None:
        self._idle.pop(connection, None)
        self._registrations.pop(connection, None)
        if not self._registrations:
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
        admission = self._limiter.add(self, self.client[0] if self.client else "")
        if admission is Admission.NOTHING:
            transport.write(_TOO_MANY_CONNECTIONS)
            self._close_gracefully()
            return
        self.app_state[HEALTH_ONLY_KEY] = admission is Admission.HEALTH
        self._update_head_timer()

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
