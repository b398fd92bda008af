"""The disk is full in the middle of everything: nothing is acknowledged that is not on it, and all is said."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Iterator
from typing import Any

import pytest

from tests.crash.conftest import MakeCrashHome
from tests.crash.crash_home import CrashHome
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.traffic import USERS, WRITERS, wait_until_delivered
from wx2mqtt.app.control_socket import ask_bridge


@contextlib.contextmanager
def no_room(home: CrashHome) -> Iterator[None]:
    """No file of the bridge may grow, nor be written: what a disk without room comes to."""
    pid, forever = home.process.pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, forever))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (forever, forever))


async def burst(home: CrashHome) -> None:
    for chat in WRITERS:
        await home.traffic.say(chat, 4)
    for publisher in range(3):
        for user in USERS:
            await home.traffic.command(publisher, user)


@pytest.mark.in_folder
async def test_a_disk_that_is_full_for_a_while_delays_and_loses_nothing(make_crash_home: MakeCrashHome):
    async with make_crash_home(1) as home:
        await home.start_bridge()
        await burst(home)
        seen = home.subscriber.count
        with no_room(home):
            await burst(home)
            state = await home.body("wx/login/state", state="interrupted", since=seen)
            assert "cannot be stored" in state["reason"]
            assert (await said(home))["store"]["trouble"].rstrip(".") in state["reason"]
            assert ".;" not in state["reason"]
        await home.body("wx/login/state", state="online", since=seen)
        assert not (await said(home))["problems"]
        await home.stop_and_check()


@pytest.mark.in_folder
async def test_killed_while_the_disk_is_full(make_crash_home: MakeCrashHome):
    """What was not on the disk was not acknowledged: the broker and WeChat hand it over again."""
    async with make_crash_home(2) as home:
        await home.start_bridge()
        await burst(home)
        seen = home.subscriber.count
        with no_room(home):
            await burst(home)
            await home.body("wx/login/state", state="interrupted", since=seen)
            home.process.kill()
        await home.run_to_end()


@pytest.mark.in_folder
async def test_a_disk_that_takes_no_commands_is_told_though_nothing_comes_in(make_crash_home: MakeCrashHome):
    async with make_crash_home(3) as home:
        await home.start_bridge()
        assert not await wait_until_delivered(home.traffic.record, home.subscriber, home.control)
        with no_room(home):
            await home.traffic.command(0, "wife")
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while not (body := await said(home))["problems"]:
                    pass
            assert body["problems"] == ["store_trouble"]
            assert "cannot be used" in body["store"]["trouble"]
        await home.stop_and_check()


async def said(home: CrashHome) -> Any:
    """The health as the control socket tells it."""
    return await ask_bridge(home.bridge.store, "health")
