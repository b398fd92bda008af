"""Reads the keys of a command that make a text a question: `buttons`, `buttons_for`, `buttons_from`. Pure.

    {"text": "Lock the door?", "buttons": ["Yes", {"text": "No", "key": "leave"}], "buttons_for": 600}

Each refusal is `BadCommand` with `bad_command`, and says which button is wrong.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wx2mqtt.bounded_json import is_encodable
from wx2mqtt.buttons import MAX_BUTTON_CHARACTERS, MAX_BUTTON_KEY_CHARACTERS, MAX_BUTTONS, answer_form
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import MAX_TTL_SECONDS
from wx2mqtt.model import Button, Json

BUTTON_KEYS = ("buttons", "buttons_for", "buttons_from")

# The values of `buttons_from`: only people with trust may answer, or everybody in the chat.
ANSWERERS = ("trusted", "anyone")

# Unicode categories of control characters, line ends and surrogates.
_NOT_IN_A_LINE = frozenset({"Cc", "Zl", "Zp", "Cs"})


def check_buttons_fit(kind: str, fields: Mapping[str, Json]) -> None:
    """Raises `BadCommand` for buttons beside anything but a text, and for `buttons_for` without buttons.

    Call it for fields that have at least one of `BUTTON_KEYS`.
    """
    first = next(key for key in BUTTON_KEYS if key in fields)
    if kind != "text":
        raise BadCommand("bad_command", "buttons_with_kind", key=first, kind=kind)
    if "buttons" not in fields:
        raise BadCommand("bad_command", "no_buttons", key=first)


def read_buttons(fields: Mapping[str, Json], key: str) -> tuple[Button, ...]:
    """Returns the buttons of a command. Raises `BadCommand`."""
    values = fields[key]
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_BUTTONS:
        raise BadCommand("bad_command", "bad_buttons", most=MAX_BUTTONS)
    buttons = tuple(_read_button(number, value) for number, value in enumerate(values, 1))
    _require_unlike([button.text for button in buttons], "text")
    _require_unlike([button.key for button in buttons], "key")
    return buttons


def _read_button(number: int, value: Json) -> Button:
    fields = {"text": value} if isinstance(value, str) else value
    if not isinstance(fields, dict) or not fields.keys() <= {"text", "key"}:
        raise BadCommand("bad_command", "bad_button", number=number)
    text = fields.get("text")
    if not isinstance(text, str) or not _is_button_text(text):
        raise BadCommand("bad_command", "bad_button_text", number=number, most=MAX_BUTTON_CHARACTERS)
    key = fields.get("key", text)
    if not isinstance(key, str) or not _is_button_key(key):
        raise BadCommand("bad_command", "bad_button_key", number=number, most=MAX_BUTTON_KEY_CHARACTERS)
    return Button(text=text, key=key)


def _is_button_text(text: str) -> bool:
    """Returns whether this can be on a button; digits alone would be taken for the number of another one."""
    if not 1 <= len(text) <= MAX_BUTTON_CHARACTERS or has_control_characters(text):
        return False
    form = answer_form(text)
    return bool(form) and not form.isdecimal()


def _is_button_key(key: str) -> bool:
    is_short = len(key) <= MAX_BUTTON_KEY_CHARACTERS
    return is_short and bool(key.strip()) and is_encodable(key)


def has_control_characters(text: str) -> bool:
    """Returns whether a text has a sign that cannot be in one line."""
    return any(unicodedata.category(character) in _NOT_IN_A_LINE for character in text)


def _require_unlike(values: Sequence[str], name: str) -> None:
    """Raises `BadCommand` where two texts or keys differ in nothing but NFC, case and width."""
    numbers: dict[str, int] = {}
    for number, value in enumerate(values, 1):
        other = numbers.setdefault(answer_form(value), number)
        if other != number:
            raise BadCommand("bad_command", "buttons_alike", name=name, first=other, second=number)


def read_seconds(fields: Mapping[str, Json], key: str) -> float:
    """Returns a time in seconds, at most `MAX_TTL_SECONDS`. Raises `BadCommand`."""
    value = fields[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise BadCommand("bad_command", "bad_value", key=key, expected="a number of seconds above 0")
    return float(min(value, MAX_TTL_SECONDS))


def read_buttons_from(fields: Mapping[str, Json], key: str) -> str:
    """Returns whose answer counts. Raises `BadCommand`."""
    value = fields[key]
    if value not in ANSWERERS:
        raise BadCommand("bad_command", "bad_value", key=key, expected="trusted or anyone")
    return str(value)


# What reads each of `BUTTON_KEYS`.
BUTTON_READERS: Mapping[str, Callable[[Mapping[str, Json], str], Any]] = {
    "buttons": read_buttons,
    "buttons_for": read_seconds,
    "buttons_from": read_buttons_from,
}
