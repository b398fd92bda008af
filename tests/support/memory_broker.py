"""A connection to a broker in memory: the test delivers messages, and sees and answers what is published.

It acknowledges each publication at once, unless `holds_pubacks` is set. `refusals` says which topics it refuses.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass, field, fields, replace
from typing import Any

from wx2mqtt.errors import ConnectionDropped, NotConnected, PublishRefused
from wx2mqtt.mqtt.broker import (
    BrokerListener,
    Connected,
    Delivery,
    Disconnected,
    ProbeTopics,
    ProtocolVersion,
    Publication,
    PublishCallback,
)

NOT_AUTHORIZED = 0x87

USUAL_CONNECTION = Connected(
    url="mqtt://memory",
    protocol=ProtocolVersion.MQTT_5,
    session_present=False,
    receive_maximum=100,
    packet_limit=None,
    retain_available=True,
    connection_number=1,
    session_expiry=604_800,
)


@dataclass(frozen=True, slots=True)
class SentPublication:
    """A publication that reached the broker, and the callback that answers it."""

    publication: Publication
    acknowledged: PublishCallback

    @property
    def topic(self) -> str:
        return self.publication.topic

    @property
    def payload(self) -> bytes:
        return self.publication.payload


@dataclass(eq=False)
class MemoryBroker:
    """A `BrokerClient` whose broker is the test."""

    #: What the broker grants at each connection.
    grants: Connected = USUAL_CONNECTION
    #: The broker sends no PUBACK by itself: `send_puback` does.
    holds_pubacks: bool = False
    #: Topics that the broker refuses.
    refusals: set[str] = field(default_factory=set)
    #: Whether the broker keeps Retain Handling 2.
    honours_retain: bool = True

    def __post_init__(self) -> None:
        self.connection: Connected | None = None
        self.progress_deadline = float("inf")
        #: All publications that reached the broker, in order.
        self.sent: list[SentPublication] = []
        self.unacknowledged: list[SentPublication] = []
        self.most_unacknowledged = 0
        #: How many publications had come at each `flush`.
        self.counts_at_flush: list[int] = []
        #: The deliveries that the bridge has acknowledged.
        self.acknowledged: list[Delivery] = []
        self.passwords: list[str | None] = []
        self.uses_old_password = False
        self.paused = False
        self.is_aborted = False
        self.changed = asyncio.Event()
        self._listener: BrokerListener | None = None
        self._packet_ids = itertools.count(1)
        self._connection_numbers = itertools.count(1)
        self._waiting: deque[Delivery] = deque()

    # What the bridge calls

    async def run(self, listener: BrokerListener) -> None:
        self._listener = listener
        await self.connect()
        try:
            await asyncio.Event().wait()
        finally:
            self._drop()

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        if self.connection is None:
            on_acknowledged(NotConnected())
            return
        sent = SentPublication(publication, on_acknowledged)
        self.sent.append(sent)
        self.unacknowledged.append(sent)
        self.most_unacknowledged = max(self.most_unacknowledged, len(self.unacknowledged))
        self.changed.set()
        if publication.topic in self.refusals:
            self.refuse(sent)
        elif not self.holds_pubacks:
            self.send_puback(sent)

    def flush(self) -> None:
        self.counts_at_flush.append(len(self.sent))

    def acknowledge(self, delivery: Delivery) -> None:
        self.acknowledged.append(delivery)
        self.changed.set()

    async def honours_retain_handling(self, _topics: ProbeTopics) -> bool:
        return self.honours_retain

    def set_password(self, password: str | None) -> None:
        self.passwords.append(password)

    def set_paused(self, *, paused: bool) -> None:
        self.paused = paused

    def abort(self) -> None:
        self.is_aborted = True
        self._drop()

    # What the test does as the broker

    async def connect(self, **grants: Any) -> None:
        """Opens a connection; without a kept session the bridge is asked to begin one first."""
        assert self._listener is not None, "the bridge does not run"
        number = next(self._connection_numbers)
        self.grants = replace(self.grants, **grants)
        connection = replace(self.grants, connection_number=number)
        if not connection.session_present:
            await self._listener.on_session_start()
        self.connection = connection
        self._listener.on_connected(connection)

    def disconnect(self, code: str = "lost") -> None:
        """Ends the connection; each publication without a PUBACK gets an error."""
        assert self._listener is not None, "the bridge does not run"
        self._drop()
        self._listener.on_disconnected(Disconnected(reason="the line is cut", retry_in=1.0, code=code))

    def deliver(self, topic: str, payload: bytes | str, **more: Any) -> Delivery:
        """Delivers a message to the bridge; `more` are fields of `Delivery`."""
        assert self._listener is not None and self.connection is not None, "there is no connection"
        content = payload.encode() if isinstance(payload, str) else payload
        usual: dict[str, Any] = {
            "mid": next(self._packet_ids) if more.get("qos", 1) else 0,
            "dup": False,
            "retain": False,
            "connection_number": self.connection.connection_number,
        }
        delivery = Delivery(topic=topic, payload=content, **{**usual, **more})
        self._listener.on_delivery(delivery)
        return delivery

    def redeliver(self, delivery: Delivery, **changes: Any) -> Delivery:
        """Delivers the same once more, as a broker does on a new connection."""
        more = {field.name: getattr(delivery, field.name) for field in fields(delivery) if field.init}
        del more["connection_number"]
        return self.deliver(**{**more, "dup": True, **changes})

    def send_puback(self, *publications: SentPublication) -> None:
        """Acknowledges these publications; without arguments all that have no answer yet."""
        for sent in publications or tuple(self.unacknowledged):
            self.unacknowledged.remove(sent)
            sent.acknowledged(None)

    def refuse(self, *publications: SentPublication, **how: Any) -> None:
        """Answers with a PUBACK that has an error code."""
        for sent in publications:
            self.unacknowledged.remove(sent)
            sent.acknowledged(PublishRefused("Not authorized", **{"code": NOT_AUTHORIZED, **how}))

    def _drop(self) -> None:
        self.connection = None
        dropped, self.unacknowledged = self.unacknowledged, []
        error: NotConnected = ConnectionDropped()
        for sent in dropped:
            sent.acknowledged(error)
            error = NotConnected()

    # What the test looks at

    @property
    def pubacks(self) -> list[tuple[int, int]]:
        """The connection and the packet id of each delivery that the bridge has acknowledged, in order."""
        return [(delivery.connection_number, delivery.mid) for delivery in self.acknowledged]

    @property
    def topics(self) -> list[str]:
        """The topics of all publications, in order."""
        return [sent.topic for sent in self.sent]
