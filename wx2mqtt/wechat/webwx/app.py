"""One message 49, an "app message", with what all of its types have in common (webwx 3.6)."""

from __future__ import annotations

from wx2mqtt.model import Json, Kind, MediaRef
from wx2mqtt.wechat.fields import Entry, integer, number, text
from wx2mqtt.wechat.webwx.content import Content
from wx2mqtt.wechat.webwx.locators import Call, of_message
from wx2mqtt.wechat.webwx.text import entities_undone, line, name
from wx2mqtt.wechat.webwx.words import placeholder
from wx2mqtt.wechat.webwx.xml import NOTHING, parse
from wx2mqtt.words import Language

THUMBNAIL_READY = 2  # ImgStatus (webwx 3.1)


class App:
    """Its entry, and its XML if it has one that can be read. `xml` is the `appmsg` within `root`."""

    __slots__ = ("content", "entry", "language", "root", "xml")

    def __init__(self, entry: Entry, content: str, language: Language) -> None:
        self.entry = entry
        self.content = content
        self.language = language
        self.root = parse(content) if content else NOTHING
        self.xml = self.root.at("appmsg")

    @property
    def type(self) -> int:
        """The type inside the XML counts; AppMsgType of the entry only where the XML has none."""
        told = self.xml.text("type")
        return integer(told) if told else number(self.entry, "AppMsgType")

    @property
    def title(self) -> str:
        """What the sender's client called it."""
        return self.xml.text("title") or name(text(self.entry, "FileName"))

    @property
    def description(self) -> str:
        """A second line, or more of them."""
        return self.xml.text("des")

    @property
    def url(self) -> str:
        """Where it leads."""
        # Addresses are escaped once more than the rest (webwx 3.3).
        return entities_undone(self.xml.text("url") or text(self.entry, "Url"))

    @property
    def source(self) -> str:
        """Who publishes it: an official account, else the app that it was sent with."""
        return self.xml.text("sourcedisplayname") or self.root.at("appinfo").text("appname")

    @property
    def thumbnail(self) -> MediaRef | None:
        """A small picture; None where nothing says that there is one."""
        drawn = (
            number(self.entry, "ImgStatus") == THUMBNAIL_READY
            or self.xml.text("thumburl")
            or self.xml.at("appattach").text("cdnthumburl")
        )
        return of_message(self.entry, Call.THUMBNAIL) if drawn else None

    def as_kind(self, kind: Kind, what: str, detail: dict[str, Json]) -> Content:
        """Its content as a kind that has no bytes of its own; `what` is said behind the kind's name."""
        said = placeholder(self.language, kind, line(what))
        return Content(kind=kind, text=said, detail=detail, thumbnail=self.thumbnail)
