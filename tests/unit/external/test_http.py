"""Only addresses of the public Internet may be asked for a file without the permission of the owner."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.external.http import InvalidUrl, UrlParts, is_public, same_host

PUBLIC = ("1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "223.255.255.254")
NOT_PUBLIC = (
    *("127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.0.0.192"),
    *("198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1"),
)


@pytest.mark.parametrize("address", [*PUBLIC, "2606:4700:4700::1111", "2a00:1450::1"])
def test_what_everybody_can_reach_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
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


@pytest.mark.parametrize("address", NOT_PUBLIC)
@pytest.mark.parametrize("form", ["::ffff:{0}", "64:ff9b::{0}", "2002:{1}::", "::{0}", "::ffff:0:{0}"])
def test_nor_does_an_ipv6_address_that_holds_one_hide_it(address, form):
    number = int(ipaddress.IPv4Address(address))
    assert not is_public(form.format(address, f"{number >> 16:x}:{number & 0xFFFF:x}"))


def test_an_ipv4_address_as_ipv6_writes_it_is_public_when_it_is():
    assert is_public("::ffff:1.1.1.1")
    assert is_public("64:ff9b::1.1.1.1")


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "0x7f000001", "2130706433", "1.1.1.1:80", "[::1]", "a\0"]
)
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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Camera.Local", "camera.local."),
        ("[::1]", "0:0:0:0:0:0:0:1"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("192.168.1.7", "192.168.1.7"),
    ],
)
def test_a_host_is_the_same_however_it_is_written(one, other):
    assert same_host(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("camera", "camera2"), ("a.b", "b"), ("127.0.0.1", "127.1"), ("", "x"), ("x" * 70, "x" * 71)],
)
def test_another_host_is_another(one, other):
    assert not same_host(one, other)


def test_a_host_of_the_settings_is_compared_as_a_url_names_it():
    """The codec `idna` of Python makes `strasse.example` of it, which may be somebody else's."""
    assert same_host(UrlParts.parse("https://straße.example/").host, "straße.example")
    assert not same_host(UrlParts.parse("https://strasse.example/").host, "straße.example")


@pytest.mark.parametrize("location", ["http://////u@[", "http://////user:pw@evil.example/"])
def test_a_redirect_whose_path_would_become_a_host_with_a_password_is_no_url(location: str) -> None:
    with pytest.raises(InvalidUrl):
        UrlParts.parse("https://example.org/a").join(location)
