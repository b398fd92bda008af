"""GET /media/<id>: the bytes that came with a message, or in words why they are not there.

The id is looked up, never used as a path; what a stranger called the file is only ever told to the browser.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Protocol

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob
from wx2mqtt.store.rows import MediaRow, MediaState
from wx2mqtt.web.disposition import SHOWN, content_type, disposition, file_name
from wx2mqtt.web.files import FileAnswer
from wx2mqtt.web.ranges import Span, Unsatisfiable, has_it, wanted
from wx2mqtt.web.visit import Visit, visit_of
from wx2mqtt.web.waiting import Interrupted, left, until
from wx2mqtt.web.words import say

log = structlog.get_logger(__name__)

PATIENCE = 25.0  # seconds that a request waits for bytes that are under way
AGAIN = 5  # seconds after which a client may ask again, where nothing better is known
LATEST = 300

_PLAYED = ("audio/", "video/")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_WAIT = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)
_PREFERRED = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?([0-9.]{1,12})\"?\s*(?:$|[,;])", re.ASCII | re.IGNORECASE)

STATUS = {
    MediaState.PENDING: HTTPStatus.SERVICE_UNAVAILABLE,
    MediaState.FAILED: HTTPStatus.BAD_GATEWAY,
    MediaState.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MediaState.GONE: HTTPStatus.GONE,
}

SANDBOX = "default-src 'none'; sandbox"
PLAYED = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'"
"""For sound and video: browsers play them in a page that they make themselves, and not in a sandbox."""


class Shelf(Protocol):
    """Where the media of one account are (see `bridge/media/shelf.py`)."""

    async def find(self, media_id: str, wait: float) -> MediaRow | None:
        """The row of that id; waits so many seconds while it is pending. None: unknown."""
        ...

    def file(self, row: MediaRow) -> Path:
        """Where the bytes of a ready one are."""
        ...


class Media:
    """Answers for `/media/<id>`; once `closing` is set nobody waits any more."""

    def __init__(self, shelves: Sequence[Shelf], closing: asyncio.Event) -> None:
        self._shelves = shelves
        self._closing = closing

    async def answer(self, request: Request) -> Response:
        """One request, GET or HEAD."""
        visit, media_id = visit_of(request.scope), request.path_params["id"]
        if not _ID.fullmatch(media_id):
            return _in_words(visit, HTTPStatus.NOT_FOUND, "unknown_media")
        finding = self._find(media_id, _patience(request))
        try:
            found = await until(finding, left(request.receive), self._closing.wait())
        except Interrupted:  # who went away does not read this
            return _in_words(visit, HTTPStatus.SERVICE_UNAVAILABLE, "pending", why="", after=AGAIN)
        except StoreError as trouble:
            log.warning("media cannot be looked up", problem=str(trouble))
            return _in_words(visit, HTTPStatus.SERVICE_UNAVAILABLE, "internal", after=AGAIN)
        if found is None:
            return _in_words(visit, HTTPStatus.NOT_FOUND, "unknown_media")
        shelf, row = found
        if row.state is MediaState.READY and row.blob is not None:
            return _ready(request, row, row.blob, shelf.file(row))
        after = _after(row) if row.state is MediaState.PENDING else None
        return _in_words(visit, STATUS[row.state], row.state, why=_why(row), after=after)

    async def _find(self, media_id: str, wait: float) -> tuple[Shelf, MediaRow] | None:
        for shelf in self._shelves:
            if (row := await shelf.find(media_id, wait)) is not None:
                return shelf, row
        return None


def _ready(request: Request, row: MediaRow, blob: Blob, path: Path) -> Response:
    try:
        file = path.open("rb")
    except OSError:  # pruned a moment ago
        return _in_words(visit_of(request.scope), HTTPStatus.GONE, "gone", why="")
    try:
        return _open(request, row, blob, file)
    except BaseException:
        file.close()
        raise


def _open(request: Request, row: MediaRow, blob: Blob, file: BinaryIO) -> Response:
    """The answer, which closes the file; or one that needs none, and it is closed here."""
    size, etag = file.seek(0, 2), f'"{blob.sha256}"'
    changed = (row.fetched or row.created) // 1000
    headers = _headers(row, blob, etag, changed)
    if has_it(request.headers, etag, changed):
        file.close()
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        span = wanted(request.headers, size, etag, changed)
    except Unsatisfiable:
        file.close()
        visit = visit_of(request.scope)
        return _in_words(
            visit, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "range", size=size, of=f"bytes */{size}"
        )
    if span is None:
        return FileAnswer(file, Span(0, size), HTTPStatus.OK, headers)
    part = {"content-range": f"bytes {span.start}-{span.stop - 1}/{size}"}
    return FileAnswer(file, span, HTTPStatus.PARTIAL_CONTENT, {**headers, **part})


def _headers(row: MediaRow, blob: Blob, etag: str, changed: int) -> dict[str, str]:
    mime = content_type(blob.mime)
    name = file_name(row.ref.name, f"{row.kind}-{row.id}{Path(blob.path).suffix}")
    return {
        "content-type": mime,
        "content-disposition": disposition(mime, name),
        "content-security-policy": PLAYED if mime in SHOWN and mime.startswith(_PLAYED) else SANDBOX,
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
    return min(PATIENCE, float(asked)) if _WAIT.fullmatch(asked) else PATIENCE


def _why(row: MediaRow) -> str:
    return f" ({row.why})" if row.why else ""


def _after(row: MediaRow) -> int:
    if row.due is None:
        return AGAIN
    return max(1, min(LATEST, math.ceil((row.due - now_ms()) / 1000)))


def _in_words(
    visit: Visit, status: int, word: str, *, after: int | None = None, of: str = "", **facts: object
) -> Response:
    headers = {"cache-control": "no-store"}
    if after is not None:
        headers["retry-after"] = str(after)
    if of:
        headers["content-range"] = of
    return PlainTextResponse(say(visit.language, word, **facts) + "\n", status, headers)
