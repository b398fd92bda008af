"""The lines of the log about calls: a flood neither fills the log nor hides what else happens.

    accepted     30 lines a minute for each sender
    refused      the first one with some code has its line at once

What has no line of its own is counted, and one line a minute says how many, for each sender and code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)

# The code of a call that became a command. Any other code says why it was refused.
ACCEPTED = "accepted"

# Accepted calls of one sender that have a line each in a period.
MAX_ACCEPTED_LINES = 30
LOG_PERIOD_SECONDS = 60.0


@dataclass(slots=True)
class _Period:
    """What one sender and code have in the running minute."""

    timer: asyncio.TimerHandle
    #: How many calls more get a line of their own.
    lines_left: int
    left_out_count: int = 0


class CallLog:
    """`write` each call, in a running event loop; `close` it before the loop ends."""

    def __init__(self) -> None:
        #: By sender (empty: a wrong token or none) and code. Nothing is kept of those that are quiet.
        self._periods: dict[tuple[str, str], _Period] = {}

    def write(self, sender: str, code: str, facts: Mapping[str, object]) -> None:
        period = self._periods.get((sender, code))
        if period is None:
            max_lines = MAX_ACCEPTED_LINES if code == ACCEPTED else 1
            period = self._begin_period(sender, code, max_lines)
        if not period.lines_left:
            period.left_out_count += 1
            return
        period.lines_left -= 1
        if code == ACCEPTED:
            log.info("command from a sender", sender=sender, **facts)
        else:
            log.warning("call of a sender refused", sender=sender, code=code, **facts)

    def close(self) -> None:
        """Writes the counts of the running minute."""
        for (sender, code), period in self._periods.items():
            period.timer.cancel()
            _write_count(sender, code, period.left_out_count)
        self._periods.clear()

    def _begin_period(self, sender: str, code: str, max_lines: int) -> _Period:
        timer = asyncio.get_running_loop().call_later(LOG_PERIOD_SECONDS, self._end_period, sender, code)
        period = _Period(timer, max_lines)
        self._periods[sender, code] = period
        return period

    def _end_period(self, sender: str, code: str) -> None:
        period = self._periods.pop((sender, code))
        _write_count(sender, code, period.left_out_count)
        if period.left_out_count and code != ACCEPTED:
            self._begin_period(sender, code, 0)  # as long as the flood lasts, only its count is written


def _write_count(sender: str, code: str, count: int) -> None:
    if not count:
        return
    if code == ACCEPTED:
        log.info("more commands from a sender; their lines are left out", sender=sender, count=count)
    else:
        log.warning("more calls of a sender refused", sender=sender, code=code, count=count)
