"""Reads the entries that become events: a recall, a friend request (webwx 3.10, 3.11).

`messages.py` calls them with what it has read of every entry: its content without sender prefix,
the `key` of the event, and its `time` in milliseconds.
"""

from __future__ import annotations

import re

from wx2mqtt.model import Event, Handle, Owner
from wx2mqtt.wechat.json_reader import JsonObject, read_integer, read_number, read_object, read_text
from wx2mqtt.wechat.webwx.protocol.content import content_facts
from wx2mqtt.wechat.webwx.protocol.markup import (
    MAX_LINE_CHARACTERS,
    NO_NODE,
    XmlNode,
    clean_line,
    clean_name,
    parse_xml,
    system_text,
)
from wx2mqtt.wechat.webwx.protocol.membership_texts import CLOSING_QUOTES, OPENING_QUOTES

# `"Anna" 撤回了一条消息`, `"Anna" recalled a message`; of the owner `你撤回了…`, `You recalled a message`
_RECALLED_WORDS = "已?[撤收]回|(?:has )?(?:recalled|withdrew|unsent)"
_RECALLED = re.compile(_RECALLED_WORDS)
_OWNER_RECALLED = re.compile(rf"(?:[你您]|You(?: have|'ve)?) ?(?:{_RECALLED_WORDS})", re.IGNORECASE)


def recall_event(
    sysmsg: XmlNode, chat: Handle, sender: Handle | None, owner: Owner, key: str, time: int
) -> Event | None:
    """Returns the event of a recall that a system XML reports, or None when it reports none.

    A recall by the owner's phone may look as if the peer had sent it, so the text decides (webwx 3.11.3).
    """
    if sysmsg.attribute("type") != "revokemsg":
        return None
    xml = sysmsg.find("revokemsg")
    text = system_text(xml.text("replacemsg"))
    is_own = bool(_OWNER_RECALLED.match(text.strip()))
    by = owner.nickname if is_own else clean_name(_recalling_name(text[:MAX_LINE_CHARACTERS]))
    message_id = _usable_id(xml.text("msgid")) or _usable_id(xml.text("newmsgid"))
    return Event(
        key=key,
        name="recall",
        time=time,
        chat=chat,
        actor=owner.handle if is_own else sender,
        fields=content_facts(id=message_id, message_id=message_id, by=by, text=text),
    )


def _usable_id(text: str) -> str:
    """Returns an id of digits; empty for any other text, and for 0, which WeChat writes for no id."""
    return text if text.isascii() and text.isdigit() and text.strip("0") else ""


def _recalling_name(text: str) -> str:
    """Returns the quoted name of who withdrew a message, up to its last quote; or an empty text."""
    for words in reversed(list(_RECALLED.finditer(text))):
        name = text[: words.start()].strip()
        if name.startswith(OPENING_QUOTES) and name.endswith(CLOSING_QUOTES):
            return name[1:-1]
    return ""


# Source of a friend request by its Scene, as far as clients agree (webwx 2.17.5).
_REQUEST_SOURCES = {3: "search", 14: "group", 15: "phone_number", 17: "card", 30: "qr_code"}


def friend_request_event(entry: JsonObject, content: str, key: str, time: int) -> Event:
    """Returns the event of a friend request: each field from RecommendInfo, or else from the XML.

    `private` has what is needed to accept it, which must stay secret.
    """
    info = read_object(entry, "RecommendInfo")
    xml = parse_xml(content) if content else NO_NODE
    scene = read_number(info, "Scene")
    xml_scene = xml.attribute("scene")
    if not scene and xml_scene.isdigit() and len(xml_scene) < 6:  # a longer number is no Scene
        scene = read_integer(xml_scene)
    fields = content_facts(
        id=key,
        name=clean_name(read_text(info, "NickName")) or xml.attribute("fromnickname"),
        text=clean_line(clean_name(read_text(info, "Content")) or xml.attribute("content")),
        source=_REQUEST_SOURCES.get(scene, str(scene) if scene else ""),
    )
    private = {
        "ticket": read_text(info, "Ticket") or xml.attribute("ticket"),
        "username": read_text(info, "UserName") or xml.attribute("encryptusername"),
    }
    return Event(key=key, name="friend_request", time=time, fields=fields, private=private)
