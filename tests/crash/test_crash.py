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
from tests.crash.conftest import MakeCrashHome
from tests.crash.crash_home import CrashHome
from tests.crash.killable_bridge import KILLED
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.postgresql import TESTED_STORE
from tests.support.process import BridgeProcess
from tests.support.repetitions import THOROUGH, repetitions
from tests.support.seed import SEED, seeded
from tests.support.traffic import WRITERS, wait_until_delivered
from tests.support.traffic_record import repeats

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
LIVES = repetitions(12, 40)
KILLS = repetitions(3, 5)
WINDOW = 20  # so many messages may come again after a kill
SOON = 1.5  # seconds in which a life reaches its point, or is killed where it stands

FAULTS = (
    {"endpoint": "webwxsendmsg", "kind": "drop_answer"},
    {"endpoint": "webwxsendmsg", "kind": "status", "value": 502},
    {"endpoint": "synccheck", "kind": "reset"},
    {"endpoint": "webwxsync", "kind": "drop_answer"},
)


@contextlib.asynccontextmanager
async def trouble(home: CrashHome) -> AsyncIterator[None]:
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
            count = (await home.control.get("state"))["calls"].get(endpoint, 0)
            if count >= next_faults[endpoint]:
                next_faults[endpoint] = count + 2
                await home.control.post("fault", **fault)
            await home.control.post("people", rename={"id": "hanmeimei", "nickname": f"Han {number}"})
            await home.in_thread(home.subscriber.say, "wx/bridge/request/health", {"transaction": number})

    making = asyncio.create_task(make())
    try:
        yield
    finally:
        stop.set()
        await making
        await home.control.post("fault/clear")


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()


async def first_life(home: CrashHome) -> None:
    """A first life logs in and is killed."""
    await home.start_bridge()
    home.process.kill()


@seeded
@pytest.mark.parametrize(
    ("when", "store"),
    [("before", "sqlite"), ("after", "sqlite"), ("before", "postgresql"), ("after", "postgresql")],
)
async def test_killed_at_every_commit(
    make_crash_home: MakeCrashHome, monkeypatch: pytest.MonkeyPatch, when: str, store: str, seed: int
):
    monkeypatch.setenv(TESTED_STORE, store)
    dice = random.Random(seed)
    reached = set()
    async with make_crash_home(seed) as home:
        await first_life(home)
        async with home.traffic.running(), trouble(home):
            for number, job in product(range(ROUNDS), (*OFTEN, *SELDOM)):
                if job in reached and not THOROUGH:
                    continue
                home.process.start(f"{when}:{job}", dice.randint(1, 5) if number and job in OFTEN else 1)
                is_last_chance = number == ROUNDS - 1 and job not in reached
                if await home.process.reaches_point(MAX_WAIT_SECONDS if is_last_chance else allowed(SOON)):
                    reached.add(job)
                else:
                    home.process.kill()
        await home.run_to_end()
        assert reached == {*OFTEN, *SELDOM}
        assert home.process.kills > len(reached) * (ROUNDS if THOROUGH else 1)


@seeded
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_killed_at_random_moments(make_crash_home: MakeCrashHome, protocol: str, seed: int):
    dice = random.Random(seed)
    async with make_crash_home(seed) as home:
        home.connect_to(home.broker.url, protocol)
        await first_life(home)
        async with home.traffic.running(), trouble(home):
            for _ in range(LIVES):
                home.process.start()
                await home.process.run_for(dice.uniform(0.0, 0.5))
                if dice.random() < 0.2:  # in the middle of its stop
                    home.process.terminate()
                    await home.process.run_for(dice.uniform(0.0, 0.1))
                home.process.kill()
        await home.run_to_end()


async def test_killed_as_people_start_it(make_crash_home: MakeCrashHome):
    """In a process of its own, and not forked from one that has imported everything."""
    async with make_crash_home(SEED) as home:
        await first_life(home)
        bridge = BridgeProcess(
            home.folder / "bridge", home.configuration, program=[sys.executable, runner.__file__]
        )
        async with home.traffic.running():
            bridge.start(**{runner.POINT: "after:accept", runner.AT: "2"})
            assert await home.in_thread(bridge.wait) == KILLED
        await home.run_to_end()


@pytest.mark.parametrize("point", [f"{when}:{job}" for job in FIRST for when in ("before", "after")])
async def test_killed_in_the_first_life(make_crash_home: MakeCrashHome, point: str):
    async with make_crash_home(SEED) as home:
        home.process.start(point)
        async with asyncio.TaskGroup() as tasks:
            dying = tasks.create_task(home.process.reaches_point())
            working = tasks.create_task(_everything_works(home))
            await asyncio.wait({dying, working}, return_when=asyncio.FIRST_COMPLETED)
            if not dying.done():
                async with home.traffic.running():
                    assert await dying
            working.cancel()
        logins = (await home.control.get("state"))["sessions"]
        await home.start_bridge()
        if (await home.control.get("state"))["sessions"] > logins:  # the login had not been saved
            home.traffic.record.written.clear()
        async with home.traffic.running():
            await home.process.run_for(0.2)
        home.process.kill()
        await home.run_to_end()


async def _everything_works(home: CrashHome) -> None:
    await home.in_thread(home.subscriber.wait, "wx/bridge/state", lambda one: one.payload == b"online")
    await home.control.wait("online")


@seeded
async def test_killed_in_the_middle_of_two_thousand_no_more_than_a_window_comes_again(
    make_crash_home: MakeCrashHome, seed: int
):
    dice = random.Random(seed)
    async with make_crash_home(seed) as home:
        await first_life(home)
        for chat in ("wife", "mom"):
            await home.traffic.flood(chat, 1000)
        for kill in range(1, KILLS + 1):
            before = len(home.subscriber.on("wx/in/#"))
            home.process.start()
            enough = before + dice.randint(1, 250)
            has_enough = lambda received: len(received) >= enough  # noqa: B023, E731
            await home.in_thread(home.subscriber.wait_until, has_enough)
            home.process.kill()
            assert repeats(home.subscriber.received) <= (kill - 1) * WINDOW
        await home.run_to_end()
        assert repeats(home.subscriber.received) <= KILLS * WINDOW


@seeded
async def test_killed_before_acknowledged_messages_are_marked_no_more_than_a_window_comes_again(
    make_crash_home: MakeCrashHome, seed: int
):
    """Far more of them are acknowledged than may come again."""
    async with make_crash_home(seed) as home:
        await first_life(home)
        for chat in ("wife", "mom"):
            await home.traffic.flood(chat, 500)
        for kill in range(1, KILLS + 1):
            home.process.start("before:published", 2)
            assert await home.process.reaches_point()
            assert repeats(home.subscriber.received) <= kill * WINDOW
        await home.run_to_end()
        assert repeats(home.subscriber.received) <= KILLS * WINDOW


@seeded
async def test_an_orderly_stop_leaves_nothing_in_doubt_and_nothing_to_repeat(
    make_crash_home: MakeCrashHome, seed: int
):
    dice = random.Random(seed)
    async with make_crash_home(seed) as home:
        await home.start_bridge()
        await home.process.stop()
        async with home.traffic.running():
            for _ in range(repetitions(4, 10)):
                await home.start_bridge()
                await home.process.run_for(dice.uniform(0.0, 0.5))
                async with asyncio.timeout(MAX_WAIT_SECONDS):
                    await home.process.stop()
        await home.run_to_end()
        assert not [one for one in home.subscriber.on("wx/result/#") if one.body["duplicate_possible"]]
        assert repeats(home.subscriber.received) == 0


# places that are no commits


async def test_killed_between_publish_and_its_acknowledgement(make_crash_home: MakeCrashHome):
    async with make_crash_home(SEED) as home:
        await first_life(home)
        for _ in range(3):
            await home.start_bridge()
            home.broker.pause()
            polls = (await home.control.get("state"))["calls"]["synccheck"]
            for chat in WRITERS:
                await home.traffic.say(chat, 5)
            await home.control.wait(f"calls:synccheck:{polls + 1}")
            await home.control.wait("polling")
            home.process.kill()
            home.broker.resume()
        await home.run_to_end()


@pytest.mark.parametrize("kind", ["hang", "delay"])
async def test_killed_between_a_send_and_its_answer(make_crash_home: MakeCrashHome, kind: str):
    """`hang`: WeChat never carries it out; `delay`: it does, and nobody is there to hear of it."""
    async with make_crash_home(SEED) as home:
        await first_life(home)
        for _ in range(3):
            await home.start_bridge()
            assert not await wait_until_delivered(home.traffic.record, home.subscriber, home.control)
            sends = (await home.control.get("state"))["calls"].get("webwxsendmsg", 0)
            await home.control.post("fault", endpoint="webwxsendmsg", kind=kind, value=10.0, times=4)
            for publisher, user in enumerate(("wife", "mom", "family")):
                for _ in range(3):
                    await home.traffic.command(publisher, user)
            await home.control.wait(f"calls:webwxsendmsg:{sends + 3}")
            home.process.kill()
            await home.control.post("fault/clear")
        await home.run_to_end()
        told = [one.body for one in home.subscriber.on("wx/result/#") if one.body["duplicate_possible"]]
        assert {one["status"] for one in told} == {"sent"}
        assert len({one["id"] for one in told}) == 9, "the first of each chat in each life, and no other"


async def test_killed_while_it_logs_in_again(make_crash_home: MakeCrashHome):
    async with make_crash_home(SEED) as home:
        await first_life(home)
        for endpoint in ("synccheck", "webwxgetcontact", "webwxbatchgetcontact", "webwxsync"):
            await home.traffic.say("wife", 3)
            calls = (await home.control.get("state"))["calls"].get(endpoint, 0)
            await home.control.post("fault", endpoint=endpoint, kind="hang")
            home.process.start()
            await home.control.wait(f"calls:{endpoint}:{calls + 1}")
            home.process.kill()
            await home.control.post("fault/clear")
        await home.run_to_end()


async def test_a_command_of_a_new_session_is_not_taken_for_one_of_an_old_session(
    make_crash_home: MakeCrashHome,
):
    """Packet ids begin anew in each session of the broker: the same one with the same text is another command."""
    async with make_crash_home(SEED) as home:
        await home.start_bridge()
        await home.in_thread(home.subscriber.publish, "wx/out/wife", "on")
        await home.in_thread(home.subscriber.wait_count, "wx/result/wife", 1)
        home.process.kill()
        home.broker.forget()
        since = len(home.broker.log)
        home.process.start("before:session")
        dying = asyncio.create_task(home.process.reaches_point())
        subscribing = asyncio.create_task(home.broker.logged("SUBACK to wx2mqtt-home", since=since))
        await asyncio.wait({dying, subscribing}, return_when=asyncio.FIRST_COMPLETED)
        died = dying.done()
        if not died:  # it was let in before it had written the session down
            await home.in_thread(home.subscriber.publish, "wx/out/wife", "on")
        assert await dying
        await home.start_bridge()
        if died:
            await home.in_thread(home.subscriber.publish, "wx/out/wife", "on")
        await subscribing
        await home.in_thread(home.subscriber.wait_count, "wx/result/wife", 2)
        await home.process.stop()
