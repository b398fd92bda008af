"""What this machine reaches without a router."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import psutil
import pytest

from wx2mqtt.errors import BadCommand
from wx2mqtt.external.local_networks import ipv4_networks, ipv6_networks, is_local, read_local_networks
from wx2mqtt.external.url_fetch import UrlFetcher

FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 link UNICAST
     +-- 93.184.216.0/24 2 0 2
        |-- 93.184.216.0
           /24 link UNICAST
        |-- 93.184.216.34
           /32 host LOCAL
        |-- 93.184.216.255
           /32 link BROADCAST
     |-- 128.0.0.0
        /1 link UNICAST
     |-- 151.101.0.0
        /16 universe UNICAST
Id 200:
  |-- 1.2.3.0
     /24 link UNICAST
"""
ZERO = "0" * 32
ROUTE = "{} {:02x} " + ZERO + " 00 {} 00000100 00000001 00000000 {:08x} eth0\n"


def hexadecimal(address: str) -> str:
    return f"{int(ip_address(address)):032x}"


IPV6_ROUTE = "".join(
    (
        ROUTE.format(hexadecimal("2a02:1:2:3::"), 64, ZERO, 0x1),
        ROUTE.format(hexadecimal("2a02:1:2:4::5"), 128, ZERO, 0x80200001),
        ROUTE.format(hexadecimal("2a02:9::"), 48, hexadecimal("fe80::1"), 0x3),
        ROUTE.format(hexadecimal("2a02:8::"), 48, ZERO, 0x00200200),  # unreachable
        ROUTE.format(ZERO, 0, ZERO, 0x1),  # through a tunnel
        ROUTE.format(hexadecimal("2000::"), 3, ZERO, 0x1),
        "cut off\n",
    )
)
IF_INET6 = f"{hexadecimal('2a02:7:7:7::1')} 02 40 00 80     eth0\n"


def test_own_addresses_and_what_is_on_the_link_count_and_tunnels_and_routers_do_not():
    assert [str(network) for network in ipv4_networks(FIB_TRIE)] == [
        "93.184.216.0/24",
        "93.184.216.34/32",
        "1.2.3.0/24",
    ]
    assert [str(network) for network in ipv6_networks(IPV6_ROUTE, IF_INET6)] == [
        "2a02:7:7:7::/64",
        "2a02:1:2:3::/64",
        "2a02:1:2:4::5/128",
    ]


def test_the_name_of_an_interface_may_be_any_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("wx2mqtt.external.local_networks.READ_FOLDER", tmp_path)
    (tmp_path / "if_inet6").write_bytes(IF_INET6.encode().replace(b"eth0", b"b\xfcro"))
    (tmp_path / "ipv6_route").write_bytes(IPV6_ROUTE.encode().replace(b"eth0", b"b\xfcro"))
    assert len(read_local_networks()) == 3


@pytest.mark.parametrize(
    "sign", ["\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028", "\u2029", "\u00a0", "\u3000"]
)
@pytest.mark.parametrize("name", ["a{}b", "{}", "{}{}x", "x{}"])
def test_a_sign_in_the_name_of_an_interface_ends_no_line_and_no_column(tmp_path, monkeypatch, sign, name):
    monkeypatch.setattr("wx2mqtt.external.local_networks.READ_FOLDER", tmp_path)
    odd = name.format(sign, sign)
    for file, table in (("if_inet6", IF_INET6), ("ipv6_route", IPV6_ROUTE)):
        (tmp_path / file).write_text(table.replace("eth0", odd), encoding="utf-8", newline="")
    assert [str(network) for network in read_local_networks()] == [
        "2a02:7:7:7::/64",
        "2a02:1:2:3::/64",
        "2a02:1:2:4::5/128",
    ]


def test_every_address_of_this_machine_is_local():
    families = {2, 10}  # AF_INET, AF_INET6
    addresses = [
        one.address for each in psutil.net_if_addrs().values() for one in each if one.family in families
    ]
    networks = read_local_networks()
    assert addresses
    assert [address for address in addresses if not is_local(address, networks)] == []


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("93.184.216.7", True),
        ("::ffff:93.184.216.7", True),
        ("64:ff9b::93.184.216.7", True),
        ("93.184.217.7", False),
        ("2a02:1:2:3:4::", True),
        ("2a02:1:2:4::", False),
        ("no address", False),
    ],
)
def test_an_address_is_local_in_every_way_to_write_it(address: str, local: bool):
    networks = (ip_network("93.184.216.0/24"), ip_network("2a02:1:2:3::/64"))
    assert is_local(address, networks) is local


@pytest.mark.parametrize("addresses", [["93.184.216.7"], ["1.1.1.1", "2a02:1:2:3::9"]])
async def test_a_file_is_not_fetched_from_a_global_address_in_the_house(addresses: list[str]):
    async def resolve(_host: str, _port: int) -> list[str]:
        return addresses

    networks = (ip_network("93.184.216.0/24"), ip_network("2a02:1:2:3::/64"))
    fetcher = UrlFetcher(resolve=resolve, read_networks=lambda: networks)
    pieces = fetcher.fetch("http://nas.example/secret", max_bytes=1000, allowed_hosts=(), timeout_seconds=5)
    with pytest.raises(BadCommand) as refused:
        await anext(pieces)
    assert refused.value.code == "not_allowed"
    assert refused.value.facts["address"] == addresses[-1]
