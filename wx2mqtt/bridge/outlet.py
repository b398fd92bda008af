"""The way to the broker with its window: never more unacknowledged publishes than the broker allows.

paho ignores Receive Maximum, and a broker may drop what is queued in one go although it acknowledges it
(mqtt-bridges 0.1, 0.2). What is retained goes first, since it says whether the rest can be believed.
"""

from __future__ import annotations

from collections import deque

from wx2mqtt.mqtt.link import Acknowledged, Link, Publication

PACKET_OVERHEAD = 128  # bytes of an MQTT 5 PUBLISH beside topic and payload, generously
WINDOW = 100  # unacknowledged publishes; brokers such as mosquitto queue 1000, most allow at least this


class Outlet:
    """Counts what is open on one link. All calls on the event loop."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._open = 0
        self._urgent: deque[tuple[Publication, Acknowledged]] = deque()
        self._serving = False

    @property
    def room(self) -> int:
        """How many more may be published now; 0 while there is no connection."""
        if self._link.current is None:
            return 0
        return max(0, self._limit - self._open - len(self._urgent))

    def payload_limit(self, topic: str) -> int | None:
        """Bytes of payload that the broker takes on a topic now; None without a limit or a broker."""
        limit = None if self._link.current is None else self._link.current.packet_limit
        return None if limit is None else limit - len(topic.encode()) - PACKET_OVERHEAD

    @property
    def open(self) -> int:
        """How many publishes wait for their PUBACK."""
        return self._open

    def publish(self, publication: Publication, acknowledged: Acknowledged) -> None:
        """Publish now; the caller has looked at `room`."""

        def done(error: Exception | None) -> None:
            self._open -= 1
            acknowledged(error)
            self._next_urgent()

        self._open += 1
        self._link.publish(publication, done)

    def publish_first(self, publication: Publication, acknowledged: Acknowledged) -> None:
        """Publish before all that waits, as soon as there is room."""
        self._urgent.append((publication, acknowledged))
        self._next_urgent()

    def _next_urgent(self) -> None:
        if self._serving:
            return  # without a connection the link calls back at once; the loop below goes on
        self._serving = True
        while self._urgent and self._open < self._limit:
            publication, acknowledged = self._urgent.popleft()
            self.publish(publication, acknowledged)
        self._serving = False

    @property
    def _limit(self) -> int:
        current = self._link.current
        return min(WINDOW, current.receive_maximum) if current else WINDOW
