"""GET /media/<id>: the file that came with a message, or a sentence that says why there is none.

    200, 206, 304, 416    the file is stored
    503                   it is still being downloaded, after a wait
    410, 413, 502         it is gone, too large, or could not be downloaded
    404                   no account has a file with this id

The id is looked up and never used as a path. `media_ranges.py` finds the bytes that the client wants and
sends them; `media_headers.py` makes the headers for the type and the name.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

import structlog
from starlette.requests import Request
from starlette.responses import Response

from wx2mqtt.bridge.media.stored_media import MediaLibrary
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob
from wx2mqtt.store.atomic_files import open_to_read
from wx2mqtt.store.records import MediaRow, MediaState
from wx2mqtt.web.media_headers import file_headers
from wx2mqtt.web.media_ranges import (
    FileRangeResponse,
    RangeNotSatisfiable,
    is_not_modified,
    requested_range,
)
from wx2mqtt.web.request_context import context_of
from wx2mqtt.web.responses import WaitInterrupted, disconnected, run_unless, text_response

log = structlog.get_logger(__name__)

# A request waits so long for a file that is being downloaded.
MEDIA_WAIT_TIMEOUT_SECONDS = 25.0

# A client is told to come again after this time, where the time of the next attempt to download is not known.
RETRY_AFTER_SECONDS = 5
MAX_RETRY_AFTER_SECONDS = 300

STATUS_BY_STATE = {
    MediaState.PENDING: HTTPStatus.SERVICE_UNAVAILABLE,
    MediaState.FAILED: HTTPStatus.BAD_GATEWAY,
    MediaState.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MediaState.GONE: HTTPStatus.GONE,
}

_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class MediaEndpoint:
    """The endpoint /media/<id>. When `closing` is set, requests no longer wait."""

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


# ?wait=2.5, and Prefer: respond-async, wait=2.5
_WAIT_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)
_PREFER_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?([0-9.]{1,12})\"?\s*(?:$|[,;])", re.ASCII | re.IGNORECASE)


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


def _file_response(request: Request, row: MediaRow, blob: Blob, path: Path) -> Response:
    """Returns the answer for a stored file:

    - 410 where it was deleted since the row was read;
    - 304 where the client has it already;
    - 416 where it has no byte of the requested range;
    - else the requested range of it, or the whole file.
    """
    context = context_of(request.scope)
    etag = f'"{blob.sha256}"'
    modified = (row.fetched or row.created) // 1000
    headers = file_headers(row, blob, etag, modified)
    try:
        file = open_to_read(path)
    except OSError:
        return text_response(context, HTTPStatus.GONE, "gone", why="")
    with ExitStack() as stack:
        stack.callback(file.close)
        if is_not_modified(request.headers, etag, modified):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        size = file.seek(0, 2)
        try:
            byte_range = requested_range(request.headers, size, etag, modified)
        except RangeNotSatisfiable:
            whole = {"content-range": f"bytes */{size}"}
            return text_response(
                context, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "range", whole, size=size
            )
        if byte_range is None:
            status, byte_range = HTTPStatus.OK, range(size)
        else:
            status = HTTPStatus.PARTIAL_CONTENT
            headers["content-range"] = f"bytes {byte_range.start}-{byte_range.stop - 1}/{size}"
        response = FileRangeResponse(file, byte_range, status, headers)
        stack.pop_all()  # from here on the response closes the file
        return response
