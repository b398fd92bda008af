"""The queue of one chat: what may expire in it, what is ending, and what is dropped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.bridge.commands.test_waiting_commands import by_priority, row
from wx2mqtt.bridge.commands import chat_queue
from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.results import final_result
from wx2mqtt.model import PersonId, Status
from wx2mqtt.store.command_records import CommandRow


def test_a_command_that_is_dropped_after_the_begin_of_its_attempt_leaves_the_others_alone():
    waiting = by_priority(3)
    (queue,) = waiting.new_queues
    first, *others = queue.waiting.rows
    queue.begun_id = first.id
    waiting.remove(first.id)
    assert queue.begun_id is None
    assert queue.waiting.rows == others


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the clocks of the queue stand still at 1000 s."""
    monkeypatch.setattr(chat_queue, "boot_time", lambda: 1000.0)
    monkeypatch.setattr(chat_queue, "now_ms", lambda: 1_000_000)


def held_row(number: int, **values: Any) -> CommandRow:
    """Returns a command that waits for the reply window; it is accepted now and expires in a minute."""
    times = {"accepted": 1_000_000, "expires": 1_060_000}
    return replace(row(number), window_reason="too_long_ago", **{**times, **values})


def test_a_queue_whose_commands_have_not_ended_is_looked_at_again_when_the_next_one_may():
    queue = ChatQueue(PersonId(1))
    queue.append(held_row(1))
    in_doubt = held_row(2, unanswered=1)
    queue.append(in_doubt)
    assert queue.next_expiry == float("-inf"), "what is in doubt may end before it expires"
    assert list(queue.may_have_ended(1000.0)) == [in_doubt]
    queue.set_next_expiry(1000.0, not_ended=[1300.0])
    assert queue.next_expiry == 1060.0


def test_a_command_that_is_ending_is_no_longer_in_the_order_and_no_longer_current():
    queue = ChatQueue(PersonId(1))
    first, second = held_row(1), held_row(2)
    for command in (first, second):
        queue.append(command)
    assert queue.is_current(first)
    queue.set_ending([first], final_result(first, Status.EXPIRED, "expired", "late"))
    assert not queue.is_current(first)
    assert (queue.waiting.rows, [*queue.rows]) == ([second], [1, 2])
    queue.remove(1)
    assert (queue.endings, [*queue.rows]) == ({}, [2])
