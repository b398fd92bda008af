"""The frame of a callback, and the one event that has no sender (wecom 2.6, 4.5)."""

from __future__ import annotations

import random

Fields = dict[str, object]

MESSAGE = "aibot_msg_callback"
EVENT = "aibot_event_callback"


def new_msgid(rng: random.Random) -> str:
    return f"CAIQ{rng.getrandbits(128):032x}"


def new_req_id(rng: random.Random) -> str:
    return f"{rng.getrandbits(96):024x}"


def callback_frame(req_id: str, body: Fields) -> Fields:
    command = EVENT if body.get("msgtype") == "event" else MESSAGE
    return {"cmd": command, "headers": {"req_id": req_id}, "body": body}


def event_fields(rng: random.Random, bot_id: str, event: Fields, now: float) -> Fields:
    """Returns the body of an event that nobody caused; `event` has its `eventtype`, `now` is in seconds."""
    return {
        "msgid": new_msgid(rng),
        "create_time": int(now),
        "aibotid": bot_id,
        "msgtype": "event",
        "event": event,
    }
