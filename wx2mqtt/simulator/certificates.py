"""Creates a CA and a server certificate for all of WeChat's host names (option `--tls`).

Unmodified clients can then use the simulator. The files stay in the folder, so a client that trusts `ca.pem`
trusts every later run. Nothing is installed on the machine.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wx2mqtt.simulator.hosts import ALL_HOSTS

CA_FILE, CHAIN_FILE, KEY_FILE = "ca.pem", "server.pem", "server.key"

_DAY = dt.timedelta(days=1)
_VALIDITY = 800 * _DAY
"""Some clients reject certificates that are valid for more than 825 days."""


def server_context(folder: Path) -> ssl.SSLContext:
    """Returns the server's TLS context; creates the certificates in `folder` if they are missing."""
    if not all((folder / name).exists() for name in (CA_FILE, CHAIN_FILE, KEY_FILE)) or not _covers_all_hosts(
        folder / CHAIN_FILE
    ):
        create_certificates(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / CHAIN_FILE, folder / KEY_FILE)
    return context


def _covers_all_hosts(chain: Path) -> bool:
    """Returns whether the certificate names every host; one from an earlier version may lack some."""
    certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(ALL_HOSTS) <= set(names.get_values_for_type(x509.DNSName))


def create_certificates(folder: Path) -> None:
    """Writes `ca.pem`, `server.pem` and `server.key` (mode 0600). The CA's key is not stored."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = _ca_certificate(ca_key)
    certificate = _server_certificate(key, ca_key)
    _write(folder / CA_FILE, _pem(ca))
    _write(folder / CHAIN_FILE, _pem(certificate) + _pem(ca))
    _write(folder / KEY_FILE, _key_pem(key), mode=0o600)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate_builder(
    subject: str, issuer: str, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


_CA_NAME = "wx2mqtt simulator CA"


def _ca_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _certificate_builder(_CA_NAME, _CA_NAME, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    key: ec.EllipticCurvePrivateKey,
    ca_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    names = [x509.DNSName(host) for host in (*ALL_HOSTS, "localhost")]
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        _certificate_builder("wx2mqtt simulator", _CA_NAME, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(authority, critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
