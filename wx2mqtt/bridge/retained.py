"""The retained truth of one account: what stands is published, and again at every connect.

`bridge/state` comes last, since `login/*` counts only while it says `online`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from wx2mqtt.bridge.inflight import MAX_HEAD_DISCONNECTS, InflightWindow, RefusedTopics
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import ConnectionDropped, NotConnected
from wx2mqtt.mqtt.broker import Connected, Publication


@dataclass(slots=True)
class RetainedTopic:
    """One retained topic: what it should hold and whether the broker has acknowledged just that.

    `expires` in milliseconds: the broker is told how long the payload stays true (MQTT 5).
    """

    publication: Publication
    expires: int | None = None
    acknowledged: bool = False
    disconnect_count: int = 0  # disconnects on it since the broker last acknowledged it

    def with_remaining_expiry(self, now: int) -> Publication:
        """The publication with the life that is left; at least a second, since 0 would mean none at all."""
        if self.expires is None:
            return self.publication
        return replace(self.publication, expiry=max(1, (self.expires - now) // 1000))


class RetainedPublisher:
    """Keeps the retained topics of one account as they should be."""

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
        """Retained topics that the broker does not take."""
        return tuple(self._refused)

    @property
    def settled(self) -> bool:
        """Whether the broker holds all that should stand."""
        return all(retained.acknowledged for retained in self._topics.values())

    def set(self, topic: str, payload: bytes, content_type: str, expires: int | None = None) -> None:
        """From now on `topic` holds `payload`."""
        publication = Publication(topic=topic, payload=payload, retain=True, content_type=content_type)
        before = self._topics.get(topic)
        if before is not None and before.publication == publication and before.expires == expires:
            return
        disconnect_count = 0 if before is None else before.disconnect_count
        self._topics[topic] = RetainedTopic(publication, expires, disconnect_count=disconnect_count)
        if self._connected:
            self._publish(topic)

    def republish(self, topic: str) -> None:
        """Say once more what stands on `topic`: somebody has just come who may have missed it."""
        if self._connected and topic in self._topics:
            self._publish(topic)

    def discard_state(self, topic: str) -> None:
        """Nothing is known of `topic` until it is said anew; what the broker has of it stays there."""
        self._topics.pop(topic, None)
        self._refused.discard(topic)

    def value_of(self, topic: str) -> bytes | None:
        """What `topic` should hold."""
        retained = self._topics.get(topic)
        return None if retained is None else retained.publication.payload

    def on_connected(self, connection: Connected) -> None:
        """Say everything again: this broker, or this node of it, may have forgotten it (mqtt 0.6.3)."""
        self._connected = True
        self._retain_available = connection.retain_available
        for retained in self._topics.values():
            retained.acknowledged = False
        for topic in sorted(self._topics, key=lambda topic: topic == self._last_topic):
            self._publish(topic)

    def on_disconnected(self) -> None:
        """Publish nothing until the next connection."""
        self._connected = False
        self._refused.on_disconnected()

    async def wait_until_settled(self, seconds: float) -> None:
        """Wait until the broker has acknowledged everything, at most `seconds`."""
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
        if (
            not self._retain_available
        ):  # a broker without retained messages hangs up on one (MQTT 5, 3.2.2.3.5)
            publication = replace(publication, retain=False)
        self._inflight.publish_first(publication, self._on_acknowledged(topic, retained))

    def _on_acknowledged(self, topic: str, retained: RetainedTopic) -> Callable[[Exception | None], None]:
        def heard(error: Exception | None) -> None:
            self._answered.set()
            if error is None:
                retained.acknowledged, retained.disconnect_count = True, 0
            elif isinstance(error, ConnectionDropped):
                self._count_disconnect(topic)
            elif not isinstance(error, NotConnected):
                self._refuse(topic, str(error))

        return heard

    def _count_disconnect(self, topic: str) -> None:
        retained = self._topics.get(topic)
        if retained is not None:
            retained.disconnect_count += 1
            if retained.disconnect_count >= MAX_HEAD_DISCONNECTS:
                self._refuse(topic, "the broker hangs up on it")

    def _refuse(self, topic: str, reason: str) -> None:
        if topic in self._topics:
            self._refused.add(topic, reason)
