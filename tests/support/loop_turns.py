"""Counts the turns of the event loop during some work, to check that others can run."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import pytest

from wx2mqtt import aio

T = TypeVar("T")


@contextmanager
def pauses_at_each_part() -> Iterator[None]:
    """Lets work in small parts pause after each part, however short it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aio, "MAX_UNBROKEN_SECONDS", 0.0)
        yield


@asynccontextmanager
async def counted_turns() -> AsyncIterator[list[int]]:
    """Counts the turns of the loop inside the block, in the only element of the list."""
    turns = [0]

    async def count() -> None:
        while True:
            await asyncio.sleep(0)
            turns[0] += 1

    counter = asyncio.create_task(count())
    try:
        yield turns
    finally:
        counter.cancel()


async def turns_during(work: Awaitable[T]) -> tuple[T, int]:
    """Returns what some work returns, and how often others could run meanwhile."""
    with pauses_at_each_part():
        async with counted_turns() as turns:
            return await work, turns[0]


async def longest_turn(until: asyncio.Task[object]) -> float:
    """Returns the longest CPU time of a turn of the event loop until a task is done, in seconds.

    The garbage collector is off meanwhile: its time depends on the size of the test process.
    """
    longest = 0.0
    gc.disable()
    try:
        while not until.done():
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)
    finally:
        gc.enable()
    return longest
