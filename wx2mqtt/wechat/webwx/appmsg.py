"""Messages 49, "app messages": which of their many types becomes what (webwx 3.6). One table.

A type that is not in it came after this was written: what has an address is a link, the rest says its title.
"""

from __future__ import annotations

from collections.abc import Callable

from wx2mqtt.model import Kind
from wx2mqtt.wechat.fields import Entry, integer, number, text
from wx2mqtt.wechat.webwx import filenames, links
from wx2mqtt.wechat.webwx.app import App
from wx2mqtt.wechat.webwx.codes import AppType
from wx2mqtt.wechat.webwx.content import Content, facts, unsupported
from wx2mqtt.wechat.webwx.locators import Call, of_message
from wx2mqtt.wechat.webwx.money import red_packet, transfer
from wx2mqtt.wechat.webwx.quotes import quote
from wx2mqtt.wechat.webwx.records import chat_history
from wx2mqtt.wechat.webwx.text import line, name
from wx2mqtt.wechat.webwx.words import placeholder
from wx2mqtt.words import Language


def app_message(entry: Entry, content: str, language: Language) -> Content:
    """Any message 49."""
    app = App(entry, content, language)
    if content and not app.xml and app.root.tag != "mmreader":
        return unsupported(entry, content, language)
    return _READERS.get(app.type, _other)(app)


def _text(app: App) -> Content:
    return Content(kind=Kind.TEXT, text=app.title)


def _announcement(app: App) -> Content:
    return Content(kind=Kind.TEXT, text=app.xml.text("textannouncement") or app.title)


def _pat(app: App) -> Content:
    return Content(kind=Kind.SYSTEM, text=app.title or placeholder(app.language, Kind.SYSTEM))


def _image(app: App) -> Content:
    return Content(
        kind=Kind.IMAGE,
        text=placeholder(app.language, Kind.IMAGE, line(app.title)),
        media=of_message(app.entry, Call.IMAGE),
        thumbnail=of_message(app.entry, Call.THUMBNAIL),
    )


def _sticker(app: App) -> Content:
    said = placeholder(app.language, Kind.STICKER)
    return Content(kind=Kind.STICKER, text=said, media=of_message(app.entry, Call.STICKER))


def _file(app: App) -> Content:
    size = number(app.entry, "FileSize") or integer(app.xml.at("appattach").text("totallen"))
    title = filenames.received(name(text(app.entry, "FileName")) or app.title)
    return Content(
        kind=Kind.FILE,
        text=placeholder(app.language, Kind.FILE, line(title)),
        detail=facts(name=title, size=size if size > 0 else None),
        media=of_message(app.entry, Call.FILE, size=max(size, 0), name=title),
    )


def _live_location(app: App) -> Content:
    return app.as_kind(Kind.LOCATION, app.title, facts(label=app.title, live=True))


def _told_by_title(app: App) -> Content:
    return unsupported(app.entry, app.content, app.language, app.title, app.type)


def _other(app: App) -> Content:
    return links.link(app) if app.url else _told_by_title(app)


_READERS: dict[int, Callable[[App], Content]] = {
    AppType.NOT_ON_WEB: _other,
    AppType.TEXT: _text,
    AppType.IMAGE: _image,
    AppType.MUSIC: links.music,
    AppType.VIDEO_LINK: links.link,
    AppType.LINK: links.link,
    AppType.FILE: _file,
    AppType.OPEN_APP: links.link,
    AppType.STICKER: _sticker,
    AppType.VOICE_REMINDER: _told_by_title,
    AppType.SCANNED_PRODUCT: links.link,
    AppType.PRODUCT: links.link,
    AppType.STICKER_SET: links.link,
    AppType.COUPON: links.coupon,
    AppType.LIVE_LOCATION: _live_location,
    AppType.CHAT_HISTORY: chat_history,
    AppType.NOTE: chat_history,
    AppType.MINI_PROGRAM: links.mini_program,
    AppType.MINI_PROGRAM_PAGE: links.mini_program,
    AppType.CHANNELS: links.channels,
    AppType.GROUP_NOTE: _text,
    AppType.QUOTE: quote,
    AppType.PAT: _pat,
    AppType.CHANNELS_LIVE: links.channels,
    AppType.ANNOUNCEMENT: _announcement,
    AppType.GIFT: links.link,
    AppType.TRANSFER: transfer,
    AppType.RED_PACKET: red_packet,
    AppType.READER: links.articles,
}
