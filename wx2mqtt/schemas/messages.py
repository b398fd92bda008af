"""Messages: one schema for each kind (DESIGN 4). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from wx2mqtt.model import ChatKind, Kind
from wx2mqtt.schemas.shape import (
    Schema,
    always,
    filled,
    flag,
    many,
    moment,
    number,
    one_of,
    text,
    thing,
    to,
    whole,
)
from wx2mqtt.store.rows import MediaState

BYTES: Mapping[str, Schema] = {
    "state": one_of(MediaState, "whether the bytes are there; `event/media` tells when that changes"),
    "url": filled("where they are on the bridge's web server; a whole address with web.url"),
    "mime": filled("what they are: by their content once they are there, as announced before"),
    "size": whole("bytes; announced until they are there"),
    "name": text("of the file"),
    "path": filled("where they lie below the folder of the store"),
    "sha256": text("in hex", pattern="^[0-9a-f]{64}$"),
    "width": whole("pixels", 1),
    "height": whole("pixels", 1),
    "data": text("base64 of small ones (media.inline_below)", contentEncoding="base64"),
}
"""What is said of bytes, wherever there are some."""

THUMBNAIL: Mapping[str, Schema] = {"thumbnail": to("bytes")}
_ARTICLE = {"title": text(), "description": text(), "url": text()}

DETAILS: Mapping[Kind, Mapping[str, Schema]] = {
    Kind.TEXT: {},
    Kind.IMAGE: {**BYTES, **THUMBNAIL},
    Kind.VOICE: {
        **BYTES,
        "duration": number("seconds", minimum=0),
        "transcript": flag("the text is what WeChat heard, in writing"),
    },
    Kind.VIDEO: {**BYTES, **THUMBNAIL, "duration": number("seconds", minimum=0)},
    Kind.STICKER: {
        **BYTES,
        "game": one_of(("dice", "rock_paper_scissors"), "a sticker that rolls a result"),
        "result": one_of(("1", "2", "3", "4", "5", "6", "rock", "paper", "scissors")),
    },
    Kind.FILE: dict(BYTES),
    Kind.LINK: {
        **_ARTICLE,
        **THUMBNAIL,
        "source": text("who published it"),
        "audio": text("the song itself"),
        "items": many(thing("", {}, _ARTICLE), "further articles of the same message"),
    },
    Kind.MINI_PROGRAM: {
        **THUMBNAIL,
        "title": text(),
        "url": text("what is shown where there are no mini programs"),
        "app": text("its name"),
        "page": text("the page within it"),
    },
    Kind.LOCATION: {
        **THUMBNAIL,
        "lat": number("degrees", minimum=-90, maximum=90),
        "lon": number("degrees", minimum=-180, maximum=180),
        "label": text("what the place is called"),
        "address": text(),
        "live": flag("it moves; the phone shows where"),
    },
    Kind.CARD: {"name": text(), "alias": text("WeChat ID"), "province": text(), "city": text()},
    Kind.QUOTE: {
        "id": text("of the message that is answered"),
        "kind": one_of(Kind),
        "text": text("a line of it"),
        "sender": text("a name"),
        "user": text("the topic name of who wrote it, where that is known"),
        "self": flag("it was one of ours"),
        "command_id": text("the id of the command that sent it"),
    },
    Kind.CHAT_HISTORY: {
        **THUMBNAIL,
        "title": text(),
        "items": many(
            thing(
                "",
                {"kind": one_of(Kind)},
                {"sender": text("a name"), "text": text(), "time": moment("when")},
            ),
            "what was forwarded",
        ),
    },
    Kind.TRANSFER: {
        **THUMBNAIL,
        "amount": text("a decimal number", pattern=r"^\d+(\.\d+)?$"),
        "currency": text("such as CNY"),
        "note": text(),
        "state": one_of(("pending", "accepted", "returned")),
    },
    Kind.RED_PACKET: {
        **THUMBNAIL,
        "note": text(),
        "amount": text(pattern=r"^\d+(\.\d+)?$"),
        "currency": text(),
    },
    Kind.SYSTEM: {},
    Kind.UNSUPPORTED: {
        "type": {"description": "WeChat's number for it", "type": "integer"},
        "app": {"description": "its number among app messages", "type": "integer"},
        "length": whole("characters of what could not be read"),
    },
}
"""What the object named like the kind may hold. A key that is not known is absent."""

_FRAME: Mapping[str, Schema] = {
    "schema": always(1),
    "stream": filled("names the store; numbers count within it"),
    "seq": whole("rises without gaps in the order of storing; the same if it is published again", 1),
    "id": filled("WeChat's"),
    "account": filled("of the configuration"),
    "user": filled("the topic name of the chat: of a person or a group"),
    "chat": thing("", {"kind": one_of(ChatKind), "name": text("as people see it")}),
    "trusted": flag("the sender is the owner, or somebody whom the owner named by more than a nickname"),
    "mentioned": flag("the owner was mentioned in a group"),
    "text": text("always a line that a person can read"),
    "time": moment("when it was sent"),
}
_MAY: Mapping[str, Schema] = {
    "sender": to("sender"),
    "truncated": always(value=True, meaning="it was larger than the broker takes, and was cut"),
}


def definitions() -> dict[str, Schema]:
    """`message` is any of them, `message_<kind>` one of its kind."""
    return {
        "message": {
            "title": "a message",
            "oneOf": [to(f"message_{kind}") for kind in Kind],
        },
        **{f"message_{kind}": _message(kind) for kind in Kind},
        "sender": thing(
            "who wrote it",
            {"name": text("as people see it"), "self": flag("it was the owner, on another device")},
            {"user": filled("the topic name, for those who have one")},
        ),
        "bytes": thing("what is known of bytes", {}, BYTES),
    }


def _message(kind: Kind) -> Schema:
    detail = thing(f"what is known of the {kind.replace('_', ' ')}", {}, DETAILS[kind])
    own: dict[str, Schema] = {} if kind is Kind.TEXT else {str(kind): detail}
    whole_one = thing("", {**_FRAME, "kind": always(str(kind))}, {**_MAY, **own})
    if own:  # what was cut may have lost it
        whole_one["anyOf"] = [{"required": [str(kind)]}, {"required": ["truncated"]}]
    return {"title": f"a message of kind {kind}", **whole_one}
