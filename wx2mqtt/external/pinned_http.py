"""The HTTP client for files by URL: one GET to an IP address that the caller has resolved and checked.

It uses no proxy of the environment, since a proxy would resolve the name again. It follows no redirect and
keeps no cookie.
"""

from __future__ import annotations

import logging
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Self

import httpx

from wx2mqtt import __version__
from wx2mqtt.h11_patterns import replace_h11_patterns
from wx2mqtt.limits import HTTP_CONNECT_SECONDS
from wx2mqtt.values import frozen

replace_h11_patterns()

# httpx and httpcore log whole URLs, with the passwords that people put into them.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_DEFAULT_PORTS = {"http": 80, "https": 443}

MAX_PORT = 65_535

_HEADERS = {
    "User-Agent": f"wx2mqtt/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",  # the size limit counts the bytes of the file, not of a compressed one
    "Connection": "close",
}


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


class PinnedHttpClient:
    """Sends each request to a given IP address, on a connection of its own.

    `idle_timeout` is in seconds without a byte. `ssl_context` is by default that of httpx, which reads
    SSL_CERT_FILE.
    """

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
        except BaseException as error:
            await transport.aclose()
            if not isinstance(error, httpx.HTTPError):
                raise
            raise _failure_of(error) from None
        return HttpResponse(response, transport)

    def _request(self, url: UrlParts, address: str) -> httpx.Request:
        timeout = {
            "connect": HTTP_CONNECT_SECONDS,
            "read": self._idle_timeout,
            "write": self._idle_timeout,
            "pool": HTTP_CONNECT_SECONDS,
        }
        headers = {**_HEADERS, "Host": url.url.netloc.decode("ascii")}
        if url.url.userinfo:
            credentials = f"{url.url.username}:{url.url.password}".encode()
            headers["Authorization"] = f"Basic {b64encode(credentials).decode()}"
        return httpx.Request(
            "GET",
            url.url.copy_with(host=address, username=None, password=None, fragment=None),
            headers=headers,
            extensions={"timeout": timeout, "sni_hostname": url.host},
        )

    def _ssl_context_for(self, url: UrlParts) -> ssl.SSLContext:
        if url.url.scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
        return self._ssl_context


class HttpResponse:
    """A response whose body was not read yet; the caller closes it, and its connection with it."""

    def __init__(self, response: httpx.Response, transport: httpx.AsyncHTTPTransport) -> None:
        self._response = response
        self._transport = transport
        self.status = response.status_code

    def header(self, name: str) -> str:
        return str(self._response.headers.get(name, ""))

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        """Yields the body in pieces. Raises ResponseTruncated, ReadTimedOut."""
        try:
            async for piece in self._response.aiter_raw():
                yield piece
        except httpx.HTTPError as error:
            raise _failure_of(error) from None

    async def close(self) -> None:
        try:
            await self._response.aclose()
        finally:
            await self._transport.aclose()


def _failure_of(error: httpx.HTTPError) -> Exception:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return BadCertificate() if _is_certificate_error(error) else ConnectFailed()
    return ReadTimedOut() if isinstance(error, httpx.TimeoutException) else ResponseTruncated()


def _is_certificate_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
