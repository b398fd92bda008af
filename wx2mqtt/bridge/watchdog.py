"""Runs the tasks of an account, and notices a loop that makes no progress.

    ctx.heartbeat("receive", 120)  ->  no further heartbeat for 120 s  ->  the account is started again

A task raises its errors by itself, but a loop that hangs says nothing. So each loop has a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from wx2mqtt.aio import cancel_and_wait
from wx2mqtt.clock import loop_time

STALL_CHECK_INTERVAL_SECONDS = 5.0

# A check that comes later than this is one of a process that was stopped (SIGSTOP, suspend), and goes on now.
MAX_STALL_CHECK_SECONDS = 10.0


class Watchdog:
    """Notices a loop of the process that makes no progress, by its deadline.

    The name of a loop is `<loop>:<account>`; `clock` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._deadlines: dict[str, Callable[[], float]] = {}

    def heartbeat(self, name: str, limit: float) -> None:
        """Records that a loop has made progress, and must again within `limit` seconds."""
        deadline = self._clock() + limit
        self._deadlines[name] = lambda: deadline

    def watch(self, name: str, progress_deadline: Callable[[], float]) -> None:
        """Watches a loop that computes its deadline itself, on the same clock."""
        self._deadlines[name] = progress_deadline

    def idle(self, name: str) -> None:
        """Records that a loop waits for an event and has no deadline."""
        self._deadlines.pop(name, None)

    def remove(self, account: str) -> None:
        """Removes all loops of an account."""
        for name in [name for name in self._deadlines if name.endswith(f":{account}")]:
            del self._deadlines[name]

    def overdue(self, account: str = "") -> tuple[str, ...]:
        """Returns the loops past their deadline, of one account or of all."""
        now = self._clock()
        ending = f":{account}" if account else ""
        return tuple(
            name for name, deadline in self._deadlines.items() if name.endswith(ending) and deadline() < now
        )


class TasksStalled(Exception):
    """Loops of the account are past their deadline; the message has their names."""


class AccountTasks:
    """Runs the tasks of one account: they end together, and a loop without progress is noticed."""

    def __init__(self, watchdog: Watchdog, account: str) -> None:
        self._watchdog = watchdog
        self._account = account
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Starts a task. It is no fault when a task returns or is cancelled."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task

    async def wait_for_fault(self) -> BaseException:
        """Waits until a task raises or a loop stalls; returns the exception, without the groups around it."""
        while True:
            looked_at = loop_time()
            done, _ = await asyncio.wait(
                self._tasks, timeout=STALL_CHECK_INTERVAL_SECONDS, return_when=asyncio.FIRST_EXCEPTION
            )
            for task in done:
                error = None if task.cancelled() else task.exception()
                while isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]
                if error is not None:
                    return error
            self._tasks -= done
            if loop_time() - looked_at > MAX_STALL_CHECK_SECONDS:
                continue  # the whole process stood still: its loops could not move
            # Without the store's: all accounts share it, so a restart would not help.
            overdue = [
                loop for loop in self._watchdog.overdue(self._account) if not loop.startswith("store:")
            ]
            if overdue:
                return TasksStalled(", ".join(overdue))

    async def cancel_all(self) -> None:
        """Cancels all tasks and waits until they have ended. Only the first fault is reported."""
        await cancel_and_wait(self._tasks)
