"""Messages 49, "app messages": links, files, mini programs, quotes and whatever else apps send (webwx 3.6).

The type inside the XML counts; AppMsgType of the entry only where the XML has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from wx2mqtt.model import Json, Kind
from wx2mqtt.wechat.webwx.codes import AppType, MsgType
from wx2mqtt.wechat.webwx.content import Content, facts, media, unsupported
from wx2mqtt.wechat.webwx.fields import Entry, integer, number, text
from wx2mqtt.wechat.webwx.text import entities_undone, line, name, plain
from wx2mqtt.wechat.webwx.words import placeholder
from wx2mqtt.wechat.webwx.xml import NOTHING, parse, parse_plain
from wx2mqtt.words import Language

ITEMS = 100  # of a forwarded history or a list of articles
_AMOUNT = re.compile(r"(\D{0,4}?)\s*(\d{1,12}(?:\.\d{1,4})?)", re.ASCII)
_CURRENCIES = {"¥": "CNY", "￥": "CNY", "CNY": "CNY", "RMB": "CNY", "HK$": "HKD", "$": "USD", "": "CNY"}
# What is known of paysubtype from clients; others are left out (webwx 3.6 has no list).
_TRANSFER_STATES = {"1": "pending", "3": "accepted", "4": "returned", "8": "accepted", "9": "returned"}

# What a quote can answer (webwx 3.2, 3.6).
_ANSWERED: dict[int, Kind] = {
    MsgType.TEXT: Kind.TEXT,
    MsgType.IMAGE: Kind.IMAGE,
    MsgType.VOICE: Kind.VOICE,
    MsgType.CARD: Kind.CARD,
    MsgType.VIDEO: Kind.VIDEO,
    MsgType.MICRO_VIDEO: Kind.VIDEO,
    MsgType.STICKER: Kind.STICKER,
    MsgType.LOCATION: Kind.LOCATION,
}
_ANSWERED_APPS: dict[int, Kind] = {
    AppType.TEXT: Kind.TEXT,
    AppType.IMAGE: Kind.IMAGE,
    AppType.FILE: Kind.FILE,
    AppType.STICKER: Kind.STICKER,
    AppType.CHAT_HISTORY: Kind.CHAT_HISTORY,
    AppType.MINI_PROGRAM: Kind.MINI_PROGRAM,
    AppType.MINI_PROGRAM_PAGE: Kind.MINI_PROGRAM,
    AppType.GROUP_NOTE: Kind.TEXT,
    AppType.ANNOUNCEMENT: Kind.TEXT,
    AppType.QUOTE: Kind.QUOTE,
    AppType.TRANSFER: Kind.TRANSFER,
    AppType.RED_PACKET: Kind.RED_PACKET,
}


class App:
    """One app message: its entry, and its XML if it has one that can be read."""

    __slots__ = ("content", "entry", "language", "root", "xml")

    def __init__(self, entry: Entry, content: str, language: Language) -> None:
        self.entry = entry
        self.content = content
        self.language = language
        self.root = parse(content) if content else NOTHING
        self.xml = self.root.at("appmsg")

    @property
    def type(self) -> int:
        told = self.xml.text("type")
        return integer(told) if told else number(self.entry, "AppMsgType")

    @property
    def title(self) -> str:
        return self.xml.text("title") or name(text(self.entry, "FileName"))

    @property
    def url(self) -> str:
        # Addresses are escaped once more than the rest (webwx 3.3).
        return entities_undone(self.xml.text("url") or text(self.entry, "Url"))

    @property
    def source(self) -> str:
        return self.xml.text("sourcedisplayname") or self.root.text("appinfo/appname")


def app_message(entry: Entry, content: str, language: Language) -> Content:
    """Any message 49."""
    app = App(entry, content, language)
    if content and not app.xml and app.root.tag != "mmreader":
        return unsupported(entry, content, language)
    reader = _READERS.get(app.type)
    return reader(app) if reader else _unknown(app)


def reader_message(entry: Entry, content: str, language: Language) -> Content | None:
    """Articles that come as a text message of XML (`mmreader`); None when this is no such thing."""
    app = App(entry, content, language)
    return _articles(app) if app.root.tag == "mmreader" or app.root.at("mmreader") else None


def _kind(app: App, kind: Kind, what: str, detail: dict[str, Json]) -> Content:
    return Content(kind=kind, text=placeholder(app.language, kind, line(what)), detail=detail)


def _text(app: App) -> Content:
    return Content(kind=Kind.TEXT, text=app.title)


def _announcement(app: App) -> Content:
    return Content(kind=Kind.TEXT, text=app.xml.text("textannouncement") or app.title)


def _link(app: App) -> Content:
    articles = _items(app)
    detail = facts(
        title=app.title, description=app.xml.text("des"), url=app.url, source=app.source, items=articles[1:]
    )
    return _kind(app, Kind.LINK, app.title, detail)


def _articles(app: App) -> Content:
    articles = _items(app) or [facts(title=app.title, url=app.url)]
    first = dict(articles[0]) if isinstance(articles[0], dict) else {}
    detail = facts(**first, source=app.source, items=articles[1:])
    return _kind(app, Kind.LINK, str(first.get("title", "")), detail)


def _items(app: App) -> list[Json]:
    """The articles of an official account's message (webwx 3.6)."""
    reader = app.root if app.root.tag == "mmreader" else (app.root.at("mmreader") or app.xml.at("mmreader"))
    return [
        facts(title=item.text("title"), description=item.text("digest"), url=item.text("url"))
        for item, _ in zip(reader.each("category/item"), range(ITEMS), strict=False)
    ]


def _image(app: App) -> Content:
    return Content(
        kind=Kind.IMAGE, text=placeholder(app.language, Kind.IMAGE), media=media(app.entry, "image")
    )


def _sticker(app: App) -> Content:
    return Content(
        kind=Kind.STICKER, text=placeholder(app.language, Kind.STICKER), media=media(app.entry, "sticker")
    )


def _file(app: App) -> Content:
    size = number(app.entry, "FileSize") or integer(app.xml.text("appattach/totallen"))
    title = name(text(app.entry, "FileName")) or app.title
    return Content(
        kind=Kind.FILE,
        text=placeholder(app.language, Kind.FILE, line(title)),
        detail=facts(name=title, size=size or None),
        media=media(app.entry, "file", size=size or None, file_name=title),
    )


def _live_location(app: App) -> Content:
    return _kind(app, Kind.LOCATION, app.title, facts(label=app.title, live=True))


def _mini_program(app: App) -> Content:
    detail = facts(title=app.title, url=app.url, app=app.source, page=app.xml.text("weappinfo/pagepath"))
    return _kind(app, Kind.MINI_PROGRAM, app.title or app.source, detail)


def _channels(app: App) -> Content:
    """The title only says that this version cannot show it; what it is stands in `finderFeed`."""
    feed = app.xml.at("finderFeed") or app.xml.at("finderLive")
    title = feed.text("desc") or app.title
    return _kind(app, Kind.LINK, title, facts(title=title, url=app.url, source=feed.text("nickname")))


def _chat_history(app: App) -> Content:
    detail = facts(title=app.title, description=app.xml.text("des"), items=_history(app))
    return _kind(app, Kind.CHAT_HISTORY, app.title, detail)


def _history(app: App) -> list[Json]:
    """What was forwarded; the record is XML inside the XML."""
    record = parse_plain(app.xml.text("recorditem"))
    items = zip(record.each("datalist/dataitem"), range(ITEMS), strict=False)
    return [
        facts(
            sender=item.text("sourcename"),
            time=item.text("sourcetime"),
            text=item.text("datadesc") or item.text("datatitle"),
        )
        for item, _ in items
    ]


def _quote(app: App) -> Content:
    """A reply: the title is what the person wrote now, `refermsg` what it answers."""
    answered = app.xml.at("refermsg")
    kind, said = _answered(app, integer(answered.text("type")), answered.text("content"))
    detail = facts(
        id=answered.text("svrid"), kind=str(kind), text=line(said), sender=name(answered.text("displayname"))
    )
    return Content(kind=Kind.QUOTE, text=app.title, detail=detail)


def _answered(app: App, msg_type: int, said: str) -> tuple[Kind, str]:
    """Kind and line of the message that a quote answers; never looks into a quote within the quote."""
    if msg_type == MsgType.APP:
        xml = parse(said).at("appmsg")
        kind = _ANSWERED_APPS.get(integer(xml.text("type")), Kind.LINK)
        return kind, xml.text("title") or placeholder(app.language, kind)
    kind = _ANSWERED.get(msg_type, Kind.UNSUPPORTED)
    return kind, plain(said) if kind is Kind.TEXT else placeholder(app.language, kind)


def _transfer(app: App) -> Content:
    pay = app.xml.at("wcpayinfo")
    amount, currency = _money(pay.text("feedesc"))
    detail = facts(
        amount=amount,
        currency=currency,
        note=pay.text("pay_memo"),
        state=_TRANSFER_STATES.get(pay.text("paysubtype"), ""),
    )
    return _kind(app, Kind.TRANSFER, pay.text("feedesc") or app.title, detail)


def _money(written: str) -> tuple[str, str]:
    """Amount as a decimal string, and its currency where the sign tells it."""
    found = _AMOUNT.search(written.replace(",", ""))
    if not found:
        return "", ""
    return found[2], _CURRENCIES.get(found[1].strip().upper(), "")


def _red_packet(app: App) -> Content:
    pay = app.xml.at("wcpayinfo")
    note = pay.text("sendertitle") or pay.text("receivertitle") or app.title
    return _kind(app, Kind.RED_PACKET, note, facts(note=note))


def _told_by_title(app: App) -> Content:
    return unsupported(app.entry, app.content, app.language, app.title)


def _unknown(app: App) -> Content:
    """A type that came after this was written: what has an address is a link, the rest says its title."""
    return _link(app) if app.url else _told_by_title(app)


_READERS: dict[int, Callable[[App], Content]] = {
    AppType.NOT_ON_WEB: _unknown,
    AppType.TEXT: _text,
    AppType.IMAGE: _image,
    AppType.MUSIC: _link,
    AppType.VIDEO_LINK: _link,
    AppType.LINK: _link,
    AppType.FILE: _file,
    AppType.OPEN_APP: _link,
    AppType.STICKER: _sticker,
    AppType.VOICE_REMINDER: _told_by_title,
    AppType.SCANNED_PRODUCT: _link,
    AppType.PRODUCT: _link,
    AppType.STICKER_SET: _link,
    AppType.COUPON: _link,
    AppType.LIVE_LOCATION: _live_location,
    AppType.CHAT_HISTORY: _chat_history,
    AppType.NOTE: _chat_history,
    AppType.MINI_PROGRAM: _mini_program,
    AppType.MINI_PROGRAM_PAGE: _mini_program,
    AppType.CHANNELS: _channels,
    AppType.GROUP_NOTE: _text,
    AppType.QUOTE: _quote,
    AppType.CHANNELS_LIVE: _channels,
    AppType.ANNOUNCEMENT: _announcement,
    AppType.TRANSFER: _transfer,
    AppType.RED_PACKET: _red_packet,
    AppType.READER: _articles,
}
