"""GET /media/<id>: the file that came with a message, or a sentence that says why there is none.

A request for a file that is still being downloaded waits for it. A file is read in chunks as the client takes
them, so that a download needs little memory. The id is looked up and never used as a path.

A stranger sent the file. A browser runs active content that it shows, with the rights of our origin, so only
types on a list of harmless ones are shown; all others are saved. The name is cleaned and only sent on.
"""

from __future__ import annotations

import asyncio
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wx2mqtt.bridge.media.library import MediaLibrary
from wx2mqtt.clock import now_ms, parse_http_date
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob
from wx2mqtt.store.files import open_to_read
from wx2mqtt.store.records import MediaRow, MediaState
from wx2mqtt.web.request import context_of
from wx2mqtt.web.responses import WaitInterrupted, disconnected, run_unless, text_response

log = structlog.get_logger(__name__)

MEDIA_WAIT_TIMEOUT_SECONDS = 25.0  # for which a request waits for a file that is being downloaded
RETRY_AFTER_SECONDS = 5  # where nothing better is known
MAX_RETRY_AFTER_SECONDS = 300
READ_CHUNK_BYTES = 128 * 1024  # in memory for each download

STATUS_BY_STATE = {
    MediaState.PENDING: HTTPStatus.SERVICE_UNAVAILABLE,
    MediaState.FAILED: HTTPStatus.BAD_GATEWAY,
    MediaState.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MediaState.GONE: HTTPStatus.GONE,
}

_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_WAIT_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)
_PREFER_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?([0-9.]{1,12})\"?\s*(?:$|[,;])", re.ASCII | re.IGNORECASE)


class MediaEndpoint:
    """The endpoint /media/<id>. When `closing` is set, requests stop to wait."""

    def __init__(self, media_libraries: Sequence[MediaLibrary], closing: asyncio.Event) -> None:
        self._media_libraries = media_libraries
        self._closing = closing

    async def handle(self, request: Request) -> Response:
        context = context_of(request.scope)
        media_id = request.path_params["id"]
        if not _MEDIA_ID.fullmatch(media_id):
            return text_response(context, HTTPStatus.NOT_FOUND, "unknown_media")
        search = self._find(media_id, _requested_wait(request))
        retry = {"retry-after": f"{RETRY_AFTER_SECONDS}"}
        try:
            match = await run_unless(search, disconnected(request.receive), self._closing.wait())
        except WaitInterrupted:  # a client that has disconnected does not read this
            return text_response(context, HTTPStatus.SERVICE_UNAVAILABLE, "pending", retry, why="")
        except StoreError as error:
            log.warning("media cannot be looked up", problem=str(error))
            return text_response(context, HTTPStatus.SERVICE_UNAVAILABLE, "internal", retry)
        if match is None:
            return text_response(context, HTTPStatus.NOT_FOUND, "unknown_media")
        library, row = match
        if row.state is MediaState.READY and row.blob is not None:
            return _file_response(request, row, row.blob, library.file(row))
        return _unavailable_response(request, row)

    async def _find(self, media_id: str, wait: float) -> tuple[MediaLibrary, MediaRow] | None:
        for library in self._media_libraries:
            if (row := await library.find(media_id, wait)) is not None:
                return library, row
        return None


def _requested_wait(request: Request) -> float:
    """Returns the seconds to wait, which `?wait=` or `Prefer: wait=` (RFC 7240) may shorten."""
    wait = request.query_params.get("wait", "")
    if not wait and (preference := _PREFER_WAIT.search(request.headers.get("prefer", ""))):
        wait = preference[1]
    if not _WAIT_SECONDS.fullmatch(wait):
        return MEDIA_WAIT_TIMEOUT_SECONDS
    return min(MEDIA_WAIT_TIMEOUT_SECONDS, float(wait))


def _unavailable_response(request: Request, row: MediaRow) -> Response:
    headers: dict[str, str] = {}
    if row.state is MediaState.PENDING:
        seconds = RETRY_AFTER_SECONDS
        if row.due is not None:
            seconds = max(1, min(MAX_RETRY_AFTER_SECONDS, math.ceil((row.due - now_ms()) / 1000)))
        headers["retry-after"] = f"{seconds}"
    reason = f" ({row.reason})" if row.reason else ""
    return text_response(
        context_of(request.scope), STATUS_BY_STATE[row.state], str(row.state), headers, why=reason
    )


# A file that is there


def _file_response(request: Request, row: MediaRow, blob: Blob, path: Path) -> Response:
    """Returns the whole file or the requested range of it, or the answer that the client has it already."""
    try:
        file = open_to_read(path)
    except OSError:  # pruned since the row was read
        return text_response(context_of(request.scope), HTTPStatus.GONE, "gone", why="")
    etag = f'"{blob.sha256}"'
    modified = (row.fetched or row.created) // 1000
    with ExitStack() as closing:
        closing.callback(file.close)
        size = file.seek(0, 2)
        headers = _file_headers(row, blob, etag, modified)
        if is_not_modified(request.headers, etag, modified):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        try:
            byte_range = requested_range(request.headers, size, etag, modified)
        except RangeNotSatisfiable:
            return text_response(
                context_of(request.scope),
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                "range",
                {"content-range": f"bytes */{size}"},
                size=size,
            )
        closing.pop_all()  # the response closes the file
        if byte_range is None:
            return FileRangeResponse(file, range(size), HTTPStatus.OK, headers)
        headers["content-range"] = f"bytes {byte_range.start}-{byte_range.stop - 1}/{size}"
        return FileRangeResponse(file, byte_range, HTTPStatus.PARTIAL_CONTENT, headers)


class FileRangeResponse(Response):
    """Sends a range of the bytes of an open file, and closes the file, also if the client disconnects."""

    def __init__(self, file: BinaryIO, byte_range: range, status: int, headers: Mapping[str, str]) -> None:
        self._file = file
        self._byte_range = byte_range
        super().__init__(status_code=status, headers={**headers, "content-length": str(len(byte_range))})

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
        remaining = len(self._byte_range)
        self._file.seek(self._byte_range.start)
        while remaining:
            chunk = await asyncio.to_thread(self._file.read, min(READ_CHUNK_BYTES, remaining))
            if not chunk:
                raise EOFError("the file has become shorter")
            remaining -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": remaining > 0})
        if not self._byte_range:
            await send({"type": "http.response.body", "body": b""})


# What the client has, and what it wants of it (RFC 9110, 13 and 14). Names in `headers` are in lower case;
# `modified` is in seconds since 1970.

_RANGE = re.compile(r"\s*bytes\s*=\s*+([0-9]{0,18})\s*+-\s*+([0-9]{0,18})\s*+", re.ASCII | re.IGNORECASE)


class RangeNotSatisfiable(Exception):
    """The file has no byte of the requested range."""


def is_not_modified(headers: Mapping[str, str], etag: str, modified: int) -> bool:
    """Returns whether the client has this version of the file already."""
    none_match = headers.get("if-none-match")
    if none_match is not None:
        known_etags = {part.strip().removeprefix("W/") for part in none_match.split(",")}
        return etag in known_etags or "*" in known_etags
    since = parse_http_date(headers.get("if-modified-since", ""))
    return since is not None and modified <= since


def requested_range(headers: Mapping[str, str], size: int, etag: str, modified: int) -> range | None:
    """Returns the requested bytes of a file with `size` bytes, None for all. Raises `RangeNotSatisfiable`.

    Several ranges in one request get the whole file, which a server may do (14.2).
    """
    match = _RANGE.fullmatch(headers.get("range", ""))
    if match is None:
        return None
    if_range = headers.get("if-range")
    if if_range is not None and if_range.strip() != etag and parse_http_date(if_range) != modified:
        return None  # the client has a part of another version
    first, last = match[1], match[2]
    if not first and not last:
        return None
    if not first:  # the last bytes of the file
        if not int(last) or not size:
            raise RangeNotSatisfiable
        return range(max(0, size - int(last)), size)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable
    return range(start, min(int(last) + 1, size) if last else size)


# The headers for the type and the name, which a stranger chose

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
"""PDF, raster images, sound and video. No SVG, HTML or XML: they can hold scripts."""

SANDBOX_POLICY = "default-src 'none'; sandbox"

PLAYER_POLICY = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'"
"""For sound and video: a browser plays them in a page that it makes itself, which fails in a sandbox."""

MAX_NAME_BYTES = 180  # file systems take 255, and browsers append to names
MAX_SUFFIX_BYTES = 20  # a longer one is no suffix, but a name with a dot in it
_MAX_DECLARED_CHARACTERS = 1000  # of which the rest is not even looked at

_MIME_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,80}", re.ASCII)
_FORBIDDEN_CHARACTERS = frozenset('/\\:*?"<>|')  # the slashes everywhere, the others on Windows
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # includes direction marks


def _file_headers(row: MediaRow, blob: Blob, etag: str, modified: int) -> dict[str, str]:
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


def content_type(mime: str) -> str:
    """Returns the value of Content-Type; a malformed type becomes application/octet-stream."""
    return mime if _MIME_TYPE.fullmatch(mime) else "application/octet-stream"


def content_disposition(mime: str, name: str) -> str:
    """Returns the value of Content-Disposition (RFC 6266). `name` must be a result of `download_name`."""
    disposition = "inline" if mime in INLINE_TYPES else "attachment"
    # Decomposition can produce forbidden characters, such as a quotation mark out of a fullwidth one.
    decomposed = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    ascii_name = "".join("_" if char in _FORBIDDEN_CHARACTERS or char == "%" else char for char in decomposed)
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
