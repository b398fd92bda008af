"""Parses what people publish: commands on `out/<user>`, and the fields of requests to the bridge. Pure.

    out/wife             home at six                                  a text, sent as it is
    out/wife             {"text": "home at six", "ttl": 600}          a command: `read_command`
    out/wife             {"kind": "image", "path": "door.jpg"}        a command with a file
    bridge/request/send  {"user": "wife", "text": "…"}                a request: `read_request`, `read_…`

This file refuses what the payload alone shows: `BadCommand` with `bad_json`, `bad_command`, `bad_request`,
`empty`, `too_long` or `too_large`. `bridge/commands/validation.py` refuses what recipient, backend or store
decide. A byte order mark, as PowerShell writes it, is no part of a payload.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from wx2mqtt.bounded_json import JsonBounds, JsonDecimal, JsonOutOfBounds, is_encodable, load_json
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import (
    COMMAND_JSON,
    MAX_CODE_DIGITS,
    MAX_COMMAND_ID_CHARACTERS,
    MAX_FACT_CHARACTERS,
    MAX_FIELD_CHARACTERS,
    MAX_MENTION_CHARACTERS,
    MAX_MENTIONS,
    MAX_NAME_CHARACTERS,
    MAX_REQUEST_INTEGER,
    MAX_TEXT_PAYLOAD_BYTES,
    MAX_TRANSACTION_BYTES,
    REQUEST_JSON,
)
from wx2mqtt.message_kinds import attachment_kinds
from wx2mqtt.model import Command, Json
from wx2mqtt.mqtt.command_buttons import (
    BUTTON_KEYS,
    BUTTON_READERS,
    check_buttons_fit,
    has_control_characters,
    read_seconds,
)
from wx2mqtt.mqtt.topics import is_topic_name

Fields = Mapping[str, Json]

FILE_KINDS = tuple(map(str, attachment_kinds()))
COMMAND_KINDS = ("text", *FILE_KINDS, "recall")
FILE_SOURCES = ("path", "url", "data")
PRIORITIES = ("high", "normal", "low")
FORMATS = ("text", "markdown")
# `model.Command` holds them, `schemas/requests.py` describes each. `bridge/commands/send_limits.py` decides
# when a command may be sent (`seconds_until_allowed`).
COMMAND_KEYS = (
    *("text", "kind", "path", "url", "data", "name", "message_id"),
    *("id", "ttl", "mention", "hold", "priority", "urgent", "also_wechat", "format"),
    *BUTTON_KEYS,
)


# Raises `BadCommand` for a command that is not supported at all, whatever else its fields hold.
FieldsCheck = Callable[[Fields], None]


# --- commands ---


def read_command(
    user: str,
    payload: bytes,
    content_type: str,
    check_fields: FieldsCheck | None = None,
    preset: Fields = MappingProxyType({}),
) -> Command:
    """Parses a payload on `out/<user>`: a JSON object, or a text that is sent as it is.

    `preset` are the keys that the topic sets: the object has them with the same value, or not at all.
    Raises BadCommand, with the id of the command if it has one.
    """
    payload = payload.removeprefix(BOM_UTF8)
    media_type = content_type.partition(";")[0].strip().lower()
    is_object = media_type == "application/json" or payload.lstrip()[:1] == b"{"
    if media_type == "text/plain" or not is_object:
        return command_from_fields(user, {"text": _read_bare_text(payload), **preset})
    fields = read_object(payload, COMMAND_JSON, "bad_command", "bad_json")
    if preset:
        _reject_other_values(fields, preset)
        fields = {**fields, **preset}
    return command_from_fields(user, fields, check_fields)


def _reject_other_values(fields: Fields, preset: Fields) -> None:
    """Raises BadCommand where a command says something else than its topic."""
    for key, value in preset.items():
        if key in fields and fields[key] != value:
            bad = BadCommand("bad_command", "differs_from_topic", key=key, value=json.dumps(value))
            bad.command_id = read_command_id(fields)
            raise bad


def _read_bare_text(payload: bytes) -> str:
    if len(payload) > MAX_TEXT_PAYLOAD_BYTES:
        raise BadCommand("too_long", "too_large", size=len(payload), limit=MAX_TEXT_PAYLOAD_BYTES)
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        raise BadCommand("bad_command", "not_utf8") from None
    if not text.strip():
        raise BadCommand("empty", "empty")
    return text


def command_from_fields(
    user: str, fields: Fields, check_fields: FieldsCheck | None = None, *, has_upload: bool = False
) -> Command:
    """Builds a command from the fields of a JSON object, also of the request `send`. Raises BadCommand.

    With `has_upload` its file came beside the fields, which may name no other.
    """
    command_id = read_command_id(fields)
    try:
        if check_fields is not None:
            check_fields(fields)
        return _build(user, command_id, fields, has_upload=has_upload)
    except BadCommand as bad:
        bad.command_id = command_id
        raise


def _build(user: str, command_id: str, fields: Fields, *, has_upload: bool) -> Command:
    if "text" not in fields and "kind" not in fields:
        raise BadCommand("bad_command", "no_text_no_kind")
    for key in fields:
        if key not in COMMAND_KEYS:
            raise BadCommand("bad_command", "unknown_key", key=key, known=", ".join(COMMAND_KEYS))
    kind = fields.get("kind", "text")
    if not isinstance(kind, str):
        raise _bad_value("kind", "a text")
    if kind not in COMMAND_KINDS:
        raise BadCommand("bad_command", "unknown_kind", kind=kind, known=", ".join(COMMAND_KINDS))
    _check_completeness(kind, fields, has_upload=has_upload)
    values: dict[str, Any] = {}
    for key, read in _READERS.items():
        if key in fields:
            values[key] = read(fields, key)
    markdown = "format" in fields and _is_markdown(fields)
    return Command(user=user, kind=kind, id=command_id, markdown=markdown, **values)


def _check_completeness(kind: str, fields: Fields, *, has_upload: bool) -> None:
    """Each kind has the fields that it needs, and none that would be ignored."""
    if not fields.keys().isdisjoint(BUTTON_KEYS):
        check_buttons_fit(kind, fields)
    if has_upload:
        _check_upload(kind, fields)
    if kind == "text":
        _check_text(fields)
    elif _read_mention(fields, "mention"):
        raise BadCommand("bad_command", "mention_without_text")
    elif kind in FILE_KINDS:
        if not has_upload:
            _check_file_source(kind, fields)
    elif _read_string(fields, "text"):
        raise BadCommand("bad_command", "text_and_kind", kind=kind)
    elif not _read_string(fields, "message_id"):
        raise _bad_value("message_id", "the id of a message")
    if "format" in fields and _is_markdown(fields) and not _read_string(fields, "text").strip():
        raise BadCommand("bad_command", "format_without_text")


def _check_text(fields: Fields) -> None:
    """There is a text, and no file."""
    for source in FILE_SOURCES:
        if source in fields:
            raise BadCommand("bad_command", "text_with_file", key=source)
    if not _read_string(fields, "text").strip():
        raise BadCommand("empty", "empty")


def _check_upload(kind: str, fields: Fields) -> None:
    """The file came beside the fields: they name no other, and its kind has a file."""
    for source in FILE_SOURCES:
        if source in fields:
            raise BadCommand("bad_command", "upload_and_source", key=source)
    if kind not in FILE_KINDS:
        raise BadCommand("bad_command", "upload_and_source", key="kind")


def _check_file_source(kind: str, fields: Fields) -> None:
    """The fields name one file."""
    sources = [source for source in FILE_SOURCES if source in fields]
    if len(sources) != 1:
        raise BadCommand("bad_command", "one_source", kind=kind)
    (source,) = sources
    if not _read_string(fields, source).strip():
        if source == "data":
            raise BadCommand("empty", "no_bytes")
        raise _bad_value(source, "a text")


def read_command_id(fields: Fields) -> str:
    """Returns the id, also of a number, as its text; empty without one. Raises BadCommand."""
    value = fields.get("id")
    if value is None and "id" not in fields:
        return ""
    if isinstance(value, JsonDecimal):
        value = value.text
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= MAX_COMMAND_ID_CHARACTERS
        or not is_encodable(value)
    ):
        raise _bad_value("id", "1 to 128 characters")
    return value


def _read_string(fields: Fields, key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str) or not is_encodable(value):
        raise _bad_value(key, "a text")
    return value


def _read_text(fields: Fields, key: str) -> str:
    text = _read_string(fields, key)
    if len(text) > MAX_TEXT_PAYLOAD_BYTES:
        raise BadCommand("too_long", "too_large", size=len(text), limit=MAX_TEXT_PAYLOAD_BYTES)
    return text


def _read_short_string(fields: Fields, key: str) -> str:
    value = _read_string(fields, key)
    if len(value) > MAX_FIELD_CHARACTERS:
        raise BadCommand("bad_command", "value_too_long", key=key, limit=MAX_FIELD_CHARACTERS)
    return value


def _is_markdown(fields: Fields) -> bool:
    value = fields["format"]
    if value not in FORMATS:
        raise _bad_value("format", "text or markdown")
    return value == "markdown"


def _read_switch(fields: Fields, key: str) -> bool:
    value = fields[key]
    if not isinstance(value, bool):
        raise _bad_value(key, "true or false")
    return value


def _read_mention(fields: Fields, key: str) -> tuple[str, ...]:
    value = fields.get(key, [])
    if not isinstance(value, list):
        raise _bad_value(key, "a list of names")
    names = tuple(name for name in value if isinstance(name, str) and is_encodable(name))
    if len(names) != len(value):
        raise _bad_value(key, "a list of names")
    if len(names) > MAX_MENTIONS:
        raise BadCommand("bad_command", "too_many_values", key=key, limit=MAX_MENTIONS)
    if any(len(name) > MAX_MENTION_CHARACTERS for name in names):
        raise BadCommand("bad_command", "value_too_long", key=key, limit=MAX_MENTION_CHARACTERS)
    return names


def _read_priority(fields: Fields, key: str) -> str:
    value = fields[key]
    if value not in PRIORITIES:
        raise _bad_value(key, "high, normal or low")
    return str(value)


# Of the fields of a command that are present, in the order in which they are checked.
_READERS: Mapping[str, Callable[[Fields, str], Any]] = {
    "text": _read_text,
    "path": _read_short_string,
    "url": _read_short_string,
    "data": _read_string,
    "name": _read_short_string,
    "message_id": _read_short_string,
    "mention": _read_mention,
    "ttl": read_seconds,
    "hold": _read_switch,
    "priority": _read_priority,
    "urgent": _read_switch,
    "also_wechat": _read_switch,
    **BUTTON_READERS,
}


def _bad_value(key: str, expected: str, code: str = "bad_command") -> BadCommand:
    """`expected` is a key of the translations (`i18n/results.py`), hence a literal."""
    return BadCommand(code, "bad_value", key=key, expected=expected)


# --- fields of requests ---


def read_request(payload: bytes, bounds: JsonBounds = REQUEST_JSON) -> dict[str, Json]:
    """Parses the payload of a request; an empty one has no fields. Raises BadCommand with `bad_request`."""
    payload = payload.removeprefix(BOM_UTF8)
    return read_object(payload, bounds, "bad_request", "bad_request") if payload.strip() else {}


def pop_transaction(fields: dict[str, Json]) -> Json:
    """Removes `transaction` from the fields and returns it. Raises BadCommand for one too large to echo."""
    transaction = fields.pop("transaction", None)
    if _is_too_large(transaction):
        raise BadCommand("bad_request", "transaction_too_large", limit=MAX_TRANSACTION_BYTES)
    return transaction


def transaction_echo(fields: Fields) -> Json:
    """Returns the `transaction` for the answer: of a text that is too large its beginning, else nothing."""
    transaction = fields.get("transaction")
    if not _is_too_large(transaction):
        return transaction
    return transaction[:MAX_FACT_CHARACTERS] if isinstance(transaction, str) else None


def _is_too_large(transaction: Json) -> bool:
    if isinstance(transaction, str) and len(transaction) > MAX_TRANSACTION_BYTES:
        return True
    return len(json.dumps(transaction, ensure_ascii=False).encode("utf-8", "replace")) > MAX_TRANSACTION_BYTES


def reject_unknown_fields(fields: Fields, *known: str) -> None:
    """Raises BadCommand for an unknown key: a misspelt filter must not select all contacts.

    `fields` are those without `transaction`, which every request knows.
    """
    for key in fields:
        if key not in known:
            raise BadCommand("bad_request", "unknown_key", key=key, known=", ".join((*known, "transaction")))


def read_text(fields: Fields, key: str, default: str | None = None) -> str:
    """Returns a text; without a `default` the key is required and the text not empty."""
    value = fields.get(key, default)
    if not isinstance(value, str) or (not value and default is None):
        raise _bad_value(key, "a text", "bad_request")
    return value


def read_topic_name(fields: Fields, key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not is_topic_name(value):
        raise _bad_value(key, "a topic level", "bad_request")
    return value


def read_name(fields: Fields, key: str, *, allow_empty: bool = False) -> str:
    """Returns a remark or a name of a group: one line, which may be empty with `allow_empty`."""
    value = fields.get(key)
    is_name = isinstance(value, str) and (value.strip() or allow_empty) and len(value) <= MAX_NAME_CHARACTERS
    if not is_name or has_control_characters(str(value)):
        raise _bad_value(key, "one line of at most 100 characters", "bad_request")
    return str(value).strip()


def read_integer(fields: Fields, key: str, default: int | None = None, *, minimum: int = 0) -> int | None:
    """Returns a whole number of at least `minimum`, at most that of SQLite; `default` without the key."""
    value = fields.get(key, default)
    if value is None and key not in fields:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise BadCommand("bad_request", "bad_integer", key=key, minimum=minimum)
    return min(value, MAX_REQUEST_INTEGER)


def read_flag(fields: Fields, key: str) -> bool:
    value = fields.get(key, False)
    if not isinstance(value, bool):
        raise _bad_value(key, "true or false", "bad_request")
    return value


def read_digits(fields: Fields, key: str) -> str:
    """Returns digits that a person has typed, also from a number."""
    value = fields.get(key)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    digits = text.strip() if isinstance(text, str) else ""
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MAX_CODE_DIGITS):
        raise _bad_value(key, "1 to 12 digits", "bad_request")
    return digits


def read_names(fields: Fields, key: str) -> tuple[str, ...]:
    """Returns at least one topic name or name of a person, each once."""
    value = fields.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(name, str) and name for name in value):
        raise _bad_value(key, "a list of names", "bad_request")
    return tuple(dict.fromkeys(map(str, value)))


# --- JSON ---


def read_object(payload: bytes, bounds: JsonBounds, code: str, message_key: str) -> dict[str, Json]:
    """Returns the object that a payload is; numbers with a point are `JsonDecimal`.

    Raises BadCommand with `too_large`, or with the code and the message key.
    """
    if len(payload) > bounds.max_bytes:
        raise BadCommand("too_large", "too_large", size=len(payload), limit=bounds.max_bytes)
    try:
        value = load_json(payload, bounds, JsonDecimal)
    except UnicodeDecodeError:
        raise BadCommand(code, "not_utf8") from None
    except json.JSONDecodeError as wrong:
        problem = f"{wrong.msg} at character {wrong.pos + 1}"
        raise BadCommand(code, message_key, problem=problem) from None
    except JsonOutOfBounds as wrong:
        raise BadCommand(code, message_key, problem=str(wrong)) from None
    if not isinstance(value, dict):
        raise BadCommand(code, message_key, problem=f"it is a {type(value).__name__}")
    return value
