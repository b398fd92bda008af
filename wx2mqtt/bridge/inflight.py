"""Limits the publishes that wait for a PUBACK, and pauses the topics that the broker refuses.

paho ignores Receive Maximum, and a broker may drop messages that are queued all at once although it
acknowledges them (mqtt 0.1, 0.2).
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

# Messages that are published but not yet marked: so many may be published twice when the process is killed.
MAX_REPEATED_MESSAGES = 20

log = structlog.get_logger(__name__)

# The most that an MQTT 5 PUBLISH needs besides topic and payload.
PACKET_OVERHEAD_BYTES = 128

# Publishes that wait for a PUBACK; mosquitto queues 1000, and most brokers allow at least 100.
MAX_UNACKED_PUBLISHES = 100

# After so many disconnects in a row on the same publish it is no longer published.
MAX_HEAD_DISCONNECTS = 3

# A refused topic is tried again after this time.
REFUSED_RETRY_SECONDS = 300.0

# A broker that disconnects so soon after a refusal may do so because of it.
REFUSAL_DISCONNECT_SECONDS = 10.0


class RefusedTopics:
    """Topics that the broker refuses. `retry_due` is emitted with a topic when its pause is over.

    A disconnect ends the pauses, since the next connection may accept the topic. The exception are topics
    that were refused just before: mosquitto with `max_queued_messages 0` disconnects after each refusal, and
    without the pause no connection would last.
    """

    def __init__(self) -> None:
        self._refusals: dict[str, tuple[float, asyncio.TimerHandle]] = {}
        self.retry_due: Signal[[str]] = Signal()

    def __contains__(self, topic: str) -> bool:
        return topic in self._refusals

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._refusals))

    def add(self, topic: str, reason: str) -> None:
        """Pauses a topic for `REFUSED_RETRY_SECONDS`."""
        log.warning("broker refuses topic", topic=topic, reason=reason)
        self.discard(topic)
        loop = asyncio.get_running_loop()
        self._refusals[topic] = loop.time(), loop.call_later(REFUSED_RETRY_SECONDS, self.retry, topic)

    def discard(self, topic: str) -> None:
        """Ends the pause of a topic without `retry_due`."""
        if topic in self._refusals:
            _, timer = self._refusals.pop(topic)
            timer.cancel()

    def retry(self, topic: str) -> None:
        """Ends the pause of a topic and emits `retry_due`."""
        if topic in self._refusals:
            self.discard(topic)
            self.retry_due.emit(topic)

    def on_disconnected(self) -> None:
        """Ends the pauses that are older than `REFUSAL_DISCONNECT_SECONDS`."""
        oldest_kept = asyncio.get_running_loop().time() - REFUSAL_DISCONNECT_SECONDS
        for topic, (refused_at, _) in tuple(self._refusals.items()):
            if refused_at <= oldest_kept:
                self.discard(topic)


class InflightWindow:
    """The publishes of one account that wait for their PUBACK.

    `capacity` is emitted when another publish is possible. Urgent publishes (`publish_first`) go before all
    others: the retained topics tell a reader whether the account is online at all.

    Some brokers disconnect instead of refusing a message. The window finds that message: after a disconnect
    the oldest open publish goes alone, and after another disconnect all that were open go one by one. The
    callback of a publish that may have caused a disconnect gets `ConnectionDropped`, that of the others
    `NotConnected`.
    """

    def __init__(self, broker: BrokerClient) -> None:
        self._broker = broker
        self._unacknowledged: dict[int, None] = {}  # in order: row ids, and negative ids without a row
        self._ids_without_row = count(-1, -1)
        self._urgent: deque[tuple[Publication, PublishCallback]] = deque()
        self._draining_urgent = False
        self._single_publishes_left = 0  # answers to await before the whole window is used again
        self._answers_since_disconnect = MAX_UNACKED_PUBLISHES
        self._disconnect_attributed = False  # a publish was found for the last disconnect
        self.capacity: Signal[[]] = Signal()

    @property
    def free_slots(self) -> int:
        """The number of publishes that are possible now; 0 without a connection."""
        if self._broker.connection is None:
            return 0
        return max(0, self._limit - len(self._unacknowledged) - len(self._urgent))

    def payload_limit(self, topic: str) -> int | None:
        """Returns the largest payload in bytes that the broker accepts on a topic; None if not limited."""
        connection = self._broker.connection
        if connection is None or connection.packet_limit is None:
            return None
        return connection.packet_limit - len(topic.encode()) - PACKET_OVERHEAD_BYTES

    @property
    def unacknowledged_count(self) -> int:
        """The number of publishes that wait for their PUBACK."""
        return len(self._unacknowledged)

    def is_unacknowledged(self, row_id: int) -> bool:
        """Returns whether a row of the journal is published and waits for its PUBACK."""
        return row_id in self._unacknowledged

    def publish(
        self, publication: Publication, on_acknowledged: PublishCallback, row_id: int | None = None
    ) -> None:
        """Publishes now; the caller has checked `free_slots`. `row_id` is the row of the journal, if any."""
        publish_id = next(self._ids_without_row) if row_id is None else row_id
        is_sent = False
        is_answered = False

        def on_answer(error: Exception | None) -> None:
            nonlocal is_answered
            is_answered = True
            outcome = self._attribute_disconnect(publish_id, error) if is_sent else error
            del self._unacknowledged[publish_id]
            on_acknowledged(outcome)
            self._publish_urgent()
            if self.free_slots:
                self.capacity.emit()

        self._unacknowledged[publish_id] = None
        self._broker.publish(publication, on_answer)
        if not is_answered:  # without a connection the client answers within `publish`
            is_sent = True
            self._disconnect_attributed = False

    def _attribute_disconnect(self, publish_id: int, error: Exception | None) -> Exception | None:
        """Returns `ConnectionDropped` for the oldest publish at a disconnect, else `error` itself."""
        if not isinstance(error, NotConnected):
            self._answers_since_disconnect += 1
            self._single_publishes_left = max(0, self._single_publishes_left - 1)
            return error
        is_oldest = next(iter(self._unacknowledged)) == publish_id
        if self._disconnect_attributed or not is_oldest:
            return error
        is_first_disconnect = self._answers_since_disconnect >= MAX_UNACKED_PUBLISHES
        self._single_publishes_left = 1 if is_first_disconnect else len(self._unacknowledged)
        self._answers_since_disconnect = 0
        self._disconnect_attributed = True
        return ConnectionDropped()

    def publish_first(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        """Publishes as soon as the window has room, before everything else."""
        self._urgent.append((publication, on_acknowledged))
        self._publish_urgent()

    def _publish_urgent(self) -> None:
        if self._draining_urgent:
            return  # `publish` was answered at once and called this again; the loop below goes on
        self._draining_urgent = True
        while self._urgent and len(self._unacknowledged) < self._limit:
            publication, on_acknowledged = self._urgent.popleft()
            self.publish(publication, on_acknowledged)
        self._draining_urgent = False

    @property
    def _limit(self) -> int:
        connection = self._broker.connection
        if connection is None:
            return MAX_UNACKED_PUBLISHES
        return 1 if self._single_publishes_left else min(MAX_UNACKED_PUBLISHES, connection.receive_maximum)
