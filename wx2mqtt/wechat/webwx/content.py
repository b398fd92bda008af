"""What a message says: its kind, a line that a person can read, and what is known besides.

The readers take an entry of AddMsgList and its content, with the sender's prefix already split off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wx2mqtt.model import Json, Kind, MediaRef
from wx2mqtt.wechat.fields import Entry, inner, number, text
from wx2mqtt.wechat.webwx.text import line, name, plain
from wx2mqtt.wechat.webwx.words import placeholder
from wx2mqtt.wechat.webwx.xml import NOTHING, parse
from wx2mqtt.words import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A message without its frame; the fields are those of `Message`."""

    kind: Kind
    text: str
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None
    thumbnail: MediaRef | None = None


Reader = Callable[[Entry, str, Language], Content]
"""From an entry, its content without the group prefix, and the language of placeholders."""


def facts(**known: Json) -> dict[str, Json]:
    """What is known; a key that is not known is absent (DESIGN 4.1)."""
    return {key: value for key, value in known.items() if value not in (None, "", [])}


def text_message(_entry: Entry, content: str, _language: Language) -> Content:
    """What a person typed."""
    return Content(kind=Kind.TEXT, text=plain(content))


def card(entry: Entry, content: str, language: Language) -> Content:
    """Somebody's contact card. Its id is good for nothing outside of WeChat, and stays there."""
    told = inner(entry, "RecommendInfo")
    xml = parse(content) if content else NOTHING
    detail = facts(
        name=name(text(told, "NickName")) or xml.attribute("nickname"),
        alias=name(text(told, "Alias")) or xml.attribute("alias"),
        province=name(text(told, "Province")) or xml.attribute("province"),
        city=name(text(told, "City")) or xml.attribute("city"),
    )
    if not detail:
        return unsupported(entry, content, language)
    said = placeholder(language, Kind.CARD, line(str(detail.get("name", ""))))
    return Content(kind=Kind.CARD, text=said, detail=detail)


def unsupported(entry: Entry, content: str, language: Language, what: str = "", app: int = 0) -> Content:
    """What the web cannot show or we cannot read: its type, that of an app message, and how long it was."""
    said = f"{placeholder(language, Kind.UNSUPPORTED)} {line(what)}".strip()
    detail = facts(type=number(entry, "MsgType"), app=app or None, length=len(content))
    return Content(kind=Kind.UNSUPPORTED, text=said, detail=detail)
