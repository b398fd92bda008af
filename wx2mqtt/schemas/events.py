"""Events: one schema for each, by its name (DESIGN 4.1). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.model import ChatKind
from wx2mqtt.schemas.messages import BYTES
from wx2mqtt.schemas.shape import (
    Schema,
    always,
    filled,
    many,
    moment,
    one_of,
    text,
    thing,
    to,
    whole,
)

_NAMES = many(text(), "topic names of those who have one, else names as WeChat shows them")
_BY = {"by": text("who did it: a topic name, else a name as WeChat shows it")}


@dataclass(frozen=True, slots=True)
class Event:
    """What one says besides what all say: keys that are always there, and keys that may be."""

    meaning: str
    must: Mapping[str, Schema] = field(default_factory=dict)
    may: Mapping[str, Schema] = field(default_factory=dict)


EVENTS: Mapping[str, Event] = {
    "recall": Event(
        "a message was withdrawn; where it is known which, the event's id is that message's",
        may={**_BY, "message_id": filled("the withdrawn one"), "text": text("WeChat's words")},
    ),
    "friend_request": Event(
        "somebody wants to become a friend; say yes with request/accept_friend and the event's id",
        may={"name": text(), "text": text("what they write"), "source": text("how they found the owner")},
    ),
    "call": Event("a voice or video call", must={"state": filled("what became of it")}, may=_BY),
    "contact_added": Event(
        "who became a contact", must={"kind": one_of(ChatKind)}, may={"name": text("as people see it")}
    ),
    "contact_removed": Event(
        "who is no longer one", must={"kind": one_of(ChatKind)}, may={"name": text("as people saw it")}
    ),
    "contact_renamed": Event("who is called otherwise now", must={"from": text(), "to": text()}),
    "group_members": Event(
        "who came into a group and who left it",
        may={**_BY, "added": _NAMES, "removed": _NAMES, "count": whole("members by now", 1)},
    ),
    "topic_changed": Event(
        "a person's topic is another one; the old one still works for sending",
        must={"from": filled(), "to": filled()},
    ),
    "unresolved": Event(
        "it is not certain who somebody is; decide with request/assign",
        must={"reason": filled("in one word")},
        may={"pin": filled("the name in the configuration"), "candidates": many(text(), "topic names")},
    ),
    "media": Event(
        "bytes of a message are there, or are not to be had",
        must={"message_id": filled(), "media_id": filled("for request/media"), "state": BYTES["state"]},
        may={
            **{key: value for key, value in BYTES.items() if key not in ("state", "name", "data")},
            "reason": text("why there are none"),
        },
    ),
    "held": Event(
        "a command waits for a chance to be sent",
        must={
            "command_id": filled(),
            "until": moment("when it is given up"),
            "why": filled("what it waits for, in one word"),
            "hint": text("what a person can do"),
        },
    ),
    "session_lost": Event(
        "the broker forgot our session: commands that it had not delivered are gone",
        must={"broker": filled()},
    ),
    "dropped": Event(
        "the broker refused a topic for seven days; its waiting messages were given up",
        must={"topic": filled(), "count": whole(""), "reason": text()},
    ),
}


def definitions() -> dict[str, Schema]:
    """`event` is any of them, `event_<name>` that of its name."""
    return {
        "event": {"title": "an event", "oneOf": [to(f"event_{name}") for name in EVENTS]},
        **{f"event_{name}": _event(name, event) for name, event in EVENTS.items()},
    }


def _event(name: str, event: Event) -> Schema:
    frame: dict[str, Schema] = {
        "schema": always(1),
        "event": always(name),
        "id": filled("the same if it is published again"),
        "account": filled("of the configuration"),
        "time": moment("when it happened"),
    }
    may: dict[str, Schema] = {"user": text("the topic name of whom it is about"), **event.may}
    return {"title": f"event {name}", **thing(event.meaning, {**frame, **event.must}, may)}
