"""What a browser may do with a file that a stranger sent: show it or only save it, and as what. Pure.

A browser runs what it shows. So only what cannot run is shown; the list is short and says what, not what not.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

SHOWN = frozenset(
    {
        *(
            f"image/{kind}"
            for kind in ("png", "jpeg", "gif", "webp", "bmp", "x-ms-bmp", "avif", "heic", "heif")
        ),
        *(
            f"audio/{kind}"
            for kind in ("mpeg", "mp4", "x-m4a", "aac", "ogg", "wav", "x-wav", "flac", "x-flac")
        ),
        *(f"audio/{kind}" for kind in ("amr", "webm", "opus")),
        *(f"video/{kind}" for kind in ("mp4", "x-m4v", "webm", "ogg", "quicktime", "3gpp", "mpeg")),
        *(f"video/{kind}" for kind in ("x-matroska", "x-msvideo")),
        "application/pdf",
    }
)
"""Pictures made of pixels, sound, video, PDF: no SVG, no HTML, no XML."""

NAME_BYTES = 180  # of a file name; file systems take 255, with what browsers add
_SUFFIX_BYTES = 20

_MIME = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,80}", re.ASCII)
_FORBIDDEN = frozenset('/\\:*?"<>|')  # the slashes everywhere, the others on Windows
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # with the marks that turn text around


def content_type(mime: str) -> str:
    """The type as a header can hold it."""
    return mime if _MIME.fullmatch(mime) else "application/octet-stream"


def disposition(mime: str, name: str) -> str:
    """The value of Content-Disposition (RFC 6266). `name` must have come out of `file_name`."""
    how = "inline" if mime in SHOWN else "attachment"
    plain = _ascii(name)
    stem, dot, suffix = plain.rpartition(".")
    if dot and not stem.strip(" ."):
        plain = f"file.{suffix}"
    quoted = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{how}; filename="{plain or "file"}"{quoted}'


def _ascii(name: str) -> str:
    """What is left of a name in ASCII. Taken apart, a wide quotation mark is a real one: look again."""
    left = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "".join("_" if mark in _FORBIDDEN or mark == "%" else mark for mark in left)


def file_name(told: str, instead: str) -> str:
    """The name under which to save a file: no path, nothing invisible, not too long; else `instead`."""
    marks = ("_" if mark in _FORBIDDEN else mark for mark in unicodedata.normalize("NFC", told[:1000]))
    visible = "".join(mark for mark in marks if unicodedata.category(mark) not in _INVISIBLE)
    name = _short(re.sub(r"\.{2,}", ".", visible).strip(" ."))
    return name if name.strip("_ .") else instead


def _short(name: str) -> str:
    """At most so many bytes, its ending kept."""
    if len(name.encode()) <= NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > _SUFFIX_BYTES:
        stem, suffix = name, ""
    ending = f".{suffix}" if suffix else ""
    return _cut(stem, NAME_BYTES - len(ending.encode())).rstrip(" .") + ending


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode("utf-8", "ignore")
