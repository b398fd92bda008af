"""The received messages and presses that may be answers to a question."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from tests.unit.bridge.commands_harness import person
from wx2mqtt.bridge.possible_answers import (
    AnswerTarget,
    attempt_of_message,
    attempt_of_press,
    card_id,
    card_in,
)
from wx2mqtt.model import ChatKind, Handle, Json, Kind, Message
from wx2mqtt.store.question_records import AnswerAttempt

TARGET = AnswerTarget(account="home", topic="wx/event/button")
SENDER: dict[str, Json] = {"user": "wife", "name": "老婆", "self": False}
WIFE = person(1, "wife")


def read_answer(text: str = "１", kind: Kind = Kind.TEXT, **more: Any) -> AnswerAttempt | None:
    values: dict[str, Any] = {
        "key": "k",
        "id": "m1",
        "chat": Handle("@wife"),
        "chat_kind": ChatKind.FRIEND,
        "sender": Handle("@wife"),
        "time": 1_795_600_000_000,
        **more,
    }
    return attempt_of_message(TARGET, Message(kind=kind, text=text, **values), WIFE, SENDER, trusted=True)


def test_a_short_text_is_one_with_what_the_event_says() -> None:
    attempt = read_answer(" １\n")
    assert attempt is not None
    assert (attempt.words, attempt.is_quote, attempt.person, attempt.trusted) == ("1", False, WIFE.id, True)
    assert attempt.topic == "wx/event/button"
    assert attempt.event == {
        "schema": 1,
        "event": "button",
        "id": "",
        "account": "home",
        "user": "wife",
        "time": "2026-11-25T09:46:40.000Z",
        "sender": SENDER,
        "trusted": True,
        "message_id": "m1",
    }


@every_row(
    ("text", "kind"),
    [("", Kind.TEXT), (" \n", Kind.TEXT), ("x" * 65, Kind.TEXT), ("1", Kind.VOICE), ("1", Kind.IMAGE)],
)
def test_what_is_long_or_no_text_is_none(text: str, kind: Kind) -> None:
    assert read_answer(text, kind) is None


def test_a_system_text_is_none() -> None:
    message = Message(
        key="k",
        id="m1",
        chat=Handle("@wife"),
        chat_kind=ChatKind.FRIEND,
        sender=None,
        kind=Kind.TEXT,
        text="1",
        time=1,
    )
    assert attempt_of_message(TARGET, message, WIFE, None, trusted=False) is None


@every_row(
    ("detail", "command_id", "text"),
    [
        ({"self": True, "command_id": "c1", "text": "lock?"}, "c1", ""),
        ({"self": True, "text": "typed on the phone"}, "", ""),
        ({"user": "wife", "text": "lock?"}, "", ""),
        ({"id": "unknown", "kind": "text", "text": "lock?"}, "", "lock?"),
        ({"text": "lock?"}, "", "lock?"),
        ({"kind": "image", "text": "[image]"}, "", ""),
    ],
)
def test_a_quote_names_a_command_or_has_a_text(detail: dict[str, Any], command_id: str, text: str) -> None:
    attempt = read_answer("1", Kind.QUOTE, detail=detail)
    assert attempt is not None
    assert attempt.is_quote
    assert (attempt.quoted_command_id, attempt.quoted_text) == (command_id, text)


def test_a_press_is_an_answer_without_words_and_message_id() -> None:
    attempt = attempt_of_press(TARGET, WIFE, SENDER, trusted=False, time=5)
    assert (attempt.words, attempt.trusted, attempt.time) == ("", False, 5)
    assert "message_id" not in attempt.event


@given(st.integers(0, 10**18), st.integers(1, 2))
def test_the_question_of_a_card_is_in_its_id(key: int, attempt: int) -> None:
    assert card_in(card_id(str(key), attempt)) == str(key)
    assert len(card_id(str(key), attempt)) <= 128


@every_row(
    "text", ["", "wx2mqtt-", "wx2mqtt-17", "wx2mqtt-17-", "wx2mqtt-１-1", "other-17-1", "wx2mqtt-17-1x"]
)
def test_a_card_of_somebody_else_has_none(text: str) -> None:
    assert card_in(text) == ""
