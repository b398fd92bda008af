"""Work that blocks, done beside the event loop in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")


async def apart(work: Callable[[], T], undo: Callable[[], None] = lambda: None) -> T:
    """Run blocking work in a daemon thread; `undo` what it did if nobody waits for it any more.

    Not an executor: the program would wait at its end for a name server, or a disk, that does not answer.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        if done.cancelled():
            undo()
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
            undo()

    threading.Thread(target=run, daemon=True).start()
    return await done
