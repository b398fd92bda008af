"""Each error of a socket is a sentence that says what failed and where, without a secret."""

from __future__ import annotations

import socket
import ssl

import pytest

from wx2mqtt.mqtt.connection_errors import broken_text, unreachable_text
from wx2mqtt.mqtt.options import parse_broker_url

AT = parse_broker_url("mqtt://user:geheim@broker:1883")

CERTIFICATE = ssl.SSLCertVerificationError(1, "x")
CERTIFICATE.verify_message = "self-signed certificate"


@pytest.mark.parametrize(
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
    assert unreachable_text(error, AT).lower() == sentence.lower()


def test_a_lost_connection_says_who_ended_it():
    assert broken_text(None, AT) == "broker:1883 closed the connection"
    assert broken_text(TimeoutError(), AT) == "broker:1883 does not answer any more"
    reset = ConnectionResetError(104, "Connection reset by peer")
    assert broken_text(reset, AT) == "the connection to broker:1883 broke: connection reset by peer"
