"""Signs of life: when to ask the broker for one, and when to take it for dead. Pure.

Paho's own keepalive needs up to twice the interval to see that a broker is dead, and takes one for dead that
is only busy with a large packet (mqtt-bridges 7.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

ASK, DEAD = 0.5, 1.25
"""Parts of the keepalive; with the interval of the checks it stays below 1.5."""


class Sign(Enum):
    """What to do now."""

    WAIT = auto()
    PING = auto()
    DEAD = auto()


@dataclass(frozen=True, slots=True)
class Pulse:
    """`keepalive` in seconds; all times are of one steady clock."""

    keepalive: float

    @property
    def interval(self) -> float:
        """Seconds between two checks."""
        return min(1.0, self.keepalive / 8)

    @property
    def limit(self) -> float:
        """Seconds without a sign of life after which the broker is dead."""
        return self.keepalive * DEAD

    def check(self, now: float, *, heard: float, sent: float, drained: float, asked: float) -> Sign:
        """Times of the last byte in and out, of the last progress with a backlog, and of the last PINGREQ."""
        if now - max(heard, drained) >= self.limit:
            return Sign.DEAD
        waiting = asked > heard
        if not waiting and now - min(heard, sent) >= self.keepalive * ASK:
            return Sign.PING
        return Sign.WAIT
