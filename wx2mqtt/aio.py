"""Work that blocks, done beside the event loop in a thread that nobody has to wait for.

A bell for whoever looks on: it says that something may be different now, never what.

Doing what must reach the disk until the store takes it: a full disk delays, it loses nothing.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, ParamSpec, TypeVar

import structlog

from wx2mqtt.backoff import Backoff
from wx2mqtt.errors import StoreError

P = ParamSpec("P")
T = TypeVar("T")


async def run_in_daemon_thread(work: Callable[[], T], on_abandoned: Callable[[], None] = lambda: None) -> T:
    """Run blocking work in a daemon thread; `undo` what it did if nobody waits for it any more.

    Not an executor: the program would wait at its end for a name server, or a disk, that does not answer.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        if done.cancelled():
            on_abandoned()
        else:
            outcome()

    def run() -> None:
        try:
            outcome = partial(done.set_result, work())
        except BaseException as error:  # noqa: BLE001 - it goes to the one who waits
            outcome = partial(done.set_exception, error)
        try:
            loop.call_soon_threadsafe(settle, outcome)
        except RuntimeError:  # the loop is closed: the program is at its end
            on_abandoned()

    threading.Thread(target=run, daemon=True).start()
    return await done


class ChangeNotifier:
    """Rung on the event loop, and cheap where nobody listens. `count` says how often."""

    def __init__(self) -> None:
        self.count = 0
        self._notified = asyncio.Event()

    def notify(self) -> None:
        """Something may be different."""
        self.count += 1
        self._notified.set()

    async def wait(self, seen_count: int) -> int:
        """Until it was rung since `count` was `heard`; the count as of now."""
        while self.count == seen_count:
            self._notified.clear()
            await self._notified.wait()
        return self.count


class Signal(Generic[P]):
    """A notification whose receivers are called at once, in the order in which they were connected.

    An exception of a receiver propagates to the emitter; the receivers after it are not called.
    """

    def __init__(self) -> None:
        self._receivers: list[Callable[P, object]] = []

    def connect(self, *receivers: Callable[P, object]) -> None:
        """Add receivers behind those already connected."""
        self._receivers += receivers

    def connect_plain(self, *receivers: Callable[[], object]) -> None:
        """Add receivers that take no arguments behind those already connected."""

        def without_arguments(receiver: Callable[[], object]) -> Callable[P, object]:
            return lambda *_args, **_kwargs: receiver()

        self._receivers += map(without_arguments, receivers)

    def emit(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call every receiver."""
        for receiver in tuple(self._receivers):
            receiver(*args, **kwargs)


log = structlog.get_logger(__name__)


def ignore_trouble(_trouble: StoreError) -> None:
    """The log says it."""


async def retry_until_stored(
    work: Callable[[], Awaitable[T]], on_failure: Callable[[StoreError], None] = ignore_trouble
) -> T:
    """The result of `work`, tried again with back-off (0.2 to 30 s) for as long as the store fails.

    `told` hears of each failure.
    """
    backoff = Backoff(first=0.2, cap=30)
    while True:
        try:
            return await work()
        except StoreError as trouble:
            backoff = backoff.after_failure()
            log.error("store does not take it yet", problem=str(trouble))
            on_failure(trouble)
            await asyncio.sleep(backoff.wait(random.random()))
