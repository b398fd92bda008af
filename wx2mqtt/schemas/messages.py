"""Schemas of messages, one for each kind, and of events, one for each name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from wx2mqtt.json_schema import (
    Schema,
    array,
    boolean,
    constant,
    enumeration,
    integer,
    nonempty_string,
    object_of,
    ref,
    string,
    timestamp,
)
from wx2mqtt.message_kinds import MESSAGE_KINDS, MessageKind
from wx2mqtt.model import ChatKind, Kind
from wx2mqtt.store.records import MediaState
from wx2mqtt.values import frozen

# The keys of an object that describes a file, in messages, events and answers.
MEDIA_KEYS: Mapping[str, Schema] = {
    "state": enumeration(MediaState, "whether the bytes are there; `event/media` tells when that changes"),
    "url": nonempty_string("where they are on the bridge's web server; a whole address with web.url"),
    "mime": nonempty_string("what they are: by their content once they are there, as announced before"),
    "size": integer("bytes; announced until they are there"),
    "name": string("of the file; on WeCom it comes with the bytes"),
    "path": nonempty_string("where they lie below the folder of the store"),
    "sha256": string("in hex", pattern="^[0-9a-f]{64}$"),
    "width": integer("pixels", 1),
    "height": integer("pixels", 1),
    "data": string("base64 of small ones (media.inline_below)", contentEncoding="base64"),
}

_MESSAGE_KEYS: Mapping[str, Schema] = {
    "schema": constant(1),
    "stream": nonempty_string("names the store; numbers count within it"),
    "seq": integer("rises without gaps in the order of storing; the same if it is published again", 1),
    "id": nonempty_string("WeChat's"),
    "account": nonempty_string("of the configuration"),
    "user": nonempty_string("the topic name of the chat: of a person or a group"),
    "chat": object_of("", {"kind": enumeration(ChatKind), "name": string("as people see it")}),
    "trusted": boolean("the sender is the owner, or somebody whom the owner named by more than a nickname"),
    "mentioned": boolean("the owner was mentioned in a group"),
    "text": string("always a line that a person can read"),
    "time": timestamp("when it was sent"),
}

_OPTIONAL_MESSAGE_KEYS: Mapping[str, Schema] = {
    "sender": ref("sender"),
    "button": object_of(
        "it answers a question; `event/button` has the rest",
        {
            "command_id": nonempty_string("of the command that asked"),
            "key": nonempty_string("of the button"),
        },
        {"account": nonempty_string("of that command, where it is another account's (`fallback.accounts`)")},
    ),
    "truncated": constant(value=True, description="it was larger than the broker takes, and was cut"),
}


def message_definitions() -> dict[str, Schema]:
    """Returns `message` (one of all kinds), `message_<kind>`, and the objects in them."""
    return {
        "message": {
            "title": "a message",
            "oneOf": [ref(f"message_{kind}") for kind in MESSAGE_KINDS],
        },
        **{f"message_{kind}": _message(kind, row) for kind, row in MESSAGE_KINDS.items()},
        "sender": object_of(
            "who wrote it",
            {"name": string("as people see it"), "self": boolean("it was the owner, on another device")},
            {"user": nonempty_string("the topic name, for those who have one")},
        ),
        "bytes": object_of("what is known of bytes", {}, MEDIA_KEYS),
    }


def kind_keys(row: MessageKind) -> dict[str, Schema]:
    """Returns the keys that the object named after the kind may have."""
    return {**(MEDIA_KEYS if row.has_media else {}), **row.keys}


def _message(kind: Kind, row: MessageKind) -> Schema:
    detail = object_of(f"what is known of the {kind.replace('_', ' ')}", {}, kind_keys(row))
    own: dict[str, Schema] = {} if kind is Kind.TEXT else {str(kind): detail}
    schema = object_of("", {**_MESSAGE_KEYS, "kind": constant(str(kind))}, {**_OPTIONAL_MESSAGE_KEYS, **own})
    if own:  # a message that was cut may lack it
        schema["anyOf"] = [{"required": [str(kind)]}, {"required": ["truncated"]}]
    return {"title": f"a message of kind {kind}", **schema}


_PEOPLE = array(string(), "topic names of those who have one, else names as WeChat shows them")
_ACTOR = {"by": string("who did it: a topic name, else a name as WeChat shows it")}


@frozen(kw_only=False)
class EventSchema:
    """The keys of one event, besides those that all events have."""

    description: str
    required: Mapping[str, Schema] = field(default_factory=dict)
    optional: Mapping[str, Schema] = field(default_factory=dict)


EVENT_SCHEMAS: Mapping[str, EventSchema] = {
    "recall": EventSchema(
        "a message was withdrawn; where it is known which, the event's id is that message's",
        optional={
            **_ACTOR,
            "message_id": nonempty_string("the withdrawn one"),
            "text": string("WeChat's words"),
        },
    ),
    "friend_request": EventSchema(
        "somebody wants to become a friend; say yes with request/accept_friend and the event's id",
        optional={
            "name": string(),
            "text": string("what they write"),
            "source": string("how they found the owner"),
        },
    ),
    "call": EventSchema(
        "a voice or video call", required={"state": nonempty_string("what became of it")}, optional=_ACTOR
    ),
    "contact_added": EventSchema(
        "who became a contact",
        required={"kind": enumeration(ChatKind)},
        optional={"name": string("as people see it")},
    ),
    "contact_removed": EventSchema(
        "who is no longer one",
        required={"kind": enumeration(ChatKind)},
        optional={"name": string("as people saw it")},
    ),
    "contact_renamed": EventSchema(
        "who is called otherwise now", required={"from": string(), "to": string()}
    ),
    "group_members": EventSchema(
        "who came into a group and who left it",
        optional={**_ACTOR, "added": _PEOPLE, "removed": _PEOPLE, "count": integer("members by now", 1)},
    ),
    "topic_changed": EventSchema(
        "a person's topic is another one; the old one still works for sending",
        required={"from": nonempty_string(), "to": nonempty_string()},
    ),
    "unresolved": EventSchema(
        "it is not certain who somebody is; decide with request/assign",
        required={"reason": nonempty_string("in one word")},
        optional={
            "pin": nonempty_string("the name in the configuration"),
            "candidates": array(string(), "topic names"),
        },
    ),
    "media": EventSchema(
        "bytes of a message are there, or are not to be had",
        required={
            "message_id": nonempty_string(),
            "media_id": nonempty_string("for request/media"),
            "state": MEDIA_KEYS["state"],
        },
        optional={
            **{key: value for key, value in MEDIA_KEYS.items() if key not in ("state", "data")},
            "reason": string("why there are none"),
        },
    ),
    "held": EventSchema(
        "a command waits for a chance to be sent",
        required={
            "command_id": nonempty_string(),
            "until": timestamp("when it is given up"),
            "why": nonempty_string("what it waits for, in one word"),
            "hint": string("what a person can do"),
        },
    ),
    "button": EventSchema(
        "a question was answered: one event for each question, and always the same id",
        required={
            "sender": ref("sender"),
            "trusted": boolean("as in the message"),
            "command_id": nonempty_string("of the command that asked"),
            "key": nonempty_string("of the button that was chosen"),
            "text": nonempty_string("of that button"),
        },
        optional={
            "message_id": nonempty_string("of the message; a press of a card has none"),
            "pressed_on": nonempty_string("account/user of the fallback where it was answered"),
        },
    ),
    "reminded": EventSchema(
        "a person was asked to write, before WeChat takes no more messages to them (iLink)",
        required={"until": timestamp("when that is")},
    ),
    "other_account": EventSchema(
        "another account than the owner's scanned; it was logged out and gets nothing",
        optional={"name": string("of that account; iLink tells none")},
    ),
    "gap": EventSchema(
        "WeCom: there was no connection; what was written meanwhile did not come (WeCom keeps nothing)",
        required={
            "since": timestamp("when it was last alive"),
            "until": timestamp("when it was there again"),
        },
    ),
    "owner_named": EventSchema(
        "the operator has named the owner of a bot, who is trusted once the bot is confirmed (WeCom)"
    ),
    "unreadable": EventSchema(
        "a message was skipped: the process ended three times in a row while it was processed, or `reason`",
        optional={
            "message_id": nonempty_string("where it is known"),
            "reason": enumeration(["group"]),
        },
    ),
    "session_lost": EventSchema(
        "the broker forgot our session: commands that it had not delivered are gone",
        required={"broker": nonempty_string()},
    ),
    "dropped": EventSchema(
        "the broker refused a topic for seven days; its waiting messages were given up",
        required={"topic": nonempty_string(), "count": integer(""), "reason": string()},
    ),
}


def event_definitions() -> dict[str, Schema]:
    """Returns `event` (one of all events) and `event_<name>`."""
    return {
        "event": {"title": "an event", "oneOf": [ref(f"event_{name}") for name in EVENT_SCHEMAS]},
        **{f"event_{name}": _event(name, event) for name, event in EVENT_SCHEMAS.items()},
    }


def _event(name: str, event: EventSchema) -> Schema:
    required: dict[str, Schema] = {
        "schema": constant(1),
        "event": constant(name),
        "id": nonempty_string("the same if it is published again"),
        "account": nonempty_string("of the configuration"),
        "time": timestamp("when it happened"),
    }
    optional = {"user": string("the topic name of whom it is about"), **event.optional}
    return {
        "title": f"event {name}",
        **object_of(event.description, {**required, **event.required}, optional),
    }
