"""Addresses: every scheme, what is shown of them, and where a broker may send us."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.mqtt.options import (
    MAX_SERVER_REFERENCES,
    BrokerAddress,
    MqttOptions,
    parse_broker_url,
    parse_server_references,
)


@every_row(
    ("url", "host", "port", "path"),
    [
        ("mqtt://broker", "broker", 1883, ""),
        ("mqtt://broker:1884/", "broker", 1884, ""),
        ("mqtts://broker", "broker", 8883, ""),
        ("ws://broker", "broker", 80, "/mqtt"),
        ("ws://broker/", "broker", 80, "/"),
        ("wss://broker/a/b?token=1", "broker", 443, "/a/b?token=1"),
        ("mqtt://[::1]:2000", "::1", 2000, ""),
        ("MQTT://Broker", "broker", 1883, ""),
        ("unix:///run/mosquitto.sock", "", 0, "/run/mosquitto.sock"),
        ("unix:/run/a%20b.sock", "", 0, "/run/a b.sock"),
    ],
)
def test_a_url_of_each_scheme_is_read(url, host, port, path):
    address = parse_broker_url(url)
    assert (address.host, address.port, address.path) == (host, port, path)


@every_row(
    "url",
    ["", "broker", "http://broker", "mqtt://", "mqtt://broker:x", "mqtt://broker:0", "mqtt://broker:70000",
     "mqtt://broker/path", "unix://relative", "unix:relative", "mqtt://[::1"],
)  # fmt: skip
def test_what_is_no_address_of_a_broker_is_refused(url):
    with pytest.raises(ValueError, match=r"mqtt|unix|port|path|host"):
        parse_broker_url(url)


def test_user_and_password_are_decoded_and_never_shown():
    address = parse_broker_url("wss://us%40er:gehe%2Fim@broker/mqtt?token=kennwort")
    assert (address.username, address.password) == ("us@er", "gehe/im")
    shown = f"{address} {address!r}"
    assert str(address) == "wss://broker:443/mqtt"
    assert not [secret for secret in ("us@er", "gehe", "kennwort") if secret in shown]


@given(st.text())
def test_a_refusal_does_not_repeat_what_was_written(text):
    try:
        parse_broker_url(f"mqtt://user:{text}geheim@broker:x")
    except ValueError as error:
        assert "geheim" not in str(error)


def test_a_session_is_kept_for_a_week():
    options = MqttOptions(urls=("mqtt://broker",), client_id="a")
    assert options.session_expiry == 604_800


def test_tls_and_transport_follow_from_the_scheme():
    kinds = {scheme: parse_broker_url(f"{scheme}://h") for scheme in ("mqtt", "mqtts", "ws", "wss")}
    assert [name for name, a in kinds.items() if a.tls] == ["mqtts", "wss"]
    assert [name for name, a in kinds.items() if a.websocket] == ["ws", "wss"]
    assert parse_broker_url("unix:///s").unix


def test_an_ipv6_address_is_shown_in_brackets():
    assert str(parse_broker_url("mqtt://[fe80::1%25eth0]:1")).startswith("mqtt://[fe80::1")


AT = parse_broker_url("mqtts://user:geheim@first:8883")


@every_row(
    ("reference", "places"),
    [
        ("second", [("second", 8883)]),
        ("second:9", [("second", 9)]),
        ("[2001:db8::1]:9", [("2001:db8::1", 9)]),
        ("second:9 third", [("second", 9), ("third", 8883)]),
        ("mqtt://second:9", [("second", 9)]),
        ("second:x third:70000 [::", []),
        ("first:8883", []),
        ("", []),
    ],
)
def test_a_reference_names_other_servers(reference, places):
    assert [(a.host, a.port) for a in parse_server_references(reference, AT)] == places


def test_a_reference_changes_neither_scheme_nor_credentials():
    (address,) = parse_server_references("mqtt://evil:1883", AT)
    assert address == BrokerAddress(
        scheme="mqtts", host="evil", port=1883, username="user", password="geheim"
    )


@given(st.text())
def test_no_reference_raises(reference):
    parse_server_references(reference, AT)


def test_of_many_references_the_first_are_used():
    many = " ".join(f"broker-{number}" for number in range(5000))
    hosts = [address.host for address in parse_server_references(many, AT)]
    assert hosts == [f"broker-{number}" for number in range(MAX_SERVER_REFERENCES)]


def test_a_unix_socket_has_no_other_server():
    assert parse_server_references("second", parse_broker_url("unix:///s")) == ()
