"""Downloads files by URL: resolves a name once, checks all its addresses, and connects to one of them.

Redirects are followed, and the target of each is checked. No proxy of the environment is used: it would
resolve the name again. A server that sends too slowly is given up: within each window of time
(`MinimumRate`), and as a whole (`transfer_seconds`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import replace

import httpx

from wx2mqtt import __version__
from wx2mqtt.aio import run_in_daemon_thread, yield_after_long_work
from wx2mqtt.clock import loop_time
from wx2mqtt.errors import BadCommand, DeclaredSizeTooLarge, TemporarilyUnavailable, TransferBroken
from wx2mqtt.external.allowed_addresses import (
    ReadNetworks,
    is_local,
    is_public,
    read_local_networks,
    same_host,
)
from wx2mqtt.h11_patterns import replace_h11_patterns
from wx2mqtt.limits import HTTP_CONNECT_SECONDS, transfer_seconds
from wx2mqtt.values import frozen

replace_h11_patterns()  # httpx reads the answers with h11

# httpx and httpcore log whole URLs, with the passwords that people put into them.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

MAX_PORT = 65_535
MAX_REDIRECTS = 5
RESOLVE_TIMEOUT_SECONDS = 10.0
# Without a byte.
IDLE_TIMEOUT_SECONDS = 15.0
# Until the header of the response is complete; a server may send it byte by byte.
RESPONSE_TIMEOUT_SECONDS = 30.0
# Handed on at a time; only the last ones of a file are fewer.
GATHERED_BYTES = 64 * 1024
# Digits of a stated size that are parsed: a longer number is too large in any case.
MAX_SIZE_DIGITS = 18
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

_HEADERS = {
    "User-Agent": f"wx2mqtt/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",  # the size limit counts the bytes of the file, not of a compressed one
    "Connection": "close",
}

# Returns all IP addresses of a name. Raises OSError.
ResolveHost = Callable[[str], Awaitable[list[str]]]


async def resolve_host(host: str) -> list[str]:
    """Resolves a name by the system."""
    entries = await run_in_daemon_thread(lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
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
        self._idle_timeout = idle_timeout
        self._minimum_rate = minimum_rate or MinimumRate()
        self._resolve = resolve
        self._read_networks = read_networks
        #: Made for the first URL of https: that of httpx, which reads SSL_CERT_FILE.
        self._tls_context: ssl.SSLContext | None = None

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
            await response.aclose()

    async def _follow_redirects(self, text: str, allowed_hosts: Collection[str]) -> httpx.Response:
        url = parse_url(text)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._request(url, allowed_hosts)
            location = response.headers.get("location")
            if response.status_code not in REDIRECT_STATUSES or not location:
                return response
            await response.aclose()
            url = redirect_target(url, location)
        raise BadCommand("fetch_failed", "fetch_hops", most=MAX_REDIRECTS)

    async def _request(self, url: httpx.URL, allowed_hosts: Collection[str]) -> httpx.Response:
        """Sends GET to the first address of the host that answers. The caller closes the response."""
        host = host_of(url)
        last_error: Exception = TemporarilyUnavailable("fetch_failed", "fetch_no_connection", host=host)
        for address in await self._allowed_addresses(host, allowed_hosts):
            try:
                async with asyncio.timeout(RESPONSE_TIMEOUT_SECONDS):
                    return await self._get(url, address)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if _is_certificate_error(error):
                    raise BadCommand("fetch_failed", "fetch_certificate", host=host) from None
            except (httpx.HTTPError, TimeoutError):
                last_error = TransferBroken("fetch_failed", "fetch_no_answer", host=host)
        raise last_error

    async def _allowed_addresses(self, host: str, allowed_hosts: Collection[str]) -> list[str]:
        """Returns the addresses of a host, each once. Raises BadCommand if one of them is not allowed."""
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_SECONDS):
                addresses = await self._resolve(host)
        except (OSError, UnicodeError, TimeoutError):
            raise TransferBroken("fetch_failed", "fetch_no_name", host=host) from None
        if not any(same_host(host, allowed) for allowed in allowed_hosts):
            networks = await run_in_daemon_thread(self._read_networks)  # they may change at any time
            for address in addresses:
                if not is_public(address) or is_local(address, networks):
                    message_key = "fetch_private_address" if host == address else "fetch_private"
                    raise BadCommand("not_allowed", message_key, host=host, address=address)
        return list(dict.fromkeys(addresses))

    async def _get(self, url: httpx.URL, address: str) -> httpx.Response:
        """Sends GET to an address, on a connection that ends with the response.

        TLS and the header `Host` have the name of the URL. Raises `httpx.HTTPError`.
        """
        timeout = dict.fromkeys(("read", "write"), self._idle_timeout)
        timeout |= dict.fromkeys(("connect", "pool"), HTTP_CONNECT_SECONDS)
        headers = {**_HEADERS, "Host": url.netloc.decode("ascii")}
        if url.userinfo:
            credentials = f"{url.username}:{url.password}".encode()
            headers["Authorization"] = f"Basic {b64encode(credentials).decode()}"
        request = httpx.Request(
            "GET",
            url.copy_with(host=address, username=None, password=None, fragment=None),
            headers=headers,
            extensions={"timeout": timeout, "sni_hostname": host_of(url)},
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if url.scheme == "https":
            context = self._tls_context = self._tls_context or httpx.create_ssl_context()
        transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False)
        try:
            return await transport.handle_async_request(request)
        except BaseException:
            await transport.aclose()
            raise

    async def _iter_bytes(
        self, response: httpx.Response, started_at: float, timeout_seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """Yields the body in large pieces: a server may send chunks of one byte, each of which is a piece."""
        size = 0
        rate = self._minimum_rate.start(loop_time())
        pieces = aiter(response.aiter_raw())
        gathered = bytearray()
        resumed_at = loop_time()
        while True:
            try:
                whole_deadline = started_at + min(timeout_seconds, transfer_seconds(size))
                async with asyncio.timeout_at(min(whole_deadline, rate.deadline)):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                break
            except (httpx.TimeoutException, TimeoutError):
                raise BadCommand("fetch_failed", "fetch_too_slow") from None
            except httpx.HTTPError:
                raise TransferBroken("fetch_failed", "fetch_cut_off") from None
            received_at = loop_time()
            rate = rate.received(len(piece), received_at)
            size += len(piece)
            gathered += piece
            if len(gathered) >= GATHERED_BYTES:
                yield bytes(gathered)
                gathered.clear()
                # The caller may be slow as well, such as a disk: its time does not count.
                pause_seconds = loop_time() - received_at
                rate = rate.extended(pause_seconds)
                started_at += pause_seconds
            resumed_at = await yield_after_long_work(resumed_at, loop_time)
        if gathered:
            yield bytes(gathered)


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


def parse_url(text: str) -> httpx.URL:
    """Returns a URL of http or https with a host. Raises BadCommand for any other text."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        raise BadCommand("bad_command", "fetch_bad_url") from None
    try:
        host = url.raw_host and url.host
    except ValueError:  # httpx decodes Punycode, and finds letters in an address, only here
        raise BadCommand("bad_file", "fetch_bad_host") from None
    has_port = url.port is None or 1 <= url.port <= MAX_PORT
    if url.scheme not in {"http", "https"} or not host or not has_port:
        raise BadCommand("bad_command", "fetch_bad_url")
    return url


def redirect_target(url: httpx.URL, location: str) -> httpx.URL:
    """Returns the target of a redirect, without user name and password. Raises BadCommand."""
    error = BadCommand("fetch_failed", "fetch_bad_redirect", host=host_of(url))
    try:
        target = parse_url(str(url.join(location).copy_with(username=None, password=None)))
    except (BadCommand, httpx.InvalidURL, ValueError):
        raise error from None
    if target.userinfo:  # a path became the host: `http:////user@host/` has none before it is text
        raise error
    return target


def host_of(url: httpx.URL) -> str:
    """Returns the name (IDNA) or address in a URL, without brackets."""
    return url.raw_host.decode("ascii")


def filename_in(url: str) -> str:
    """Returns the last part of the path of a URL, decoded; it may be empty."""
    return parse_url(url).path.rpartition("/")[2]


def _check_response(response: httpx.Response, max_bytes: int) -> None:
    if response.status_code in RETRY_STATUSES:
        raise TemporarilyUnavailable("fetch_failed", "fetch_status", status=response.status_code)
    if not 200 <= response.status_code < 300:
        raise BadCommand("fetch_failed", "fetch_status", status=response.status_code)
    if response.headers.get("content-encoding", "") not in {"", "identity"}:
        raise BadCommand("fetch_failed", "fetch_packed")
    size = response.headers.get("content-length", "")
    if size.isascii() and size.isdigit() and int(size[:MAX_SIZE_DIGITS]) > max_bytes:
        raise DeclaredSizeTooLarge


def _is_certificate_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
