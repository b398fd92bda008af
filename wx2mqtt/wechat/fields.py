"""Reading loose JSON without surprises: a field has the type that was asked for, or is empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Entry = Mapping[str, Any]


def text(entry: Entry, key: str) -> str:
    """A text; numbers become their digits, anything else is empty."""
    value = entry.get(key)
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else ""


def number(entry: Entry, key: str) -> int:
    """An integer, also when it is written as text; anything else is 0."""
    value = entry.get(key)
    if isinstance(value, int):
        return int(value)
    return integer(value) if isinstance(value, str) else 0


def integer(digits: str) -> int:
    """The number that a text writes in ASCII digits, at most 20 of them; else 0."""
    unsigned = digits.strip().removeprefix("-")
    if not (unsigned.isascii() and unsigned.isdigit() and len(unsigned) <= 20):
        return 0
    return int(digits)


def inner(entry: Entry, key: str) -> Entry:
    """An object; anything else is an empty one."""
    value = entry.get(key)
    return value if isinstance(value, dict) else {}


def objects(entry: Entry, key: str) -> tuple[list[Entry], int]:
    """The objects in a list, and how many of its elements are none."""
    value = entry.get(key)
    if not isinstance(value, list):
        return [], 0
    good: list[Entry] = [element for element in value if isinstance(element, dict)]
    return good, len(value) - len(good)
