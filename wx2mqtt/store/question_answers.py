"""Which question an answer means, whether it counts, and what is published about it. Pure.

    "1"                                     ->  answers the question that was asked last
    "Yes", quoting "Lock the door? 1 Yes…"  ->  answers the quoted one, however old it is

An answer counts if its sender may answer and the question was open when it was written. A question belongs to
the command that asks it (`AskedQuestion.asker`): where a fallback account has sent it, that is a command of
another account.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from wx2mqtt.buttons import text_with_buttons
from wx2mqtt.model import Button, Json
from wx2mqtt.store.question_records import AnswerAttempt, AskedQuestion
from wx2mqtt.store.records import NewEvent

BUTTON_EVENT = "button"

# WeChat or a backend cuts a quoted text. Of a shorter beginning it is not certain what is quoted.
MIN_QUOTED_CHARACTERS = 30


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
    """Returns whether the question was open when this was written or pressed."""
    if question.closed is not None:
        return False
    if question.until is not None and attempt.time > question.until:
        return False
    if attempt.is_press or attempt.is_quote:  # they come after the question, whatever a clock says
        return True
    asked = question.asked
    if attempt.time % 1000 == 0:  # it has whole seconds only: nothing is known of the part of a second
        asked -= asked % 1000
    return attempt.time >= asked


def may_answer(question: AskedQuestion, attempt: AnswerAttempt) -> bool:
    """Returns whether the answers of this sender count."""
    return question.anyone or attempt.trusted


# What is published about an answer


def button_event(
    key: str, user: str, attempt: AnswerAttempt, question: AskedQuestion, button: Button
) -> NewEvent:
    """Returns the event as this account publishes it."""
    command_id = question.asker.command_id
    body: dict[str, Json] = {
        **attempt.event,
        "id": f"{BUTTON_EVENT}:{command_id}:{question.asked}",
        "command_id": command_id,
        "key": button.key,
        "text": button.text,
    }
    return NewEvent(key=key, topic=attempt.topic, user=user, name=BUTTON_EVENT, time=attempt.time, body=body)


def as_event_of_asker(event: NewEvent, question: AskedQuestion, topic: str) -> NewEvent:
    """Returns a button event as another account publishes it, whose command asks.

    Its key is unlike that of anything that the other account has received.
    """
    asker = question.asker
    body: dict[str, Json] = {
        **event.body,
        "account": asker.account,
        "user": asker.user,
        "pressed_on": question.fallback_account,
    }
    return replace(event, key=f"{question.account}:{event.key}", topic=topic, user=asker.user, body=body)


def button_of_message(question: AskedQuestion, button: Button) -> dict[str, Json]:
    """Returns the key `button` of a message; it names the account only where another one asks."""
    asker = question.asker
    body: dict[str, Json] = {"command_id": asker.command_id, "key": button.key}
    return body if question.asked_by is None else {"account": asker.account, **body}
