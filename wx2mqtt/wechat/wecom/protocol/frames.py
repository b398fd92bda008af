"""Frames of the long connection: a JSON object in each WebSocket message (wecom 2.2).

    {"cmd": "aibot_msg_callback", "headers": {"req_id": "r1"}, "body": {…}}     a callback of WeCom
    {"cmd": "ping", "headers": {"req_id": "ping_1790000000000_0a1b2c3d"}}       a request of the bridge
    {"headers": {"req_id": "ping_1790…"}, "errcode": 0, "errmsg": "ok"}         WeCom's answer to it

`read_frame` reads what comes from WeCom, `request_frame` writes what goes to it. A callback is a message or
an event: `disconnected_event` says that another program uses the bot now (wecom 4.5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from wx2mqtt.model import Json
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import (
    JsonObject,
    UnreadableJson,
    parse_json,
    read_number,
    read_object,
    read_text,
)

# An id of a request is cut here: a longer one is none of ours.
MAX_REQUEST_ID_CHARACTERS = 256


class FrameCommand(StrEnum):
    """What a frame asks for, in its `cmd`."""

    SUBSCRIBE = "aibot_subscribe"
    PING = "ping"
    SEND = "aibot_send_msg"
    RESPOND = "aibot_respond_msg"
    UPDATE_CARD = "aibot_respond_update_msg"
    UPLOAD_BEGIN = "aibot_upload_media_init"
    UPLOAD_PIECE = "aibot_upload_media_chunk"
    UPLOAD_END = "aibot_upload_media_finish"


class CallbackKind(StrEnum):
    """What WeCom sends by itself, in the `cmd` of the frame."""

    MESSAGE = "aibot_msg_callback"
    EVENT = "aibot_event_callback"


class EventType(StrEnum):
    """The events that WeCom documents."""

    #: Somebody pressed a button of a card.
    PRESS = "template_card_event"
    #: Another program subscribes with this bot (wecom 2.6).
    DISCONNECTED = "disconnected_event"
    #: Somebody opened the chat for the first time on this day.
    ENTER_CHAT = "enter_chat"
    #: Somebody likes an answer, or not.
    FEEDBACK = "feedback_event"
    #: Concerns other programs.
    ENTER_CHECK = "enter_check_update"
    #: Concerns other programs.
    AUTHORISATION = "auth_change_event"


@frozen
class Answer:
    """WeCom's answer to the request with this id; `errcode` 0 means that it was done."""

    request_id: str
    errcode: int
    #: WeCom's words about an error, without anything that may be a secret.
    errmsg: str = ""
    body: JsonObject = field(default_factory=dict, repr=False)


@frozen
class Callback:
    """A message or an event. `request_id` is what an answer to it must carry."""

    #: One of `CallbackKind`, or a command that this version does not know.
    command: str
    request_id: str
    body: JsonObject = field(repr=False)

    @property
    def event_type(self) -> str:
        """The type of an event as WeCom writes it (`EventType`); empty for a message."""
        if self.command != CallbackKind.EVENT:
            return ""
        return read_text(read_object(self.body, "event"), "eventtype")


# Frames with raw control characters do come; all but tab and line feed are dropped (wecom 2.3).
_CONTROL_BYTES = bytes({*range(0x20)} - {0x09, 0x0A})


def read_frame(data: bytes) -> Answer | Callback:
    """Reads one frame. Raises `UnreadableJson` for anything that is neither an answer nor a callback."""
    frame = parse_json(data.translate(None, _CONTROL_BYTES))
    request_id = read_text(read_object(frame, "headers"), "req_id")[:MAX_REQUEST_ID_CHARACTERS]
    body = read_object(frame, "body")
    command = read_text(frame, "cmd")
    if command:
        return Callback(command=command, request_id=request_id, body=body)
    if not request_id or "errcode" not in frame:
        raise UnreadableJson
    return Answer(
        request_id=request_id,
        errcode=read_number(frame, "errcode"),
        errmsg=_printable_error(read_text(frame, "errmsg")),
        body=body,
    )


# WeCom's words about an error are cut here.
MAX_ERROR_CHARACTERS = 200

# Such a row of characters may be a secret: it is longer than any word, and a secret of a bot has 43.
_SECRET_LIKE = re.compile(r"[0-9A-Za-z_+/=-]{32,}")


def _printable_error(text: str) -> str:
    """Shortens WeCom's words to one line without anything that may be a secret."""
    safe = _SECRET_LIKE.sub("…", text[:MAX_ERROR_CHARACTERS])
    return "".join(char if char.isprintable() else " " for char in safe).strip()


def request_frame(command: FrameCommand, request_id: str, body: Mapping[str, Json] | None = None) -> str:
    """Returns the frame of a request. Raises `UnicodeEncodeError` for a lone surrogate in a text."""
    frame: dict[str, Json] = {"cmd": str(command), "headers": {"req_id": request_id}}
    if body is not None:
        frame["body"] = dict(body)
    text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
    text.encode()  # raises before anything is sent
    return text


def new_request_id(command: FrameCommand, now: int, random: bytes) -> str:
    """Returns an id in the form of Tencent's own client. `now` is in milliseconds since 1970."""
    return f"{command}_{now}_{random.hex()[:8]}"
