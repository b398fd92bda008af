"""From an entry of AddMsgList to a message or an event (webwx 3).

Each entry is read by itself, and whatever is in it, the result is a message, an event, or None for what is
not for people. Names come in as `NameLookup`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from wx2mqtt.i18n import Language
from wx2mqtt.model import ChatKind, Event, Handle, Kind, Message, Owner
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_text
from wx2mqtt.wechat.webwx.protocol.app_messages import app_message
from wx2mqtt.wechat.webwx.protocol.codes import (
    CALL_STATES,
    LOCATION_SUBTYPE,
    NEVER_SHOWN,
    MsgType,
    NotifyCode,
)
from wx2mqtt.wechat.webwx.protocol.contacts import is_group
from wx2mqtt.wechat.webwx.protocol.content import (
    Content,
    ContentReader,
    card_message,
    text_message,
    unsupported_message,
)
from wx2mqtt.wechat.webwx.protocol.link_messages import reader_message
from wx2mqtt.wechat.webwx.protocol.markup import read_message_id
from wx2mqtt.wechat.webwx.protocol.media_messages import (
    image_message,
    location_message,
    sticker_message,
    video_message,
    voice_message,
)
from wx2mqtt.wechat.webwx.protocol.system_messages import (
    RecallNotice,
    friend_request,
    recall_fields,
    request_fields,
    system_notice,
    system_xml,
)

# `<sender>:<br/>`; clear wxids do occur (webwx 3.5.1).
_PREFIX = re.compile(r"(@[a-zA-Z0-9]+|[a-zA-Z0-9_-]+):(?:<br ?/?>|\n)")
_REDIRECT_LOCATION = re.compile(
    r".{0,500}:(?:<br ?/?>|\n)http://weixin\.qq\.com/cgi-bin/redirectforward\?args="
)
_EVERYBODY = ("所有人", "All", "all")
_AFTER_NAME = ("", "\u2005", "\u00a0", " ", "\n")


class NameLookup(Protocol):
    """Who is called what, as far as it is known."""

    owner: Owner

    def chat_kind(self, handle: str, /) -> ChatKind:
        """What a chat is."""

    def member_name(self, group: str, member: str, /) -> str | None:
        """How a group shows a member; None when it is not known."""

    def own_names(self, group: str, /) -> tuple[str, ...]:
        """The names under which the owner may be mentioned in a group."""


@dataclass(frozen=True, slots=True)
class MessageFrame:
    """Who wrote into which chat; `sender` is None where WeChat speaks. `content` is without the prefix."""

    chat: str
    sender: str | None
    content: str


def read_message(
    entry: JsonObject, names: NameLookup, language: Language, now: int
) -> Message | Event | None:
    """The message or event; None for what is not for people. `now` (ms) stands in for a missing time.

    Raises `ValueError` for an entry that belongs to no chat.
    """
    sort = read_number(entry, "MsgType")
    if sort in NEVER_SHOWN:
        return None
    frame = frame_of(entry, names.owner.handle)
    if not frame.chat:
        raise ValueError
    special = _EVENTS.get(sort)
    if special is not None:
        return special(entry, frame, names, language, now)
    content = _content(entry, frame.content, sort, language)
    return _message(entry, frame, content, names, now)


def frame_of(entry: JsonObject, owner: Handle) -> MessageFrame:
    """Chat, sender and bare content (webwx 3.5, 3.12.1). An empty FromUserName is the owner."""
    writer, peer, content = (
        read_text(entry, "FromUserName"),
        read_text(entry, "ToUserName"),
        read_text(entry, "Content"),
    )
    if read_number(entry, "MsgType") == MsgType.SYSTEM_TEXT:
        return MessageFrame(peer if not writer or writer == owner else writer, None, content)
    if not writer or writer == owner:
        return MessageFrame(peer, owner, _without_own_prefix(content, owner) if is_group(peer) else content)
    if not is_group(writer):
        return MessageFrame(writer, writer, content)
    # A place ends like a prefix does, so a location has one only where two such ends follow (webwx 3.8.4).
    prefix = _PREFIX.match(content)
    if prefix and _is_place(entry, prefix, content):
        prefix = None
    return (
        MessageFrame(writer, prefix[1], content[prefix.end() :])
        if prefix
        else MessageFrame(writer, None, content)
    )


def mentioned_chats(entry: JsonObject) -> tuple[str, ...]:
    """The chats in a list of the phone's recent ones (webwx 3.9.2); empty for any other message."""
    if (
        read_number(entry, "MsgType") != MsgType.STATUS_NOTIFY
        or read_number(entry, "StatusNotifyCode") != NotifyCode.SYNC_CONV
    ):
        return ()
    return tuple(filter(None, read_text(entry, "StatusNotifyUserName").split(",")))


def mentions(text: str, names: tuple[str, ...]) -> bool:
    """Whether a name stands behind an `@`; no field tells, so the text is searched (webwx 3.4.3.2)."""
    return any(_is_called(text, f"@{name}") for name in (*names, *_EVERYBODY))


def _is_called(text: str, name: str) -> bool:
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        if text[end : end + 1] in _AFTER_NAME:
            return True
        at = text.find(name, end)
    return False


def _is_place(entry: JsonObject, prefix: re.Match[str], content: str) -> bool:
    single = read_number(entry, "SubMsgType") == LOCATION_SUBTYPE and not prefix[1].startswith("@")
    return single and not _PREFIX.match(content, prefix.end()) and ":<br" not in content[prefix.end() :]


def _without_own_prefix(content: str, owner: Handle) -> str:
    prefix = f"{owner}:<br/>"
    return content.removeprefix(prefix)


def _content(entry: JsonObject, content: str, msg_type: int, language: Language) -> Content:
    if msg_type == MsgType.TEXT:
        return _typed(entry, content, language)
    reader = MESSAGE_READERS.get(msg_type)
    return reader.read(entry, content, language) if reader else unsupported_message(entry, content, language)


def _typed(entry: JsonObject, content: str, language: Language) -> Content:
    """A message 1: mostly a text, but places and articles come this way as well (webwx 3.6.4, 3.8.1)."""
    if read_number(entry, "SubMsgType") == LOCATION_SUBTYPE:
        return location_message(entry, content, language)
    if "redirectforward?args=" in content and _REDIRECT_LOCATION.match(content):
        return location_message(entry, content, language)
    if "mmreader" in content:
        return reader_message(entry, content, language) or text_message(entry, content, language)
    return text_message(entry, content, language)


def _message(
    entry: JsonObject, frame: MessageFrame, content: Content, names: NameLookup, now: int
) -> Message:
    kind = ChatKind.GROUP if is_group(frame.chat) else names.chat_kind(frame.chat)
    sender, own, shown, mentioned = frame.sender, False, "", False
    if content.kind is Kind.SYSTEM:
        sender = None
    if sender is not None:
        own = sender == names.owner.handle
        if kind is ChatKind.GROUP:
            shown = names.member_name(frame.chat, sender) or ""
            mentioned = not own and "@" in content.text and _mentioned(frame.chat, content, names)
    key = key_of(entry)
    return Message(
        key=key,
        id=key,
        chat=Handle(frame.chat),
        chat_kind=kind,
        sender=None if sender is None else Handle(sender),
        sender_name=shown,
        from_self=own,
        kind=content.kind,
        text=content.text,
        mentioned=mentioned,
        time=_time(entry, now),
        detail=content.detail,
        media=content.media,
        thumbnail=content.thumbnail,
    )


def _mentioned(group: str, content: Content, names: NameLookup) -> bool:
    return content.kind in {Kind.TEXT, Kind.QUOTE} and mentions(content.text, names.own_names(group))


def key_of(entry: JsonObject) -> str:
    """Equal whenever WeChat hands the same entry over again; without an id a hash of all that it says."""
    known = read_message_id(entry)
    if known:
        return known
    text = json.dumps(entry, sort_keys=True, default=str)
    return f"x{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"


def _time(entry: JsonObject, now: int) -> int:
    """WeChat counts in seconds; an absurd time is replaced by ours."""
    seconds = read_number(entry, "CreateTime")
    return seconds * 1000 if 0 < seconds < 10_000_000_000 else now


def _friend_request(
    entry: JsonObject, frame: MessageFrame, _view: NameLookup, _language: Language, now: int
) -> Event:
    request = friend_request(entry, frame.content)
    return Event(
        key=key_of(entry),
        name="friend_request",
        time=_time(entry, now),
        fields={"id": key_of(entry), **request_fields(request)},
        private={"ticket": request.ticket, "username": request.username},
    )


def _call(entry: JsonObject, frame: MessageFrame, _view: NameLookup, _language: Language, now: int) -> Event:
    return Event(
        key=key_of(entry),
        name="call",
        time=_time(entry, now),
        chat=Handle(frame.chat),
        actor=None if frame.sender is None else Handle(frame.sender),
        fields={"state": CALL_STATES[MsgType(read_number(entry, "MsgType"))]},
    )


def _system_xml(
    entry: JsonObject, frame: MessageFrame, view: NameLookup, _language: Language, now: int
) -> Message | Event | None:
    found = system_xml(frame.content)
    if found is None:
        return None
    if isinstance(found, Content):
        return _message(entry, frame, found, view, now)
    return Event(
        key=key_of(entry),
        name="recall",
        time=_time(entry, now),
        chat=Handle(frame.chat),
        actor=_revoker(found, frame, view.owner),
        fields=recall_fields(found, view.owner),
    )


def _revoker(recall: RecallNotice, frame: MessageFrame, owner: Owner) -> Handle | None:
    """Who withdrew it; the own phone's may come as if from the peer, so the words count (webwx 3.11.3)."""
    if recall.own:
        return owner.handle
    return None if frame.sender is None else Handle(frame.sender)


_EVENTS = {
    int(MsgType.FRIEND_REQUEST): _friend_request,
    int(MsgType.VOIP): _call,
    int(MsgType.VOIP_END): _call,
    int(MsgType.VOIP_INVITE): _call,
    int(MsgType.SYSTEM_XML): _system_xml,
}


class MessageReader(NamedTuple):
    """What a `MsgType` becomes: the kind that most of its messages have, and the function that reads one."""

    kind: Kind
    read: ContentReader


MESSAGE_READERS: dict[int, MessageReader] = {
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
