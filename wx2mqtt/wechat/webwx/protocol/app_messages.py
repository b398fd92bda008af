"""Reads app messages (MsgType 49) by type, also quotes and forwarded chats (webwx 3.6.3, 3.6.5, 3.6.6).

`APP_READERS` maps each type to a kind and a reader. A message of any other type becomes a link when it has an
address, and is unsupported when it has none.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

from wx2mqtt.clock import rfc3339
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.model import Json, Kind
from wx2mqtt.wechat.json_reader import JsonObject, read_integer, read_number, read_text
from wx2mqtt.wechat.webwx.protocol import content, link_messages, money_messages
from wx2mqtt.wechat.webwx.protocol.app_entry import AppMessage
from wx2mqtt.wechat.webwx.protocol.codes import MsgType
from wx2mqtt.wechat.webwx.protocol.content import (
    Content,
    MediaCall,
    content_facts,
    message_locator,
    unsupported_message,
)
from wx2mqtt.wechat.webwx.protocol.markup import (
    XmlNode,
    clean_line,
    clean_name,
    parse_plain_xml,
    parse_xml,
    plain_text,
)


class AppType(IntEnum):
    """`type` inside the XML of a message 49 (webwx 3.6.3)."""

    NOT_ON_WEB = 0
    TEXT = 1
    IMAGE = 2
    MUSIC = 3
    VIDEO_LINK = 4
    LINK = 5
    FILE = 6
    OPEN_APP = 7
    STICKER = 8
    VOICE_REMINDER = 9
    SCANNED_PRODUCT = 10
    PRODUCT = 13
    STICKER_SET = 15
    COUPON = 16
    LIVE_LOCATION = 17
    CHAT_HISTORY = 19
    NOTE = 24
    MINI_PROGRAM = 33
    MINI_PROGRAM_PAGE = 36
    CHANNELS = 51
    GROUP_NOTE = 53
    QUOTE = 57
    PAT = 62
    CHANNELS_LIVE = 63
    ANNOUNCEMENT = 87
    GIFT = 115
    TRANSFER = 2000
    RED_PACKET = 2001
    READER = 100001


def app_message(entry: JsonObject, content: str, language: Language) -> Content:
    """Returns the content of an app message."""
    app = AppMessage(entry, content, language)
    if content and not app.xml and app.root.tag != "mmreader":
        return unsupported_message(entry, content, language)
    return APP_READERS.get(app.type, _UNKNOWN_TYPE).read(app)


def _text(app: AppMessage) -> Content:
    return Content(kind=Kind.TEXT, text=app.title)


def _announcement(app: AppMessage) -> Content:
    return Content(kind=Kind.TEXT, text=app.xml.text("textannouncement") or app.title)


def _pat(app: AppMessage) -> Content:
    return Content(kind=Kind.SYSTEM, text=app.title or webwx_placeholder(app.language, Kind.SYSTEM))


def _image(app: AppMessage) -> Content:
    return Content(
        kind=Kind.IMAGE,
        text=webwx_placeholder(app.language, Kind.IMAGE, clean_line(app.title)),
        media=message_locator(app.entry, MediaCall.IMAGE),
        thumbnail=message_locator(app.entry, MediaCall.THUMBNAIL),
    )


def _sticker(app: AppMessage) -> Content:
    text = webwx_placeholder(app.language, Kind.STICKER)
    return Content(kind=Kind.STICKER, text=text, media=message_locator(app.entry, MediaCall.STICKER))


def _file(app: AppMessage) -> Content:
    size = read_number(app.entry, "FileSize") or read_integer(app.xml.find("appattach").text("totallen"))
    title = content.received_filename(clean_name(read_text(app.entry, "FileName")) or app.title)
    return Content(
        kind=Kind.FILE,
        text=webwx_placeholder(app.language, Kind.FILE, clean_line(title)),
        detail=content_facts(name=title, size=size if size > 0 else None),
        media=message_locator(app.entry, MediaCall.FILE, size=max(size, 0), name=title),
    )


def _live_location(app: AppMessage) -> Content:
    return app.to_content(Kind.LOCATION, app.title, content_facts(label=app.title, live=True))


def _unsupported(app: AppMessage) -> Content:
    return unsupported_message(app.entry, app.content, app.language, app.title, app.type)


def _link_or_unsupported(app: AppMessage) -> Content:
    return link_messages.link_message(app) if app.url else _unsupported(app)


# Kind by the MsgType of a quoted message (webwx 3.6.6). The kind of an app message depends on its app type.
_QUOTED_KINDS: dict[int, Kind] = {
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


def quote_message(app: AppMessage) -> Content:
    """Returns a reply; its detail describes the quoted message, without the handles in `refermsg`."""
    quoted = app.xml.find("refermsg")
    kind, text = _quoted_kind_and_text(app, read_integer(quoted.text("type")), quoted.text("content"))
    detail = content_facts(
        id=quoted.text("svrid"),
        kind=str(kind),
        text=clean_line(text),
        sender=clean_name(quoted.text("displayname")),
    )
    return Content(kind=Kind.QUOTE, text=app.title, detail=detail)


def _quoted_kind_and_text(app: AppMessage, msg_type: int, text: str) -> tuple[Kind, str]:
    """Returns kind and text of a quoted message. A quote inside it is not read."""
    if msg_type == MsgType.APP:
        xml = parse_xml(text).find("appmsg")
        kind = APP_READERS.get(read_integer(xml.text("type")), _UNKNOWN_TYPE).kind
        return kind, xml.text("title") or webwx_placeholder(app.language, kind)
    kind = _QUOTED_KINDS.get(msg_type, Kind.UNSUPPORTED)
    return kind, plain_text(text) if kind is Kind.TEXT else webwx_placeholder(app.language, kind)


# As many messages as a phone can forward at once.
MAX_RECORD_ITEMS = 100

# Kind by the `datatype` of a forwarded message, as far as clients agree.
_RECORD_KINDS: dict[int, Kind] = {
    1: Kind.TEXT,
    2: Kind.IMAGE,
    3: Kind.VOICE,
    4: Kind.VIDEO,
    5: Kind.LINK,
    6: Kind.LOCATION,
    8: Kind.FILE,
    15: Kind.VIDEO,
    16: Kind.CARD,
    17: Kind.CHAT_HISTORY,
    19: Kind.MINI_PROGRAM,
    22: Kind.LINK,
    23: Kind.LINK,
    29: Kind.LINK,
    37: Kind.STICKER,
}


def chat_history_message(app: AppMessage) -> Content:
    """Returns forwarded messages as `items`, read from the XML in `recorditem` or else from the summary."""
    record = parse_plain_xml(app.xml.text("recorditem"))
    nodes = islice(record.find_all("datalist/dataitem"), MAX_RECORD_ITEMS)
    items: list[Json] = [_record_item(app, node) for node in nodes]
    detail = content_facts(title=app.title, items=items or _summary_items(app.description))
    return app.to_content(Kind.CHAT_HISTORY, app.title, detail)


def _record_item(app: AppMessage, item: XmlNode) -> dict[str, Json]:
    """Returns one forwarded message. Forwarded messages inside it are not read."""
    kind = _RECORD_KINDS.get(read_integer(item.attribute("datatype")), Kind.UNSUPPORTED)
    seconds = read_integer(item.text("srcMsgCreateTime"))
    return content_facts(
        sender=item.text("sourcename"),
        text=_record_text(app, item, kind),
        kind=str(kind),
        time=rfc3339(seconds * 1000) if seconds > 0 else "",
    )


def _record_text(app: AppMessage, item: XmlNode, kind: Kind) -> str:
    title = item.text("datatitle")
    if kind is Kind.TEXT:
        return item.text("datadesc") or title
    return webwx_placeholder(app.language, kind, clean_line(title or item.find("weburlitem").text("title")))


def _summary_items(description: str) -> list[Json]:
    """Returns the messages of a summary, which has `name: text` on each line."""
    lines = [line.partition(": ") for line in description.split("\n")[:MAX_RECORD_ITEMS]]
    return [
        content_facts(sender=sender if colon else "", text=text if colon else sender, kind=str(Kind.TEXT))
        for sender, colon, text in lines
        if sender.strip()
    ]


class AppReader(NamedTuple):
    """The reader of an app type, and the kind that most of its messages have."""

    kind: Kind
    read: Callable[[AppMessage], Content]


_UNKNOWN_TYPE = AppReader(Kind.LINK, _link_or_unsupported)

APP_READERS: dict[int, AppReader] = {
    AppType.NOT_ON_WEB: _UNKNOWN_TYPE,
    AppType.TEXT: AppReader(Kind.TEXT, _text),
    AppType.IMAGE: AppReader(Kind.IMAGE, _image),
    AppType.MUSIC: AppReader(Kind.LINK, link_messages.music_message),
    AppType.VIDEO_LINK: AppReader(Kind.LINK, link_messages.link_message),
    AppType.LINK: AppReader(Kind.LINK, link_messages.link_message),
    AppType.FILE: AppReader(Kind.FILE, _file),
    AppType.OPEN_APP: AppReader(Kind.LINK, link_messages.link_message),
    AppType.STICKER: AppReader(Kind.STICKER, _sticker),
    AppType.VOICE_REMINDER: AppReader(Kind.UNSUPPORTED, _unsupported),
    AppType.SCANNED_PRODUCT: AppReader(Kind.LINK, link_messages.link_message),
    AppType.PRODUCT: AppReader(Kind.LINK, link_messages.link_message),
    AppType.STICKER_SET: AppReader(Kind.LINK, link_messages.link_message),
    AppType.COUPON: AppReader(Kind.LINK, link_messages.coupon_message),
    AppType.LIVE_LOCATION: AppReader(Kind.LOCATION, _live_location),
    AppType.CHAT_HISTORY: AppReader(Kind.CHAT_HISTORY, chat_history_message),
    AppType.NOTE: AppReader(Kind.CHAT_HISTORY, chat_history_message),
    AppType.MINI_PROGRAM: AppReader(Kind.MINI_PROGRAM, link_messages.mini_program_message),
    AppType.MINI_PROGRAM_PAGE: AppReader(Kind.MINI_PROGRAM, link_messages.mini_program_message),
    AppType.CHANNELS: AppReader(Kind.LINK, link_messages.channels_message),
    AppType.GROUP_NOTE: AppReader(Kind.TEXT, _text),
    AppType.QUOTE: AppReader(Kind.QUOTE, quote_message),
    AppType.PAT: AppReader(Kind.SYSTEM, _pat),
    AppType.CHANNELS_LIVE: AppReader(Kind.LINK, link_messages.channels_message),
    AppType.ANNOUNCEMENT: AppReader(Kind.TEXT, _announcement),
    AppType.GIFT: AppReader(Kind.LINK, link_messages.link_message),
    AppType.TRANSFER: AppReader(Kind.TRANSFER, money_messages.transfer_message),
    AppType.RED_PACKET: AppReader(Kind.RED_PACKET, money_messages.red_packet_message),
    AppType.READER: AppReader(Kind.LINK, link_messages.articles_message),
}
