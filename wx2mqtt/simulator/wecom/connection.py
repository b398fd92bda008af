"""One WebSocket connection of a program: what it has done, and the frames that go to it, in order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections import deque
from dataclasses import dataclass

from wx2mqtt.simulator.http_messages import Send

MAX_REQ_IDS = 100_000
"""Number of `req_id`s of a program that are kept, to notice one that is used twice."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Closing:
    code: int
    reason: str


class Connection:
    """See the module. `address` is the base URL by which the program reaches the simulator.

    `post` and `close` put something behind what waits already; `write` is the task that sends it. `bot_id`
    is set by an accepted subscription, `asked_to_subscribe` by any.
    """

    def __init__(self, transport: asyncio.Transport, address: str) -> None:
        self.number = next(_numbers)
        self.transport = transport
        self.address = address
        self.bot_id = ""
        self.asked_to_subscribe = False
        self.replaced = False
        self.last_ping = time.monotonic()
        self.pings = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self._req_ids: set[str] = set()
        self._oldest_req_ids: deque[str] = deque()
        self._outgoing: asyncio.Queue[str | bytes | _Closing] = asyncio.Queue()
        self._closing = False

    @property
    def is_open(self) -> bool:
        return not self._closing and not self.transport.is_closing()

    def post(self, frame: dict[str, object] | str | bytes) -> None:
        """Sends an object as JSON, a text as it is, bytes as a binary frame. Ignored after `close`."""
        if self._closing:
            return
        text = json.dumps(frame, ensure_ascii=False) if isinstance(frame, dict) else frame
        self._outgoing.put_nowait(text)

    def close(self, code: int, reason: str = "") -> None:
        """Closes the connection after the frames that wait. A second call does nothing."""
        if not self._closing:
            self._closing = True
            self._outgoing.put_nowait(_Closing(code=code, reason=reason))

    async def write(self, send: Send) -> None:
        """Sends what is posted, until the connection is closed."""
        with contextlib.suppress(OSError):  # uvicorn's ClientDisconnected: the program is gone
            while True:
                item = await self._outgoing.get()
                if isinstance(item, _Closing):
                    await send({"type": "websocket.close", "code": item.code, "reason": item.reason})
                    return
                key = "bytes" if isinstance(item, bytes) else "text"
                await send({"type": "websocket.send", key: item})

    def use_req_id(self, req_id: str) -> bool:
        """Notes a `req_id` of the program; returns whether it is new."""
        if req_id in self._req_ids:
            return False
        self._req_ids.add(req_id)
        self._oldest_req_ids.append(req_id)
        if len(self._oldest_req_ids) > MAX_REQ_IDS:
            self._req_ids.discard(self._oldest_req_ids.popleft())
        return True
