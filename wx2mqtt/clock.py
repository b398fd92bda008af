"""The three clocks, and how a time is written on topics.

`now_ms` is the time of day and may jump. `loop_time` measures within one run of the event loop. `monotonic`
also counts the time for which the machine slept.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import lru_cache

LAST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, the last time that a calendar can write."""


def now_ms() -> int:
    """Returns milliseconds since 1970 (UTC)."""
    return time.time_ns() // 1_000_000


def loop_time() -> float:
    """Returns seconds of the running event loop's clock, which `asyncio.timeout_at` takes, too."""
    return asyncio.get_running_loop().time()


def monotonic() -> float:
    """Returns seconds of a monotonic clock; on Linux it goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def rfc3339(ms: int) -> str:
    """`2026-11-25T08:00:00.000Z`: UTC with milliseconds; a time outside of the calendar becomes its limit."""
    seconds, rest = divmod(min(max(ms, 0), LAST_MS), 1000)
    return f"{_format_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=16)  # in a burst most messages are of the same second
def _format_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
