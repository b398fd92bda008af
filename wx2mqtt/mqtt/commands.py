"""Reading what people publish: a payload on `out/<user>` or `bridge/request/<name>` (DESIGN 4.2). Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Self

from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Command, Json

KINDS = ("text", "image", "video", "file", "recall")
FILES = ("image", "video", "file")
SOURCES = ("path", "url", "data")
PRIORITIES = ("high", "normal", "low")
KEYS = (
    *("text", "kind", "path", "url", "data", "name", "message_id"),
    *("id", "ttl", "mention", "hold", "priority", "urgent", "also_wechat"),
)
LONGEST_ID = 128  # characters
LONGEST_TTL = 10 * 365 * 86_400  # seconds; who asks for more means "for ever"
DEEPEST = 64  # levels of a JSON object: what is read must be writable again (`transaction`)


class Written(float):
    """A JSON number with a fraction or an exponent, which knows how it was written."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Raises `ValueError` for what is too large: JSON has no way to write infinity."""
        number = super().__new__(cls, text)
        if math.isinf(number):
            raise ValueError(text)
        number.text = text
        return number


Offered = Callable[[Mapping[str, Json]], None]
"""Raises `BadCommand` for what cannot be done at all, whatever else stands in the JSON object."""


def anything_goes(_fields: Mapping[str, Json]) -> None:
    """All is offered."""


def read_command(user: str, payload: bytes, content_type: str, offered: Offered = anything_goes) -> Command:
    """A command from a payload on `out/<user>`; raises `BadCommand`, with the command's id if any."""
    media_type = content_type.partition(";")[0].strip().lower()
    is_object = payload.lstrip()[:1] == b"{" if media_type != "application/json" else True
    if media_type == "text/plain" or not is_object:
        return _text_command(user, payload)
    return command_from(user, _object(payload, "bad_json"), offered)


def _text_command(user: str, payload: bytes) -> Command:
    text = _decoded(payload)
    if not text.strip():
        raise BadCommand("empty", "empty")
    return Command(user=user, text=text)


def command_from(user: str, fields: Mapping[str, Json], offered: Offered = anything_goes) -> Command:
    """A command from a JSON object (also of `request/send`); every problem names its key."""
    command_id = _id_of(fields)
    try:
        offered(fields)
        return _checked(user, command_id, fields)
    except BadCommand as bad:
        bad.command_id = command_id
        raise


def _checked(user: str, command_id: str, fields: Mapping[str, Json]) -> Command:
    if "text" not in fields and "kind" not in fields:
        raise BadCommand("bad_command", "no_text_no_kind")
    for key in fields:
        if key not in KEYS:
            raise BadCommand("bad_command", "unknown_key", key=key, known=", ".join(KEYS))
    kind = fields.get("kind", "text")
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadCommand("bad_command", "unknown_kind", kind=kind, known=", ".join(KINDS))
    _must_be_whole(kind, fields)
    return Command(
        user=user,
        kind=kind,
        id=command_id,
        text=_text(fields, "text"),
        path=_text(fields, "path"),
        url=_text(fields, "url"),
        data=_text(fields, "data"),
        name=_text(fields, "name"),
        message_id=_text(fields, "message_id"),
        mention=_names(fields),
        ttl=_seconds(fields),
        hold=_switch(fields, "hold", default=True),
        priority=_priority(fields),
        urgent=_switch(fields, "urgent", default=False),
        also_wechat=_switch(fields, "also_wechat", default=False),
    )


def _must_be_whole(kind: str, fields: Mapping[str, Json]) -> None:
    """Each kind has what it needs, and nothing that would be left out in silence."""
    given = [key for key in SOURCES if key in fields]
    if kind == "text":
        if given:
            raise BadCommand("bad_command", "text_with_file", key=given[0])
        if not _text(fields, "text").strip():
            raise BadCommand("empty", "empty")
    elif _text(fields, "text"):
        raise BadCommand("bad_command", "text_and_kind", kind=kind)
    elif _names(fields):
        raise BadCommand("bad_command", "mention_without_text")
    elif kind in FILES:
        _must_have_bytes(kind, given, fields)
    elif not _text(fields, "message_id"):
        raise _bad_value("message_id", "the id of a message")


def _must_have_bytes(kind: str, given: list[str], fields: Mapping[str, Json]) -> None:
    if len(given) != 1:
        raise BadCommand("bad_command", "one_source", kind=kind)
    if not _text(fields, given[0]).strip():
        if given == ["data"]:
            raise BadCommand("empty", "no_bytes")
        raise _bad_value(given[0], "a text")


def _id_of(fields: Mapping[str, Json]) -> str:
    """A number is taken as its text (DESIGN 4.2)."""
    value = fields.get("id")
    if value is None and "id" not in fields:
        return ""
    if isinstance(value, Written):
        value = value.text
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_ID or not _writable(value):
        raise _bad_value("id", "1 to 128 characters")
    return value


def _text(fields: Mapping[str, Json], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str) or not _writable(value):
        raise _bad_value(key, "a text")
    return value


def _switch(fields: Mapping[str, Json], key: str, *, default: bool) -> bool:
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise _bad_value(key, "true or false")
    return value


def _seconds(fields: Mapping[str, Json]) -> float | None:
    value = fields.get("ttl")
    if value is None and "ttl" not in fields:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise _bad_value("ttl", "a number of seconds above 0")
    return float(min(value, LONGEST_TTL))


def _names(fields: Mapping[str, Json]) -> tuple[str, ...]:
    value = fields.get("mention", [])
    if not isinstance(value, list):
        raise _bad_value("mention", "a list of names")
    names = tuple(name for name in value if isinstance(name, str) and _writable(name))
    if len(names) != len(value):
        raise _bad_value("mention", "a list of names")
    return names


def _priority(fields: Mapping[str, Json]) -> str:
    value = fields.get("priority", "normal")
    if value not in PRIORITIES:
        raise _bad_value("priority", "high, normal or low")
    return str(value)


def _bad_value(key: str, expected: str) -> BadCommand:
    return BadCommand("bad_command", "bad_value", key=key, expected=expected)


def _writable(text: str) -> bool:
    """False for lone surrogates, which JSON can escape and UTF-8 cannot hold."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def read_request(payload: bytes) -> dict[str, Json]:
    """The fields of a request; an empty payload has none. Raises `BadCommand` with code `bad_request`."""
    return _object(payload, "bad_request") if payload.strip() else {}


def _object(payload: bytes, trouble: str) -> dict[str, Json]:
    code = "bad_command" if trouble == "bad_json" else trouble
    try:
        value = json.loads(_decoded(payload), parse_float=Written, parse_constant=_no_constant)
    except BadCommand as bad:
        raise BadCommand(code, bad.word) from None
    except json.JSONDecodeError as wrong:
        problem = f"{wrong.msg} at character {wrong.pos + 1}"
        raise BadCommand(code, trouble, problem=problem) from None
    except ValueError:
        raise BadCommand(code, trouble, problem="a number in it is too large, or none") from None
    except RecursionError:
        raise BadCommand(code, trouble, problem=f"it has more than {DEEPEST} levels") from None
    if not isinstance(value, dict):
        raise BadCommand(code, trouble, problem=f"it is a {type(value).__name__}")
    if payload.count(b"[") + payload.count(b"{") > DEEPEST and _is_deeper(value, DEEPEST):
        raise BadCommand(code, trouble, problem=f"it has more than {DEEPEST} levels")
    return value


def _is_deeper(value: Json, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 1 or _is_deeper(one, levels - 1) for one in inner if isinstance(one, (dict, list)))


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _decoded(payload: bytes) -> str:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        raise BadCommand("bad_command", "not_utf8") from None
