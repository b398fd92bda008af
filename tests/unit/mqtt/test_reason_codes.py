"""Reasons in words: each is a sentence that says what and where, and none holds a secret."""

from __future__ import annotations

import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.mqtt.options import parse_broker_url
from wx2mqtt.mqtt.reason_codes import REASON_TEXTS, broken_text, reason_text, scrub_reason, unreachable_text

AT = parse_broker_url("mqtt://user:geheim@broker:1883")


@pytest.mark.parametrize("code", sorted(REASON_TEXTS))
def test_every_code_has_words(code):
    assert reason_text(code).startswith("the broker ")


def test_an_unknown_code_is_given_as_a_number():
    assert reason_text(0xEE) == "the broker answered with code 0xEE"


def test_the_broker_s_own_words_stand_behind():
    assert reason_text(0x97, "too many") == "the broker has reached a quota (too many)"


@given(st.text(), st.integers(0, 255))
def test_the_broker_s_own_words_stay_short_and_on_one_line(said, code):
    sentence = reason_text(code, said)
    assert len(sentence) < 350
    assert sentence.isprintable()


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


def test_secrets_are_taken_out_of_a_sentence():
    assert scrub_reason("user bob, password geheim", "geheim", None, "") == "user bob, password ***"
