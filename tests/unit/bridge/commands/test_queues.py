"""Commands in memory and on disk: whatever comes when, each chat keeps its order."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.bridge.commands.queues import ChatQueues
from wx2mqtt.bridge.commands.resolver import ChatKey
from wx2mqtt.model import Command, PersonId, SendKey
from wx2mqtt.store.records import CommandRow, CommandState


def row(number: int, person: int) -> CommandRow:
    return CommandRow(
        id=number,
        command=Command(user=f"user{person}", text=str(number)),
        command_id=str(number),
        fingerprint="",
        person=PersonId(person),
        key=SendKey("1"),
        accepted=0,
        expires=None,
        replies=(),
        attempt_open=False,
        unanswered=0,
        attempts=0,
        duplicate_possible=False,
        state=CommandState.WAITING,
        result=None,
    )


def key_of(one: CommandRow) -> ChatKey:
    assert one.person is not None
    return one.person


BY_PERSON: Any = SimpleNamespace(queue_key=key_of)


class Disk:
    """Holds what is committed; a read answers with what was there when it began."""

    def __init__(self) -> None:
        self.rows: list[CommandRow] = []
        self.read = asyncio.Event()

    async def list_due(self, limit: int, skip: Collection[PersonId | None]) -> list[CommandRow]:
        found = [one for one in self.rows if one.person not in skip][:limit]
        await self.read.wait()
        return found


def sent(lanes: ChatQueues, disk: Disk) -> list[CommandRow]:
    """Send all that is in memory."""
    done: list[CommandRow] = []
    for lane in lanes.take_new_queues():
        while lane:
            done.append(lane.first)
            lanes.remove(lane.first)
        lanes.remove_empty(lane)
    disk.rows = [one for one in disk.rows if one not in done]
    return done


@given(
    before=st.lists(st.integers(1, 3), max_size=6),
    meanwhile=st.lists(st.integers(1, 3), max_size=6),
    after=st.lists(st.integers(1, 3), max_size=6),
)
def test_what_is_accepted_before_while_and_after_the_disk_is_read_keeps_its_order(
    before: list[int], meanwhile: list[int], after: list[int]
):
    async def story() -> list[CommandRow]:
        disk, lanes, numbers = Disk(), ChatQueues(BY_PERSON), iter(range(1, 100))

        def accept(persons: list[int]) -> None:
            for person in persons:
                disk.rows.append(row(next(numbers), person))
                lanes.add(disk.rows[-1])

        accept(before)
        filling = asyncio.create_task(lanes.load(disk.list_due))
        await asyncio.sleep(0)  # it reads now
        accept(meanwhile)
        disk.read.set()
        await filling
        accept(after)
        done = sent(lanes, disk)
        while lanes.can_load:
            await lanes.load(disk.list_due)
            done += sent(lanes, disk)
        assert not disk.rows
        return done

    done = asyncio.run(story())
    assert len(done) == len(before) + len(meanwhile) + len(after)
    for person in (1, 2, 3):
        numbers = [one.id for one in done if one.person == person]
        assert numbers == sorted(numbers)


def by_priority(count: int) -> ChatQueues:
    """Queues with so many commands to one person, each with a priority at random."""
    lanes, dice = ChatQueues(BY_PERSON, by_priority=True), random.Random(count)
    for number in range(count):
        command = row(number, 1)
        priority = dice.choice(["high", "normal", "low"])
        lanes.add(replace(command, command=replace(command.command, priority=priority)))
    return lanes


def test_the_most_important_is_first_and_of_these_the_oldest():
    lanes = by_priority(50)
    (lane,) = lanes.take_new_queues()
    order = [(("high", "normal", "low").index(one.command.priority), one.id) for one in lane]
    assert order == sorted(order)
    assert len(order) == 50


def test_what_has_begun_stays_first_whatever_comes_and_is_one_of_many_when_it_did_not_go():
    lanes = by_priority(0)
    lanes.add(row(1, 1))
    (lane,) = lanes.take_new_queues()
    lanes.set_marked(row(1, 1))
    urgent = row(2, 1)
    lanes.add(replace(urgent, command=replace(urgent.command, priority="high")))
    assert [one.id for one in lane] == [1, 2]
    lane.clear_marked()
    assert [one.id for one in lane] == [2, 1]


def test_a_command_that_is_dropped_after_its_mark_leaves_the_others_alone():
    lanes = by_priority(3)
    (lane,) = lanes.take_new_queues()
    first, *others = lane
    lanes.set_marked(first)
    lanes.remove(first)
    assert lane.marked is None
    lane.clear_marked()
    assert list(lane) == others


def test_a_command_costs_the_same_however_many_wait_with_it():
    def seconds_per_command(count: int) -> float:
        begun = time.process_time()
        lanes = by_priority(count)
        (lane,) = lanes.take_new_queues()
        while lane:
            lanes.replace_row(replace(lane.first, parts_sent=1))
            lanes.remove(lane.first)
        return (time.process_time() - begun) / count

    few = min(seconds_per_command(500) for _ in range(3))
    many = min(seconds_per_command(5000) for _ in range(3))
    assert many < 4 * few  # ten times as much where each command goes through all that wait
