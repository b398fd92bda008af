"""Whether bytes come fast enough, as a value: a drip must not hold a chat for hours. Pure; seconds.

Files by url: a name is looked up once, all its addresses are checked, and one of those is connected to.

A redirect is followed at most five times and checked anew each time; what drips is ended.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, replace

from wx2mqtt.aio import run_in_daemon_thread
from wx2mqtt.errors import BadCommand
from wx2mqtt.external.http import (
    BadCertificate,
    ConnectFailed,
    DeclaredSizeTooLarge,
    HttpResponse,
    InvalidUrl,
    PinnedHttpClient,
    ReadTimedOut,
    ResponseTruncated,
    TemporarilyUnavailable,
    TransferBroken,
    UrlParts,
    is_public,
    same_host,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimumRate:
    """At least `least` bytes within every `window`; by `next_look` they must have come."""

    window_seconds: float = 10.0
    min_bytes: int = 10_000
    received_bytes: int = 0
    deadline: float = 0.0

    def start(self, now: float) -> MinimumRate:
        """The first window begins."""
        return replace(self, received_bytes=0, deadline=now + self.window_seconds)

    def extended(self, pause_seconds: float) -> MinimumRate:
        """Nobody wanted anything for so long."""
        return replace(self, deadline=self.deadline + pause_seconds)

    def received(self, count: int, now: float) -> MinimumRate:
        """So many bytes came; enough of them begin another window."""
        got = self.received_bytes + count
        return self.start(now) if got >= self.min_bytes else replace(self, received_bytes=got)


MAX_REDIRECTS = 5


RESOLVE_TIMEOUT_SECONDS = 10.0  # seconds that a name may take


IDLE_TIMEOUT_SECONDS = 15.0  # seconds without a byte


RESPONSE_TIMEOUT_SECONDS = 30.0  # seconds until an answer has begun, also one whose head drips


REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})


RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


ResolveHost = Callable[[str, int], Awaitable[list[str]]]
"""All addresses of a name, for a port. Raises `OSError`."""


async def resolve_host(host: str, port: int) -> list[str]:
    """As the system does it."""
    found = await run_in_daemon_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return [str(address[0]) for *_, address in found]


class UrlFetcher:
    """Fetches files for commands. Raises `BadCommand` for what is not to be had,
    `TemporarilyUnavailable` for what may be.
    """

    def __init__(
        self,
        *,
        idle_timeout: float = IDLE_TIMEOUT_SECONDS,
        minimum_rate: MinimumRate | None = None,
        resolve: ResolveHost = resolve_host,
    ) -> None:
        self._http = PinnedHttpClient(idle_timeout=idle_timeout)
        self._minimum_rate = minimum_rate or MinimumRate()
        self._resolve = resolve

    async def fetch(
        self, url: str, *, max_bytes: int, allowed_hosts: Collection[str], timeout_seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of a file, in pieces, within so many seconds. `allowed` hosts may be in the house.

        Raises `DeclaredSizeTooLarge` for what is announced above `limit` bytes; what comes has to be counted.
        """
        until = _clock() + timeout_seconds
        try:
            async with asyncio.timeout_at(until):
                answer = await self._follow_redirects(url, allowed_hosts)
        except TimeoutError:
            raise TransferBroken("fetch_failed", "fetch_too_slow") from None
        try:
            _must_be_usable(answer, max_bytes)
            async with aclosing(self._iter_bytes(answer, until)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            await answer.close()

    async def _follow_redirects(self, url: str, allowed_hosts: Collection[str]) -> HttpResponse:
        place = _read(url)
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._request(place, allowed_hosts)
            location = answer.header("location")
            if answer.status not in REDIRECT_STATUSES or not location:
                return answer
            await answer.close()
            place = _joined(place, location)
        raise BadCommand("fetch_failed", "fetch_hops", most=MAX_REDIRECTS)

    async def _request(self, parts: UrlParts, allowed_hosts: Collection[str]) -> HttpResponse:
        last: Exception = TemporarilyUnavailable("fetch_failed", "fetch_no_connection", host=parts.host)
        for address in await self._allowed_addresses(parts, allowed_hosts):
            try:
                async with asyncio.timeout(RESPONSE_TIMEOUT_SECONDS):
                    return await self._http.get(parts, address)
            except ConnectFailed:
                continue
            except BadCertificate:
                raise BadCommand("fetch_failed", "fetch_certificate", host=parts.host) from None
            except (ResponseTruncated, ReadTimedOut, TimeoutError):
                last = TransferBroken("fetch_failed", "fetch_no_answer", host=parts.host)
        raise last

    async def _allowed_addresses(self, parts: UrlParts, allowed_hosts: Collection[str]) -> list[str]:
        """The addresses of a host, all of them such as may be asked."""
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_SECONDS):
                found = await self._resolve(parts.host, parts.port)
        except (OSError, UnicodeError, TimeoutError):
            raise TransferBroken("fetch_failed", "fetch_no_name", host=parts.host) from None
        if not any(same_host(parts.host, one) for one in allowed_hosts):
            for address in found:
                if not is_public(address):
                    raise BadCommand("not_allowed", "fetch_private", host=parts.host, address=address)
        return list(dict.fromkeys(found))

    async def _iter_bytes(self, answer: HttpResponse, deadline: float) -> AsyncGenerator[bytes, None]:
        pace = self._minimum_rate.start(_clock())
        pieces = aiter(answer.iter_bytes())
        while True:
            try:
                async with asyncio.timeout_at(min(deadline, pace.deadline)):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except ResponseTruncated:
                raise TransferBroken("fetch_failed", "fetch_cut_off") from None
            except (ReadTimedOut, TimeoutError):
                raise BadCommand("fetch_failed", "fetch_too_slow") from None
            given = _clock()
            yield piece
            pace = pace.received(len(piece), given).extended(_clock() - given)  # the disk may be slow too


def check_url(url: str) -> None:
    """Raise `BadCommand` for what is no url of a file."""
    _read(url)


def filename_in(url: str) -> str:
    """The last part of the path of a url, decoded; may be empty."""
    return _read(url).path.rpartition("/")[2]


def _read(url: str) -> UrlParts:
    try:
        return UrlParts.parse(url)
    except InvalidUrl:
        raise BadCommand("bad_command", "fetch_bad_url") from None


def _joined(parts: UrlParts, location: str) -> UrlParts:
    try:
        return parts.join(location)
    except InvalidUrl:
        raise BadCommand("fetch_failed", "fetch_bad_redirect", host=parts.host) from None


def _must_be_usable(response: HttpResponse, limit: int) -> None:
    if response.status in RETRY_STATUSES:
        raise TemporarilyUnavailable("fetch_failed", "fetch_status", status=response.status)
    if not 200 <= response.status < 300:
        raise BadCommand("fetch_failed", "fetch_status", status=response.status)
    if response.header("content-encoding") not in ("", "identity"):
        raise BadCommand("fetch_failed", "fetch_packed")
    length = response.header("content-length")
    if length.isascii() and length.isdigit() and int(length[:18]) > limit:
        raise DeclaredSizeTooLarge


def _clock() -> float:
    return asyncio.get_running_loop().time()
