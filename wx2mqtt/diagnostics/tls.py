"""What stands in a broker's certificate: for whom it is and when it counts. Pure; loads `cryptography`.

The way to a broker, stage by stage, for whoever wants to know at which one it ends: name, TCP, TLS.

Each opens a connection of its own and closes it without a word. All are bounded in time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from wx2mqtt.aio import run_in_daemon_thread
from wx2mqtt.mqtt.options import BrokerAddress, TlsFiles
from wx2mqtt.mqtt.sockets import connect_socket, tls_context, wrap_tls


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """`names` are DNS names and addresses; `begins` and `ends` in seconds since 1970."""

    names: tuple[str, ...]
    not_before: float
    not_after: float

    def matches(self, host: str) -> bool:
        """Whether a connection to this host name or address may show it (RFC 9525 6)."""
        return any(_fits(name, host) for name in self.names)


def parse_certificate(der: bytes) -> Certificate:
    """From its binary form. Raises ValueError."""
    found = x509.load_der_x509_certificate(der)
    return Certificate(
        names=_names(found),
        not_before=found.not_valid_before_utc.timestamp(),
        not_after=found.not_valid_after_utc.timestamp(),
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The alternative names; only without any of them does the common name count, as for OpenSSL."""
    try:
        kinds = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(one.value) for one in common)
    addresses = kinds.get_values_for_type(x509.IPAddress)
    return (*kinds.get_values_for_type(x509.DNSName), *map(str, addresses))


def _fits(name: str, host: str) -> bool:
    address = _address(host)
    if address is not None:
        return _address(name) == address
    name, host = name.lower().rstrip("."), _ascii(host).lower().rstrip(".")
    if name.startswith("*."):  # a star stands for one whole level
        return host.partition(".")[2] == name[2:]
    return name == host


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _ascii(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


T = TypeVar("T")


RESOLVE_TIMEOUT_SECONDS = 10.0
"""Seconds for the name service; its own patience is longer where its server is away."""


TCP_TIMEOUT_SECONDS = 10.0
"""Seconds for TCP, and again with TLS."""


NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME: dates are judged apart from who signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsHandshake:
    """TLS as it is spoken there. `certificate` is what was shown, in binary form; `untrusted` says why its
    authority is not accepted (OpenSSL's code and words), dates and names aside; None where it is.
    """

    version: str
    certificate: bytes
    untrusted: tuple[int, str] | None


async def resolve_host(address: BrokerAddress) -> tuple[str, ...]:
    """The addresses of the host, each once. Raises OSError (`gaierror`, `TimeoutError`)."""
    asked = partial(socket.getaddrinfo, address.host, address.port, type=socket.SOCK_STREAM)
    found = await _within(RESOLVE_TIMEOUT_SECONDS, asked)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


async def connect_tcp(address: BrokerAddress) -> float:
    """How many seconds a connection took. Raises OSError."""
    began = time.monotonic()
    await _within(TCP_TIMEOUT_SECONDS, lambda: connect_socket(address).close())
    return time.monotonic() - began


async def tls_handshake(address: BrokerAddress, files: TlsFiles | None) -> TlsHandshake:
    """TLS with whoever is there. Raises OSError (`ssl.SSLError` where there is none)."""
    version, certificate = await _within(TCP_TIMEOUT_SECONDS, lambda: _shown(address, files))
    untrusted = await _within(TCP_TIMEOUT_SECONDS, lambda: _untrusted(address, files))
    return TlsHandshake(version=version, certificate=certificate, untrusted=untrusted)


def _shown(address: BrokerAddress, files: TlsFiles | None) -> tuple[str, bytes]:
    context = tls_context(files)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only looked at: nothing is sent
    with _secured(context, address) as secured:
        return secured.version() or "", secured.getpeercert(binary_form=True) or b""


def _untrusted(address: BrokerAddress, files: TlsFiles | None) -> tuple[int, str] | None:
    context = tls_context(files)
    context.check_hostname = False
    context.verify_flags |= NO_CHECK_TIME  # Python has no name for it
    try:
        _secured(context, address).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code, error.verify_message
    return None


def _secured(context: ssl.SSLContext, address: BrokerAddress) -> ssl.SSLSocket:
    plain = connect_socket(address)
    try:
        return wrap_tls(context, plain, address.host)
    except BaseException:
        plain.close()
        raise


async def _within(seconds: float, work: Callable[[], T]) -> T:
    try:
        return await asyncio.wait_for(run_in_daemon_thread(work), seconds)
    except ValueError as error:  # from idna and ssl; SSLCertVerificationError is an OSError first
        if isinstance(error, OSError):
            raise
        raise OSError(0, "the host name is not valid") from error
