"""The HTTP client for files by URL, and which IP addresses it may reach; the only file here that knows httpx.

It makes one GET to an IP address that the caller has resolved and checked. It uses no proxy of the
environment, since a proxy would resolve the name again; it follows no redirect and keeps no cookie. Only
addresses of the public Internet are allowed: whoever may publish a command must not reach with it what only
the bridge can reach.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Self

import httpx

from wx2mqtt import __version__
from wx2mqtt.errors import BadCommand, Wx2MqttError
from wx2mqtt.h11_patterns import replace_h11_patterns
from wx2mqtt.values import frozen

CONNECT_TIMEOUT_SECONDS = 10.0


_DEFAULT_PORTS = {"http": 80, "https": 443}


MAX_PORT = 65_535


_HEADERS = {
    "User-Agent": f"wx2mqtt/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",  # the size limit counts the bytes of the file, not of a compressed one
    "Connection": "close",
}


replace_h11_patterns()

# httpx and httpcore log whole URLs, with the passwords that people put into them.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class InvalidUrl(ValueError):
    """Not a URL of http or https."""


class InvalidHost(InvalidUrl):
    """The host of a URL is written in Punycode that stands for no name."""


class ConnectFailed(Exception):
    """No connection, or not in time; nothing was received."""


class BadCertificate(Exception):
    """The certificate of the server is not valid for it."""


class ResponseTruncated(Exception):
    """The response ended too early, or is not HTTP."""


class ReadTimedOut(Exception):
    """No byte was received for too long."""


class DeclaredSizeTooLarge(Wx2MqttError):
    """It is announced to be larger than it may be."""


class TemporarilyUnavailable(BadCommand):
    """A later attempt may succeed."""


class TransferBroken(TemporarilyUnavailable):
    """A later attempt may succeed, but more likely none does; a few attempts are enough."""


@frozen(kw_only=False, repr=False)
class UrlParts:
    """A URL of http or https. Its repr is hidden, since it may hold a password."""

    url: httpx.URL

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidUrl, and InvalidHost."""
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, ValueError):
            raise InvalidUrl from None
        try:
            host = url.raw_host and url.host
        except ValueError:  # httpx decodes Punycode, and finds letters in an address, only here
            raise InvalidHost from None
        if url.scheme not in _DEFAULT_PORTS or not host or not 1 <= _port(url) <= MAX_PORT:
            raise InvalidUrl
        return cls(url)

    def join(self, location: str) -> UrlParts:
        """Returns the target of a redirect, without user name and password. Raises InvalidUrl."""
        try:
            target = UrlParts.parse(str(self.url.join(location).copy_with(username=None, password=None)))
        except (httpx.InvalidURL, ValueError):
            raise InvalidUrl from None
        if target.url.userinfo:  # a path became the host: `http:////user@host/` has none before it is text
            raise InvalidUrl
        return target

    @property
    def host(self) -> str:
        """The name (IDNA) or address, without brackets."""
        return self.url.raw_host.decode("ascii")

    @property
    def port(self) -> int:
        return _port(self.url)

    @property
    def path(self) -> str:
        """The decoded path."""
        return self.url.path


def _port(url: httpx.URL) -> int:
    return _DEFAULT_PORTS[url.scheme] if url.port is None else url.port


class HttpResponse:
    """A response whose body was not read yet; the caller closes it."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code

    def header(self, name: str) -> str:
        return str(self._response.headers.get(name, ""))

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        """Yields the body in pieces. Raises ResponseTruncated, ReadTimedOut."""
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
    """Sends each request to a given IP address; `idle_timeout` is in seconds without a byte."""

    def __init__(self, *, idle_timeout: float, ssl_context: ssl.SSLContext | None = None) -> None:
        self._idle_timeout = idle_timeout
        self._ssl_context = ssl_context

    async def get(self, url: UrlParts, address: str) -> HttpResponse:
        """Sends GET to this IP address; TLS and the header `Host` have the name of the URL.

        Raises ConnectFailed, BadCertificate, ResponseTruncated, ReadTimedOut.
        """
        transport = httpx.AsyncHTTPTransport(verify=self._ssl_context_for(url), trust_env=False)
        try:
            response = await transport.handle_async_request(self._request(url, address))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            await transport.aclose()
            raise BadCertificate if _is_certificate_error(error) else ConnectFailed from None
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
        """The default context of httpx (it reads SSL_CERT_FILE); without TLS one without certificates."""
        if url.url.scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
        return self._ssl_context


class _OwningResponse(HttpResponse):
    """A response that closes its connection with itself."""

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


def _is_certificate_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


IpAddress = IPv4Address | IPv6Address


_SPECIAL_IPV4 = tuple(
    IPv4Network(network)
    for network in (
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


_GLOBAL_IPV6 = IPv6Network("2000::/3")


_SPECIAL_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # Teredo and other special uses
        "2001:db8::/32",
        "2002::/16",  # 6to4: any IPv4 address may be inside
        "3fff::/20",
    )
)


_NAT64 = IPv6Network("64:ff9b::/96")
"""IPv4 addresses as a network with IPv6 only writes them."""


def is_public(address: str) -> bool:
    """Returns whether the address is public; False for a text that is not an address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return _is_public(parsed)


def _is_public(address: IpAddress) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_IPV4)
    embedded = _embedded_ipv4(address)
    if embedded is not None:
        return _is_public(embedded)
    if address.scope_id is not None:
        return False
    return address in _GLOBAL_IPV6 and not any(address in network for network in _SPECIAL_IPV6)


def plain_address(address: str) -> IpAddress | None:
    """Returns an address without its zone, as IPv4 where IPv6 only writes one; None for another text."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return parsed if isinstance(parsed, IPv4Address) else _embedded_ipv4(parsed) or parsed


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    if address not in _NAT64:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFF_FFFF)


def same_host(first: str, second: str) -> bool:
    """Returns whether two names or addresses are the same but for case, brackets, IDNA and a last dot."""
    return _normalize(first) == _normalize(second)


def _normalize(host: str) -> str:
    name = host.strip("[]").rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return httpx.URL(scheme="http", host=name).raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError):
        return name
