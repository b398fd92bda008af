"""What time it is at WeChat: the window is counted there, and our own clock may be wrong or jump.

Each answer tells it to the second; in between the ticking of the machine goes on from there.
"""

from __future__ import annotations

from wx2mqtt.wechat.http import date_of
from wx2mqtt.wechat.timing import Timing

SLACK = 2_000  # milliseconds: an answer takes its time, and tells whole seconds
HALF = 500  # milliseconds that a told second is behind on average


class ServerTime:
    """WeChat's clock. Until an answer has told it, ours is taken for it. All in milliseconds since 1970."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._told: tuple[int, float] | None = None
        self._ahead = 0

    def told(self, date: str) -> None:
        """The `Date` of an answer; empty or unreadable ones tell nothing."""
        found = date_of(date)
        if found is None:
            return
        at = int(found * 1000) + HALF
        if self._told is None or abs(at - self.now()) > SLACK:
            self._told = at, self._timing.ticking()

    def now(self) -> int:
        """Now, at WeChat."""
        if self._told is None:
            return self._timing.now
        at, ticks = self._told
        return at + int((self._timing.ticking() - ticks) * 1000)

    def ours(self, time: int) -> int:
        """A time of WeChat's by our clock; the same each time, as long as no clock is set."""
        ahead = self._timing.now - self.now()
        if abs(ahead - self._ahead) > SLACK:
            self._ahead = ahead
        return time + self._ahead
