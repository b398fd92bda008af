"""Reads messages with media (pictures, voices, videos, stickers) and locations (webwx 3.2, 3.7, 3.8).

    <msg><voicemsg voicelength="2100" …/></msg>      a voice message of 2.1 seconds, downloaded by its id

Sizes are as announced. Width and height in an entry belong to the thumbnail, so they are not used.
"""

from __future__ import annotations

import re

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import game_outcome, webwx_placeholder
from wx2mqtt.model import Kind
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_text
from wx2mqtt.wechat.webwx.protocol.content import Content, content_facts, unsupported_message
from wx2mqtt.wechat.webwx.protocol.locators import MediaCall, message_locator
from wx2mqtt.wechat.webwx.protocol.markup import NO_NODE, XmlNode, clean_line, parse_xml, plain_text

# Names that a phone writes for a place without name.
_EMPTY_PLACE_NAMES = {"", "[位置]", "[Location]"}


def location_message(entry: JsonObject, content: str, language: Language) -> Content:
    """Returns a location; its thumbnail is a picture of the map."""
    location = _location_xml(read_text(entry, "OriContent")) or _location_xml(content)
    lat, lon = _coordinates(location, read_text(entry, "Url"))
    address = location.attribute("label")
    place_name = location.attribute("poiname")
    if place_name in _EMPTY_PLACE_NAMES:
        place_name = ""
    label = place_name or _first_line(content) or address
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


# `https://apis.map.qq.com/uri/v1/geocoder?coord=23.1,113.3`
_COORDINATES = re.compile(r"[?&]coord=(-?\d{1,3}(?:\.\d{1,20})?),(-?\d{1,3}(?:\.\d{1,20})?)", re.ASCII)


def _coordinates(location: XmlNode, url: str) -> tuple[float | None, float | None]:
    """Returns latitude and longitude, from the XML or else from the address of the map."""
    lat = _degrees(location.attribute("x"), 90)
    lon = _degrees(location.attribute("y"), 180)
    if lat is not None and lon is not None:
        return lat, lon
    match = _COORDINATES.search(url)
    if match is None:
        return lat, lon
    return _degrees(match[1], 90), _degrees(match[2], 180)


# `<place>:<br/>` or `<place>` and a line break, in front of an address that only phones open
_FIRST_LINE = re.compile(r"([^\n]*?):?(?:<br ?/?>|\n)")


def _first_line(content: str) -> str:
    """Returns the name of the place in `<place>:<br/>/cgi-bin/…`; empty for content that is XML."""
    if content.lstrip().startswith(("<", "&lt;")):
        return ""
    match = _FIRST_LINE.match(content)
    return plain_text(match[1] if match else content).strip()


_DEGREES = re.compile(r"-?\d{1,3}(?:\.\d{1,20})?", re.ASCII)


def _degrees(text: str, limit: int) -> float | None:
    """Returns an angle of at most `limit` degrees to either side of 0, or None for any other text."""
    value = float(text) if _DEGREES.fullmatch(text) else None
    return value if value is not None and abs(value) <= limit else None


# A number in the XML of a picture, voice, video or sticker: ` length="4711"`, or escaped
# ` length=&quot;4711&quot;`. It is searched: parsing the XML would take several times as long, and these
# messages are the most frequent ones besides texts. The patterns begin with a space, which is found fast.
_QUOTE = '(?:"|&quot;)'

_NUMBER = rf" %s\s*=\s*{_QUOTE}(\d{{1,9}})\b"

_LENGTH_BYTES, _PLAY_SECONDS, _VOICE_MILLISECONDS = (
    re.compile(_NUMBER % name, re.ASCII) for name in ("length", "playlength", "voicelength")
)

_WIDTH, _HEIGHT, _LEN_BYTES = (re.compile(_NUMBER % name, re.ASCII) for name in ("width", "height", "len"))


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


# `<gameext type="2" content="6"></gameext>`
_GAME = re.compile(
    rf"gameext\s+type\s*=\s*{_QUOTE}(\d{{1,9}}){_QUOTE}\s+content\s*=\s*{_QUOTE}(\d{{1,9}})\b", re.ASCII
)

# Name and results of a game by its `type`. The results count from the number in `content` that clients write
# for the first one: `content="6"` is a 3 of a die. No reference confirms these numbers (webwx 3.2.3).
_GAMES: dict[int, tuple[str, int, tuple[str, ...]]] = {
    1: ("rock_paper_scissors", 1, ("scissors", "rock", "paper")),
    2: ("dice", 4, ("1", "2", "3", "4", "5", "6")),
}


def _game(content: str) -> tuple[str, str]:
    """Returns the name of a game and its result; each is empty when it is unknown."""
    match = _GAME.search(content)
    if match is None or int(match[1]) not in _GAMES:
        return "", ""
    name, first_number, results = _GAMES[int(match[1])]
    index = int(match[2]) - first_number
    return name, results[index] if 0 <= index < len(results) else ""


def _first_number(pattern: re.Pattern[str], content: str) -> int:
    match = pattern.search(content)
    return int(match[1]) if match else 0
