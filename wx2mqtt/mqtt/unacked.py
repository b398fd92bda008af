"""Packets of one connection that wait for the broker's acknowledgement: PUBLISH and SUBSCRIBE.

`UnackedPublishes` is the window of publishes. A publish without PUBACK fails after 60 s, so that its sender
can go on, but its packet id stays in use, and its slot in the broker's Receive Maximum stays taken:

    Receive Maximum of the broker  20
    size of the window             18   `add` to `settle`
    reserved for overdue ones       2   `fail_overdue` to a late `settle`; with a third the connection ends
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat, takewhile
from typing import NamedTuple

import structlog

from wx2mqtt.aio import notify
from wx2mqtt.errors import ConnectionDropped, NotConnected, PublishRefused
from wx2mqtt.mqtt.broker import PublishCallback
from wx2mqtt.mqtt.reason_codes import FIRST_FAILURE_CODE, reason_text

log = structlog.get_logger(__name__)

# Seconds after which a publish without PUBACK fails although the connection lives: a broker may acknowledge
# all topics but one whose subscriber's node is gone (mqtt 5.2.2).
PUBACK_TIMEOUT_SECONDS = 60.0

# Publishes of the broker's Receive Maximum that are reserved for overdue ones, which the broker still counts;
# fewer where the broker allows few.
RESERVED_INFLIGHT = 8

# Seconds after which a refused filter is tried again: access rights change while the bridge runs.
REFUSED_FILTER_RETRY_SECONDS = 300.0


class _PendingPublish(NamedTuple):
    on_acknowledged: PublishCallback
    sent_at: float


class UnackedPublishes:
    """The only register of unacknowledged publishes of this package; the caller keeps to at most `size`."""

    def __init__(self, receive_maximum: int) -> None:
        self._max_overdue = min(RESERVED_INFLIGHT, receive_maximum // 8 or receive_maximum // 4)
        self.size = receive_maximum - self._max_overdue
        self._pending: dict[int, _PendingPublish] = {}  # in the order of sending
        self._overdue: set[int] = set()

    def __contains__(self, mid: int) -> bool:
        """Whether the packet id is in use: the broker may still acknowledge an overdue publish."""
        return mid in self._pending or mid in self._overdue

    def add(self, mid: int, on_acknowledged: PublishCallback, now: float) -> None:
        self._pending[mid] = _PendingPublish(on_acknowledged, now)

    def settle(self, mid: int, error: PublishRefused | None) -> None:
        """Removes a publish on its PUBACK and calls back; an unknown packet id is ignored."""
        publish = self._pending.pop(mid, None)
        if publish is None:
            self._overdue.discard(mid)
        else:
            notify(publish.on_acknowledged, error)

    def fail_overdue(self, now: float) -> bool:
        """Fails publishes that wait too long. Returns False when too many are overdue for this connection."""
        sent_before = now - PUBACK_TIMEOUT_SECONDS
        for mid in list(takewhile(lambda mid: self._pending[mid].sent_at <= sent_before, self._pending)):
            self._overdue.add(mid)
            reason = f"the broker has not acknowledged the message for {PUBACK_TIMEOUT_SECONDS:.0f} s"
            notify(self._pending.pop(mid).on_acknowledged, PublishRefused(reason))
        return len(self._overdue) <= self._max_overdue

    def close(self) -> None:
        """Fails all that is pending, in the order of sending: the oldest may be what ended the connection."""
        pending, self._pending = self._pending, {}
        error: NotConnected = ConnectionDropped()
        for publish in pending.values():
            notify(publish.on_acknowledged, error)
            error = NotConnected()


class Subscriptions:
    """The filters of one connection: which SUBSCRIBE waits for its SUBACK, and which filters were refused.

    The caller sends SUBSCRIBE. It does so at every connection: that is idempotent, and the broker may have
    lost the session, or may have the session of another program.
    """

    def __init__(self) -> None:
        self._pending: dict[int, tuple[str, ...]] = {}
        self._retry_at = 0.0
        self.refused_filters: tuple[str, ...] = ()

    def __contains__(self, mid: int) -> bool:
        """Whether the packet id is in use."""
        return mid in self._pending

    def add(self, mid: int, filters: tuple[str, ...]) -> None:
        self._pending[mid] = filters

    def on_suback(self, mid: int, codes: Sequence[int], now: float) -> bool:
        """Stores the answer, a code for each filter. Returns False for a SUBACK of no pending SUBSCRIBE."""
        filters = self._pending.pop(mid, None)
        if filters is None:
            return False
        answers = zip(filters, chain(codes, repeat(FIRST_FAILURE_CODE)), strict=False)
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
        return self.refused_filters if not self._pending and now >= self._retry_at else ()
