"""Addresses: what is taken, what is refused, and that no refusal repeats what was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.settings import addresses


@every_row(
    ("written", "used"),
    [
        ("embedded", "embedded"),
        ("mqtt://localhost", "mqtt://localhost"),
        ("mqtt://localhost:1883/", "mqtt://localhost:1883/"),
        ("mqtts://broker.example:8883", "mqtts://broker.example:8883"),
        ("ws://10.0.0.1:9001/mqtt", "ws://10.0.0.1:9001/mqtt"),
        ("wss://[::1]:443", "wss://[::1]:443"),
        ("unix:///run/m.sock", "unix:///run/m.sock"),
        ("unix:/run/m.sock", "unix:///run/m.sock"),
        ("mqtt://my_broker:1", "mqtt://my_broker:1"),
    ],
)
def test_a_broker_may_be_this(written, used):
    assert addresses.validate_broker_url(written) == used


@every_row(
    ("written", "words"),
    [
        ("localhost", "no scheme"),
        ("localhost:1883", "no scheme"),
        ("http://h", "scheme must be one of"),
        ("mqtt://u:geheim@h", "mqtt.username and mqtt.password_file"),
        ("mqtt://u@h", "mqtt.username"),
        ("mqtt://", "has no host"),
        ("mqtt://:1883", "has no host"),
        ("mqtt://h:0", "port"),
        ("mqtt://h:", "port"),
        ("mqtt://h:99999", "port"),
        ("mqtt://h:1883x", "port"),
        ("mqtt://h/path", "have no path"),
        ("mqtt://h?x=1", "remove ? or #"),
        ("mqtt://h h", "white space"),
        ("mqtt://[::1", "IPv6"),
        ("mqtt://-h", "no valid name"),
        ("mqtt://h#x", "remove ? or #"),
        ("mqtt://a..b", "no valid name"),
        ("unix://run/m.sock", "absolute path"),
        ("unix:///", "absolute path"),
        ("Embedded", "no scheme"),
    ],
)
def test_a_broker_may_not_be_this(written, words):
    with pytest.raises(ValueError, match=words.replace(".", r"\.").replace("?", r"\?")) as caught:
        addresses.validate_broker_url(written)
    assert "geheim" not in str(caught.value)


@given(st.text() | st.from_regex(r"(mqtt|ws|unix|http)://[ -~]*", fullmatch=True))
def test_whatever_is_written_is_taken_or_refused_in_words(written):
    for check in (
        addresses.validate_broker_url,
        addresses.validate_base_url,
        addresses.validate_host_name,
        addresses.validate_listen_address,
        addresses.validate_network,
    ):
        try:
            check(written)
        except ValueError as refusal:
            assert str(refusal)
            assert len(written) < 9 or written not in str(refusal)  # `unix:///` begins the cure's example


@pytest.mark.parametrize(
    ("written", "used"),
    [("http://a", "http://a"), ("https://a:1/x/", "https://a:1/x"), ("http://[::1]:8", "http://[::1]:8")],
)
def test_a_base_url_loses_its_last_slash(written, used):
    assert addresses.validate_base_url(written) == used


@every_row("written", ["a", "ftp://a", "http://u:p@a", "http://", "http://a?b", "http://a:x"])
def test_what_is_no_base_url_is_refused(written):
    with pytest.raises(ValueError, match=r"\w"):
        addresses.validate_base_url(written)


def test_a_network_is_an_address_or_a_range():
    assert [addresses.validate_network(n) for n in ("10.0.0.1", "10.0.0.0/8", "fd00::/8")] == [
        "10.0.0.1",
        "10.0.0.0/8",
        "fd00::/8",
    ]


def test_where_to_listen_is_an_address_and_a_port():
    assert addresses.split_listen_address(addresses.validate_listen_address("127.0.0.1:8099")) == (
        "127.0.0.1",
        8099,
    )
    assert addresses.split_listen_address(addresses.validate_listen_address("[::1]:0")) == ("::1", 0)
    assert addresses.validate_listen_address("localhost:1") == "localhost:1"


@every_row(
    "written",
    [
        "8099",
        ":8099",
        "::1:8099",
        "example.org:80",
        "1.2.3.4:99999",
        "1.2.3.4:x",
        "]127.0.0.1[:80",
        "[::1:80",
    ],
)
def test_what_is_no_place_to_listen_is_refused(written):
    with pytest.raises(ValueError, match=r"\w"):
        addresses.validate_listen_address(written)


@every_row("host", ["example.org", "127.0.0.1", "::1", "[::1]"])
def test_a_host_is_a_name_or_an_address(host):
    assert addresses.validate_host_name(host) == host


@every_row("host", ["]::1[", "[::1", "::1]", "[[::1]]", "http://a", "a:1", ""])
def test_what_is_no_host_is_refused(host):
    with pytest.raises(ValueError, match="is no host name"):
        addresses.validate_host_name(host)


def test_only_this_machine_reaches_loopback():
    assert [addresses.is_loopback(h) for h in ("localhost", "127.8.0.1", "::1")] == [True] * 3
    assert [addresses.is_loopback(h) for h in ("0.0.0.0", "::", "192.168.1.1", "example.org")] == [False] * 4


def test_the_path_of_a_page_begins_with_a_slash_and_ends_without():
    assert [addresses.validate_url_path(p) for p in ("/", "/a", "/a/b/")] == ["/", "/a", "/a/b"]


@every_row("written", ["", "a", "//a", "/a b", "/a?b", "/../a", "/a\\b"])
def test_what_is_no_path_of_a_page_is_refused(written):
    with pytest.raises(ValueError, match="must be a path"):
        addresses.validate_url_path(written)


@every_row(
    "written",
    [
        "postgresql://wx2mqtt@db.example.com/wx2mqtt",
        "postgres://db",
        "postgresql:///wx2mqtt?host=/run/postgresql&user=me",
        "postgresql://me@[::1]:5433,other:5432/wx2mqtt?sslmode=verify-full&target_session_attrs=read-write",
        "postgresql://",
    ],
)
def test_the_url_of_a_database_is_used_as_it_stands(written):
    assert addresses.validate_database_url(written) == written


@every_row(
    ("written", "sentence"),
    [
        ("mysql://db/wx2mqtt", "must begin with postgresql://"),
        ("db.example.com", "must begin with postgresql://"),
        ("postgresql://a@b@c/d", "must begin with postgresql://"),
        ("postgresql://me:geheim@db/wx2mqtt", "put it into storage.password_file"),
        ("postgresql://me:@db/wx2mqtt", "put it into storage.password_file"),
        ("postgresql://db/wx2mqtt?user=me&password=geheim", "put it into storage.password_file"),
        ("postgresql://db/wx 2", "holds white space"),
        ("postgresql://db/wx2mqtt#x", "holds white space, control characters or #"),
    ],
)
def test_what_is_no_url_of_a_database_is_refused(written, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        addresses.validate_database_url(written)
    assert "geheim" not in str(caught.value)
