"""Keeps the retained topics of one account at the broker up to date, across reconnects.

All are published again at every connect; `bridge/state` is the last, since readers trust the others only
while it says `online`. Commands and requests that somebody published retained are cleared, since the broker
would deliver them again at every start, and only those are carried out that are live (`RetainedCommands`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import MAX_HEAD_DISCONNECTS, InflightWindow, RefusedTopics
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import ConnectionDropped, NotConnected
from wx2mqtt.mqtt.broker import Connected, Delivery, ProbeTopics, ProtocolVersion, Publication

# Seconds for the broker to acknowledge the retained topics of the bridge, before it is probed with them.
OWN_TOPICS_TIMEOUT_SECONDS = 2.0

# Topics whose own clear is expected back (MQTT 3.1.1). The broker need not deliver what it was given.
MAX_PENDING_CLEARS = 1000


@dataclass(slots=True)
class RetainedTopic:
    """The payload that a retained topic should have, and whether the broker has acknowledged it.

    `expires` is the time in milliseconds after which the payload is invalid (Message Expiry of MQTT 5).
    `disconnect_count` counts disconnects on this topic since its last PUBACK.
    """

    publication: Publication
    expires: int | None = None
    acknowledged: bool = False
    disconnect_count: int = 0

    def with_remaining_expiry(self, now: int) -> Publication:
        """Returns the publication with its remaining expiry: at least 1 s, since 0 would mean no expiry."""
        if self.expires is None:
            return self.publication
        return replace(self.publication, expiry=max(1, (self.expires - now) // 1000))


class RetainedPublisher:
    """Publishes the retained topics of one account. `last_topic` is published after all others."""

    def __init__(self, inflight: InflightWindow, last_topic: str) -> None:
        self._inflight = inflight
        self._last_topic = last_topic
        self._topics: dict[str, RetainedTopic] = {}
        self._connected = False
        self._retain_available = True
        self._answered = asyncio.Event()
        self._refused = RefusedTopics()
        self._refused.retry_due.connect(self.republish)

    @property
    def refused_topics(self) -> tuple[str, ...]:
        """Retained topics that the broker refuses."""
        return tuple(self._refused)

    @property
    def settled(self) -> bool:
        """Whether the broker has acknowledged all topics."""
        return all(retained.acknowledged for retained in self._topics.values())

    def set(self, topic: str, payload: bytes, content_type: str, expires: int | None = None) -> None:
        """Sets the payload of a topic; an unchanged one is not published again."""
        publication = Publication(topic=topic, payload=payload, retain=True, content_type=content_type)
        current = self._topics.get(topic)
        if current is not None and current.publication == publication and current.expires == expires:
            return
        disconnect_count = 0 if current is None else current.disconnect_count
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
        self._refused.discard(topic)

    def value_of(self, topic: str) -> bytes | None:
        """Returns the payload of a topic; None if it is not set."""
        retained = self._topics.get(topic)
        return None if retained is None else retained.publication.payload

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
        self._refused.on_disconnected()

    async def wait_until_settled(self, seconds: float) -> None:
        """Waits until the broker has acknowledged everything, at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._connected and not self.settled:
                    self._answered.clear()
                    await self._answered.wait()

    def _publish(self, topic: str) -> None:
        if topic in self._refused:
            return
        retained = self._topics[topic]
        publication = retained.with_remaining_expiry(now_ms())
        if not self._retain_available:  # the broker would disconnect otherwise (MQTT 5, 3.2.2.3.5)
            publication = replace(publication, retain=False)
        self._inflight.publish_first(publication, self._on_acknowledged(topic, retained))

    def _on_acknowledged(self, topic: str, retained: RetainedTopic) -> Callable[[Exception | None], None]:
        def on_acknowledged(error: Exception | None) -> None:
            self._answered.set()
            if error is None:
                retained.acknowledged = True
                retained.disconnect_count = 0
                self._refused.forget(topic)
            elif isinstance(error, ConnectionDropped):
                self._count_disconnect(topic)
            elif not isinstance(error, NotConnected):
                self._refuse(topic, str(error))

        return on_acknowledged

    def _count_disconnect(self, topic: str) -> None:
        retained = self._topics.get(topic)
        if retained is not None:
            retained.disconnect_count += 1
            if retained.disconnect_count >= MAX_HEAD_DISCONNECTS:
                self._refuse(topic, "the broker hangs up on it")

    def _refuse(self, topic: str, reason: str) -> None:
        if topic in self._topics:
            self._refused.add(topic, reason)


class RetainedCommands:
    """Judges commands and requests with the retain flag, and clears the copies that the broker keeps of them.

    - MQTT 5: such a command was published just now, and is live, if the broker has shown on this connection
      that it redelivers nothing retained (`BrokerClient.honours_retain_handling`).
    - Otherwise it may come from the broker's store: it is refused. On MQTT 3.1.1 what is live has no flag.

    Each is cleared by an empty retained payload. A broker with MQTT 3.1.1 delivers that to the bridge as
    well, which subscribes to these topics: `is_own_clear` recognizes it. A failed clear is not repeated.
    """

    def __init__(self, ctx: AccountContext, inflight: InflightWindow, retained: RetainedPublisher) -> None:
        self._broker = ctx.broker
        self._probe_topics = ProbeTopics(probed=ctx.topics.state, control=ctx.topics.info)
        self._inflight = inflight
        self._retained = retained
        self._pending_clears: dict[str, int] = {}  # by topic, the oldest first
        self._receives_own_publishes = False

    def on_session_start(self) -> None:
        """Expects no payloads from an earlier session: the broker does not deliver them any more."""
        self._pending_clears.clear()

    def on_connected(self, connection: Connected) -> None:
        """Records whether the broker delivers own publishes: MQTT 3.1.1 has no No Local."""
        self._receives_own_publishes = connection.protocol != ProtocolVersion.MQTT_5

    async def judge(self, delivery: Delivery) -> Delivery:
        """Returns a delivery with the retain flag, without the flag and `cleared` where it is live.

        Clears its topic in any case, unless it is empty: then it is somebody's clear, which no broker keeps.
        """
        if not delivery.payload:
            return replace(delivery, retain=False)
        is_live = await self._is_live(delivery)
        self._clear(delivery.topic)
        return replace(delivery, retain=False, cleared=True) if is_live else delivery

    def is_own_clear(self, delivery: Delivery) -> bool:
        """Returns whether a delivery is an own clear; each clear accounts for one delivery."""
        if delivery.payload or delivery.topic not in self._pending_clears:
            return False
        self._forget_clear(delivery.topic)
        return True

    async def _is_live(self, delivery: Delivery) -> bool:
        if self._receives_own_publishes:
            return False
        await self._retained.wait_until_settled(OWN_TOPICS_TIMEOUT_SECONDS)  # the probe needs two of them
        is_shown = await self._broker.honours_retain_handling(self._probe_topics)
        connection = self._broker.connection
        is_current = connection is not None and connection.connection_number == delivery.connection_number
        return is_shown and is_current

    def _clear(self, topic: str) -> None:
        receives_own_publishes = self._receives_own_publishes

        def on_acknowledged(error: Exception | None) -> None:
            if error is not None and receives_own_publishes:
                self._forget_clear(topic)

        if receives_own_publishes:
            self._expect_clear(topic)
        self._inflight.publish_first(Publication(topic=topic, payload=b"", retain=True), on_acknowledged)

    def _expect_clear(self, topic: str) -> None:
        """Of too many the oldest is forgotten: its empty payload is then taken for one of a user."""
        self._pending_clears[topic] = self._pending_clears.pop(topic, 0) + 1
        if len(self._pending_clears) > MAX_PENDING_CLEARS:
            del self._pending_clears[next(iter(self._pending_clears))]

    def _forget_clear(self, topic: str) -> None:
        count = self._pending_clears.pop(topic, 0) - 1
        if count > 0:
            self._pending_clears[topic] = count
