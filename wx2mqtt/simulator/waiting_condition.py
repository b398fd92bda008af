"""Waiting for a condition with a timeout, and a limit of events a minute (webwx 6.1.1)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable


class WaitingCondition:
    """Wakes waiting tasks after a change; each evaluates its condition again."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait_for(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Waits until `ready()`, at most `seconds`; returns the last value of `ready()`."""
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
    """Limits events to a number a minute."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=10_000)

    def is_exhausted(self, limit: int) -> bool:
        """Returns whether `limit` events happened in the last minute (0: no limit).

        If not, counts this one.
        """
        now = time.monotonic()
        while self._times and self._times[0] < now - MINUTE:
            self._times.popleft()
        if limit and len(self._times) >= limit:
            return True
        self._times.append(now)
        return False
