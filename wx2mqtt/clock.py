"""The time of day, in milliseconds since 1970, how it is written on topics (DESIGN 4.1); time that passes."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Milliseconds since 1970, by the clock on the wall."""
    return time.time_ns() // 1_000_000


def steady() -> float:
    """Seconds that only rise, whatever is done to the clock on the wall; on Linux with its sleep."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def rfc3339(ms: int) -> str:
    """`2026-11-25T08:00:00.000Z`: UTC with milliseconds; a time beyond the calendar is cut to it."""
    bounded = min(max(ms, 0), 253_402_300_799_999)
    seconds, rest = divmod(bounded, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"
