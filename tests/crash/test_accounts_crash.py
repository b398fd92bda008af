"""One process with several accounts is killed under traffic: each of them loses nothing and repeats nothing unsaid."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.broker import DURABLE, PROGRAM
from tests.support.multi_account_home import BASES, WEB, MultiAccountHome, at_multi_account_home
from tests.support.repetitions import chaos, repetitions
from tests.support.seed import SEED
from tests.support.traffic_record import RecordedCommand, TrafficRecord

KILLS = repetitions(2, 4)
EACH = 30  # messages and commands of one account between two kills


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[MultiAccountHome]:
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    async with at_multi_account_home(tmp_path, DURABLE) as home:
        yield home


async def traffic(home: MultiAccountHome, name: str, life: int) -> None:
    """In and out at the same time, each numbered."""
    for number in range(life * EACH, (life + 1) * EACH):
        await home.controls[name].say("wife", f"{name} {number}")
        await home.publish(
            f"{BASES[name]}/out/wife", {"text": f"to {name} {number}", "id": f"{number}", "ttl": 600}
        )


async def to_the_bot(home: MultiAccountHome, life: int) -> None:
    for number in range(life * EACH, (life + 1) * EACH):
        await home.bot.write(f"bot {number}")


@chaos
async def test_killed_under_the_traffic_of_all(home: MultiAccountHome):
    dice = random.Random(SEED)
    await home.log_in()
    for life in range(KILLS):
        async with asyncio.TaskGroup() as tasks:
            for name in WEB:
                tasks.create_task(traffic(home, name, life))
            tasks.create_task(to_the_bot(home, life))
            await asyncio.sleep(dice.uniform(0.1, 0.6))  # the moment of the kill
            await home.in_thread(home.bridge.kill)
            home.bridge.start()
    count = KILLS * EACH
    await asyncio.gather(*(everything_came(home, name, count) for name in BASES))
    await asyncio.gather(*(everything_went(home, name, count) for name in WEB))


async def everything_came(home: MultiAccountHome, name: str, count: int) -> None:
    """Each message under one seq, in order, below its own base, and none of another account."""
    user = "me" if name == "bot" else "wife"
    topic = f"{BASES[name]}/in/{user}"
    await home.in_thread(home.subscriber.wait_body, topic, text=f"{name} {count - 1}")
    received = [one.body for one in home.subscriber.on(topic)]
    by_seq = {body["seq"]: body for body in received}
    assert [by_seq[seq]["text"] for seq in sorted(by_seq)] == [f"{name} {number}" for number in range(count)]
    assert {body["account"] for body in received} == {name}
    assert len({(body["seq"], body["id"]) for body in received}) == count


async def everything_went(home: MultiAccountHome, name: str, count: int) -> None:
    """Each command has one result that is true: see `TrafficRecord.wrong_commands`."""
    base = BASES[name]
    for number in range(count):
        await home.in_thread(home.subscriber.wait_body, f"{base}/result/wife", id=f"{number}")
    asked = {f"{number}": RecordedCommand(name, "wife", f"to {name} {number}") for number in range(count)}
    sent = await home.controls[name].get("sent")
    assert list(TrafficRecord(base=base, commands=asked).wrong_commands(home.subscriber.received, sent)) == []
