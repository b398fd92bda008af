"""An event loop whose clock jumps: what waits for minutes is over at once, in the right order.

Only for tests in which nothing outside of the loop is waited for (no thread, no socket).
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _NoWait(selectors.SelectSelector):
    """Never waits; hands the time that it was to wait to `passed`."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for something that nobody will do"
        self.passed += max(0.0, timeout)
        return super().select(0)


class HurryLoop(asyncio.SelectorEventLoop):
    """`time()` is the sum of all that was waited for."""

    def __init__(self) -> None:
        self._clock = _NoWait()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.passed

    def skip(self, seconds: float) -> None:
        """Let time pass at once, as work does that gives nobody else a turn."""
        self._clock.passed += seconds


def hurry(story: Coroutine[Any, Any, T]) -> T:
    """Run a story to its end in no time."""
    with asyncio.Runner(loop_factory=HurryLoop) as runner:
        return runner.run(story)
