"""A fake broker: it keeps what is published, and acknowledges, refuses or hangs up as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.errors import ConnectionDropped, NotConnected, PublishRefused
from wx2mqtt.mqtt.broker import Connected, Delivery, ProbeTopics, Publication, PublishCallback


def connected(number: int = 1, **more: Any) -> Connected:
    """A connection that stands; `more` are fields of `Connected`."""
    values: dict[str, Any] = {
        "url": "mqtt://paper",
        "protocol": "5",
        "session_present": False,
        "receive_maximum": 100,
        "packet_limit": None,
        "retain_available": True,
        "connection_number": number,
    }
    return Connected(**{**values, **more})


@dataclass(frozen=True, slots=True)
class Sent:
    """One publish as it reached the broker, and how to answer it."""

    publication: Publication
    acknowledged: PublishCallback

    @property
    def topic(self) -> str:
        return self.publication.topic

    @property
    def payload(self) -> bytes:
        return self.publication.payload


class FakeBroker:
    """A `BrokerClient` whose broker is the test. `sent` is all that ever came, `open` what has no answer yet.

    With `takes` true it acknowledges at once. `flushed` is how much had come at each `flush`.
    """

    def __init__(self, *, takes: bool = False) -> None:
        self.takes = takes
        self.connection: Connected | None = None
        self.sent: list[Sent] = []
        self.open: list[Sent] = []
        self.most_open = 0
        self.flushed: list[int] = []
        self.progress_deadline = 0.0
        self._changed = asyncio.Event()
        self._connections = 0

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        if self.connection is None:
            on_acknowledged(NotConnected())
            return
        one = Sent(publication, on_acknowledged)
        self.sent.append(one)
        self.open.append(one)
        self.most_open = max(self.most_open, len(self.open))
        self.tell()
        if self.takes:
            self.take(one)

    def flush(self) -> None:
        self.flushed.append(len(self.sent))

    def acknowledge(self, delivery: Delivery) -> None:
        """Nothing is ever delivered."""

    async def honours_retain_handling(self, _topics: ProbeTopics) -> bool:
        return False

    def set_paused(self, *, paused: bool) -> None:
        """Nothing is ever delivered."""

    def abort(self) -> None:
        raise NotImplementedError

    async def run(self, listener: object) -> None:
        """The test connects and hangs up."""

    # what the test does as the broker

    def connect(self, **more: Any) -> Connected:
        """Let the bridge in; whoever listens must be told by the test."""
        self._connections += 1
        self.connection = connected(self._connections, **more)
        return self.connection

    def hang_up(self) -> None:
        """The connection is gone; every open publish is told so."""
        self.connection = None
        gone, self.open = self.open, []
        error: NotConnected = ConnectionDropped()
        for one in gone:
            one.acknowledged(error)
            error = NotConnected()

    def take(self, *sent: Sent) -> None:
        """PUBACK; all that is open without arguments."""
        for one in sent or tuple(self.open):
            self.open.remove(one)
            one.acknowledged(None)
        self.tell()

    def refuse(self, *sent: Sent, **how: Any) -> None:
        """A PUBACK that says no."""
        for one in sent:
            self.open.remove(one)
            one.acknowledged(PublishRefused("Not authorized", **{"code": 0x87, **how}))
        self.tell()

    # what the test waits for

    def tell(self) -> None:
        """Something that a test may be waiting for has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait, with a bound, until that is so."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not holds():
                await self._changed.wait()

    async def came(self, count: int) -> list[Sent]:
        """All that ever came, once there is so much."""
        await self.until(lambda: len(self.sent) >= count)
        return self.sent

    @property
    def topics(self) -> list[str]:
        """Where all that came went, in order."""
        return [one.topic for one in self.sent]
