"""App messages that lead somewhere, and those about money (webwx 3.6, 3.10).

Articles, music, shops, mini programs, channels; transfers and red packets, also where WeChat only tells of
them in a system text.
"""

from __future__ import annotations

import re

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.model import Json, Kind, MediaRef
from wx2mqtt.wechat.json_reader import JsonObject, read_integer, read_number, read_text
from wx2mqtt.wechat.webwx.protocol.content import Content, MediaCall, content_facts, message_locator
from wx2mqtt.wechat.webwx.protocol.markup import (
    NO_NODE,
    XmlNode,
    clean_line,
    clean_name,
    parse_xml,
    undo_entities,
)

THUMBNAIL_READY = 2  # ImgStatus (webwx 3.1.3)


class AppMessage:
    """Its entry, and its XML if it has one that can be read. `xml` is the `appmsg` within `root`."""

    __slots__ = ("content", "entry", "language", "root", "xml")

    def __init__(self, entry: JsonObject, content: str, language: Language) -> None:
        self.entry = entry
        self.content = content
        self.language = language
        self.root = parse_xml(content) if content else NO_NODE
        self.xml = self.root.find("appmsg")

    @property
    def type(self) -> int:
        """The type inside the XML counts; AppMsgType of the entry only where the XML has none."""
        told = self.xml.text("type")
        return read_integer(told) if told else read_number(self.entry, "AppMsgType")

    @property
    def title(self) -> str:
        """What the sender's client called it."""
        return self.xml.text("title") or clean_name(read_text(self.entry, "FileName"))

    @property
    def description(self) -> str:
        """A second line, or more of them."""
        return self.xml.text("des")

    @property
    def url(self) -> str:
        """Where it leads."""
        # Addresses are escaped once more than the rest (webwx 3.3.3).
        return undo_entities(self.xml.text("url") or read_text(self.entry, "Url"))

    @property
    def source(self) -> str:
        """Who publishes it: an official account, else the app that it was sent with."""
        return self.xml.text("sourcedisplayname") or self.root.find("appinfo").text("appname")

    @property
    def thumbnail(self) -> MediaRef | None:
        """A small picture; None where nothing says that there is one."""
        drawn = (
            read_number(self.entry, "ImgStatus") == THUMBNAIL_READY
            or self.xml.text("thumburl")
            or self.xml.find("appattach").text("cdnthumburl")
        )
        return message_locator(self.entry, MediaCall.THUMBNAIL) if drawn else None

    def to_content(self, kind: Kind, what: str, detail: dict[str, Json]) -> Content:
        """Its content as a kind that has no bytes of its own; `what` is said behind the kind's name."""
        text = webwx_placeholder(self.language, kind, clean_line(what))
        return Content(kind=kind, text=text, detail=detail, thumbnail=self.thumbnail)


MAX_ARTICLES = 100  # of one message


def link_message(app: AppMessage) -> Content:
    """A link, with further articles of the same message as `items`."""
    detail = content_facts(title=app.title, description=app.description, url=app.url, source=app.source)
    return app.to_content(Kind.LINK, app.title, detail | _further(_articles(app)))


def music_message(app: AppMessage) -> Content:
    """A song: `url` is a page about it, `audio` the song itself."""
    detail = content_facts(title=app.title, description=app.description, url=app.url, source=app.source)
    return app.to_content(Kind.LINK, app.title, detail | content_facts(audio=app.xml.text("dataurl")))


def coupon_message(app: AppMessage) -> Content:
    """A coupon or member's card of a shop."""
    item = app.xml.find("carditem")
    title = app.title or item.text("card_type_name")
    detail = content_facts(
        title=title, description=app.description, url=app.url, source=item.text("brand_name") or app.source
    )
    return app.to_content(Kind.LINK, title, detail)


def channels_message(app: AppMessage) -> Content:
    """The title only says that this version cannot show it; what it is stands in the feed."""
    feed = app.xml.find("finderFeed") or app.xml.find("finderLive")
    title = feed.text("desc") or app.title
    return app.to_content(
        Kind.LINK, title, content_facts(title=title, url=app.url, source=feed.text("nickname"))
    )


def mini_program_message(app: AppMessage) -> Content:
    """A page of a mini program; `url` is what is shown where there are none."""
    page = app.xml.find("weappinfo").text("pagepath")
    detail = content_facts(title=app.title, url=app.url, app=app.source, page=page)
    return app.to_content(Kind.MINI_PROGRAM, app.title or app.source, detail)


def articles_message(app: AppMessage) -> Content:
    """Several articles: the first one is the link, the others are its `items`."""
    found = _articles(app) or [content_facts(title=app.title, url=app.url)]
    detail = found[0] | content_facts(source=_account(app)) | _further(found)
    return app.to_content(Kind.LINK, str(found[0].get("title", "")), detail)


def reader_message(entry: JsonObject, content: str, language: Language) -> Content | None:
    """Articles that come as a text message of XML (`mmreader`); None when this is no such thing."""
    app = AppMessage(entry, content, language)
    return articles_message(app) if _reader(app) else None


def _further(found: list[dict[str, Json]]) -> dict[str, Json]:
    return content_facts(items=[*found[1:]])


def _articles(app: AppMessage) -> list[dict[str, Json]]:
    items = zip(_reader(app).find_all("category/item"), range(MAX_ARTICLES), strict=False)
    return [
        content_facts(title=item.text("title"), description=item.text("digest"), url=item.text("url"))
        for item, _ in items
    ]


def _account(app: AppMessage) -> str:
    return app.source or _reader(app).find("category").text("name")


def _reader(app: AppMessage) -> XmlNode:
    return app.root if app.root.tag == "mmreader" else (app.root.find("mmreader") or app.xml.find("mmreader"))


# `paysubtype`, as far as clients agree; no complete list is known (webwx 3.6.7). Others say nothing.
_STATES = {"1": "pending", "3": "accepted", "4": "returned", "8": "accepted", "9": "returned"}


# The surest first: a sentence may hold other numbers, such as a date.
_AMOUNTS = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        r"(?P<sign>HK\$|[¥￥$]|\b[A-Z]{3}\b)\s?(?P<amount>\d{1,12}(?:\.\d{1,4})?)",
        r"(?P<amount>\d{1,12}(?:\.\d{1,4})?)\s?(?P<sign>[元圆圓])",
        r"(?P<amount>\d{1,12}\.\d{1,4})",
        r"(?P<amount>\d{1,12})",
    )
)


_CURRENCIES = {
    "": "CNY",
    "元": "CNY",
    "圆": "CNY",
    "圓": "CNY",
    "¥": "CNY",
    "￥": "CNY",
    "RMB": "CNY",
    "HK$": "HKD",
    "$": "USD",
}


# The web shows no red packet, and of a transfer hardly more than that there is one: matched loosely, in three
# scripts. What became of them ("领取了你的红包") is news and not money.
MAX_SENTENCE_CHARACTERS = 200  # the sentences are short, and a longer text is none of them


_RED_PACKET = re.compile(
    r"[收发發][到出]?了?(?:一?[个個])?[红紅]包"
    r"|\b(?:red (?:packet|envelope)|lucky money)\b.{0,40}\b(?:received|sent|phone|view)\b"
    r"|\b(?:received|sent) (?:an? )?(?:red (?:packet|envelope)|lucky money)\b",
    re.IGNORECASE,
)


_TRANSFER = re.compile(
    r"(?:[收发發][到出]|向.{1,40}发起)了?(?:一?[笔筆])?(?:转账|轉[賬帳])"
    r"|\btransfer\b.{0,20}\b(?:received|sent)\b|\b(?:received|sent)\b.{0,20}\btransfer\b",
    re.IGNORECASE,
)


def transfer_message(app: AppMessage) -> Content:
    """Money for one person. Without `feedesc` the amount stands in the words, if anywhere (webwx 3.6.7)."""
    pay = app.xml.find("wcpayinfo")
    fee = pay.text("feedesc")
    state = _STATES.get(pay.text("paysubtype"), "")
    money = _money(fee) or _money_in_words(app.description) or _money_in_words(app.title)
    detail = money | content_facts(note=pay.text("pay_memo"), state=state)
    return _money_of(app, Kind.TRANSFER, fee or app.title or app.description, detail)


def red_packet_message(app: AppMessage) -> Content:
    """Money in an envelope; how much is in it nobody is told."""
    pay = app.xml.find("wcpayinfo")
    note = pay.text("sendertitle") or pay.text("receivertitle") or app.title
    return _money_of(app, Kind.RED_PACKET, note, content_facts(note=note))


def money_notice(text: str) -> Content | None:
    """What a system text says of money; None when it says nothing of the kind."""
    if len(text) > MAX_SENTENCE_CHARACTERS:
        return None
    if _RED_PACKET.search(text):
        return Content(kind=Kind.RED_PACKET, text=text)
    if _TRANSFER.search(text):
        return Content(kind=Kind.TRANSFER, text=text, detail=_money(text))
    return None


def _money_of(app: AppMessage, kind: Kind, what: str, detail: dict[str, Json]) -> Content:
    """Its thumbnail would be the same picture of an envelope or a coin each time."""
    return Content(kind=kind, text=webwx_placeholder(app.language, kind, clean_line(what)), detail=detail)


def _money(text: str) -> dict[str, Json]:
    """Amount as a decimal string, and its currency where the sign tells it; empty where there is none."""
    text = text[:MAX_SENTENCE_CHARACTERS].replace(",", "")
    for pattern in _AMOUNTS:
        if found := pattern.search(text):
            sign = found.groupdict().get("sign") or ""
            return {"amount": found["amount"], "currency": _CURRENCIES.get(sign, sign)}
    return {}


def _money_in_words(text: str) -> dict[str, Json]:
    """What a sentence such as `收到转账1.00元` says; empty for any other text."""
    return _money(text) if _TRANSFER.search(text[:MAX_SENTENCE_CHARACTERS]) else {}
