"""The disk is full in the middle of everything: nothing is acknowledged that is not on it, and all is said."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Iterator
from typing import Any

import pytest

from tests.crash.arena import Arena
from tests.crash.conftest import MakeArena
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.traffic import USERS, WRITERS, all_through
from wx2mqtt.app.control_socket import ask_bridge


@contextlib.contextmanager
def no_room(arena: Arena) -> Iterator[None]:
    """No file of the bridge may grow, nor be written: what a disk without room comes to."""
    pid, forever = arena.lives.pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, forever))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (forever, forever))


async def burst(arena: Arena) -> None:
    for chat in WRITERS:
        await arena.traffic.say(chat, 4)
    for publisher in range(3):
        for user in USERS:
            await arena.traffic.command(publisher, user)


@pytest.mark.in_folder
async def test_a_disk_that_is_full_for_a_while_delays_and_loses_nothing(make_arena: MakeArena):
    async with make_arena(1) as arena:
        await arena.begin()
        await burst(arena)
        seen = arena.subscriber.count
        with no_room(arena):
            await burst(arena)
            state = await arena.body("wx/login/state", state="interrupted", since=seen)
            assert "cannot be stored" in state["reason"]
            assert (await said(arena))["store"]["trouble"].rstrip(".") in state["reason"]
            assert ".;" not in state["reason"]
        await arena.body("wx/login/state", state="online", since=seen)
        assert not (await said(arena))["problems"]
        await arena.ends_well()


@pytest.mark.in_folder
async def test_killed_while_the_disk_is_full(make_arena: MakeArena):
    """What was not on the disk was not acknowledged: the broker and WeChat hand it over again."""
    async with make_arena(2) as arena:
        await arena.begin()
        await burst(arena)
        seen = arena.subscriber.count
        with no_room(arena):
            await burst(arena)
            await arena.body("wx/login/state", state="interrupted", since=seen)
            arena.lives.kill()
        await arena.last_life()


@pytest.mark.in_folder
async def test_a_disk_that_takes_no_commands_is_told_though_nothing_comes_in(make_arena: MakeArena):
    async with make_arena(3) as arena:
        await arena.begin()
        assert not await all_through(arena.traffic.ledger, arena.subscriber, arena.control)
        with no_room(arena):
            await arena.traffic.command(0, "wife")
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while not (body := await said(arena))["problems"]:
                    pass
            assert body["problems"] == ["store_trouble"]
            assert "cannot be used" in body["store"]["trouble"]
        await arena.ends_well()


async def said(arena: Arena) -> Any:
    """The health as the control socket tells it."""
    return await ask_bridge(arena.bridge.store, "health")
