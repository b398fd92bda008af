"""Reads JSON that servers sent: always UTF-8, and a field has the type that was asked for or is empty.

No half of a character and no NaN comes out. A body that is no JSON object raises `UnreadableJson`, however
deep or long it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from wx2mqtt.errors import Wx2MqttError

JsonObject = Mapping[str, Any]


def read_text(entry: JsonObject, key: str) -> str:
    """A text; numbers become their digits, anything else is empty."""
    value = entry.get(key)
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else ""


def read_number(entry: JsonObject, key: str) -> int:
    """An integer, also when it is written as text; anything else is 0."""
    value = entry.get(key)
    if isinstance(value, int):
        return int(value)
    return read_integer(value) if isinstance(value, str) else 0


def read_integer(digits: str) -> int:
    """The number that a text writes in ASCII digits, at most 20 of them; else 0."""
    unsigned = digits.strip().removeprefix("-")
    if not (unsigned.isascii() and unsigned.isdigit() and len(unsigned) <= 20):
        return 0
    return int(digits)


def read_object(entry: JsonObject, key: str) -> JsonObject:
    """An object; anything else is an empty one."""
    value = entry.get(key)
    return value if isinstance(value, dict) else {}


def read_objects(entry: JsonObject, key: str) -> tuple[list[JsonObject], int]:
    """The objects in a list, and how many of its elements are none."""
    value = entry.get(key)
    if not isinstance(value, list):
        return [], 0
    good: list[JsonObject] = [element for element in value if isinstance(element, dict)]
    return good, len(value) - len(good)


_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


_HALF = re.compile("[\ud800-\udfff]")


class UnreadableJson(Wx2MqttError):
    """The answer cannot be read."""


def parse_json(body: bytes) -> JsonObject:
    """A JSON object."""
    try:
        answer = _DECODER.decode(body.decode("utf-8", "replace").lstrip("\ufeff"))
        if _LONE_SURROGATE.search(body):
            answer = _scrubbed(answer)
    except (ValueError, RecursionError):
        raise UnreadableJson from None
    if not isinstance(answer, dict):
        raise UnreadableJson
    return answer


def well_formed_text(text: str) -> str:
    """Text that can be written as UTF-8: halves of surrogate pairs become replacement characters."""
    return text if text.isascii() else _HALF.sub("\ufffd", text)


def _refused_constant(_: str) -> None:
    """NaN and Infinity are no numbers of anything here."""


# Not strict: control characters inside strings must not cost a whole batch.
_DECODER = json.JSONDecoder(strict=False, parse_constant=_refused_constant)


def _scrubbed(value: Any) -> Any:
    """Without halves of surrogate pairs, which could not be written anywhere."""
    if isinstance(value, str):
        return well_formed_text(value)
    if isinstance(value, list):
        return [_scrubbed(element) for element in value]
    if isinstance(value, dict):
        return {well_formed_text(key): _scrubbed(element) for key, element in value.items()}
    return value
