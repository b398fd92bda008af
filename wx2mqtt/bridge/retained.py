"""The retained truth of one account: what stands is published, and again at every connect.

`bridge/state` comes last, since `login/*` counts only while it says `online`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from wx2mqtt.bridge.inflight import MAX_HEAD_DISCONNECTS, InflightWindow
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import ConnectionDropped, NotConnected
from wx2mqtt.mqtt.broker import Connected, Publication

log = structlog.get_logger(__name__)

REFUSED_RETRY_SECONDS = 300.0  # seconds until a refused topic is tried again
REFUSAL_DISCONNECT_SECONDS = (
    10.0  # a broker that hangs up within so many seconds of a refusal may do so because of it
)


@dataclass(slots=True)
class RetainedTopic:
    """One retained topic: what it should hold and whether the broker has acknowledged just that.

    `expires` in milliseconds: the broker is told how long the payload stays true (MQTT 5).
    """

    publication: Publication
    expires: int | None = None
    acknowledged: bool = False
    refused_at: float | None = None  # when the broker did so, if it did
    disconnect_count: int = 0  # how often the broker hung up on it since it last took it

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

    @property
    def refused_topics(self) -> tuple[str, ...]:
        """Retained topics that the broker does not take."""
        return tuple(topic for topic, retained in self._topics.items() if retained.refused_at is not None)

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
        refused, hung_up = (None, 0) if before is None else (before.refused_at, before.disconnect_count)
        self._topics[topic] = RetainedTopic(
            publication, expires, refused_at=refused, disconnect_count=hung_up
        )
        if self._connected:
            self._publish(topic)

    def republish(self, topic: str) -> None:
        """Say once more what stands on `topic`: somebody has just come who may have missed it."""
        if self._connected and topic in self._topics:
            self._publish(topic)

    def discard_state(self, topic: str) -> None:
        """Nothing is known of `topic` until it is said anew; what the broker has of it stays there."""
        self._topics.pop(topic, None)

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
        """Nothing can be said until the next connection, which may allow what this one refused.

        But mosquitto with `max_queued_messages 0` hangs up after each refusal: what was refused just now
        keeps its pause, or no connection would ever last.
        """
        self._connected = False
        since = _clock() - REFUSAL_DISCONNECT_SECONDS
        for retained in self._topics.values():
            if retained.refused_at is not None and retained.refused_at <= since:
                retained.refused_at = None

    async def wait_until_settled(self, seconds: float) -> None:
        """Wait until the broker has acknowledged everything, at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._connected and not self.settled:
                    self._answered.clear()
                    await self._answered.wait()

    def _publish(self, topic: str) -> None:
        retained = self._topics[topic]
        if retained.refused_at is not None:
            return
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
        retained = self._topics.get(topic)
        if retained is not None:
            log.warning("broker refuses topic", topic=topic, reason=reason)
            retained.refused_at = _clock()
            asyncio.get_running_loop().call_later(REFUSED_RETRY_SECONDS, self._retry, topic)

    def _retry(self, topic: str) -> None:
        retained = self._topics.get(topic)
        if retained is not None:
            retained.refused_at = None
            if self._connected:
                self._publish(topic)


def _clock() -> float:
    return asyncio.get_running_loop().time()
