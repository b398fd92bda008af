"""Which addresses belong to the whole Internet, and not to this machine, this house or a provider. Pure.

Whoever may publish a command must not reach with it what only the bridge can reach.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

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


def _is_public(address: Address) -> bool:
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


def same_host(one: str, other: str) -> bool:
    """Whether two hosts, names or addresses, are written the same but for case, brackets and a last dot."""
    return _plain(one) == _plain(other)


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
