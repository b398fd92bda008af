"""Replies: what a person writes now, and the message that it answers (webwx 3.6)."""

from __future__ import annotations

from wx2mqtt.model import Kind
from wx2mqtt.wechat.fields import integer
from wx2mqtt.wechat.webwx.app import App
from wx2mqtt.wechat.webwx.codes import AppType, MsgType
from wx2mqtt.wechat.webwx.content import Content, facts
from wx2mqtt.wechat.webwx.text import line, name, plain
from wx2mqtt.wechat.webwx.words import placeholder
from wx2mqtt.wechat.webwx.xml import parse

# What can be answered (webwx 3.2, 3.6).
_KINDS: dict[int, Kind] = {
    MsgType.TEXT: Kind.TEXT,
    MsgType.IMAGE: Kind.IMAGE,
    MsgType.VOICE: Kind.VOICE,
    MsgType.CARD: Kind.CARD,
    MsgType.VIDEO: Kind.VIDEO,
    MsgType.MICRO_VIDEO: Kind.VIDEO,
    MsgType.STICKER: Kind.STICKER,
    MsgType.LOCATION: Kind.LOCATION,
    MsgType.SYSTEM_TEXT: Kind.SYSTEM,
}
_APPS: dict[int, Kind] = {
    AppType.TEXT: Kind.TEXT,
    AppType.IMAGE: Kind.IMAGE,
    AppType.FILE: Kind.FILE,
    AppType.STICKER: Kind.STICKER,
    AppType.LIVE_LOCATION: Kind.LOCATION,
    AppType.CHAT_HISTORY: Kind.CHAT_HISTORY,
    AppType.NOTE: Kind.CHAT_HISTORY,
    AppType.MINI_PROGRAM: Kind.MINI_PROGRAM,
    AppType.MINI_PROGRAM_PAGE: Kind.MINI_PROGRAM,
    AppType.GROUP_NOTE: Kind.TEXT,
    AppType.ANNOUNCEMENT: Kind.TEXT,
    AppType.QUOTE: Kind.QUOTE,
    AppType.TRANSFER: Kind.TRANSFER,
    AppType.RED_PACKET: Kind.RED_PACKET,
}


def quote(app: App) -> Content:
    """The title is what the person wrote; the ids of people in `refermsg` stay here."""
    answered = app.xml.at("refermsg")
    kind, said = _answered(app, integer(answered.text("type")), answered.text("content"))
    detail = facts(
        id=answered.text("svrid"), kind=str(kind), text=line(said), sender=name(answered.text("displayname"))
    )
    return Content(kind=Kind.QUOTE, text=app.title, detail=detail)


def _answered(app: App, msg_type: int, said: str) -> tuple[Kind, str]:
    """Kind and line of the answered message; a quote within the quote is not opened."""
    if msg_type == MsgType.APP:
        xml = parse(said).at("appmsg")
        kind = _APPS.get(integer(xml.text("type")), Kind.LINK)
        return kind, xml.text("title") or placeholder(app.language, kind)
    kind = _KINDS.get(msg_type, Kind.UNSUPPORTED)
    return kind, plain(said) if kind is Kind.TEXT else placeholder(app.language, kind)
