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

# The limits of the texts on a card, in units of UTF-16, of which an emoji has two. WeCom calls them advice; a
# card that keeps to them is taken by every client (wecom 5.8, 6.1).
MAX_TITLE_CHARACTERS = 26
MAX_DESCRIPTION_CHARACTERS = 30
MAX_BODY_CHARACTERS = 112
MAX_BUTTONS = 6
MAX_TASK_ID_BYTES = 128

# A card that is replaced must have an action; this one opens WeCom's own page (error 42045 without).
_CARD_ACTION: dict[str, Json] = {"type": 1, "url": "https://work.weixin.qq.com"}

# The `style` of a button: the first one is emphasized.
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
    title, body = _cut_title(text.strip())
    return CardTexts(title=title, body=body) if _size(body) <= MAX_BODY_CHARACTERS else None


def short_title(text: str) -> str:
    """Returns the title of a card whose text went before it as a message of its own."""
    title, rest = _cut_title(text.strip())
    return f"{title[: _fitting(title, MAX_TITLE_CHARACTERS - 1)]}…" if rest else title


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
    """Returns the card that replaces one after a press: the question, and `choice`, a few words about it."""
    body_end = _fitting(texts.body, MAX_BODY_CHARACTERS - _size(choice) - 1)
    body = "\n".join(filter(None, (texts.body[:body_end], choice)))
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
    if not texts.body:
        return {"main_title": {"title": texts.title}}
    if _size(texts.body) <= MAX_DESCRIPTION_CHARACTERS and "\n" not in texts.body:
        return {"main_title": {"title": texts.title, "desc": texts.body}}
    return {"main_title": {"title": texts.title}, "sub_title_text": texts.body}


def _cut_title(text: str) -> tuple[str, str]:
    """Cuts a text behind its title; only white space between the two is lost."""
    first_line, _, other_lines = text.partition("\n")
    if _size(first_line) <= MAX_TITLE_CHARACTERS:
        return first_line.rstrip(), other_lines.lstrip("\n")
    longest = _fitting(text, MAX_TITLE_CHARACTERS)
    last_blank = text.rfind(" ", 1, longest + 1)
    end = longest if last_blank < 0 else last_blank
    return text[:end], text[end:].lstrip(" ")


def _size(text: str) -> int:
    """Returns the length of a text in units of UTF-16."""
    return len(text) + sum(character > "\uffff" for character in text)


def _fitting(text: str, limit: int) -> int:
    """Returns the index up to which a text has at most so many units of UTF-16."""
    end = min(len(text), max(0, limit))
    while _size(text[:end]) > limit:
        end -= 1
    return end
