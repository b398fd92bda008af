"""The clocks, how a time is written on topics and in HTTP, and how long to wait after failures (`Backoff`).

`now_ms` is the time of day and may jump. `loop_time` measures within one run of the event loop. `boot_time`
also counts the time for which the machine slept. `Clock` holds clocks that tests replace.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from wx2mqtt.values import frozen

# On Linux it goes on while the machine sleeps.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

# 9999-12-31T23:59:59.999Z, the last time that a calendar can write.
LAST_MS = 253_402_300_799_999

# A `Backoff` doubles its delay no more often, since the power would be no finite number after years of
# failures. It is beyond any `cap` by then.
MAX_DOUBLINGS = 32


def now_ms() -> int:
    """Returns milliseconds since 1970 (UTC)."""
    return time.time_ns() // 1_000_000


def loop_time() -> float:
    """Returns seconds of the running event loop's clock, which `asyncio.timeout_at` takes, too."""
    return asyncio.get_running_loop().time()


def boot_time() -> float:
    """Returns seconds of a monotonic clock; on Linux it goes on while the machine sleeps."""
    return time.clock_gettime(_BOOT_CLOCK)


_LEASE_POLL_SECONDS = 0.5


class Lease:
    """The right to act for accounts that another process may take over; it ends by itself.

    A process that hangs, or that is stopped and goes on later, finds its lease ended before it writes a
    request to WeChat or a message to the broker. Without `seconds` it never ends: no other process shares
    the accounts. Any thread may call the methods. `boot_time` is the clock, in seconds.
    """

    def __init__(self, seconds: float | None = None, boot_time: Callable[[], float] = boot_time) -> None:
        self._seconds = seconds
        self._boot_time = boot_time
        self._ends_at = boot_time() if seconds is not None else None
        self._is_revoked = False

    @property
    def is_valid(self) -> bool:
        """Whether this process may act now."""
        return self._ends_at is None or (not self._is_revoked and self._boot_time() < self._ends_at)

    async def wait(self) -> None:
        """Waits until the process may act; for ever where it may not any more."""
        while not self.is_valid:  # noqa: ASYNC110 - a lease ends by time, and no event is set then
            await asyncio.sleep(_LEASE_POLL_SECONDS)

    def renew(self, proven_at: float) -> None:
        """Lets the lease end `seconds` after `proven_at`: then the process certainly had its accounts."""
        if self._seconds is not None:
            self._ends_at = proven_at + self._seconds

    def revoke(self) -> None:
        """Ends the lease for good, if it can end."""
        self._is_revoked = self._seconds is not None


# The lease of a process that shares its accounts with no other one.
ENDLESS_LEASE = Lease()


@frozen
class Clock:
    """The clocks of a backend, in seconds, and chance, as one value that tests replace."""

    #: Seconds since 1970. This clock may jump.
    wall: Callable[[], float] = time.time
    #: This clock never jumps. It may stop while the machine sleeps.
    monotonic: Callable[[], float] = time.monotonic
    #: This clock never jumps, and on Linux goes on while the machine sleeps.
    boot_time: Callable[[], float] = boot_time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    #: Returns a number in [0, 1), which spreads the lengths of pauses.
    chance: Callable[[], float] = random.random
    #: A backend sends no request while its lease is not valid.
    lease: Lease = ENDLESS_LEASE

    @property
    def now(self) -> int:
        """Milliseconds since 1970."""
        return int(self.wall() * 1000)


def rfc3339(ms: int) -> str:
    """`2026-11-25T08:00:00.000Z`: UTC with milliseconds; a time outside of the calendar becomes its limit."""
    seconds, rest = divmod(min(max(ms, 0), LAST_MS), 1000)
    return f"{_format_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=16)  # in a burst most messages are of the same second
def _format_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


@lru_cache(maxsize=4)  # the answers of a burst, and their cookies, are of the same few seconds
def parse_http_date(header: str) -> float | None:
    """Returns the seconds since 1970 of a date in a header, or None where it is unreadable."""
    try:
        return parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError, IndexError):
        return None


@frozen(kw_only=False)
class Backoff:
    """Delays in seconds that double from `first` to `cap`.

    With the defaults a single failure costs at most half a second, and two in a row less than two seconds.
    A delay lies in the upper half of its step, so that clients that have lost the same server do not all
    come back at the same moment, and none at once.
    """

    first: float = 0.5
    cap: float = 60.0
    failures: int = 0

    def after_failure(self) -> Backoff:
        return replace(self, failures=self.failures + 1)

    def reset(self) -> Backoff:
        return replace(self, failures=0)

    def wait(self, chance: float) -> float:
        """Returns the seconds until the next attempt; 0 without a failure. `chance` lies in [0, 1)."""
        if not self.failures:
            return 0.0
        step = min(self.cap, self.first * 2.0 ** min(self.failures - 1, MAX_DOUBLINGS))
        return step * (0.5 + chance / 2)
