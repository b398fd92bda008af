"""A stored file as a response: its range, whether it is modified, and the headers for its type and its name.

Range requests follow RFC 9110, 14, conditional requests RFC 9110, 13. A file is read in chunks as the client
takes them, so that a download needs little memory.

A stranger sent the file. A browser runs active content that it shows, with the rights of our origin, so only
types on a list of harmless ones are shown; all others are saved.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import BinaryIO
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wx2mqtt.values import frozen
from wx2mqtt.web.responses import WaitInterrupted, disconnected, run_unless

READ_CHUNK_BYTES = 128 * 1024  # in memory for each download

_RANGE = re.compile(r"\s*bytes\s*=\s*+([0-9]{0,18})\s*+-\s*+([0-9]{0,18})\s*+", re.ASCII | re.IGNORECASE)

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


class RangeNotSatisfiable(Exception):
    """The file has no byte of the requested range."""


@frozen(kw_only=False)
class ByteRange:
    """The bytes from `start` to before `stop`."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


class FileRangeResponse(Response):
    """Sends a range of an open file, and closes the file, also if the client disconnects."""

    def __init__(
        self, file: BinaryIO, byte_range: ByteRange, status_code: int, headers: Mapping[str, str]
    ) -> None:
        self._file = file
        self._byte_range = byte_range
        super().__init__(status_code=status_code, headers={**headers, "content-length": str(byte_range.size)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
            else:
                await run_unless(self._send_body(send), disconnected(receive))
        except WaitInterrupted:
            return  # the client has disconnected: there is nobody to send to
        finally:
            self._file.close()

    async def _send_body(self, send: Send) -> None:
        remaining = self._byte_range.size
        self._file.seek(self._byte_range.start)
        while remaining:
            chunk = await asyncio.to_thread(self._file.read, min(READ_CHUNK_BYTES, remaining))
            if not chunk:
                raise EOFError("the file has become shorter")
            remaining -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": remaining > 0})
        if not self._byte_range.size:
            await send({"type": "http.response.body", "body": b""})


def requested_range(headers: Mapping[str, str], size: int, etag: str, modified: int) -> ByteRange | None:
    """Returns the requested range, None for the whole file. Raises `RangeNotSatisfiable`.

    Several ranges in one request get the whole file, which a server may do (14.2). Names in `headers` are in
    lower case; `size` is that of the file in bytes, `modified` in seconds since 1970.
    """
    match = _RANGE.fullmatch(headers.get("range", ""))
    if match is None:
        return None
    if_range = headers.get("if-range")
    if if_range is not None and if_range.strip() != etag and _http_date_seconds(if_range) != modified:
        return None  # the client has a part of another version
    first, last = match[1], match[2]
    if not first and not last:
        return None
    if not first:  # the last bytes of the file
        if not int(last) or not size:
            raise RangeNotSatisfiable
        return ByteRange(max(0, size - int(last)), size)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable
    return ByteRange(start, min(int(last) + 1, size) if last else size)


def is_not_modified(headers: Mapping[str, str], etag: str, modified: int) -> bool:
    """Returns whether the client has this version of the file already; parameters as in `requested_range`."""
    none_match = headers.get("if-none-match")
    if none_match is not None:
        known_etags = {part.strip().removeprefix("W/") for part in none_match.split(",")}
        return etag in known_etags or "*" in known_etags
    since = _http_date_seconds(headers.get("if-modified-since", ""))
    return since is not None and modified <= since


def _http_date_seconds(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError, OSError):
        return None


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
