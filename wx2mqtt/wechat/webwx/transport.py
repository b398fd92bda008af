"""A request goes out to web WeChat, a whole answer comes back, or an error that says what to do.

Keeps the cookies; all else of HTTP is in `http`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from wx2mqtt.wechat.http import BadAnswer, Line, Observe, Response, date_of
from wx2mqtt.wechat.timing import Timing
from wx2mqtt.wechat.webwx.cookies import Cookies
from wx2mqtt.wechat.webwx.endpoints import USER_AGENT, Endpoint, host_of
from wx2mqtt.wechat.webwx.requests import Request
from wx2mqtt.wechat.webwx.words import say
from wx2mqtt.words import Language

HEADERS = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json, text/plain, */*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Answer:
    """A complete answer. `stale`: other answers renewed the cookies while this one was under way."""

    status: int
    body: bytes = field(repr=False)
    stale: bool = False


class Stream:
    """An answer that is under way. `stale` as in `Answer`."""

    def __init__(self, response: Response, silence: float, *, stale: bool) -> None:
        self.status = response.status
        self.stale = stale
        self._response = response
        self._silence = silence

    def header(self, name: str) -> str:
        """A header's value, stripped; empty where there is none."""
        return self._response.header(name)

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes as they come, none of them empty; a body cut short is an error. To be asked once."""
        return self._response.pieces(self._silence)


class Transport:
    """The connections of one account. `cookies` are renewed by every answer."""

    def __init__(
        self,
        *,
        endpoint: str | None,
        language: Language,
        timing: Timing,
        observe: Observe,
        timeouts: Mapping[str, float],
        door: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.cookies = Cookies.none(anywhere=endpoint is not None)
        self._language = language
        self._timing = timing
        self._timeouts = timeouts
        self._line = Line(
            endpoint=endpoint,
            headers=HEADERS,
            timing=timing,
            observe=observe,
            say=lambda word, call: say(language, word, call=call),
            door=door,
        )

    async def call(self, request: Request) -> Answer:
        """Make one exchange. Raises `Unreachable`, or `OutcomeUnknown` where it may have been delivered."""
        with self._line.observed(request.endpoint) as seen:
            answer = await self._exchange(request)
            seen.outcome = str(answer.status)
            return self._accepted(request.endpoint, answer)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        """An answer, whatever its status, whose bytes are then taken piece by piece. Raises as `call` does.

        The endpoint's timeout is the longest silence; a whole answer may take as long as it likes.
        """
        limit = self._limit(request.endpoint)
        with self._line.observed(request.endpoint) as seen:
            before = self.cookies
            async with self._opened(request, limit) as response:
                seen.outcome = str(response.status)
                stale = self.cookies != before
                self._take_cookies(request, response)
                yield Stream(response, limit, stale=stale)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._line.close()

    def _limit(self, endpoint: Endpoint) -> float:
        return self._timeouts.get(endpoint.name, endpoint.timeout)

    async def _exchange(self, request: Request) -> Answer:
        limit = self._limit(request.endpoint)
        # The whole exchange is bounded too: a server that drips one byte a second must not hold it for ever.
        async with asyncio.timeout(limit):
            before = self.cookies
            async with self._opened(request, limit) as response:
                stale = self.cookies != before
                self._take_cookies(request, response)
                body = await response.whole(request.endpoint.limit)
                return Answer(status=response.status, body=body, stale=stale)

    @asynccontextmanager
    async def _opened(self, request: Request, limit: float) -> AsyncIterator[Response]:
        cookies = self.cookies.for_host(host_of(request.url)) | dict(request.cookies)
        headers = dict(request.headers)
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        async with self._line.opened(request.url, headers, request.body, limit) as response:
            yield response

    def _take_cookies(self, request: Request, response: Response) -> None:
        lines = response.headers("set-cookie")
        if lines:
            now = date_of(response.header("date")) or self._timing.wall()
            self.cookies = self.cookies.after(host_of(request.url), lines, now)

    def _accepted(self, endpoint: Endpoint, answer: Answer) -> Answer:
        """2xx, and redirects where the protocol has them; the rest did nothing and may be tried later."""
        if 200 <= answer.status < 300 or (endpoint.redirects and answer.status < 400):
            return answer
        raise BadAnswer(say(self._language, "status", status=answer.status, call=endpoint.name))
