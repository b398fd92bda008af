"""What bytes are, by the bytes themselves: never by a name, never by what somebody announced.

Pure, and bounded whatever the bytes are: it gets a head of a file and no more. `filetype` knows the binary
formats, `imagesize` the size of a picture; both are imported when they are first needed.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from io import BytesIO

SNIFFED_BYTES = (
    256 * 1024
)  # bytes that are looked at: the size of a JPEG may stand behind long remarks of the camera
_SIGNATURE = 8192  # bytes in which `filetype` looks for signatures, and we for text

UNKNOWN_TYPE = "application/octet-stream"
_TEXTUAL = (b"%PDF-", b"{\\rtf", b"%!PS")  # their heads may be all text, and they are none
_SILK = (b"#!SILK", b"\x02#!SILK")  # voices of iLink: Tencent's form of it has a byte before its name
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_BEFORE = {"<?": "?>", "<!--": "-->"}  # what may stand before the first tag, and how it ends
_HTML = re.compile(r"<(?:!doctype\s+html|html|head|body|script|title)\b", re.IGNORECASE)
_SVG = re.compile(r"<(?:!doctype\s+svg|svg)\b", re.IGNORECASE)
_JSON = re.compile(r'\s*(?:\{\s*["}]|\[\s*[\[{"\d\]tfn-])')
_ENDINGS = {
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


@dataclass(frozen=True, slots=True)
class FileType:
    """A MIME type, and the ending that a file of it gets."""

    mime: str
    extension: str


def file_type_of(head: bytes, size: int) -> FileType:
    """What a file of `size` bytes is that begins with `head`."""
    text = None if head.startswith(_TEXTUAL) else _text(head[:_SIGNATURE], whole=size <= _SIGNATURE)
    if text is not None:
        return _own(_textual(text, head, size))
    return _binary(head[:_SIGNATURE])


def image_size(head: bytes, mime: str) -> tuple[int, int] | None:
    """Width and height of a picture as it is shown; None where they cannot be told."""
    if not mime.startswith("image/") or mime == "image/svg+xml":
        return None
    import imagesize  # noqa: PLC0415 - it brings urllib with it

    width, height = imagesize.get(BytesIO(head))
    return (int(width), int(height)) if width > 0 and height > 0 else None


def _own(mime: str) -> FileType:
    return FileType(mime, _ENDINGS[mime])


def _text(head: bytes, *, whole: bool) -> str | None:
    """The head as text; None when it is none. A letter that the cut splits does not matter."""
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
    return "application/json" if _JSON.match(text) and _parses(head, size) else "text/plain"


def _first_tag(text: str) -> str:
    """The text from its first tag on, behind declarations and remarks."""
    text = text.lstrip()
    while end := next((end for begin, end in _BEFORE.items() if text.startswith(begin)), None):
        text = text.partition(end)[2].lstrip()
    return text


def _parses(head: bytes, size: int) -> bool:
    """A short one must be JSON; of a longer one its beginning has to do."""
    if size > _SIGNATURE:
        return True
    try:
        json.loads(head)
    except (ValueError, RecursionError):
        return False
    return True


def _binary(signature: bytes) -> FileType:
    import filetype  # noqa: PLC0415 - a hundred classes that a bridge of texts never needs

    known = filetype.guess(signature)
    if known is not None:
        return FileType(known.mime, _ENDINGS.get(known.mime, f".{known.extension}"))
    if signature.startswith(_SILK):
        return _own("audio/silk")
    return _own("video/mp4" if signature[4:8] == b"ftyp" else UNKNOWN_TYPE)
