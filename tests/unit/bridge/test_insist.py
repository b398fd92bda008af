"""A store that fails delays, and loses nothing."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from tests.support.hurry import hurry
from wx2mqtt.bridge.insist import insist
from wx2mqtt.errors import StoreError, StoreFull


def failing(times: int, error: Exception, tries: list[float]):
    async def work() -> str:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) <= times:
            raise error
        return "done"

    return work


def test_what_the_store_takes_at_once_is_done_once():
    tries: list[float] = []
    assert hurry(insist(failing(0, StoreFull(), tries))) == "done"
    assert tries == [0.0]


def test_what_it_does_not_take_is_tried_ever_more_rarely_and_at_least_twice_a_minute():
    tries: list[float] = []
    assert hurry(insist(failing(30, StoreFull(), tries))) == "done"
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert len(pauses) == 30
    assert 0.1 <= pauses[0] <= 0.2
    assert all(15 <= pause <= 30 for pause in pauses[10:])


def test_any_other_error_is_not_the_stores():
    tries: list[float] = []
    with pytest.raises(KeyError):
        hurry(insist(failing(1, KeyError("x"), tries)))
    assert len(tries) == 1


def test_whoever_waits_for_the_store_can_be_stopped():
    async def story() -> None:
        task = asyncio.create_task(insist(failing(10**6, StoreError(), [])))
        await asyncio.sleep(1000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    hurry(story())
