"""Reads the callbacks that are no messages: what happened to the connection, who pressed what (wecom 4.5).

    {"cmd": "aibot_event_callback", …, "body": {"msgid": "e1", "msgtype": "event",
     "event": {"eventtype": "disconnected_event"}}}

says that another program uses the bot now.
"""

from __future__ import annotations

from enum import StrEnum

from wx2mqtt.wechat.json_reader import read_object, read_text
from wx2mqtt.wechat.wecom.protocol.frames import Callback, CallbackKind


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


# What the bridge does nothing about.
IGNORED_EVENTS = frozenset(
    {EventType.ENTER_CHAT, EventType.FEEDBACK, EventType.ENTER_CHECK, EventType.AUTHORISATION}
)


def event_type(callback: Callback) -> str:
    """Returns the type of an event as WeCom writes it; empty for a message, and for an event without one."""
    if callback.command != CallbackKind.EVENT:
        return ""
    return read_text(read_object(callback.body, "event"), "eventtype")


def is_taken_over(callback: Callback) -> bool:
    """Returns whether WeCom says that another program uses the bot now."""
    return event_type(callback) == EventType.DISCONNECTED
