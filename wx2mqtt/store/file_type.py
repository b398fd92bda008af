"""Detects the type of a file by its content, never by its name or an announced type. Pure.

    file_type_of(b"%PDF-1.7…", size)  ->  application/pdf, .pdf
    file_type_of(b'{"a": 1}', 8)      ->  application/json, .json

It is bounded for any content: it gets the head of a file only. `filetype` knows binary formats, `imagesize`
the size of a picture; both are imported when they are first needed.
"""

from __future__ import annotations

import codecs
import json
import re
from io import BytesIO

from wx2mqtt.values import frozen

# The head of a file. In a JPEG the width and height may follow after long metadata of the camera.
SNIFFED_BYTES = 256 * 1024

# The part of the head in which `filetype` searches for signatures, and this module for text.
_SIGNATURE_BYTES = 8192

UNKNOWN_TYPE = "application/octet-stream"
_BINARY_WITH_TEXT_HEAD = (b"%PDF-", b"{\\rtf", b"%!PS")
_SILK = (b"#!SILK", b"\x02#!SILK")  # voice messages; Tencent writes one byte before the signature
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_BEFORE_FIRST_TAG = {"<?": "?>", "<!--": "-->"}  # start and end of declarations and comments
_HTML = re.compile(r"<(?:!doctype\s+html|html|head|body|script|title)\b", re.IGNORECASE)
_SVG = re.compile(r"<(?:!doctype\s+svg|svg)\b", re.IGNORECASE)
_JSON = re.compile(r'\s*(?:\{\s*["}]|\[\s*[\[{"\d\]tfn-])')
_EXTENSIONS = {
    "image/jpeg": ".jpg",
    "image/svg+xml": ".svg",
    "text/plain": ".txt",
    "text/html": ".html",
    "application/json": ".json",
    "video/mp4": ".mp4",
    "audio/mpeg": ".mp3",
    "audio/silk": ".silk",
    UNKNOWN_TYPE: ".bin",
}


@frozen(kw_only=False)
class FileType:
    """A MIME type, and the extension of a file of this type, with its dot."""

    mime: str
    extension: str


def file_type_of(head: bytes, size: int) -> FileType:
    """Returns the type of a file of `size` bytes that starts with `head`."""
    signature = head[:_SIGNATURE_BYTES]
    if head.startswith(_BINARY_WITH_TEXT_HEAD):
        return _binary(signature)
    text = _text(signature, whole=size <= _SIGNATURE_BYTES)
    if text is None:
        return _binary(signature)
    return _known_type(_textual(text, head, size))


def image_size(head: bytes, mime: str) -> tuple[int, int] | None:
    """Returns width and height of a picture in pixels; None if they are unknown."""
    if not mime.startswith("image/") or mime == "image/svg+xml":
        return None
    import imagesize  # noqa: PLC0415 - it imports urllib

    width, height = imagesize.get(BytesIO(head))
    return (int(width), int(height)) if width > 0 and height > 0 else None


def _known_type(mime: str) -> FileType:
    return FileType(mime, _EXTENSIONS[mime])


def _text(head: bytes, *, whole: bool) -> str | None:
    """Returns the head as text; None if it is binary. A character that is cut at the end is left out."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head, final=whole)
    except UnicodeDecodeError:
        return None
    return None if not text or _CONTROLS.search(text) else text


def _textual(text: str, head: bytes, size: int) -> str:
    tag = _first_tag(text)
    if _HTML.match(tag):
        return "text/html"
    if _SVG.match(tag):
        return "image/svg+xml"
    if _JSON.match(text) and _is_json(head, size):
        return "application/json"
    return "text/plain"


def _first_tag(text: str) -> str:
    """Returns the text from its first tag on, after declarations and comments."""
    text = text.lstrip()
    while True:
        end = next((end for begin, end in _BEFORE_FIRST_TAG.items() if text.startswith(begin)), None)
        if end is None:
            return text
        text = text.partition(end)[2].lstrip()


def _is_json(head: bytes, size: int) -> bool:
    """Returns whether a short file is valid JSON; a longer one is not parsed and counts as valid."""
    if size > _SIGNATURE_BYTES:
        return True
    try:
        json.loads(head)
    except (ValueError, RecursionError):
        return False
    return True


def _binary(signature: bytes) -> FileType:
    import filetype  # noqa: PLC0415 - it loads a hundred classes

    known = filetype.guess(signature)
    if known is not None:
        return FileType(known.mime, _EXTENSIONS.get(known.mime, f".{known.extension}"))
    if signature.startswith(_SILK):
        return _known_type("audio/silk")
    return _known_type("video/mp4" if signature[4:8] == b"ftyp" else UNKNOWN_TYPE)
