"""How often something happened in the last minute (webwx 6.1)."""

from __future__ import annotations

import time
from collections import deque

MINUTE = 60.0


class LastMinute:
    """The times of what happened."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=10_000)

    def full(self, limit: int) -> bool:
        """Whether there were `limit` already (0: no limit); else one more is counted."""
        now = time.monotonic()
        while self._times and self._times[0] < now - MINUTE:
            self._times.popleft()
        if limit and len(self._times) >= limit:
            return True
        self._times.append(now)
        return False
