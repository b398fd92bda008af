"""Which Host and Origin headers mean this server."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from tests.support.web import options
from wx2mqtt.web.allowed_hosts import AllowedHosts, host_of_header, normalized_host

LOOPBACK = AllowedHosts(options(url="https://WX.example.org/wechat", hosts=("bridge.lan", "[fd00::1]")))


EVERYWHERE = AllowedHosts(options(host="0.0.0.0", password="x"))


ONE = AllowedHosts(options(host="192.168.1.5", password="x"))


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


names = st.lists(labels, min_size=1, max_size=4).map(".".join)


ports = st.one_of(st.just(""), st.integers(0, 65535).map(lambda port: f":{port}"))


@every_row(
    "header",
    [
        *("127.0.0.1", "127.0.0.1:8099", "127.0.0.2", "[::1]", "[::1]:8099", "[::ffff:127.0.0.1]:1"),
        *("localhost", "LOCALHOST:8099", "localhost.", "wx.example.org", "WX.EXAMPLE.ORG.:443"),
        *("bridge.lan", "[FD00:0::1]:80", "localhost:"),
    ],
)
def test_a_server_on_loopback_answers_to_its_own_names(header):
    assert LOOPBACK.is_allowed(header)


@every_row(
    "header",
    [
        *("", "evil.example", "localhost.evil.example", "evil-localhost", "wx.example.org.evil.example"),
        *("192.168.1.5", "[fd00::2]", "0.0.0.0", "[::]"),
        *("127.1", "2130706433", "0x7f000001", "127.0.0.1.nip.io", "127.0.0.1:8099:1", "::1"),
        *(
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost/evil",
            "localhost evil",
            " localhost",
        ),
        *(
            "localhost:x",
            "localhost:123456",
            "[::1",
            "::1]",
            "[]",
            "[localhost]",
            "lo\x00calhost",
        ),
        *("ｌocalhost", "localhost\u200b", "xn--lclhost-8wa"),
    ],
)
def test_a_server_on_loopback_answers_to_no_other_name(header):
    if header == "localhost:":  # RFC 3986 allows an empty port
        assert LOOPBACK.is_allowed(header)
    else:
        assert not LOOPBACK.is_allowed(header)


@every_row("header", ["192.168.1.5:8099", "10.0.0.1", "[2001:db8::1]", "localhost"])
def test_on_all_addresses_each_of_them_is_its_own_and_no_name_is(header):
    assert EVERYWHERE.is_allowed(header)
    assert not EVERYWHERE.is_allowed("bridge.lan")


def test_on_one_address_only_that_is_its_own():
    assert ONE.is_allowed("192.168.1.5:8099")
    assert not ONE.is_allowed("192.168.1.6:8099")
    assert not ONE.is_allowed("127.0.0.1:8099")


@given(names, ports)
def test_a_name_that_nobody_wrote_down_is_never_ours(name, port):
    ours = {"localhost", "wx.example.org", "bridge.lan"}
    loopback = _is_loopback(name)
    assert LOOPBACK.is_allowed(name + port) == (name in ours or loopback)


def _is_loopback(name):
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@given(st.text(max_size=60))
def test_no_header_of_any_form_breaks_it(header):
    host = host_of_header(header)
    assert host == normalized_host(host)
    assert LOOPBACK.is_allowed(header) in {True, False}


@given(st.ip_addresses())
def test_an_address_has_one_form(address):
    written = f"[{address.exploded}]" if address.version == 6 else str(address)
    mapped = address.ipv4_mapped if address.version == 6 else None
    assert host_of_header(f"{written}:80") == str(mapped or address)


@every_row(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8099", "127.0.0.1:8099"),
        ("http://localhost:8099", "LOCALHOST:8099"),
        ("https://wx.example.org", "wx.example.org"),  # a proxy that keeps the name and ends TLS
        ("https://wx.example.org", "127.0.0.1:8099"),  # one that does not keep it: web.url says it
        ("https://wx.example.org:443", "127.0.0.1:8099"),
        ("http://bridge.lan:8123", "127.0.0.1:8099"),  # web.hosts says it
        ("http://[::1]:8099", "[::1]:8099"),
    ],
)
def test_a_form_of_our_own_page_is_taken(origin, host):
    assert LOOPBACK.is_same_origin(origin, host)


@every_row(
    "origin",
    [
        *("http://evil.example", "https://evil.example", "null", "", "file://", "http://", "http://["),
        *(
            "http://127.0.0.1:3000",
            "http://localhost:8099",
            "http://wx.example.org",
            "https://wx.example.org:444",
            "htt\tp://127.0.0.1:8099",
            "http://127.0.\n0.1:8099",
            "\x01http://127.0.0.1:8099",
        ),
        *("http://127.0.0.1:8099.evil.example", "http://127.0.0.1:8099@evil.example", "ftp://127.0.0.1:8099"),
    ],
)
def test_a_form_of_another_site_is_not(origin):
    assert not LOOPBACK.is_same_origin(origin, "127.0.0.1:8099")


@given(st.text(max_size=80), st.text(max_size=40))
def test_no_origin_of_any_form_breaks_it(origin, host):
    assert LOOPBACK.is_same_origin(origin, host) in {True, False}
