"""Sends requests to iLink and returns whole answers; also keeps WeChat's time.

The reply window is counted by WeChat's clock, and our own may be wrong or jump. Each answer tells the time
to the second; in between a clock that never jumps goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import ilink_text
from wx2mqtt.wechat.backend import CallObserver
from wx2mqtt.wechat.http import BadAnswer, Clock, HttpClient, StreamedResponse, parse_date
from wx2mqtt.wechat.ilink.protocol.endpoints import DOWNLOAD, ILINK_HEADERS, UPLOAD, Endpoint
from wx2mqtt.wechat.ilink.protocol.requests import Request

CLOCK_TOLERANCE_MS = 2_000  # milliseconds: an answer takes its time, and tells whole seconds


MEAN_ROUNDING_MS = 500  # milliseconds that a told second is behind on average


class ServerClock:
    """WeChat's clock. Until an answer has told it, ours is taken for it. All in milliseconds since 1970."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reference: tuple[int, float] | None = None
        self._local_offset = 0

    def update(self, date: str) -> None:
        """The `Date` of an answer; empty or unreadable ones tell nothing."""
        found = parse_date(date)
        if found is None:
            return
        at = int(found * 1000) + MEAN_ROUNDING_MS
        if self._reference is None or abs(at - self.now()) > CLOCK_TOLERANCE_MS:
            self._reference = at, self._clock.ticking()

    def now(self) -> int:
        """Now, at WeChat."""
        if self._reference is None:
            return self._clock.now
        at, ticks = self._reference
        return at + int((self._clock.ticking() - ticks) * 1000)

    def to_local(self, time: int) -> int:
        """A time of WeChat's by our clock; the same each time, as long as no clock is set."""
        ahead = self._clock.now - self.now()
        if abs(ahead - self._local_offset) > CLOCK_TOLERANCE_MS:
            self._local_offset = ahead
        return time + self._local_offset


MAX_UPLOAD_SECONDS = 1800.0  # seconds that a file may take on its way to the CDN


UNCOMPRESSED = {"Accept-Encoding": "identity"}  # encrypted bytes cannot be packed


class HttpStatusError(BadAnswer):
    """The server answered with a status that is none of success."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """What the CDN answered to a file: `param` names it there, empty where it did not take it."""

    status: int
    param: str = field(repr=False)
    errmsg: str = ""


class Transport:
    """The connections of one account. Every answer sets the `server_clock`."""

    def __init__(
        self,
        *,
        endpoint: str | None,
        language: Language,
        clock: Clock,
        server_clock: ServerClock,
        observe: CallObserver,
        timeouts: Mapping[str, float],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.language = language
        self._server_clock = server_clock
        self._timeouts = timeouts
        self._http = HttpClient(
            endpoint=endpoint,
            headers=ILINK_HEADERS,
            clock=clock,
            observe=observe,
            text=lambda word, call: ilink_text(self.language, word, call=call),
            transport=transport,
        )

    async def call(self, request: Request, *, limit: float | None = None) -> bytes:
        """Makes one exchange, within `limit` seconds instead of the call's own.

        Raises `Unreachable`, with a status `HttpStatusError`, or `OutcomeUnknown` where it may have been
        delivered.
        """
        seconds = self._timeout_for(request.endpoint, limit)
        with self._http.track_exchange(request.endpoint) as seen:
            # The whole exchange is bounded: a server that drips one byte a second must not hold it for ever.
            async with (
                asyncio.timeout(seconds),
                self._http.stream(request.url, request.headers, request.body, seconds) as response,
            ):
                body = await response.read(request.endpoint.limit)
            seen.outcome = str(response.status)
            self._server_clock.update(response.header("date"))
            self._check_status(request.endpoint, response.status)
            return body

    @asynccontextmanager
    async def download(self, url: str) -> AsyncIterator[StreamedResponse]:
        """Yields an answer of any status, whose bytes are read piece by piece. Raises as `call` does."""
        with self._http.track_exchange(DOWNLOAD) as seen:
            async with self._http.stream(url, UNCOMPRESSED, None, self._timeout_for(DOWNLOAD)) as response:
                seen.outcome = str(response.status)
                yield response

    async def upload(self, url: str, chunks: AsyncIterable[bytes], size: int) -> Uploaded:
        """Sends `size` bytes to the CDN as they come. Raises as `call` does."""
        limit = self._timeout_for(UPLOAD)
        headers = {**UNCOMPRESSED, "Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with self._http.track_exchange(UPLOAD) as seen:
            async with self._http.stream(
                url, headers, chunks, limit, total_timeout=MAX_UPLOAD_SECONDS
            ) as response:
                seen.outcome = str(response.status)
                async with asyncio.timeout(limit):
                    await response.read(UPLOAD.limit)
            return Uploaded(
                status=response.status,
                param=response.header("x-encrypted-param"),
                errmsg=response.header("x-error-message"),
            )

    def idle_timeout(self) -> float:
        """Seconds that a download may be silent."""
        return self._timeout_for(DOWNLOAD)

    async def close(self) -> None:
        """Closes all connections."""
        await self._http.close()

    def _timeout_for(self, endpoint: Endpoint, requested: float | None = None) -> float:
        return self._timeouts.get(endpoint.name, requested or endpoint.timeout)

    def _check_status(self, endpoint: Endpoint, status: int) -> None:
        """Anything but 2xx did nothing; no redirect is part of the protocol (ilink 1.4)."""
        if not 200 <= status < 300:
            raise HttpStatusError(
                ilink_text(self.language, "status", status=status, call=endpoint.name), status
            )
