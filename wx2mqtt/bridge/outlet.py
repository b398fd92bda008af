"""The way to the broker with its window: never more unacknowledged publishes than the broker allows.

paho ignores Receive Maximum, and a broker may drop what is queued in one go although it acknowledges it
(mqtt-bridges 0.1, 0.2). What is retained goes first, since it says whether the rest can be believed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count

from wx2mqtt.errors import HungUp, NotConnected
from wx2mqtt.mqtt.link import Acknowledged, Link, Publication

PACKET_OVERHEAD = 128  # bytes of an MQTT 5 PUBLISH beside topic and payload, generously
HEAD_DISCONNECTS = 3  # disconnects in a row with the same head of line before it is put aside (DESIGN 4.3)
WINDOW = 100  # unacknowledged publishes; brokers such as mosquitto queue 1000, most allow at least this


def _nobody_waits() -> None:
    pass


class Outlet:
    """Counts what is open on one link. All calls on the event loop.

    `vacant` is called when there is room again. Some brokers hang up on what they do not like instead of
    refusing it: after a disconnect the first one goes alone, after another one all that were open, so that
    the one is found on which it happens; it is told `HungUp`.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._open: dict[int, None] = {}
        self._numbers = count()
        self._urgent: deque[tuple[Publication, Acknowledged]] = deque()
        self._serving = False
        self._one_by_one = 0  # answers until the whole window may be used again
        self._answers = WINDOW  # since the broker last hung up
        self._blamed = False
        self.vacant: Callable[[], None] = _nobody_waits

    @property
    def room(self) -> int:
        """How many more may be published now; 0 while there is no connection."""
        if self._link.current is None:
            return 0
        return max(0, self._limit - len(self._open) - len(self._urgent))

    def payload_limit(self, topic: str) -> int | None:
        """Bytes of payload that the broker takes on a topic now; None without a limit or a broker."""
        limit = None if self._link.current is None else self._link.current.packet_limit
        return None if limit is None else limit - len(topic.encode()) - PACKET_OVERHEAD

    @property
    def open(self) -> int:
        """How many publishes wait for their PUBACK."""
        return len(self._open)

    def publish(self, publication: Publication, acknowledged: Acknowledged) -> None:
        """Publish now; the caller has looked at `room`."""
        number, sent = next(self._numbers), False

        def done(error: Exception | None) -> None:
            acknowledged(self._judged(number, error) if sent else self._closed(number, error))
            self._next_urgent()
            if self.room:
                self.vacant()

        self._open[number] = None
        self._link.publish(publication, done)
        if number in self._open:
            sent, self._blamed = True, False

    def _closed(self, number: int, error: Exception | None) -> Exception | None:
        del self._open[number]
        return error

    def _judged(self, number: int, error: Exception | None) -> Exception | None:
        """The error, and whether this one may be why the broker hung up."""
        is_oldest = next(iter(self._open)) == number
        if not isinstance(error, NotConnected):
            self._answers += 1
            self._one_by_one = max(0, self._one_by_one - 1)
        elif is_oldest and not self._blamed:
            self._blamed, error = True, HungUp()
            self._one_by_one = 1 if self._answers >= WINDOW else len(self._open)
            self._answers = 0
        return self._closed(number, error)

    def publish_first(self, publication: Publication, acknowledged: Acknowledged) -> None:
        """Publish before all that waits, as soon as there is room."""
        self._urgent.append((publication, acknowledged))
        self._next_urgent()

    def _next_urgent(self) -> None:
        if self._serving:
            return  # without a connection the link calls back at once; the loop below goes on
        self._serving = True
        while self._urgent and len(self._open) < self._limit:
            publication, acknowledged = self._urgent.popleft()
            self.publish(publication, acknowledged)
        self._serving = False

    @property
    def _limit(self) -> int:
        current = self._link.current
        if current is None:
            return WINDOW
        return 1 if self._one_by_one else min(WINDOW, current.receive_maximum)
