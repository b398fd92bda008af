"""The window of unacknowledged publishes, and the topics that the broker refuses.

paho ignores Receive Maximum, and a broker may drop what is queued in one go although it acknowledges it
(mqtt 0.1, 0.2). What is retained goes first, since it says whether the rest can be believed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import count

import structlog

from wx2mqtt.aio import Signal
from wx2mqtt.errors import ConnectionDropped, NotConnected
from wx2mqtt.mqtt.broker import BrokerClient, Publication, PublishCallback

log = structlog.get_logger(__name__)

PACKET_OVERHEAD_BYTES = 128  # bytes of an MQTT 5 PUBLISH beside topic and payload, generously
MAX_HEAD_DISCONNECTS = 3  # disconnects in a row with the same head of line before it is put aside
MAX_UNACKED_PUBLISHES = (
    100  # publishes in flight; brokers such as mosquitto queue 1000, most allow at least this
)


REFUSED_RETRY_SECONDS = 300.0  # seconds until a refused topic is tried again
REFUSAL_DISCONNECT_SECONDS = (
    10.0  # a broker that disconnects within so many seconds of a refusal may do so because of it
)


class RefusedTopics:
    """Topics that the broker refuses. Emits `retry_due` when the pause of one is over.

    The next connection may allow what this one refused. But mosquitto with `max_queued_messages 0`
    disconnects after each refusal: what was refused just before a disconnect keeps its pause, or no
    connection would last.
    """

    def __init__(self) -> None:
        self._refusals: dict[str, tuple[float, asyncio.TimerHandle]] = {}
        self.retry_due: Signal[[str]] = Signal()

    def __contains__(self, topic: str) -> bool:
        return topic in self._refusals

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._refusals))

    def add(self, topic: str, reason: str) -> None:
        """Pause a topic for `REFUSED_RETRY_SECONDS`."""
        log.warning("broker refuses topic", topic=topic, reason=reason)
        self.discard(topic)
        loop = asyncio.get_running_loop()
        self._refusals[topic] = loop.time(), loop.call_later(REFUSED_RETRY_SECONDS, self.retry, topic)

    def discard(self, topic: str) -> None:
        """Forget the refusal of a topic."""
        if topic in self._refusals:
            _, timer = self._refusals.pop(topic)
            timer.cancel()

    def retry(self, topic: str) -> None:
        """End the pause of a topic."""
        if topic in self._refusals:
            self.discard(topic)
            self.retry_due.emit(topic)

    def on_disconnected(self) -> None:
        """Forget what was refused long enough ago."""
        since = asyncio.get_running_loop().time() - REFUSAL_DISCONNECT_SECONDS
        for topic in [topic for topic, (refused_at, _) in self._refusals.items() if refused_at <= since]:
            self.discard(topic)


class InflightWindow:
    """The register of the publishes of an account that wait for their PUBACK. All calls on the event loop.

    `capacity` is emitted when there is room again. Some brokers disconnect instead of refusing a message.
    After a disconnect the oldest message goes alone, after another one all that were open go one by one, so
    that the message is found on which it happens: its callback gets `ConnectionDropped`.
    """

    def __init__(self, broker: BrokerClient) -> None:
        self._broker = broker
        self._unacknowledged: dict[int, None] = {}  # row ids, and negative numbers for what has no row
        self._numbers = count(-1, -1)
        self._urgent: deque[tuple[Publication, PublishCallback]] = deque()
        self._draining_urgent = False
        self._single_publishes_left = 0  # answers until the whole window may be used again
        self._answers_since_disconnect = MAX_UNACKED_PUBLISHES  # since the broker last hung up
        self._disconnect_attributed = False
        self.capacity: Signal[[]] = Signal()

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

    def is_unacknowledged(self, row_id: int) -> bool:
        """Returns whether a row of the journal is published and waits for its PUBACK."""
        return row_id in self._unacknowledged

    def publish(
        self, publication: Publication, on_acknowledged: PublishCallback, row_id: int | None = None
    ) -> None:
        """Publish now, as the row `row_id` of the journal if any; the caller has checked `free_slots`."""
        number = next(self._numbers) if row_id is None else row_id
        is_sent, is_answered = False, False

        def done(error: Exception | None) -> None:
            nonlocal is_answered
            is_answered = True
            on_acknowledged(
                self._attribute_disconnect(number, error) if is_sent else self._remove(number, error)
            )
            self._publish_urgent()
            if self.free_slots:
                self.capacity.emit()

        self._unacknowledged[number] = None
        self._broker.publish(publication, done)
        if not is_answered:
            is_sent, self._disconnect_attributed = True, False

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
