"""Downloads media in one attempt and yields the bytes as they arrive (webwx 2.16, 3.7).

An answer with status 200 may also be an error: no bytes yet, bytes that are gone, or a login that has ended.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import partial

from wx2mqtt.errors import NoContentYet, Rejected
from wx2mqtt.model import MediaRef
from wx2mqtt.wechat import json_reader
from wx2mqtt.wechat.http_client import BadAnswer, StreamedResponse
from wx2mqtt.wechat.json_reader import UnreadableJson
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.protocol import responses
from wx2mqtt.wechat.webwx.protocol.codes import RETRY_LATER_CODES, SESSION_ENDED, Ret
from wx2mqtt.wechat.webwx.protocol.endpoints import Endpoint
from wx2mqtt.wechat.webwx.protocol.locators import MediaCall, fetch_request, parse_call

# A body that is longer is no error.
MAX_ERROR_BODY_BYTES = 64 << 10

# Values of `Ret` that concern the login or the rate of calls, and not the requested media.
CALL_INDEPENDENT_CODES = SESSION_ENDED | RETRY_LATER_CODES | {Ret.TOO_OFTEN}

# What may precede JSON or a web page: a byte order mark and white space.
_BLANK = b"\xef\xbb\xbf \t\r\n"


async def download(client: ApiClient, media: MediaRef) -> AsyncGenerator[bytes, None]:
    """Yields the file of a message in chunks (`Backend.download`).

    1. The status says whether there may be a file.
    2. A body that begins like JSON or a web page is read on, since it may be an error: of the login or of the
       rate of calls, or about bytes that are gone. Only a file may begin so, too.
    3. Everything else is the file.
    """
    call = parse_call(media.locator)
    if call is None or (call is MediaCall.FILE and not media.locator.get("mediaid")):
        raise Rejected(client.text("no_locator"), code="gone")
    session = client.session
    ticket = client.http.cookies.value("webwx_data_ticket")
    request = fetch_request(session, call, media.locator, ticket)
    text = partial(client.text, call=request.endpoint.name)
    async with client.http.stream(request) as (answer, cookies_renewed):
        _check_status(answer, call, text)
        async with aclosing(answer.iter_bytes()) as pieces:
            head = await anext(pieces, b"")
            if not head:
                raise NoContentYet(text("nothing_yet"))
            if _may_be_error(answer, call, head):
                head = await _read_error_body(head, pieces)
                keys_renewed = cookies_renewed or session.skey != client.session.skey
                _check_login(client, request.endpoint, head, keys_renewed=keys_renewed)
                may_be_file = call is MediaCall.FILE and _ret(head) is None
                if not may_be_file or _is_page(answer, head, media.name):
                    raise Rejected(text("gone"), code="gone")
            client.observe_ret(Ret.OK, request.endpoint, keys_renewed=cookies_renewed)
            yield head
            async for piece in pieces:
                yield piece


def _may_be_error(answer: StreamedResponse, call: MediaCall, head: bytes) -> bool:
    """Returns whether a body begins like JSON or a web page; an attachment with its header is none."""
    is_attachment = call is MediaCall.FILE and answer.header("Content-Disposition")
    return not is_attachment and head.lstrip(_BLANK)[:1] in {b"{", b"<"}


def _check_login(client: ApiClient, endpoint: Endpoint, body: bytes, *, keys_renewed: bool) -> None:
    """Raises the error for a body that says something about the login or the rate of calls."""
    ret = _ret(body)
    if ret in CALL_INDEPENDENT_CODES:
        client.observe_ret(ret, endpoint, keys_renewed=keys_renewed)
        raise client.error_for(ret, endpoint)


# `bytes 0-4710/4711`: the first bytes of a file, and its size.
_RANGE = re.compile(r"bytes 0-(\d{1,18})/(\d{1,18})", re.ASCII)


def _check_status(answer: StreamedResponse, call: MediaCall, text: Callable[..., str]) -> None:
    """Raises the error for a status without content, which includes redirects: they lead to web pages."""
    status = answer.status
    content_range = _RANGE.match(answer.header("Content-Range"))
    is_whole = content_range is None or int(content_range[1]) + 1 == int(content_range[2])
    if status == 200 or (status == 206 and is_whole):
        return
    # Other media may follow later; a missing file or avatar never does.
    is_final = call in {MediaCall.FILE, MediaCall.AVATAR, MediaCall.GROUP_AVATAR}
    if status == 410 or (status == 404 and is_final):
        raise Rejected(text("gone"), code="gone")
    if status in {204, 404, 416}:
        raise NoContentYet(text("nothing_yet"))
    raise BadAnswer(text("status", status=status))


async def _read_error_body(head: bytes, pieces: AsyncIterator[bytes]) -> bytes:
    """Reads on until the end of the body, or until it is too long for an error."""
    while len(head) <= MAX_ERROR_BODY_BYTES and (piece := await anext(pieces, b"")):
        head += piece
    return head


_HTML = re.compile(rb"\s*<(?:!doctype html|html|head|body|script)\b", re.IGNORECASE)
_HTML_EXTENSIONS = (".html", ".htm", ".xhtml", ".mht", ".mhtml")


def _is_page(answer: StreamedResponse, head: bytes, name: str) -> bool:
    """Returns whether a web page came in place of a file with this name."""
    is_html = answer.header("Content-Type").lower().startswith("text/html")
    if not is_html or name.lower().endswith(_HTML_EXTENSIONS):
        return False
    return _HTML.match(head.lstrip(_BLANK)) is not None


def _ret(head: bytes) -> int | None:
    """Returns the `Ret` in a JSON answer, or None for any other body."""
    try:
        return responses.read_ret(json_reader.parse_json(head))
    except UnreadableJson:
        return None
