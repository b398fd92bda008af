"""Additions to asyncio: blocking work in a daemon thread, waits, signals, calls of listeners, and retries."""

from __future__ import annotations

import asyncio
import random
import threading
import traceback
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from contextvars import copy_context
from typing import Generic, ParamSpec, TypeVar

import structlog

from wx2mqtt.clock import Backoff, boot_time
from wx2mqtt.errors import StoreError

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# Work on many small parts lets other tasks run after this time (`yield_after_long_work`).
MAX_UNBROKEN_SECONDS = 0.05

# To parse or to hash so many bytes takes some 10 ms on a slow machine. Work on more runs in a thread.
MAX_BYTES_ON_LOOP = 1 << 20

STORE_BACKOFF = Backoff(first=0.2, cap=30)


class LogInterval:
    """Says when a line of the log that repeats itself is due: the first time, then once in `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due_at = 0.0

    def is_due(self) -> bool:
        """Returns whether the line is to be written now."""
        now = boot_time()
        if now < self._due_at:
            return False
        self._due_at = now + self._seconds
        return True


async def run_in_daemon_thread(work: Callable[[], T], undo: Callable[[T], None] = lambda _result: None) -> T:
    """Runs blocking work in a daemon thread and returns its result or raises its error.

    On cancellation the thread goes on; `undo` then gets the result, which nobody takes any more. An executor
    would not do: at its end the process would wait for a name server or a disk that does not answer.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def succeed(result: T) -> None:
        if future.cancelled():
            undo(result)
        else:
            future.set_result(result)

    def fail(error: BaseException) -> None:
        if not future.cancelled():
            future.set_exception(error)

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            with suppress(RuntimeError):  # the loop is closed: the process ends
                loop.call_soon_threadsafe(fail, error)
            return
        try:
            loop.call_soon_threadsafe(succeed, result)
        except RuntimeError:
            undo(result)

    # A log line of the thread names the same account as one of the caller.
    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()
    return await future


async def run_by_size(size: int, work: Callable[[], T]) -> T:
    """Returns the result of `work` on `size` bytes, or raises its error.

    On more than `MAX_BYTES_ON_LOOP` it runs in a thread, so that the loop goes on. So it must use nothing
    that the loop changes.
    """
    return work() if size <= MAX_BYTES_ON_LOOP else await asyncio.to_thread(work)


async def cancel_and_wait(tasks: Collection[asyncio.Task[T]]) -> None:
    """Cancels tasks and waits until they have ended. Their errors are not raised and not logged."""
    for task in tasks:
        task.cancel()
    if tasks:
        # `await task` would raise the same error for our own cancellation and for that of the task.
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # else asyncio logs that the error was never retrieved


async def wait_at_most(event: asyncio.Event, seconds: float | None) -> None:
    """Waits until an event is set, for at most `seconds`; with None for as long as it takes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class ChangeNotifier:
    """Notifies that something may have changed. `count` is the number of notifications so far."""

    def __init__(self) -> None:
        self.count = 0
        self._notified = asyncio.Event()

    def notify(self, *_: object) -> None:
        """Wakes all waiters; what a signal is emitted with does not matter. Call it on the event loop."""
        self.count += 1
        self._notified.set()

    async def wait(self, seen_count: int) -> int:
        """Waits until `count` differs from `seen_count`, and returns it."""
        while self.count == seen_count:
            self._notified.clear()
            await self._notified.wait()
        return self.count

    async def wait_until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Waits until a condition holds, which is asked at each notification, and at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not holds():
                    await self.wait(self.count)


class Signal(Generic[P]):
    """Calls its receivers when it is emitted, synchronously and in the order in which they were connected.

    An exception of a receiver propagates to the emitter; the receivers after it are not called.
    """

    def __init__(self) -> None:
        self._receivers: list[Callable[P, object]] = []

    def connect(self, *receivers: Callable[P, object]) -> None:
        """Adds receivers after those already connected."""
        self._receivers += receivers

    def emit(self, *args: P.args, **kwargs: P.kwargs) -> None:
        for receiver in tuple(self._receivers):
            receiver(*args, **kwargs)


def notify(callback: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Calls a listener; an exception that it raises is its own fault and is only logged (mqtt 0.4.2)."""
    try:
        callback(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - see the docstring
        log.error("listener failed", error=type(error).__name__, at=raised_at(error))


def raised_at(error: BaseException) -> str:
    """Returns `file:line` of the origin: neither the message nor the variables, which may hold a text."""
    origin = traceback.extract_tb(error.__traceback__)[-1]
    return f"{origin.filename}:{origin.lineno}"


async def yield_after_long_work(started_at: float, now: Callable[[], float]) -> float:
    """Lets other tasks run if work that began at `started_at` has taken long; returns when it goes on.

    `now` is the clock of the event loop: to ask for the running loop again is a system call in Python 3.11.
    """
    if now() - started_at < MAX_UNBROKEN_SECONDS:
        return started_at
    await asyncio.sleep(0)
    return now()


async def retry_until_stored(
    work: Callable[[], Awaitable[T]], on_failure: Callable[[StoreError], None] = lambda _error: None
) -> T:
    """Returns the result of `work`; repeats it with back-off (0.2 to 30 s) while it raises `StoreError`.

    A full disk delays so what must be stored, and nothing is lost. `on_failure` is called at each failure.
    """
    backoff = STORE_BACKOFF
    while True:
        try:
            return await work()
        except StoreError as error:
            backoff = backoff.after_failure()
            log.error("store does not take it yet", problem=str(error))
            on_failure(error)
            await asyncio.sleep(backoff.wait(random.random()))


async def wait_until_ended(task: asyncio.Task[None]) -> None:
    """Waits for a task that may be cancelled; raises its error, or that this task is cancelled itself."""
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
