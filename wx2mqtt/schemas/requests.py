"""Requests to the bridge and their answers, by name (DESIGN 4, 4.2). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.bridge.fields import LONGEST_NAME, MOST_DIGITS
from wx2mqtt.bridge.history import MOST
from wx2mqtt.model import ChatKind, Json, Kind
from wx2mqtt.mqtt.payloads import REQUEST_CODES
from wx2mqtt.schemas import commands
from wx2mqtt.schemas.commands import closed, with_keys
from wx2mqtt.schemas.messages import BYTES
from wx2mqtt.schemas.shape import (
    Schema,
    always,
    anything,
    either,
    filled,
    flag,
    many,
    number,
    one_of,
    text,
    thing,
    to,
    whole,
)

LEVELS = ("debug", "info", "warning", "error")
_USER = {"user": filled("the topic name")}
_NAME = text("one line", maxLength=LONGEST_NAME)
_PEOPLE = many(filled(), "topic names, or names as the group shows them", minItems=1)
_LEVELS = many(filled(), "topic names")
_PART: Mapping[str, Schema] = {"limit": whole("at most so many"), "offset": whole("from this one on")}


@dataclass(frozen=True, slots=True)
class Request:
    """What one does: fields that it needs, fields that it may have, and the `data` of its answer.

    `shapes` replace the two where there are several ways to ask.
    """

    meaning: str
    data: Schema
    must: Mapping[str, Schema] = field(default_factory=dict)
    may: Mapping[str, Schema] = field(default_factory=dict)
    shapes: tuple[Schema, ...] = ()
    open: bool = False


def _group() -> Request:
    shapes = (
        thing("the members", dict(_USER), {"action": always("members"), **_PART}),
        thing("a new group", {"action": always("create"), "members": _PEOPLE}, {"name": _NAME}),
        thing("more members", {"action": always("add"), **_USER, "members": _PEOPLE}),
        thing("fewer members", {"action": always("remove"), **_USER, "members": _PEOPLE}),
        thing("another name", {"action": always("rename"), **_USER, "name": {**_NAME, "pattern": r"\S"}}),
    )
    member = thing("", {"name": text(), "self": flag("the owner")}, {"user": filled("the topic name")})
    answers = (
        thing("", {**_USER, "count": whole("all of them"), "members": many(member)}),
        thing("", {"name": text(), "refused": _LEVELS}, {"user": text("the topic name of the new group")}),
        thing("", {**_USER, "added": _LEVELS, "refused": _LEVELS}),
        thing("", {**_USER, "removed": _PEOPLE}),
        thing("", {**_USER, "name": text()}),
    )
    return Request("the members of a group, and what can be done to it", either(*answers), shapes=shapes)


def _media() -> Request:
    what = {"thumbnail": flag("the small picture"), "inline": flag("the bytes too, up to 1 MB")}
    some_id: Schema = {"anyOf": [filled(), {"type": "integer"}]}
    shapes = tuple(thing("", {key: some_id}, what) for key in ("message_id", "id", "avatar"))
    known = {key: value for key, value in BYTES.items() if key not in ("state", "name")}
    data = thing(
        "where the bytes are and what they are",
        {"media_id": filled(), "path": BYTES["path"], "mime": BYTES["mime"], "size": BYTES["size"]},
        {**known, "sha256": BYTES["sha256"], "message_id": text()},
    )
    return Request("the bytes of a message, or somebody's picture", data, shapes=shapes)


REQUESTS: Mapping[str, Request] = {
    "login": Request(
        "show a QR code, or take the digits that the phone shows; when a login stands, just tell its state",
        to("login"),
        may={
            "code": either(
                text("", pattern=rf"^\s*\d{{1,{MOST_DIGITS}}}\s*$"),
                whole(""),
                meaning="what the phone shows (needs: code)",
            )
        },
        open=True,
    ),
    "logout": Request("end the login and rest", to("login"), open=True),
    "contacts": Request(
        "the directory, or a part of it",
        thing("", {"count": whole("how many fit"), "contacts": many(to("person"))}),
        may={"query": text("in any of their names"), "kind": one_of(("", *ChatKind)), **_PART},
    ),
    "send": Request(
        "send, and answer with the result",
        to("result"),
        shapes=tuple(with_keys(shape, _USER, "user") for shape in commands.shapes().values()),
    ),
    "recall": Request(
        "withdraw an own message within two minutes, and answer with the result",
        to("result"),
        must={"message_id": filled()},
        may={"user": filled("the topic name")},
    ),
    "assign": Request(
        "the closed topic `user` is whoever is called `to` now",
        thing("", {"user": filled(), "changed": _LEVELS}),
        must={"user": filled(), "to": filled()},
        open=True,
    ),
    "history": Request(
        "messages of before, in the order of seq",
        thing(
            "",
            {
                "messages": many(to("message"), "as they were published", maxItems=MOST),
                "more": flag("there are others"),
                "stream": filled("of these numbers"),
            },
        ),
        may={
            "since": whole("the first ones after this seq"),
            "before": whole("only those before this seq"),
            "user": text("any name that the person ever had"),
            "kind": one_of(("", *Kind)),
            "text": text("found anywhere in it"),
            "limit": whole("at most so many; 100 without", 1),
            "stream": text("refuse if the store is another one"),
        },
    ),
    "media": _media(),
    "mark_read": Request("the chat is read, on the phone too", thing("", dict(_USER)), must=dict(_USER)),
    "set_remark": Request(
        "another remark for a person; an empty one takes it away",
        thing("", {**_USER, "remark": text()}),
        must={**_USER, "remark": _NAME},
    ),
    "accept_friend": Request(
        "say yes to the friend request of that event",
        thing("", {"id": filled("of the event")}),
        must={"id": filled("of the event")},
    ),
    "group": _group(),
    "health": Request("what bridge/health says, as of now", to("health"), open=True),
    "log_level": Request(
        "how much is logged, until the next start",
        thing("", {"level": one_of(LEVELS)}),
        must={"level": one_of(LEVELS)},
        open=True,
    ),
    "reload": Request(
        "read the file again; a bad one changes nothing",
        thing(
            "",
            {
                "applied": many(filled(), "keys that count now"),
                "needs_restart": many(filled(), "keys that count after a restart"),
            },
        ),
        open=True,
    ),
}

_TRANSACTION: Mapping[str, Schema] = {"transaction": anything("echoed in the answer")}


def definitions() -> dict[str, Schema]:
    """`request_<name>`, `response_<name>`, and `error` for what was not carried out."""
    found: dict[str, Schema] = {"error": _error()}
    for name, request in REQUESTS.items():
        found[f"request_{name}"] = {"title": f"request {name}", **_asked(request)}
        found[f"response_{name}"] = {
            "title": f"answer to {name}",
            "anyOf": [thing("", {"status": always("ok"), "data": request.data}, _TRANSACTION), to("error")],
        }
    return found


def _error() -> Schema:
    must = {
        "status": always("error"),
        "code": one_of(sorted(REQUEST_CODES)),
        "error": text("in words"),
    }
    may = {"retry_after": number("seconds", minimum=0), **_TRANSACTION}
    return {"title": "an answer that says no", **thing("why it was not carried out", must, may)}


def _asked(request: Request) -> Schema:
    ways = request.shapes
    if ways:
        shapes: list[Json] = [closed(with_keys(shape, _TRANSACTION)) for shape in ways]
        return {"description": request.meaning, "anyOf": shapes}
    shape = thing(request.meaning, request.must, {**request.may, **_TRANSACTION})
    return shape if request.open else closed(shape)
