"""The bridge is killed, again and again, and nothing is lost, repeated without saying so, or out of order."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from itertools import product

import pytest

from tests.crash import runner
from tests.crash.arena import Arena
from tests.crash.conftest import MakeArena
from tests.crash.lives import KILLED
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.effort import THOROUGH, effort
from tests.support.ledger import repeats
from tests.support.postgresql import TESTED_STORE
from tests.support.process import BridgeProcess
from tests.support.seed import SEED, seeded
from tests.support.traffic import WRITERS, all_through

OFTEN = ("record", "accept", "finish", "published")
SELDOM = ("begin", "open", "recover", "prune", "doubt", "not_delivered", "publish")
"""Every commit that a life may make after the first one."""
FIRST = (
    "open",
    "base_topic",
    "recover",
    "prune",
    "record",
    "session",
    "accept",
    "begin",
    "published",
    "finish",
)
"""Every commit of a first life."""
ROUNDS = 4  # `make test` goes on only with the commits that no life has reached yet
LIVES = effort(12, 40)
KILLS = effort(3, 5)
WINDOW = 20  # so many messages may come again after a kill
SOON = 1.5  # seconds in which a life reaches its point, or is killed where it stands

FAULTS = (
    {"endpoint": "webwxsendmsg", "kind": "drop_answer"},
    {"endpoint": "webwxsendmsg", "kind": "status", "value": 502},
    {"endpoint": "synccheck", "kind": "reset"},
    {"endpoint": "webwxsync", "kind": "drop_answer"},
)


@contextlib.asynccontextmanager
async def trouble(arena: Arena) -> AsyncIterator[None]:
    """WeChat fails now and then, people change, somebody asks for the health: what makes the rarer commits.

    After a call that fails one goes well, however seldom the bridge calls: else it would wait longer each time.
    """
    stop = asyncio.Event()

    async def make() -> None:
        number, next_faults = 0, Counter[str]()
        while not await _stopped(stop, allowed(0.15)):
            number += 1
            fault = FAULTS[number % len(FAULTS)]
            endpoint = str(fault["endpoint"])
            count = (await arena.control.get("state"))["calls"].get(endpoint, 0)
            if count >= next_faults[endpoint]:
                next_faults[endpoint] = count + 2
                await arena.control.post("fault", **fault)
            await arena.control.post("people", rename={"id": "hanmeimei", "nickname": f"Han {number}"})
            await arena.in_thread(arena.subscriber.say, "wx/bridge/request/health", {"transaction": number})

    making = asyncio.create_task(make())
    try:
        yield
    finally:
        stop.set()
        await making
        await arena.control.post("fault/clear")


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()


async def first_life(arena: Arena) -> None:
    """A first life logs in and is killed."""
    await arena.begin()
    arena.lives.kill()


@seeded
@pytest.mark.parametrize(
    ("when", "store"),
    [("before", "sqlite"), ("after", "sqlite"), ("before", "postgresql"), ("after", "postgresql")],
)
async def test_killed_at_every_commit(
    make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch, when: str, store: str, seed: int
):
    monkeypatch.setenv(TESTED_STORE, store)
    dice = random.Random(seed)
    reached = set()
    async with make_arena(seed) as arena:
        await first_life(arena)
        async with arena.traffic.flowing(), trouble(arena):
            for number, job in product(range(ROUNDS), (*OFTEN, *SELDOM)):
                if job in reached and not THOROUGH:
                    continue
                arena.lives.start(f"{when}:{job}", dice.randint(1, 5) if number and job in OFTEN else 1)
                is_last_chance = number == ROUNDS - 1 and job not in reached
                if await arena.lives.dies(MAX_WAIT_SECONDS if is_last_chance else allowed(SOON)):
                    reached.add(job)
                else:
                    arena.lives.kill()
        await arena.last_life()
        assert reached == {*OFTEN, *SELDOM}
        assert arena.lives.kills > len(reached) * (ROUNDS if THOROUGH else 1)


@seeded
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_killed_at_random_moments(make_arena: MakeArena, protocol: str, seed: int):
    dice = random.Random(seed)
    async with make_arena(seed) as arena:
        arena.reach(arena.broker.url, protocol)
        await first_life(arena)
        async with arena.traffic.flowing(), trouble(arena):
            for _ in range(LIVES):
                arena.lives.start()
                await arena.lives.lasts(dice.uniform(0.0, 0.5))
                if dice.random() < 0.2:  # in the middle of its stop
                    arena.lives.terminate()
                    await arena.lives.lasts(dice.uniform(0.0, 0.1))
                arena.lives.kill()
        await arena.last_life()


async def test_killed_as_people_start_it(make_arena: MakeArena):
    """In a process of its own, and not forked from one that has imported everything."""
    async with make_arena(SEED) as arena:
        await first_life(arena)
        bridge = BridgeProcess(
            arena.folder / "bridge", arena.written, program=[sys.executable, runner.__file__]
        )
        async with arena.traffic.flowing():
            bridge.start(**{runner.POINT: "after:accept", runner.AT: "2"})
            assert await arena.in_thread(bridge.wait) == KILLED
        await arena.last_life()


@pytest.mark.parametrize("point", [f"{when}:{job}" for job in FIRST for when in ("before", "after")])
async def test_killed_in_the_first_life(make_arena: MakeArena, point: str):
    async with make_arena(SEED) as arena:
        arena.lives.start(point)
        async with asyncio.TaskGroup() as tasks:
            dying = tasks.create_task(arena.lives.dies())
            working = tasks.create_task(_everything_works(arena))
            await asyncio.wait({dying, working}, return_when=asyncio.FIRST_COMPLETED)
            if not dying.done():
                async with arena.traffic.flowing():
                    assert await dying
            working.cancel()
        logins = (await arena.control.get("state"))["sessions"]
        await arena.begin()
        if (await arena.control.get("state"))["sessions"] > logins:  # the login had not been saved
            arena.traffic.ledger.said.clear()
        async with arena.traffic.flowing():
            await arena.lives.lasts(0.2)
        arena.lives.kill()
        await arena.last_life()


async def _everything_works(arena: Arena) -> None:
    await arena.in_thread(arena.subscriber.wait, "wx/bridge/state", lambda one: one.payload == b"online")
    await arena.control.wait("online")


@seeded
async def test_killed_in_the_middle_of_two_thousand_no_more_than_a_window_comes_again(
    make_arena: MakeArena, seed: int
):
    dice = random.Random(seed)
    async with make_arena(seed) as arena:
        await first_life(arena)
        for chat in ("wife", "mom"):
            await arena.traffic.flood(chat, 1000)
        for kill in range(1, KILLS + 1):
            before = len(arena.subscriber.on("wx/in/#"))
            arena.lives.start()
            enough = before + dice.randint(1, 250)
            has_enough = lambda received: len(received) >= enough  # noqa: B023, E731
            await arena.in_thread(arena.subscriber.wait_until, has_enough)
            arena.lives.kill()
            assert repeats(arena.subscriber.received) <= (kill - 1) * WINDOW
        await arena.last_life()
        assert repeats(arena.subscriber.received) <= KILLS * WINDOW


@seeded
async def test_killed_before_acknowledged_messages_are_marked_no_more_than_a_window_comes_again(
    make_arena: MakeArena, seed: int
):
    """Far more of them are acknowledged than may come again."""
    async with make_arena(seed) as arena:
        await first_life(arena)
        for chat in ("wife", "mom"):
            await arena.traffic.flood(chat, 500)
        for kill in range(1, KILLS + 1):
            arena.lives.start("before:published", 2)
            assert await arena.lives.dies()
            assert repeats(arena.subscriber.received) <= kill * WINDOW
        await arena.last_life()
        assert repeats(arena.subscriber.received) <= KILLS * WINDOW


@seeded
async def test_an_orderly_stop_leaves_nothing_in_doubt_and_nothing_to_repeat(
    make_arena: MakeArena, seed: int
):
    dice = random.Random(seed)
    async with make_arena(seed) as arena:
        await arena.begin()
        await arena.lives.stop()
        async with arena.traffic.flowing():
            for _ in range(effort(4, 10)):
                await arena.begin()
                await arena.lives.lasts(dice.uniform(0.0, 0.5))
                async with asyncio.timeout(MAX_WAIT_SECONDS):
                    await arena.lives.stop()
        await arena.last_life()
        assert not [one for one in arena.subscriber.on("wx/result/#") if one.body["duplicate_possible"]]
        assert repeats(arena.subscriber.received) == 0


# places that are no commits


async def test_killed_between_publish_and_its_acknowledgement(make_arena: MakeArena):
    async with make_arena(SEED) as arena:
        await first_life(arena)
        for _ in range(3):
            await arena.begin()
            arena.broker.pause()
            polls = (await arena.control.get("state"))["calls"]["synccheck"]
            for chat in WRITERS:
                await arena.traffic.say(chat, 5)
            await arena.control.wait(f"calls:synccheck:{polls + 1}")
            await arena.control.wait("polling")
            arena.lives.kill()
            arena.broker.resume()
        await arena.last_life()


@pytest.mark.parametrize("kind", ["hang", "delay"])
async def test_killed_between_a_send_and_its_answer(make_arena: MakeArena, kind: str):
    """`hang`: WeChat never carries it out; `delay`: it does, and nobody is there to hear of it."""
    async with make_arena(SEED) as arena:
        await first_life(arena)
        for _ in range(3):
            await arena.begin()
            assert not await all_through(arena.traffic.ledger, arena.subscriber, arena.control)
            sends = (await arena.control.get("state"))["calls"].get("webwxsendmsg", 0)
            await arena.control.post("fault", endpoint="webwxsendmsg", kind=kind, value=10.0, times=4)
            for publisher, user in enumerate(("wife", "mom", "family")):
                for _ in range(3):
                    await arena.traffic.command(publisher, user)
            await arena.control.wait(f"calls:webwxsendmsg:{sends + 3}")
            arena.lives.kill()
            await arena.control.post("fault/clear")
        await arena.last_life()
        told = [one.body for one in arena.subscriber.on("wx/result/#") if one.body["duplicate_possible"]]
        assert {one["status"] for one in told} == {"sent"}
        assert len({one["id"] for one in told}) == 9, "the first of each chat in each life, and no other"


async def test_killed_while_it_logs_in_again(make_arena: MakeArena):
    async with make_arena(SEED) as arena:
        await first_life(arena)
        for endpoint in ("synccheck", "webwxgetcontact", "webwxbatchgetcontact", "webwxsync"):
            await arena.traffic.say("wife", 3)
            calls = (await arena.control.get("state"))["calls"].get(endpoint, 0)
            await arena.control.post("fault", endpoint=endpoint, kind="hang")
            arena.lives.start()
            await arena.control.wait(f"calls:{endpoint}:{calls + 1}")
            arena.lives.kill()
            await arena.control.post("fault/clear")
        await arena.last_life()


async def test_a_command_of_a_new_session_is_not_taken_for_one_of_an_old_session(make_arena: MakeArena):
    """Packet ids begin anew in each session of the broker: the same one with the same text is another command."""
    async with make_arena(SEED) as arena:
        await arena.begin()
        await arena.in_thread(arena.subscriber.publish, "wx/out/wife", "on")
        await arena.in_thread(arena.subscriber.wait_count, "wx/result/wife", 1)
        arena.lives.kill()
        arena.broker.forget()
        since = len(arena.broker.log)
        arena.lives.start("before:session")
        dying = asyncio.create_task(arena.lives.dies())
        subscribing = asyncio.create_task(arena.broker.logged("SUBACK to wx2mqtt-home", since=since))
        await asyncio.wait({dying, subscribing}, return_when=asyncio.FIRST_COMPLETED)
        died = dying.done()
        if not died:  # it was let in before it had written the session down
            await arena.in_thread(arena.subscriber.publish, "wx/out/wife", "on")
        assert await dying
        await arena.begin()
        if died:
            await arena.in_thread(arena.subscriber.publish, "wx/out/wife", "on")
        await subscribing
        await arena.in_thread(arena.subscriber.wait_count, "wx/result/wife", 2)
        await arena.lives.stop()
