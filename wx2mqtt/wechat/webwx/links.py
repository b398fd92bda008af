"""App messages that lead somewhere: articles, music, shops, mini programs, channels (webwx 3.6)."""

from __future__ import annotations

from wx2mqtt.model import Json, Kind
from wx2mqtt.wechat.fields import Entry
from wx2mqtt.wechat.webwx.app import App
from wx2mqtt.wechat.webwx.content import Content, facts
from wx2mqtt.wechat.webwx.xml import Node
from wx2mqtt.words import Language

ARTICLES = 100  # of one message


def link(app: App) -> Content:
    """A link, with further articles of the same message as `items`."""
    detail = facts(title=app.title, description=app.description, url=app.url, source=app.source)
    return app.as_kind(Kind.LINK, app.title, detail | _further(_articles(app)))


def music(app: App) -> Content:
    """A song: `url` is a page about it, `audio` the song itself."""
    detail = facts(title=app.title, description=app.description, url=app.url, source=app.source)
    return app.as_kind(Kind.LINK, app.title, detail | facts(audio=app.xml.text("dataurl")))


def coupon(app: App) -> Content:
    """A coupon or member's card of a shop."""
    item = app.xml.at("carditem")
    title = app.title or item.text("card_type_name")
    detail = facts(
        title=title, description=app.description, url=app.url, source=item.text("brand_name") or app.source
    )
    return app.as_kind(Kind.LINK, title, detail)


def channels(app: App) -> Content:
    """The title only says that this version cannot show it; what it is stands in the feed."""
    feed = app.xml.at("finderFeed") or app.xml.at("finderLive")
    title = feed.text("desc") or app.title
    return app.as_kind(Kind.LINK, title, facts(title=title, url=app.url, source=feed.text("nickname")))


def mini_program(app: App) -> Content:
    """A page of a mini program; `url` is what is shown where there are none."""
    page = app.xml.at("weappinfo").text("pagepath")
    detail = facts(title=app.title, url=app.url, app=app.source, page=page)
    return app.as_kind(Kind.MINI_PROGRAM, app.title or app.source, detail)


def articles(app: App) -> Content:
    """Several articles: the first one is the link, the others are its `items`."""
    found = _articles(app) or [facts(title=app.title, url=app.url)]
    detail = found[0] | facts(source=_account(app)) | _further(found)
    return app.as_kind(Kind.LINK, str(found[0].get("title", "")), detail)


def reader_message(entry: Entry, content: str, language: Language) -> Content | None:
    """Articles that come as a text message of XML (`mmreader`); None when this is no such thing."""
    app = App(entry, content, language)
    return articles(app) if _reader(app) else None


def _further(found: list[dict[str, Json]]) -> dict[str, Json]:
    return facts(items=[*found[1:]])


def _articles(app: App) -> list[dict[str, Json]]:
    items = zip(_reader(app).each("category/item"), range(ARTICLES), strict=False)
    return [
        facts(title=item.text("title"), description=item.text("digest"), url=item.text("url"))
        for item, _ in items
    ]


def _account(app: App) -> str:
    return app.source or _reader(app).at("category").text("name")


def _reader(app: App) -> Node:
    return app.root if app.root.tag == "mmreader" else (app.root.at("mmreader") or app.xml.at("mmreader"))
