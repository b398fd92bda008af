"""Cards with buttons, and what a press says (wecom 5.6, 5.8).

    card("Open the garage?", [Button(text="Yes", key="yes"), …], "q1")

shows the question with two buttons. A press of the first one comes as an event with the key `yes` and the
task id `q1`. `answered_card` replaces the card by one that shows the choice.
"""

from __future__ import annotations

from collections.abc import Sequence

from wx2mqtt.model import Button, Json
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject, read_object, read_text

MAX_TITLE_CHARACTERS = 26
MAX_BODY_CHARACTERS = 112
MAX_BUTTONS = 6
MAX_TASK_ID_BYTES = 128

# A card that is replaced must have an action; this one opens WeCom's own page (error 42045 without).
_CARD_ACTION: dict[str, Json] = {"type": 1, "url": "https://work.weixin.qq.com"}

_FIRST_STYLE, _OTHER_STYLE = 1, 2


@frozen
class Press:
    """A button was pressed on the card with this task id."""

    task_id: str
    key: str


@frozen
class CardTexts:
    """The text of a question on a card."""

    title: str
    body: str = ""


def card_texts(text: str) -> CardTexts | None:
    """Returns where the text stands on a card, or None where it is too long for one.

    The title ends at the first line break, else at the last blank that it has place for.
    """
    text = text.strip()
    if len(text) <= MAX_TITLE_CHARACTERS and "\n" not in text:
        return CardTexts(title=text)
    title, body = _cut_title(text)
    return CardTexts(title=title, body=body) if len(body) <= MAX_BODY_CHARACTERS else None


def short_title(text: str) -> str:
    """Returns the title of a card whose text went before it as a message of its own."""
    title, rest = _cut_title(text.strip())
    return f"{title[: MAX_TITLE_CHARACTERS - 1]}…" if rest else title


def card(texts: CardTexts, buttons: Sequence[Button], task_id: str) -> dict[str, Json]:
    """Returns a card that asks. `task_id` is unique for the bot."""
    return {
        "card_type": "button_interaction",
        **_head(texts),
        "task_id": task_id,
        "button_list": [
            {"text": button.text, "key": button.key, "style": _OTHER_STYLE if index else _FIRST_STYLE}
            for index, button in enumerate(buttons)
        ],
    }


def answered_card(texts: CardTexts, choice: str, task_id: str) -> dict[str, Json]:
    """Returns the card that replaces one after a press: the question, and what was chosen."""
    body = "\n".join(filter(None, (texts.body, choice)))[:MAX_BODY_CHARACTERS]
    return {
        "card_type": "text_notice",
        **_head(CardTexts(title=texts.title, body=body)),
        "task_id": task_id,
        "card_action": _CARD_ACTION,
    }


def read_press(event: JsonObject) -> Press | None:
    """Reads the event `template_card_event`; returns None for one that names no button."""
    details = read_object(event, "template_card_event")
    task_id, key = read_text(details, "task_id"), read_text(details, "event_key")
    return Press(task_id=task_id, key=key) if task_id and key else None


def _head(texts: CardTexts) -> dict[str, Json]:
    head: dict[str, Json] = {"main_title": {"title": texts.title}}
    if texts.body:
        head["sub_title_text"] = texts.body
    return head


def _cut_title(text: str) -> tuple[str, str]:
    """Cuts a text behind its title; only white space between the two is lost."""
    first_line, _, other_lines = text.partition("\n")
    if len(first_line) <= MAX_TITLE_CHARACTERS:
        return first_line.rstrip(), other_lines.lstrip("\n")
    end = text.rfind(" ", 1, MAX_TITLE_CHARACTERS + 1)
    if end < 0:
        end = MAX_TITLE_CHARACTERS
    return text[:end], text[end:].lstrip(" ")
