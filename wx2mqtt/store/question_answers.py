"""Which question an answer means, whether it counts, and what is published about it. Pure.

    "1"                                     ->  answers the question that was asked last
    "Yes", quoting "Lock the door? 1 Yes…"  ->  answers the quoted one, however old it is

An answer counts if its sender may answer and the question was open when it was written.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from wx2mqtt.buttons import text_with_buttons
from wx2mqtt.model import AskingCommand, Button, Json
from wx2mqtt.store.question_records import AnswerAttempt, AskedQuestion
from wx2mqtt.store.records import NewEvent

BUTTON_EVENT = "button"

# WeChat or a backend cuts a quoted text. Of a shorter beginning it is not certain what is quoted.
MIN_QUOTED_CHARACTERS = 30

# Some times of messages have whole seconds.
_SECOND_MS = 1000


def find_quoted(questions: Sequence[AskedQuestion], attempt: AnswerAttempt) -> AskedQuestion | None:
    """Returns the question that an attempt quotes; `questions` are those of the chat, the newest first."""
    if attempt.quoted_command_id:
        return next((row for row in questions if row.command_id == attempt.quoted_command_id), None)
    quoted = _one_line(attempt.quoted_text)
    if not quoted:
        return None
    return next((row for row in questions if _is_text_of(row, quoted)), None)


def _is_text_of(question: AskedQuestion, quoted: str) -> bool:
    """Returns whether a quoted text is this question, with or without lines, or a long beginning of it."""
    text = _one_line(question.text)
    whole = _one_line(text_with_buttons(question.text, question.buttons))
    return quoted in (text, whole) or (len(quoted) >= MIN_QUOTED_CHARACTERS and whole.startswith(quoted))


def _one_line(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).removesuffix("…").split())


def is_in_time(question: AskedQuestion, attempt: AnswerAttempt) -> bool:
    """Returns whether the question was open when this was written.

    What was written before it answers nothing. A quote of it and a press come after it whatever a clock says.
    """
    if question.closed is not None:
        return False
    if question.until is not None and attempt.time > question.until:
        return False
    is_bare = bool(attempt.words) and not attempt.is_quote
    return not is_bare or attempt.time >= _at_precision_of(attempt.time, question.asked)


def _at_precision_of(time: int, asked: int) -> int:
    """Returns when a question was asked; in whole seconds where the time to compare has no more."""
    return asked - asked % _SECOND_MS if time % _SECOND_MS == 0 else asked


def may_answer(question: AskedQuestion, attempt: AnswerAttempt) -> bool:
    """Returns whether the answers of this sender count."""
    return question.anyone or attempt.trusted


# What is published about an answer


def button_event(
    key: str, user: str, attempt: AnswerAttempt, question: AskedQuestion, button: Button
) -> NewEvent:
    body: dict[str, Json] = {
        **attempt.event,
        "id": f"{BUTTON_EVENT}:{question.command_id}:{question.asked}",
        "command_id": question.command_id,
        "key": button.key,
        "text": button.text,
    }
    return NewEvent(key=key, topic=attempt.topic, user=user, name=BUTTON_EVENT, time=attempt.time, body=body)


def button_event_elsewhere(
    key: str,
    topic: str,
    asked_by: AskingCommand,
    attempt: AnswerAttempt,
    question: AskedQuestion,
    button: Button,
) -> NewEvent:
    """Returns the event of the account that asks; its key is unlike that of anything that it has received."""
    event = button_event(f"{question.account}:{key}", asked_by.user, attempt, question, button)
    body: dict[str, Json] = {
        **event.body,
        "id": f"{BUTTON_EVENT}:{asked_by.command_id}:{question.asked}",
        "account": asked_by.account,
        "user": asked_by.user,
        "command_id": asked_by.command_id,
        "pressed_on": question.fallback_account,
    }
    return replace(event, topic=topic, body=body)


def button_of_message(question: AskedQuestion, button: Button) -> dict[str, Json]:
    """Returns the key `button` of a message; it names the account of a command that is another one's."""
    account: dict[str, Json] = {} if question.asked_by is None else {"account": question.asked_by.account}
    return {**account, "command_id": question.asking_id, "key": button.key}
