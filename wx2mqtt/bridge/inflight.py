"""The way to the broker with its window: never more unacknowledged publishes than the broker allows.

paho ignores Receive Maximum, and a broker may drop what is queued in one go although it acknowledges it
(mqtt 0.1, 0.2). What is retained goes first, since it says whether the rest can be believed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count

from wx2mqtt.errors import ConnectionDropped, NotConnected
from wx2mqtt.mqtt.broker import BrokerClient, Publication, PublishCallback

PACKET_OVERHEAD_BYTES = 128  # bytes of an MQTT 5 PUBLISH beside topic and payload, generously
MAX_HEAD_DISCONNECTS = 3  # disconnects in a row with the same head of line before it is put aside
MAX_UNACKED_PUBLISHES = (
    100  # unacknowledged publishes; brokers such as mosquitto queue 1000, most allow at least this
)


def _nobody_waits() -> None:
    pass


class InflightWindow:
    """Counts what is open on one link. All calls on the event loop.

    `vacant` is called when there is room again. Some brokers hang up on what they do not like instead of
    refusing it: after a disconnect the first one goes alone, after another one all that were open, so that
    the one is found on which it happens; it is told `ConnectionDropped`.
    """

    def __init__(self, broker: BrokerClient) -> None:
        self._broker = broker
        self._unacknowledged: dict[int, None] = {}
        self._sequence = count()
        self._urgent: deque[tuple[Publication, PublishCallback]] = deque()
        self._draining_urgent = False
        self._single_publishes_left = 0  # answers until the whole window may be used again
        self._answers_since_disconnect = MAX_UNACKED_PUBLISHES  # since the broker last hung up
        self._disconnect_attributed = False
        self.capacity: Callable[[], None] = _nobody_waits

    @property
    def free_slots(self) -> int:
        """How many more may be published now; 0 while there is no connection."""
        if self._broker.connection is None:
            return 0
        return max(0, self._limit - len(self._unacknowledged) - len(self._urgent))

    def payload_limit(self, topic: str) -> int | None:
        """Bytes of payload that the broker takes on a topic now; None without a limit or a broker."""
        limit = None if self._broker.connection is None else self._broker.connection.packet_limit
        return None if limit is None else limit - len(topic.encode()) - PACKET_OVERHEAD_BYTES

    @property
    def unacknowledged_count(self) -> int:
        """How many publishes wait for their PUBACK."""
        return len(self._unacknowledged)

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        """Publish now; the caller has looked at `room`."""
        number, sent = next(self._sequence), False

        def done(error: Exception | None) -> None:
            on_acknowledged(
                self._attribute_disconnect(number, error) if sent else self._remove(number, error)
            )
            self._publish_urgent()
            if self.free_slots:
                self.capacity()

        self._unacknowledged[number] = None
        self._broker.publish(publication, done)
        if number in self._unacknowledged:
            sent, self._disconnect_attributed = True, False

    def _remove(self, number: int, error: Exception | None) -> Exception | None:
        del self._unacknowledged[number]
        return error

    def _attribute_disconnect(self, number: int, error: Exception | None) -> Exception | None:
        """The error, and whether this one may be why the broker hung up."""
        is_oldest = next(iter(self._unacknowledged)) == number
        if not isinstance(error, NotConnected):
            self._answers_since_disconnect += 1
            self._single_publishes_left = max(0, self._single_publishes_left - 1)
        elif is_oldest and not self._disconnect_attributed:
            self._disconnect_attributed, error = True, ConnectionDropped()
            self._single_publishes_left = (
                1 if self._answers_since_disconnect >= MAX_UNACKED_PUBLISHES else len(self._unacknowledged)
            )
            self._answers_since_disconnect = 0
        return self._remove(number, error)

    def publish_first(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        """Publish before all that waits, as soon as there is room."""
        self._urgent.append((publication, on_acknowledged))
        self._publish_urgent()

    def _publish_urgent(self) -> None:
        if self._draining_urgent:
            return  # without a connection the link calls back at once; the loop below goes on
        self._draining_urgent = True
        while self._urgent and len(self._unacknowledged) < self._limit:
            publication, acknowledged = self._urgent.popleft()
            self.publish(publication, acknowledged)
        self._draining_urgent = False

    @property
    def _limit(self) -> int:
        current = self._broker.connection
        if current is None:
            return MAX_UNACKED_PUBLISHES
        return 1 if self._single_publishes_left else min(MAX_UNACKED_PUBLISHES, current.receive_maximum)
