"""`WebWxHttp`: sends requests to web WeChat, returns whole answers, and keeps the cookies."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import field

import httpx

from wx2mqtt.clock import parse_http_date
from wx2mqtt.i18n.wechat import webwx_text
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import BackendOptions
from wx2mqtt.wechat.http_client import BadAnswer, HttpClient, StreamedResponse, TimeLimits
from wx2mqtt.wechat.webwx.protocol.endpoints import WEBWX_HEADERS, Endpoint, host_of
from wx2mqtt.wechat.webwx.protocol.requests import Request
from wx2mqtt.wechat.webwx.protocol.session import Cookies


@frozen(repr=False)
class HttpAnswer:
    """A complete answer. `stale`: another answer renewed the cookies during this exchange."""

    status: int
    body: bytes = field(repr=False)
    stale: bool = False


class StreamedAnswer:
    """An answer whose body is still being received. `stale` as in `HttpAnswer`."""

    def __init__(self, response: StreamedResponse, *, stale: bool) -> None:
        self.status = response.status
        self.stale = stale
        self._response = response

    def header(self, name: str) -> str:
        """Returns the value of a header, stripped; empty when there is none."""
        return self._response.header(name)

    def iter_bytes(self) -> AsyncGenerator[bytes, None]:
        """Yields non-empty pieces of the body, once. Raises an error for a body that is cut short."""
        return self._response.iter_bytes()


class WebWxHttp:
    """The calls of one account. `cookies` are those of the current login; its answers renew them.

    For tests: `timeouts` replace those of `protocol/endpoints.py`, in seconds by the name of the call;
    `transport` replaces the network.
    """

    def __init__(
        self,
        options: BackendOptions,
        *,
        timeouts: Mapping[str, float] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.cookies = Cookies.empty(any_host=options.endpoint is not None)
        self._login_number = 0
        self.language = options.language
        self._clock = options.clock
        self._timeouts = timeouts or {}
        self._http = HttpClient(options, WEBWX_HEADERS, self._failure_text, transport)

    def start_login(self, cookies: Cookies) -> None:
        """Replaces the cookies by those of another login, which answers to earlier calls do not renew."""
        self._login_number += 1
        self.cookies = cookies

    async def call(self, request: Request) -> HttpAnswer:
        """Makes one exchange. Raises `Unreachable`, or `OutcomeUnknown` where it may have been delivered."""
        limits = TimeLimits.for_whole(self._timeout_for(request.endpoint))
        async with self._exchange(request, limits) as (response, stale):
            body = await response.read(request.endpoint.limit)
        answer = HttpAnswer(status=response.status, body=body, stale=stale)
        return self._check_status(request.endpoint, answer)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[StreamedAnswer]:
        """Yields an answer of any status, whose bytes are then read piece by piece. Raises as `call` does.

        The endpoint's timeout bounds the time without a byte; the whole answer may take any time.
        """
        seconds = self._timeout_for(request.endpoint)
        async with self._exchange(request, TimeLimits(idle=seconds, head=seconds)) as (response, stale):
            yield StreamedAnswer(response, stale=stale)

    async def close(self) -> None:
        """Closes all connections."""
        await self._http.close()

    def _failure_text(self, failure: str, call: str) -> str:
        return webwx_text(self.language, failure, call=call)

    def _timeout_for(self, endpoint: Endpoint) -> float:
        return self._timeouts.get(endpoint.name, endpoint.timeout)

    @asynccontextmanager
    async def _exchange(
        self, request: Request, limits: TimeLimits
    ) -> AsyncIterator[tuple[StreamedResponse, bool]]:
        """Yields the answer, whose cookies are stored, and whether another one renewed them meanwhile."""
        login_number, before = self._login_number, self.cookies
        cookies = before.for_host(host_of(request.url)) | dict(request.cookies)
        headers = dict(request.headers)
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        async with self._http.exchange(
            request.endpoint, request.url, headers=headers, body=request.body, limits=limits
        ) as response:
            stale = self.cookies != before
            if login_number == self._login_number:
                self._store_cookies(request, response)
            yield response, stale

    def _store_cookies(self, request: Request, response: StreamedResponse) -> None:
        lines = response.headers("set-cookie")
        if lines:
            now = parse_http_date(response.header("date")) or self._clock.wall()
            self.cookies = self.cookies.with_response(host_of(request.url), lines, now)

    def _check_status(self, endpoint: Endpoint, answer: HttpAnswer) -> HttpAnswer:
        """Returns an answer with status 2xx, or 3xx where the call allows it. Else raises `BadAnswer`."""
        if 200 <= answer.status < (400 if endpoint.allows_redirect else 300):
            return answer
        raise BadAnswer(webwx_text(self.language, "status", status=answer.status, call=endpoint.name))
