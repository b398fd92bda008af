"""Examples of payloads, by the name of their schema; they are published with the schemas. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wx2mqtt.model import Json

_TIME = "2026-11-25T08:00:00.000Z"
_LATER = "2026-11-26T08:00:00.000Z"
_CHAT: Mapping[str, Json] = {
    "schema": 1,
    "stream": "k3v9",
    "account": "home",
    "user": "me",
    "chat": {"kind": "friend", "name": "owner"},
    "sender": {"user": "me", "name": "owner", "self": False},
    "trusted": True,
    "mentioned": False,
    "time": _TIME,
}
_RESULT: Mapping[str, Json] = {
    "schema": 1,
    "account": "home",
    "user": "me",
    "message_id": None,
    "time": _TIME,
    "retry_after": None,
    "duplicate_possible": False,
}
_PERSON: Mapping[str, Json] = {
    "user": "me",
    "kind": "friend",
    "name": "owner",
    "matched_by": "pin",
    "trusted": True,
    "removed": False,
}

EXAMPLES: Mapping[str, Sequence[Json]] = {
    "message": [
        {**_CHAT, "seq": 1042, "id": "7615282929538795099", "kind": "text", "text": "开灯 ☀"},
        {
            **_CHAT,
            "seq": 1043,
            "id": "7615282929538795100",
            "kind": "image",
            "text": "[image]",
            "image": {"state": "ready", "url": "/media/6f1c", "mime": "image/jpeg", "size": 48213},
        },
    ],
    "command": [
        {"text": "Dinner is ready", "id": "dinner-2026-11-25", "ttl": 600},
        {"text": "Water in the cellar!", "urgent": True},
        {"kind": "image", "url": "http://camera.lan/snapshot.jpg", "name": "door.jpg"},
        {"kind": "recall", "message_id": "7615282929538795101"},
    ],
    "result": [
        {
            **_RESULT,
            "id": "dinner-2026-11-25",
            "status": "sent",
            "code": "ok",
            "message": "",
            "message_id": "7615282929538795101",
        },
        {
            **_RESULT,
            "id": "c-17",
            "status": "expired",
            "code": "window_closed",
            "message": "WeChat takes nothing before this person writes again",
        },
    ],
    "event": [
        {
            "schema": 1,
            "event": "held",
            "id": "e-1",
            "account": "home",
            "time": _TIME,
            "user": "me",
            "command_id": "c-17",
            "until": _LATER,
            "why": "window_closed",
            "hint": "they must write first",
        }
    ],
    "login": [
        {
            "schema": 1,
            "state": "waiting_for_scan",
            "needs": "scan",
            "reason": "Scan the QR code with WeChat.",
            "since": _TIME,
            "account": "home",
        }
    ],
    "directory": [{"schema": 1, "complete": True, "count": 1, "contacts": [{**_PERSON}]}],
    "window": [
        {
            "schema": 1,
            "account": "home",
            "user": "me",
            "open": True,
            "why": "",
            "waiting": 0,
            "left": 8,
            "until": _LATER,
            "time": _TIME,
        }
    ],
    "state": ["online", "offline"],
    "request_login": [{}, {"code": "4711", "transaction": "t-1"}],
    "request_logout": [{}],
    "request_contacts": [{}, {"query": "wang", "limit": 20}],
    "request_send": [{"user": "me", "text": "Dinner is ready"}],
    "request_recall": [{"message_id": "7615282929538795101"}],
    "request_assign": [{"user": "wife", "to": "老婆 🌸"}],
    "request_history": [{"since": 1000, "stream": "k3v9", "limit": 100}],
    "request_media": [{"message_id": "7615282929538795100", "inline": True}],
    "request_mark_read": [{"user": "wife"}],
    "request_set_remark": [{"user": "wife", "remark": "老婆"}],
    "request_accept_friend": [{"id": "e-2"}],
    "request_group": [
        {"user": "family"},
        {"action": "create", "members": ["wife", "mom"], "name": "Home"},
    ],
    "request_health": [{}],
    "request_log_level": [{"level": "debug"}],
    "request_reload": [{}],
}


def with_examples(definitions: Mapping[str, Mapping[str, Json]]) -> dict[str, dict[str, Json]]:
    """Returns the definitions, each that has examples with them."""
    return {
        name: {**schema, **({"examples": [*EXAMPLES[name]]} if name in EXAMPLES else {})}
        for name, schema in definitions.items()
    }
