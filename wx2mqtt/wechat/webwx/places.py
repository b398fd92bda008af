"""Locations: best from OriContent, else from the map's address and the text before it (webwx 3.8)."""

from __future__ import annotations

import re

from wx2mqtt.model import Kind
from wx2mqtt.wechat.fields import Entry, text
from wx2mqtt.wechat.webwx.content import Content, facts, unsupported
from wx2mqtt.wechat.webwx.locators import Call, of_message
from wx2mqtt.wechat.webwx.text import line, plain
from wx2mqtt.wechat.webwx.words import placeholder
from wx2mqtt.wechat.webwx.xml import NOTHING, Node, parse
from wx2mqtt.words import Language

_COORDINATES = re.compile(r"[?&]coord=(-?\d{1,3}(?:\.\d{1,20})?),(-?\d{1,3}(?:\.\d{1,20})?)", re.ASCII)
_DEGREES = re.compile(r"-?\d{1,3}(?:\.\d{1,20})?", re.ASCII)
_PLACE = re.compile(r"([^\n]*?):?(?:<br ?/?>|\n)")
_NO_NAMES = {"", "[位置]", "[Location]"}  # what a phone writes where it knows none


def location(entry: Entry, content: str, language: Language) -> Content:
    """A place; the web has a picture of the map."""
    place = _xml(text(entry, "OriContent")) or _xml(content)
    lat, lon = _degrees(place.attribute("x"), 90), _degrees(place.attribute("y"), 180)
    if (lat is None or lon is None) and (found := _COORDINATES.search(text(entry, "Url"))):
        lat, lon = _degrees(found[1], 90), _degrees(found[2], 180)
    address, spot = place.attribute("label"), place.attribute("poiname")
    label = (spot if spot not in _NO_NAMES else "") or _told(content) or address
    detail = facts(lat=lat, lon=lon, label=label, address=address)
    if not detail:
        return unsupported(entry, content, language)
    return Content(
        kind=Kind.LOCATION,
        text=placeholder(language, Kind.LOCATION, line(label)),
        detail=detail,
        thumbnail=of_message(entry, Call.MAP),
    )


def _xml(source: str) -> Node:
    return parse(source).at("location") if "<location" in source or "&lt;location" in source else NOTHING


def _told(content: str) -> str:
    """`<place>:<br/>/cgi-bin/…`: the place is what stands on the first line; XML is no place."""
    if content.lstrip().startswith(("<", "&lt;")):
        return ""
    found = _PLACE.match(content)
    return plain(found[1] if found else content).strip()


def _degrees(written: str, most: int) -> float | None:
    value = float(written) if _DEGREES.fullmatch(written) else None
    return value if value is not None and abs(value) <= most else None
