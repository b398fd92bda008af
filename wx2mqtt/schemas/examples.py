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
    "sender": None,
}
_PERSON: Mapping[str, Json] = {
    "user": "me",
    "kind": "friend",
    "name": "owner",
    "matched_by": "pin",
    "trusted": True,
    "removed": False,
}

_TEXT: Mapping[str, Json] = {
    **_CHAT,
    "seq": 1042,
    "id": "7615282929538795099",
    "kind": "text",
    "text": "开灯 ☀",
}
_IMAGE: Mapping[str, Json] = {
    **_CHAT,
    "seq": 1043,
    "id": "7615282929538795100",
    "kind": "image",
    "text": "[image]",
    "image": {"state": "ready", "url": "/media/6f1c", "mime": "image/jpeg", "size": 48213},
}


def _event(name: str, keys: Mapping[str, Json]) -> Json:
    return {"schema": 1, "event": name, "id": "e-1", "account": "home", "time": _TIME, **keys}


# The keys of one example of each event, besides those that all events have.
EVENT_EXAMPLES: Mapping[str, Mapping[str, Json]] = {
    "recall": {"user": "wife", "by": "wife", "message_id": "7615282929538795099"},
    "friend_request": {"name": "小李", "text": "我是小李", "source": "group"},
    "call": {"user": "wife", "state": "ended"},
    "contact_added": {"user": "小李", "kind": "friend", "name": "小李"},
    "contact_removed": {"user": "小李", "kind": "friend", "name": "小李"},
    "contact_renamed": {"user": "小李", "from": "小李", "to": "李明"},
    "group_members": {"user": "family", "by": "wife", "added": ["mom"], "removed": [], "count": 4},
    "topic_changed": {"user": "wife", "from": "老婆", "to": "wife"},
    "unresolved": {"reason": "pin_fits_several", "pin": "wife", "candidates": ["老婆", "老婆-2"]},
    "media": {
        "user": "me",
        "message_id": "7615282929538795100",
        "media_id": "6f1c",
        "state": "ready",
        "url": "/media/6f1c",
        "mime": "image/jpeg",
        "size": 48213,
    },
    "held": {
        "user": "me",
        "command_id": "c-17",
        "until": _LATER,
        "why": "window_closed",
        "hint": "they must write first",
    },
    "button": {
        "user": "me",
        "sender": {"user": "me", "name": "owner", "self": False},
        "trusted": True,
        "command_id": "door-7",
        "key": "yes",
        "text": "Yes",
        "message_id": "7615282929538795102",
    },
    "reminded": {"user": "me", "until": _LATER},
    "other_account": {"name": "小李"},
    "gap": {"since": "2026-11-25T08:00:00.000Z", "until": "2026-11-25T08:00:31.000Z"},
    "owner_named": {"user": "zhangsan"},
    "unreadable": {"message_id": "7615282929538795101"},
    "session_lost": {"broker": "mqtt://192.168.1.10:1883"},
    "dropped": {"topic": "wx/in/wife", "count": 12, "reason": "refused by the broker for 7 days"},
}

EXAMPLES: Mapping[str, Sequence[Json]] = {
    "message": [{**_TEXT}, {**_IMAGE}],
    "message_text": [{**_TEXT}],
    "message_image": [{**_IMAGE}],
    "command": [
        {"text": "Dinner is ready", "id": "dinner-2026-11-25", "ttl": 600},
        {"text": "Water in the cellar!", "urgent": True},
        {
            "text": "Nobody is at home. Lock the door?",
            "id": "door-7",
            "buttons": [{"text": "Yes", "key": "yes"}, "No"],
            "buttons_for": 600,
        },
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
    "event": [_event("held", EVENT_EXAMPLES["held"])],
    **{f"event_{name}": [_event(name, keys)] for name, keys in EVENT_EXAMPLES.items()},
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
    "request_questions": [{"close": "door-7"}],
    "request_owner": [{"user": "zhangsan"}],
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
