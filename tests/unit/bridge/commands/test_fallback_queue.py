"""Which urgent commands an alert of the fallback carries: fair between chats, and bounded in a minute."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.bridge.rows import row_of
from wx2mqtt.bridge.commands.fallback_alerts import MAX_SUMMARY_CHARACTERS, alert_text, summary_lines
from wx2mqtt.bridge.commands.fallback_queue import MAX_ALERTS_PER_MINUTE, PERIOD_SECONDS, AlertQueue
from wx2mqtt.i18n import Language


def filled(*texts: str) -> AlertQueue:
    queue = AlertQueue()
    for number, text in enumerate(texts, 1):
        user, _, words = text.partition(" ")
        queue.add(row_of(number, user, words))
    return queue


def taken(queue: AlertQueue, now: float = 0.0) -> list[str]:
    return [row.command.text for row in queue.take(now)]


def test_chats_take_turns_and_in_a_chat_the_oldest_is_first() -> None:
    queue = filled("wife a", "wife b", "wife c", "mom d", "mom e")
    assert [taken(queue) for _ in range(5)] == [["a"], ["d"], ["b"], ["e"], ["c"]]
    assert not len(queue)


def test_more_than_a_minute_allows_become_one_summary() -> None:
    queue = filled(*(f"wife {number}" for number in range(MAX_ALERTS_PER_MINUTE)))
    assert len(taken(queue)) == 1
    queue.add(row_of(100, "mom", "fire"))
    assert sorted(taken(queue)) == sorted([*map(str, range(1, MAX_ALERTS_PER_MINUTE)), "fire"])
    assert not len(queue)


def test_a_minute_has_its_limit() -> None:
    queue = AlertQueue()
    for number in range(MAX_ALERTS_PER_MINUTE):
        assert queue.seconds_until_allowed(float(number)) == 0
        queue.add(row_of(number, "wife", "x"))
        queue.take(float(number))
    assert queue.seconds_until_allowed(20.0) == pytest.approx(PERIOD_SECONDS - 20)
    assert queue.seconds_until_allowed(PERIOD_SECONDS) == 0


def test_what_needs_no_alert_any_more_gets_none() -> None:
    queue = filled("wife a", "wife b")
    queue.discard(1)
    assert len(queue) == 1
    assert taken(queue) == ["b"]
    assert not len(queue)


def test_a_summary_names_the_first_and_the_last_and_stays_short() -> None:
    rows = [row_of(number, "wife", f"text {number} " + "long " * 50) for number in range(3000)]
    lines = summary_lines(rows, "en")
    assert lines[0].startswith("wife: text 0 ")
    assert lines[1].startswith("wife: text 2999 ")
    assert len("\n".join(lines)) <= MAX_SUMMARY_CHARACTERS
    assert summary_lines(rows[:2], "en")[1].startswith("wife: text 1 ")
    assert len(summary_lines(rows[:3], "en")) == 3


def test_a_text_of_several_lines_is_one_of_a_summary() -> None:
    assert summary_lines([row_of(1, "wife", "a\n\tb"), row_of(2, "mom", "c")], "en") == [
        "wife: a b",
        "mom: c",
    ]


@pytest.mark.parametrize(("language", "text"), [("en", "[image] door.jpg"), ("zh", "[图片] door.jpg")])
def test_a_picture_without_a_text_is_named_in_the_language_of_the_bridge(
    language: Language, text: str
) -> None:
    row = row_of(1, "wife", "")
    picture = replace(row, command=replace(row.command, kind="image", name="door.jpg"))
    assert alert_text(picture, language) == text
    recall = replace(row, command=replace(row.command, kind="recall"))
    assert alert_text(recall, language) == "[recall]"
    assert summary_lines([picture], language) == [f"wife: {text}"]
