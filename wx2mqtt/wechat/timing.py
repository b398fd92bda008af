"""Time and chance as one value, so that tests can hold both in their hands."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


def _ticking() -> float:
    """Seconds that pass also while the machine sleeps, and whatever its clock is set to."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; elsewhere the monotonic clock must do
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """`wall` in seconds since 1970, `monotonic`, `ticking` and `sleep` in seconds, `chance` in [0, 1).

    `ticking` goes on while the machine sleeps.
    """

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    ticking: Callable[[], float] = _ticking
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    @property
    def now(self) -> int:
        """Milliseconds since 1970."""
        return int(self.wall() * 1000)
