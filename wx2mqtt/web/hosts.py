"""Which names this server answers to, and whether a form was sent by one of its own pages. Pure.

A page elsewhere may let its own name lead to our address (DNS rebinding) and would then be of our origin for
the browser. Its name betrays it: a name must be one of ours. An address is nobody's to give.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from wx2mqtt.web.options import Options

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253})(?::([0-9]{0,5}))?", re.ASCII)
_USUAL = {"http": "80", "https": "443"}


class Hosts:
    """The names and addresses in the Host header that mean this server."""

    def __init__(self, options: Options) -> None:
        listens = address_of(options.host)
        self._any_address = listens is not None and listens.is_unspecified
        self._loopback = options.host == "localhost" or (listens is not None and listens.is_loopback)
        self._chosen = {plain(name) for name in options.hosts}
        self._names = {*self._chosen, plain(options.host), "localhost"}
        self._outside = ""
        if options.url:
            parts = urlsplit(options.url)
            self._names.add(plain(parts.hostname or ""))
            self._outside = _origin(options.url)

    def answers_to(self, header: str) -> bool:
        """Whether a Host header names us; the port may be a proxy's and says nothing."""
        name = host_in(header)
        address = address_of(name)
        if name in self._names:
            return True
        if address is None:
            return False
        return self._any_address or (self._loopback and address.is_loopback)

    def own_page(self, origin: str, host: str) -> bool:
        """Whether a page of that Origin is ours, when the request came to that Host."""
        known = _origin(origin)
        if not known:  # "null" too: a file, a sandboxed frame
            return False
        scheme, _, netloc = known.partition("://")
        asked = _netloc(host, scheme)
        return netloc == asked or known == self._outside or host_in(netloc) in self._chosen


def host_in(header: str) -> str:
    """The host of a Host header as it is compared; empty if there is none."""
    found = _HOST.fullmatch(header)
    return plain(found[1]) if found else ""


def plain(host: str) -> str:
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
    return f"[{plain(found[1])}]:{port}" if ":" in plain(found[1]) else f"{plain(found[1])}:{port}"
