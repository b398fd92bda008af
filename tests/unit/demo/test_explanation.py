"""The demo prints addresses, and commands that work as they are printed at any broker of `--broker`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.support.rows import every_row
from wx2mqtt.demo.configuration import BrokerLogin
from wx2mqtt.demo.explanation import (
    DemoAccount,
    DemoAddresses,
    DemoSender,
    broker_login,
    client_options,
    explanation,
    senders_of,
)
from wx2mqtt.settings.schema import Sender, Settings, Web

HOME = DemoAccount(name="home", backend="ilink", phone="http://127.0.0.1:8070", user="me", base="wx")
OFFICE = DemoAccount(
    name="office", backend="wecom", phone="http://127.0.0.1:9070", user="boss", base="wx/office"
)
ADDRESSES = DemoAddresses(
    accounts=(HOME,),
    page="http://127.0.0.1:8099",
    broker=BrokerLogin(url="mqtt://127.0.0.1:1883"),
    is_shared=False,
    speaks_mqtt_5=True,
    files=Path("/demo/files"),
    senders=(),
    fallback_seconds=None,
    control_file=Path("/demo/wx2mqtt.yaml"),
)


@every_row(
    ("url", "options"),
    [
        ("mqtt://broker.lan", "-h broker.lan -p 1883"),
        ("mqtt://[fd00::1]:1884", "-h fd00::1 -p 1884"),
        ("mqtts://broker.lan", "-h broker.lan -p 8883 --tls-use-os-certs"),
        ("unix:///run/mosquitto.sock", "--unix /run/mosquitto.sock"),
        ("ws://broker.lan:9001", "-h broker.lan"),
        ("mqtt://house@broker.lan", "-h broker.lan -p 1883 -u house"),
        (
            "mqtt://a%20b%27c:secret@broker.lan",
            """-h broker.lan -p 1883 -u 'a b'"'"'c' -P "$MQTT_PASSWORD\"""",
        ),
    ],
)
def test_the_options_fit_the_broker_and_hold_no_password(url, options):
    assert client_options(broker_login(url)) == options


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_password_is_asked_for_before_the_commands_that_use_it(language):
    with_password = replace(ADDRESSES, broker=broker_login("mqtt://house:secret@broker.lan"))
    text = explanation(with_password, language)
    assert "secret" not in text
    assert text.index("read -rs MQTT_PASSWORD") < text.index("mosquitto_sub") < text.index("mosquitto_pub")
    assert "MQTT_PASSWORD" not in explanation(ADDRESSES, language)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_for_a_broker_over_websocket_the_text_says_that_the_commands_need_another_port(language):
    over_websocket = replace(ADDRESSES, broker=broker_login("wss://broker.lan"))
    assert "-p" in explanation(over_websocket, language).partition("broker.lan")[2].partition("\n")[0]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_account_has_its_phone_its_topics_and_a_command(language):
    lines = explanation(replace(ADDRESSES, accounts=(HOME, OFFICE)), language).splitlines()
    phones = [line for line in lines if "70/      " in line]
    assert ["home: " in phones[0], "office: " in phones[1]] == [True, True]
    (subscription,) = [line for line in lines if "mosquitto_sub" in line]
    assert "-t 'wx/+/+' -T wx/login/qr -t 'wx/office/+/+' -T wx/office/login/qr" in subscription
    publications = [line for line in lines if "mosquitto_pub" in line]
    assert ["-t wx/out/me " in publications[0], "-t wx/office/out/boss " in publications[1]] == [True, True]


@pytest.mark.parametrize(("language", "heading"), [("en", "the fallback "), ("zh", "备用通道 ")])
def test_the_fallback_is_named_only_where_its_service_is_asked_and_after_which_time(language, heading):
    assert heading not in explanation(ADDRESSES, language)
    (line,) = [
        line
        for line in explanation(replace(ADDRESSES, fallback_seconds=5.0), language).splitlines()
        if heading in line
    ]
    assert " 5 " in line


def test_a_sender_of_the_file_is_called_at_the_port_of_the_page():
    sender = DemoSender(token="$(cat /etc/alarms.token)", to="boss")
    text = explanation(replace(ADDRESSES, senders=(sender,)), "en")
    assert 'Bearer $(cat /etc/alarms.token)"' in text
    assert "http://127.0.0.1:8099/send/boss " in text
    assert "write by HTTP" not in explanation(ADDRESSES, "en")


def test_a_token_that_stands_in_the_file_is_not_printed():
    web = Web(senders=(Sender(name="nas", token=SecretStr("s" * 32), to="me"),))
    assert senders_of(Settings(web=web)) == [DemoSender(token="TOKEN", to="me")]
