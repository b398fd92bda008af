"""An app message (MsgType 49): its entry, its parsed XML and the fields of most app types (webwx 3.6)."""

from __future__ import annotations

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.model import Json, Kind, MediaRef
from wx2mqtt.wechat.json_reader import JsonObject, read_integer, read_number, read_text
from wx2mqtt.wechat.webwx.protocol.content import Content, MediaCall, message_locator
from wx2mqtt.wechat.webwx.protocol.markup import NO_NODE, clean_line, clean_name, parse_xml, undo_entities

# ImgStatus of an entry that has a preview picture (webwx 3.1.3).
THUMBNAIL_READY = 2


class AppMessage:
    """An entry of MsgType 49 with its parsed XML.

    `root` is the root of the XML and `xml` its element `appmsg`; both are `NO_NODE` when it cannot be parsed.
    """

    __slots__ = ("content", "entry", "language", "root", "xml")

    def __init__(self, entry: JsonObject, content: str, language: Language) -> None:
        self.entry = entry
        self.content = content
        self.language = language
        self.root = parse_xml(content) if content else NO_NODE
        self.xml = self.root.find("appmsg")

    @property
    def type(self) -> int:
        """The `type` in the XML, or AppMsgType of the entry when the XML has none."""
        xml_type = self.xml.text("type")
        return read_integer(xml_type) if xml_type else read_number(self.entry, "AppMsgType")

    @property
    def title(self) -> str:
        """The title that the sender's client gave it, or else the file name."""
        return self.xml.text("title") or clean_name(read_text(self.entry, "FileName"))

    @property
    def description(self) -> str:
        """One or more lines that follow the title; empty when there are none."""
        return self.xml.text("des")

    @property
    def url(self) -> str:
        """The address that it opens; empty when there is none."""
        # Addresses are escaped once more than the rest of the XML (webwx 3.3.3).
        return undo_entities(self.xml.text("url") or read_text(self.entry, "Url"))

    @property
    def source(self) -> str:
        """The name of the official account that published it, or else of the app that sent it."""
        return self.xml.text("sourcedisplayname") or self.root.find("appinfo").text("appname")

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
