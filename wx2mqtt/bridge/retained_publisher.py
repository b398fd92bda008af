"""Keeps the retained topics of one account up to date at the broker, across reconnects.

    retained.set("wx/bridge/state", b"online", "text/plain")
        ->  published now, and again at every connect, until another payload is set

`status_topics.py`, `window_topics.py` and `homeassistant_announcement.py` say what is on the topics.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from wx2mqtt.bridge.inflight import MAX_HEAD_DISCONNECTS, InflightWindow, RefusedTopics
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import ConnectionDropped, NotConnected
from wx2mqtt.mqtt.broker import Connected, Publication


@dataclass(slots=True)
class RetainedTopic:
    """The payload that a retained topic should have, and whether the broker has acknowledged it."""

    publication: Publication
    #: The time in milliseconds after which the payload is invalid (Message Expiry of MQTT 5).
    expires: int | None = None
    acknowledged: bool = False
    #: Disconnects on this topic since its last PUBACK.
    disconnect_count: int = 0


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
