"""The bridge is killed again and again; nothing is lost, repeated without saying so, or out of order."""

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
"""Every commit that a bridge may make after its first run."""
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
"""Every commit of a first run."""
ROUNDS = 4  # `make test` repeats only the commits that were not reached yet
STARTS = repetitions(12, 40)
KILLS = repetitions(3, 5)
WINDOW = 20  # messages that may come again after a kill
SOON_SECONDS = 1.5  # a bridge that does not reach its point by then is killed

FAULTS = (
    {"endpoint": "webwxsendmsg", "kind": "drop_answer"},
    {"endpoint": "webwxsendmsg", "kind": "status", "value": 502},
    {"endpoint": "synccheck", "kind": "reset"},
    {"endpoint": "webwxsync", "kind": "drop_answer"},
)


@contextlib.asynccontextmanager
async def disturbances(home: CrashHome) -> AsyncIterator[None]:
    """Produces failing calls, changes of people and requests, which cause the rarer commits.

    After a call that fails one succeeds, however seldom the bridge calls: else it would wait longer each time.
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


async def log_in_and_kill(home: CrashHome) -> None:
    """Lets a first bridge log in, and kills it."""
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
        await log_in_and_kill(home)
        async with home.traffic.running(), disturbances(home):
            for number, job in product(range(ROUNDS), (*OFTEN, *SELDOM)):
                if job in reached and not THOROUGH:
                    continue
                home.process.start(f"{when}:{job}", dice.randint(1, 5) if number and job in OFTEN else 1)
                is_last_chance = number == ROUNDS - 1 and job not in reached
                if await home.process.reaches_point(
                    MAX_WAIT_SECONDS if is_last_chance else allowed(SOON_SECONDS)
                ):
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
        await log_in_and_kill(home)
        async with home.traffic.running(), disturbances(home):
            for _ in range(STARTS):
                home.process.start()
                await home.process.run_for(dice.uniform(0.0, 0.5))
                if dice.random() < 0.2:  # also in the middle of its stop
                    home.process.terminate()
                    await home.process.run_for(dice.uniform(0.0, 0.1))
                home.process.kill()
        await home.run_to_end()


async def test_killed_when_it_was_started_as_a_program(make_crash_home: MakeCrashHome):
    """The process is not a fork of one that has imported everything."""
    async with make_crash_home(SEED) as home:
        await log_in_and_kill(home)
        bridge = BridgeProcess(
            home.folder / "bridge", home.configuration, program=[sys.executable, runner.__file__]
        )
        async with home.traffic.running():
            bridge.start(**{runner.POINT: "after:accept", runner.AT: "2"})
            assert await home.in_thread(bridge.wait) == KILLED
        await home.run_to_end()


@pytest.mark.parametrize("point", [f"{when}:{job}" for job in FIRST for when in ("before", "after")])
async def test_killed_in_the_first_run(make_crash_home: MakeCrashHome, point: str):
    async with make_crash_home(SEED) as home:
        home.process.start(point)
        async with asyncio.TaskGroup() as tasks:
            killing = tasks.create_task(home.process.reaches_point())
            working = tasks.create_task(_wait_until_online(home))
            await asyncio.wait({killing, working}, return_when=asyncio.FIRST_COMPLETED)
            if not killing.done():
                async with home.traffic.running():
                    assert await killing
            working.cancel()
        logins = (await home.control.get("state"))["sessions"]
        await home.start_bridge()
        if (await home.control.get("state"))["sessions"] > logins:  # the login was not saved before the kill
            home.traffic.record.written.clear()
        async with home.traffic.running():
            await home.process.run_for(0.2)
        home.process.kill()
        await home.run_to_end()


async def _wait_until_online(home: CrashHome) -> None:
    await home.in_thread(
        home.subscriber.wait, "wx/bridge/state", lambda message: message.payload == b"online"
    )
    await home.control.wait("online")


@seeded
async def test_killed_while_two_thousand_messages_are_published_only_a_window_of_them_comes_again(
    make_crash_home: MakeCrashHome, seed: int
):
    dice = random.Random(seed)
    async with make_crash_home(seed) as home:
        await log_in_and_kill(home)
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
async def test_killed_before_acknowledged_messages_are_marked_only_a_window_of_them_comes_again(
    make_crash_home: MakeCrashHome, seed: int
):
    """Far more messages are acknowledged than may come again."""
    async with make_crash_home(seed) as home:
        await log_in_and_kill(home)
        for chat in ("wife", "mom"):
            await home.traffic.flood(chat, 500)
        for kill in range(1, KILLS + 1):
            home.process.start("before:published", 2)
            assert await home.process.reaches_point()
            assert repeats(home.subscriber.received) <= kill * WINDOW
        await home.run_to_end()
        assert repeats(home.subscriber.received) <= KILLS * WINDOW


@seeded
async def test_after_an_orderly_stop_no_command_is_uncertain_and_nothing_is_repeated(
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
        assert not [
            message for message in home.subscriber.on("wx/result/#") if message.body["duplicate_possible"]
        ]
        assert repeats(home.subscriber.received) == 0


# kills that are not at a commit


async def test_killed_between_publish_and_its_acknowledgement(make_crash_home: MakeCrashHome):
    async with make_crash_home(SEED) as home:
        await log_in_and_kill(home)
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
    """`hang`: WeChat never delivers it; `delay`: it does after the kill."""
    async with make_crash_home(SEED) as home:
        await log_in_and_kill(home)
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
        doubtful = [
            message.body
            for message in home.subscriber.on("wx/result/#")
            if message.body["duplicate_possible"]
        ]
        assert {body["status"] for body in doubtful} == {"sent"}
        assert len({body["id"] for body in doubtful}) == 9, (
            "the first of each chat before each kill, and no other"
        )


async def test_killed_while_it_logs_in_again(make_crash_home: MakeCrashHome):
    async with make_crash_home(SEED) as home:
        await log_in_and_kill(home)
        for endpoint in ("synccheck", "webwxgetcontact", "webwxbatchgetcontact", "webwxsync"):
            await home.traffic.say("wife", 3)
            calls = (await home.control.get("state"))["calls"].get(endpoint, 0)
            await home.control.post("fault", endpoint=endpoint, kind="hang")
            home.process.start()
            await home.control.wait(f"calls:{endpoint}:{calls + 1}")
            home.process.kill()
            await home.control.post("fault/clear")
        await home.run_to_end()


async def test_a_command_of_a_new_session_is_not_mistaken_for_one_of_an_old_session(
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
        killing = asyncio.create_task(home.process.reaches_point())
        subscribing = asyncio.create_task(home.broker.logged("SUBACK to wx2mqtt-home", since=since))
        await asyncio.wait({killing, subscribing}, return_when=asyncio.FIRST_COMPLETED)
        was_killed = killing.done()
        if not was_killed:  # the broker accepted it before it had stored the session
            await home.in_thread(home.subscriber.publish, "wx/out/wife", "on")
        assert await killing
        await home.start_bridge()
        if was_killed:
            await home.in_thread(home.subscriber.publish, "wx/out/wife", "on")
        await subscribing
        await home.in_thread(home.subscriber.wait_count, "wx/result/wife", 2)
        await home.process.stop()
