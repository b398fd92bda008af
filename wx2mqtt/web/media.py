"""What a browser may do with a file that a stranger sent: show it or only save it, and as what. Pure.

A browser runs what it shows. So only what cannot run is shown; the list is short and says what, not what not.

GET /media/<id>: the bytes that came with a message, or in words why they are not there.

The id is looked up, never used as a path; what a stranger called the file is only ever told to the browser.
"""

from __future__ import annotations

import asyncio
import math
import re
import unicodedata
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.i18n.web import server_text
from wx2mqtt.model import Blob
from wx2mqtt.store.records import MediaRow, MediaState
from wx2mqtt.web.file_response import (
    ByteRange,
    FileSpanResponse,
    RangeNotSatisfiable,
    WaitInterrupted,
    disconnected,
    is_not_modified,
    requested_range,
    run_unless,
)
from wx2mqtt.web.request import RequestContext, context_of

INLINE_TYPES = frozenset(
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


MAX_NAME_BYTES = 180  # of a file name; file systems take 255, with what browsers add


_SUFFIX_BYTES = 20


_MIME = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,80}", re.ASCII)


_FORBIDDEN = frozenset('/\\:*?"<>|')  # the slashes everywhere, the others on Windows


_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # with the marks that turn text around


def content_type(mime: str) -> str:
    """The type as a header can hold it."""
    return mime if _MIME.fullmatch(mime) else "application/octet-stream"


def content_disposition(mime: str, name: str) -> str:
    """The value of Content-Disposition (RFC 6266). `name` must have come out of `download_name`."""
    how = "inline" if mime in INLINE_TYPES else "attachment"
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


def download_name(declared_name: str, default: str) -> str:
    """The name under which to save a file: no path, nothing invisible, not too long; else `instead`."""
    marks = (
        "_" if mark in _FORBIDDEN else mark for mark in unicodedata.normalize("NFC", declared_name[:1000])
    )
    visible = "".join(mark for mark in marks if unicodedata.category(mark) not in _INVISIBLE)
    name = _short(re.sub(r"\.{2,}", ".", visible).strip(" ."))
    return name if name.strip("_ .") else default


def _short(name: str) -> str:
    """At most so many bytes, its ending kept."""
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > _SUFFIX_BYTES:
        stem, suffix = name, ""
    ending = f".{suffix}" if suffix else ""
    return _cut(stem, MAX_NAME_BYTES - len(ending.encode())).rstrip(" .") + ending


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode("utf-8", "ignore")


log = structlog.get_logger(__name__)


MEDIA_WAIT_TIMEOUT_SECONDS = 25.0  # seconds that a request waits for bytes that are under way


RETRY_AFTER_SECONDS = 5  # seconds after which a client may ask again, where nothing better is known


MAX_RETRY_AFTER_SECONDS = 300


_PLAYED = ("audio/", "video/")


_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


_WAIT = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)


_PREFERRED = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?([0-9.]{1,12})\"?\s*(?:$|[,;])", re.ASCII | re.IGNORECASE)


STATUS_BY_STATE = {
    MediaState.PENDING: HTTPStatus.SERVICE_UNAVAILABLE,
    MediaState.FAILED: HTTPStatus.BAD_GATEWAY,
    MediaState.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MediaState.GONE: HTTPStatus.GONE,
}


SANDBOX_POLICY = "default-src 'none'; sandbox"


PLAYER_POLICY = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'"
"""For sound and video: browsers play them in a page that they make themselves, and not in a sandbox."""


class MediaSource(Protocol):
    """Where the media of one account are (see `bridge/media/shelf.py`)."""

    async def find(self, media_id: str, wait: float) -> MediaRow | None:
        """The row of that id; waits so many seconds while it is pending. None: unknown."""
        ...

    def file(self, row: MediaRow) -> Path:
        """Where the bytes of a ready one are."""
        ...


class MediaEndpoint:
    """Answers for `/media/<id>`; once `closing` is set nobody waits any more."""

    def __init__(self, media_sources: Sequence[MediaSource], closing: asyncio.Event) -> None:
        self._media_sources = media_sources
        self._closing = closing

    async def handle(self, request: Request) -> Response:
        """One request, GET or HEAD."""
        visit, media_id = context_of(request.scope), request.path_params["id"]
        if not _ID.fullmatch(media_id):
            return _in_words(visit, HTTPStatus.NOT_FOUND, "unknown_media")
        finding = self._find(media_id, _patience(request))
        try:
            found = await run_unless(finding, disconnected(request.receive), self._closing.wait())
        except WaitInterrupted:  # who went away does not read this
            return _in_words(
                visit, HTTPStatus.SERVICE_UNAVAILABLE, "pending", why="", retry_after=RETRY_AFTER_SECONDS
            )
        except StoreError as trouble:
            log.warning("media cannot be looked up", problem=str(trouble))
            return _in_words(
                visit, HTTPStatus.SERVICE_UNAVAILABLE, "internal", retry_after=RETRY_AFTER_SECONDS
            )
        if found is None:
            return _in_words(visit, HTTPStatus.NOT_FOUND, "unknown_media")
        shelf, row = found
        if row.state is MediaState.READY and row.blob is not None:
            return _ready(request, row, row.blob, shelf.file(row))
        after = _after(row) if row.state is MediaState.PENDING else None
        return _in_words(visit, STATUS_BY_STATE[row.state], row.state, why=_why(row), retry_after=after)

    async def _find(self, media_id: str, wait: float) -> tuple[MediaSource, MediaRow] | None:
        for shelf in self._media_sources:
            if (row := await shelf.find(media_id, wait)) is not None:
                return shelf, row
        return None


def _ready(request: Request, row: MediaRow, blob: Blob, path: Path) -> Response:
    try:
        file = path.open("rb")
    except OSError:  # pruned a moment ago
        return _in_words(context_of(request.scope), HTTPStatus.GONE, "gone", why="")
    try:
        return _open(request, row, blob, file)
    except BaseException:
        file.close()
        raise


def _open(request: Request, row: MediaRow, stored_blob: Blob, file: BinaryIO) -> Response:
    """The answer, which closes the file; or one that needs none, and it is closed here."""
    size, etag = file.seek(0, 2), f'"{stored_blob.sha256}"'
    changed = (row.fetched or row.created) // 1000
    headers = _headers(row, stored_blob, etag, changed)
    if is_not_modified(request.headers, etag, changed):
        file.close()
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        span = requested_range(request.headers, size, etag, changed)
    except RangeNotSatisfiable:
        file.close()
        visit = context_of(request.scope)
        return _in_words(
            visit,
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "range",
            size=size,
            content_range=f"bytes */{size}",
        )
    if span is None:
        return FileSpanResponse(file, ByteRange(0, size), HTTPStatus.OK, headers)
    part = {"content-range": f"bytes {span.start}-{span.stop - 1}/{size}"}
    return FileSpanResponse(file, span, HTTPStatus.PARTIAL_CONTENT, {**headers, **part})


def _headers(row: MediaRow, blob: Blob, etag: str, changed: int) -> dict[str, str]:
    mime = content_type(blob.mime)
    name = download_name(row.ref.name, f"{row.kind}-{row.id}{Path(blob.path).suffix}")
    return {
        "content-type": mime,
        "content-disposition": content_disposition(mime, name),
        "content-security-policy": PLAYER_POLICY
        if mime in INLINE_TYPES and mime.startswith(_PLAYED)
        else SANDBOX_POLICY,
        "cache-control": "private, no-cache",  # asked for again each time: somebody may log out
        "accept-ranges": "bytes",
        "etag": etag,
        "last-modified": formatdate(changed, usegmt=True),
    }


def _patience(request: Request) -> float:
    """How long to wait; `?wait=` or `Prefer: wait=` (RFC 7240) may shorten it."""
    asked = request.query_params.get("wait", "")
    if not asked and (preferred := _PREFERRED.search(request.headers.get("prefer", ""))):
        asked = preferred[1]
    return (
        min(MEDIA_WAIT_TIMEOUT_SECONDS, float(asked))
        if _WAIT.fullmatch(asked)
        else MEDIA_WAIT_TIMEOUT_SECONDS
    )


def _why(row: MediaRow) -> str:
    return f" ({row.why})" if row.why else ""


def _after(row: MediaRow) -> int:
    if row.due is None:
        return RETRY_AFTER_SECONDS
    return max(1, min(MAX_RETRY_AFTER_SECONDS, math.ceil((row.due - now_ms()) / 1000)))


def _in_words(
    context: RequestContext,
    status: int,
    message_key: str,
    *,
    retry_after: int | None = None,
    content_range: str = "",
    **facts: object,
) -> Response:
    headers = {"cache-control": "no-store"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    if content_range:
        headers["content-range"] = content_range
    return PlainTextResponse(server_text(context.language, message_key, **facts) + "\n", status, headers)
