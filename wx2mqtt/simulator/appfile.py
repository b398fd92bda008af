"""The XML of a file that a client sends with webwxsendappmsg (webwx 2.12). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

APPID = "wxeb7ec651dd0aefa9"

_CHILDREN = ("title", "des", "action", "type", "content", "url", "lowurl", "appattach", "extinfo")
_ATTACHED = ("totallen", "attachid", "fileext")


class BadAppFile(ValueError):
    """The XML is not that of a file; says why, and repeats no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFile:
    """What the XML says."""

    appid: str
    title: str
    size: int
    media_id: str
    extension: str


def read(content: object) -> AppFile:
    """Read it; raises `BadAppFile`."""
    root = _root(content)
    _check_shape(root)
    size = root.findtext("appattach/totallen", "")
    if not size.isdecimal() or not size.isascii():
        raise BadAppFile("totallen is no number")
    return AppFile(
        appid=root.get("appid", ""),
        title=root.findtext("title", ""),
        size=int(size[:20]),
        media_id=root.findtext("appattach/attachid", ""),
        extension=root.findtext("appattach/fileext", "").lower(),
    )


def _root(content: object) -> Element:
    try:
        root: Element = ElementTree.fromstring(str(content))
    except (ParseError, DefusedXmlException, ValueError):
        raise BadAppFile("Content is no XML: a name must be escaped") from None
    return root


def _check_shape(root: Element) -> None:
    if root.tag != "appmsg" or "appid" not in root.keys() or "sdkver" not in root.keys():  # noqa: SIM118
        raise BadAppFile("the root is not appmsg with appid and sdkver")
    attached = root.find("appattach")
    missing = [name for name in _CHILDREN if root.find(name) is None]
    if attached is None or missing or any(attached.find(name) is None for name in _ATTACHED):
        raise BadAppFile("appmsg or appattach lacks a child")
    if root.findtext("type") != "6":
        raise BadAppFile("type is not 6")
    if not root.findtext("title"):
        raise BadAppFile("title is empty")
