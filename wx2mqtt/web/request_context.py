"""What a request says of itself: its client, language and session, and the fields of its form.

The middleware reads the headers (`client_info`, `preferred_language`), and puts a `RequestContext` into the
scope. The pages read it there (`context_of`), and their forms with `read_form`.

Headers about the client count only if they come from a trusted proxy: every client can send them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from wx2mqtt.i18n import Language
from wx2mqtt.values import frozen
from wx2mqtt.web.allowed_hosts import host_of_header, is_in_networks, parse_address
from wx2mqtt.web.options import WebOptions

SESSION_COOKIE = "wx2mqtt"
LANGUAGE_COOKIE = "wx2mqtt_language"  # set when a person chooses a language on the page

MAX_HEAD_BYTES = 32 * 1024  # other servers on this host may have set large cookies
MAX_BODY_BYTES = 16 * 1024  # far more than any form of the page has
MAX_FORM_FIELDS = 10
FORM_TIMEOUT_SECONDS = 10.0

CONTEXT_KEY = "wx2mqtt.context"  # in the scope: where the middleware puts the `RequestContext`

# Headers with the path below which a proxy shows the page, such as `/wechat`. That of Home Assistant's
# Ingress has precedence.
_INGRESS_HEADER = "x-ingress-path"
_PREFIX_HEADERS = (_INGRESS_HEADER, "x-forwarded-prefix")


@frozen
class ClientInfo:
    """The client as the server sees it, behind trusted proxies."""

    #: Its IP address; empty if unknown.
    address: str
    #: Whether the client itself uses https.
    is_https: bool
    #: The path below which the client sees the page: what a proxy says, else `WebOptions.prefix`.
    prefix: str


@frozen
class RequestContext:
    """What the middleware's checks of a request have found."""

    client: ClientInfo
    language: Language
    #: The key in the browser's cookie; empty without one.
    session_key: str
    #: False for a client that has not authenticated: it gets public paths only, and few details.
    is_allowed: bool = False


def context_of(scope: Scope) -> RequestContext:
    context = scope[CONTEXT_KEY]
    assert isinstance(context, RequestContext)
    return context


# The client


def client_info(peer: str, headers: Mapping[str, str], options: WebOptions) -> ClientInfo:
    """Returns the client behind a connection from the address `peer`; names in `headers` in lower case."""
    if not is_in_networks(peer, options.proxies):
        return ClientInfo(address=_normalized_address(peer), is_https=False, prefix=options.prefix)
    scheme = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
    prefixes = (headers.get(name, "") for name in _PREFIX_HEADERS)
    prefix = next((prefix.rstrip("/") for prefix in prefixes if _is_plain_path(prefix)), options.prefix)
    return ClientInfo(
        address=_forwarded_address(peer, headers.get("x-forwarded-for", ""), options),
        is_https=scheme == "https",
        prefix=prefix,
    )


def _forwarded_address(proxy: str, forwarded_for: str, options: WebOptions) -> str:
    """Returns the last address of X-Forwarded-For that is not a trusted proxy's.

    Each proxy adds the address of its caller at the end. The addresses before that of an unknown caller may
    be made up. Where all are proxies, returns the first one that is known.
    """
    address = _normalized_address(proxy)
    for hop in reversed(forwarded_for.split(",")):
        hop_address = _normalized_address(hop.strip())
        if not hop_address:
            return address
        address = hop_address
        if not is_in_networks(address, options.proxies):
            return address
    return address


# A request with one of these comes through a proxy.
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", _INGRESS_HEADER)


def is_local(request: Request) -> bool:
    """Returns whether the client is a browser on this machine, and no proxy on it that passes on others."""
    if any(header in request.headers for header in _PROXY_HEADERS):
        return False
    client = parse_address(context_of(request.scope).client.address)
    if client is None or not client.is_loopback:
        return False
    host = host_of_header(request.headers.get("host", ""))
    host_address = parse_address(host)
    return host == "localhost" or (host_address is not None and host_address.is_loopback)


def has_ingress_path(headers: Mapping[str, str]) -> bool:
    """Returns whether Home Assistant's Ingress says below which path the browser sees the page."""
    return _is_plain_path(headers.get(_INGRESS_HEADER, ""))


# A path such as /wechat, of at most ten names.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_.~-]+){1,10}/?", re.ASCII)


def _is_plain_path(path: str) -> bool:
    return _PREFIX.fullmatch(path) is not None and not {".", ".."} & {*path.split("/")}


def _normalized_address(address: str) -> str:
    """Returns the address without its zone; empty if it is none."""
    parsed = parse_address(address.partition("%")[0])
    return "" if parsed is None else str(parsed)


# The form


class BadForm(Exception):
    """A form that cannot be read, with what answers it: a status, and a key of `SERVER_MESSAGES`."""

    def __init__(self, status: HTTPStatus, message_key: str) -> None:
        super().__init__(message_key)
        self.status = status
        self.message_key = message_key


async def read_form(request: Request) -> dict[str, str]:
    """Returns the fields, the first of each name.

    Raises `BadForm` for more bytes or fields than any form of the page has, and for a form that is too slow.
    """
    body = b""
    try:
        async with asyncio.timeout(FORM_TIMEOUT_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise BadForm(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")
    except (TimeoutError, ClientDisconnect):
        raise BadForm(HTTPStatus.REQUEST_TIMEOUT, "body_too_slow") from None
    text = body.decode("utf-8", "replace")
    try:
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        raise BadForm(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large") from None
    return {name: values[0] for name, values in fields.items()}


# The language


# An item of Accept-Language, such as `zh-CN;q=0.8`.
_LANGUAGE_RANGE = re.compile(r"\s*([A-Za-z*-]{1,20})\s*(?:;\s*q\s*=\s*([0-9.]{1,5})\s*)?", re.ASCII)
_MAX_ACCEPT_LANGUAGE_CHARACTERS = 500


def preferred_language(accept_language: str, default: Language) -> Language:
    """Returns the available language that Accept-Language prefers (RFC 9110, 12.5.4), else `default`."""
    best_quality, language = 0.0, default
    for part in accept_language[:_MAX_ACCEPT_LANGUAGE_CHARACTERS].split(","):
        match = _LANGUAGE_RANGE.fullmatch(part)
        primary_tag = match[1].lower().partition("-")[0] if match else ""
        if not match or primary_tag not in {"en", "zh"}:
            continue
        try:
            quality = float(match[2] or 1)
        except ValueError:
            continue
        if quality > best_quality:
            best_quality, language = quality, "zh" if primary_tag == "zh" else "en"
    return language
