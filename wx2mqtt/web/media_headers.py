"""The headers of a file that a stranger sent, who chose its type and its name.

    image/png, "a/b.png"   ->   Content-Type: image/png, Content-Disposition: inline; filename="a_b.png"

A browser runs active content that it shows, with the rights of our origin. So only types on a list of
harmless ones are shown; all others are saved. The name is cleaned and only sent on.
"""

from __future__ import annotations

import re
import unicodedata
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

from wx2mqtt.model import Blob
from wx2mqtt.store.records import MediaRow

# PDF, raster images, sound and video. No SVG, HTML or XML: they can hold scripts.
INLINE_TYPES = frozenset(
    {
        "application/pdf",
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/x-ms-bmp"),
        *("image/avif", "image/heic", "image/heif"),
        *("audio/mpeg", "audio/mp4", "audio/x-m4a", "audio/aac", "audio/ogg", "audio/wav", "audio/x-wav"),
        *("audio/flac", "audio/x-flac", "audio/amr", "audio/webm", "audio/opus"),
        *("video/mp4", "video/x-m4v", "video/webm", "video/ogg", "video/quicktime", "video/3gpp"),
        *("video/mpeg", "video/x-matroska", "video/x-msvideo"),
    }
)

SANDBOX_POLICY = "default-src 'none'; sandbox"

# For sound and video: a browser plays them in a page that it makes itself, which fails in a sandbox.
PLAYER_POLICY = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'"

MAX_NAME_BYTES = 180  # file systems take 255, and browsers append to names
MAX_SUFFIX_BYTES = 20  # a longer text after the last dot is no suffix
_MAX_DECLARED_CHARACTERS = 1000  # of a name that are looked at

_FORBIDDEN_CHARACTERS = frozenset('/\\:*?"<>|')  # the slashes everywhere, the others on Windows
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # includes direction marks


def file_headers(row: MediaRow, blob: Blob, etag: str, modified: int) -> dict[str, str]:
    """Returns all headers but the length; `modified` is in seconds since 1970."""
    mime = content_type(blob.mime)
    name = download_name(row.ref.name, f"{row.kind}-{row.id}{Path(blob.path).suffix}")
    is_played = mime in INLINE_TYPES and mime.startswith(("audio/", "video/"))
    return {
        "content-type": mime,
        "content-disposition": content_disposition(mime, name),
        "content-security-policy": PLAYER_POLICY if is_played else SANDBOX_POLICY,
        "cache-control": "private, no-cache",  # revalidated each time: the person may have logged out since
        "accept-ranges": "bytes",
        "etag": etag,
        "last-modified": formatdate(modified, usegmt=True),
    }


# image/png, application/vnd.ms-excel
_MIME_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,80}", re.ASCII)


def content_type(mime: str) -> str:
    """Returns the value of Content-Type; a malformed type becomes application/octet-stream."""
    return mime if _MIME_TYPE.fullmatch(mime) else "application/octet-stream"


def content_disposition(mime: str, name: str) -> str:
    """Returns the value of Content-Disposition (RFC 6266). `name` must be a result of `download_name`."""
    disposition = "inline" if mime in INLINE_TYPES else "attachment"
    # Decomposition can produce forbidden characters, such as a quotation mark out of a fullwidth one.
    decomposed = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    forbidden = {*_FORBIDDEN_CHARACTERS, "%"}
    ascii_name = "".join("_" if char in forbidden else char for char in decomposed)
    stem, dot, suffix = ascii_name.rpartition(".")
    if dot and not stem.strip(" ."):
        ascii_name = f"file.{suffix}"
    extended = "" if ascii_name == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{disposition}; filename="{ascii_name or "file"}"{extended}'


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
    ending = f".{suffix}"
    if not dot or len(suffix.encode()) > MAX_SUFFIX_BYTES:
        stem, ending = name, ""
    max_stem_bytes = MAX_NAME_BYTES - len(ending.encode())
    return stem.encode()[:max_stem_bytes].decode("utf-8", "ignore").rstrip(" .") + ending
