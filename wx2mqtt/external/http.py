"""The only door to httpx here: one GET to an address that was looked up and checked before.

No proxy of the environment is used, since a proxy would look the name up again and go where it leads. No
redirect is followed and no cookie kept.

Which addresses belong to the whole Internet, and not to this machine, this house or a provider. Pure.

Whoever may publish a command must not reach with it what only the bridge can reach.

Why something outside is not to be had.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Self

import httpx

from wx2mqtt import __version__
from wx2mqtt.errors import BadCommand, Wx2MqttError

CONNECT_TIMEOUT_SECONDS = 10.0  # seconds


# httpx and httpcore would write whole addresses into the log, with the passwords that people put there.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


_PORTS = {"http": 80, "https": 443}


_HEADERS = {
    "User-Agent": f"wx2mqtt/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",  # what comes is counted as it comes
    "Connection": "close",
}


class InvalidUrl(ValueError):
    """This is no address of http or https."""


class ConnectFailed(Exception):
    """Nobody there, or not in time: nothing came."""


class BadCertificate(Exception):
    """The server is not who it says it is."""


class ResponseTruncated(Exception):
    """The answer ended before its end, or is no HTTP."""


class ReadTimedOut(Exception):
    """Nothing came for too long."""


@dataclass(frozen=True, slots=True, repr=False)
class UrlParts:
    """Where something is. Without a repr: there may be a password in it."""

    url: httpx.URL

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `InvalidUrl`."""
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, ValueError):
            raise InvalidUrl from None
        if url.scheme not in _PORTS or not url.host or not 1 <= _port(url) <= 65535:
            raise InvalidUrl
        return cls(url)

    def join(self, location: str) -> UrlParts:
        """Where a redirect leads. Raises `InvalidUrl`. Name and password stay here."""
        try:
            return UrlParts.parse(str(self.url.join(location).copy_with(username=None, password=None)))
        except (httpx.InvalidURL, ValueError):
            raise InvalidUrl from None

    @property
    def host(self) -> str:
        """The name or address in ASCII, without brackets."""
        return self.url.raw_host.decode("ascii")

    @property
    def port(self) -> int:
        return _port(self.url)

    @property
    def path(self) -> str:
        """The path, decoded."""
        return self.url.path


def _port(url: httpx.URL) -> int:
    return _PORTS[url.scheme] if url.port is None else url.port


class HttpResponse:
    """An answer whose body has yet to come. To be closed."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code

    def header(self, name: str) -> str:
        return str(self._response.headers.get(name, ""))

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises `ResponseTruncated`, `ReadTimedOut`."""
        try:
            async for piece in self._response.aiter_raw():
                yield piece
        except httpx.TimeoutException:
            raise ReadTimedOut from None
        except httpx.HTTPError:
            raise ResponseTruncated from None

    async def close(self) -> None:
        await self._response.aclose()


class PinnedHttpClient:
    """Makes the requests; `idle` is how many seconds may pass without a byte."""

    def __init__(self, *, idle_timeout: float, ssl_context: ssl.SSLContext | None = None) -> None:
        self._idle_timeout = idle_timeout
        self._ssl_context = ssl_context

    async def get(self, url: UrlParts, address: str) -> HttpResponse:
        """Ask for it at this address, with the name in TLS and in `HostOption`.

        Raises `ConnectFailed`, `BadCertificate`, `ResponseTruncated`, `ReadTimedOut`.
        """
        transport = httpx.AsyncHTTPTransport(verify=self._ssl_context_for(url), trust_env=False)
        try:
            response = await transport.handle_async_request(self._request(url, address))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            await transport.aclose()
            raise BadCertificate if _is_about_certificates(error) else ConnectFailed from None
        except httpx.TimeoutException:
            await transport.aclose()
            raise ReadTimedOut from None
        except httpx.HTTPError:
            await transport.aclose()
            raise ResponseTruncated from None
        except BaseException:
            await transport.aclose()
            raise
        return _OwningResponse(response, transport)

    def _request(self, url: UrlParts, address: str) -> httpx.Request:
        timeout = {
            "connect": CONNECT_TIMEOUT_SECONDS,
            "read": self._idle_timeout,
            "write": self._idle_timeout,
            "pool": CONNECT_TIMEOUT_SECONDS,
        }
        return httpx.Request(
            "GET",
            url.url.copy_with(host=address, username=None, password=None, fragment=None),
            headers={**_HEADERS, "Host": url.url.netloc.decode("ascii"), **_credentials(url.url)},
            extensions={"timeout": timeout, "sni_hostname": url.host},
        )

    def _ssl_context_for(self, url: UrlParts) -> ssl.SSLContext:
        """Certificates as httpx finds them (SSL_CERT_FILE); none are loaded where there is no TLS."""
        if url.url.scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
        return self._ssl_context


class _OwningResponse(HttpResponse):
    """An answer with a connection of its own."""

    def __init__(self, response: httpx.Response, transport: httpx.AsyncHTTPTransport) -> None:
        super().__init__(response)
        self._transport = transport

    async def close(self) -> None:
        try:
            await super().close()
        finally:
            await self._transport.aclose()


def _credentials(url: httpx.URL) -> Mapping[str, str]:
    if not url.username and not url.password:
        return {}
    request = next(httpx.BasicAuth(url.username, url.password).sync_auth_flow(httpx.Request("GET", url)))
    return {"Authorization": request.headers["Authorization"]}


def _is_about_certificates(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


IpAddress = IPv4Address | IPv6Address


_NOT_FOR_ALL = tuple(
    IPv4Network(one)
    for one in (
        "0.0.0.0/8",  # "this host": connecting to it reaches this machine
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a provider's NAT
        "127.0.0.0/8",
        "168.63.129.16/32",  # the metadata server of one cloud; those of the others are link-local or private
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)


_FOR_ALL_6 = IPv6Network("2000::/3")


_NOT_FOR_ALL_6 = tuple(
    IPv6Network(one)
    for one in (
        "2001::/23",  # Teredo and other special uses
        "2001:db8::/32",
        "2002::/16",  # 6to4: any IPv4 address may be inside
        "3fff::/20",
    )
)


_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 addresses as a network that has only IPv6 writes them."""


def is_public(address: str) -> bool:
    """Whether it is an address that everybody can reach; False for what is no address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return _is_public(found)


def _is_public(address: IpAddress) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_FOR_ALL)
    inner = address.ipv4_mapped
    if inner is None and address in _TRANSLATED:
        inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    if inner is not None:
        return _is_public(inner)
    if address.scope_id is not None:
        return False
    return address in _FOR_ALL_6 and not any(address in network for network in _NOT_FOR_ALL_6)


def same_host(first: str, second: str) -> bool:
    """Whether two hosts, names or addresses, are written the same but for case, brackets and a last dot."""
    return _plain(first) == _plain(second)


def _plain(host: str) -> str:
    name = host.strip("[]").rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return name


class DeclaredSizeTooLarge(Wx2MqttError):
    """It is announced to be larger than it may be."""


class TemporarilyUnavailable(BadCommand):
    """It may be had in a moment; whoever has the time tries again."""


class TransferBroken(TemporarilyUnavailable):
    """It may be had in a moment, and more likely never; a few tries are enough."""
