"""Time and chance as one value, so that tests can hold both in their hands."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """`wall` in seconds since 1970, `monotonic` and `sleep` in seconds, `chance` in [0, 1)."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    @property
    def now(self) -> int:
        """Milliseconds since 1970."""
        return int(self.wall() * 1000)
