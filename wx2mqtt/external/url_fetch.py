"""Downloads files by URL: resolves a name once, checks all its addresses, and connects to one of them.

Redirects are followed, and the target of each is checked. A server that sends too slowly is given up: within
each window of time (`MinimumRate`), and as a whole (`transfer_seconds`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import replace

from wx2mqtt.aio import run_in_daemon_thread, yield_after_long_work
from wx2mqtt.clock import loop_time
from wx2mqtt.errors import BadCommand, DeclaredSizeTooLarge, TemporarilyUnavailable, TransferBroken
from wx2mqtt.external.addresses import ReadNetworks, is_local, is_public, read_local_networks, same_host
from wx2mqtt.external.pinned_http import (
    BadCertificate,
    ConnectFailed,
    HttpResponse,
    InvalidHost,
    InvalidUrl,
    PinnedHttpClient,
    ReadTimedOut,
    ResponseTruncated,
    UrlParts,
)
from wx2mqtt.limits import transfer_seconds
from wx2mqtt.values import frozen

MAX_REDIRECTS = 5
RESOLVE_TIMEOUT_SECONDS = 10.0
IDLE_TIMEOUT_SECONDS = 15.0
"""Seconds without a byte."""
RESPONSE_TIMEOUT_SECONDS = 30.0
"""Seconds until the header of the response is complete; a server may send it byte by byte."""
GATHERED_BYTES = 64 * 1024
"""Bytes that are handed on at a time; only the last ones of a file are fewer."""
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
MAX_SIZE_DIGITS = 18
"""Digits of a stated size that are parsed: a longer number is too large in any case."""
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@frozen
class MinimumRate:
    """At least `min_bytes` within each window; `deadline` is the end of the current one. A value."""

    window_seconds: float = 10.0
    min_bytes: int = 10_000
    received_bytes: int = 0
    deadline: float = 0.0

    def start(self, now: float) -> MinimumRate:
        """Returns the value at the beginning of a window."""
        return replace(self, received_bytes=0, deadline=now + self.window_seconds)

    def extended(self, pause_seconds: float) -> MinimumRate:
        """Returns a later deadline, after a pause in which nobody read."""
        return replace(self, deadline=self.deadline + pause_seconds)

    def received(self, count: int, now: float) -> MinimumRate:
        """Returns the value after `count` more bytes; enough of them begin another window."""
        received = self.received_bytes + count
        return self.start(now) if received >= self.min_bytes else replace(self, received_bytes=received)


ResolveHost = Callable[[str, int], Awaitable[list[str]]]
"""Returns all IP addresses of a name, for a port. Raises OSError."""


async def resolve_host(host: str, port: int) -> list[str]:
    """Resolves a name by the system."""
    entries = await run_in_daemon_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return [str(sockaddr[0]) for *_, sockaddr in entries]


class UrlFetcher:
    """Downloads files for commands.

    Raises BadCommand, and TemporarilyUnavailable where a later attempt may succeed.
    """

    def __init__(
        self,
        *,
        idle_timeout: float = IDLE_TIMEOUT_SECONDS,
        minimum_rate: MinimumRate | None = None,
        resolve: ResolveHost = resolve_host,
        read_networks: ReadNetworks = read_local_networks,
    ) -> None:
        self._http = PinnedHttpClient(idle_timeout=idle_timeout)
        self._minimum_rate = minimum_rate or MinimumRate()
        self._resolve = resolve
        self._read_networks = read_networks

    async def fetch(
        self, url: str, *, max_bytes: int, allowed_hosts: Collection[str], timeout_seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """Yields the bytes of a file.

        Only hosts in `allowed_hosts` may have an address that is not public, or one of this machine or of a
        network on its links.

        Raises DeclaredSizeTooLarge if the server states more than `max_bytes`; the caller counts the bytes,
        since a server may state less than it sends. The whole takes at most `transfer_seconds` of what was
        received, and `timeout_seconds`.
        """
        started_at = loop_time()
        deadline = started_at + min(timeout_seconds, transfer_seconds(0))
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._follow_redirects(url, allowed_hosts)
        except TimeoutError:
            raise TransferBroken("fetch_failed", "fetch_too_slow") from None
        try:
            _check_response(response, max_bytes)
            async with aclosing(self._iter_bytes(response, started_at, timeout_seconds)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            await response.close()

    async def _follow_redirects(self, url: str, allowed_hosts: Collection[str]) -> HttpResponse:
        parts = _parse(url)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._request(parts, allowed_hosts)
            location = response.header("location")
            if response.status not in REDIRECT_STATUSES or not location:
                return response
            await response.close()
            parts = _redirect_target(parts, location)
        raise BadCommand("fetch_failed", "fetch_hops", most=MAX_REDIRECTS)

    async def _request(self, parts: UrlParts, allowed_hosts: Collection[str]) -> HttpResponse:
        last_error: Exception = TemporarilyUnavailable("fetch_failed", "fetch_no_connection", host=parts.host)
        for address in await self._allowed_addresses(parts, allowed_hosts):
            try:
                async with asyncio.timeout(RESPONSE_TIMEOUT_SECONDS):
                    return await self._http.get(parts, address)
            except ConnectFailed:
                continue
            except BadCertificate:
                raise BadCommand("fetch_failed", "fetch_certificate", host=parts.host) from None
            except (ResponseTruncated, ReadTimedOut, TimeoutError):
                last_error = TransferBroken("fetch_failed", "fetch_no_answer", host=parts.host)
        raise last_error

    async def _allowed_addresses(self, parts: UrlParts, allowed_hosts: Collection[str]) -> list[str]:
        """Returns the addresses of a host, each once. Raises BadCommand if one of them is not allowed."""
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_SECONDS):
                addresses = await self._resolve(parts.host, parts.port)
        except (OSError, UnicodeError, TimeoutError):
            raise TransferBroken("fetch_failed", "fetch_no_name", host=parts.host) from None
        if not any(same_host(parts.host, host) for host in allowed_hosts):
            networks = await run_in_daemon_thread(self._read_networks)  # they may change at any time
            for address in addresses:
                if not is_public(address) or is_local(address, networks):
                    message_key = "fetch_private_address" if parts.host == address else "fetch_private"
                    raise BadCommand("not_allowed", message_key, host=parts.host, address=address)
        return list(dict.fromkeys(addresses))

    async def _iter_bytes(
        self, response: HttpResponse, started_at: float, timeout_seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """Yields the body in large pieces: a server may send chunks of one byte, each of which is a piece."""
        size = 0
        rate = self._minimum_rate.start(loop_time())
        pieces = aiter(response.iter_bytes())
        gathered = bytearray()
        resumed_at = loop_time()
        while True:
            try:
                whole = started_at + min(timeout_seconds, transfer_seconds(size))
                async with asyncio.timeout_at(min(whole, rate.deadline)):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                break
            except ResponseTruncated:
                raise TransferBroken("fetch_failed", "fetch_cut_off") from None
            except (ReadTimedOut, TimeoutError):
                raise BadCommand("fetch_failed", "fetch_too_slow") from None
            received_at = loop_time()
            rate = rate.received(len(piece), received_at)
            size += len(piece)
            gathered += piece
            if len(gathered) >= GATHERED_BYTES:
                yield bytes(gathered)
                gathered.clear()
                # The caller may be slow as well, such as a disk.
                pause_seconds = loop_time() - received_at
                rate, started_at = rate.extended(pause_seconds), started_at + pause_seconds
            resumed_at = await yield_after_long_work(resumed_at, loop_time)
        if gathered:
            yield bytes(gathered)


def check_url(url: str) -> None:
    """Raises BadCommand for a text that is not a URL of http or https."""
    _parse(url)


def filename_in(url: str) -> str:
    """Returns the last part of the path of a URL, decoded; it may be empty."""
    return _parse(url).path.rpartition("/")[2]


def _parse(url: str) -> UrlParts:
    try:
        return UrlParts.parse(url)
    except InvalidHost:
        raise BadCommand("bad_file", "fetch_bad_host") from None
    except InvalidUrl:
        raise BadCommand("bad_command", "fetch_bad_url") from None


def _redirect_target(parts: UrlParts, location: str) -> UrlParts:
    try:
        return parts.join(location)
    except InvalidUrl:
        raise BadCommand("fetch_failed", "fetch_bad_redirect", host=parts.host) from None


def _check_response(response: HttpResponse, max_bytes: int) -> None:
    if response.status in RETRY_STATUSES:
        raise TemporarilyUnavailable("fetch_failed", "fetch_status", status=response.status)
    if not 200 <= response.status < 300:
        raise BadCommand("fetch_failed", "fetch_status", status=response.status)
    if response.header("content-encoding") not in ("", "identity"):
        raise BadCommand("fetch_failed", "fetch_packed")
    size = response.header("content-length")
    if size.isascii() and size.isdigit() and int(size[:MAX_SIZE_DIGITS]) > max_bytes:
        raise DeclaredSizeTooLarge
