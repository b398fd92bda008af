"""Which Host and Origin headers mean this server. Pure.

A page of another site can let its own host name resolve to our address (DNS rebinding); for the browser it
then has our origin. The Host header still holds that name, so only our own names are allowed. IP addresses
cannot be taken over in this way.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from wx2mqtt.web.options import IpNetwork, WebOptions

# broker.local, 192.168.1.10:8099, [::1]:8099
_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253})(?::([0-9]{0,5}))?", re.ASCII)
# https://broker.local:8099
_ORIGIN = re.compile(r"(https?)://([^/?#]*)", re.ASCII | re.IGNORECASE)
_IPV6_NETWORK_BITS = 64  # of the network that one customer has
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class AllowedHosts:
    """The names and addresses under which this server may be called."""

    def __init__(self, options: WebOptions) -> None:
        listen_address = parse_address(options.host)
        self._allows_any_address = listen_address is not None and listen_address.is_unspecified
        self._allows_loopback = options.host == "localhost" or (
            listen_address is not None and listen_address.is_loopback
        )
        self._configured_names = {normalized_host(name) for name in options.hosts}
        self._allowed_names = {*self._configured_names, normalized_host(options.host), "localhost"}
        self._public_origin = ""
        if options.url:
            self._allowed_names.add(normalized_host(urlsplit(options.url).hostname or ""))
            self._public_origin = _origin(options.url)

    def is_allowed(self, host_header: str) -> bool:
        """Returns whether a Host header names this server. The port is ignored: it may be that of a proxy."""
        name = host_of_header(host_header)
        if name in self._allowed_names:
            return True
        address = parse_address(name)
        if address is None:
            return False
        return self._allows_any_address or (self._allows_loopback and address.is_loopback)

    def is_same_origin(self, origin_header: str, host_header: str) -> bool:
        """Returns whether a page of this Origin is ours, in a request with this Host header."""
        origin = _origin(origin_header)
        if not origin:  # also for "null", which a browser sends for files and sandboxed frames
            return False
        scheme, _, netloc = origin.partition("://")
        return (
            netloc == _netloc(host_header, scheme)
            or origin == self._public_origin
            or host_of_header(netloc) in self._configured_names
        )


def host_of_header(host_header: str) -> str:
    """Returns the normalized host of a Host header; empty if the header is malformed."""
    match = _HOST_AND_PORT.fullmatch(host_header)
    return normalized_host(match[1]) if match else ""


def normalized_host(host: str) -> str:
    """Returns the form of a name or address in which hosts are compared."""
    address = parse_address(host)
    return str(address) if address is not None else host.lower().removesuffix(".")


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """Returns the IP address that `host` is, None for a name. An IPv4-mapped IPv6 address becomes IPv4."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def client_network(address: str) -> str:
    """Returns what counts as one client: an IPv4 address, or the /64 of IPv6 that one customer has."""
    parsed = parse_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, _IPV6_NETWORK_BITS), strict=False))
    return address if parsed is None else str(parsed)


def is_in_networks(address: str, networks: tuple[IpNetwork, ...]) -> bool:
    """Returns whether an address is in one of these networks; false for a text that is no address."""
    parsed = parse_address(address)
    return parsed is not None and any(
        parsed.version == network.version and parsed in network for network in networks
    )


def _origin(url: str) -> str:
    """Returns the scheme, host and port of an HTTP URL, normalized; empty if it is none."""
    match = _ORIGIN.match(url)  # urlsplit drops control characters before it splits
    if match is None:
        return ""
    scheme = match[1].lower()
    netloc = _netloc(match[2], scheme)
    return f"{scheme}://{netloc}" if netloc else ""


def _netloc(netloc: str, scheme: str) -> str:
    """Returns host and port, normalized and with the port always there; empty if malformed."""
    match = _HOST_AND_PORT.fullmatch(netloc)
    if match is None:
        return ""
    host = normalized_host(match[1])
    port = match[2] or _DEFAULT_PORTS[scheme]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
