"""`ILinkHttp`: sends requests to iLink, and learns WeChat's time (`ServerClock`) from each answer."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import field

from wx2mqtt.clock import Clock, parse_http_date
from wx2mqtt.i18n.wechat import ilink_text
from wx2mqtt.limits import transfer_seconds
from wx2mqtt.values import frozen
from wx2mqtt.wechat.aiohttp_transport import HttpTransport
from wx2mqtt.wechat.backend_options import BackendOptions
from wx2mqtt.wechat.http_client import BadAnswer, HttpClient, StreamedResponse, TimeLimits
from wx2mqtt.wechat.ilink.protocol.endpoints import DOWNLOAD, ILINK_HEADERS, UPLOAD, Endpoint
from wx2mqtt.wechat.ilink.protocol.requests import Request

# The header of uploads and downloads: encrypted bytes cannot be compressed.
UNCOMPRESSED = {"Accept-Encoding": "identity"}


class HttpStatusError(BadAnswer):
    """The server answered with a status other than 2xx."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@frozen
class Uploaded:
    """The answer of the CDN to an upload."""

    status: int
    #: Names the file at the CDN; empty where the upload was refused.
    param: str = field(repr=False)
    #: The CDN's own words about a refusal.
    errmsg: str = ""


class ILinkHttp:
    """The calls of one account.

    For tests: `timeouts` replace those of `protocol/endpoints.py`, in seconds by the name of the call;
    `transport` replaces the network.
    """

    def __init__(
        self,
        options: BackendOptions,
        *,
        timeouts: Mapping[str, float] | None = None,
        transport: HttpTransport | None = None,
    ) -> None:
        self.language = options.language
        self.server_clock = ServerClock(options.clock)
        self._clock = options.clock
        self._timeouts = timeouts or {}
        self._http = HttpClient(
            options,
            ILINK_HEADERS,
            lambda failure, call: ilink_text(self.language, failure, call=call),
            transport,
        )

    async def call(self, request: Request, *, limit: float | None = None) -> bytes:
        """Makes one exchange within `limit` seconds, by default the timeout of the endpoint.

        Raises `Unreachable`, after a delivery `OutcomeUnknown`; `HttpStatusError` for a status but 2xx.
        """
        seconds = self._timeout_for(request.endpoint, limit)
        limits = TimeLimits(idle=seconds, head=seconds, whole=seconds)
        requested_at = self._clock.boot_time()
        async with self._http.exchange(
            request.endpoint, request.url, headers=request.headers, body=request.body, limits=limits
        ) as response:
            body = await response.read(request.endpoint.limit)
        self.server_clock.update(response.header("date"), requested_at)
        if not 200 <= response.status < 300:  # the protocol has no redirects (ilink 1.4)
            message = ilink_text(self.language, "status", status=response.status, call=request.endpoint.name)
            raise HttpStatusError(message, response.status)
        return body

    @asynccontextmanager
    async def download(self, url: str) -> AsyncIterator[StreamedResponse]:
        """Yields an answer of any status, whose body is read in chunks. Raises as `call` does."""
        seconds = self._timeout_for(DOWNLOAD)
        limits = TimeLimits(idle=seconds, head=seconds)
        async with self._http.exchange(
            DOWNLOAD, url, headers=UNCOMPRESSED, body=None, limits=limits
        ) as response:
            yield response

    async def upload(self, url: str, chunks: AsyncIterable[bytes], size: int) -> Uploaded:
        """Sends `size` bytes to the CDN in chunks. Raises as `call` does."""
        seconds = transfer_seconds(size)
        limits = TimeLimits(idle=self._timeout_for(UPLOAD), head=seconds, whole=seconds)
        headers = {**UNCOMPRESSED, "Content-Type": "application/octet-stream", "Content-Length": str(size)}
        async with self._http.exchange(UPLOAD, url, headers=headers, body=chunks, limits=limits) as response:
            await response.read(UPLOAD.limit)
        return Uploaded(
            status=response.status,
            param=response.header("x-encrypted-param"),
            errmsg=response.header("x-error-message"),
        )

    async def close(self) -> None:
        await self._http.close()

    def _timeout_for(self, endpoint: Endpoint, requested: float | None = None) -> float:
        return self._timeouts.get(endpoint.name, requested or endpoint.timeout)


# A difference below this is no change of a clock: answers take time, and their seconds are rounded down.
CLOCK_TOLERANCE_MS = 2_000


class ServerClock:
    """WeChat's clock, in milliseconds since 1970. Before the first answer it is the local clock.

    The reply window depends on WeChat's clock, and the local one may be wrong or jump. An answer whose `Date`
    is the second D left WeChat between D and D + 1, after its request and before its receipt. So it
    bounds how far WeChat's clock is ahead of the local one that never jumps; each further one narrows that.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: How far WeChat's clock is ahead of `Clock.boot_time`, at least and at most (ms). None: not known.
        self._ahead: tuple[float, float] | None = None
        #: How far the local clock is ahead of WeChat's, in milliseconds, as `to_local` last used it.
        self._local_offset = 0

    def update(self, date: str, requested_at: float) -> None:
        """Narrows the bounds by the `Date` header of an answer; ignores an empty or unreadable one.

        `requested_at` is the `boot_time` of its request. What contradicts the bounds replaces them: a clock
        was set, or runs a little faster.
        """
        seconds = parse_http_date(date)
        if seconds is None:
            return
        least = (seconds - self._clock.boot_time()) * 1000
        most = (seconds + 1 - requested_at) * 1000
        if self._ahead is not None:
            narrowed = max(least, self._ahead[0]), min(most, self._ahead[1])
            if narrowed[0] <= narrowed[1]:
                self._ahead = narrowed
                return
        self._ahead = least, most

    def now(self) -> int:
        """Returns WeChat's current time, as far as it is known."""
        if self._ahead is None:
            return self._clock.now
        return int(self._clock.boot_time() * 1000 + sum(self._ahead) / 2)

    def earliest_now(self) -> int:
        """Returns the earliest that WeChat's current time can be."""
        if self._ahead is None:
            return self._clock.now
        return int(self._clock.boot_time() * 1000 + self._ahead[0])

    def to_local(self, time: int) -> int:
        """Converts a time of WeChat's clock to the local one.

        The result for a time is constant as long as neither clock is set.
        """
        offset = self._clock.now - self.now()
        if abs(offset - self._local_offset) > CLOCK_TOLERANCE_MS:
            self._local_offset = offset
        return time + self._local_offset
