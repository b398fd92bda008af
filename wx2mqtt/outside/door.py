"""The only door to httpx here: one GET to an address that was looked up and checked before.

No proxy of the environment is used, since a proxy would look the name up again and go where it leads. No
redirect is followed and no cookie kept.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Self

import httpx

from wx2mqtt import __version__

CONNECT = 10.0  # seconds

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


class BadAddress(ValueError):
    """This is no address of http or https."""


class NoConnection(Exception):
    """Nobody there, or not in time: nothing came."""


class BadCertificate(Exception):
    """The server is not who it says it is."""


class CutOff(Exception):
    """The answer ended before its end, or is no HTTP."""


class Silent(Exception):
    """Nothing came for too long."""


@dataclass(frozen=True, slots=True, repr=False)
class Place:
    """Where something is. Without a repr: there may be a password in it."""

    url: httpx.URL

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises `BadAddress`."""
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, ValueError):
            raise BadAddress from None
        if url.scheme not in _PORTS or not url.host or not 1 <= _port(url) <= 65535:
            raise BadAddress
        return cls(url)

    def joined(self, location: str) -> Place:
        """Where a redirect leads. Raises `BadAddress`. Name and password stay here."""
        try:
            return Place.read(str(self.url.join(location).copy_with(username=None, password=None)))
        except (httpx.InvalidURL, ValueError):
            raise BadAddress from None

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


class Answer:
    """An answer whose body has yet to come. To be closed."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code

    def header(self, name: str) -> str:
        return str(self._response.headers.get(name, ""))

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises `CutOff`, `Silent`."""
        try:
            async for piece in self._response.aiter_raw():
                yield piece
        except httpx.TimeoutException:
            raise Silent from None
        except httpx.HTTPError:
            raise CutOff from None

    async def close(self) -> None:
        await self._response.aclose()


class Door:
    """Makes the requests; `idle` is how many seconds may pass without a byte."""

    def __init__(self, *, idle: float, trust: ssl.SSLContext | None = None) -> None:
        self._idle = idle
        self._trust = trust

    async def get(self, place: Place, address: str) -> Answer:
        """Ask for it at this address, with the name in TLS and in `Host`.

        Raises `NoConnection`, `BadCertificate`, `CutOff`, `Silent`.
        """
        transport = httpx.AsyncHTTPTransport(verify=self._trusted(place), trust_env=False)
        try:
            response = await transport.handle_async_request(self._request(place, address))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            await transport.aclose()
            raise BadCertificate if _is_about_certificates(error) else NoConnection from None
        except httpx.TimeoutException:
            await transport.aclose()
            raise Silent from None
        except httpx.HTTPError:
            await transport.aclose()
            raise CutOff from None
        except BaseException:
            await transport.aclose()
            raise
        return _Closing(response, transport)

    def _request(self, place: Place, address: str) -> httpx.Request:
        timeout = {"connect": CONNECT, "read": self._idle, "write": self._idle, "pool": CONNECT}
        return httpx.Request(
            "GET",
            place.url.copy_with(host=address, username=None, password=None, fragment=None),
            headers={**_HEADERS, "Host": place.url.netloc.decode("ascii"), **_credentials(place.url)},
            extensions={"timeout": timeout, "sni_hostname": place.host},
        )

    def _trusted(self, place: Place) -> ssl.SSLContext:
        """Certificates as httpx finds them (SSL_CERT_FILE); none are loaded where there is no TLS."""
        if place.url.scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._trust is None:
            self._trust = httpx.create_ssl_context()
        return self._trust


class _Closing(Answer):
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
