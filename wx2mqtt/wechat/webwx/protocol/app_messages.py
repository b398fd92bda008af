"""Reads app messages (MsgType 49), which are XML, by their type: links, files, quotes, transfers (webwx 3.6).

    <msg><appmsg><title>A page</title><type>5</type><url>https://…</url></appmsg></msg>

`APP_READERS` maps each type to a kind and a reader. A message of any other type becomes a link when it has an
address, and is unsupported when it has none.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from wx2mqtt.clock import rfc3339
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.model import Json, Kind, MediaRef
from wx2mqtt.names import clean_filename, cut_filename
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject, read_integer, read_number, read_text
from wx2mqtt.wechat.webwx.protocol import system_texts
from wx2mqtt.wechat.webwx.protocol.codes import AppType, MsgType
from wx2mqtt.wechat.webwx.protocol.content import Content, content_facts, unsupported_message
from wx2mqtt.wechat.webwx.protocol.locators import MediaCall, message_locator
from wx2mqtt.wechat.webwx.protocol.markup import (
    NO_NODE,
    XmlNode,
    clean_line,
    clean_name,
    parse_plain_xml,
    parse_xml,
    plain_text,
    undo_entities,
)

# More forwarded messages are left out: a phone can forward so many at once.
MAX_RECORD_ITEMS = 100

# More articles in one message are left out.
MAX_ARTICLES = 100


def app_message(entry: JsonObject, content: str, language: Language) -> Content:
    """Returns an app message. One whose XML cannot be read is unsupported."""
    app = read_app(entry, content, language)
    if content and not app.xml and app.root.tag != "mmreader":
        return unsupported_message(entry, content, language)
    return APP_READERS.get(app.type, _UNKNOWN_TYPE).read(app)


def reader_message(entry: JsonObject, content: str, language: Language) -> Content | None:
    """Returns the articles of a text message that holds `mmreader` XML, or None when it holds none."""
    app = read_app(entry, content, language)
    return articles_message(app) if _mmreader(app) else None


# ImgStatus of an entry that has a preview picture (webwx 3.1.3).
THUMBNAIL_READY = 2


@frozen
class AppMessage:
    """An entry of MsgType 49 with its parsed XML and the fields that most types have."""

    entry: JsonObject
    #: The text of the entry without sender prefix.
    content: str
    language: Language
    #: The root of the XML; `NO_NODE` when it cannot be parsed.
    root: XmlNode
    #: The element `appmsg` of the XML, or `NO_NODE`.
    xml: XmlNode
    #: The `type` in the XML, or AppMsgType of the entry when the XML has none.
    type: int
    #: The title that the sender's client gave it, or else the file name.
    title: str
    #: One or more lines that follow the title; empty when there are none.
    description: str
    #: The address that it opens; empty when there is none.
    url: str
    #: The name of the official account that published it, or else of the app that sent it.
    source: str

    @property
    def thumbnail(self) -> MediaRef | None:
        """The locator of its preview picture, or None when no field announces one."""
        has_thumbnail = (
            read_number(self.entry, "ImgStatus") == THUMBNAIL_READY
            or self.xml.text("thumburl")
            or self.xml.find("appattach").text("cdnthumburl")
        )
        return message_locator(self.entry, MediaCall.THUMBNAIL) if has_thumbnail else None

    def to_content(self, kind: Kind, label: str, detail: dict[str, Json]) -> Content:
        """Returns content of a kind without media; `label` follows the name of the kind in its text."""
        text = webwx_placeholder(self.language, kind, clean_line(label))
        return Content(kind=kind, text=text, detail=detail, thumbnail=self.thumbnail)


def read_app(entry: JsonObject, content: str, language: Language) -> AppMessage:
    """Returns an app message with what its XML says; fields are empty where that cannot be read."""
    root = parse_xml(content) if content else NO_NODE
    xml = root.find("appmsg")
    xml_type = xml.text("type")
    return AppMessage(
        entry=entry,
        content=content,
        language=language,
        root=root,
        xml=xml,
        type=read_integer(xml_type) if xml_type else read_number(entry, "AppMsgType"),
        title=xml.text("title") or clean_name(read_text(entry, "FileName")),
        description=xml.text("des"),
        # Addresses are escaped once more than the rest of the XML (webwx 3.3.3).
        url=undo_entities(xml.text("url") or read_text(entry, "Url")),
        source=xml.text("sourcedisplayname") or root.find("appinfo").text("appname"),
    )


# Texts, files, places


def _text(app: AppMessage) -> Content:
    # An announcement has its text in an element of its own.
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
    title = cut_filename(clean_filename(clean_name(read_text(app.entry, "FileName")) or app.title))
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


# What opens something


def _link_or_unsupported(app: AppMessage) -> Content:
    return link_message(app) if app.url else _unsupported(app)


def link_message(app: AppMessage) -> Content:
    """Returns a link; further articles of the same message are its `items`."""
    further_items: list[Json] = [*_articles(app)[1:]]
    return app.to_content(Kind.LINK, app.title, _link_facts(app) | content_facts(items=further_items))


def music_message(app: AppMessage) -> Content:
    """Returns a song: `url` is a page about it, `audio` the address of the song itself."""
    detail = _link_facts(app) | content_facts(audio=app.xml.text("dataurl"))
    return app.to_content(Kind.LINK, app.title, detail)


def _link_facts(app: AppMessage) -> dict[str, Json]:
    return content_facts(title=app.title, description=app.description, url=app.url, source=app.source)


def coupon_message(app: AppMessage) -> Content:
    """Returns a coupon or a membership card of a shop, as a link."""
    card = app.xml.find("carditem")
    title = app.title or card.text("card_type_name")
    detail = content_facts(
        title=title, description=app.description, url=app.url, source=card.text("brand_name") or app.source
    )
    return app.to_content(Kind.LINK, title, detail)


def channels_message(app: AppMessage) -> Content:
    """Returns a video or live stream of Channels, as a link.

    Its own title only says that this client cannot show it, so the text of the feed is preferred.
    """
    feed = app.xml.find("finderFeed") or app.xml.find("finderLive")
    title = feed.text("desc") or app.title
    detail = content_facts(title=title, url=app.url, source=feed.text("nickname"))
    return app.to_content(Kind.LINK, title, detail)


def mini_program_message(app: AppMessage) -> Content:
    """Returns a page of a mini program; `url` is its replacement for clients that cannot open it."""
    page = app.xml.find("weappinfo").text("pagepath")
    detail = content_facts(title=app.title, url=app.url, app=app.source, page=page)
    return app.to_content(Kind.MINI_PROGRAM, app.title or app.source, detail)


def articles_message(app: AppMessage) -> Content:
    """Returns several articles: the first is the link, the others are its `items`."""
    first, *others = _articles(app) or [content_facts(title=app.title, url=app.url)]
    publisher = app.source or _mmreader(app).find("category").text("name")
    detail = first | content_facts(source=publisher, items=[*others])
    return app.to_content(Kind.LINK, str(first.get("title", "")), detail)


def _articles(app: AppMessage) -> list[dict[str, Json]]:
    return [
        content_facts(title=item.text("title"), description=item.text("digest"), url=item.text("url"))
        for item in islice(_mmreader(app).find_all("category/item"), MAX_ARTICLES)
    ]


def _mmreader(app: AppMessage) -> XmlNode:
    """Returns the element with the articles of an official account, or `NO_NODE`."""
    return app.root if app.root.tag == "mmreader" else (app.root.find("mmreader") or app.xml.find("mmreader"))


# Money: of a red packet the web client gets no amount, and of a transfer little more than its existence


# The state of a transfer by its `paysubtype`, as far as clients agree. No complete list is known (webwx
# 3.6.7): other values give no state.
_TRANSFER_STATES = {"1": "pending", "3": "accepted", "4": "returned", "8": "accepted", "9": "returned"}


def transfer_message(app: AppMessage) -> Content:
    """Returns a transfer. Without `feedesc` the amount is searched in description and title (webwx 3.6.7)."""
    pay_info = app.xml.find("wcpayinfo")
    fee = pay_info.text("feedesc")
    state = _TRANSFER_STATES.get(pay_info.text("paysubtype"), "")
    amount = (
        system_texts.read_amount(fee)
        or system_texts.transfer_detail(app.description)
        or system_texts.transfer_detail(app.title)
        or {}
    )
    detail = amount | content_facts(note=pay_info.text("pay_memo"), state=state)
    return _money_content(app, Kind.TRANSFER, fee or app.title or app.description, detail)


def red_packet_message(app: AppMessage) -> Content:
    pay_info = app.xml.find("wcpayinfo")
    note = pay_info.text("sendertitle") or pay_info.text("receivertitle") or app.title
    return _money_content(app, Kind.RED_PACKET, note, content_facts(note=note))


def _money_content(app: AppMessage, kind: Kind, label: str, detail: dict[str, Json]) -> Content:
    # Without thumbnail, which is the same picture of an envelope or a coin in every message.
    return Content(kind=kind, text=webwx_placeholder(app.language, kind, clean_line(label)), detail=detail)


# Quotes and forwarded chats


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
    if kind is Kind.TEXT:
        return kind, plain_text(text)
    return kind, webwx_placeholder(app.language, kind)


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
    title = item.text("datatitle")
    if kind is Kind.TEXT:
        text = item.text("datadesc") or title
    else:
        label = title or item.find("weburlitem").text("title")
        text = webwx_placeholder(app.language, kind, clean_line(label))
    seconds = read_integer(item.text("srcMsgCreateTime"))
    time = rfc3339(seconds * 1000) if seconds > 0 else ""
    return content_facts(sender=item.text("sourcename"), text=text, kind=str(kind), time=time)


def _summary_items(description: str) -> list[Json]:
    """Returns the messages of a summary, which has `name: text` on each line."""
    items: list[Json] = []
    for line in description.split("\n")[:MAX_RECORD_ITEMS]:
        name, colon, text = line.partition(": ")
        if not name.strip():
            continue
        if colon:
            items.append(content_facts(sender=name, text=text, kind=str(Kind.TEXT)))
        else:
            items.append(content_facts(text=line, kind=str(Kind.TEXT)))
    return items


# The table of types


class AppReader(NamedTuple):
    """The reader of an app type, and the kind that most of its messages have."""

    kind: Kind
    read: Callable[[AppMessage], Content]


_UNKNOWN_TYPE = AppReader(Kind.LINK, _link_or_unsupported)

APP_READERS: dict[int, AppReader] = {
    AppType.NOT_ON_WEB: _UNKNOWN_TYPE,
    AppType.TEXT: AppReader(Kind.TEXT, _text),
    AppType.IMAGE: AppReader(Kind.IMAGE, _image),
    AppType.MUSIC: AppReader(Kind.LINK, music_message),
    AppType.VIDEO_LINK: AppReader(Kind.LINK, link_message),
    AppType.LINK: AppReader(Kind.LINK, link_message),
    AppType.FILE: AppReader(Kind.FILE, _file),
    AppType.OPEN_APP: AppReader(Kind.LINK, link_message),
    AppType.STICKER: AppReader(Kind.STICKER, _sticker),
    AppType.VOICE_REMINDER: AppReader(Kind.UNSUPPORTED, _unsupported),
    AppType.SCANNED_PRODUCT: AppReader(Kind.LINK, link_message),
    AppType.PRODUCT: AppReader(Kind.LINK, link_message),
    AppType.STICKER_SET: AppReader(Kind.LINK, link_message),
    AppType.COUPON: AppReader(Kind.LINK, coupon_message),
    AppType.LIVE_LOCATION: AppReader(Kind.LOCATION, _live_location),
    AppType.CHAT_HISTORY: AppReader(Kind.CHAT_HISTORY, chat_history_message),
    AppType.NOTE: AppReader(Kind.CHAT_HISTORY, chat_history_message),
    AppType.MINI_PROGRAM: AppReader(Kind.MINI_PROGRAM, mini_program_message),
    AppType.MINI_PROGRAM_PAGE: AppReader(Kind.MINI_PROGRAM, mini_program_message),
    AppType.CHANNELS: AppReader(Kind.LINK, channels_message),
    AppType.GROUP_NOTE: AppReader(Kind.TEXT, _text),
    AppType.QUOTE: AppReader(Kind.QUOTE, quote_message),
    AppType.PAT: AppReader(Kind.SYSTEM, _pat),
    AppType.CHANNELS_LIVE: AppReader(Kind.LINK, channels_message),
    AppType.ANNOUNCEMENT: AppReader(Kind.TEXT, _text),
    AppType.GIFT: AppReader(Kind.LINK, link_message),
    AppType.TRANSFER: AppReader(Kind.TRANSFER, transfer_message),
    AppType.RED_PACKET: AppReader(Kind.RED_PACKET, red_packet_message),
    AppType.READER: AppReader(Kind.LINK, articles_message),
}
