"""Schemas of the retained topics: login, directory, health, info, reply window, online state. Pure."""

from __future__ import annotations

from wx2mqtt.bridge.people.evidence import MatchedBy
from wx2mqtt.json_schema import (
    Schema,
    any_value,
    array,
    boolean,
    constant,
    counts_by_name,
    enumeration,
    integer,
    nonempty_string,
    number,
    object_of,
    ref,
    string,
    timestamp,
)
from wx2mqtt.model import ChatKind, LoginState, Needs, Status
from wx2mqtt.store.records import MediaState
from wx2mqtt.wechat.registry import BACKENDS

_ACCOUNT = nonempty_string("of the configuration")
_INSTANCE = {"instance": nonempty_string("the instance that runs the account, with storage.url")}

_WINDOW_REASONS = (
    *("", "never_wrote", "too_long_ago", "quota_used", "rate_limited", "new_binding", "logged_out"),
)
_WINDOW_KEYS: dict[str, Schema] = {
    "open": boolean("WeChat would take a message now"),
    "why": enumeration(_WINDOW_REASONS, "what shuts it; empty while it is open"),
    "waiting": integer("commands that are held for this person"),
}
_OPTIONAL_WINDOW_KEYS: dict[str, Schema] = {
    "until": timestamp("when it closes, or opens again by itself"),
    "left": integer("messages that WeChat still takes"),
    "reserved": integer("of these, kept for what is urgent or of high priority"),
}

_LOGIN = object_of(
    "the login, and what a person must do",
    {
        "schema": constant(1),
        "state": enumeration(LoginState, "counts only while bridge/state is online"),
        "needs": enumeration(Needs, "what a person must do"),
        "reason": string("in words, in the language of the configuration"),
        "since": timestamp("when it came to this"),
        "account": _ACCOUNT,
    },
    {"qr_expires": timestamp("when the QR code does")},
)

_DIRECTORY = object_of(
    "who has which topic",
    {
        "schema": constant(1),
        "complete": boolean("false: only the people whom the owner named; request/contacts has all"),
        "count": integer("how many are in it"),
        "contacts": array(ref("person")),
    },
)

_PERSON = object_of(
    "somebody with a topic",
    {
        "user": nonempty_string("the topic name"),
        "kind": enumeration(ChatKind),
        "name": string("as people see it"),
        "matched_by": enumeration(MatchedBy, "how they were found in this login"),
        "trusted": boolean("the owner named them by more than a nickname"),
        "removed": boolean("no contact any more; the name stays theirs"),
    },
    {
        "remark": nonempty_string(),
        "nickname": nonempty_string(),
        "stranger": constant(value=True, description="seen in a group or a list, no contact"),
        "unresolved": constant(value=True, description="it is not certain who this is; see request/assign"),
        "problem": nonempty_string("what is wrong with the owner's pin"),
        "window": object_of("iLink: would WeChat take a message now", _WINDOW_KEYS, _OPTIONAL_WINDOW_KEYS),
    },
)

# The parts of health.

_WECHAT = object_of(
    "",
    {"throttled": number("seconds for which WeChat wants to be left alone", minimum=0)},
    {"last_answer_age": number("seconds since it answered", minimum=0)},
)

_BROKER = object_of(
    "",
    {
        "connected": boolean(""),
        "connects": integer("connections since the start"),
        "disconnects": integer("connections that were lost"),
        "sessions_lost": integer("times that the broker had forgotten us"),
        "published": integer("publications that the broker acknowledged since the start"),
        "standby": boolean("another client has our id"),
        "refused_topics": array(nonempty_string(), "what we may not publish or subscribe"),
    },
    {"protocol": enumeration(("5", "3.1.1")), "reason": string("why there is no connection")},
)

_QUEUES = object_of(
    "",
    {
        "to_mqtt": ref("queue"),
        "to_wechat": ref("queue"),
        "set_aside": integer("messages that the broker does not take"),
        "dropped": integer("messages that were given up"),
    },
    {"held": integer("iLink: commands that wait until the person writes")},
)

_QUEUE = object_of(
    "",
    {
        "depth": integer("how many wait"),
        "oldest_age": number("seconds that the oldest has waited", minimum=0),
    },
)

_RESULTS = object_of("", {}, {str(status): integer("") for status in Status})
_COMMANDS = object_of(
    "",
    {
        "accepted": integer("since the start"),
        "results": {**_RESULTS, "description": "since the start"},
        "failed_today": integer(
            "commands of the last 24 hours that did not end in sent, also those that a fallback delivered"
        ),
        "failing": array(
            string("as in result/<user>"),
            "to whom the last command of the last 24 hours was not sent, at most 20",
        ),
    },
)

_STORE = object_of(
    "",
    {"size": integer("bytes"), "limit": integer("bytes")},
    {"trouble": string("why nothing can be stored")},
)

_MEDIA = object_of(
    "bytes of messages",
    {"pending": integer("still to be fetched"), "size": integer("bytes on the disk")},
    {str(state): integer("since the start") for state in MediaState if state is not MediaState.PENDING},
)

_PROBLEMS: Schema = {"description": "of exposed names, in single words", "type": "object"}
_HOME_ASSISTANT = object_of(
    "what is announced to Home Assistant; absent where it is off",
    {
        "exposed": integer("people who are shown"),
        "problems": {**_PROBLEMS, "additionalProperties": nonempty_string()},
        "left_out": integer("people for whom the broker had no room"),
    },
)

_LOGIN_AGE = object_of(
    "the login, where it ends after some time (iLink)",
    {
        "age": number("seconds since it was made", minimum=0),
        "days_left": number("until it probably ends, 30 days after that", minimum=0),
        "reminded": integer("reminders of windows that close, since the start"),
    },
)

_HEALTH = object_of(
    "how the bridge does; at least every 60 s",
    {
        "schema": constant(1),
        "account": _ACCOUNT,
        "time": timestamp("of this"),
        "next_before": timestamp("by when the next one comes, if the bridge lives"),
        "healthy": boolean("there are no problems"),
        "problems": array(nonempty_string(), "what is not as it should be, in single words"),
        "state": enumeration(LoginState),
        "uptime": number("seconds", minimum=0),
        "faults": integer("faults of the bridge itself that ended the account; it was begun again"),
        "wechat": _WECHAT,
        "broker": _BROKER,
        "queues": _QUEUES,
        "messages": counts_by_name("what came from WeChat and was not published, and why"),
        "commands": _COMMANDS,
        "store": _STORE,
        "stuck": array(nonempty_string(), "loops that do not move"),
        "unresolved_people": integer("of whom it is not certain who they are"),
        "media": _MEDIA,
    },
    {"homeassistant": _HOME_ASSISTANT, "login": _LOGIN_AGE, **_INSTANCE},
)

_CAPABILITIES = object_of(
    "what the backend can do",
    {
        "contacts": boolean("it has a directory"),
        "groups": boolean(""),
        "start_chat": boolean("it can write to somebody who has not written"),
        "text_limit": integer("bytes of a text"),
    },
)
_WINDOW = object_of(
    "iLink: would WeChat take a message now",
    {
        "schema": constant(1),
        "account": _ACCOUNT,
        "user": nonempty_string("the topic name"),
        **_WINDOW_KEYS,
        "time": timestamp("when it came to this"),
    },
    _OPTIONAL_WINDOW_KEYS,
)


def status_definitions() -> dict[str, Schema]:
    """Returns the schemas by name, with the backends that are registered."""
    info = object_of(
        "versions and settings",
        {
            "schema": constant(1),
            "version": nonempty_string("of the bridge"),
            "python": nonempty_string(),
            "account": _ACCOUNT,
            "backend": nonempty_string(f"{', '.join(BACKENDS)}, or that of another package"),
            "stream": nonempty_string("names the store; numbers count within it"),
            "started": timestamp(""),
            "mqtt_protocol": enumeration(("5", "3.1.1")),
            "capabilities": _CAPABILITIES,
            "settings": any_value("of the account, without secrets"),
            "warnings": array(nonempty_string(), "what is odd about the configuration"),
        },
        _INSTANCE,
    )
    return {
        "login": {"title": "the login", **_LOGIN},
        "directory": {"title": "the directory", **_DIRECTORY},
        "person": _PERSON,
        "health": {"title": "health", **_HEALTH},
        "queue": _QUEUE,
        "info": {"title": "what the bridge is", **info},
        "window": {"title": "the window", **_WINDOW},
        "state": {
            "title": "online or offline",
            **enumeration(("online", "offline"), "offline is the will, too"),
        },
    }
