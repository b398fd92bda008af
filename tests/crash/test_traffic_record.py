"""The record of traffic finds each kind of broken promise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.subscriber import ReceivedMessage
from tests.support.traffic_record import RecordedCommand, TrafficRecord, repeats


def received(topic: str, **body: Any) -> ReceivedMessage:
    return ReceivedMessage(f"wx/{topic}", json.dumps(body).encode(), False, 0.0)


def published(seq: int, text: str, *, user: str = "wife", ident: str = "") -> ReceivedMessage:
    return received(f"in/{user}", seq=seq, id=ident or f"id-{seq}", text=text)


def result(ident: str, status: str = "sent", *, duplicate: bool = False, code: str = "ok") -> ReceivedMessage:
    return received("result/wife", id=ident, status=status, code=code, duplicate_possible=duplicate)


def sent(*texts: str) -> list[dict[str, Any]]:
    return [{"n": n, "text": text, "delivered": True} for n, text in enumerate(texts)]


def example_record() -> TrafficRecord:
    """Returns a record of two texts in one chat, one in another, and two commands of one publisher to one person."""
    record = TrafficRecord()
    record.written = {"wife": ["wife/1", "wife/2"], "mom": ["mom/1"]}
    record.commands = {"a": RecordedCommand("p", "wife", "to a"), "b": RecordedCommand("p", "wife", "to b")}
    return record


WIFE, MOM = [published(1, "wife/1"), published(3, "wife/2")], [published(2, "mom/1", user="mom")]
ANSWERED = [result("a"), result("b")]


def test_a_correct_run_has_no_problems():
    again = [published(1, "wife/1")]
    assert (
        example_record().problems([*WIFE, *MOM, *again, *ANSWERED, result("a")], sent("to a", "to b")) == []
    )
    assert example_record().missing([*WIFE, *MOM, *ANSWERED]) == 0
    assert repeats([*WIFE, *again]) == 1


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([*WIFE], "chat mom: 1 never published"),
        ([*WIFE, *MOM, published(1, "wife/1", ident="other")], "seq 1 was published again as something else"),
        ([*WIFE, *MOM, published(4, "wife/1")], "chat wife: under two numbers"),
        ([*WIFE, *MOM, published(4, "hm")], "chat wife: 1 that nobody wrote"),
        ([*WIFE, published(2, "mom/1")], "chat mom: 1 never published"),
        ([published(1, "wife/1"), published(4, "wife/2"), *MOM], "seq has gaps: [3]"),
        ([published(3, "wife/2"), published(1, "wife/1"), *MOM], "does not rise"),
        ([published(1, "wife/2"), published(3, "wife/1"), *MOM], "first published out of order"),
        ([*WIFE, published(2, "mom/1", user="mom", ident="id-1")], "id: under two numbers"),
    ],
)
def test_each_problem_of_messages_is_found(messages: list[ReceivedMessage], found: str):
    problems = example_record().problems([*messages, *ANSWERED], sent("to a", "to b"))
    assert [problem for problem in problems if found in problem], problems


@pytest.mark.parametrize(
    ("results", "arrived", "found"),
    [
        ([result("a")], ["to a", "to b"], "command b has no result"),
        ([*ANSWERED, result("a", code="other")], ["to a", "to b"], "command a has two results"),
        (ANSWERED, ["to a"], "command b says sent and did not arrive"),
        (ANSWERED, ["to a", "to b", "to b"], "command b arrived 2 times and does not say so"),
        ([result("a"), result("b", duplicate=True)], ["to a", *["to b"] * 3], "command b arrived 3 times"),
        ([result("a"), result("b", "expired")], ["to a", "to b"], "and did arrive"),
        (ANSWERED, ["to b", "to a"], "arrived after what was commanded later: ['to a']"),
        (ANSWERED, ["to a", "to b", "hm"], "WeChat got a text of no command"),
    ],
)
def test_each_problem_of_commands_is_found(results: list[ReceivedMessage], arrived: list[str], found: str):
    problems = example_record().problems([*WIFE, *MOM, *results], sent(*arrived))
    assert [problem for problem in problems if found in problem], problems


@pytest.mark.parametrize("honest", [result("b", duplicate=True), result("b", "uncertain")])
def test_two_attempts_that_are_told_are_no_problem(honest: ReceivedMessage):
    assert example_record().problems([*WIFE, *MOM, result("a"), honest], sent("to a", "to b", "to b")) == []
