"""When to send PINGREQ, and when the broker counts as dead. Pure.

With a keepalive of 30 s, in seconds since the last byte from the broker:

    15    PINGREQ; also 15 s after the last byte to the broker, which expects one within 45 s
    37.5  dead: no answer to it has come, and the kernel has not taken anything of a large packet either

paho's own keepalive needs up to twice the interval to notice a dead broker, and takes a broker for dead that
is only busy with a large packet (mqtt 7.1.2).
"""

from __future__ import annotations

from enum import Enum, auto

from wx2mqtt.values import frozen

# Parts of the keepalive. The broker is found dead before 1.5 of it, with the interval of the checks.
PING_AFTER_KEEPALIVES = 0.5
DEAD_AFTER_KEEPALIVES = 1.25

# Each check wakes an idle process up: it is no more often than the deadlines need.
MAX_CHECK_INTERVAL_SECONDS = 5.0
CHECKS_PER_KEEPALIVE = 8


class KeepAliveAction(Enum):
    WAIT = auto()
    PING = auto()
    DEAD = auto()


@frozen(kw_only=False)
class KeepAlive:
    """`keepalive` is in seconds; all times are of one monotonic clock."""

    keepalive: float

    @property
    def interval(self) -> float:
        """Seconds between two checks."""
        return min(MAX_CHECK_INTERVAL_SECONDS, self.keepalive / CHECKS_PER_KEEPALIVE)

    @property
    def timeout(self) -> float:
        """Seconds without a byte from the broker after which it is dead."""
        return self.keepalive * DEAD_AFTER_KEEPALIVES

    def check(
        self, now: float, *, received: float, sent: float, drained: float, pinged: float
    ) -> KeepAliveAction:
        """Decides from the times of the last byte received and sent, and of the last PINGREQ.

        `drained` is when the kernel last took bytes of a backlog: a large packet on a slow line proceeds.
        """
        if now - max(received, drained) >= self.timeout:
            return KeepAliveAction.DEAD
        ping_pending = pinged > received
        if not ping_pending and now - min(received, sent) >= self.keepalive * PING_AFTER_KEEPALIVES:
            return KeepAliveAction.PING
        return KeepAliveAction.WAIT
