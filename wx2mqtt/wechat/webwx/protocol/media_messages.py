"""Messages that are bytes (pictures, voices, videos, stickers), and locations (webwx 3.2, 3.7, 3.8).

Sizes are the announced ones. The width and height in an entry are those of the thumbnail, and are left out.
"""

from __future__ import annotations

import re

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import game_outcome, webwx_placeholder
from wx2mqtt.model import Kind
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_text
from wx2mqtt.wechat.webwx.protocol.content import (
    Content,
    MediaCall,
    content_facts,
    message_locator,
    unsupported_message,
)
from wx2mqtt.wechat.webwx.protocol.markup import NO_NODE, XmlNode, clean_line, parse_xml, plain_text

_COORDINATES = re.compile(r"[?&]coord=(-?\d{1,3}(?:\.\d{1,20})?),(-?\d{1,3}(?:\.\d{1,20})?)", re.ASCII)


_DEGREES = re.compile(r"-?\d{1,3}(?:\.\d{1,20})?", re.ASCII)


_PLACE = re.compile(r"([^\n]*?):?(?:<br ?/?>|\n)")


_NO_NAMES = {"", "[位置]", "[Location]"}  # what a phone writes where it knows none


def location_message(entry: JsonObject, content: str, language: Language) -> Content:
    """A place; the web has a picture of the map."""
    place = _xml(read_text(entry, "OriContent")) or _xml(content)
    lat, lon = _degrees(place.attribute("x"), 90), _degrees(place.attribute("y"), 180)
    if (lat is None or lon is None) and (found := _COORDINATES.search(read_text(entry, "Url"))):
        lat, lon = _degrees(found[1], 90), _degrees(found[2], 180)
    address, spot = place.attribute("label"), place.attribute("poiname")
    label = (spot if spot not in _NO_NAMES else "") or _told(content) or address
    detail = content_facts(lat=lat, lon=lon, label=label, address=address)
    if not detail:
        return unsupported_message(entry, content, language)
    return Content(
        kind=Kind.LOCATION,
        text=webwx_placeholder(language, Kind.LOCATION, clean_line(label)),
        detail=detail,
        thumbnail=message_locator(entry, MediaCall.MAP),
    )


def _xml(source: str) -> XmlNode:
    return (
        parse_xml(source).find("location") if "<location" in source or "&lt;location" in source else NO_NODE
    )


def _told(content: str) -> str:
    """`<place>:<br/>/cgi-bin/…`: the place is what stands on the first line; XML is no place."""
    if content.lstrip().startswith(("<", "&lt;")):
        return ""
    found = _PLACE.match(content)
    return plain_text(found[1] if found else content).strip()


def _degrees(written: str, most: int) -> float | None:
    value = float(written) if _DEGREES.fullmatch(written) else None
    return value if value is not None and abs(value) <= most else None


# Numbers are wanted of XML that stands here escaped or not, or of a token: parsing would cost several times
# as much, and these are most of what people send besides texts. They begin with a blank, which is found fast.
_QUOTE = '(?:"|&quot;)'


_NUMBER = rf" %s\s*=\s*{_QUOTE}(\d{{1,9}})\b"


_LENGTH, _PLAYED, _SPOKEN = (
    re.compile(_NUMBER % name, re.ASCII) for name in ("length", "playlength", "voicelength")
)


_WIDTH, _HEIGHT, _LEN = (re.compile(_NUMBER % name, re.ASCII) for name in ("width", "height", "len"))


_GAME = re.compile(
    rf"gameext\s+type\s*=\s*{_QUOTE}(\d{{1,9}}){_QUOTE}\s+content\s*=\s*{_QUOTE}(\d{{1,9}})\b", re.ASCII
)


# `gameext` as clients write it: the game by its type, and the number that stands for its first result. It is
# not known which number means what (webwx 3.2.3).
_GAMES: dict[int, tuple[str, int]] = {1: ("rock_paper_scissors", 1), 2: ("dice", 4)}


_RESULTS: dict[str, tuple[str, ...]] = {
    "rock_paper_scissors": ("scissors", "rock", "paper"),
    "dice": ("1", "2", "3", "4", "5", "6"),
}


def image_message(entry: JsonObject, content: str, language: Language) -> Content:
    """The addresses in its XML cannot be reached from the web, only its id is of use (webwx 3.7.1)."""
    return Content(
        kind=Kind.IMAGE,
        text=webwx_placeholder(language, Kind.IMAGE),
        media=message_locator(entry, MediaCall.IMAGE, size=_first(_LENGTH, content)),
        thumbnail=message_locator(entry, MediaCall.THUMBNAIL),
    )


def voice_message(entry: JsonObject, content: str, language: Language) -> Content:
    """MP3, whatever the phone recorded; the size that is announced is the recording's (webwx 2.16.4)."""
    milliseconds = max(0, read_number(entry, "VoiceLength")) or _first(_SPOKEN, content)
    return Content(
        kind=Kind.VOICE,
        text=webwx_placeholder(language, Kind.VOICE),
        detail=content_facts(duration=milliseconds / 1000 or None),
        media=message_locator(entry, MediaCall.VOICE, mime="audio/mpeg"),
    )


def video_message(entry: JsonObject, content: str, language: Language) -> Content:
    """A video, or a micro video."""
    seconds = max(0, read_number(entry, "PlayLength")) or _first(_PLAYED, content)
    return Content(
        kind=Kind.VIDEO,
        text=webwx_placeholder(language, Kind.VIDEO),
        detail=content_facts(duration=seconds or None),
        media=message_locator(entry, MediaCall.VIDEO, mime="video/mp4", size=_first(_LENGTH, content)),
        thumbnail=message_locator(entry, MediaCall.THUMBNAIL),
    )


def sticker_message(entry: JsonObject, content: str, language: Language) -> Content:
    """A sticker, dice and rock-paper-scissors among them.

    Of those from the store the web gets nothing at all (webwx 2.16.8).
    """
    from_store = read_number(entry, "HasProductId") != 0 and not content
    game, result = _game(content)
    return Content(
        kind=Kind.STICKER,
        text=webwx_placeholder(language, Kind.STICKER, game_outcome(language, game, result)),
        detail=content_facts(
            width=_first(_WIDTH, content) or None,
            height=_first(_HEIGHT, content) or None,
            game=game,
            result=result,
        ),
        media=None if from_store else message_locator(entry, MediaCall.STICKER, size=_first(_LEN, content)),
    )


def _game(content: str) -> tuple[str, str]:
    """The name of a game and its result; empty where there is none or it is not known."""
    found = _GAME.search(content)
    name, first = _GAMES.get(int(found[1]), ("", 0)) if found else ("", 0)
    results = _RESULTS.get(name, ())
    place = int(found[2]) - first if found else -1
    return name, results[place] if 0 <= place < len(results) else ""


def _first(pattern: re.Pattern[str], content: str) -> int:
    found = pattern.search(content)
    return int(found[1]) if found else 0
