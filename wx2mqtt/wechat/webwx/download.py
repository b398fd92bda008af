"""Downloads media in one attempt and yields the bytes as they arrive (webwx 2.16, 3.7).

An answer with status 200 may also be an error: no bytes yet, bytes that are gone, or a login that has ended.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from wx2mqtt.errors import NoContentYet, Rejected
from wx2mqtt.model import MediaRef
from wx2mqtt.wechat import json_reader
from wx2mqtt.wechat.http_client import BadAnswer
from wx2mqtt.wechat.json_reader import UnreadableJson
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.protocol import responses
from wx2mqtt.wechat.webwx.protocol.codes import RETRY_LATER_CODES, SESSION_ENDED, Ret
from wx2mqtt.wechat.webwx.protocol.content import MediaCall, parse_call
from wx2mqtt.wechat.webwx.protocol.media_requests import fetch_request
from wx2mqtt.wechat.webwx.protocol.requests import Request
from wx2mqtt.wechat.webwx.webwx_http import StreamedAnswer

# A longer body is no error.
MAX_ERROR_BODY_BYTES = 64 << 10

# Values of `Ret` that concern the login or the rate of calls, and not the requested media.
CALL_INDEPENDENT_CODES = SESSION_ENDED | RETRY_LATER_CODES | {Ret.TOO_OFTEN}

_BLANK = b"\xef\xbb\xbf \t\r\n"
_HTML = re.compile(rb"\s*<(?:!doctype html|html|head|body|script)\b", re.IGNORECASE)
_HTML_EXTENSIONS = (".html", ".htm", ".xhtml", ".mht", ".mhtml")
_RANGE = re.compile(r"bytes 0-(\d{1,18})/(\d{1,18})", re.ASCII)


async def download(client: ApiClient, media: MediaRef) -> AsyncGenerator[bytes, None]:
    """Yields the file of a message in chunks (`Backend.download`).

    1. The status says whether there may be a file.
    2. A body that begins like JSON or a web page is read on, since it may be an error.
    3. Everything else is the file.
    """
    call = parse_call(media.locator)
    if call is None or (call is MediaCall.FILE and not media.locator.get("mediaid")):
        raise Rejected(client.text("no_locator"), code="gone")
    session = client.session
    ticket = client.http.cookies.value("webwx_data_ticket")
    request = fetch_request(client.profile, session, call, media.locator, ticket)
    async with client.http.stream(request) as answer:
        check = _DownloadCheck(client, request, call, answer, session.skey)
        check.check_status()
        async with aclosing(answer.iter_bytes()) as pieces:
            head = await anext(pieces, b"")
            if not head:
                raise check.no_content_error()
            is_attachment = call is MediaCall.FILE and answer.header("Content-Disposition")
            if not is_attachment and head.lstrip(_BLANK)[:1] in {b"{", b"<"}:
                head = await _read_error_body(head, pieces)
                check.check_error_body(head, media.name)
            client.reset_throttle(request.endpoint)
            yield head
            async for piece in pieces:
                yield piece


async def _read_error_body(head: bytes, pieces: AsyncIterator[bytes]) -> bytes:
    """Reads on until the end of the body, or until it is too long for an error."""
    while len(head) <= MAX_ERROR_BODY_BYTES and (piece := await anext(pieces, b"")):
        head += piece
    return head


class _DownloadCheck:
    """Checks one answer, and raises an error unless it holds the requested bytes."""

    def __init__(
        self, client: ApiClient, request: Request, call: MediaCall, answer: StreamedAnswer, skey: str
    ) -> None:
        self._client = client
        self._endpoint = request.endpoint
        self._call = call
        self._answer = answer
        self._skey = skey

    def check_status(self) -> None:
        """Raises the error for a status without content, which includes redirects: they lead to web pages."""
        status = self._answer.status
        content_range = _RANGE.match(self._answer.header("Content-Range"))
        is_whole = content_range is None or int(content_range[1]) + 1 == int(content_range[2])
        if status == 200 or (status == 206 and is_whole):
            return
        # Other media may follow later; a missing file or avatar never does.
        is_final = self._call in {MediaCall.FILE, MediaCall.AVATAR, MediaCall.GROUP_AVATAR}
        if status == 410 or (status == 404 and is_final):
            raise Rejected(self._text("gone"), code="gone")
        if status in {204, 404, 416}:
            raise self.no_content_error()
        raise BadAnswer(self._text("status", status=status))

    def check_error_body(self, head: bytes, name: str) -> None:
        """Raises the error in a body that begins like JSON or HTML, unless it is the content of a file."""
        ret = _ret(head)
        if ret is None and self._call is MediaCall.FILE and not self._is_page(head, name):
            return
        if ret in CALL_INDEPENDENT_CODES:
            stale = self._answer.stale or self._skey != self._client.session.skey
            self._client.check_keys_current(ret, self._endpoint, stale=stale)
            raise self._client.error_for(ret, self._endpoint)
        raise Rejected(self._text("gone"), code="gone")

    def _is_page(self, head: bytes, name: str) -> bool:
        if not self._answer.header("Content-Type").lower().startswith("text/html"):
            return False
        return not name.lower().endswith(_HTML_EXTENSIONS) and _HTML.match(head.lstrip(_BLANK)) is not None

    def no_content_error(self) -> NoContentYet:
        """Returns the error for bytes that WeChat does not have (yet)."""
        return NoContentYet(self._text("nothing_yet"))

    def _text(self, message_key: str, **facts: object) -> str:
        return self._client.text(message_key, call=self._endpoint.name, **facts)


def _ret(head: bytes) -> int | None:
    """Returns the `Ret` in a JSON answer, or None for any other body."""
    try:
        return responses.read_ret(json_reader.parse_json(head))
    except UnreadableJson:
        return None
