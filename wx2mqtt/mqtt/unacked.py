"""Publishes that wait for their PUBACK on one connection, and who is told of it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import ParamSpec

import structlog

from wx2mqtt.errors import NotConnected, PublishRefused
from wx2mqtt.mqtt.broker import PublishCallback

log = structlog.get_logger(__name__)

P = ParamSpec("P")

PUBACK_TIMEOUT_SECONDS = 60.0
"""Seconds after which a publish without PUBACK is given back although the connection lives: a broker may
acknowledge all topics but one, whose reader's node is gone (mqtt 5.2.2)."""
RESERVED_INFLIGHT = 8
"""Places of the broker's Receive Maximum that are kept free for those, where they still count; fewer when the
broker allows few."""


def notify(callback: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call one who listens. What he raises is his own fault and must end neither paho nor the connection."""
    try:
        callback(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - see above (mqtt 0.4.2)
        log.error("listener failed", error=type(error).__name__, at=raised_at(error))


def raised_at(error: BaseException) -> str:
    """File and line where it was raised. Neither its words nor its variables, which may hold a text."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{at.filename}:{at.lineno}"


class UnackedPublishes:
    """The caller keeps to `size`; all of it is of one connection."""

    def __init__(self, receive_maximum: int) -> None:
        self._spare = min(RESERVED_INFLIGHT, receive_maximum // 8 or receive_maximum // 4)
        self.size = receive_maximum - self._spare
        self._pending: dict[int, tuple[PublishCallback, float]] = {}
        self._overdue: set[int] = set()

    def add(self, mid: int, on_acknowledged: PublishCallback, now: float) -> None:
        """Sent."""
        self._pending[mid] = (on_acknowledged, now)

    def settle(self, mid: int, error: PublishRefused | None) -> None:
        """PUBACK."""
        entry = self._pending.pop(mid, None)
        if entry is None:
            self._overdue.discard(mid)
        else:
            notify(entry[0], error)

    def fail_overdue(self, now: float) -> bool:
        """Tell those who wait too long. False when they are so many that only a new connection helps."""
        overdue = []
        for mid, (_, since) in self._pending.items():
            if now - since < PUBACK_TIMEOUT_SECONDS:
                break  # in the order of sending
            overdue.append(mid)
        for mid in overdue:
            acknowledged, _ = self._pending.pop(mid)
            self._overdue.add(mid)
            reason = f"the broker has not acknowledged the message for {PUBACK_TIMEOUT_SECONDS:.0f} s"
            notify(acknowledged, PublishRefused(reason))
        return len(self._overdue) <= self._spare

    def close(self) -> None:
        """The connection is gone: everything open is told `NotConnected`."""
        waiting, self._pending = self._pending, {}
        for acknowledged, _ in waiting.values():
            notify(acknowledged, NotConnected())
