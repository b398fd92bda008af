"""Questions are written to columns and read back, and a forged backup cannot put anything else there."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from wx2mqtt.model import AskingCommand, Button, Json, PersonId
from wx2mqtt.store.question_records import (
    AnswerAttempt,
    AskedQuestion,
    asking_from_json,
    asking_to_json,
    buttons_from_json,
    buttons_text,
    question_from_row,
)

BUTTONS = (Button(text="Yes", key="yes"), Button(text="否\ud83d", key="no"))
LOCK = AskedQuestion(
    id=1,
    account="office",
    command=11,
    command_id="lock~fallback",
    user="zhangsan",
    person=PersonId(7),
    text="Lock the door?",
    buttons=(Button(text="Yes", key="yes"), Button(text="No", key="no")),
    anyone=False,
    asked=1_795_600_000_000,
    until=None,
    closed=None,
    answer="no",
)
ASKED_BY = AskingCommand(account="home", row_id=3, command_id="lock", user="wife")


def row_of(question: AskedQuestion, asker: AskingCommand) -> dict[str, Any]:
    """Returns the row of a question as a database reads it."""
    fields = {name: getattr(question, name) for name in AskedQuestion.__dataclass_fields__}
    del fields["asked_by"]
    columns = {
        "asker": asker.account,
        "asker_command": asker.row_id,
        "asker_command_id": asker.command_id,
        "asker_user": asker.user,
    }
    return {**fields, **columns, "buttons": buttons_text(question.buttons), "anyone": int(question.anyone)}


def test_a_question_is_read_as_it_was_stored() -> None:
    assert question_from_row(row_of(LOCK, LOCK.asker)) == LOCK


def test_a_question_of_another_account_names_the_command_that_asks() -> None:
    question = question_from_row(row_of(LOCK, ASKED_BY))
    assert question.asked_by == question.asker == ASKED_BY
    assert question.fallback_account == "office/zhangsan"


def test_a_question_of_its_own_account_has_no_fallback_account() -> None:
    assert LOCK.fallback_account == ""
    assert LOCK.asker == AskingCommand(
        account="office", row_id=11, command_id="lock~fallback", user="zhangsan"
    )


def test_the_answer_is_the_text_of_its_button() -> None:
    assert LOCK.answer_text == "No"
    assert replace(LOCK, answer="").answer_text == ""


def test_buttons_are_read_as_they_were_stored_and_half_a_letter_is_a_question_mark() -> None:
    assert buttons_from_json(json.loads(buttons_text(BUTTONS))) == (
        Button(text="Yes", key="yes"),
        Button(text="否?", key="no"),
    )


@pytest.mark.parametrize(
    "stored", [None, 3, "yes", {}, [3], [{"text": "Yes"}], [{"text": 1, "key": "yes"}], [["Yes", "yes"]]]
)
def test_what_is_no_button_is_left_out(stored: Json) -> None:
    assert buttons_from_json(stored) == ()


def test_the_asking_command_is_read_as_it_was_stored() -> None:
    assert asking_from_json(json.loads(json.dumps(asking_to_json(ASKED_BY)))) == ASKED_BY


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], "home", 3),
        *({**asking_to_json(ASKED_BY), "account": None}, {**asking_to_json(ASKED_BY), "row_id": "3"}),
        *({**asking_to_json(ASKED_BY), "row_id": None}, {**asking_to_json(ASKED_BY), "command_id": 7}),
        {**asking_to_json(ASKED_BY), "user": ["wife"]},
    ],
)
def test_what_is_no_asking_command_is_none(value: Json) -> None:
    assert asking_from_json(value) is None


@pytest.mark.parametrize(("words", "is_press"), [("", True), ("1", False)])
def test_an_attempt_without_words_is_the_press_of_a_button(words: str, is_press: bool) -> None:
    attempt = AnswerAttempt(
        person=PersonId(7), trusted=True, time=1, words=words, topic="wx/event/button", event={}
    )
    assert attempt.is_press is is_press
