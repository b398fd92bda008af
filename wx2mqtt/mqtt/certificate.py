"""What stands in a broker's certificate: for whom it is and when it counts. Pure; loads `cryptography`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """`names` are DNS names and addresses; `begins` and `ends` in seconds since 1970."""

    names: tuple[str, ...]
    begins: float
    ends: float

    def is_for(self, host: str) -> bool:
        """Whether a connection to this host name or address may show it (RFC 9525 6)."""
        return any(_fits(name, host) for name in self.names)


def read_certificate(der: bytes) -> Certificate:
    """From its binary form. Raises ValueError."""
    found = x509.load_der_x509_certificate(der)
    return Certificate(
        names=_names(found),
        begins=found.not_valid_before_utc.timestamp(),
        ends=found.not_valid_after_utc.timestamp(),
    )


def _names(found: x509.Certificate) -> tuple[str, ...]:
    """The alternative names; only without any of them does the common name count, as for OpenSSL."""
    try:
        kinds = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
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
