"""Reads JSON from servers: a field has the requested type, or is empty.

The results contain no lone surrogate, no NaN and no infinity. Any body that is no JSON object, or exceeds
`WECHAT_JSON`, raises `UnreadableJson`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from wx2mqtt.bounded_json import JsonOutOfBounds, read_float
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.limits import WECHAT_JSON

JsonObject = Mapping[str, Any]

# A longer number is read as 0.
MAX_DIGITS = 20


def read_text(entry: JsonObject, key: str) -> str:
    """Returns a text; an integer becomes its digits, anything else an empty text."""
    value = entry.get(key)
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else ""


def read_number(entry: JsonObject, key: str) -> int:
    """Returns an integer, also one that is written as text; anything else becomes 0."""
    value = entry.get(key)
    if isinstance(value, int):
        return int(value)
    return read_integer(value) if isinstance(value, str) else 0


def read_integer(digits: str) -> int:
    """Returns the integer in a text of ASCII digits, with or without a minus sign, else 0."""
    bare = digits.strip()  # more than what `int` strips: the separators of ASCII, too
    unsigned = bare.removeprefix("-")
    if not (unsigned.isascii() and unsigned.isdigit() and len(unsigned) <= MAX_DIGITS):
        return 0
    return int(bare)


def read_base64(text: str) -> bytes | None:
    """Returns the bytes of a text in base64, also with `-_` for `+/`, or without `=`; None for another."""
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        return None


def read_object(entry: JsonObject, key: str) -> JsonObject:
    """Returns an object; anything else becomes an empty one."""
    value = entry.get(key)
    return value if isinstance(value, dict) else {}


def read_objects(entry: JsonObject, key: str) -> tuple[list[JsonObject], int]:
    """Returns the objects in a list, and how many of its elements are not objects."""
    value = entry.get(key)
    if not isinstance(value, list):
        return [], 0
    objects: list[JsonObject] = [element for element in value if isinstance(element, dict)]
    return objects, len(value) - len(objects)


# `\ud83d` in a body: half of a pair, or the begin of a whole one.
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class UnreadableJson(Wx2MqttError):
    """The body is no JSON object."""


def parse_json(body: bytes, kept_keys: frozenset[str] | None = None) -> JsonObject:
    """Decodes a body in UTF-8, without members of objects that are not in `kept_keys`.

    With them, a list of thousands of objects takes a third of the memory. Raises `UnreadableJson`.
    """
    try:
        WECHAT_JSON.check(body)
        answer = _decoder(kept_keys).decode(body.decode("utf-8", "replace").lstrip("\ufeff"))
        if _ESCAPED_SURROGATE.search(body):
            answer = _without_surrogates(answer)
    except (ValueError, RecursionError):
        raise UnreadableJson from None
    if not isinstance(answer, dict):
        raise UnreadableJson
    return answer


def _read_float(text: str) -> float | None:
    """Reads a number that is too large as null."""
    try:
        return read_float(text)
    except JsonOutOfBounds:
        return None


@cache
def _decoder(kept_keys: frozenset[str] | None) -> json.JSONDecoder:
    """Returns a decoder that keeps these members of each object; None: all."""
    # Not strict: a control character in one string must not make the whole batch unreadable.
    return json.JSONDecoder(
        strict=False,
        parse_float=_read_float,
        parse_constant=lambda _: None,  # NaN and Infinity
        object_pairs_hook=None if kept_keys is None else partial(_kept_members, kept_keys),
    )


def _kept_members(kept_keys: frozenset[str], members: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in members if key in kept_keys}


_SURROGATE = re.compile("[\ud800-\udfff]")


def _without_surrogates(value: Any) -> Any:
    """Replaces lone surrogates, which cannot be encoded as UTF-8, by U+FFFD."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(element) for element in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(element) for key, element in value.items()}
    return value
