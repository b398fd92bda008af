"""Commands and their results (DESIGN 4, 4.2). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from wx2mqtt.model import Status
from wx2mqtt.mqtt.commands import FILES, LONGEST_ID, PRIORITIES, SOURCES
from wx2mqtt.mqtt.payloads import RESULT_CODES
from wx2mqtt.schemas.shape import (
    Schema,
    always,
    either,
    filled,
    flag,
    many,
    moment,
    nothing_known,
    number,
    one_of,
    strict,
    text,
    thing,
    to,
    whole,
)

_NOT_BLANK = {"pattern": r"\S"}


def keys() -> dict[str, Schema]:
    """What every command may have."""
    return {
        "id": either(
            text("", minLength=1, maxLength=LONGEST_ID),
            {"type": "number"},
            meaning="sent once however often it is published; remembered for 7 days",
        ),
        "ttl": number("seconds that it may wait", exclusiveMinimum=0),
        "hold": flag("it may wait for a chance to be sent (iLink)"),
        "priority": one_of(PRIORITIES),
        "urgent": flag("it may go another way when WeChat takes too long"),
        "also_wechat": flag("and to WeChat all the same"),
        "name": text("of the file, as the receiver sees it"),
        "message_id": text("of what is to be withdrawn"),
    }


def definitions() -> dict[str, Schema]:
    """By name."""
    found = shapes()
    return {
        "command": {"title": "a command", "anyOf": [to(name) for name in found]},
        **{name: closed(shape) for name, shape in found.items()},
        "result": {"title": "a result", **_result()},
    }


def shapes() -> dict[str, Schema]:
    """The ways to write one, by name; open."""
    return {"command_text": _text(), "command_file": _file(), "command_recall": _recall()}


def closed(shape: Schema) -> Schema:
    """A key that nobody knows is refused: a misspelt one must not be ignored."""
    found = strict(shape)
    assert isinstance(found, dict)
    return found


def with_keys(shape: Schema, more: Mapping[str, Schema], *needed: str) -> Schema:
    """The same with further keys, of which some are always there."""
    properties, required = shape["properties"], shape.get("required", [])
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    whole_one: Schema = {**shape, "properties": {**properties, **more}}
    return {**whole_one, "required": [*required, *needed]} if required or needed else whole_one


def _text() -> Schema:
    may = {
        "kind": always("text"),
        "mention": many(text(), "in a group: topic names, or names as the group shows them"),
    }
    return thing("a text", {"text": text("", **_NOT_BLANK)}, {**may, **keys()})


def _file() -> Schema:
    sources = {
        "path": text("on the bridge's machine, below a folder of media.send_from", **_NOT_BLANK),
        "url": text("http or https", **_NOT_BLANK),
        "data": text("base64", contentEncoding="base64", **_NOT_BLANK),
    }
    empty: dict[str, Schema] = {"text": always(""), "mention": {"type": "array", "maxItems": 0}}
    shape = thing("a picture, a video or a file", {"kind": one_of(FILES)}, {**sources, **empty, **keys()})
    return {**shape, "oneOf": [{"required": [source]} for source in SOURCES]}


def _recall() -> Schema:
    must = {"kind": always("recall"), "message_id": filled("of a result, or of an own message")}
    may = {key: value for key, value in keys().items() if key != "message_id"}
    empty: dict[str, Schema] = {"text": always(""), "mention": {"type": "array", "maxItems": 0}}
    return thing("withdraw a message", must, {**may, **empty, **{source: text() for source in SOURCES}})


def _result() -> Schema:
    return thing(
        "the one result of a command; equal (account, id) is the same result",
        {
            "schema": always(1),
            "account": filled("of the configuration"),
            "id": text("of the command"),
            "user": text("as it was written"),
            "status": one_of(Status),
            "code": one_of(sorted(RESULT_CODES)),
            "message": text("in words"),
            "message_id": nothing_known(filled("WeChat's")),
            "time": moment(""),
            "retry_after": nothing_known(number("seconds", minimum=0)),
            "duplicate_possible": flag("an attempt was never answered: it may have arrived twice"),
        },
        {
            "parts": whole("messages that a long text became", 1),
            "parts_sent": nothing_known(whole("of them")),
            "fallback": filled("what became of the other way"),
        },
    )
