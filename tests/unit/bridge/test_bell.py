"""A bell that says that something may be different."""

from __future__ import annotations

import asyncio

from wx2mqtt.bridge.bell import Bell


async def test_everybody_who_listens_hears_it():
    bell = Bell()
    waiting = [asyncio.create_task(bell.wait(0)) for _ in range(3)]
    await asyncio.sleep(0)
    bell.ring()
    assert await asyncio.gather(*waiting) == [1, 1, 1]


async def test_who_comes_late_has_not_missed_it():
    bell = Bell()
    bell.ring()
    bell.ring()
    assert await bell.wait(0) == 2


async def test_who_has_heard_it_waits_for_the_next():
    bell = Bell()
    bell.ring()
    waiting = asyncio.create_task(bell.wait(bell.count))
    await asyncio.sleep(0)
    assert not waiting.done()
    bell.ring()
    assert await waiting == 2
