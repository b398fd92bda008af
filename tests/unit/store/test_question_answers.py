"""An answer counts for the question that it quotes, within its time, from people who may answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.rows import every_row
from wx2mqtt.model import Button, PersonId
from wx2mqtt.store.question_answers import find_quoted, is_in_time, may_answer
from wx2mqtt.store.question_records import AnswerAttempt, AskedQuestion

ASKED = 1_795_600_000_400

LOCK = AskedQuestion(
    id=1,
    account="home",
    command=11,
    command_id="lock",
    user="wife",
    person=PersonId(7),
    text="Nobody is at home. Lock the door?",
    buttons=(Button(text="Yes", key="yes"), Button(text="No", key="no")),
    anyone=False,
    asked=ASKED,
    until=ASKED + 60_000,
    closed=None,
    answer="",
)
HEAT = replace(LOCK, id=2, command=12, command_id="heat", text="Heating on?")
LIGHT = replace(LOCK, id=3, command=13, command_id="light", text="Light off?")


def attempt(time: int = ASKED + 5000, **more: Any) -> AnswerAttempt:
    values: dict[str, Any] = {"trusted": True, "words": "1", **more}
    return AnswerAttempt(person=PersonId(7), time=time, topic="wx/event/button", event={}, **values)


def quoted(text: str) -> str:
    question = find_quoted([LIGHT, HEAT, LOCK], attempt(is_quote=True, quoted_text=text))
    return "" if question is None else question.command_id


@every_row(
    ("text", "command_id"),
    [
        ("Heating on?", "heat"),
        ("Heating on?\n1 Yes\n2 No", "heat"),
        (" Heating  on? 1 Yes 2 No ", "heat"),
        ("Nobody is at home. Lock the door? 1 Yes 2", "lock"),
        ("Nobody is at home. Lock the door? 1 Yes…", "lock"),
        ("Nobody is at home.", ""),
        ("Heating", ""),
        ("Heating on? 1", ""),
        ("1 Yes", ""),
        ("", ""),
        ("…", ""),
    ],
)
def test_a_quote_without_an_id_means_the_question_with_its_text(text: str, command_id: str) -> None:
    assert quoted(text) == command_id


def test_a_quote_of_equal_questions_means_the_newest() -> None:
    again = replace(LOCK, id=4, command_id="lock again")
    assert find_quoted([again, LOCK], attempt(is_quote=True, quoted_text=LOCK.text)) is again


def test_an_id_counts_more_than_the_text() -> None:
    quote = attempt(is_quote=True, quoted_command_id="lock", quoted_text=HEAT.text)
    assert find_quoted([LIGHT, HEAT, LOCK], quote) is LOCK
    assert find_quoted([LIGHT, HEAT], quote) is None


@every_row(
    ("time", "counts"),
    [
        (ASKED - 401, False),  # the second before
        (ASKED - 1, False),
        (ASKED, True),
        (ASKED - 400, True),  # in whole seconds nothing is earlier than the question
        (ASKED + 60_000, True),
        (ASKED + 60_001, False),
    ],
)
def test_words_without_a_quote_count_between_the_question_and_the_end_of_its_time(
    time: int, *, counts: bool
) -> None:
    assert is_in_time(LOCK, attempt(time)) is counts


def test_a_quote_and_a_press_come_after_the_question_whatever_a_clock_says() -> None:
    assert is_in_time(LOCK, attempt(ASKED - 60_000, is_quote=True))
    assert is_in_time(LOCK, attempt(ASKED - 60_000, words=""))
    assert not is_in_time(LOCK, attempt(ASKED + 60_001, words=""))


def test_the_time_for_an_answer_does_not_end_before_the_attempt_has_ended() -> None:
    assert is_in_time(replace(LOCK, until=None), attempt(ASKED + 10**9))


def test_a_closed_question_has_no_time_left() -> None:
    assert not is_in_time(replace(LOCK, closed=ASKED + 1), attempt())


def test_only_trusted_people_may_answer_unless_anyone_may() -> None:
    assert may_answer(LOCK, attempt())
    assert not may_answer(LOCK, attempt(trusted=False))
    assert may_answer(replace(LOCK, anyone=True), attempt(trusted=False))
