"""Cards: what is wrong with one, and what people see of it (wecom 5.8)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from wx2mqtt.simulator.wecom.codes import BAD_PARAMETER, CARD_ACTION_MISSING, Refused

Fields = dict[str, object]

_TASK_ID = re.compile(r"[0-9A-Za-z_@-]+")
_MAX_BYTES = {"task_id": 128, "key": 1024}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardButton:
    """What can be pressed. `key` is the `event_key` of the press."""

    text: str
    key: str
    style: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What can be chosen before the submit button is pressed."""

    question: str
    key: str
    text: str


@dataclass(slots=True, kw_only=True)
class Card:
    """A card as people see it. `chosen` is the text of a button that an update shows as pressed.

    `oddities`: what is longer than WeCom's documents allow, or unknown there.
    """

    card_type: str
    task_id: str
    title: str
    body: str
    buttons: tuple[CardButton, ...] = ()
    options: tuple[Option, ...] = ()
    url: str = ""
    oddities: list[str] = field(default_factory=list, compare=False)


def read_card(value: object, *, is_update: bool = False) -> Card:
    """Returns the card; raises `Refused` when WeCom would not take it.

    A card that updates another one must have a `card_action`.
    """
    fields = _object(value, "template_card")
    card_type = fields.get("card_type")
    reader = _READERS.get(str(card_type))
    if reader is None:
        raise Refused(BAD_PARAMETER, f"card_type is not one of {', '.join(_READERS)}")
    if is_update and not isinstance(fields.get("card_action"), dict):
        raise Refused(CARD_ACTION_MISSING, "a card without card_action updates another one")
    card = Card(
        card_type=str(card_type),
        task_id=_task_id(fields, required=str(card_type).endswith("_interaction")),
        title=_title(fields, "title"),
        body=_body(fields),
        url=str(_sub(fields, "card_action").get("url", "")),
    )
    card.oddities += _length_problems(fields)
    card.oddities += [f"template_card.{name} is not known" for name in sorted(fields.keys() - _KNOWN_FIELDS)]
    reader(card, fields)
    return card


_KNOWN_FIELDS = {
    *("card_type", "source", "action_menu", "main_title", "emphasis_content", "quote_area", "sub_title_text"),
    *("horizontal_content_list", "jump_list", "card_action", "task_id", "button_list", "button_selection"),
    *("checkbox", "submit_button", "select_list", "card_image", "image_text_area", "vertical_content_list"),
    *("feedback", "replace_text"),
}


def _object(value: object, name: str) -> Fields:
    if not isinstance(value, dict):
        raise Refused(BAD_PARAMETER, f"{name} is no object")
    return value


def _sub(fields: Fields, name: str) -> Fields:
    value = fields.get(name, {})
    return _object(value, name)


def _objects(fields: Fields, name: str, at_least: int, at_most: int) -> list[Fields]:
    value = fields.get(name, [])
    if not isinstance(value, list) or not at_least <= len(value) <= at_most:
        raise Refused(BAD_PARAMETER, f"{name} has not {at_least} to {at_most} entries")
    return [_object(one, name) for one in value]


def _text(fields: Fields, name: str, *, required: bool = True) -> str:
    value = fields.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value.strip()):
        raise Refused(BAD_PARAMETER, f"{name} of a card is no text")
    limit = _MAX_BYTES.get(name)
    if limit and len(value.encode()) > limit:
        raise Refused(BAD_PARAMETER, f"{name} of a card is longer than {limit} bytes")
    return value


def _title(fields: Fields, name: str) -> str:
    return _text(_sub(fields, "main_title"), name, required=False)


def _body(fields: Fields) -> str:
    rows = _objects(fields, "horizontal_content_list", 0, 6)
    lines = [
        _title(fields, "desc"),
        _text(fields, "sub_title_text", required=False),
        *(f"{one.get('keyname', '')}: {one.get('value', '')}" for one in rows),
    ]
    return "\n".join(line for line in lines if line)


def _task_id(fields: Fields, *, required: bool) -> str:
    task_id = _text(fields, "task_id", required=required)
    if task_id and not _TASK_ID.fullmatch(task_id):
        raise Refused(BAD_PARAMETER, "task_id has characters other than 0-9 A-Z a-z _ @ -")
    return task_id


def _length_problems(fields: Fields) -> list[str]:
    lengths = {
        "main_title.title is longer than 26 characters": (_title(fields, "title"), 26),
        "main_title.desc is longer than 30 characters": (_title(fields, "desc"), 30),
        "sub_title_text is longer than 112 characters": (
            _text(fields, "sub_title_text", required=False),
            112,
        ),
    }
    return [problem for problem, (text, limit) in lengths.items() if len(text) > limit]


def _require_title(card: Card) -> None:
    if not card.title.strip():
        raise Refused(BAD_PARAMETER, "main_title.title of a card is no text")


def _read_buttons(card: Card, fields: Fields) -> None:
    _require_title(card)
    card.buttons = tuple(_button(card, one) for one in _objects(fields, "button_list", 1, 6))
    keys = [button.key for button in card.buttons]
    if len({*keys}) < len(keys):
        card.oddities.append("two buttons have the same key")
    if "button_selection" in fields:
        card.options = _options(_sub(fields, "button_selection"), 10)


def _button(card: Card, fields: Fields) -> CardButton:
    button = CardButton(
        text=_text(fields, "text"), key=_text(fields, "key", required=False), style=_style(fields)
    )
    if not button.key and "url" not in fields:
        raise Refused(BAD_PARAMETER, "a button has no key")
    if len(button.text) > 10:
        card.oddities.append("the text of a button is longer than 10 characters")
    return button


def _style(fields: Fields) -> int:
    style = fields.get("style", 1)
    if type(style) is not int or not 1 <= style <= 4:
        raise Refused(BAD_PARAMETER, "style of a button is not 1 to 4")
    return style


def _options(fields: Fields, at_most: int) -> tuple[Option, ...]:
    question = _text(fields, "question_key")
    return tuple(
        Option(question=question, key=_text(one, "id"), text=_text(one, "text"))
        for one in _objects(fields, "option_list", 1, at_most)
    )


def _read_vote(card: Card, fields: Fields) -> None:
    _require_title(card)
    card.options = _options(_sub(fields, "checkbox"), 20)
    card.buttons = (_submit_button(fields),)


def _read_selects(card: Card, fields: Fields) -> None:
    _require_title(card)
    selects = _objects(fields, "select_list", 1, 3)
    card.options = tuple(option for one in selects for option in _options(one, 10))
    card.buttons = (_submit_button(fields),)


def _submit_button(fields: Fields) -> CardButton:
    button = _sub(fields, "submit_button")
    return CardButton(text=_text(button, "text"), key=_text(button, "key"))


def _read_notice(card: Card, fields: Fields) -> None:
    if not card.title and not fields.get("sub_title_text"):
        raise Refused(BAD_PARAMETER, "a card has neither main_title.title nor sub_title_text")
    _require_action(fields)
    emphasis = _sub(fields, "emphasis_content")
    card.body = "\n".join(filter(None, (str(emphasis.get("title", "")), card.body)))


def _read_news(card: Card, fields: Fields) -> None:
    _require_title(card)
    if "card_image" not in fields and "image_text_area" not in fields:
        raise Refused(BAD_PARAMETER, "a card of news has neither card_image nor image_text_area")
    _require_action(fields)


def _require_action(fields: Fields) -> None:
    if not isinstance(fields.get("card_action"), dict):
        raise Refused(CARD_ACTION_MISSING, "a notice has no card_action")


_READERS: dict[str, Callable[[Card, Fields], None]] = {
    "button_interaction": _read_buttons,
    "vote_interaction": _read_vote,
    "multiple_interaction": _read_selects,
    "text_notice": _read_notice,
    "news_notice": _read_news,
}
