"""The queue of one chat: the order of its commands, and what may expire or be given up."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from tests.unit.bridge.rows import row_of
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.model import PersonId
from wx2mqtt.store.command_records import CommandRow


def row(number: int, user: str = "wife", person: PersonId | None = None) -> CommandRow:
    return row_of(number, user, str(number), person=person)


def by_priority(count: int) -> WaitingCommands:
    """Returns queues with so many commands to one person, each with a random priority."""
    resolver: Any = SimpleNamespace(chat_key=lambda row: row.command.user)
    waiting, rng = WaitingCommands(resolver, by_priority=True), random.Random(count)
    for number in range(count):
        command = row(number)
        priority = rng.choice(["high", "normal", "low"])
        waiting.add(replace(command, command=replace(command.command, priority=priority)))
    return waiting


def test_the_most_important_is_first_and_of_these_the_oldest():
    waiting = by_priority(50)
    (queue,) = waiting.new_queues
    order = [(("high", "normal", "low").index(row.command.priority), row.id) for row in queue.waiting]
    assert order == sorted(order)
    assert len(order) == 50


def test_what_has_begun_stays_first_whatever_comes_and_is_one_of_many_when_it_did_not_go():
    waiting = by_priority(0)
    waiting.add(replace(row(1), unanswered=1))
    (queue,) = waiting.new_queues
    urgent = row(2)
    waiting.add(replace(urgent, command=replace(urgent.command, priority="high")))
    assert [row.id for row in queue.waiting] == [1, 2]
    queue.change(1, unanswered=0)
    assert [row.id for row in queue.waiting] == [2, 1]


def test_a_command_that_is_dropped_after_the_begin_of_its_attempt_leaves_the_others_alone():
    waiting = by_priority(3)
    (queue,) = waiting.new_queues
    first, *others = queue.waiting
    queue.begun_id = first.id
    waiting.remove(first.id)
    assert queue.begun_id is None
    assert queue.waiting == others
