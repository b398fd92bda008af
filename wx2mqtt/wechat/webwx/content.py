"""What a message says: its kind, a line that a person can read, and what is known besides. Media by kind.

The readers here take an entry of AddMsgList and its content, with the sender's prefix already split off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wx2mqtt.model import Json, Kind, MediaRef
from wx2mqtt.wechat.webwx.fields import Entry, inner, number, text
from wx2mqtt.wechat.webwx.text import line, name, plain
from wx2mqtt.wechat.webwx.words import placeholder
from wx2mqtt.wechat.webwx.xml import NOTHING, Node, parse
from wx2mqtt.words import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A message without its frame."""

    kind: Kind
    text: str
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None


Reader = Callable[[Entry, str, Language], Content]
"""From an entry, its content without the group prefix, and the language of placeholders."""

_COORDINATES = re.compile(r"[?&]coord=(-?\d+(?:\.\d+)?),(-?\d+(?:\.\d+)?)", re.ASCII)
_DEGREES = re.compile(r"-?\d{1,3}(?:\.\d+)?", re.ASCII)
_PLACE = re.compile(r"(.*?):?(?:<br ?/?>|\n)", re.DOTALL)
_NO_PLACE_NAMES = {"", "[位置]", "[Location]"}


def message_id(entry: Entry) -> str:
    """The id as text: MsgId, else the same number from NewMsgId; empty when there is none (webwx 3.1)."""
    return next((found for key in ("MsgId", "NewMsgId") if (found := text(entry, key)).strip("0")), "")


def facts(**known: Json) -> dict[str, Json]:
    """What is known; a key that is not known is absent (DESIGN 4.1)."""
    return {key: value for key, value in known.items() if value not in (None, "", [])}


def text_message(_entry: Entry, content: str, _language: Language) -> Content:
    """What a person typed."""
    return Content(kind=Kind.TEXT, text=plain(content))


def image(entry: Entry, _content: str, language: Language) -> Content:
    """The addresses in its XML cannot be reached from the web, only its id is of use (webwx 3.7)."""
    return Content(kind=Kind.IMAGE, text=placeholder(language, Kind.IMAGE), media=media(entry, "image"))


def voice(entry: Entry, content: str, language: Language) -> Content:
    """MP3, whatever the phone recorded (webwx 2.16)."""
    milliseconds = number(entry, "VoiceLength") or _length(content, "voicemsg", "voicelength")
    return Content(
        kind=Kind.VOICE,
        text=placeholder(language, Kind.VOICE),
        detail=facts(duration=milliseconds / 1000 or None),
        media=media(entry, "voice", mime="audio/mpeg"),
    )


def video(entry: Entry, content: str, language: Language) -> Content:
    """A video, or a micro video."""
    seconds = number(entry, "PlayLength") or _length(content, "videomsg", "playlength")
    return Content(
        kind=Kind.VIDEO,
        text=placeholder(language, Kind.VIDEO),
        detail=facts(duration=seconds or None),
        media=media(entry, "video", mime="video/mp4"),
    )


def sticker(entry: Entry, content: str, language: Language) -> Content:
    """A sticker; of those from the store the web gets nothing at all (webwx 2.16)."""
    from_store = number(entry, "HasProductId") != 0 and not content
    found = None if from_store else media(entry, "sticker")
    return Content(kind=Kind.STICKER, text=placeholder(language, Kind.STICKER), media=found)


def card(entry: Entry, content: str, language: Language) -> Content:
    """Somebody's contact card."""
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
    return Content(
        kind=Kind.CARD,
        text=placeholder(language, Kind.CARD, line(str(detail.get("name", "")))),
        detail=detail,
    )


def location(entry: Entry, content: str, language: Language) -> Content:
    """A place: best from OriContent, else from the map's address and the text before it (webwx 3.8)."""
    place = _location_xml(text(entry, "OriContent")) or _location_xml(content)
    told = "" if place and "<location" in plain(content) else _place_told(content)
    lat, lon = _degrees(place.attribute("x"), 90), _degrees(place.attribute("y"), 180)
    coordinates = _COORDINATES.search(text(entry, "Url"))
    if (lat is None or lon is None) and coordinates:
        lat, lon = _degrees(coordinates[1], 90), _degrees(coordinates[2], 180)
    address = place.attribute("label")
    spot = place.attribute("poiname")
    label = (spot if spot not in _NO_PLACE_NAMES else "") or told or address
    detail = facts(lat=lat, lon=lon, label=label, address=address)
    if not detail:
        return unsupported(entry, content, language)
    return Content(kind=Kind.LOCATION, text=placeholder(language, Kind.LOCATION, line(label)), detail=detail)


def unsupported(entry: Entry, content: str, language: Language, what: str = "") -> Content:
    """What the web cannot show or we cannot read: nothing but its type and how long it was."""
    said = f"{placeholder(language, Kind.UNSUPPORTED)} {line(what)}".strip()
    return Content(
        kind=Kind.UNSUPPORTED, text=said, detail={"type": number(entry, "MsgType"), "length": len(content)}
    )


def media(
    entry: Entry, call: str, *, mime: str = "", size: int | None = None, file_name: str = ""
) -> MediaRef:
    """Where the bytes of a message are; of a file the server wants three further names (webwx 2.16)."""
    locator = {"call": call, "msgid": message_id(entry)}
    if call == "file":
        locator |= {
            "sender": text(entry, "FromUserName"),
            "mediaid": text(entry, "MediaId"),
            "encryfilename": text(entry, "EncryFileName"),
        }
    return MediaRef(locator=locator, mime=mime, size=size, name=file_name)


def _length(content: str, tag: str, attribute: str) -> int:
    digits = parse(content).at(tag).attribute(attribute) if "<" in content or "&lt;" in content else ""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0


def _location_xml(source: str) -> Node:
    return parse(source).at("location") if "<location" in source or "&lt;location" in source else NOTHING


def _place_told(content: str) -> str:
    """`<place>:<br/>/cgi-bin/…`: the place is what stands on the first line."""
    found = _PLACE.match(content)
    return plain(found[1] if found else content).strip()


def _degrees(written: str, most: int) -> float | None:
    value = float(written) if _DEGREES.fullmatch(written) else None
    return value if value is not None and abs(value) <= most else None
