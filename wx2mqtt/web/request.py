"""The fields of a form, read with a bound in size and time.

What the web server is told. Values; what each must look like was checked with the settings.

Which names this server answers to, and whether a form was sent by one of its own pages. Pure.

A page elsewhere may let its own name lead to our address (DNS rebinding) and would then be of our origin for
the browser. Its name betrays it: a name must be one of ours. An address is nobody's to give.

Who asks: the client's address, its scheme and the path it knows us by. Pure.

What a header says of that counts only from a proxy that the owner trusts: anybody can write a header.

What the gate knows about a request, for those who answer it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import parse_qs, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from wx2mqtt.i18n.bridge import Language
from wx2mqtt.web.options import IpNetwork, WebOptions

MAX_HEAD_BYTES = 32 * 1024  # of a request; other servers on this host may have left their cookies


MAX_BODY_BYTES = 16 * 1024  # bytes; no form of ours comes near


FORM_TIMEOUT_SECONDS = 10.0  # seconds in which the form must have come


MAX_FORM_FIELDS = 10


class FormTooSlowError(Exception):
    """The form did not come to its end."""


class FormTooLargeError(Exception):
    """The form is none of ours."""


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name; raises `FormTooLargeError`, `FormTooSlowError`."""
    try:
        async with asyncio.timeout(FORM_TIMEOUT_SECONDS):
            body = await _body(request)
    except (TimeoutError, ClientDisconnect):
        raise FormTooSlowError from None
    try:
        fields = parse_qs(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS
        )
    except ValueError:
        raise FormTooLargeError from None
    return {name: values[0] for name, values in fields.items()}


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise FormTooLargeError
    return body


_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253})(?::([0-9]{0,5}))?", re.ASCII)


_USUAL = {"http": "80", "https": "443"}


class AllowedHosts:
    """The names and addresses in the Host header that mean this server."""

    def __init__(self, options: WebOptions) -> None:
        listens = address_of(options.host)
        self._allows_any_address = listens is not None and listens.is_unspecified
        self._allows_loopback = options.host == "localhost" or (listens is not None and listens.is_loopback)
        self._configured_names = {normalized_host(name) for name in options.hosts}
        self._allowed_names = {*self._configured_names, normalized_host(options.host), "localhost"}
        self._public_origin = ""
        if options.url:
            parts = urlsplit(options.url)
            self._allowed_names.add(normalized_host(parts.hostname or ""))
            self._public_origin = _origin(options.url)

    def is_allowed(self, header: str) -> bool:
        """Whether a Host header names us; the port may be a proxy's and says nothing."""
        name = host_of_header(header)
        address = address_of(name)
        if name in self._allowed_names:
            return True
        if address is None:
            return False
        return self._allows_any_address or (self._allows_loopback and address.is_loopback)

    def is_same_origin(self, origin: str, host: str) -> bool:
        """Whether a page of that Origin is ours, when the request came to that Host."""
        known = _origin(origin)
        if not known:  # "null" too: a file, a sandboxed frame
            return False
        scheme, _, netloc = known.partition("://")
        asked = _netloc(host, scheme)
        return (
            netloc == asked
            or known == self._public_origin
            or host_of_header(netloc) in self._configured_names
        )


def host_of_header(header: str) -> str:
    """The host of a Host header as it is compared; empty if there is none."""
    found = _HOST.fullmatch(header)
    return normalized_host(found[1]) if found else ""


def normalized_host(host: str) -> str:
    """A name or address in the one form in which it is compared."""
    address = address_of(host)
    return str(address) if address is not None else host.lower().removesuffix(".")


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that is written there, None for a name; an IPv4 address within IPv6 is the former."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _origin(url: str) -> str:
    """Scheme, host and port of a URL, as they are compared; empty when it has none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in _USUAL:
        return ""
    netloc = _netloc(parts.netloc, parts.scheme)
    return f"{parts.scheme}://{netloc}" if netloc else ""


def _netloc(netloc: str, scheme: str) -> str:
    found = _HOST.fullmatch(netloc)
    if found is None:
        return ""
    port = found[2] or _USUAL[scheme]
    return (
        f"[{normalized_host(found[1])}]:{port}"
        if ":" in normalized_host(found[1])
        else f"{normalized_host(found[1])}:{port}"
    )


_PREFIX = re.compile(r"(?:/[A-Za-z0-9_.~-]+){1,10}/?", re.ASCII)


_PREFIX_HEADERS = ("x-ingress-path", "x-forwarded-prefix")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientInfo:
    """`address` is empty when unknown; `secure`: the client speaks https; `prefix` as in `WebOptions`."""

    address: str
    is_https: bool
    prefix: str


def client_info(peer: str, headers: Mapping[str, str], options: WebOptions) -> ClientInfo:
    """Who stands behind a connection from `peer`. The names of `headers` are in small letters."""
    if not _trusted(peer, options.proxies):
        return ClientInfo(address=_plain(peer), is_https=False, prefix=options.prefix)
    scheme = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
    return ClientInfo(
        address=_client(peer, headers.get("x-forwarded-for", ""), options.proxies),
        is_https=scheme == "https",
        prefix=_prefix(headers, options.prefix),
    )


def _client(peer: str, chain: str, proxies: tuple[IpNetwork, ...]) -> str:
    """The last address that no trusted proxy has: what stands before it was written by the client itself."""
    nearest = _plain(peer)
    for written in reversed(chain.split(",")):
        address = _plain(written.strip())
        if not address:
            break
        nearest = address
        if not _trusted(address, proxies):
            break
    return nearest


def _prefix(headers: Mapping[str, str], default: str) -> str:
    for name in _PREFIX_HEADERS:
        told = headers.get(name, "")
        if _PREFIX.fullmatch(told) and not {".", ".."} & {*told.split("/")}:
            return told.rstrip("/")
    return default


def _trusted(address: str, proxies: tuple[IpNetwork, ...]) -> bool:
    known = address_of(address)
    return known is not None and any(known.version == net.version and known in net for net in proxies)


def _plain(address: str) -> str:
    known = address_of(address.partition("%")[0])
    return "" if known is None else str(known)


LANGUAGE_COOKIE = "wx2mqtt_language"
"""The cookie with the language that somebody chose here."""


_KEY = "wx2mqtt.visit"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """Who asks, in which language to answer, and the key of the browser's session (empty: none).

    `welcome` is false for a stranger, who may see little of what is open to everybody.
    """

    client: ClientInfo
    language: Language
    session_key: str
    is_allowed: bool = False


def store_context(scope: Scope, context: RequestContext) -> None:
    """Let those who answer know."""
    scope[_KEY] = context


def context_of(scope: Scope) -> RequestContext:
    """What was put there."""
    visit = scope[_KEY]
    assert isinstance(visit, RequestContext)
    return visit
