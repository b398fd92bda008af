"""JSON that servers sent, read leniently: always UTF-8, and no half of a character, no NaN comes out of it.

What no JSON object can be made of is an `Unreadable`, however deep or long it is.
"""

from __future__ import annotations

import json
import re
from typing import Any

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.wechat.fields import Entry

_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")


class Unreadable(Wx2MqttError):
    """The answer cannot be read."""


def parsed(body: bytes) -> Entry:
    """A JSON object."""
    try:
        answer = _DECODER.decode(body.decode("utf-8", "replace").lstrip("\ufeff"))
        if _LONE_SURROGATE.search(body):
            answer = _scrubbed(answer)
    except (ValueError, RecursionError):
        raise Unreadable from None
    if not isinstance(answer, dict):
        raise Unreadable
    return answer


def well_formed(text: str) -> str:
    """Text that can be written as UTF-8: halves of surrogate pairs become replacement characters."""
    return text if text.isascii() else _HALF.sub("\ufffd", text)


def _refused_constant(_: str) -> None:
    """NaN and Infinity are no numbers of anything here."""


# Not strict: control characters inside strings must not cost a whole batch.
_DECODER = json.JSONDecoder(strict=False, parse_constant=_refused_constant)


def _scrubbed(value: Any) -> Any:
    """Without halves of surrogate pairs, which could not be written anywhere."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list):
        return [_scrubbed(element) for element in value]
    if isinstance(value, dict):
        return {well_formed(key): _scrubbed(element) for key, element in value.items()}
    return value
