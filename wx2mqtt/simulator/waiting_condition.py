"""Waiting for something to become true, with a bound. Knows nothing about WeChat.

How often something happened in the last minute (webwx 6.1.1).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable


class WaitingCondition:
    """Rings whenever something has changed; whoever waits looks again."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake everybody who waits."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait_for(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Wait until `ready()`, at most `seconds`; returns what `ready()` says at the end."""
        if ready():
            return True
        try:
            async with asyncio.timeout(seconds):
                while not ready():
                    await self._event.wait()
        except TimeoutError:
            pass
        return ready()


MINUTE = 60.0


class LastMinute:
    """The times of what happened."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=10_000)

    def is_exhausted(self, limit: int) -> bool:
        """Whether there were `limit` already (0: no limit); else one more is counted."""
        now = time.monotonic()
        while self._times and self._times[0] < now - MINUTE:
            self._times.popleft()
        if limit and len(self._times) >= limit:
            return True
        self._times.append(now)
        return False
