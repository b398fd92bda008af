"""One process with several accounts is killed under traffic: each of them loses nothing and repeats nothing unsaid."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.broker import DURABLE, PROGRAM
from tests.support.effort import chaos, effort
from tests.support.ledger import Asked, Ledger
from tests.support.seed import SEED
from tests.support.town import BASES, WEB, Town, running_town

KILLS = effort(2, 4)
EACH = 30  # messages and commands of one account between two kills


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    async with running_town(tmp_path, DURABLE) as town:
        yield town


async def traffic(town: Town, name: str, life: int) -> None:
    """In and out at the same time, each numbered."""
    for number in range(life * EACH, (life + 1) * EACH):
        await town.controls[name].say("wife", f"{name} {number}")
        await town.publish(
            f"{BASES[name]}/out/wife", {"text": f"to {name} {number}", "id": f"{number}", "ttl": 600}
        )


async def to_the_bot(town: Town, life: int) -> None:
    for number in range(life * EACH, (life + 1) * EACH):
        await town.bot.write(f"bot {number}")


@chaos
async def test_killed_under_the_traffic_of_all(town: Town):
    dice = random.Random(SEED)
    await town.log_in()
    for life in range(KILLS):
        async with asyncio.TaskGroup() as flowing:
            for name in WEB:
                flowing.create_task(traffic(town, name, life))
            flowing.create_task(to_the_bot(town, life))
            await asyncio.sleep(dice.uniform(0.1, 0.6))  # the moment of the kill
            await town.in_thread(town.bridge.kill)
            town.bridge.start()
    count = KILLS * EACH
    await asyncio.gather(*(everything_came(town, name, count) for name in BASES))
    await asyncio.gather(*(everything_went(town, name, count) for name in WEB))


async def everything_came(town: Town, name: str, count: int) -> None:
    """Each message under one seq, in order, below its own base, and none of another account."""
    user = "me" if name == "bot" else "wife"
    topic = f"{BASES[name]}/in/{user}"
    await town.in_thread(town.subscriber.wait_body, topic, text=f"{name} {count - 1}")
    received = [one.body for one in town.subscriber.on(topic)]
    by_seq = {body["seq"]: body for body in received}
    assert [by_seq[seq]["text"] for seq in sorted(by_seq)] == [f"{name} {number}" for number in range(count)]
    assert {body["account"] for body in received} == {name}
    assert len({(body["seq"], body["id"]) for body in received}) == count


async def everything_went(town: Town, name: str, count: int) -> None:
    """Each command has one result that is true: see `Ledger.wrong_commands`."""
    base = BASES[name]
    for number in range(count):
        await town.in_thread(town.subscriber.wait_body, f"{base}/result/wife", id=f"{number}")
    asked = {f"{number}": Asked(name, "wife", f"to {name} {number}") for number in range(count)}
    sent = await town.controls[name].get("sent")
    assert list(Ledger(base=base, asked=asked).wrong_commands(town.subscriber.received, sent)) == []
