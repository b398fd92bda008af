"""Reads app messages that open something: links, articles, music, coupons, mini programs (webwx 3.6)."""

from __future__ import annotations

from itertools import islice

from wx2mqtt.i18n import Language
from wx2mqtt.model import Json, Kind
from wx2mqtt.wechat.json_reader import JsonObject
from wx2mqtt.wechat.webwx.protocol.app_entry import AppMessage
from wx2mqtt.wechat.webwx.protocol.content import Content, content_facts
from wx2mqtt.wechat.webwx.protocol.markup import XmlNode

MAX_ARTICLES = 100


def link_message(app: AppMessage) -> Content:
    """Returns a link; further articles of the same message are its `items`."""
    return app.to_content(Kind.LINK, app.title, _link_facts(app) | _further_items(_articles(app)))


def music_message(app: AppMessage) -> Content:
    """Returns a song: `url` is a page about it, `audio` the address of the song itself."""
    return app.to_content(
        Kind.LINK, app.title, _link_facts(app) | content_facts(audio=app.xml.text("dataurl"))
    )


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
    return app.to_content(
        Kind.LINK, title, content_facts(title=title, url=app.url, source=feed.text("nickname"))
    )


def mini_program_message(app: AppMessage) -> Content:
    """Returns a page of a mini program; `url` is its replacement for clients that cannot open it."""
    page = app.xml.find("weappinfo").text("pagepath")
    detail = content_facts(title=app.title, url=app.url, app=app.source, page=page)
    return app.to_content(Kind.MINI_PROGRAM, app.title or app.source, detail)


def articles_message(app: AppMessage) -> Content:
    """Returns several articles: the first is the link, the others are its `items`."""
    articles = _articles(app) or [content_facts(title=app.title, url=app.url)]
    first = articles[0]
    detail = first | content_facts(source=_publisher(app)) | _further_items(articles)
    return app.to_content(Kind.LINK, str(first.get("title", "")), detail)


def reader_message(entry: JsonObject, content: str, language: Language) -> Content | None:
    """Returns the articles of a text message that holds `mmreader` XML, or None when it holds none."""
    app = AppMessage(entry, content, language)
    return articles_message(app) if _mmreader(app) else None


def _link_facts(app: AppMessage) -> dict[str, Json]:
    return content_facts(title=app.title, description=app.description, url=app.url, source=app.source)


def _further_items(articles: list[dict[str, Json]]) -> dict[str, Json]:
    return content_facts(items=[*articles[1:]])


def _articles(app: AppMessage) -> list[dict[str, Json]]:
    return [
        content_facts(title=item.text("title"), description=item.text("digest"), url=item.text("url"))
        for item in islice(_mmreader(app).find_all("category/item"), MAX_ARTICLES)
    ]


def _publisher(app: AppMessage) -> str:
    return app.source or _mmreader(app).find("category").text("name")


def _mmreader(app: AppMessage) -> XmlNode:
    return app.root if app.root.tag == "mmreader" else (app.root.find("mmreader") or app.xml.find("mmreader"))
