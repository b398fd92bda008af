"""The steps below MQTT, one at a time: name resolution, TCP, TLS, and reading a certificate.

Each step opens its own connection and closes it without sending anything more. Each has a time limit.
Loads `cryptography`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from wx2mqtt.aio import run_in_daemon_thread
from wx2mqtt.mqtt.options import BrokerAddress, TlsFiles
from wx2mqtt.mqtt.sockets import connect_socket, tls_context, wrap_tls
from wx2mqtt.values import frozen

T = TypeVar("T")

RESOLVE_TIMEOUT_SECONDS = 10.0
"""The resolver's own timeout is longer if its server is away."""
TCP_TIMEOUT_SECONDS = 10.0
"""Time for TCP, and again for TLS."""
NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, for which Python has no name: dates are checked apart from the signature."""


@frozen
class Certificate:
    """The content of a certificate: DNS names and IP addresses, and Unix timestamps of its validity."""

    names: tuple[str, ...]
    not_before: float
    not_after: float

    def matches(self, host: str) -> bool:
        """Returns whether the certificate is valid for this host name or address (RFC 9525 6)."""
        return any(_matches(name, host) for name in self.names)


def parse_certificate(der: bytes) -> Certificate:
    """Parses a certificate in DER form. Raises ValueError."""
    certificate = x509.load_der_x509_certificate(der)
    return Certificate(
        names=_names(certificate),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        alternative_names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(attribute.value) for attribute in common_names)
    addresses = alternative_names.get_values_for_type(x509.IPAddress)
    return (*alternative_names.get_values_for_type(x509.DNSName), *map(str, addresses))


def _matches(name: str, host: str) -> bool:
    address = _parse_address(host)
    if address is not None:
        return _parse_address(name) == address
    name, host = name.lower().rstrip("."), _to_ascii(host).lower().rstrip(".")
    if name.startswith("*."):  # a star stands for one whole level
        return host.partition(".")[2] == name[2:]
    return name == host


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _to_ascii(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


# the connection


@frozen
class TlsHandshake:
    """The TLS version and the certificate (DER) of a server.

    `untrusted` is OpenSSL's code and text if the authority is not accepted, regardless of dates and names;
    None if it is accepted.
    """

    version: str
    certificate: bytes
    untrusted: tuple[int, str] | None


async def resolve_host(address: BrokerAddress) -> tuple[str, ...]:
    """Returns the addresses of the host, without duplicates. Raises OSError (`gaierror`, `TimeoutError`)."""
    resolve = partial(socket.getaddrinfo, address.host, address.port, type=socket.SOCK_STREAM)
    entries = await _run_in_thread(RESOLVE_TIMEOUT_SECONDS, resolve)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in entries))


async def connect_tcp(address: BrokerAddress) -> float:
    """Connects and closes; returns the seconds that it took. Raises OSError."""
    start = time.monotonic()
    await _run_in_thread(TCP_TIMEOUT_SECONDS, lambda: connect_socket(address).close())
    return time.monotonic() - start


async def tls_handshake(address: BrokerAddress, files: TlsFiles | None) -> TlsHandshake:
    """Does the TLS handshake with any certificate. Raises OSError (`ssl.SSLError` if it fails)."""
    version, certificate = await _run_in_thread(
        TCP_TIMEOUT_SECONDS, lambda: _version_and_certificate(address, files)
    )
    untrusted = await _run_in_thread(TCP_TIMEOUT_SECONDS, lambda: _authority_error(address, files))
    return TlsHandshake(version=version, certificate=certificate, untrusted=untrusted)


def _version_and_certificate(address: BrokerAddress, files: TlsFiles | None) -> tuple[str, bytes]:
    context = tls_context(files)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent over it
    with _connect_tls(context, address) as connection:
        return connection.version() or "", connection.getpeercert(binary_form=True) or b""


def _authority_error(address: BrokerAddress, files: TlsFiles | None) -> tuple[int, str] | None:
    """Returns OpenSSL's code and text if the certificate's authority is not accepted."""
    context = tls_context(files)
    context.check_hostname = False
    context.verify_flags |= NO_CHECK_TIME
    try:
        _connect_tls(context, address).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code, error.verify_message
    return None


def _connect_tls(context: ssl.SSLContext, address: BrokerAddress) -> ssl.SSLSocket:
    tcp_socket = connect_socket(address)
    try:
        return wrap_tls(context, tcp_socket, address.host)
    except BaseException:
        tcp_socket.close()
        raise


async def _run_in_thread(timeout_seconds: float, work: Callable[[], T]) -> T:
    """Runs blocking work in a thread, for a limited time. Raises OSError."""
    try:
        return await asyncio.wait_for(run_in_daemon_thread(work), timeout_seconds)
    except ValueError as error:  # from idna and ssl; SSLCertVerificationError is an OSError first
        if isinstance(error, OSError):
            raise
        raise OSError(0, "the host name is not valid") from error
