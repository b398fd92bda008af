"""The loops of one account: the first fault is told, none of them outlives the others.

Which loops have moved in time.
"""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.support.pauseless_loop import run_without_pauses
from wx2mqtt.bridge.account import AccountTasks, TasksStalled
from wx2mqtt.bridge.context import Watchdog


async def for_ever():
    await asyncio.Event().wait()


async def at_fault(error):
    raise error


async def in_groups(error):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(at_fault(error))
        tasks.create_task(for_ever())


def crew():
    return AccountTasks(Watchdog(asyncio.get_running_loop().time), "home")


async def test_the_fault_of_one_is_returned_out_of_all_groups_and_the_others_still_run():
    fault, here = ValueError("ours"), crew()
    other = here.start(for_ever())
    here.start(in_groups(fault))
    assert await here.wait_for_fault() is fault
    assert not other.done()
    await here.cancel_all()
    assert other.cancelled()


async def test_one_that_returns_or_is_cancelled_is_no_fault():
    here = crew()
    here.start(asyncio.sleep(0))
    here.start(for_ever()).cancel()
    here.start(for_ever())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await here.wait_for_fault()
    await here.cancel_all()


def test_loops_that_do_not_move_are_a_fault():
    async def story():
        watchdog = Watchdog(asyncio.get_running_loop().time)
        here = AccountTasks(watchdog, "home")
        watchdog.heartbeat("store:home", 1)  # which another life would not move either
        watchdog.heartbeat("receive:other", 1)
        watchdog.heartbeat("receive:home", 90)
        here.start(for_ever())
        asking = asyncio.create_task(here.wait_for_fault())
        await asyncio.sleep(60)
        assert not asking.done()
        fault = await asking
        assert isinstance(fault, TasksStalled)
        assert str(fault) == "receive:home"
        await here.cancel_all()

    run_without_pauses(story())


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
    here.start(slow())
    await asyncio.sleep(0)
    await here.cancel_all()
    assert ended
    await here.cancel_all()


def test_a_loop_is_stuck_when_its_own_deadline_has_passed_and_well_when_it_moves_again():
    now = 0.0
    pulse = Watchdog(lambda: now)
    pulse.heartbeat("receive", 10)
    pulse.heartbeat("store", 60)
    now = 10.0
    assert pulse.overdue() == ()
    now = 10.1
    assert pulse.overdue() == ("receive",)
    pulse.heartbeat("receive", 10)
    assert pulse.overdue() == ()
    now = 100.0
    assert pulse.overdue() == ("receive", "store")


def test_who_rests_owes_nothing():
    now = 0.0
    pulse = Watchdog(lambda: now)
    pulse.heartbeat("receive", 10)
    pulse.idle("receive")
    pulse.idle("receive")
    now = 1000.0
    assert pulse.overdue() == ()


def test_a_loop_that_knows_itself_is_asked():
    now, due = 0.0, 5.0
    pulse = Watchdog(lambda: now)
    pulse.watch("broker", lambda: due)
    now = 5.1
    assert pulse.overdue() == ("broker",)
    due = 20.0
    assert pulse.overdue() == ()


def test_the_loops_of_one_account_are_asked_for_and_forgotten_alone():
    now = 0.0
    pulse = Watchdog(lambda: now)
    pulse.heartbeat("receive:home", 10)
    pulse.heartbeat("receive:home_2", 10)
    pulse.watch("broker:home", lambda: 5.0)
    now = 100.0
    assert pulse.overdue("home") == ("receive:home", "broker:home")
    assert pulse.overdue("home_2") == ("receive:home_2",)
    pulse.remove("home")
    assert pulse.overdue("home") == ()
    assert pulse.overdue() == ("receive:home_2",)


def test_a_look_at_one_account_looks_at_no_other():
    """With many accounts each looks every few seconds."""
    watchdog = Watchdog(lambda: 10.0)
    asked: list[str] = []

    def deadline(name: str) -> float:
        asked.append(name)
        return 5.0

    for name in ("home", "work"):
        watchdog.watch(f"broker:{name}", partial(deadline, name))
    assert watchdog.overdue("home") == ("broker:home",)
    assert asked == ["home"]
    assert watchdog.overdue() == ("broker:home", "broker:work")


async def test_a_process_that_was_stopped_lets_its_loops_move_before_it_calls_them_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter((0.0, 20.0, 20.0, 25.0))  # before and after each check
    monkeypatch.setattr("wx2mqtt.bridge.account.STALL_CHECK_INTERVAL_SECONDS", 0)
    monkeypatch.setattr("wx2mqtt.bridge.account.loop_time", lambda: next(times))
    watchdog = Watchdog(asyncio.get_running_loop().time)
    here = AccountTasks(watchdog, "home")
    watchdog.heartbeat("receive:home", -1)
    here.start(for_ever())
    assert isinstance(await here.wait_for_fault(), TasksStalled)
    assert next(times, None) is None, "the first check did not count"
    await here.cancel_all()
