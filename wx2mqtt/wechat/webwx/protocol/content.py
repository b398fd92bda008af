"""The content of a message: its kind, its text and details.

    {"MsgType": 42, "RecommendInfo": {"NickName": "Bo"}}      a card with the name Bo

Each reader of a kind of message returns a `Content`; this file has those of texts and cards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.model import Json, Kind, MediaRef
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_text
from wx2mqtt.wechat.webwx.protocol.markup import NO_NODE, clean_line, clean_name, parse_xml, plain_text


@frozen
class Content:
    """The part of a `Message` that does not depend on chat and sender; fields as there."""

    kind: Kind
    text: str
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None
    thumbnail: MediaRef | None = None


ContentReader = Callable[[JsonObject, str, Language], Content]
"""Reads content from an entry, its text without sender prefix, and the language of placeholders."""


def content_facts(**facts: Json) -> dict[str, Json]:
    """Returns the facts that are known; those that are None, an empty text or an empty list are left out."""
    return {key: value for key, value in facts.items() if value not in (None, "", [])}


def text_message(_entry: JsonObject, content: str, _language: Language) -> Content:
    """Returns a text that a person typed."""
    return Content(kind=Kind.TEXT, text=plain_text(content))


def card_message(entry: JsonObject, content: str, language: Language) -> Content:
    """Returns a contact card, without its handle, which has no use outside of WeChat."""
    info = read_object(entry, "RecommendInfo")
    xml = parse_xml(content) if content else NO_NODE
    detail = content_facts(
        name=clean_name(read_text(info, "NickName")) or xml.attribute("nickname"),
        alias=clean_name(read_text(info, "Alias")) or xml.attribute("alias"),
        province=clean_name(read_text(info, "Province")) or xml.attribute("province"),
        city=clean_name(read_text(info, "City")) or xml.attribute("city"),
    )
    if not detail:
        return unsupported_message(entry, content, language)
    text = webwx_placeholder(language, Kind.CARD, clean_line(str(detail.get("name", ""))))
    return Content(kind=Kind.CARD, text=text, detail=detail)


def unsupported_message(
    entry: JsonObject, content: str, language: Language, title: str = "", app_type: int = 0
) -> Content:
    """Returns the placeholder for a message that cannot be read, with its types and its length."""
    text = f"{webwx_placeholder(language, Kind.UNSUPPORTED)} {clean_line(title)}".strip()
    detail = content_facts(type=read_number(entry, "MsgType"), app=app_type or None, length=len(content))
    return Content(kind=Kind.UNSUPPORTED, text=text, detail=detail)


def read_message_id(entry: JsonObject) -> str:
    """Returns MsgId, or else NewMsgId, which is the same number; empty when there is none (webwx 3.1.1)."""
    for key in ("MsgId", "NewMsgId"):
        message_id = read_text(entry, key)
        if message_id.strip("0"):
            return message_id
    return ""
