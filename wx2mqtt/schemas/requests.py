"""Schemas of commands and their results, and of requests and their answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from wx2mqtt.buttons import MAX_BUTTON_CHARACTERS, MAX_BUTTON_KEY_CHARACTERS, MAX_BUTTONS
from wx2mqtt.json_schema import (
    Schema,
    any_of,
    any_value,
    array,
    boolean,
    constant,
    enumeration,
    integer,
    nonempty_string,
    nullable,
    number,
    object_of,
    ref,
    strict,
    string,
    timestamp,
)
from wx2mqtt.limits import (
    MAX_CODE_DIGITS,
    MAX_COMMAND_ID_CHARACTERS,
    MAX_HISTORY_MESSAGES,
    MAX_MENTION_CHARACTERS,
    MAX_MENTIONS,
    MAX_NAME_CHARACTERS,
)
from wx2mqtt.model import ChatKind, Json, Kind, Status
from wx2mqtt.mqtt.command_buttons import ANSWERERS
from wx2mqtt.mqtt.commands import FILE_KINDS, FILE_SOURCES, FORMATS, PRIORITIES
from wx2mqtt.mqtt.payloads import REQUEST_CODES, RESULT_CODES
from wx2mqtt.schemas.messages import MEDIA_KEYS
from wx2mqtt.values import frozen


def closed_shape(shape: Schema) -> Schema:
    """Returns the shape without further keys: a misspelt key must be refused, not ignored."""
    closed = strict(shape)
    assert isinstance(closed, dict)
    return closed


_NOT_BLANK = {"pattern": r"\S"}

# Of all commands.
_COMMAND_KEYS: Mapping[str, Schema] = {
    "id": any_of(
        string("", minLength=1, maxLength=MAX_COMMAND_ID_CHARACTERS),
        {"type": "number"},
        description="sent once however often it is published; remembered for 7 days",
    ),
    "ttl": number("seconds that it may wait", exclusiveMinimum=0),
    "hold": boolean("it may wait for a chance to be sent (iLink)"),
    "priority": enumeration(PRIORITIES),
    "urgent": boolean("it may go another way when WeChat takes too long"),
    "also_wechat": boolean("and to WeChat all the same"),
    "format": enumeration(FORMATS, "of the text; markdown only where the backend shows it (WeCom)"),
    "name": string("of the file, as the receiver sees it"),
    "message_id": string("of what is to be withdrawn"),
}

_BUTTON_TEXT: dict[str, Json] = {"minLength": 1, "maxLength": MAX_BUTTON_CHARACTERS, **_NOT_BLANK}
_BUTTON_KEY: dict[str, Json] = {"minLength": 1, "maxLength": MAX_BUTTON_KEY_CHARACTERS, **_NOT_BLANK}

# Keys that a command without a text may have, but only empty.
_NO_TEXT: Mapping[str, Schema] = {"text": constant(""), "mention": {"type": "array", "maxItems": 0}}

_TEXT = object_of(
    "a text",
    {"text": string("", **_NOT_BLANK)},
    {
        "kind": constant("text"),
        "mention": array(
            string(maxLength=MAX_MENTION_CHARACTERS),
            "in a group: topic names, or names as the group shows them",
            maxItems=MAX_MENTIONS,
        ),
        "buttons": array(
            any_of(
                string("", **_BUTTON_TEXT),
                closed_shape(
                    object_of("", {"text": string("", **_BUTTON_TEXT)}, {"key": string("", **_BUTTON_KEY)})
                ),
            ),
            "what the person may answer; texts and keys differ, and no text has only digits",
            minItems=1,
            maxItems=MAX_BUTTONS,
        ),
        "buttons_for": number("seconds in which an answer counts; a day without", exclusiveMinimum=0),
        "buttons_from": enumeration(ANSWERERS, "whose answer counts; without: trusted"),
        **_COMMAND_KEYS,
    },
)
# Options of a question mean nothing without it.
_TEXT["dependentRequired"] = {"buttons_for": ["buttons"], "buttons_from": ["buttons"]}

_FILE = object_of(
    "a picture, a video or a file",
    {"kind": enumeration(FILE_KINDS)},
    {
        "path": string("on the bridge's machine, below a folder of media.send_from", **_NOT_BLANK),
        "url": string("http or https", **_NOT_BLANK),
        "data": string("base64", contentEncoding="base64", **_NOT_BLANK),
        **_NO_TEXT,
        "text": string("its caption, a message of its own before it"),
        **_COMMAND_KEYS,
    },
)

_RECALL = object_of(
    "withdraw a message",
    {
        "kind": constant("recall"),
        "message_id": nonempty_string("of a result, or of an own message"),
    },
    {
        **{key: value for key, value in _COMMAND_KEYS.items() if key != "message_id"},
        **_NO_TEXT,
        **{source: string() for source in FILE_SOURCES},
    },
)

# The shapes of a command by name. They allow further keys.
_COMMAND_SHAPES: Mapping[str, Schema] = {
    "command_text": _TEXT,
    "command_file": {**_FILE, "oneOf": [{"required": [source]} for source in FILE_SOURCES]},
    "command_recall": _RECALL,
}

_RESULT = object_of(
    "the one result of a command; equal (account, id) is the same result",
    {
        "schema": constant(1),
        "account": nonempty_string("of the configuration"),
        "id": string("of the command"),
        "user": string("as it was written"),
        "status": enumeration(Status),
        "code": enumeration(sorted(RESULT_CODES)),
        "message": string("in words"),
        "message_id": nullable(nonempty_string("WeChat's")),
        "time": timestamp(""),
        "retry_after": nullable(number("seconds", minimum=0)),
        "duplicate_possible": boolean("an attempt was never answered: it may have arrived twice"),
        "sender": nullable(nonempty_string("the program of web.senders that sent it; null: it came by MQTT")),
    },
    {
        "parts": integer("messages that a long text, or a file with its caption, became", 1),
        "parts_sent": nullable(integer("of them")),
        "bundled": integer("commands that this message carried together", 2),
        "fallback": nonempty_string("what became of the other way"),
        "fallback_account": nonempty_string("account/user that took it, or was in doubt last"),
        "summarized": integer("urgent commands of the summary that went the other way", 2),
    },
)


def command_definitions() -> dict[str, Schema]:
    """Returns `command` (one of all shapes), the shapes, and `result`."""
    return {
        "command": {"title": "a command", "anyOf": [ref(name) for name in _COMMAND_SHAPES]},
        **{name: closed_shape(shape) for name, shape in _COMMAND_SHAPES.items()},
        "result": {"title": "a result", **_RESULT},
    }


def with_keys(shape: Schema, extra_keys: Mapping[str, Schema], *extra_required: str) -> Schema:
    """Returns the shape with further keys, of which `extra_required` must be there."""
    properties, required = shape["properties"], shape.get("required", [])
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    extended: Schema = {**shape, "properties": {**properties, **extra_keys}}
    if required or extra_required:
        extended["required"] = [*required, *extra_required]
    return extended


LOG_LEVELS = ("debug", "info", "warning", "error")
_USER_KEY = {"user": nonempty_string("the topic name")}
_ONE_LINE = string("one line", maxLength=MAX_NAME_CHARACTERS)
_MEMBERS = array(nonempty_string(), "topic names, or names as the group shows them", minItems=1)
_TOPIC_NAMES = array(nonempty_string(), "topic names")
_PAGING: Mapping[str, Schema] = {"limit": integer("at most so many"), "offset": integer("from this one on")}


@frozen(kw_only=False)
class RequestSchema:
    """One request: its keys, and the `data` of its answer.

    `shapes` are used in place of `required` and `optional` where the request has several forms.
    """

    description: str
    data: Schema
    required: Mapping[str, Schema] = field(default_factory=dict)
    optional: Mapping[str, Schema] = field(default_factory=dict)
    shapes: tuple[Schema, ...] = ()
    allows_other_keys: bool = False


_MEMBER = object_of(
    "", {"name": string(), "self": boolean("the owner")}, {"user": nonempty_string("the topic name")}
)
_GROUP = RequestSchema(
    "the members of a group, and what can be done to it",
    any_of(
        object_of("", {**_USER_KEY, "count": integer("all of them"), "members": array(_MEMBER)}),
        object_of(
            "",
            {"name": string(), "refused": _TOPIC_NAMES},
            {"user": string("the topic name of the new group")},
        ),
        object_of("", {**_USER_KEY, "added": _TOPIC_NAMES, "refused": _TOPIC_NAMES}),
        object_of("", {**_USER_KEY, "removed": _MEMBERS}),
        object_of("", {**_USER_KEY, "name": string()}),
    ),
    shapes=(
        object_of("the members", dict(_USER_KEY), {"action": constant("members"), **_PAGING}),
        object_of("a new group", {"action": constant("create"), "members": _MEMBERS}, {"name": _ONE_LINE}),
        object_of("more members", {"action": constant("add"), **_USER_KEY, "members": _MEMBERS}),
        object_of("fewer members", {"action": constant("remove"), **_USER_KEY, "members": _MEMBERS}),
        object_of(
            "another name",
            {"action": constant("rename"), **_USER_KEY, "name": {**_ONE_LINE, **_NOT_BLANK}},
        ),
    ),
)

_SOME_ID: Schema = {"anyOf": [nonempty_string(), {"type": "integer"}]}
_MEDIA_OPTIONS = {
    "thumbnail": boolean("the small picture"),
    "inline": boolean("the bytes too, up to 1 MB"),
}
_MEDIA = RequestSchema(
    "the bytes of a message, or somebody's picture",
    object_of(
        "where the bytes are and what they are",
        {
            "media_id": nonempty_string(),
            "path": MEDIA_KEYS["path"],
            "mime": MEDIA_KEYS["mime"],
            "size": MEDIA_KEYS["size"],
        },
        {
            **{key: value for key, value in MEDIA_KEYS.items() if key != "state"},
            "message_id": string(),
        },
    ),
    shapes=tuple(object_of("", {key: _SOME_ID}, _MEDIA_OPTIONS) for key in ("message_id", "id", "avatar")),
)

_QUESTION = object_of(
    "a question that somebody may answer",
    {
        "command_id": nonempty_string("of the command that asks"),
        "user": nonempty_string("who is asked, as in the command"),
        "text": string("without the buttons"),
        "buttons": array(object_of("", {"text": nonempty_string(), "key": nonempty_string()})),
        "buttons_from": enumeration(ANSWERERS),
        "asked": timestamp("when it was sent"),
    },
    {
        "until": timestamp("when its time ends; not known while its message is being sent"),
        "fallback_account": nonempty_string("account/user that has asked it in place of this account"),
    },
)

REQUEST_SCHEMAS: Mapping[str, RequestSchema] = {
    "login": RequestSchema(
        "show a QR code, or take the digits that the phone shows; when a login stands, just tell its state",
        ref("login"),
        optional={
            "code": any_of(
                string("", pattern=rf"^\s*\d{{1,{MAX_CODE_DIGITS}}}\s*$"),
                integer(""),
                description="what the phone shows (needs: code)",
            ),
            "new_owner": boolean("a login that stands ends, and another account may take over"),
            "renew": boolean("iLink: a code for the next login, while this one goes on"),
        },
        allows_other_keys=True,
    ),
    "logout": RequestSchema("end the login and rest", ref("login"), allows_other_keys=True),
    "contacts": RequestSchema(
        "the directory, or a part of it",
        object_of("", {"count": integer("how many fit"), "contacts": array(ref("person"))}),
        optional={"query": string("in any of their names"), "kind": enumeration(("", *ChatKind)), **_PAGING},
    ),
    "send": RequestSchema(
        "send, and answer with the result",
        ref("result"),
        shapes=tuple(with_keys(shape, _USER_KEY, "user") for shape in _COMMAND_SHAPES.values()),
    ),
    "recall": RequestSchema(
        "withdraw an own message within two minutes, and answer with the result",
        ref("result"),
        required={"message_id": nonempty_string()},
        optional={"user": nonempty_string("the topic name")},
    ),
    "assign": RequestSchema(
        "the closed topic `user` is whoever is called `to` now",
        object_of("", {"user": nonempty_string(), "changed": _TOPIC_NAMES}),
        required={"user": nonempty_string(), "to": nonempty_string()},
        allows_other_keys=True,
    ),
    "owner": RequestSchema(
        "WeCom: this person is the owner, where there is none; another one needs a new login",
        object_of(
            "",
            {
                **_USER_KEY,
                "bot": nonempty_string("the id of the bot"),
                "confirmed": boolean("the operator has said that the bot is theirs; else nobody is trusted"),
                "trusted": boolean("their messages are"),
            },
        ),
        required=dict(_USER_KEY),
    ),
    "history": RequestSchema(
        "messages of before, in the order of seq",
        object_of(
            "",
            {
                "messages": array(ref("message"), "as they were published", maxItems=MAX_HISTORY_MESSAGES),
                "more": boolean("there are others"),
                "stream": nonempty_string("of these numbers"),
            },
        ),
        optional={
            "since": integer("the first ones after this seq"),
            "before": integer("only those before this seq"),
            "user": string("any name that the person ever had"),
            "kind": enumeration(("", *Kind)),
            "text": string("found anywhere in it"),
            "limit": integer("at most so many; 100 without", 1),
            "stream": string("refuse if the store is another one"),
        },
    ),
    "media": _MEDIA,
    "questions": RequestSchema(
        "the open questions (texts with buttons), or closes one",
        any_of(
            object_of("", {"questions": array(_QUESTION), "more": boolean("there are older ones")}),
            object_of("", {"closed": nonempty_string("the id of its command")}),
        ),
        optional={"close": nonempty_string("the id of the command: nobody can answer it any more")},
    ),
    "mark_read": RequestSchema(
        "the chat is read, on the phone too", object_of("", dict(_USER_KEY)), required=dict(_USER_KEY)
    ),
    "set_remark": RequestSchema(
        "another remark for a person; an empty one takes it away",
        object_of("", {**_USER_KEY, "remark": string()}),
        required={**_USER_KEY, "remark": _ONE_LINE},
    ),
    "accept_friend": RequestSchema(
        "say yes to the friend request of that event",
        object_of("", {"id": nonempty_string("of the event")}),
        required={"id": nonempty_string("of the event")},
    ),
    "group": _GROUP,
    "health": RequestSchema("what bridge/health says, as of now", ref("health"), allows_other_keys=True),
    "log_level": RequestSchema(
        "how much is logged, until the next start",
        object_of("", {"level": enumeration(LOG_LEVELS)}),
        required={"level": enumeration(LOG_LEVELS)},
        allows_other_keys=True,
    ),
    "reload": RequestSchema(
        "read the file again; a bad one changes nothing",
        object_of(
            "",
            {
                "applied": array(nonempty_string(), "keys that count now"),
                "needs_restart": array(nonempty_string(), "keys that count after a restart"),
            },
        ),
        allows_other_keys=True,
    ),
}

_TRANSACTION: Mapping[str, Schema] = {"transaction": any_value("echoed in the answer")}
_ERROR = object_of(
    "why it was not carried out",
    {
        "status": constant("error"),
        "code": enumeration(sorted(REQUEST_CODES)),
        "error": string("in words"),
    },
    {"retry_after": number("seconds", minimum=0), **_TRANSACTION},
)


def request_definitions() -> dict[str, Schema]:
    """Returns `request_<name>` and `response_<name>`, and `error`, the answer to a failed request."""
    definitions: dict[str, Schema] = {"error": {"title": "an answer that says no", **_ERROR}}
    for name, request in REQUEST_SCHEMAS.items():
        definitions[f"request_{name}"] = {"title": f"request {name}", **_request(request)}
        definitions[f"response_{name}"] = {
            "title": f"answer to {name}",
            "anyOf": [
                object_of("", {"status": constant("ok"), "data": request.data}, _TRANSACTION),
                ref("error"),
            ],
        }
    return definitions


def _request(request: RequestSchema) -> Schema:
    if request.shapes:
        shapes: list[Json] = [closed_shape(with_keys(shape, _TRANSACTION)) for shape in request.shapes]
        return {"description": request.description, "anyOf": shapes}
    shape = object_of(request.description, request.required, {**request.optional, **_TRANSACTION})
    return shape if request.allows_other_keys else closed_shape(shape)
