"""Creates the transports of httpx over which the calls to WeChat go, as the environment demands.

The environment names the proxies, and the certificates to trust. An `endpoint` is the base URL of a server
that replaces WeChat; no proxy stands before it.
"""

from __future__ import annotations

import logging
import os
import ssl
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.request import getproxies

import httpx

from wx2mqtt.clock import Lease
from wx2mqtt.values import frozen
from wx2mqtt.wechat.http_transport import Http11Transport, OccasionalTransport

# Servers usually close an idle connection after 5 s. The client closes it first, so that no request is sent
# on a closed connection.
KEEP_ALIVE_SECONDS = 4.0

MAX_CONNECTIONS = 20


@frozen
class Transports:
    """The connections of one account: for the calls made at every message or poll, and for all others.

    `takes_target` says that `regular` writes the extension `target` of httpx into the request line, in place
    of path and query of the URL.
    """

    regular: httpx.AsyncBaseTransport
    other: httpx.AsyncBaseTransport
    takes_target: bool = False

    async def close(self) -> None:
        """Closes all connections."""
        await self.regular.aclose()
        await self.other.aclose()


def create_transports(endpoint: str | None, lease: Lease) -> Transports:
    """Returns the connections to `endpoint`, or to WeChat; regular calls are written under a valid `lease`.

    | calls | transport |
    |---|---|
    | all, to WeChat through a proxy | that of httpx's client, which chooses the proxy of each host |
    | regular ones | `Http11Transport`, which takes less than half the CPU of httpx's |
    | all others | httpx's, closed while nobody uses it |
    """
    _silence_httpx()
    context = tls_context(endpoint)
    limits = httpx.Limits(
        max_connections=MAX_CONNECTIONS,
        max_keepalive_connections=MAX_CONNECTIONS,
        keepalive_expiry=KEEP_ALIVE_SECONDS,
    )
    if endpoint is None and _has_proxy():
        proxied = ProxiedTransport(context, limits)
        return Transports(regular=proxied, other=proxied)
    return Transports(
        regular=Http11Transport(
            context, lease, max_connections=MAX_CONNECTIONS, keep_alive_seconds=KEEP_ALIVE_SECONDS
        ),
        other=OccasionalTransport(
            lambda: httpx.AsyncHTTPTransport(verify=context, limits=limits), idle_seconds=KEEP_ALIVE_SECONDS
        ),
        takes_target=True,
    )


def _silence_httpx() -> None:
    """Turns off the logs of httpx: they have whole addresses and headers, and so the secrets of a login."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _has_proxy() -> bool:
    """Returns whether the environment names a proxy, for any host; httpx looks for the same."""
    proxies = getproxies()
    return any(proxies.get(scheme) for scheme in ("http", "https", "all"))


class ProxiedTransport(httpx.AsyncBaseTransport):
    """Sends each request through the proxy that the environment names for its host, if any.

    Only httpx's client reads the environment. It takes three times as long for a request as a transport.
    """

    def __init__(self, context: ssl.SSLContext, limits: httpx.Limits) -> None:
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # the backends handle them themselves
        self._client = httpx.AsyncClient(verify=context, limits=limits, cookies=no_cookies)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._client.send(request, stream=True)

    async def aclose(self) -> None:
        await self._client.aclose()


def tls_context(endpoint: str | None) -> ssl.SSLContext:
    """Returns a TLS context with the certificates of the environment, else those of httpx.

    It has none for an endpoint without TLS. All accounts share one context, since it takes a megabyte.
    """
    if endpoint is not None and endpoint.startswith("http:"):
        return _empty_context()
    return _context_with(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=1)
def _empty_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@lru_cache(maxsize=1)
def _context_with(cert_file: str | None, cert_folder: str | None) -> ssl.SSLContext:
    if cert_file:
        return ssl.create_default_context(cafile=cert_file)
    if cert_folder:
        return ssl.create_default_context(capath=cert_folder)
    return httpx.create_ssl_context(trust_env=False)
