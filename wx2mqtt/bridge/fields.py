"""Reads the fields of a request to the bridge; what does not fit is a `BadCommand` with its key. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Json
from wx2mqtt.mqtt.topics import is_level

Fields = Mapping[str, Json]

LONGEST_NAME = 100  # characters of a remark or of a group's name; WeChat itself takes about 18 (webwx 6.1)
MOST_DIGITS = 12
_NO_LINE = frozenset({"Cc", "Zl", "Zp", "Cs"})  # control characters, line ends, halves of characters


def only(fields: Fields, *known: str) -> None:
    """Refuse what nobody knows: a misspelt key must not mean everything, or everybody."""
    for key in fields:
        if key not in known:
            raise BadCommand("bad_request", "unknown_key", key=key, known=", ".join(known))


def text(fields: Fields, key: str, default: str | None = None) -> str:
    """A text that is not empty; without a `default` it must be there."""
    value = fields.get(key, default)
    if not isinstance(value, str) or (not value and default is None):
        raise _wrong(key, "a text")
    return value


def level(fields: Fields, key: str) -> str:
    """The topic level of somebody."""
    value = fields.get(key)
    if not isinstance(value, str) or not is_level(value):
        raise _wrong(key, "a topic level")
    return value


def name(fields: Fields, key: str, *, empty: bool = False) -> str:
    """What somebody is to be called: one line that WeChat can hold; empty only where that means something."""
    value = fields.get(key)
    if not isinstance(value, str) or not (value.strip() or empty) or len(value) > LONGEST_NAME:
        raise _wrong(key, "one line of at most 100 characters")
    if any(unicodedata.category(sign) in _NO_LINE for sign in value):
        raise _wrong(key, "one line of at most 100 characters")
    return value.strip()


def whole(fields: Fields, key: str, default: int | None = None, *, least: int = 0) -> int | None:
    """A whole number, `least` or more."""
    value = fields.get(key, default)
    if value is None and key not in fields:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _wrong(key, "a whole number" if not least else "a whole number above 0")
    return value


def digits(fields: Fields, key: str) -> str:
    """A few digits that somebody reads and types; a number is taken as its text."""
    value = fields.get(key)
    typed = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(typed, str) or not (typed.strip().isascii() and typed.strip().isdigit()):
        raise _wrong(key, "1 to 12 digits")
    if len(typed.strip()) > MOST_DIGITS:
        raise _wrong(key, "1 to 12 digits")
    return typed.strip()


def names(fields: Fields, key: str) -> tuple[str, ...]:
    """Topic levels or names of people, each once; at least one."""
    value = fields.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise _wrong(key, "a list of names")
    return tuple(dict.fromkeys(map(str, value)))


def _wrong(key: str, expected: str) -> BadCommand:
    return BadCommand("bad_request", "bad_value", key=key, expected=expected)
