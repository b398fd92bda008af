"""The names and dates that are read from a certificate, and which hosts its names fit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.rows import every_row
from wx2mqtt.diagnostics.server_certificate import Certificate, parse_certificate

BEGINS, ENDS = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)


def der(*names: str) -> bytes:
    issued = trustme.CA().issue_cert(*names, not_before=BEGINS, not_after=ENDS)
    found = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    return found.public_bytes(serialization.Encoding.DER)


def test_names_addresses_and_dates_are_read():
    found = parse_certificate(der("broker.lan", "*.example.org", "192.0.2.7", "2001:db8::7"))
    assert found.names == ("broker.lan", "*.example.org", "192.0.2.7", "2001:db8::7")
    assert (found.not_before, found.not_after) == (BEGINS.timestamp(), ENDS.timestamp())


def test_only_without_alternative_names_the_common_name_counts():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "old.lan")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(BEGINS).not_valid_after(ENDS)
    raw = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    assert parse_certificate(raw).names == ("old.lan",)


@pytest.mark.parametrize("raw", [b"", b"nothing", b"0\x03abc"])
def test_what_is_no_certificate_is_a_value_error(raw):
    with pytest.raises(ValueError):
        parse_certificate(raw)


@every_row(
    ("name", "host", "fits"),
    [
        ("broker.lan", "broker.lan", True),
        ("Broker.LAN", "broker.lan.", True),
        ("broker.lan", "other.lan", False),
        ("*.example.org", "mqtt.example.org", True),
        ("*.example.org", "a.mqtt.example.org", False),
        ("*.example.org", "example.org", False),
        ("*", "lan", False),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::7", "2001:db8:0::7", True),
        ("*.0.2.7", "192.0.2.7", False),
        ("xn--bcher-kva.example", "bücher.example", True),
    ],
)
def test_a_name_fits_a_host_as_tls_has_it(name, host, fits):
    assert Certificate(names=(name,), not_before=0, not_after=1).matches(host) is fits
