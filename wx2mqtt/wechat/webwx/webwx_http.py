"""`WebWxHttp`: sends requests to web WeChat, returns whole answers, and keeps the cookies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import field

import httpx

from wx2mqtt.clock import parse_http_date
from wx2mqtt.i18n.wechat import webwx_text
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import BackendOptions
from wx2mqtt.wechat.http_client import BadAnswer, HttpClient, StreamedResponse, TimeLimits
from wx2mqtt.wechat.webwx.protocol.endpoints import WEBWX_HEADERS, host_of
from wx2mqtt.wechat.webwx.protocol.requests import Request
from wx2mqtt.wechat.webwx.protocol.session import Cookies


@frozen(repr=False)
class HttpAnswer:
    """A complete answer."""

    body: bytes = field(repr=False)
    #: Another answer renewed the cookies during this exchange.
    stale: bool = False


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
        self.cookies = Cookies({}, any_host=options.endpoint is not None)
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
        """Makes one exchange. Raises `Unreachable`, or `OutcomeUnknown` where it may have been delivered.

        A status other than 2xx, or 3xx where the call allows it, is `BadAnswer`.
        """
        endpoint = request.endpoint
        async with self.stream(request, bounds_whole=True) as (response, stale):
            body = await response.read(endpoint.limit)
        if 200 <= response.status < (400 if endpoint.allows_redirect else 300):
            return HttpAnswer(body=body, stale=stale)
        raise BadAnswer(webwx_text(self.language, "status", status=response.status, call=endpoint.name))

    @asynccontextmanager
    async def stream(
        self, request: Request, *, bounds_whole: bool = False
    ) -> AsyncIterator[tuple[StreamedResponse, bool]]:
        """Yields an answer of any status, and whether another one renewed the cookies meanwhile (`stale`).

        The endpoint's timeout bounds the time without a byte, and the whole answer only with `bounds_whole`.
        Raises as `call` does.
        """
        seconds = self._timeouts.get(request.endpoint.name, request.endpoint.timeout)
        limits = TimeLimits(idle=seconds, head=seconds, whole=seconds if bounds_whole else None)
        host = host_of(request.url)
        login_number, before = self._login_number, self.cookies
        cookies = before.for_host(host) | dict(request.cookies)
        headers = dict(request.headers)
        if cookies:
            headers["Cookie"] = "; ".join(map("=".join, cookies.items()))
        async with self._http.exchange(
            request.endpoint, request.url, headers=headers, body=request.body, limits=limits
        ) as response:
            stale = self.cookies is not before
            lines = response.headers("set-cookie")
            if lines and login_number == self._login_number:
                now = parse_http_date(response.header("date")) or self._clock.wall()
                self.cookies = self.cookies.with_response(host, lines, now)
            yield response, stale

    async def close(self) -> None:
        await self._http.close()

    def _failure_text(self, failure: str, call: str) -> str:
        return webwx_text(self.language, failure, call=call)
