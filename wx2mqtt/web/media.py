"""GET /media/<id>: the file that came with a message, or a sentence that says why there is none.

The id is looked up and never used as a path. The name that the sender gave the file is only sent on.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import structlog
from starlette.requests import Request
from starlette.responses import Response

from wx2mqtt.bridge.media.library import MediaLibrary
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob
from wx2mqtt.store.files import open_to_read
from wx2mqtt.store.records import MediaRow, MediaState
from wx2mqtt.web.file_response import (
    INLINE_TYPES,
    ByteRange,
    FileRangeResponse,
    RangeNotSatisfiable,
    content_disposition,
    content_type,
    download_name,
    is_not_modified,
    requested_range,
)
from wx2mqtt.web.request import context_of
from wx2mqtt.web.responses import WaitInterrupted, disconnected, run_unless, text_response

log = structlog.get_logger(__name__)

MEDIA_WAIT_TIMEOUT_SECONDS = 25.0  # for which a request waits for a file that is being downloaded
RETRY_AFTER_SECONDS = 5  # where nothing better is known
MAX_RETRY_AFTER_SECONDS = 300

STATUS_BY_STATE = {
    MediaState.PENDING: HTTPStatus.SERVICE_UNAVAILABLE,
    MediaState.FAILED: HTTPStatus.BAD_GATEWAY,
    MediaState.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MediaState.GONE: HTTPStatus.GONE,
}

SANDBOX_POLICY = "default-src 'none'; sandbox"

PLAYER_POLICY = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'"
"""For sound and video: a browser plays them in a page that it makes itself, which fails in a sandbox."""

_PLAYER_TYPES = ("audio/", "video/")

_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_WAIT_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)
_PREFER_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?([0-9.]{1,12})\"?\s*(?:$|[,;])", re.ASCII | re.IGNORECASE)


class MediaEndpoint:
    """The endpoint /media/<id>. When `closing` is set, requests stop to wait."""

    def __init__(self, media_sources: Sequence[MediaLibrary], closing: asyncio.Event) -> None:
        self._media_sources = media_sources
        self._closing = closing

    async def handle(self, request: Request) -> Response:
        context = context_of(request.scope)
        media_id = request.path_params["id"]
        if not _MEDIA_ID.fullmatch(media_id):
            return text_response(context, HTTPStatus.NOT_FOUND, "unknown_media")
        search = self._find(media_id, _requested_wait(request))
        try:
            match = await run_unless(search, disconnected(request.receive), self._closing.wait())
        except WaitInterrupted:  # a client that has disconnected does not read this
            retry = _retry_after(RETRY_AFTER_SECONDS)
            return text_response(context, HTTPStatus.SERVICE_UNAVAILABLE, "pending", retry, why="")
        except StoreError as error:
            log.warning("media cannot be looked up", problem=str(error))
            retry = _retry_after(RETRY_AFTER_SECONDS)
            return text_response(context, HTTPStatus.SERVICE_UNAVAILABLE, "internal", retry)
        if match is None:
            return text_response(context, HTTPStatus.NOT_FOUND, "unknown_media")
        source, row = match
        if row.state is MediaState.READY and row.blob is not None:
            return _open_file(request, row, row.blob, source.file(row))
        return _unavailable_response(request, row)

    async def _find(self, media_id: str, wait: float) -> tuple[MediaLibrary, MediaRow] | None:
        for source in self._media_sources:
            if (row := await source.find(media_id, wait)) is not None:
                return source, row
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
    reason = f" ({row.reason})" if row.reason else ""
    headers: dict[str, str] = {}
    if row.state is MediaState.PENDING:
        seconds = RETRY_AFTER_SECONDS
        if row.due is not None:
            seconds = max(1, min(MAX_RETRY_AFTER_SECONDS, math.ceil((row.due - now_ms()) / 1000)))
        headers = _retry_after(seconds)
    return text_response(
        context_of(request.scope), STATUS_BY_STATE[row.state], str(row.state), headers, why=reason
    )


def _retry_after(seconds: int) -> dict[str, str]:
    return {"retry-after": str(seconds)}


def _open_file(request: Request, row: MediaRow, blob: Blob, path: Path) -> Response:
    try:
        file = open_to_read(path)
    except OSError:  # pruned since the row was read
        return text_response(context_of(request.scope), HTTPStatus.GONE, "gone", why="")
    try:
        return _file_response(request, row, blob, file)
    except BaseException:
        file.close()
        raise


def _file_response(request: Request, row: MediaRow, blob: Blob, file: BinaryIO) -> Response:
    """Returns the response that sends and closes the file; closes it here if the response needs no bytes."""
    size = file.seek(0, 2)
    etag = f'"{blob.sha256}"'
    modified = (row.fetched or row.created) // 1000
    headers = _file_headers(row, blob, etag, modified)
    if is_not_modified(request.headers, etag, modified):
        file.close()
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        byte_range = requested_range(request.headers, size, etag, modified)
    except RangeNotSatisfiable:
        file.close()
        return text_response(
            context_of(request.scope),
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "range",
            {"content-range": f"bytes */{size}"},
            size=size,
        )
    if byte_range is None:
        return FileRangeResponse(file, ByteRange(0, size), HTTPStatus.OK, headers)
    content_range = f"bytes {byte_range.start}-{byte_range.stop - 1}/{size}"
    return FileRangeResponse(
        file, byte_range, HTTPStatus.PARTIAL_CONTENT, {**headers, "content-range": content_range}
    )


def _file_headers(row: MediaRow, blob: Blob, etag: str, modified: int) -> dict[str, str]:
    mime = content_type(blob.mime)
    name = download_name(row.ref.name, f"{row.kind}-{row.id}{Path(blob.path).suffix}")
    is_played = mime in INLINE_TYPES and mime.startswith(_PLAYER_TYPES)
    return {
        "content-type": mime,
        "content-disposition": content_disposition(mime, name),
        "content-security-policy": PLAYER_POLICY if is_played else SANDBOX_POLICY,
        "cache-control": "private, no-cache",  # revalidated each time: the person may have logged out since
        "accept-ranges": "bytes",
        "etag": etag,
        "last-modified": formatdate(modified, usegmt=True),
    }
