"""Finds in received messages and presses what may answer a question. Pure.

    the text "１"                ->  an attempt to answer the newest question of the chat with "1"
    a quote with the text "yes"  ->  an attempt to answer the question that it quotes
    a press of a card            ->  an attempt to answer the question of that card

Whether the attempt answers a question is decided in the commit that stores it (`store/questions.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from wx2mqtt.buttons import MAX_ANSWER_CHARACTERS, answer_form
from wx2mqtt.model import Json, Kind, Message
from wx2mqtt.mqtt.payloads import event_body
from wx2mqtt.store.person_records import Person
from wx2mqtt.store.question_answers import BUTTON_EVENT
from wx2mqtt.store.question_records import AnswerAttempt
from wx2mqtt.values import frozen

# The id of a card has the key of its command, and the number of the attempt that has sent it: wx2mqtt-7-1.
_CARD_PREFIX = "wx2mqtt-"
_CARD_ID = re.compile(rf"{_CARD_PREFIX}([0-9]+)-[0-9]+", re.ASCII)

Sender = Mapping[str, Json]


@frozen
class AnswerTarget:
    """Where the event about an answer goes."""

    account: str
    #: `event/button`.
    topic: str


def card_id(card: str, attempt: int) -> str:
    """Returns the id of the card that an attempt sends; `card` is the key of the command that asks."""
    return f"{_CARD_PREFIX}{card}-{attempt}"


def card_in(card_id: str) -> str:
    """Returns the key of the command that sent a card; empty for a card of another program."""
    match = _CARD_ID.fullmatch(card_id)
    return match[1] if match else ""


def attempt_of_message(
    target: AnswerTarget, message: Message, chat: Person, sender: Sender | None, *, trusted: bool
) -> AnswerAttempt | None:
    """Returns the attempt of a message; None for one that can be no answer, whatever was asked."""
    if sender is None or message.kind not in (Kind.TEXT, Kind.QUOTE):
        return None
    text = message.text.strip()
    words = answer_form(text) if len(text) <= MAX_ANSWER_CHARACTERS else ""
    if not words:
        return None
    is_quote = message.kind is Kind.QUOTE
    return AnswerAttempt(
        person=chat.id,
        trusted=trusted,
        time=message.time,
        words=words,
        is_quote=is_quote,
        quoted_command_id=str(message.detail.get("command_id", "")) if is_quote else "",
        quoted_text=_unidentified_text(message.detail) if is_quote else "",
        topic=target.topic,
        event=_event(
            target,
            chat,
            sender,
            trusted=trusted,
            time=message.time,
            fields={"message_id": message.id} if message.id else {},
        ),
    )


def attempt_of_press(
    target: AnswerTarget, chat: Person, sender: Sender, *, trusted: bool, time: int
) -> AnswerAttempt:
    """Returns the attempt of a press."""
    return AnswerAttempt(
        person=chat.id,
        trusted=trusted,
        time=time,
        topic=target.topic,
        event=_event(target, chat, sender, trusted=trusted, time=time, fields={}),
    )


def _unidentified_text(detail: Mapping[str, Json]) -> str:
    """Returns the quoted text; empty if the journal knows which message is quoted (`StoredQuotes`)."""
    is_identified = "user" in detail or "self" in detail
    is_text = detail.get("kind", "text") == str(Kind.TEXT)
    return str(detail.get("text", "")) if is_text and not is_identified else ""


def _event(
    target: AnswerTarget,
    chat: Person,
    sender: Sender,
    *,
    trusted: bool,
    time: int,
    fields: Mapping[str, Json],
) -> dict[str, Json]:
    """Returns the event about an answer, without what is known of the question."""
    return event_body(
        BUTTON_EVENT,
        event_id="",
        account=target.account,
        time=time,
        user=chat.topic_name,
        fields={"sender": dict(sender), "trusted": trusted, **fields},
    )
