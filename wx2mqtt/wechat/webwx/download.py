"""Downloads: one try, passed on as the bytes come (webwx 2.16, 3.7). Nothing is kept in memory.

With status 200 WeChat also says that there are no bytes (yet), that they are gone, or that the login is
over.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from wx2mqtt.errors import BackendError, NoContentYet, Rejected
from wx2mqtt.model import MediaRef
from wx2mqtt.wechat import json_reader
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.json_reader import UnreadableJson
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.protocol import responses
from wx2mqtt.wechat.webwx.protocol.codes import RETRY_LATER_CODES, SESSION_ENDED, Ret
from wx2mqtt.wechat.webwx.protocol.content import MediaCall, parse_call
from wx2mqtt.wechat.webwx.protocol.media_requests import fetch_request
from wx2mqtt.wechat.webwx.protocol.requests import Request
from wx2mqtt.wechat.webwx.transport import StreamedAnswer

MAX_REFUSAL_BYTES = 64 << 10  # bytes; no refusal is longer
CALL_INDEPENDENT_CODES = SESSION_ENDED | RETRY_LATER_CODES | {Ret.TOO_OFTEN}

_BLANK = b"\xef\xbb\xbf \t\r\n"
_PAGE = re.compile(rb"\s*<(?:!doctype html|html|head|body|script)\b", re.IGNORECASE)
_PAGES = (".html", ".htm", ".xhtml", ".mht", ".mhtml")
_RANGE = re.compile(r"bytes 0-(\d{1,18})/(\d{1,18})", re.ASCII)


async def download(client: ApiClient, media: MediaRef) -> AsyncGenerator[bytes, None]:
    """As `Backend.download`."""
    call = parse_call(media.locator)
    if call is None or (call is MediaCall.FILE and not media.locator.get("mediaid")):
        raise Rejected(client.text("no_locator"), code="gone")
    session = client.session
    ticket = client.transport.cookies.value("webwx_data_ticket")
    request = fetch_request(client.site, session, call, media.locator, ticket)
    async with client.transport.stream(request) as answer:
        meaning = _DownloadCheck(client, request, call, answer, session.skey)
        meaning.check_status()
        async with aclosing(answer.iter_bytes()) as pieces:
            head = await anext(pieces, b"")
            if meaning.may_be_error_body(head):
                head = await _more(head, pieces)
                meaning.check_error_body(head, media.name)
            client.reset_throttle(request.endpoint)
            yield head
            async for piece in pieces:
                yield piece


async def _more(head: bytes, chunks: AsyncIterator[bytes]) -> bytes:
    """The beginning of an answer, until it is longer than a refusal would be."""
    while len(head) <= MAX_REFUSAL_BYTES and (piece := await anext(chunks, b"")):
        head += piece
    return head


class _DownloadCheck:
    """What one answer means: raises it, unless the answer brings what was asked for."""

    def __init__(
        self, client: ApiClient, request: Request, call: MediaCall, answer: StreamedAnswer, skey: str
    ) -> None:
        self._client = client
        self._endpoint = request.endpoint
        self._call = call
        self._answer = answer
        self._skey = skey

    def check_status(self) -> None:
        """Redirects are not followed: they lead to pages for people."""
        status = self._answer.status
        if status == 200 or (status == 206 and self._is_whole()):
            return
        # Files and avatars are there or not; of the rest the server may not have everything yet.
        there_or_not = self._call in {MediaCall.FILE, MediaCall.AVATAR, MediaCall.GROUP_AVATAR}
        if status == 410 or (status == 404 and there_or_not):
            raise self._gone_error()
        if status in {204, 404, 416}:
            raise self._no_content_error()
        raise BadAnswer(self._text("status", status=status))

    def may_be_error_body(self, head: bytes) -> bool:
        """Whether it begins like JSON or a page, and nothing says that it is a file."""
        if not head:
            raise self._no_content_error()
        attached = self._call is MediaCall.FILE and self._answer.header("Content-Disposition")
        return not attached and head.lstrip(_BLANK)[:1] in {b"{", b"<"}

    def check_error_body(self, head: bytes, name: str) -> None:
        """No picture and no recording begins like this; of files some do."""
        ret = _ret(head)
        if ret is None and self._call is MediaCall.FILE and not self._is_page(head, name):
            return
        if ret in CALL_INDEPENDENT_CODES:
            stale = self._answer.stale or self._skey != self._client.session.skey
            self._client.check_keys_current(ret, self._endpoint, stale=stale)
            raise self._client.error_for(ret, self._endpoint)
        raise self._gone_error()

    def _is_whole(self) -> bool:
        told = _RANGE.match(self._answer.header("Content-Range"))
        return told is None or int(told[1]) + 1 == int(told[2])

    def _is_page(self, head: bytes, name: str) -> bool:
        told = self._answer.header("Content-Type").lower().startswith("text/html")
        return told and not name.lower().endswith(_PAGES) and _PAGE.match(head.lstrip(_BLANK)) is not None

    def _gone_error(self) -> BackendError:
        return Rejected(self._text("gone"), code="gone")

    def _no_content_error(self) -> BackendError:
        return NoContentYet(self._text("nothing_yet"))

    def _text(self, message_key: str, **facts: object) -> str:
        return self._client.text(message_key, call=self._endpoint.name, **facts)


def _ret(head: bytes) -> int | None:
    """The Ret in an answer of WeChat; None where this is none."""
    try:
        return responses.read_ret(json_reader.parse_json(head))
    except UnreadableJson:
        return None
