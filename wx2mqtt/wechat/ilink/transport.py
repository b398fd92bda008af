"""A request goes out to iLink, a whole answer comes back, or an error that says what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from wx2mqtt import __version__
from wx2mqtt.wechat.http import BadAnswer, Line, Observe, Response
from wx2mqtt.wechat.ilink.endpoints import DOWNLOAD, UPLOAD, Endpoint
from wx2mqtt.wechat.ilink.requests import Request
from wx2mqtt.wechat.ilink.servertime import ServerTime
from wx2mqtt.wechat.ilink.words import say
from wx2mqtt.wechat.timing import Timing
from wx2mqtt.words import Language

HEADERS = {
    "User-Agent": f"wx2mqtt/{__version__}",
    "Accept": "application/json, */*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}
LONGEST = 1800.0  # seconds that a file may take on its way to the CDN
BARE = {"Accept-Encoding": "identity"}  # encrypted bytes cannot be packed


class Refusal(BadAnswer):
    """The server answered with a status that is none of success."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """What the CDN answered to a file: `param` names it there, empty where it did not take it."""

    status: int
    param: str = field(repr=False)
    words: str = ""


class Transport:
    """The connections of one account. `clock` is set by every answer."""

    def __init__(
        self,
        *,
        endpoint: str | None,
        language: Language,
        timing: Timing,
        clock: ServerTime,
        observe: Observe,
        timeouts: Mapping[str, float],
        door: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._language = language
        self._clock = clock
        self._timeouts = timeouts
        self._line = Line(
            endpoint=endpoint,
            headers=HEADERS,
            timing=timing,
            observe=observe,
            say=lambda word, call: say(language, word, call=call),
            door=door,
        )

    async def call(self, request: Request, *, limit: float | None = None) -> bytes:
        """Make one exchange, within `limit` seconds instead of the call's own.

        Raises `Unreachable`, with a status `Refusal`, or `OutcomeUnknown` where it may have been delivered.
        """
        seconds = self._limit(request.endpoint, limit)
        with self._line.observed(request.endpoint) as seen:
            # The whole exchange is bounded: a server that drips one byte a second must not hold it for ever.
            async with (
                asyncio.timeout(seconds),
                self._line.opened(request.url, request.headers, request.body, seconds) as response,
            ):
                body = await response.whole(request.endpoint.limit)
            seen.outcome = str(response.status)
            self._clock.told(response.header("date"))
            self._must_be_good(request.endpoint, response.status)
            return body

    @asynccontextmanager
    async def download(self, url: str) -> AsyncIterator[Response]:
        """An answer, whatever its status, whose bytes are taken piece by piece. Raises as `call` does."""
        with self._line.observed(DOWNLOAD) as seen:
            async with self._line.opened(url, BARE, None, self._limit(DOWNLOAD)) as response:
                seen.outcome = str(response.status)
                yield response

    async def upload(self, url: str, pieces: AsyncIterable[bytes], size: int) -> Uploaded:
        """Bring `size` bytes to the CDN as they come. Raises as `call` does."""
        limit = self._limit(UPLOAD)
        headers = {**BARE, "Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with self._line.observed(UPLOAD) as seen:
            async with self._line.opened(url, headers, pieces, limit, longest=LONGEST) as response:
                seen.outcome = str(response.status)
                async with asyncio.timeout(limit):
                    await response.whole(UPLOAD.limit)
            return Uploaded(
                status=response.status,
                param=response.header("x-encrypted-param"),
                words=response.header("x-error-message"),
            )

    def silence(self) -> float:
        """Seconds that a download may be silent."""
        return self._limit(DOWNLOAD)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._line.close()

    def _limit(self, endpoint: Endpoint, wanted: float | None = None) -> float:
        return self._timeouts.get(endpoint.name, wanted or endpoint.timeout)

    def _must_be_good(self, endpoint: Endpoint, status: int) -> None:
        """Anything but 2xx did nothing; no redirect is part of the protocol (ilink 1)."""
        if not 200 <= status < 300:
            raise Refusal(say(self._language, "status", status=status, call=endpoint.name), status)
