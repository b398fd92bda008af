"""Which addresses a file may be fetched from: only public ones, and none that this machine reaches without a router."""

from __future__ import annotations

import ipaddress
from ipaddress import ip_address, ip_network

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.errors import BadCommand
from wx2mqtt.external.allowed_addresses import (
    ipv4_networks,
    ipv6_networks,
    is_local,
    is_public,
    read_local_networks,
    same_host,
)
from wx2mqtt.external.url_fetch import UrlFetcher, host_of, parse_url

PUBLIC = ("1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "223.255.255.254")
NOT_PUBLIC = (
    *("127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.0.0.192"),
    *("198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1"),
)


@every_row("address", [*PUBLIC, "2606:4700:4700::1111", "2a00:1450::1"])
def test_what_everybody_can_reach_is_public(address):
    assert is_public(address)


@every_row(
    "address",
    [
        *NOT_PUBLIC,
        *(
            "::",
            "::1",
            "fe80::1",
            "fe80::1%eth0",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "ff0e::1",
        ),
        *("2001:db8::1", "2001::1", "2002:7f00:1::", "::127.0.0.1", "100::1", "5f00::1", "2606:4700::1%eth0"),
    ],
)
def test_local_private_and_special_addresses_are_not_public(address):
    assert not is_public(address)


@every_row("address", NOT_PUBLIC)
@every_row("form", ["::ffff:{0}", "64:ff9b::{0}", "2002:{1}::", "::{0}", "::ffff:0:{0}"])
def test_an_ipv6_address_that_holds_such_an_ipv4_address_is_not_public_either(address, form):
    number = int(ipaddress.IPv4Address(address))
    assert not is_public(form.format(address, f"{number >> 16:x}:{number & 0xFFFF:x}"))


def test_an_ipv4_address_as_ipv6_writes_it_is_public_when_it_is():
    assert is_public("::ffff:1.1.1.1")
    assert is_public("64:ff9b::1.1.1.1")


@every_row("text", ["", "localhost", "127.1", "0x7f000001", "2130706433", "1.1.1.1:80", "[::1]", "a\0"])
def test_what_is_no_address_is_not_public(text):
    assert not is_public(text)


@given(st.ip_addresses())
def test_nothing_is_public_that_the_library_calls_private_loopback_link_local_or_multicast(address):
    if not is_public(str(address)):
        return
    if address.version == 6 and int(address) >> 125 != 1:  # it holds an address of the other sort
        address = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    assert not (address.is_private or address.is_loopback or address.is_link_local)
    assert not (address.is_multicast or address.is_unspecified or address.is_reserved)


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_both_writings(address):
    assert is_public(f"::ffff:{address}") == is_public(str(address))


@every_row(
    ("host", "other"),
    [
        ("Camera.Local", "camera.local."),
        ("[::1]", "0:0:0:0:0:0:0:1"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("192.168.1.7", "192.168.1.7"),
    ],
)
def test_a_host_is_the_same_however_it_is_written(host, other):
    assert same_host(host, other)


@every_row(
    ("host", "other"),
    [("camera", "camera2"), ("a.b", "b"), ("127.0.0.1", "127.1"), ("", "x"), ("x" * 70, "x" * 71)],
)
def test_two_hosts_are_not_the_same(host, other):
    assert not same_host(host, other)


def test_a_host_of_the_settings_is_compared_as_a_url_names_it():
    """The codec `idna` of Python makes `strasse.example` of it, which may be somebody else's."""
    assert same_host(host_of(parse_url("https://straße.example/")), "straße.example")
    assert not same_host(host_of(parse_url("https://strasse.example/")), "straße.example")


# Local networks

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
    monkeypatch.setattr("wx2mqtt.external.allowed_addresses.READ_FOLDER", tmp_path)
    (tmp_path / "if_inet6").write_bytes(IF_INET6.encode().replace(b"eth0", b"b\xfcro"))
    (tmp_path / "ipv6_route").write_bytes(IPV6_ROUTE.encode().replace(b"eth0", b"b\xfcro"))
    assert len(read_local_networks()) == 3


@pytest.mark.parametrize(
    "sign", ["\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028", "\u2029", "\u00a0", "\u3000"]
)
@pytest.mark.parametrize("name", ["a{}b", "{}", "{}{}x", "x{}"])
def test_a_sign_in_the_name_of_an_interface_ends_no_line_and_no_column(tmp_path, monkeypatch, sign, name):
    monkeypatch.setattr("wx2mqtt.external.allowed_addresses.READ_FOLDER", tmp_path)
    interface = name.format(sign, sign)
    for file, table in (("if_inet6", IF_INET6), ("ipv6_route", IPV6_ROUTE)):
        (tmp_path / file).write_text(table.replace("eth0", interface), encoding="utf-8", newline="")
    assert [str(network) for network in read_local_networks()] == [
        "2a02:7:7:7::/64",
        "2a02:1:2:3::/64",
        "2a02:1:2:4::5/128",
    ]


def test_every_address_of_this_machine_is_local():
    families = {2, 10}  # AF_INET, AF_INET6
    addresses = [
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in families
    ]
    networks = read_local_networks()
    assert addresses
    assert [address for address in addresses if not is_local(address, networks)] == []


@every_row(
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
async def test_a_file_is_not_fetched_from_a_global_address_of_a_local_network(addresses: list[str]):
    async def resolve(_host: str) -> list[str]:
        return addresses

    networks = (ip_network("93.184.216.0/24"), ip_network("2a02:1:2:3::/64"))
    fetcher = UrlFetcher(resolve=resolve, read_networks=lambda: networks)
    pieces = fetcher.fetch("http://nas.example/secret", max_bytes=1000, allowed_hosts=(), timeout_seconds=5)
    with pytest.raises(BadCommand) as raised:
        await anext(pieces)
    assert raised.value.code == "not_allowed"
    assert raised.value.facts["address"] == addresses[-1]
