"""A process with several accounts is killed under traffic: no account loses a message, or repeats one without saying so."""

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
COUNT_PER_ROUND = 30  # messages and commands of an account between two kills


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[MultiAccountHome]:
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    async with at_multi_account_home(tmp_path, DURABLE) as home:
        yield home


async def make_traffic(home: MultiAccountHome, name: str, round_number: int) -> None:
    """Writes messages and publishes commands of one account, each with its number."""
    for number in range(round_number * COUNT_PER_ROUND, (round_number + 1) * COUNT_PER_ROUND):
        await home.controls[name].say("wife", f"{name} {number}")
        await home.publish(
            f"{BASES[name]}/out/wife", {"text": f"to {name} {number}", "id": f"{number}", "ttl": 600}
        )


async def write_to_bot(home: MultiAccountHome, round_number: int) -> None:
    for number in range(round_number * COUNT_PER_ROUND, (round_number + 1) * COUNT_PER_ROUND):
        await home.bot.write(f"bot {number}")


@chaos
async def test_killed_under_the_traffic_of_all_accounts(home: MultiAccountHome):
    dice = random.Random(SEED)
    await home.log_in()
    for round_number in range(KILLS):
        async with asyncio.TaskGroup() as tasks:
            for name in WEB:
                tasks.create_task(make_traffic(home, name, round_number))
            tasks.create_task(write_to_bot(home, round_number))
            await asyncio.sleep(dice.uniform(0.1, 0.6))  # the moment of the kill
            await home.in_thread(home.bridge.kill)
            home.bridge.start()
    count = KILLS * COUNT_PER_ROUND
    await asyncio.gather(*(assert_all_published(home, name, count) for name in BASES))
    await asyncio.gather(*(assert_all_sent(home, name, count) for name in WEB))


async def assert_all_published(home: MultiAccountHome, name: str, count: int) -> None:
    """Asserts that each message of an account was published with one seq, in order, on its own topics."""
    user = "me" if name == "bot" else "wife"
    topic = f"{BASES[name]}/in/{user}"
    await home.in_thread(home.subscriber.wait_body, topic, text=f"{name} {count - 1}")
    received = [message.body for message in home.subscriber.on(topic)]
    by_seq = {body["seq"]: body for body in received}
    assert [by_seq[seq]["text"] for seq in sorted(by_seq)] == [f"{name} {number}" for number in range(count)]
    assert {body["account"] for body in received} == {name}
    assert len({(body["seq"], body["id"]) for body in received}) == count


async def assert_all_sent(home: MultiAccountHome, name: str, count: int) -> None:
    """Asserts that each command of an account has one true result (`TrafficRecord.wrong_commands`)."""
    base = BASES[name]
    for number in range(count):
        await home.in_thread(home.subscriber.wait_body, f"{base}/result/wife", id=f"{number}")
    asked = {f"{number}": RecordedCommand(name, "wife", f"to {name} {number}") for number in range(count)}
    sent = await home.controls[name].get("sent")
    assert list(TrafficRecord(base=base, commands=asked).wrong_commands(home.subscriber.received, sent)) == []
