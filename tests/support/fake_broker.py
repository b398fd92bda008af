"""A fake broker: it keeps what is published, and acknowledges, refuses or disconnects as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.errors import ConnectionDropped, NotConnected, PublishRefused
from wx2mqtt.mqtt.broker import Connected, Delivery, ProbeTopics, Publication, PublishCallback


def connected(number: int = 1, **more: Any) -> Connected:
    """Returns an open connection; `more` are fields of `Connected`."""
    values: dict[str, Any] = {
        "url": "mqtt://fake",
        "protocol": "5",
        "session_present": False,
        "receive_maximum": 100,
        "packet_limit": None,
        "retain_available": True,
        "connection_number": number,
    }
    return Connected(**{**values, **more})


@dataclass(frozen=True, slots=True)
class SentPublication:
    """A publication that reached the broker; `acknowledged` is the callback that answers it."""

    publication: Publication
    acknowledged: PublishCallback

    @property
    def topic(self) -> str:
        return self.publication.topic

    @property
    def payload(self) -> bytes:
        return self.publication.payload


class FakeBroker:
    """A `BrokerClient` whose broker is the test."""

    def __init__(self, *, acknowledges_at_once: bool = False) -> None:
        self.acknowledges_at_once = acknowledges_at_once
        self.connection: Connected | None = None
        #: All publications since the beginning.
        self.sent: list[SentPublication] = []
        self.unacknowledged: list[SentPublication] = []
        self.most_unacknowledged = 0
        #: How many publications had come at each `flush`.
        self.counts_at_flush: list[int] = []
        self.progress_deadline = 0.0
        self.uses_old_password = False
        self._changed = asyncio.Event()
        self._connections = 0

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        if self.connection is None:
            on_acknowledged(NotConnected())
            return
        sent = SentPublication(publication, on_acknowledged)
        self.sent.append(sent)
        self.unacknowledged.append(sent)
        self.most_unacknowledged = max(self.most_unacknowledged, len(self.unacknowledged))
        self.notify()
        if self.acknowledges_at_once:
            self.send_puback(sent)

    def flush(self) -> None:
        self.counts_at_flush.append(len(self.sent))

    def acknowledge(self, delivery: Delivery) -> None:
        """Does nothing: this broker delivers no message."""

    async def honours_retain_handling(self, _topics: ProbeTopics) -> bool:
        return False

    def set_password(self, _password: str | None) -> None:
        """Does nothing: this broker asks for none."""

    def set_paused(self, *, paused: bool) -> None:
        """Does nothing: this broker delivers no message."""

    def abort(self) -> None:
        raise NotImplementedError

    async def run(self, listener: object) -> None:
        """Ends at once: the test connects and disconnects."""

    # what the test does as the broker

    def connect(self, **more: Any) -> Connected:
        """Opens a connection; the test itself calls the listeners."""
        self._connections += 1
        self.connection = connected(self._connections, **more)
        return self.connection

    def disconnect(self) -> None:
        """Drops the connection; each publication without an answer gets an error."""
        self.connection = None
        dropped, self.unacknowledged = self.unacknowledged, []
        error: NotConnected = ConnectionDropped()
        for sent in dropped:
            sent.acknowledged(error)
            error = NotConnected()

    def send_puback(self, *publications: SentPublication) -> None:
        """Acknowledges these publications; without arguments all that have no answer yet."""
        for sent in publications or tuple(self.unacknowledged):
            self.unacknowledged.remove(sent)
            sent.acknowledged(None)
        self.notify()

    def refuse(self, *publications: SentPublication, **how: Any) -> None:
        """Answers with a PUBACK that has an error code."""
        for sent in publications:
            self.unacknowledged.remove(sent)
            sent.acknowledged(PublishRefused("Not authorized", **{"code": 0x87, **how}))
        self.notify()

    # what the test waits for

    def notify(self) -> None:
        """Lets `wait_until` look at its condition again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_until(self, condition: Callable[[], Any]) -> None:
        """Waits, with a bound, until a condition is true."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not condition():
                await self._changed.wait()

    async def wait_for_publications(self, count: int) -> list[SentPublication]:
        """Returns all publications since the beginning, once there are so many."""
        await self.wait_until(lambda: len(self.sent) >= count)
        return self.sent

    @property
    def topics(self) -> list[str]:
        """The topics of all publications, in order."""
        return [sent.topic for sent in self.sent]
