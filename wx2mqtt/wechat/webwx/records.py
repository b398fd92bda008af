"""Messages that hold messages: a forwarded conversation, a note (webwx 3.6)."""

from __future__ import annotations

from wx2mqtt.clock import rfc3339
from wx2mqtt.model import Json, Kind
from wx2mqtt.wechat.fields import integer
from wx2mqtt.wechat.webwx.app import App
from wx2mqtt.wechat.webwx.content import Content, facts
from wx2mqtt.wechat.webwx.text import line
from wx2mqtt.wechat.webwx.words import placeholder
from wx2mqtt.wechat.webwx.xml import Node, parse_plain

ITEMS = 100  # of one record, as many as phones let people forward

# `datatype` of an item, as far as clients agree; one that is not here is unsupported.
_KINDS: dict[int, Kind] = {
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


def chat_history(app: App) -> Content:
    """What was forwarded, message by message. The record is XML inside the XML; without it the summary is."""
    record = parse_plain(app.xml.text("recorditem"))
    items = zip(record.each("datalist/dataitem"), range(ITEMS), strict=False)
    told: list[Json] = [_item(app, item) for item, _ in items]
    detail = facts(title=app.title, items=told or _summary(app.description))
    return app.as_kind(Kind.CHAT_HISTORY, app.title, detail)


def _item(app: App, item: Node) -> dict[str, Json]:
    """One message; a record within the record is not opened."""
    kind = _KINDS.get(integer(item.attribute("datatype")), Kind.UNSUPPORTED)
    seconds = integer(item.text("srcMsgCreateTime"))
    return facts(
        sender=item.text("sourcename"),
        text=_said(app, item, kind),
        kind=str(kind),
        time=rfc3339(seconds * 1000) if seconds > 0 else "",
    )


def _said(app: App, item: Node, kind: Kind) -> str:
    title = item.text("datatitle")
    if kind is Kind.TEXT:
        return item.text("datadesc") or title
    return placeholder(app.language, kind, line(title or item.at("weburlitem").text("title")))


def _summary(description: str) -> list[Json]:
    """`name: text` on each line."""
    lines = [told.partition(": ") for told in description.split("\n")[:ITEMS]]
    return [
        facts(sender=sender if colon else "", text=text if colon else sender, kind=str(Kind.TEXT))
        for sender, colon, text in lines
        if sender.strip()
    ]
