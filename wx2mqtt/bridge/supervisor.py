"""The loops of one account, side by side: a fault of ours in one is told, and they end together.

Whether each loop has moved within its own deadline: what watchdog and health go by.

A loop is named `<loop>:<account>`. Pure; the clock is an argument.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

STALL_CHECK_INTERVAL_SECONDS = 5.0  # seconds between two looks at loops that do not move


class TasksStalled(Exception):
    """Loops do not move any more."""


class TaskSupervisor:
    """The tasks that run the components of an account, and the watchdog that knows its loops."""

    def __init__(self, watchdog: Watchdog, account: str) -> None:
        self._watchdog = watchdog
        self._account = account
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run it beside the others. One that is cancelled, or that returns, is no fault."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task

    async def wait_for_fault(self) -> BaseException:
        """Wait for the first fault; what was raised, out of all groups, or `TasksStalled`."""
        while True:
            done, _ = await asyncio.wait(
                self._tasks, timeout=STALL_CHECK_INTERVAL_SECONDS, return_when=asyncio.FIRST_EXCEPTION
            )
            for task in done:
                if not task.cancelled() and (error := task.exception()) is not None:
                    return _alone(error)
            self._tasks -= done
            if stuck := self._overdue():
                return TasksStalled(", ".join(stuck))

    def _overdue(self) -> tuple[str, ...]:
        """Loops that a restart of the account may move; the store is shared by all accounts."""
        overdue = self._watchdog.overdue(self._account)
        return tuple(loop for loop in overdue if not loop.startswith("store:"))

    async def cancel_all(self) -> None:
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


class Watchdog:
    """The loops of one process, by name. `clock` gives seconds that only rise."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._deadlines: dict[str, float] = {}
        self._deadline_sources: dict[str, Callable[[], float]] = {}

    def heartbeat(self, name: str, limit: float) -> None:
        """The loop has moved, and will again within `limit` seconds."""
        self._deadlines[name] = self._clock() + limit

    def watch(self, name: str, progress_deadline: Callable[[], float]) -> None:
        """A loop that knows itself by when, on the same clock, it will have moved."""
        self._deadline_sources[name] = progress_deadline

    def idle(self, name: str) -> None:
        """The loop has nothing to do until somebody asks; it owes no beat."""
        self._deadlines.pop(name, None)

    def remove(self, account: str) -> None:
        """None of its loops runs any more."""
        for loops in (self._deadlines, self._deadline_sources):
            for name in [name for name in loops if _is_of(name, account)]:
                del loops[name]

    def overdue(self, account: str = "") -> tuple[str, ...]:
        """Loops that are past their deadline: those of one account, or all."""
        now = self._clock()
        watched = {name: moves_by() for name, moves_by in self._deadline_sources.items()}
        late = (name for name, deadline in {**self._deadlines, **watched}.items() if deadline < now)
        return tuple(name for name in late if not account or _is_of(name, account))


def _is_of(name: str, account: str) -> bool:
    return name.rpartition(":")[2] == account
