"""The door to httpx: a request goes out, a whole answer comes back, or an error that says what to do.

No redirect is followed, every answer has a limit in size and time, and nothing that is secret gets into a
log.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import cast

import httpx

from wx2mqtt.errors import GatewayError, OutcomeUnknown, Unreachable
from wx2mqtt.wechat.webwx.cookies import Cookies
from wx2mqtt.wechat.webwx.endpoints import USER_AGENT, Endpoint, host_of
from wx2mqtt.wechat.webwx.requests import Request
from wx2mqtt.wechat.webwx.timing import Timing
from wx2mqtt.wechat.webwx.words import say
from wx2mqtt.words import Language

Observe = Callable[[str, str, float], None]
"""Told of every exchange: name of the call, outcome in one word, seconds."""

CONNECT = 10.0  # seconds
KEEP_ALIVE = 4.0  # seconds; below the usual five of servers, so that no request meets a closing socket
CONNECTIONS = 20
HEADERS = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json, text/plain, */*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}

# These two write whole addresses and headers, that is every key of the login, into the log.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

# Nothing of the request was written when one of these is raised; after any other, who knows.
_NOT_WRITTEN = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
)
_TOO_LATE = (httpx.ReadTimeout, httpx.WriteTimeout, TimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Answer:
    """A complete answer. `stale`: other answers renewed the cookies while this one was under way."""

    status: int
    body: bytes = field(repr=False)
    stale: bool = False


class BadAnswer(Unreachable):
    """WeChat answered, but not with what was asked for."""


class _TooLarge(Exception):
    """The answer has passed its limit."""


class _Seen:
    """What became of an exchange, in one word."""

    outcome = "cancelled"


class Stream:
    """An answer that is under way. `stale` as in `Answer`."""

    def __init__(self, response: httpx.Response, silence: float, *, stale: bool) -> None:
        self.status = response.status_code
        self.stale = stale
        self._response = response
        self._silence = silence

    def header(self, name: str) -> str:
        """A header's value, stripped; empty where there is none."""
        return str(self._response.headers.get(name, "")).strip()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes as they come, none of them empty; a body cut short is an error. To be asked once."""
        if self.header("Content-Encoding").lower() not in {"", "identity"}:
            raise httpx.DecodingError("packed")  # unpacked it could be a thousand times as large
        received = 0
        # Typed by httpx as an iterator, but it is a generator, and to be closed as one.
        async with aclosing(cast("AsyncGenerator[bytes, None]", self._response.aiter_bytes())) as chunks:
            while chunk := await self._next(chunks):
                received += len(chunk)
                yield chunk
        if self.header("Content-Length") not in {"", str(received)}:
            raise httpx.RemoteProtocolError("cut short")

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes:
        async with asyncio.timeout(self._silence):
            while (chunk := await anext(chunks, None)) is not None:
                if chunk:
                    return chunk
        return b""


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
        self._observe = observe
        self._timeouts = timeouts
        self._client = _client(endpoint, door)

    async def call(self, request: Request) -> Answer:
        """Make one exchange. Raises `Unreachable`, or `OutcomeUnknown` where it may have been delivered."""
        with self._observed(request.endpoint) as seen:
            answer = await self._exchange(request)
            seen.outcome = str(answer.status)
            return self._accepted(request.endpoint, answer)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        """An answer, whatever its status, whose bytes are then taken piece by piece. Raises as `call` does.

        The endpoint's timeout is the longest silence; a whole answer may take as long as it likes.
        """
        limit = self._limit(request.endpoint)
        with self._observed(request.endpoint) as seen:
            before = self.cookies
            async with asyncio.timeout(limit):
                response = await self._client.send(self._built(request, limit), stream=True)
            try:
                seen.outcome = str(response.status_code)
                stale = self.cookies != before
                self._take_cookies(request, response)
                yield Stream(response, limit, stale=stale)
            finally:
                await response.aclose()

    async def close(self) -> None:
        """Let go of all connections."""
        await self._client.aclose()

    @contextmanager
    def _observed(self, endpoint: Endpoint) -> Iterator[_Seen]:
        """Tell how an exchange ended, and say what its trouble means."""
        seen, began = _Seen(), self._timing.monotonic()
        try:
            yield seen
        except _NOT_WRITTEN:
            seen.outcome = "no_connection"
            raise Unreachable(self._words("no_connection", endpoint)) from None
        except _TOO_LATE:
            seen.outcome = "no_answer"
            raise self._lost(endpoint, "no_answer") from None
        except httpx.HTTPError:
            seen.outcome = "broken_answer"
            raise self._lost(endpoint, "broken_answer") from None
        except _TooLarge:
            seen.outcome = "too_large"
            raise self._lost(endpoint, "too_large") from None
        finally:
            self._observe(endpoint.name, seen.outcome, self._timing.monotonic() - began)

    def _limit(self, endpoint: Endpoint) -> float:
        return self._timeouts.get(endpoint.name, endpoint.timeout)

    async def _exchange(self, request: Request) -> Answer:
        limit = self._limit(request.endpoint)
        # The whole exchange is bounded too: a server that drips one byte a second must not hold it for ever.
        async with asyncio.timeout(limit):
            before = self.cookies
            response = await self._client.send(self._built(request, limit), stream=True)
            try:
                stale = self.cookies != before
                self._take_cookies(request, response)
                body = await _read(response, request.endpoint.limit)
                return Answer(status=response.status_code, body=body, stale=stale)
            finally:
                await response.aclose()

    def _built(self, request: Request, limit: float) -> httpx.Request:
        cookies = self.cookies.for_host(host_of(request.url)) | dict(request.cookies)
        headers = dict(request.headers)
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        timeout = {"connect": min(CONNECT, limit), "read": limit, "write": limit, "pool": limit}
        return self._client.build_request(
            "GET" if request.body is None else "POST",
            request.url,
            content=request.body,
            headers=headers,
            extensions={"timeout": timeout},
        )

    def _take_cookies(self, request: Request, response: httpx.Response) -> None:
        lines = response.headers.get_list("set-cookie")
        if lines:
            now = date_of(response.headers.get("date", "")) or self._timing.wall()
            self.cookies = self.cookies.after(host_of(request.url), lines, now)

    def _accepted(self, endpoint: Endpoint, answer: Answer) -> Answer:
        """2xx, and redirects where the protocol has them; the rest did nothing and may be tried later."""
        if 200 <= answer.status < 300 or (endpoint.redirects and answer.status < 400):
            return answer
        raise BadAnswer(say(self._language, "status", status=answer.status, call=endpoint.name))

    def _lost(self, endpoint: Endpoint, word: str) -> GatewayError:
        message = self._words(word, endpoint)
        if endpoint.delivers:
            return OutcomeUnknown(message)
        if word == "too_large":
            return BadAnswer(message)
        return Unreachable(message, hung=endpoint.polls and word == "no_answer")

    def _words(self, word: str, endpoint: Endpoint) -> str:
        return say(self._language, word, call=endpoint.name)


async def _read(response: httpx.Response, limit: int) -> bytes:
    chunks, size = [], 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > limit:
            raise _TooLarge
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _client(endpoint: str | None, door: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient | _Direct:
    """With an address of one's own the environment's proxies are not asked: it stands in their place."""
    limits = httpx.Limits(
        max_connections=CONNECTIONS,
        max_keepalive_connections=CONNECTIONS,
        keepalive_expiry=KEEP_ALIVE,
    )
    if door is not None or endpoint is not None:
        return _Direct(door or httpx.AsyncHTTPTransport(verify=trust_for(endpoint), limits=limits))
    return httpx.AsyncClient(
        verify=trust_for(endpoint),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # ours are kept in `Cookies`
        headers=HEADERS,
        limits=limits,
    )


class _Direct:
    """What we need of a client, without proxies, redirects and cookies of its own: a fifth less work."""

    def __init__(self, door: httpx.AsyncBaseTransport) -> None:
        self._door = door

    def build_request(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None,
        headers: Mapping[str, str],
        extensions: Mapping[str, object],
    ) -> httpx.Request:
        return httpx.Request(
            method, url, content=content, headers={**HEADERS, **headers}, extensions=dict(extensions)
        )

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        assert stream
        response = await self._door.handle_async_request(request)
        response.request = request
        return response

    async def aclose(self) -> None:
        await self._door.aclose()


def trust_for(endpoint: str | None) -> ssl.SSLContext:
    """Certificates as httpx finds them (SSL_CERT_FILE); none are loaded for an address without TLS."""
    if endpoint is not None and endpoint.startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.create_ssl_context()


def date_of(written: str) -> float | None:
    """The seconds since 1970 of a date in a header; None where it is none."""
    try:
        return parsedate_to_datetime(written).timestamp()
    except (ValueError, OverflowError, IndexError):
        return None
