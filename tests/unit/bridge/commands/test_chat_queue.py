"""The queue of one chat: the order of its commands, and what may expire or be given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.bridge.commands.test_waiting_commands import by_priority, row
from tests.unit.bridge.contexts import context, settings
from wx2mqtt.bridge.commands import chat_queue
from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.results import final_result
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.commands.window_wait import WindowWait
from wx2mqtt.model import PersonId, Status
from wx2mqtt.settings.schema import Hold
from wx2mqtt.store.command_records import CommandRow


def test_the_most_important_is_first_and_of_these_the_oldest():
    waiting = by_priority(50)
    (queue,) = waiting.new_queues
    order = [(("high", "normal", "low").index(row.command.priority), row.id) for row in queue.waiting.rows]
    assert order == sorted(order)
    assert len(order) == 50


def test_what_has_begun_stays_first_whatever_comes_and_is_one_of_many_when_it_did_not_go():
    waiting = by_priority(0)
    waiting.add(replace(row(1), unanswered=1))
    (queue,) = waiting.new_queues
    urgent = row(2)
    waiting.add(replace(urgent, command=replace(urgent.command, priority="high")))
    assert [row.id for row in queue.waiting.rows] == [1, 2]
    queue.change(1, unanswered=0)
    assert [row.id for row in queue.waiting.rows] == [2, 1]


def test_a_command_that_is_dropped_after_the_begin_of_its_attempt_leaves_the_others_alone():
    waiting = by_priority(3)
    (queue,) = waiting.new_queues
    first, *others = queue.waiting.rows
    queue.begun_id = first.id
    waiting.remove(first.id)
    assert queue.begun_id is None
    assert queue.waiting.rows == others


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Replaces the clocks of the queue: `now` is in seconds, and the system clock is the same in milliseconds."""
    clock = {"now": 1000.0}
    monkeypatch.setattr(chat_queue, "boot_time", lambda: clock["now"])
    monkeypatch.setattr(chat_queue, "now_ms", lambda: int(clock["now"] * 1000))
    return clock


def held_row(number: int, priority: str, **values: Any) -> CommandRow:
    """Returns a command that waits for the reply window; it is accepted now and expires in a minute."""
    command = replace(row(number).command, priority=priority)
    times = {"accepted": 1_000_000, "expires": 1_060_000}
    return replace(row(number), command=command, window_reason="too_long_ago", **{**times, **values})


def test_the_first_to_be_given_up_is_the_oldest_of_the_least_important(clock: dict[str, float]):
    queue = ChatQueue(PersonId(1), by_priority=True)
    for number, priority in enumerate(("high", "low", "normal", "low"), 1):
        queue.append(held_row(number, priority))
    assert queue.waiting.window_count == 4
    assert [*queue.waiting.least_important_ids] == [2, 4, 3, 1]
    assert [waiting.id for waiting in queue.waiting.rows] == [1, 3, 2, 4]


def test_a_command_expires_after_its_ttl_though_the_system_clock_was_set_back(clock: dict[str, float]):
    queue = ChatQueue(PersonId(1))
    ahead = held_row(1, "normal", accepted=9_000_000, expires=9_060_000)
    queue.append(ahead)
    assert queue.expires_at(ahead) == queue.next_expiry == 1060.0
    assert list(queue.may_have_ended(1059.0)) == []
    assert list(queue.may_have_ended(1061.0)) == [ahead]


def test_a_queue_whose_commands_have_not_ended_is_looked_at_again_when_the_next_one_may(
    clock: dict[str, float],
):
    queue = ChatQueue(PersonId(1))
    queue.append(held_row(1, "normal"))
    in_doubt = held_row(2, "normal", unanswered=1)
    queue.append(in_doubt)
    assert queue.next_expiry == float("-inf"), "what is in doubt may end before it expires"
    assert list(queue.may_have_ended(1000.0)) == [in_doubt]
    queue.set_next_expiry(1000.0, not_ended=[1300.0])
    assert queue.next_expiry == 1060.0


def test_a_command_that_is_ending_is_no_longer_in_the_order_and_no_longer_current(clock: dict[str, float]):
    queue = ChatQueue(PersonId(1))
    first, second = held_row(1, "normal"), held_row(2, "normal")
    for command in (first, second):
        queue.append(command)
    assert queue.is_current(first)
    queue.set_ending([first], final_result(first, Status.EXPIRED, "expired", "late"))
    assert not queue.is_current(first)
    assert (queue.waiting.rows, [*queue.rows]) == ([second], [1, 2])
    queue.remove(1)
    assert (queue.endings, [*queue.rows]) == ({}, [2])


@given(st.lists(st.sampled_from(["high", "normal", "low"]), max_size=30), st.integers(0, 10))
def test_no_held_command_is_given_up_for_one_that_is_less_important_or_older(
    priorities: Sequence[str], most: int
):
    queue = ChatQueue(PersonId(1))
    for number, priority in enumerate(priorities, 1):
        queue.append(held_row(number, priority))
    absent: Any = None
    ctx = context(settings=settings(hold=Hold(max=most)))
    window_wait = WindowWait(ctx, absent, WaitingCommands(absent), absent)
    ranks = ("high", "normal", "low")
    while (gone := window_wait.find_excess(queue)) is not None:
        queue.remove(gone.id)
        for kept in queue.waiting.rows:
            assert ranks.index(kept.command.priority) <= ranks.index(gone.command.priority)
            assert kept.command.priority != gone.command.priority or kept.id > gone.id
    assert len(queue.rows) == min(most, len(priorities))
    assert Counter(row.command.priority for row in queue.waiting.rows)["high"] == min(
        most, priorities.count("high")
    )
