"""Reads messages with media (pictures, voices, videos, stickers) and locations (webwx 3.2, 3.7, 3.8).

Sizes are as announced. Width and height in an entry belong to the thumbnail, so they are not used.
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
_FIRST_LINE = re.compile(r"([^\n]*?):?(?:<br ?/?>|\n)")

# Names that a phone writes for a place without name.
_EMPTY_PLACE_NAMES = {"", "[位置]", "[Location]"}


def location_message(entry: JsonObject, content: str, language: Language) -> Content:
    """Returns a location; its thumbnail is a picture of the map."""
    location = _location_xml(read_text(entry, "OriContent")) or _location_xml(content)
    lat, lon = _degrees(location.attribute("x"), 90), _degrees(location.attribute("y"), 180)
    if (lat is None or lon is None) and (match := _COORDINATES.search(read_text(entry, "Url"))):
        lat, lon = _degrees(match[1], 90), _degrees(match[2], 180)
    address = location.attribute("label")
    place_name = location.attribute("poiname")
    label = (place_name if place_name not in _EMPTY_PLACE_NAMES else "") or _first_line(content) or address
    detail = content_facts(lat=lat, lon=lon, label=label, address=address)
    if not detail:
        return unsupported_message(entry, content, language)
    return Content(
        kind=Kind.LOCATION,
        text=webwx_placeholder(language, Kind.LOCATION, clean_line(label)),
        detail=detail,
        thumbnail=message_locator(entry, MediaCall.MAP),
    )


def _location_xml(source: str) -> XmlNode:
    if "<location" not in source and "&lt;location" not in source:
        return NO_NODE
    return parse_xml(source).find("location")


def _first_line(content: str) -> str:
    """Returns the name of the place in `<place>:<br/>/cgi-bin/…`; empty for content that is XML."""
    if content.lstrip().startswith(("<", "&lt;")):
        return ""
    match = _FIRST_LINE.match(content)
    return plain_text(match[1] if match else content).strip()


def _degrees(text: str, limit: int) -> float | None:
    """Returns an angle of at most `limit` degrees to either side of 0, or None for any other text."""
    value = float(text) if _DEGREES.fullmatch(text) else None
    return value if value is not None and abs(value) <= limit else None


# Numbers are searched in XML that may be escaped. Parsing it would take several times as long, and these
# messages are the most frequent ones besides texts. The patterns begin with a space, which is found fast.
_QUOTE = '(?:"|&quot;)'

_NUMBER = rf" %s\s*=\s*{_QUOTE}(\d{{1,9}})\b"

_LENGTH_BYTES, _PLAY_SECONDS, _VOICE_MILLISECONDS = (
    re.compile(_NUMBER % name, re.ASCII) for name in ("length", "playlength", "voicelength")
)

_WIDTH, _HEIGHT, _LEN_BYTES = (re.compile(_NUMBER % name, re.ASCII) for name in ("width", "height", "len"))

_GAME = re.compile(
    rf"gameext\s+type\s*=\s*{_QUOTE}(\d{{1,9}}){_QUOTE}\s+content\s*=\s*{_QUOTE}(\d{{1,9}})\b", re.ASCII
)

# Name of a game by the type in `gameext`, and the number of its first result as clients write it. No
# reference confirms these numbers (webwx 3.2.3).
_GAMES: dict[int, tuple[str, int]] = {1: ("rock_paper_scissors", 1), 2: ("dice", 4)}

_GAME_RESULTS: dict[str, tuple[str, ...]] = {
    "rock_paper_scissors": ("scissors", "rock", "paper"),
    "dice": ("1", "2", "3", "4", "5", "6"),
}


def image_message(entry: JsonObject, content: str, language: Language) -> Content:
    """Returns a picture. It is downloaded by its id; addresses in its XML do not work (webwx 3.7.1)."""
    return Content(
        kind=Kind.IMAGE,
        text=webwx_placeholder(language, Kind.IMAGE),
        media=message_locator(entry, MediaCall.IMAGE, size=_first_number(_LENGTH_BYTES, content)),
        thumbnail=message_locator(entry, MediaCall.THUMBNAIL),
    )


def voice_message(entry: JsonObject, content: str, language: Language) -> Content:
    """Returns a voice message. The server converts it to MP3, so its size is unknown (webwx 2.16.4)."""
    milliseconds = max(0, read_number(entry, "VoiceLength")) or _first_number(_VOICE_MILLISECONDS, content)
    return Content(
        kind=Kind.VOICE,
        text=webwx_placeholder(language, Kind.VOICE),
        detail=content_facts(duration=milliseconds / 1000 or None),
        media=message_locator(entry, MediaCall.VOICE, mime="audio/mpeg"),
    )


def video_message(entry: JsonObject, content: str, language: Language) -> Content:
    seconds = max(0, read_number(entry, "PlayLength")) or _first_number(_PLAY_SECONDS, content)
    return Content(
        kind=Kind.VIDEO,
        text=webwx_placeholder(language, Kind.VIDEO),
        detail=content_facts(duration=seconds or None),
        media=message_locator(
            entry, MediaCall.VIDEO, mime="video/mp4", size=_first_number(_LENGTH_BYTES, content)
        ),
        thumbnail=message_locator(entry, MediaCall.THUMBNAIL),
    )


def sticker_message(entry: JsonObject, content: str, language: Language) -> Content:
    """Returns a sticker or the result of a game (dice, rock-paper-scissors).

    The web client gets no bytes of a sticker from the store (webwx 2.16.8).
    """
    from_store = read_number(entry, "HasProductId") != 0 and not content
    game, result = _game(content)
    return Content(
        kind=Kind.STICKER,
        text=webwx_placeholder(language, Kind.STICKER, game_outcome(language, game, result)),
        detail=content_facts(
            width=_first_number(_WIDTH, content) or None,
            height=_first_number(_HEIGHT, content) or None,
            game=game,
            result=result,
        ),
        media=None
        if from_store
        else message_locator(entry, MediaCall.STICKER, size=_first_number(_LEN_BYTES, content)),
    )


def _game(content: str) -> tuple[str, str]:
    """Returns the name of a game and its result; each is empty when it is unknown."""
    match = _GAME.search(content)
    if match is None:
        return "", ""
    name, first_result = _GAMES.get(int(match[1]), ("", 0))
    results = _GAME_RESULTS.get(name, ())
    index = int(match[2]) - first_result
    return name, results[index] if 0 <= index < len(results) else ""


def _first_number(pattern: re.Pattern[str], content: str) -> int:
    match = pattern.search(content)
    return int(match[1]) if match else 0
