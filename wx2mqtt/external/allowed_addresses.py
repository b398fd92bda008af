"""Which addresses a file may be fetched from: public ones (`is_public`), outside of the local networks.

The local networks (`read_local_networks`) are those that this machine reaches without a router: its own
addresses, and the prefixes on its links. They are read from the routing tables in /proc, which also have the
prefixes that a router announced for a link. The sandbox of the systemd service allows no netlink, which
libraries for interfaces need.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path

import httpx

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

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

# IPv4 addresses as a network with IPv6 only writes them.
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Returns whether the address is public; False for one with a zone, and for any other text."""
    parsed = plain_address(address)
    if parsed is None or "%" in address:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _SPECIAL_IPV4)
    return parsed in _GLOBAL_IPV6 and not any(parsed in network for network in _SPECIAL_IPV6)


def plain_address(address: str) -> IpAddress | None:
    """Returns an address without its zone, as IPv4 where IPv6 only writes one; None for another text."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, IPv4Address):
        return parsed
    if parsed in _NAT64:
        return IPv4Address(int(parsed) & 0xFFFF_FFFF)
    return parsed.ipv4_mapped or parsed


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


# Local networks

# Of this process's network namespace; /proc/net is hidden in the sandbox of the systemd service.
READ_FOLDER = Path("/proc/self/net")

# A shorter prefix on a link is no local network but a tunnel through which the internet is reached.
MIN_IPV4_PREFIX_BITS = 8
MIN_IPV6_PREFIX_BITS = 32

_TRIE_ADDRESS = re.compile(r"\|-- ([0-9.]{7,15})$")
_TRIE_ROUTE = re.compile(r"/([0-9]{1,2}) (?:host LOCAL|link UNICAST)$")

# Columns of if_inet6 and of ipv6_route, and bits of its flags (include/uapi/linux/route.h, ipv6_route.h).
_ADDRESS_COLUMNS = 6
_ROUTE_COLUMNS = 10
_RTF_UP = 0x0001
_RTF_GATEWAY = 0x0002
_RTF_REJECT = 0x0200

# Returns the own and on-link networks. Blocking, but short.
ReadNetworks = Callable[[], Collection[IpNetwork]]


def read_local_networks() -> tuple[IpNetwork, ...]:
    """Returns the networks of now, IPv4 and IPv6.

    Where there is no /proc (not Linux), these are the networks around the addresses of the host's own name.
    """
    if not READ_FOLDER.is_dir():
        return tuple(_networks_of_host_name())
    return (*ipv4_networks(_read("fib_trie")), *ipv6_networks(_read("ipv6_route"), _read("if_inet6")))


def is_local(address: str, networks: Collection[IpNetwork]) -> bool:
    """Returns whether an address is in one of the networks, also an IPv4 address that IPv6 only writes."""
    parsed = plain_address(address)
    return parsed is not None and any(parsed in network for network in networks)


def ipv4_networks(fib_trie: str) -> Iterator[IPv4Network]:
    """Yields own addresses and on-link prefixes of all routing tables, from the text of `fib_trie`."""
    address = ""
    for line in fib_trie.split("\n"):
        if (match := _TRIE_ADDRESS.search(line)) is not None:
            address = match[1]
        match = _TRIE_ROUTE.search(line)
        if address and match is not None and int(match[1]) >= MIN_IPV4_PREFIX_BITS:
            yield IPv4Network(f"{address}/{match[1]}", strict=False)


def ipv6_networks(ipv6_route: str, if_inet6: str) -> Iterator[IPv6Network]:
    """Yields own addresses with their prefixes, and on-link prefixes, from the texts of these files."""
    for columns in _table_rows(if_inet6, _ADDRESS_COLUMNS):
        yield from _ipv6_network(columns[0], columns[2])
    for columns in _table_rows(ipv6_route, _ROUTE_COLUMNS):
        target, prefix_bits, _, _, gateway, _, _, _, flags, _ = columns
        is_on_link = int(flags, 16) & (_RTF_UP | _RTF_GATEWAY | _RTF_REJECT) == _RTF_UP
        if is_on_link and not int(gateway, 16):
            yield from _ipv6_network(target, prefix_bits)


def _table_rows(table: str, column_count: int) -> Iterator[list[str]]:
    """Yields the columns of each line; the last one is the name of an interface.

    It may have any sign but a blank, also one that other functions take for the end of a line or for a blank.
    """
    for line in table.split("\n"):
        columns = line.split(" ", column_count - 1)
        if len(columns) == column_count:
            yield columns


def _ipv6_network(address: str, prefix_bits: str) -> Iterator[IPv6Network]:
    """Yields the network of a hexadecimal address and prefix length, unless it is too large."""
    bits = int(prefix_bits, 16)
    if bits >= MIN_IPV6_PREFIX_BITS:
        yield IPv6Network((IPv6Address(int(address, 16)), bits), strict=False)


def _read(name: str) -> str:
    """Returns the text of a file; empty without it, such as on a machine without IPv6.

    The name of an interface may be any bytes.
    """
    with suppress(OSError):
        return (READ_FOLDER / name).read_text(encoding="utf-8", errors="replace")
    return ""


def _networks_of_host_name() -> Iterator[IpNetwork]:
    with suppress(OSError):
        for family, *_, socket_address in socket.getaddrinfo(socket.gethostname(), None):
            address = str(socket_address[0]).partition("%")[0]
            yield ip_network(f"{address}/{64 if family is socket.AF_INET6 else 24}", strict=False)
