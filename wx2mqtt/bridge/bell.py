"""A bell for whoever looks on: it says that something may be different now, never what."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung on the event loop, and cheap where nobody listens. `count` says how often."""

    def __init__(self) -> None:
        self.count = 0
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Something may be different."""
        self.count += 1
        self._rung.set()

    async def wait(self, heard: int) -> int:
        """Until it was rung since `count` was `heard`; the count as of now."""
        while self.count == heard:
            self._rung.clear()
            await self._rung.wait()
        return self.count
