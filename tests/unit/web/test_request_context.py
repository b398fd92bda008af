"""The client behind trusted proxies and others, and the language that it asks for."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from tests.support.web import options
from wx2mqtt.web.request_context import client_info, preferred_language

TRUSTING = options(prefix="/usual", proxies=(ip_network("10.0.0.0/8"), ip_network("::1/128")))


FORWARDED = {
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-proto": "https",
    "x-forwarded-prefix": "/wechat",
}


def test_what_an_unknown_client_says_of_itself_does_not_count():
    seen = client_info("203.0.113.1", FORWARDED, TRUSTING)
    assert (seen.address, seen.is_https, seen.prefix) == ("203.0.113.1", False, "/usual")


def test_a_trusted_proxy_is_believed():
    seen = client_info("10.1.2.3", FORWARDED, TRUSTING)
    assert (seen.address, seen.is_https, seen.prefix) == ("203.0.113.9", True, "/wechat")


@every_row("peer", ["10.1.2.3", "::ffff:10.1.2.3", "::1", "::1%lo"])
def test_a_proxy_is_known_in_every_way_of_writing_its_address(peer):
    assert client_info(peer, FORWARDED, TRUSTING).address == "203.0.113.9"


@every_row(
    ("chain", "client"),
    [
        ("203.0.113.9, 10.9.9.9", "203.0.113.9"),  # two trusted proxies in a row
        ("1.1.1.1, 203.0.113.9", "203.0.113.9"),  # what stands before was written by the client
        ("127.0.0.1, 203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("10.5.5.5", "10.5.5.5"),
        ("nonsense, 10.9.9.9", "10.9.9.9"),
        ("", "10.1.2.3"),
        ("203.0.113.9:4711", "10.1.2.3"),
        ("2001:DB8::0001", "2001:db8::1"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_trusted_proxy(chain, client):
    assert client_info("10.1.2.3", {"x-forwarded-for": chain}, TRUSTING).address == client


@every_row(
    ("header", "prefix"),
    [
        ("/api/hassio_ingress/Zm9v_b-r", "/api/hassio_ingress/Zm9v_b-r"),
        ("/wechat/", "/wechat"),
        *(
            (bad, "/usual")
            for bad in ("", "/", "wechat", "//evil.example", "/a//b", "/..", "/a/../b", "/a b")
        ),
        *(
            (bad, "/usual")
            for bad in ("/a?b", "/a#b", "/a\r\nx: y", "https://evil.example", "/a\\b", '/"><x')
        ),
    ],
)
def test_a_prefix_is_a_plain_path_or_the_usual_one(header, prefix):
    for name in ("x-ingress-path", "x-forwarded-prefix"):
        assert client_info("10.1.2.3", {name: header}, TRUSTING).prefix == prefix


@given(st.text(max_size=40), st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_nothing_that_somebody_writes_breaks_it(peer, chain, scheme, prefix):
    headers = {"x-forwarded-for": chain, "x-forwarded-proto": scheme, "x-ingress-path": prefix}
    for address in (peer, "10.1.2.3"):
        seen = client_info(address, headers, TRUSTING)
        assert seen.prefix.isascii()
        assert "//" not in seen.prefix


@every_row(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("de-DE,de;q=0.9,zh;q=0.5,en;q=0.4", "zh"),
        ("en;q=0.1, zh;q=0.2", "zh"),
        ("ZH-hant", "zh"),
        *((other, "usual") for other in ("", "de", "*", "en;q=0", "zh;q=x", "zhx", ",,;", "zh;level=1")),
    ],
)
def test_the_client_is_answered_in_its_language(header, language):
    for usual in ("en", "zh"):
        assert preferred_language(header, usual) == (usual if language == "usual" else language)


@given(st.text(max_size=200))
def test_no_accept_language_header_raises(header):
    assert preferred_language(header, "zh") in {"en", "zh"}
