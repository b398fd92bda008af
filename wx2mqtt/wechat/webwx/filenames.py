"""File names that WeChat takes and that do no harm where they arrive. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

from wx2mqtt.model import Kind

TITLE = 240  # bytes of UTF-8; file systems have names of up to 255
# A name of 16 Chinese characters and `.doc` was taken and one of 17 was not, by a client that sends names
# percent-encoded: somewhere between 148 and 157 bytes lies the limit (webwx 2.14, IC#814).
UPLOADED = 148
EXTENSION = 12  # characters; what is longer after the last dot is no extension

_MIMES = {
    "image/jpeg": ("jpg", "jpeg"),
    "image/png": ("png",),
    "image/bmp": ("bmp",),
    "image/gif": ("gif",),
    "video/mp4": ("mp4",),
}
_FOR_PATHS = re.compile(r'[\\/:*?"<>|]')
_SEPARATORS = re.compile(r"[\\/]")
_EXTENSION = re.compile(rf"\.([0-9A-Za-z]{{1,{EXTENSION}}})$")
_JOINER = "\u200d"  # holds composed emoji together; every other mark without a shape goes
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def title(name: str, kind: Kind, mime: str) -> str:
    """The name that the receiver sees: one plain line, never empty, with the extension that fits."""
    return _cut(_named(name, kind, mime), TITLE, _utf8)


def uploaded(name: str, kind: Kind, mime: str) -> str:
    """The name that goes along with an upload, which has to be shorter."""
    return _cut(_named(name, kind, mime), UPLOADED, _percent_encoded)


def received(name: str) -> str:
    """What a sender calls a file: a plain name that leads into no other folder; may be empty."""
    plain = _SEPARATORS.sub("_", "".join(filter(_shows, name))).strip()
    return "" if plain in {".", ".."} else _cut(plain, TITLE, _utf8)


def extension(name: str) -> str:
    """What stands behind the last dot, without it; empty where that is no extension."""
    found = _EXTENSION.search(name)
    return found[1] if found else ""


def _named(name: str, kind: Kind, mime: str) -> str:
    """A clean name; a picture's or video's must end as WeChat expects, since it goes by the ending."""
    clean = _clean(name) or str(kind)
    fitting = () if kind is Kind.FILE else _MIMES.get(mime, ())
    if not fitting or extension(clean).lower() in fitting:
        return clean
    return f"{clean}.{fitting[0]}"


def _clean(name: str) -> str:
    composed = unicodedata.normalize("NFC", " ".join(name.split()))
    shown = "".join(character for character in composed if _shows(character))
    return " ".join(_FOR_PATHS.sub("_", shown).split()).rstrip(". ")


def _shows(character: str) -> bool:
    return character == _JOINER or unicodedata.category(character) not in _INVISIBLE


def _cut(name: str, limit: int, size: Callable[[str], int]) -> str:
    """Cut before the extension, between characters."""
    ending = name[len(name) - len(extension(name)) - 1 :] if extension(name) else ""
    stem = name.removesuffix(ending)[:limit]
    while stem and size(stem + ending) > limit:
        stem = stem[:-1].rstrip(f". {_JOINER}")
    return stem + ending


def _utf8(name: str) -> int:
    return len(name.encode())


def _percent_encoded(name: str) -> int:
    return len(quote(name, safe=""))
