"""The tasks of one account: the first fault is returned, and no task outlives the others."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.pauseless_loop import run_without_pauses
from wx2mqtt.bridge.account import AccountTasks, TasksStalled
from wx2mqtt.bridge.context import Watchdog


async def run_for_ever():
    await asyncio.Event().wait()


async def fail(error):
    raise error


async def fail_in_a_group(error):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail(error))
        tasks.create_task(run_for_ever())


def account_tasks():
    return AccountTasks(Watchdog(asyncio.get_running_loop().time), "home")


async def test_the_fault_of_one_is_returned_out_of_all_groups_and_the_others_still_run():
    fault, tasks = ValueError("ours"), account_tasks()
    other = tasks.start(run_for_ever())
    tasks.start(fail_in_a_group(fault))
    assert await tasks.wait_for_fault() is fault
    assert not other.done()
    await tasks.cancel_all()
    assert other.cancelled()


async def test_one_that_returns_or_is_cancelled_is_no_fault():
    tasks = account_tasks()
    tasks.start(asyncio.sleep(0))
    tasks.start(run_for_ever()).cancel()
    tasks.start(run_for_ever())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await tasks.wait_for_fault()
    await tasks.cancel_all()


def test_loops_that_do_not_move_are_a_fault():
    async def scenario():
        watchdog = Watchdog(asyncio.get_running_loop().time)
        tasks = AccountTasks(watchdog, "home")
        watchdog.heartbeat("store:home", 1)  # which another life would not move either
        watchdog.heartbeat("receive:other", 1)
        watchdog.heartbeat("receive:home", 90)
        tasks.start(run_for_ever())
        asking = asyncio.create_task(tasks.wait_for_fault())
        await asyncio.sleep(60)
        assert not asking.done()
        fault = await asking
        assert isinstance(fault, TasksStalled)
        assert str(fault) == "receive:home"
        await tasks.cancel_all()

    run_without_pauses(scenario())


async def test_the_end_waits_for_who_takes_its_time_and_hides_no_cancelling_of_its_own():
    ended = False

    async def slow():
        nonlocal ended
        try:
            await run_for_ever()
        finally:
            await asyncio.sleep(0.01)
            ended = True

    tasks = account_tasks()
    tasks.start(slow())
    await asyncio.sleep(0)
    await tasks.cancel_all()
    assert ended
    await tasks.cancel_all()


async def test_a_process_that_was_stopped_lets_its_loops_move_before_it_calls_them_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter((0.0, 20.0, 20.0, 25.0))  # before and after each check
    monkeypatch.setattr("wx2mqtt.bridge.account.STALL_CHECK_INTERVAL_SECONDS", 0)
    monkeypatch.setattr("wx2mqtt.bridge.account.loop_time", lambda: next(times))
    watchdog = Watchdog(asyncio.get_running_loop().time)
    tasks = AccountTasks(watchdog, "home")
    watchdog.heartbeat("receive:home", -1)
    tasks.start(run_for_ever())
    assert isinstance(await tasks.wait_for_fault(), TasksStalled)
    assert next(times, None) is None, "the first check did not count"
    await tasks.cancel_all()
