"""The time of day, in milliseconds since 1970, how it is written on topics; time that passes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


def now_ms() -> int:
    """Milliseconds since 1970, by the clock on the wall."""
    return time.time_ns() // 1_000_000


def monotonic() -> float:
    """Seconds that only rise, whatever is done to the clock on the wall; on Linux with its sleep."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def rfc3339(ms: int) -> str:
    """`2026-11-25T08:00:00.000Z`: UTC with milliseconds; a time beyond the calendar is cut to it."""
    bounded = min(max(ms, 0), 253_402_300_799_999)
    seconds, rest = divmod(bounded, 1000)
    return f"{_whole(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=16)  # of a burst most messages are of the same second
def _whole(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
