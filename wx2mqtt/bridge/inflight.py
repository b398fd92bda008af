"""Publishes for one account: how many publishes wait for their PUBACK, the retained topics, and pauses.

    free_slots is 2  ->  publish, publish: free_slots is 0  ->  PUBACK  ->  `capacity`: the next may follow

`InflightWindow` is shared by all that publish. paho ignores Receive Maximum, and a broker may drop messages
that are queued all at once although it acknowledges them (mqtt 0.1, 0.2).

    retained.set("wx/bridge/state", b"online", "text/plain")
        ->  published now, and again at every connect, until another payload is set

`RetainedPublisher` keeps the retained topics up to date at the broker; `status_topics.py`, `window_topics.py`
and `homeassistant_announcement.py` say what is on them. `RefusedTopics` pauses what the broker refuses.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog

from wx2mqtt.aio import Signal
from wx2mqtt.clock import boot_time, now_ms
from wx2mqtt.errors import ConnectionDropped, NotConnected
from wx2mqtt.mqtt.broker import BrokerClient, Connected, Publication, PublishCallback

log = structlog.get_logger(__name__)

# Publishes that wait for a PUBACK; mosquitto queues 1000, and most brokers allow at least 100. How many
# messages may be published twice after a kill is another limit: `MAX_REPEATED_MESSAGES` in
# `outbox_rows.py`.
MAX_UNACKED_PUBLISHES = 100

# The most that an MQTT 5 PUBLISH needs besides topic and payload.
PACKET_OVERHEAD_BYTES = 128

# After so many disconnects in a row on the same publish it is no longer published.
MAX_HEAD_DISCONNECTS = 3


class InflightWindow:
    """Publishes for one account, and bounds how many publishes wait for their PUBACK.

    Urgent publishes (`publish_first`) go before all others: the retained topics tell a reader whether the
    account is online at all.

    A broker may disconnect on a publish that it should refuse. To find it, fewer are open at a time:

    | disconnect | what the next connection publishes |
    |---|---|
    | the first in a whole window of answers | the oldest open publish alone, then the whole window again |
    | another one | all publishes that were open, one by one |
    """

    def __init__(self, broker: BrokerClient) -> None:
        self._broker = broker
        #: Publishes without an answer.
        self._open_count = 0
        #: Urgent publishes that wait for a slot.
        self._urgent: deque[tuple[Publication, PublishCallback]] = deque()
        self._is_publishing_urgent = False
        #: How many publishes still go out one by one, after a disconnect; 0: as many as the window allows.
        self._single_publishes_left = 0
        #: At the start as many as if there never was a disconnect.
        self._answers_since_disconnect = MAX_UNACKED_PUBLISHES
        #: Emitted when another publish is possible.
        self.capacity: Signal[[]] = Signal()

    @property
    def free_slots(self) -> int:
        """The number of publishes that are possible now; 0 without a connection."""
        connection = self._broker.connection
        if connection is None:
            return 0
        limit = min(MAX_UNACKED_PUBLISHES, connection.receive_maximum)
        if self._single_publishes_left:
            limit = 1
        return max(0, limit - self._open_count)

    def payload_limit(self, topic: str) -> int | None:
        """Returns the largest payload in bytes that the broker accepts on a topic; None if not limited."""
        connection = self._broker.connection
        if connection is None or connection.packet_limit is None:
            return None
        return connection.packet_limit - len(topic.encode()) - PACKET_OVERHEAD_BYTES

    def publish(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        """Publishes now; the caller has checked `free_slots`."""
        self._open_count += 1
        self._broker.publish(publication, partial(self._on_answer, on_acknowledged))

    def publish_first(self, publication: Publication, on_acknowledged: PublishCallback) -> None:
        """Publishes as soon as the window has room, before everything else; fails without a connection."""
        self._urgent.append((publication, on_acknowledged))
        self._publish_urgent()

    def _publish_urgent(self) -> None:
        if self._is_publishing_urgent:
            return  # `publish` was answered at once and called this again; the loop below goes on
        self._is_publishing_urgent = True
        while self._urgent and (self.free_slots or self._broker.connection is None):
            self.publish(*self._urgent.popleft())
        self._is_publishing_urgent = False

    def _on_answer(self, on_acknowledged: PublishCallback, error: Exception | None) -> None:
        if isinstance(error, ConnectionDropped):  # the first answer of all that a disconnect ends
            is_first_disconnect = self._answers_since_disconnect >= MAX_UNACKED_PUBLISHES
            self._single_publishes_left = 1 if is_first_disconnect else self._open_count
            self._answers_since_disconnect = 0
        elif not isinstance(error, NotConnected):
            self._answers_since_disconnect += 1
            self._single_publishes_left = max(0, self._single_publishes_left - 1)
        self._open_count -= 1
        on_acknowledged(error)
        if self._urgent:
            self._publish_urgent()
        if self.free_slots:
            self.capacity.emit()


class RetainedPublisher:
    """Publishes the retained topics of one account, again at every connect.

    `last_topic`, which is `bridge/state`, comes after all others: readers trust those only while it says
    `online`.
    """

    def __init__(self, inflight: InflightWindow, last_topic: str) -> None:
        self._inflight = inflight
        self._last_topic = last_topic
        #: By topic.
        self._topics: dict[str, RetainedTopic] = {}
        self._connected = False
        #: Whether the broker of this connection accepts retained messages.
        self._retain_available = True
        #: Wakes `wait_until_acknowledged`.
        self._answered = asyncio.Event()
        #: The retained topics that the broker refuses.
        self.refused = RefusedTopics()
        self.refused.retry_due.connect(self.republish)

    def set(self, topic: str, payload: bytes, content_type: str, expires: int | None = None) -> None:
        """Sets the payload of a topic; an unchanged one is not published again."""
        current = self._topics.get(topic)
        disconnect_count = 0
        if current is not None:
            shown = current.publication
            if (shown.payload, shown.content_type, current.expires) == (payload, content_type, expires):
                return
            disconnect_count = current.disconnect_count
        publication = Publication(topic=topic, payload=payload, retain=True, content_type=content_type)
        self._topics[topic] = RetainedTopic(publication, expires, disconnect_count=disconnect_count)
        if self._connected:
            self._publish(topic)

    def republish(self, topic: str) -> None:
        """Publishes a topic again for a subscriber that has just started and may have missed it."""
        if self._connected and topic in self._topics:
            self._publish(topic)

    def discard_state(self, topic: str) -> None:
        """Stops publishing a topic until it is set again; the broker keeps its last payload."""
        self._topics.pop(topic, None)
        self.refused.discard(topic)

    def on_connected(self, connection: Connected) -> None:
        """Publishes all topics again: this broker, or this node of it, may not have them (mqtt 0.6.3)."""
        self._connected = True
        self._retain_available = connection.retain_available
        for retained in self._topics.values():
            retained.acknowledged = False
        for topic in sorted(self._topics, key=lambda topic: topic == self._last_topic):
            self._publish(topic)

    def on_disconnected(self) -> None:
        """Publishes nothing until the next connection."""
        self._connected = False
        self.refused.on_disconnected()

    async def wait_until_acknowledged(self, seconds: float) -> None:
        """Waits until the broker has acknowledged everything, at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._connected and not all(topic.acknowledged for topic in self._topics.values()):
                    self._answered.clear()
                    await self._answered.wait()

    def _publish(self, topic: str) -> None:
        if topic in self.refused.paused:
            return
        retained = self._topics[topic]
        publication = retained.publication
        if retained.expires is not None:  # at least 1 s, since 0 would mean no expiry
            publication = replace(publication, expiry=max(1, (retained.expires - now_ms()) // 1000))
        if not self._retain_available:  # the broker would disconnect otherwise (MQTT 5, 3.2.2.3.5)
            publication = replace(publication, retain=False)
        self._inflight.publish_first(publication, partial(self._on_answer, topic, retained))

    def _on_answer(self, topic: str, retained: RetainedTopic, error: Exception | None) -> None:
        self._answered.set()
        match error:
            case None:
                retained.acknowledged = True
                retained.disconnect_count = 0
                self.refused.forget(topic)
            case ConnectionDropped():
                current = self._topics.get(topic)
                if current is None:
                    return
                current.disconnect_count += 1
                if current.disconnect_count >= MAX_HEAD_DISCONNECTS:
                    self.refused.add(topic, "the broker hangs up on it")
            case NotConnected():
                pass  # it is published again at the next connect
            case _ if topic in self._topics:
                self.refused.add(topic, str(error))


@dataclass(slots=True)
class RetainedTopic:
    """The payload that a retained topic should have, and whether the broker has acknowledged it."""

    publication: Publication
    #: The time in milliseconds after which the payload is invalid (Message Expiry of MQTT 5).
    expires: int | None = None
    acknowledged: bool = False
    #: Disconnects on this topic since its last PUBACK.
    disconnect_count: int = 0


# A refused topic is tried again after this time.
REFUSED_RETRY_SECONDS = 300.0

# A broker that disconnects so soon after a refusal may do so because of it.
REFUSAL_DISCONNECT_SECONDS = 10.0


class RefusedTopics:
    """Topics that the broker refuses, and that pause therefore.

    A disconnect ends the pauses, since the next connection may accept the topic. The exception are topics
    that were refused just before: mosquitto with `max_queued_messages 0` disconnects after each refusal, and
    without the pause no connection would last.
    """

    def __init__(self) -> None:
        #: The topics that pause: when they were refused, and the timer that ends the pause.
        self.paused: dict[str, tuple[float, asyncio.TimerHandle]] = {}
        #: When a topic was refused first that was not accepted since, by the clock `boot_time`.
        self._refused_since: dict[str, float] = {}
        #: Emitted with a topic when its pause is over.
        self.retry_due: Signal[[str]] = Signal()

    def add(self, topic: str, reason: str) -> None:
        """Pauses a topic for `REFUSED_RETRY_SECONDS`."""
        log.warning("broker refuses topic", topic=topic, reason=reason)
        self.discard(topic)
        self._refused_since.setdefault(topic, boot_time())
        loop = asyncio.get_running_loop()
        self.paused[topic] = loop.time(), loop.call_later(REFUSED_RETRY_SECONDS, self.retry, topic)

    def discard(self, topic: str) -> None:
        """Ends the pause of a topic without `retry_due`."""
        if topic in self.paused:
            _, timer = self.paused.pop(topic)
            timer.cancel()

    def seconds_refused(self, topic: str) -> float:
        """Returns for how long the broker has refused every publish of a topic; 0 if it has refused none."""
        now = boot_time()
        return now - self._refused_since.get(topic, now)

    def forget(self, topic: str) -> None:
        """Records that the broker accepts a topic, or that nothing of it is to be published any more."""
        self._refused_since.pop(topic, None)

    def retry(self, topic: str) -> None:
        """Ends the pause of a topic and emits `retry_due`."""
        if topic in self.paused:
            self.discard(topic)
            self.retry_due.emit(topic)

    def on_disconnected(self) -> None:
        """Ends the pauses that are older than `REFUSAL_DISCONNECT_SECONDS`."""
        oldest_kept = asyncio.get_running_loop().time() - REFUSAL_DISCONNECT_SECONDS
        for topic, (refused_at, _) in tuple(self.paused.items()):
            if refused_at <= oldest_kept:
                self.discard(topic)
