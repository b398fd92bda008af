"""From an entry of AddMsgList to a message or an event (webwx 3). Who is called what comes in as `View`.

Each entry is read by itself; whatever is in it, the answer is a message, an event, or that it is not for
people.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Protocol

from wx2mqtt.model import ChatKind, Event, Handle, Kind, Message, Owner
from wx2mqtt.wechat.fields import Entry, number, text
from wx2mqtt.wechat.webwx.appmsg import app_message
from wx2mqtt.wechat.webwx.codes import CALL_STATES, LOCATION_SUBTYPE, NEVER_SHOWN, MsgType, Notify
from wx2mqtt.wechat.webwx.contacts import is_group
from wx2mqtt.wechat.webwx.content import Content, Reader, card, text_message, unsupported
from wx2mqtt.wechat.webwx.fields import message_id
from wx2mqtt.wechat.webwx.links import reader_message
from wx2mqtt.wechat.webwx.notices import (
    Recall,
    friend_request,
    recall_fields,
    request_fields,
    system_xml,
    told,
)
from wx2mqtt.wechat.webwx.places import location
from wx2mqtt.wechat.webwx.recordings import image, sticker, video, voice
from wx2mqtt.words import Language

# `<sender>:<br/>`; clear wxids do occur (webwx 3.5).
_PREFIX = re.compile(r"(@[a-zA-Z0-9]+|[a-zA-Z0-9_-]+):(?:<br ?/?>|\n)")
_REDIRECT_LOCATION = re.compile(
    r".{0,500}:(?:<br ?/?>|\n)http://weixin\.qq\.com/cgi-bin/redirectforward\?args="
)
_EVERYBODY = ("所有人", "All", "all")
_AFTER_NAME = ("", "\u2005", "\u00a0", " ", "\n")


class View(Protocol):
    """Who is called what, as far as it is known."""

    owner: Owner

    def kind(self, handle: str, /) -> ChatKind:
        """What a chat is."""

    def name(self, group: str, member: str, /) -> str | None:
        """How a group shows a member; None when it is not known."""

    def own_names(self, group: str, /) -> tuple[str, ...]:
        """The names under which the owner may be mentioned in a group."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Who wrote into which chat; `sender` is None where WeChat speaks. `content` is without the prefix."""

    chat: str
    sender: str | None
    content: str


def read(entry: Entry, view: View, language: Language, now: int) -> Message | Event | None:
    """The message or event; None for what is not for people. `now` (ms) stands in for a missing time.

    Raises `ValueError` for an entry that belongs to no chat.
    """
    sort = number(entry, "MsgType")
    if sort in NEVER_SHOWN:
        return None
    frame = frame_of(entry, view.owner.handle)
    if not frame.chat:
        raise ValueError
    special = _EVENTS.get(sort)
    if special is not None:
        return special(entry, frame, view, language, now)
    content = _content(entry, frame.content, sort, language)
    return _message(entry, frame, content, view, now)


def frame_of(entry: Entry, owner: Handle) -> Frame:
    """Chat, sender and bare content (webwx 3.5, 3.12). An empty FromUserName is the owner."""
    writer, peer, content = text(entry, "FromUserName"), text(entry, "ToUserName"), text(entry, "Content")
    if number(entry, "MsgType") == MsgType.SYSTEM_TEXT:
        return Frame(peer if not writer or writer == owner else writer, None, content)
    if not writer or writer == owner:
        return Frame(peer, owner, _without_own_prefix(content, owner) if is_group(peer) else content)
    if not is_group(writer):
        return Frame(writer, writer, content)
    # A place ends like a prefix does, so a location has one only where two such ends follow (webwx 3.8).
    prefix = _PREFIX.match(content)
    if prefix and _is_place(entry, prefix, content):
        prefix = None
    return Frame(writer, prefix[1], content[prefix.end() :]) if prefix else Frame(writer, None, content)


def chats_told(entry: Entry) -> tuple[str, ...]:
    """The chats in a list of the phone's recent ones (webwx 3.9); empty for any other message."""
    if (
        number(entry, "MsgType") != MsgType.STATUS_NOTIFY
        or number(entry, "StatusNotifyCode") != Notify.SYNC_CONV
    ):
        return ()
    return tuple(filter(None, text(entry, "StatusNotifyUserName").split(",")))


def mentions(said: str, names: tuple[str, ...]) -> bool:
    """Whether a name stands behind an `@`; no field tells, so the text is searched (webwx 3.4.3)."""
    return any(_is_called(said, f"@{name}") for name in (*names, *_EVERYBODY))


def _is_called(said: str, name: str) -> bool:
    at = said.find(name)
    while at >= 0:
        end = at + len(name)
        if said[end : end + 1] in _AFTER_NAME:
            return True
        at = said.find(name, end)
    return False


def _is_place(entry: Entry, prefix: re.Match[str], content: str) -> bool:
    single = number(entry, "SubMsgType") == LOCATION_SUBTYPE and not prefix[1].startswith("@")
    return single and not _PREFIX.match(content, prefix.end()) and ":<br" not in content[prefix.end() :]


def _without_own_prefix(content: str, owner: Handle) -> str:
    prefix = f"{owner}:<br/>"
    return content.removeprefix(prefix)


def _content(entry: Entry, content: str, sort: int, language: Language) -> Content:
    if sort == MsgType.TEXT:
        return _typed(entry, content, language)
    reader = _READERS.get(sort)
    return reader(entry, content, language) if reader else unsupported(entry, content, language)


def _typed(entry: Entry, content: str, language: Language) -> Content:
    """A message 1: mostly a text, but places and articles come this way as well (webwx 3.6, 3.8)."""
    if number(entry, "SubMsgType") == LOCATION_SUBTYPE:
        return location(entry, content, language)
    if "redirectforward?args=" in content and _REDIRECT_LOCATION.match(content):
        return location(entry, content, language)
    if "mmreader" in content:
        return reader_message(entry, content, language) or text_message(entry, content, language)
    return text_message(entry, content, language)


def _message(entry: Entry, frame: Frame, content: Content, view: View, now: int) -> Message:
    kind = ChatKind.GROUP if is_group(frame.chat) else view.kind(frame.chat)
    sender, own, shown, mentioned = frame.sender, False, "", False
    if content.kind is Kind.SYSTEM:
        sender = None
    if sender is not None:
        own = sender == view.owner.handle
        if kind is ChatKind.GROUP:
            shown = view.name(frame.chat, sender) or ""
            mentioned = not own and "@" in content.text and _mentioned(frame.chat, content, view)
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


def _mentioned(group: str, content: Content, view: View) -> bool:
    return content.kind in {Kind.TEXT, Kind.QUOTE} and mentions(content.text, view.own_names(group))


def key_of(entry: Entry) -> str:
    """Equal whenever WeChat hands the same entry over again; without an id a hash of all that it says."""
    known = message_id(entry)
    if known:
        return known
    said = json.dumps(entry, sort_keys=True, default=str)
    return f"x{hashlib.blake2b(said.encode(), digest_size=12).hexdigest()}"


def _time(entry: Entry, now: int) -> int:
    """WeChat counts in seconds; an absurd time is replaced by ours."""
    seconds = number(entry, "CreateTime")
    return seconds * 1000 if 0 < seconds < 10_000_000_000 else now


def _friend_request(entry: Entry, frame: Frame, _view: View, _language: Language, now: int) -> Event:
    request = friend_request(entry, frame.content)
    return Event(
        key=key_of(entry),
        name="friend_request",
        time=_time(entry, now),
        fields={"id": key_of(entry), **request_fields(request)},
        private={"ticket": request.ticket, "username": request.username},
    )


def _call(entry: Entry, frame: Frame, _view: View, _language: Language, now: int) -> Event:
    return Event(
        key=key_of(entry),
        name="call",
        time=_time(entry, now),
        chat=Handle(frame.chat),
        actor=None if frame.sender is None else Handle(frame.sender),
        fields={"state": CALL_STATES[MsgType(number(entry, "MsgType"))]},
    )


def _system_xml(
    entry: Entry, frame: Frame, view: View, _language: Language, now: int
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


def _revoker(recall: Recall, frame: Frame, owner: Owner) -> Handle | None:
    """Who withdrew it; the own phone's may come as if from the peer, so the words count (webwx 3.11)."""
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

_READERS: dict[int, Reader] = {
    MsgType.HTML: text_message,
    MsgType.IMAGE: image,
    MsgType.PRIVATE_TEXT: text_message,
    MsgType.PRIVATE_HTML: text_message,
    MsgType.PRIVATE_IMAGE: image,
    MsgType.VOICE: voice,
    MsgType.CARD: card,
    MsgType.VIDEO: video,
    MsgType.VIDEO_EXPORT: video,
    MsgType.STICKER: sticker,
    MsgType.LOCATION: location,
    MsgType.APP: app_message,
    MsgType.MICRO_VIDEO: video,
    MsgType.SYSTEM_TEXT: told,
}
