"""The loops of one account, side by side: a fault of ours in one is told, and they end together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

LOOK = 5.0  # seconds between two looks at loops that do not move


class Stuck(Exception):
    """Loops do not move any more."""


class Crew:
    """The tasks that run the rooms of an account. `stuck` names loops that do not move."""

    def __init__(self, stuck: Callable[[], tuple[str, ...]]) -> None:
        self._stuck = stuck
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run it beside the others. One that is cancelled, or that returns, is no fault."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task

    async def fault(self) -> BaseException:
        """Wait for the first fault; what was raised, out of all groups, or `Stuck`."""
        while True:
            done, _ = await asyncio.wait(self._tasks, timeout=LOOK, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                if not task.cancelled() and (error := task.exception()) is not None:
                    return _alone(error)
            self._tasks -= done
            if stuck := self._stuck():
                return Stuck(", ".join(stuck))

    async def end(self) -> None:
        """Cancel all and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            done, _ = await asyncio.wait(self._tasks)
            for task in done:
                if not task.cancelled():
                    task.exception()  # known by now, or overtaken by the one that is


def _alone(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
