"""Notifications reach everybody who waits; a store that fails delays work and loses none."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise

import pytest
from structlog.contextvars import bound_contextvars, get_contextvars

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.pauseless_loop import run_without_pauses
from wx2mqtt import aio
from wx2mqtt.aio import (
    ChangeNotifier,
    LogInterval,
    Signal,
    notify,
    raised_at,
    retry_until_stored,
    run_in_daemon_thread,
)
from wx2mqtt.errors import StoreError, StoreFull


async def test_a_notification_wakes_everybody_who_waits():
    notifier = ChangeNotifier()
    waiters = [asyncio.create_task(notifier.wait(0)) for _ in range(3)]
    await asyncio.sleep(0)
    notifier.notify()
    assert await asyncio.gather(*waiters) == [1, 1, 1]


async def test_an_earlier_notification_is_not_missed():
    notifier = ChangeNotifier()
    notifier.notify()
    notifier.notify()
    assert await notifier.wait(0) == 2


async def test_whoever_has_seen_a_notification_waits_for_the_next():
    notifier = ChangeNotifier()
    notifier.notify()
    waiting = asyncio.create_task(notifier.wait(notifier.count))
    await asyncio.sleep(0)
    assert not waiting.done()
    notifier.notify()
    assert await waiting == 2


def failing(times: int, error: Exception, attempts: list[float]):
    async def work() -> str:
        attempts.append(asyncio.get_running_loop().time())
        if len(attempts) <= times:
            raise error
        return "done"

    return work


def test_what_the_store_takes_at_once_is_done_once():
    attempts: list[float] = []
    assert run_without_pauses(retry_until_stored(failing(0, StoreFull(), attempts))) == "done"
    assert attempts == [0.0]


def test_what_the_store_does_not_take_is_tried_ever_more_rarely_and_at_least_twice_a_minute():
    attempts: list[float] = []
    assert run_without_pauses(retry_until_stored(failing(30, StoreFull(), attempts))) == "done"
    pauses = [later - earlier for earlier, later in pairwise(attempts)]
    assert len(pauses) == 30
    assert 0.1 <= pauses[0] <= 0.2
    assert all(15 <= pause <= 30 for pause in pauses[10:])


def test_an_error_that_is_not_the_stores_is_raised_at_once():
    attempts: list[float] = []
    with pytest.raises(KeyError):
        run_without_pauses(retry_until_stored(failing(1, KeyError("x"), attempts)))
    assert len(attempts) == 1


def test_whoever_waits_for_the_store_can_be_stopped():
    async def scenario() -> None:
        task = asyncio.create_task(retry_until_stored(failing(10**6, StoreError(), [])))
        await asyncio.sleep(1000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_without_pauses(scenario())


def test_a_signal_calls_its_receivers_at_once_in_the_order_in_which_they_were_connected():
    calls: list[str] = []
    signal: Signal[[str]] = Signal()
    signal.connect(lambda word: calls.append(f"first {word}"), lambda word: calls.append(f"second {word}"))
    signal.connect(lambda word: calls.append(f"third {word}"))
    signal.emit("a")
    assert calls == ["first a", "second a", "third a"]


def test_what_a_receiver_raises_reaches_the_emitter_and_ends_the_calls():
    calls: list[str] = []
    signal: Signal[[]] = Signal()

    def fails() -> None:
        raise ValueError("ours")

    signal.connect(lambda: calls.append("first"), fails, lambda: calls.append("never"))
    with pytest.raises(ValueError, match="ours"):
        signal.emit()
    assert calls == ["first"]


def test_a_signal_without_receivers_is_emitted_to_nobody():
    Signal[[int]]().emit(1)


def test_an_exception_of_a_listener_is_logged_with_its_origin_and_without_its_message(capsys):
    def raises():
        raise RuntimeError("geheim")

    notify(raises)
    output = capsys.readouterr().out
    assert "RuntimeError" in output
    assert "test_aio.py" in output
    assert "geheim" not in output


def test_the_origin_of_an_exception_is_file_and_line():
    try:
        raise KeyError("x")
    except KeyError as error:
        assert raised_at(error).startswith(__file__)


def test_a_line_that_comes_again_and_again_is_written_at_first_and_then_now_and_then(monkeypatch):
    now = 100.0
    monkeypatch.setattr(aio, "boot_time", lambda: now)
    interval = LogInterval(60.0)
    assert [interval.is_due() for _ in range(3)] == [True, False, False]
    now += 59.0
    assert not interval.is_due()
    now += 1.0
    assert [interval.is_due() for _ in range(3)] == [True, False, False]


async def test_a_thread_has_what_its_caller_has_bound_for_the_log():
    with bound_contextvars(account="home"):
        assert await run_in_daemon_thread(get_contextvars) == {"account": "home"}
    assert await run_in_daemon_thread(get_contextvars) == {}


async def test_what_a_thread_returns_to_nobody_is_undone():
    goes_on, undone = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    results: list[str] = []

    def work() -> str:
        goes_on.wait(MAX_WAIT_SECONDS)
        return "opened"

    def undo(result: str) -> None:
        results.append(result)
        undone.set()

    task = asyncio.create_task(run_in_daemon_thread(work, undo))
    loop.call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    goes_on.set()
    await asyncio.wait_for(undone.wait(), MAX_WAIT_SECONDS)
    assert results == ["opened"]
