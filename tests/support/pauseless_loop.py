"""Clocks that skip waits, so that minutes pass at once and in the right order.

`PauselessLoop` is for tests in which nothing outside of the loop is waited for (no thread, no socket). `PauseClock`
is for a backend on real connections.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from wx2mqtt.clock import Clock

T = TypeVar("T")

# The longest real time of a pause of a `PauseClock`.
MAX_PAUSE_SECONDS = 0.02


class _NoWait(selectors.SelectSelector):
    """A selector that never waits, and adds the time of each wait to `passed`."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "all tasks wait for something that does not happen"
        self.passed += max(0.0, timeout)
        return super().select(0)


class PauselessLoop(asyncio.SelectorEventLoop):
    """An event loop without waits; `time()` is the sum of all waits."""

    def __init__(self) -> None:
        self._clock = _NoWait()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.passed

    def skip(self, seconds: float) -> None:
        """Lets time pass at once, as work does that blocks the loop."""
        self._clock.passed += seconds


def run_without_pauses(scenario: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on a loop that skips all waits; returns its result."""
    with asyncio.Runner(loop_factory=PauselessLoop) as runner:
        return runner.run(scenario)


class PauseClock:
    """A clock whose pauses between two attempts take hardly any time; `monotonic` counts them in full."""

    def __init__(self) -> None:
        self._skipped_seconds = 0.0
        self.clock = Clock(monotonic=self.monotonic, sleep=self.sleep)

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped_seconds

    async def sleep(self, seconds: float) -> None:
        waited = min(seconds, MAX_PAUSE_SECONDS)
        await asyncio.sleep(waited)
        self._skipped_seconds += seconds - waited
