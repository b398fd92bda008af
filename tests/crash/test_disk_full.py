"""The disk is full for a while: nothing is acknowledged that is not stored, and the state says why."""

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
def full_disk(home: CrashHome) -> Iterator[None]:
    """Lets the bridge write to no file, as on a full disk."""
    pid, forever = home.process.pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, forever))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (forever, forever))


async def make_traffic(home: CrashHome) -> None:
    for chat in WRITERS:
        await home.traffic.say(chat, 4)
    for publisher in range(3):
        for user in USERS:
            await home.traffic.command(publisher, user)


@pytest.mark.in_folder
async def test_a_disk_that_is_full_for_a_while_delays_and_loses_nothing(make_crash_home: MakeCrashHome):
    async with make_crash_home(1) as home:
        await home.start_bridge()
        await make_traffic(home)
        since = home.subscriber.count
        with full_disk(home):
            await make_traffic(home)
            state = await home.body("wx/login/state", state="interrupted", since=since)
            assert "cannot be stored" in state["reason"]
            assert (await health(home))["store"]["trouble"].rstrip(".") in state["reason"]
            assert ".;" not in state["reason"]
        await home.body("wx/login/state", state="online", since=since)
        assert not (await health(home))["problems"]
        await home.stop_and_check()


@pytest.mark.in_folder
async def test_killed_while_the_disk_is_full(make_crash_home: MakeCrashHome):
    """What was not stored was not acknowledged: the broker and WeChat deliver it again."""
    async with make_crash_home(2) as home:
        await home.start_bridge()
        await make_traffic(home)
        since = home.subscriber.count
        with full_disk(home):
            await make_traffic(home)
            await home.body("wx/login/state", state="interrupted", since=since)
            home.process.kill()
        await home.run_to_end()


@pytest.mark.in_folder
async def test_a_disk_that_cannot_store_a_command_is_reported_though_no_message_comes(
    make_crash_home: MakeCrashHome,
):
    async with make_crash_home(3) as home:
        await home.start_bridge()
        assert not await wait_until_delivered(home.traffic.record, home.subscriber, home.control)
        with full_disk(home):
            await home.traffic.command(0, "wife")
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while not (body := await health(home))["problems"]:
                    pass
            assert body["problems"] == ["store_trouble"]
            assert "cannot be used" in body["store"]["trouble"]
        await home.stop_and_check()


async def health(home: CrashHome) -> Any:
    """Returns the health from the control socket."""
    return await ask_bridge(home.bridge.store, "health")
