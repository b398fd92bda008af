"""Fetching bytes, once, as they come: what each answer means (webwx 2.16, 3.7). Nothing is kept in memory.

With status 200 WeChat also says that there are none (yet), that they are gone, and that the login is over.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from wx2mqtt.errors import GatewayError, NothingYet, Rejected
from wx2mqtt.model import MediaRef
from wx2mqtt.wechat import answers
from wx2mqtt.wechat.answers import Unreadable
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.webwx import responses
from wx2mqtt.wechat.webwx.channel import Channel
from wx2mqtt.wechat.webwx.codes import LATER, SESSION_ENDED, Ret
from wx2mqtt.wechat.webwx.locators import Call, call_of
from wx2mqtt.wechat.webwx.media_requests import fetch
from wx2mqtt.wechat.webwx.requests import Request
from wx2mqtt.wechat.webwx.transport import Stream

WORDS = 64 << 10  # bytes; no refusal is longer
ABOUT_ALL_CALLS = SESSION_ENDED | LATER | {Ret.TOO_OFTEN}

_BLANK = b"\xef\xbb\xbf \t\r\n"
_PAGE = re.compile(rb"\s*<(?:!doctype html|html|head|body|script)\b", re.IGNORECASE)
_PAGES = (".html", ".htm", ".xhtml", ".mht", ".mhtml")
_RANGE = re.compile(r"bytes 0-(\d{1,18})/(\d{1,18})", re.ASCII)


async def download(channel: Channel, media: MediaRef) -> AsyncGenerator[bytes, None]:
    """As `Gateway.download`."""
    call = call_of(media.locator)
    if call is None:
        raise Rejected(channel.words("no_locator"), code="gone")
    session = channel.session
    ticket = channel.transport.cookies.value("webwx_data_ticket")
    request = fetch(channel.site, session, call, media.locator, ticket)
    async with channel.transport.stream(request) as answer:
        meaning = _Meaning(channel, request, call, answer, session.skey)
        meaning.of_status()
        async with aclosing(answer.pieces()) as pieces:
            head = await anext(pieces, b"")
            if meaning.may_be_words(head):
                head = await _more(head, pieces)
                meaning.of_words(head, media.name)
            channel.eased(request.endpoint)
            yield head
            async for piece in pieces:
                yield piece


async def _more(head: bytes, pieces: AsyncIterator[bytes]) -> bytes:
    """The beginning of an answer, until it is longer than a refusal would be."""
    while len(head) <= WORDS and (piece := await anext(pieces, b"")):
        head += piece
    return head


class _Meaning:
    """What one answer means: raises it, unless the answer brings what was asked for."""

    def __init__(self, channel: Channel, request: Request, call: Call, answer: Stream, skey: str) -> None:
        self._channel = channel
        self._endpoint = request.endpoint
        self._call = call
        self._answer = answer
        self._skey = skey

    def of_status(self) -> None:
        """Redirects are not followed: they lead to pages for people."""
        status = self._answer.status
        if status == 200 or (status == 206 and self._is_whole()):
            return
        # Files and avatars are there or not; of the rest the server may not have everything yet.
        there_or_not = self._call in {Call.FILE, Call.AVATAR, Call.GROUP_AVATAR}
        if status == 410 or (status == 404 and there_or_not):
            raise self._gone()
        if status in {204, 404, 416}:
            raise self._nothing()
        raise BadAnswer(self._say("status", status=status))

    def may_be_words(self, head: bytes) -> bool:
        """Whether it begins like JSON or a page, and nothing says that it is a file."""
        if not head:
            raise self._nothing()
        attached = self._call is Call.FILE and self._answer.header("Content-Disposition")
        return not attached and head.lstrip(_BLANK)[:1] in {b"{", b"<"}

    def of_words(self, head: bytes, name: str) -> None:
        """No picture and no recording begins like this; of files some do."""
        ret = _ret(head)
        if ret is None and self._call is Call.FILE and not self._is_page(head, name):
            return
        if ret in ABOUT_ALL_CALLS:
            stale = self._answer.stale or self._skey != self._channel.session.skey
            self._channel.must_be_current(ret, self._endpoint, stale=stale)
            raise self._channel.refusal(ret, self._endpoint)
        raise self._gone()

    def _is_whole(self) -> bool:
        told = _RANGE.match(self._answer.header("Content-Range"))
        return told is None or int(told[1]) + 1 == int(told[2])

    def _is_page(self, head: bytes, name: str) -> bool:
        told = self._answer.header("Content-Type").lower().startswith("text/html")
        return told and not name.lower().endswith(_PAGES) and _PAGE.match(head.lstrip(_BLANK)) is not None

    def _gone(self) -> GatewayError:
        return Rejected(self._say("gone"), code="gone")

    def _nothing(self) -> GatewayError:
        return NothingYet(self._say("nothing_yet"))

    def _say(self, word: str, **facts: object) -> str:
        return self._channel.words(word, call=self._endpoint.name, **facts)


def _ret(head: bytes) -> int | None:
    """The Ret in an answer of WeChat; None where this is none."""
    try:
        return responses.ret_of(answers.parsed(head))
    except Unreadable:
        return None
