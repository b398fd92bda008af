"""The queue of urgent commands for the fallback takes chats in turn, and bounds the alerts of a minute."""

from __future__ import annotations

import pytest

from tests.unit.bridge.rows import row_of
from wx2mqtt.bridge.commands.fallback_queue import MAX_ALERTS_PER_MINUTE, PERIOD_SECONDS, AlertQueue


def queue_with(*texts: str) -> AlertQueue:
    queue = AlertQueue()
    for number, text in enumerate(texts, 1):
        user, _, words = text.partition(" ")
        queue.add(row_of(number, user, words))
    return queue


def take_texts(queue: AlertQueue, now: float = 0.0) -> list[str]:
    return [row.command.text for row in queue.take(now)]


def test_chats_take_turns_and_in_a_chat_the_oldest_is_first() -> None:
    queue = queue_with("wife a", "wife b", "wife c", "mom d", "mom e")
    assert [take_texts(queue) for _ in range(5)] == [["a"], ["d"], ["b"], ["e"], ["c"]]
    assert not len(queue)


def test_more_than_a_minute_allows_become_one_summary() -> None:
    queue = queue_with(*(f"wife {number}" for number in range(MAX_ALERTS_PER_MINUTE)))
    assert len(take_texts(queue)) == 1
    queue.add(row_of(100, "mom", "fire"))
    assert sorted(take_texts(queue)) == sorted([*map(str, range(1, MAX_ALERTS_PER_MINUTE)), "fire"])
    assert not len(queue)


def test_the_alerts_of_a_minute_are_limited() -> None:
    queue = AlertQueue()
    for number in range(MAX_ALERTS_PER_MINUTE):
        assert queue.seconds_until_allowed(float(number)) == 0
        queue.add(row_of(number, "wife", "x"))
        queue.take(float(number))
    assert queue.seconds_until_allowed(20.0) == pytest.approx(PERIOD_SECONDS - 20)
    assert queue.seconds_until_allowed(PERIOD_SECONDS) == 0


def test_a_discarded_command_gets_no_alert() -> None:
    queue = queue_with("wife a", "wife b")
    queue.discard(1)
    assert len(queue) == 1
    assert take_texts(queue) == ["b"]
    assert not len(queue)
