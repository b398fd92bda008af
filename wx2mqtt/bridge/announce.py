"""The retained truth of one account: what stands is published, and again at every connect (DESIGN 4.3).

`bridge/state` comes last, since `login/*` counts only while it says `online`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from wx2mqtt.bridge.outlet import HEAD_DISCONNECTS, Outlet
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import HungUp, NotConnected
from wx2mqtt.mqtt.link import Connected, Publication

log = structlog.get_logger(__name__)

REFUSED_PAUSE = 300.0  # seconds until a refused topic is tried again (DESIGN 4.3)
HUNG_UP_FOR_IT = 10.0  # a broker that hangs up within so many seconds of a refusal may do so because of it


@dataclass(slots=True)
class Retained:
    """One retained topic: what it should hold and whether the broker has acknowledged just that.

    `expires` in milliseconds: the broker is told how long the payload stays true (MQTT 5).
    """

    publication: Publication
    expires: int | None = None
    said: bool = False
    refused: float | None = None  # when the broker did so, if it did
    hung_up: int = 0  # how often the broker hung up on it since it last took it

    def now(self, now: int) -> Publication:
        """The publication with the life that is left; at least a second, since 0 would mean none at all."""
        if self.expires is None:
            return self.publication
        return replace(self.publication, expiry=max(1, (self.expires - now) // 1000))


class Announcer:
    """Keeps the retained topics of one account as they should be."""

    def __init__(self, outlet: Outlet, last: str) -> None:
        self._outlet = outlet
        self._last = last
        self._topics: dict[str, Retained] = {}
        self._connected = False
        self._retain = True
        self._heard_more = asyncio.Event()

    @property
    def refused(self) -> tuple[str, ...]:
        """Retained topics that the broker does not take."""
        return tuple(topic for topic, retained in self._topics.items() if retained.refused is not None)

    @property
    def settled(self) -> bool:
        """Whether the broker holds all that should stand."""
        return all(retained.said for retained in self._topics.values())

    def say(self, topic: str, payload: bytes, content_type: str, expires: int | None = None) -> None:
        """From now on `topic` holds `payload`."""
        publication = Publication(topic=topic, payload=payload, retain=True, content_type=content_type)
        before = self._topics.get(topic)
        if before is not None and before.publication == publication and before.expires == expires:
            return
        refused, hung_up = (None, 0) if before is None else (before.refused, before.hung_up)
        self._topics[topic] = Retained(publication, expires, refused=refused, hung_up=hung_up)
        if self._connected:
            self._publish(topic)

    def again(self, topic: str) -> None:
        """Say once more what stands on `topic`: somebody has just come who may have missed it."""
        if self._connected and topic in self._topics:
            self._publish(topic)

    def withdraw(self, topic: str) -> None:
        """Nothing is known of `topic` until it is said anew; what the broker has of it stays there."""
        self._topics.pop(topic, None)

    def holds(self, topic: str) -> bytes | None:
        """What `topic` should hold."""
        retained = self._topics.get(topic)
        return None if retained is None else retained.publication.payload

    def connected(self, connection: Connected) -> None:
        """Say everything again: this broker, or this node of it, may have forgotten it (mqtt-bridges 0.6)."""
        self._connected = True
        self._retain = connection.retain_available
        for retained in self._topics.values():
            retained.said = False
        for topic in sorted(self._topics, key=lambda topic: topic == self._last):
            self._publish(topic)

    def disconnected(self) -> None:
        """Nothing can be said until the next connection, which may allow what this one refused.

        But mosquitto with `max_queued_messages 0` hangs up after each refusal: what was refused just now
        keeps its pause, or no connection would ever last.
        """
        self._connected = False
        since = _clock() - HUNG_UP_FOR_IT
        for retained in self._topics.values():
            if retained.refused is not None and retained.refused <= since:
                retained.refused = None

    async def all_said(self, seconds: float) -> None:
        """Wait until the broker has acknowledged everything, at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._connected and not self.settled:
                    self._heard_more.clear()
                    await self._heard_more.wait()

    def _publish(self, topic: str) -> None:
        retained = self._topics[topic]
        if retained.refused is not None:
            return
        publication = retained.now(now_ms())
        if not self._retain:  # a broker without retained messages hangs up on one (MQTT 5, 3.2.2.3.5)
            publication = replace(publication, retain=False)
        self._outlet.publish_first(publication, self._heard(topic, retained))

    def _heard(self, topic: str, retained: Retained) -> Callable[[Exception | None], None]:
        def heard(error: Exception | None) -> None:
            self._heard_more.set()
            if error is None:
                retained.said, retained.hung_up = True, 0
            elif isinstance(error, HungUp):
                self._hung_up(topic)
            elif not isinstance(error, NotConnected):
                self._refuse(topic, str(error))

        return heard

    def _hung_up(self, topic: str) -> None:
        retained = self._topics.get(topic)
        if retained is not None:
            retained.hung_up += 1
            if retained.hung_up >= HEAD_DISCONNECTS:
                self._refuse(topic, "the broker hangs up on it")

    def _refuse(self, topic: str, reason: str) -> None:
        retained = self._topics.get(topic)
        if retained is not None:
            log.warning("broker refuses topic", topic=topic, reason=reason)
            retained.refused = _clock()
            asyncio.get_running_loop().call_later(REFUSED_PAUSE, self._try_again, topic)

    def _try_again(self, topic: str) -> None:
        retained = self._topics.get(topic)
        if retained is not None:
            retained.refused = None
            if self._connected:
                self._publish(topic)


def _clock() -> float:
    return asyncio.get_running_loop().time()
