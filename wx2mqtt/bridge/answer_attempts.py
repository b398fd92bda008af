"""Reads from received messages and presses what may answer a question. Pure.

    "１" of a trusted person     ->  an attempt with the words "1" at the newest question of the chat
    a quote with the text "yes"  ->  one at the question that it quotes
    a press of a card            ->  one at the question of that card

Whether it answers one is decided in the commit that stores it (`store/questions.py`).
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

# The id of a card: the key of its command, and which attempt has sent it.
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
    """Returns the id of the card that an attempt sends; `card` names the question."""
    return f"{_CARD_PREFIX}{card}-{attempt}"


def card_in(card_id: str) -> str:
    """Returns what names the question of a card; empty for a card of somebody else."""
    match = _CARD_ID.fullmatch(card_id)
    return match[1] if match else ""


def attempt_of_message(
    target: AnswerTarget, message: Message, chat: Person, sender: Sender | None, *, trusted: bool
) -> AnswerAttempt | None:
    """Returns what a message may answer; None for one that is no answer whatever was asked."""
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
    """Returns what a press may answer."""
    return AnswerAttempt(
        person=chat.id,
        trusted=trusted,
        time=time,
        topic=target.topic,
        event=_event(target, chat, sender, trusted=trusted, time=time, fields={}),
    )


def _unidentified_text(detail: Mapping[str, Json]) -> str:
    """Returns the quoted text; empty where the journal knows which message is quoted (`StoredQuotes`)."""
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
