"""Reads the fields of a request to the bridge; what does not fit is a `BadCommand` with its key. Pure.

Reading what people publish: a payload on `out/<user>` or `bridge/request/<name>`. Pure.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Mapping
from typing import Self

from wx2mqtt.errors import BadCommand
from wx2mqtt.message_kinds import attachment_kinds
from wx2mqtt.model import Command, Json
from wx2mqtt.mqtt.topics import is_level

Fields = Mapping[str, Json]


MAX_NAME_CHARACTERS = (
    100  # characters of a remark or of a group's name; WeChat itself takes about 18 (webwx 6.1.1)
)


MAX_CODE_DIGITS = 12


_NO_LINE = frozenset({"Cc", "Zl", "Zp", "Cs"})  # control characters, line ends, halves of characters


def reject_unknown_fields(fields: Fields, *known: str) -> None:
    """Refuse what nobody knows: a misspelt key must not mean everything, or everybody."""
    for key in fields:
        if key not in known:
            raise BadCommand("bad_request", "unknown_key", key=key, known=", ".join(known))


def read_text(fields: Fields, key: str, default: str | None = None) -> str:
    """A text that is not empty; without a `default` it must be there."""
    value = fields.get(key, default)
    if not isinstance(value, str) or (not value and default is None):
        raise _wrong(key, "a text")
    return value


def read_level(fields: Fields, key: str) -> str:
    """The topic level of somebody."""
    value = fields.get(key)
    if not isinstance(value, str) or not is_level(value):
        raise _wrong(key, "a topic level")
    return value


def read_name(fields: Fields, key: str, *, allow_empty: bool = False) -> str:
    """What somebody is to be called: one line that WeChat can hold; empty only where that means something."""
    value = fields.get(key)
    if not isinstance(value, str) or not (value.strip() or allow_empty) or len(value) > MAX_NAME_CHARACTERS:
        raise _wrong(key, "one line of at most 100 characters")
    if any(unicodedata.category(sign) in _NO_LINE for sign in value):
        raise _wrong(key, "one line of at most 100 characters")
    return value.strip()


def read_integer(fields: Fields, key: str, default: int | None = None, *, minimum: int = 0) -> int | None:
    """A whole number, `least` or more."""
    value = fields.get(key, default)
    if value is None and key not in fields:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise BadCommand("bad_request", "bad_integer", key=key, minimum=minimum)
    return value


def read_digits(fields: Fields, key: str) -> str:
    """A few digits that somebody reads and types; a number is taken as its text."""
    value = fields.get(key)
    typed = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(typed, str) or not (typed.strip().isascii() and typed.strip().isdigit()):
        raise _wrong(key, "1 to 12 digits")
    if len(typed.strip()) > MAX_CODE_DIGITS:
        raise _wrong(key, "1 to 12 digits")
    return typed.strip()


def read_names(fields: Fields, key: str) -> tuple[str, ...]:
    """Topic levels or names of people, each once; at least one."""
    value = fields.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise _wrong(key, "a list of names")
    return tuple(dict.fromkeys(map(str, value)))


def _wrong(key: str, expected: str) -> BadCommand:
    return BadCommand("bad_request", "bad_value", key=key, expected=expected)


FILE_KINDS = tuple(map(str, attachment_kinds()))


COMMAND_KINDS = ("text", *FILE_KINDS, "recall")


FILE_SOURCES = ("path", "url", "data")


PRIORITIES = ("high", "normal", "low")


COMMAND_KEYS = (
    *("text", "kind", "path", "url", "data", "name", "message_id"),
    *("id", "ttl", "mention", "hold", "priority", "urgent", "also_wechat"),
)


MAX_ID_CHARACTERS = 128  # characters


MAX_TTL_SECONDS = 10 * 365 * 86_400  # seconds; who asks for more means "for ever"


MAX_JSON_DEPTH = 64  # levels of a JSON object: what is read must be writable again (`transaction`)


class JsonDecimal(float):
    """A JSON number with a fraction or an exponent, which knows how it was written."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Raises `ValueError` for what is too large: JSON has no way to write infinity."""
        number = super().__new__(cls, text)
        if math.isinf(number):
            raise ValueError(text)
        number.text = text
        return number


FieldsCheck = Callable[[Mapping[str, Json]], None]
"""Raises `BadCommand` for what cannot be done at all, whatever else stands in the JSON object."""


def accept_any_fields(_fields: Mapping[str, Json]) -> None:
    """All is offered."""


def read_command(
    user: str, payload: bytes, content_type: str, check_fields: FieldsCheck = accept_any_fields
) -> Command:
    """A command from a payload on `out/<user>`; raises `BadCommand`, with the command's id if any."""
    media_type = content_type.partition(";")[0].strip().lower()
    is_object = payload.lstrip()[:1] == b"{" if media_type != "application/json" else True
    if media_type == "text/plain" or not is_object:
        return _text_command(user, payload)
    return command_from(user, _object(payload, "bad_json"), check_fields)


def _text_command(user: str, payload: bytes) -> Command:
    text = _decoded(payload)
    if not text.strip():
        raise BadCommand("empty", "empty")
    return Command(user=user, text=text)


def command_from(
    user: str, fields: Mapping[str, Json], check_fields: FieldsCheck = accept_any_fields
) -> Command:
    """A command from a JSON object (also of `request/send`); every problem names its key."""
    command_id = _id_of(fields)
    try:
        check_fields(fields)
        return _checked(user, command_id, fields)
    except BadCommand as bad:
        bad.command_id = command_id
        raise


def _checked(user: str, command_id: str, fields: Mapping[str, Json]) -> Command:
    if "text" not in fields and "kind" not in fields:
        raise BadCommand("bad_command", "no_text_no_kind")
    for key in fields:
        if key not in COMMAND_KEYS:
            raise BadCommand("bad_command", "unknown_key", key=key, known=", ".join(COMMAND_KEYS))
    kind = fields.get("kind", "text")
    if not isinstance(kind, str) or kind not in COMMAND_KINDS:
        raise BadCommand("bad_command", "unknown_kind", kind=kind, known=", ".join(COMMAND_KINDS))
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
    given = [key for key in FILE_SOURCES if key in fields]
    if kind == "text":
        if given:
            raise BadCommand("bad_command", "text_with_file", key=given[0])
        if not _text(fields, "text").strip():
            raise BadCommand("empty", "empty")
    elif _text(fields, "text"):
        raise BadCommand("bad_command", "text_and_kind", kind=kind)
    elif _names(fields):
        raise BadCommand("bad_command", "mention_without_text")
    elif kind in FILE_KINDS:
        _must_have_bytes(kind, given, fields)
    elif not _text(fields, "message_id"):
        raise _bad_value("message_id", "the id of a message")


def _must_have_bytes(kind: str, present: list[str], fields: Mapping[str, Json]) -> None:
    if len(present) != 1:
        raise BadCommand("bad_command", "one_source", kind=kind)
    if not _text(fields, present[0]).strip():
        if present == ["data"]:
            raise BadCommand("empty", "no_bytes")
        raise _bad_value(present[0], "a text")


def _id_of(fields: Mapping[str, Json]) -> str:
    """A number is taken as its text."""
    value = fields.get("id")
    if value is None and "id" not in fields:
        return ""
    if isinstance(value, JsonDecimal):
        value = value.text
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CHARACTERS or not _writable(value):
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
    return float(min(value, MAX_TTL_SECONDS))


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


def _object(payload: bytes, error_code: str) -> dict[str, Json]:
    code = "bad_command" if error_code == "bad_json" else error_code
    try:
        value = json.loads(_decoded(payload), parse_float=JsonDecimal, parse_constant=_no_constant)
    except BadCommand as bad:
        raise BadCommand(code, bad.message_key) from None
    except json.JSONDecodeError as wrong:
        problem = f"{wrong.msg} at character {wrong.pos + 1}"
        raise BadCommand(code, error_code, problem=problem) from None
    except ValueError:
        raise BadCommand(code, error_code, problem="a number in it is too large, or none") from None
    except RecursionError:
        raise BadCommand(code, error_code, problem=f"it has more than {MAX_JSON_DEPTH} levels") from None
    if not isinstance(value, dict):
        raise BadCommand(code, error_code, problem=f"it is a {type(value).__name__}")
    if payload.count(b"[") + payload.count(b"{") > MAX_JSON_DEPTH and _is_deeper(value, MAX_JSON_DEPTH):
        raise BadCommand(code, error_code, problem=f"it has more than {MAX_JSON_DEPTH} levels")
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
