"""One connection, with deadlines: no client may take as long as it likes.

uvicorn bounds neither the time until a request has come nor the time until an answer was taken.
"""

from __future__ import annotations

import asyncio
import logging

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from wx2mqtt.web.room import Room

HEAD = 10.0  # seconds until a whole head must be here, from the beginning and from the last answer on
STALL = 30.0  # seconds in which a client must take 48 KiB of what waits for it; that is what asyncio looks at

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\n\r\ntoo many connections\n"
)

_silent = logging.getLogger("wx2mqtt.web.uvicorn")  # it would log every malformed request of anybody
_silent.setLevel(logging.CRITICAL)


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 in a room of limited size."""

    def __init__(self, config: Config, state: ServerState, room: Room) -> None:
        super().__init__(config, state, {})
        self.logger = _silent
        self._room = room
        self._head: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def drop(self) -> None:
        """End it at once."""
        self.transport.abort()

    def retire(self) -> None:
        """End it once the answer that is under way has been taken."""
        if self._busy:
            self.cycle.keep_alive = False
        else:
            self._close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._room.enter(self):
            self._look()
        else:
            transport.write(_FULL)
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.leave(self)
        self._stop_head()
        self._stop_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(STALL, self.drop)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_stall()

    def send_400_response(self, msg: str) -> None:
        """To what is no HTTP; where an answer has begun there is nothing to be said any more."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.drop()

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _look(self) -> None:
        """The clock for the next head runs while no request is being answered."""
        if self._busy:
            self._room.busy(self)
            self._stop_head()
        else:
            self._room.idle(self)
            self._head = self._head or self.loop.call_later(HEAD, self._close)

    def _stop_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _stop_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _close(self) -> None:
        """End it when everything was taken, or soon after."""
        self.transport.close()
        self._stall = self._stall or self.loop.call_later(STALL, self.drop)
