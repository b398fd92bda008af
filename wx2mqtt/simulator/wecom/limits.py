"""How often something may happen, counted on the simulated clock."""

from __future__ import annotations

from collections import deque

MINUTE = 60.0
HOUR = 3600.0

SLACK_SECONDS = 1.0
"""A period counts a second less, since a frame takes a moment from the client to the gateway."""


class Rate:
    """The times of past events, for a limit a minute and one an hour. A refused event is not counted."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def take(self, now: float, minute_limit: int, hour_limit: int) -> bool:
        """Counts an event at `now` (seconds), unless a limit is reached; returns whether it was counted."""
        while self._times and self._times[0] <= now - HOUR + SLACK_SECONDS:
            self._times.popleft()
        if hour_limit and len(self._times) >= hour_limit:
            return False
        if minute_limit and self.count_since(now - MINUTE + SLACK_SECONDS) >= minute_limit:
            return False
        self._times.append(now)
        return True

    def count_since(self, time: float) -> int:
        """Returns how many events were later than `time`."""
        return sum(one > time for one in self._times)
