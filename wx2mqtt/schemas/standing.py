"""What stands on the broker, retained: login, directory, health, info, window (DESIGN 4). Pure."""

from __future__ import annotations

from wx2mqtt.bridge.people.evidence import MatchedBy
from wx2mqtt.model import ChatKind, LoginState, Needs, Status
from wx2mqtt.schemas.shape import (
    Schema,
    always,
    anything,
    counts,
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

_ACCOUNT = filled("of the configuration")
WINDOW: dict[str, Schema] = {
    "open": flag("WeChat would take a message now"),
    "why": one_of(
        (
            "",
            "never_wrote",
            "too_long_ago",
            "quota_used",
            "rate_limited",
            "new_binding",
            "logged_out",
        ),
        "what shuts it; empty while it is open",
    ),
}
_MAY_OF_WINDOW: dict[str, Schema] = {
    "until": moment("when it closes, or opens again by itself"),
    "left": whole("messages that WeChat still takes"),
}


def definitions() -> dict[str, Schema]:
    """By name."""
    return {
        "login": _login(),
        "directory": _directory(),
        "person": _person(),
        "health": _health(),
        "queue": _queue(),
        "info": _info(),
        "window": _window(),
        "state": {"title": "online or offline", **one_of(("online", "offline"), "offline is the will, too")},
    }


def _login() -> Schema:
    must = {
        "schema": always(1),
        "state": one_of(LoginState, "counts only while bridge/state is online"),
        "needs": one_of(Needs, "what a person must do"),
        "reason": text("in words, in the language of the configuration"),
        "since": moment("when it came to this"),
        "account": _ACCOUNT,
    }
    may = {"qr_expires": moment("when the QR code does")}
    return {"title": "the login", **thing("the login, and what a person must do", must, may)}


def _directory() -> Schema:
    must = {
        "schema": always(1),
        "complete": flag("false: only the people whom the owner named; request/contacts has all"),
        "count": whole("how many are in it"),
        "contacts": many(to("person")),
    }
    return {"title": "the directory", **thing("who has which topic", must)}


def _person() -> Schema:
    must = {
        "user": filled("the topic name"),
        "kind": one_of(ChatKind),
        "name": text("as people see it"),
        "matched_by": one_of(MatchedBy, "how they were found in this login"),
        "trusted": flag("the owner named them by more than a nickname"),
        "removed": flag("no contact any more; the name stays theirs"),
    }
    may = {
        "remark": filled(),
        "nickname": filled(),
        "stranger": always(value=True, meaning="seen in a group or a list, no contact"),
        "unresolved": always(value=True, meaning="it is not certain who this is; see request/assign"),
        "problem": filled("what is wrong with the owner's pin"),
        "window": thing("iLink: would WeChat take a message now", WINDOW, _MAY_OF_WINDOW),
    }
    return thing("somebody with a topic", must, may)


def _health() -> Schema:
    must = {
        "schema": always(1),
        "account": _ACCOUNT,
        "time": moment("of this"),
        "next_before": moment("by when the next one comes, if the bridge lives"),
        "healthy": flag("there are no problems"),
        "problems": many(filled(), "what is not as it should be, in single words"),
        "state": one_of(LoginState),
        "uptime": number("seconds", minimum=0),
        "faults": whole("faults of the bridge itself that ended the account; it was begun again"),
        "wechat": thing(
            "",
            {"throttled": number("seconds for which WeChat wants to be left alone", minimum=0)},
            {"last_answer_age": number("seconds since it answered", minimum=0)},
        ),
        "broker": _broker(),
        "queues": _queues(),
        "messages": counts("what came from WeChat and was not published, and why"),
        "commands": _commands(),
        "store": _store(),
        "stuck": many(filled(), "loops that do not move"),
        "unresolved_people": whole("of whom it is not certain who they are"),
        "media": _media(),
    }
    may = {"homeassistant": _home_assistant()}
    return {"title": "health", **thing("how the bridge does; at least every 60 s", must, may)}


def _media() -> Schema:
    must = {"pending": whole("still to be fetched"), "size": whole("bytes on the disk")}
    ended = {str(state): whole("since the start") for state in MediaState if state is not MediaState.PENDING}
    return thing("bytes of messages", must, ended)


def _home_assistant() -> Schema:
    problems: Schema = {"description": "of exposed names, in single words", "type": "object"}
    must = {
        "exposed": whole("people who are shown"),
        "problems": {**problems, "additionalProperties": filled()},
        "left_out": whole("people for whom the broker had no room"),
    }
    return thing("what is announced to Home Assistant; absent where it is off", must)


def _broker() -> Schema:
    must = {
        "connected": flag(""),
        "connects": whole("connections since the start"),
        "disconnects": whole("connections that were lost"),
        "sessions_lost": whole("times that the broker had forgotten us"),
        "published": whole("messages since the start"),
        "standby": flag("another client has our id"),
        "refused_topics": many(filled(), "what we may not publish or subscribe"),
    }
    may = {"protocol": one_of(("5", "3.1.1")), "reason": text("why there is no connection")}
    return thing("", must, may)


def _queues() -> Schema:
    return thing(
        "",
        {
            "to_mqtt": to("queue"),
            "to_wechat": to("queue"),
            "set_aside": whole("messages that the broker does not take"),
            "dropped": whole("messages that were given up"),
        },
        {"held": whole("iLink: commands that wait until the person writes")},
    )


def _queue() -> Schema:
    oldest = number("seconds that the oldest has waited", minimum=0)
    return thing("", {"depth": whole("how many wait"), "oldest_age": oldest})


def _store() -> Schema:
    sizes = {"size": whole("bytes"), "limit": whole("bytes")}
    return thing("", sizes, {"trouble": text("why nothing can be stored")})


def _commands() -> Schema:
    results = thing("", {}, {str(status): whole("") for status in Status})
    return thing(
        "",
        {
            "accepted": whole("since the start"),
            "results": {**results, "description": "since the start"},
            "failed_today": whole("commands that did not end in sent"),
        },
    )


def _info() -> Schema:
    must = {
        "schema": always(1),
        "version": filled("of the bridge"),
        "python": filled(),
        "account": _ACCOUNT,
        "backend": one_of(("webwx", "ilink")),
        "stream": filled("names the store; numbers count within it"),
        "started": moment(""),
        "mqtt_protocol": one_of(("5", "3.1.1")),
        "capabilities": thing(
            "what the backend can do",
            {
                "contacts": flag("it has a directory"),
                "groups": flag(""),
                "start_chat": flag("it can write to somebody who has not written"),
                "text_limit": whole("bytes of a text"),
            },
        ),
        "settings": anything("of the account, without secrets"),
        "warnings": many(filled(), "what is odd about the configuration"),
    }
    return {"title": "what the bridge is", **thing("versions and settings", must)}


def _window() -> Schema:
    must = {
        "schema": always(1),
        "account": _ACCOUNT,
        "user": filled("the topic name"),
        **WINDOW,
        "time": moment("when it came to this"),
    }
    return {"title": "the window", **thing("iLink: would WeChat take a message now", must, _MAY_OF_WINDOW)}
