"""Each error of a socket is a sentence that says what failed and where, without a secret."""

from __future__ import annotations

import socket
import ssl
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.i18n.broker import REASON_TEXTS
from wx2mqtt.mqtt.broker import ProtocolVersion
from wx2mqtt.mqtt.connection_errors import ConnectionTexts, reason_text, scrub_reason
from wx2mqtt.mqtt.options import MqttOptions, parse_broker_url
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.sockets import BufferedSocket

V5, V3 = ProtocolVersion.MQTT_5, ProtocolVersion.MQTT_3_1_1


def texts(url: str, protocol: ProtocolVersion = V5) -> ConnectionTexts:
    target = ConnectTarget(address=parse_broker_url(url), protocol=protocol)
    return ConnectionTexts(MqttOptions(urls=(url,), client_id="c", password="auchgeheim"), target)


TEXTS = texts("mqtt://user:geheim@broker:1883")

CERTIFICATE = ssl.SSLCertVerificationError(1, "x")
CERTIFICATE.verify_message = "self-signed certificate"


@every_row(
    ("error", "sentence"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "nobody listens on broker:1883"),
        (socket.gaierror(-2, "Name unknown"), "the name broker cannot be resolved"),
        (TimeoutError(), "no answer from broker:1883"),
        (OSError(113, "No route to host"), "no connection to broker:1883: no route to host"),
        (ConnectionError(), "no connection to broker:1883: connectionerror"),
        (FileNotFoundError(2, "No such file", "/x/ca.pem"), "cannot read /x/ca.pem: no such file"),
        (ssl.SSLError(1, "x"), "no TLS connection to broker:1883: no tls there"),
        (
            CERTIFICATE,
            "the certificate of broker:1883 is not accepted: self-signed certificate; see mqtt.tls.ca_file",
        ),
    ],
)
def test_an_error_of_the_network_is_a_sentence(error, sentence):
    assert TEXTS.not_opened(error).lower() == sentence.lower()


@every_row(
    ("error", "sentence"),
    [
        (None, "broker:1883 closed the connection"),
        (TimeoutError(), "broker:1883 does not answer any more"),
        (
            ConnectionResetError(104, "Connection reset by peer"),
            "the connection to broker:1883 broke: connection reset by peer",
        ),
    ],
)
def test_a_lost_connection_says_who_ended_it(error, sentence):
    stream: Any = SimpleNamespace(ended=True, error=error)
    assert TEXTS.ended(stream, answered=True) == sentence


@every_row(
    ("url", "protocol", "hint"),
    [
        ("mqtt://broker", V5, "; it may want TLS (mqtts or wss) or MQTT 3.1.1 (mqtt.protocol: '3.1.1')"),
        ("mqtt://broker", V3, "; it may want TLS (mqtts or wss)"),
        ("mqtts://broker", V5, "; it may want MQTT 3.1.1 (mqtt.protocol: '3.1.1')"),
        ("wss://broker", V3, ""),
        ("unix:///broker", V3, ""),
    ],
)
def test_a_broker_that_does_not_answer_connect_gets_a_hint_and_no_other(url, protocol, hint):
    text = f"{parse_broker_url(url).endpoint} took the connection and said nothing"
    assert texts(url, protocol).silent(answered=False) == f"{text} without an answer{hint}"
    assert texts(url, protocol).silent(answered=True) == text


class EndedSocket:
    def recv(self, _size: int, /) -> bytes:
        return b""

    def pending(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not used")


def test_an_end_without_a_reason_is_the_broker_s_or_that_of_something_else_than_mqtt():
    at = texts("mqtts://broker", V3)
    raw: Any = EndedSocket()
    stream = BufferedSocket(raw)
    assert at.ended(stream, answered=False) == "broker:8883 sent something that is not MQTT"
    stream.receive()
    assert at.ended(stream, answered=True) == "broker:8883 closed the connection"
    assert at.ended(stream, answered=False) == "broker:8883 closed the connection without an answer"


def test_a_reason_of_the_broker_has_no_password_in_it():
    assert TEXTS.refused(0x97, "geheim, auchgeheim") == "the broker has reached a quota (***, ***)"


# what a broker states as the reason


@every_row("code", sorted(REASON_TEXTS))
def test_every_code_has_a_text(code):
    assert reason_text("en", code).startswith("the broker ")


def test_an_unknown_code_is_given_as_a_number():
    assert reason_text("en", 0xEE) == "the broker answered with code 0xEE"


def test_the_reason_string_follows_in_brackets():
    assert reason_text("en", 0x97, "too many") == "the broker has reached a quota (too many)"


@given(st.text(), st.integers(0, 255))
def test_a_reason_string_stays_short_and_on_one_line(text, code):
    sentence = reason_text("en", code, text)
    assert len(sentence) < 350
    assert sentence.isprintable()


def test_secrets_are_taken_out_of_a_sentence():
    assert scrub_reason("user bob, password geheim", "geheim", None, "") == "user bob, password ***"


def test_a_reason_is_said_in_the_language_of_the_owner():
    assert reason_text("zh", 0x87) == "MQTT 服务器不允许：用户没有权限，或者用户名、密码不对"
    assert reason_text("zh", 0xEE, "why") == "MQTT 服务器返回代码 0xEE（why）"
