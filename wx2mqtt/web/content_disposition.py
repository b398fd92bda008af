"""Headers for a file that a stranger sent: its type, its name, and whether a browser shows it. Pure.

A browser runs active content that it shows, with the rights of our origin. So only types on a list of
harmless ones are shown; all others are saved.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

INLINE_TYPES = frozenset(
    {
        *(
            f"image/{subtype}"
            for subtype in ("png", "jpeg", "gif", "webp", "bmp", "x-ms-bmp", "avif", "heic", "heif")
        ),
        *(
            f"audio/{subtype}"
            for subtype in ("mpeg", "mp4", "x-m4a", "aac", "ogg", "wav", "x-wav", "flac", "x-flac")
        ),
        *(f"audio/{subtype}" for subtype in ("amr", "webm", "opus")),
        *(f"video/{subtype}" for subtype in ("mp4", "x-m4v", "webm", "ogg", "quicktime", "3gpp", "mpeg")),
        *(f"video/{subtype}" for subtype in ("x-matroska", "x-msvideo")),
        "application/pdf",
    }
)
"""Raster images, sound, video and PDF. No SVG, HTML or XML: they can hold scripts."""

MAX_NAME_BYTES = 180  # file systems take 255, and browsers append to names
MAX_SUFFIX_BYTES = 20  # a longer one is no suffix, but a name with a dot in it
_MAX_DECLARED_CHARACTERS = 1000  # of which the rest is not even looked at

_MIME_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,80}", re.ASCII)
_FORBIDDEN_CHARACTERS = frozenset('/\\:*?"<>|')  # the slashes everywhere, the others on Windows
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # includes direction marks


def content_type(mime: str) -> str:
    """Returns the value of Content-Type; a malformed type becomes application/octet-stream."""
    return mime if _MIME_TYPE.fullmatch(mime) else "application/octet-stream"


def content_disposition(mime: str, name: str) -> str:
    """Returns the value of Content-Disposition (RFC 6266). `name` must be a result of `download_name`."""
    disposition = "inline" if mime in INLINE_TYPES else "attachment"
    ascii_name = _ascii(name)
    stem, dot, suffix = ascii_name.rpartition(".")
    if dot and not stem.strip(" ."):
        ascii_name = f"file.{suffix}"
    extended = "" if ascii_name == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{disposition}; filename="{ascii_name or "file"}"{extended}'


def _ascii(name: str) -> str:
    """Returns the ASCII characters of a name.

    Decomposition can produce forbidden characters, such as a quotation mark out of a fullwidth one, so they
    are replaced again.
    """
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "".join("_" if char in _FORBIDDEN_CHARACTERS or char == "%" else char for char in ascii_only)


def download_name(declared_name: str, default: str) -> str:
    """Returns a safe file name: no path, nothing invisible, not too long. `default` if nothing is left."""
    normalized = unicodedata.normalize("NFC", declared_name[:_MAX_DECLARED_CHARACTERS])
    replaced = ("_" if char in _FORBIDDEN_CHARACTERS else char for char in normalized)
    visible = "".join(char for char in replaced if unicodedata.category(char) not in _INVISIBLE_CATEGORIES)
    name = _shortened(re.sub(r"\.{2,}", ".", visible).strip(" ."))
    return name if name.strip("_ .") else default


def _shortened(name: str) -> str:
    """Returns the name with at most `MAX_NAME_BYTES`, with its suffix."""
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > MAX_SUFFIX_BYTES:
        stem, suffix = name, ""
    ending = f".{suffix}" if suffix else ""
    return _cut(stem, MAX_NAME_BYTES - len(ending.encode())).rstrip(" .") + ending


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode("utf-8", "ignore")
