"""Work that is waited for only while the client is there."""

from __future__ import annotations

import asyncio

import pytest

from wx2mqtt.web.responses import WaitInterrupted, disconnected, run_unless


async def test_the_work_is_done():
    assert await run_unless(asyncio.sleep(0, "done"), asyncio.Event().wait()) == "done"


async def test_an_error_of_the_work_is_raised():
    async def fail():
        raise LookupError

    with pytest.raises(LookupError):
        await run_unless(fail(), asyncio.Event().wait())


async def test_when_an_end_comes_first_the_work_is_cancelled_before_it_goes_on():
    ended = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(WaitInterrupted):
        await run_unless(work(), asyncio.Event().wait(), asyncio.sleep(0))
    assert ended == [True]
    assert len(asyncio.all_tasks()) == 1


async def test_what_is_cancelled_leaves_nothing_running():
    task = asyncio.create_task(run_unless(asyncio.Event().wait(), asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asyncio.all_tasks()) == 1


async def test_a_client_has_left_when_it_says_so_and_not_before():
    messages = [{"type": "http.request"}, {"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive():
        return messages.pop(0)

    await disconnected(receive)
    assert messages == []
