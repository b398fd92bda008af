"""Converts an entry of AddMsgList (the new messages of a sync) to a message or an event (webwx 3).

    {"MsgId": "76…", "FromUserName": "@@family", "ToUserName": "@me", "MsgType": 1, "Content": "@a:<br/>hi"}

1. `read_frame` finds chat, sender and content.
2. By MsgType it becomes an event (`events.py`), or a reader of `MESSAGE_READERS` reads its content.
3. `_message` adds who it is from, and whether it mentions the owner (`known_names`).

Entries do not depend on each other.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Any, NamedTuple

from wx2mqtt.i18n import Language
from wx2mqtt.model import ChatKind, Event, Handle, Kind, Message
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_text
from wx2mqtt.wechat.webwx.protocol import events
from wx2mqtt.wechat.webwx.protocol.app_messages import app_message, reader_message
from wx2mqtt.wechat.webwx.protocol.codes import (
    CALL_STATES,
    LOCATION_SUBTYPE,
    NEVER_SHOWN,
    SPECIAL_ACCOUNTS,
    MsgType,
    NotifyCode,
)
from wx2mqtt.wechat.webwx.protocol.contacts import is_group
from wx2mqtt.wechat.webwx.protocol.content import (
    Content,
    ContentReader,
    card_message,
    read_message_id,
    text_message,
    unsupported_message,
)
from wx2mqtt.wechat.webwx.protocol.group_members import GroupMembers
from wx2mqtt.wechat.webwx.protocol.media_messages import (
    image_message,
    location_message,
    sticker_message,
    video_message,
    voice_message,
)
from wx2mqtt.wechat.webwx.protocol.membership_texts import GroupNotice, group_notice
from wx2mqtt.wechat.webwx.protocol.system_texts import (
    has_text_of_people,
    parse_system_xml,
    system_notice,
    system_xml_content,
)

# A CreateTime after this, the year 2286, is an error.
_MAX_TIME_SECONDS = 10_000_000_000


@frozen(kw_only=False)
class MessageFrame:
    """Chat, sender and content of an entry."""

    chat: Handle
    #: None for a text of WeChat itself.
    sender: Handle | None
    #: Without sender prefix.
    content: str


def read_message(
    entry: JsonObject, group_members: GroupMembers, language: Language, now: int
) -> Message | Event | None:
    """Returns the message or event of an entry, or None when the entry is not meant for people.

    `now`, in milliseconds, replaces a missing time. Raises `ValueError` for an entry that belongs to no chat.
    """
    msg_type = read_number(entry, "MsgType")
    if msg_type in NEVER_SHOWN:
        return None
    frame = read_frame(entry, group_members.owner.handle)
    if not frame.chat:
        raise ValueError
    key = entry_key(entry)
    seconds = read_number(entry, "CreateTime")
    time = seconds * 1000 if 0 < seconds < _MAX_TIME_SECONDS else now
    if msg_type == MsgType.FRIEND_REQUEST:
        return events.friend_request_event(entry, frame.content, key, time)
    if msg_type in CALL_STATES:
        fields = {"state": CALL_STATES[MsgType(msg_type)]}
        return Event(key=key, name="call", time=time, chat=frame.chat, actor=frame.sender, fields=fields)
    if msg_type == MsgType.SYSTEM_XML:
        sysmsg = parse_system_xml(frame.content)
        recall = events.recall_event(sysmsg, frame.chat, frame.sender, group_members.owner, key, time)
        if recall is not None:
            return recall
        content = system_xml_content(sysmsg)
        frame = replace(frame, sender=None)  # WeChat itself wrote it
    else:
        reader = MESSAGE_READERS.get(msg_type)
        read_content = unsupported_message if reader is None else reader.read
        content = read_content(entry, frame.content, language)
    return None if content is None else _message(frame, content, group_members, key, time)


# `@a1b2c3:<br/>` in front of the content of a group message. The sender may be a plain wxid (webwx 3.5.1).
_SENDER_PREFIX = re.compile(r"(@[a-zA-Z0-9]+|[a-zA-Z0-9_-]+):(?:<br ?/?>|\n)")


def read_frame(entry: JsonObject, owner: Handle) -> MessageFrame:
    """Returns chat, sender and content without prefix (webwx 3.5, 3.12.1).

    An empty FromUserName stands for the owner.
    """
    from_handle = Handle(read_text(entry, "FromUserName"))
    to_handle = Handle(read_text(entry, "ToUserName"))
    content = read_text(entry, "Content")
    is_own = not from_handle or from_handle == owner
    if read_number(entry, "MsgType") == MsgType.SYSTEM_TEXT:
        return MessageFrame(to_handle if is_own else from_handle, None, content)
    if is_own:
        text = content.removeprefix(f"{owner}:<br/>") if is_group(to_handle) else content
        return MessageFrame(to_handle, owner, text)
    if not is_group(from_handle):
        return MessageFrame(from_handle, from_handle, content)
    prefix = _SENDER_PREFIX.match(content)
    # A special account writes in no group: whoever is called so there would be trusted as the file helper.
    if prefix is None or prefix[1] in SPECIAL_ACCOUNTS or _is_location_name(entry, prefix, content):
        return MessageFrame(from_handle, None, content)
    return MessageFrame(from_handle, Handle(prefix[1]), content[prefix.end() :])


def _is_location_name(entry: JsonObject, prefix: re.Match[str], content: str) -> bool:
    """Returns whether a supposed sender prefix is the name of a location, which ends like a prefix.

    A location has a sender prefix only when a second such end follows (webwx 3.8.4).
    """
    is_location = read_number(entry, "SubMsgType") == LOCATION_SUBTYPE
    if not is_location or prefix[1].startswith("@"):
        return False
    return not _SENDER_PREFIX.match(content, prefix.end()) and ":<br" not in content[prefix.end() :]


# `Canton Tower:<br/>http://weixin.qq.com/cgi-bin/redirectforward?args=…`
_REDIRECT_LOCATION = re.compile(
    r".{0,500}:(?:<br ?/?>|\n)http://weixin\.qq\.com/cgi-bin/redirectforward\?args="
)


def _text_content(entry: JsonObject, content: str, language: Language) -> Content:
    """Returns the content of an entry of MsgType 1: a text, a location or articles (webwx 3.6.4, 3.8.1)."""
    if read_number(entry, "SubMsgType") == LOCATION_SUBTYPE:
        return location_message(entry, content, language)
    if "redirectforward?args=" in content and _REDIRECT_LOCATION.match(content):
        return location_message(entry, content, language)
    if "mmreader" in content:
        return reader_message(entry, content, language) or text_message(entry, content, language)
    return text_message(entry, content, language)


def _message(
    frame: MessageFrame, content: Content, group_members: GroupMembers, key: str, time: int
) -> Message:
    sender = frame.sender
    return Message(
        key=key,
        id=key,
        chat=frame.chat,
        sender=sender,
        from_self=sender is not None and sender == group_members.owner.handle,
        kind=content.kind,
        text=content.text,
        time=time,
        detail=content.detail,
        media=content.media,
        thumbnail=content.thumbnail,
        **known_names(frame.chat, sender, content.kind, content.text, group_members),
    )


def known_names(
    chat: Handle, sender: Handle | None, kind: Kind, text: str, group_members: GroupMembers
) -> dict[str, Any]:
    """Returns `chat_kind`, `sender_name` and `mentioned` of a `Message`, from what is known of its chat.

    The receiver asks again when it has looked up a chat that was unknown.
    """
    chat_kind = group_members.chat_kind(chat)
    sender_name = ""
    mentioned = False
    if sender is not None and chat_kind is ChatKind.GROUP:
        sender_name = group_members.member_name(chat, sender) or ""
        # The names of the owner cost a look-up, so texts without `@` are sorted out first.
        if sender != group_members.owner.handle and "@" in text and kind in {Kind.TEXT, Kind.QUOTE}:
            mentioned = mentions(text, group_members.own_names(chat))
    return {
        "chat_kind": chat_kind,
        "sender_name": sender_name,
        "mentioned": mentioned,
    }


# `@` with one of these mentions all members of a group.
_NAMES_FOR_ALL = ("所有人", "All", "all")

# One of these follows a mentioned name; the empty text stands for the end of the message.
_AFTER_MENTION = ("", "\u2005", "\u00a0", " ", "\n")


def mentions(text: str, names: tuple[str, ...]) -> bool:
    """Returns whether a text has `@` and one of the names, or `@` and a name for all members.

    No field of an entry says this, so the text is searched (webwx 3.4.3.2).
    """
    return any(_has_mention(text, f"@{name}") for name in (*names, *_NAMES_FOR_ALL))


def _has_mention(text: str, mention: str) -> bool:
    start = text.find(mention)
    while start >= 0:
        end = start + len(mention)
        if text[end : end + 1] in _AFTER_MENTION:
            return True
        start = text.find(mention, end)
    return False


# What the receiver asks of an entry besides its message


def entry_key(entry: JsonObject) -> str:
    """Returns a key that stays equal when WeChat sends the same entry again.

    The key is the message id; for an entry without an id it is "x" and a hash of the whole entry.
    """
    message_id = read_message_id(entry)
    if message_id:
        return message_id
    serialized = json.dumps(entry, sort_keys=True, default=str)
    return f"x{hashlib.blake2b(serialized.encode(), digest_size=12).hexdigest()}"


def read_notice(entry: JsonObject, message: Message) -> GroupNotice | None:
    """Returns the change of a group that an entry reports, whose message was read, or None without any.

    WeChat itself must have worded it: a member can send the same words.
    """
    if message.kind is not Kind.SYSTEM or message.chat_kind is not ChatKind.GROUP:
        return None
    msg_type = read_number(entry, "MsgType")
    is_worded_by_wechat = msg_type == MsgType.SYSTEM_TEXT or (
        msg_type == MsgType.SYSTEM_XML and not has_text_of_people(read_text(entry, "Content"))
    )
    return group_notice(message.text) if is_worded_by_wechat else None


def recent_chats(entry: JsonObject) -> tuple[str, ...]:
    """Returns the handles in the phone's list of recent chats (webwx 3.9.2); empty for any other entry."""
    if (
        read_number(entry, "MsgType") != MsgType.STATUS_NOTIFY
        or read_number(entry, "StatusNotifyCode") != NotifyCode.SYNC_CONV
    ):
        return ()
    return tuple(filter(None, read_text(entry, "StatusNotifyUserName").split(",")))


# The table of types


class MessageReader(NamedTuple):
    """The reader of a `MsgType`, and the kind that most of its messages have."""

    kind: Kind
    read: ContentReader


MESSAGE_READERS: dict[int, MessageReader] = {
    MsgType.TEXT: MessageReader(Kind.TEXT, _text_content),
    MsgType.HTML: MessageReader(Kind.TEXT, text_message),
    MsgType.IMAGE: MessageReader(Kind.IMAGE, image_message),
    MsgType.PRIVATE_TEXT: MessageReader(Kind.TEXT, text_message),
    MsgType.PRIVATE_HTML: MessageReader(Kind.TEXT, text_message),
    MsgType.PRIVATE_IMAGE: MessageReader(Kind.IMAGE, image_message),
    MsgType.VOICE: MessageReader(Kind.VOICE, voice_message),
    MsgType.CARD: MessageReader(Kind.CARD, card_message),
    MsgType.VIDEO: MessageReader(Kind.VIDEO, video_message),
    MsgType.VIDEO_EXPORT: MessageReader(Kind.VIDEO, video_message),
    MsgType.STICKER: MessageReader(Kind.STICKER, sticker_message),
    MsgType.LOCATION: MessageReader(Kind.LOCATION, location_message),
    MsgType.APP: MessageReader(Kind.LINK, app_message),
    MsgType.MICRO_VIDEO: MessageReader(Kind.VIDEO, video_message),
    MsgType.SYSTEM_TEXT: MessageReader(Kind.SYSTEM, system_notice),
}
