"""What waits for the broker on one connection: publishes for PUBACK, and `Subscriptions` for SUBACK.

A publish without PUBACK fails after 60 s, so that its sender can go on. It is overdue then: the broker still
counts it against its Receive Maximum. Some of that is reserved for overdue ones, and the rest is the window:

    Receive Maximum of the broker  20
    reserved                        2   an eighth; with a third overdue publish the connection ends
    size of the window             18   `add` to `finish`
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from wx2mqtt.aio import notify
from wx2mqtt.errors import ConnectionDropped, NotConnected, PublishRefused
from wx2mqtt.mqtt.broker import PublishCallback
from wx2mqtt.mqtt.connection_errors import reason_text
from wx2mqtt.mqtt.packets import FIRST_FAILURE_CODE

log = structlog.get_logger(__name__)

# Seconds after which a publish without PUBACK fails although the connection lives: a broker may acknowledge
# all topics but one whose subscriber's node is gone (mqtt 5.2.2).
PUBACK_TIMEOUT_SECONDS = 60.0

# The most that is reserved: with so many topics that are never acknowledged, a new connection is better.
LARGEST_RESERVE = 8

# Seconds after which a refused filter is tried again: access rights change while the bridge runs.
REFUSED_FILTER_RETRY_SECONDS = 300.0


class UnackedPublishes:
    """The only register of unacknowledged publishes of this package; the caller keeps to at most `size`.

    `mid` is a packet id. `receive_maximum` is what the broker allows.
    """

    def __init__(self, receive_maximum: int) -> None:
        self._max_overdue = _reserved_part(receive_maximum)
        self.size = receive_maximum - self._max_overdue
        #: Packet ids, also of overdue publishes, which the broker may still acknowledge.
        self.ids_in_use: set[int] = set()
        #: Callback and time of sending, in the order of sending; without the overdue ones.
        self._pending: dict[int, tuple[PublishCallback, float]] = {}

    def add(self, mid: int, on_acknowledged: PublishCallback, now: float) -> None:
        self.ids_in_use.add(mid)
        self._pending[mid] = (on_acknowledged, now)

    def finish(self, mid: int, error: PublishRefused | None) -> None:
        """Removes a publish on its PUBACK and calls back; an unknown packet id is ignored."""
        self.ids_in_use.discard(mid)
        if mid in self._pending:
            on_acknowledged, _sent_at = self._pending.pop(mid)
            notify(on_acknowledged, error)

    def fail_overdue(self, now: float) -> bool:
        """Fails publishes that wait too long. Returns False when too many are overdue for this connection."""
        while self._pending:
            mid, (on_acknowledged, sent_at) = next(iter(self._pending.items()))
            if now - sent_at < PUBACK_TIMEOUT_SECONDS:
                break
            del self._pending[mid]
            reason = f"the broker has not acknowledged the message for {PUBACK_TIMEOUT_SECONDS:.0f} s"
            notify(on_acknowledged, PublishRefused(reason))
        overdue_count = len(self.ids_in_use) - len(self._pending)
        return overdue_count <= self._max_overdue

    def close(self) -> None:
        """Fails all that is pending, in the order of sending: the oldest may be what ended the connection."""
        pending, self._pending = self._pending, {}
        error: NotConnected = ConnectionDropped()
        for on_acknowledged, _sent_at in pending.values():
            notify(on_acknowledged, error)
            error = NotConnected()


def _reserved_part(receive_maximum: int) -> int:
    """Returns an eighth, which slows the others little, and at least 1; nothing of fewer than 4."""
    if receive_maximum < 4:
        return 0
    return min(max(receive_maximum // 8, 1), LARGEST_RESERVE)


class Subscriptions:
    """The filters of one connection. The caller sends SUBSCRIBE, and adds it to `pending`.

    It does so at every connection: that is idempotent, and the broker may have lost the session, or may have
    the session of another program.
    """

    def __init__(self) -> None:
        #: The filters of each SUBSCRIBE, by its packet id.
        self.pending: dict[int, tuple[str, ...]] = {}
        self.refused_filters: tuple[str, ...] = ()
        self._retry_at = 0.0

    def on_suback(self, mid: int, codes: Sequence[int], now: float) -> bool:
        """Stores the answer, a code for each filter. Returns False for a SUBACK of no pending SUBSCRIBE."""
        filters = self.pending.pop(mid, None)
        if filters is None:
            return False
        missing = [FIRST_FAILURE_CODE] * (len(filters) - len(codes))  # no code means refused
        answers = zip(filters, [*codes, *missing], strict=False)
        refused = {name: code for name, code in answers if code >= FIRST_FAILURE_CODE}
        for name, code in refused.items():
            if name not in self.refused_filters:
                log.warning("subscription refused", filter=name, reason=reason_text("en", code))
        for name in set(self.refused_filters) - refused.keys():
            log.info("subscription granted after all", filter=name)
        self.refused_filters = tuple(refused)
        self._retry_at = now + REFUSED_FILTER_RETRY_SECONDS
        return True

    def filters_to_retry(self, now: float) -> tuple[str, ...]:
        """Returns the refused filters when it is time to send SUBSCRIBE for them again."""
        if self.pending or now < self._retry_at:
            return ()
        return self.refused_filters
