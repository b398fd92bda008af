"""The loops of one account: the first fault is told, none of them outlives the others."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.hurry import hurry
from wx2mqtt.bridge.crew import Crew, Stuck


async def for_ever():
    await asyncio.Event().wait()


async def at_fault(error):
    raise error


async def in_groups(error):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(at_fault(error))
        tasks.create_task(for_ever())


def crew(stuck=tuple):
    return Crew(stuck)


async def test_the_fault_of_one_is_told_out_of_all_groups_and_the_others_still_run():
    fault, here = ValueError("ours"), crew()
    other = here.begin(for_ever())
    here.begin(in_groups(fault))
    assert await here.fault() is fault
    assert not other.done()
    await here.end()
    assert other.cancelled()


async def test_one_that_returns_or_is_cancelled_is_no_fault():
    here = crew()
    here.begin(asyncio.sleep(0))
    here.begin(for_ever()).cancel()
    here.begin(for_ever())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await here.fault()
    await here.end()


def test_loops_that_do_not_move_are_a_fault():
    async def story():
        stuck: tuple[str, ...] = ()
        here = crew(lambda: stuck)
        here.begin(for_ever())
        asking = asyncio.create_task(here.fault())
        await asyncio.sleep(60)
        assert not asking.done()
        stuck = ("receive:home",)
        fault = await asking
        assert isinstance(fault, Stuck)
        assert str(fault) == "receive:home"
        await here.end()

    hurry(story())


async def test_the_end_waits_for_who_takes_its_time_and_hides_no_cancelling_of_its_own():
    ended = False

    async def slow():
        nonlocal ended
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0.01)
            ended = True

    here = crew()
    here.begin(slow())
    await asyncio.sleep(0)
    await here.end()
    assert ended
    await here.end()
