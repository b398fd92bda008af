"""Waiting for something to become true, with a bound. Knows nothing about WeChat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Bell:
    """Rings whenever something has changed; whoever waits looks again."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
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
