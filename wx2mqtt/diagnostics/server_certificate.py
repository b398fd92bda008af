"""The certificate of a TLS server: fetches it, checks its authority, and reads its names and dates."""

from __future__ import annotations

import ipaddress
import ssl
from contextlib import suppress

from cryptography import x509
from cryptography.x509.oid import NameOID

from wx2mqtt.mqtt.options import BrokerAddress, TlsFiles
from wx2mqtt.mqtt.sockets import open_socket, tls_context
from wx2mqtt.values import frozen

# X509_V_FLAG_NO_CHECK_TIME, for which Python has no name: dates are checked apart from the signature.
NO_CHECK_TIME = 0x200000


def version_and_certificate(address: BrokerAddress, files: TlsFiles | None) -> tuple[str, bytes]:
    """Returns the TLS version of a server, and its certificate (DER), whatever that is."""
    context = tls_context(files)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent over it
    with open_socket(address, context) as connection:
        assert isinstance(connection, ssl.SSLSocket)
        return connection.version() or "", connection.getpeercert(binary_form=True) or b""


def authority_error(address: BrokerAddress, files: TlsFiles | None) -> tuple[int, str] | None:
    """Returns OpenSSL's code and text if the certificate's authority is not accepted; else None.

    Dates and names do not count here.
    """
    context = tls_context(files)
    context.check_hostname = False
    context.verify_flags |= NO_CHECK_TIME
    try:
        open_socket(address, context).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code, error.verify_message
    return None


@frozen
class Certificate:
    """The content of a certificate: DNS names and IP addresses, and Unix timestamps of its validity."""

    names: tuple[str, ...]
    not_before: float
    not_after: float

    def matches(self, host: str) -> bool:
        """Returns whether the certificate is valid for this host name or address (RFC 9525 6)."""
        address = _parse_address(host)
        if address is not None:
            return any(_parse_address(name) == address for name in self.names)
        with suppress(UnicodeError):
            host = host.encode("idna").decode()
        host = host.lower().rstrip(".")
        names = {name.lower().rstrip(".") for name in self.names}
        return host in names or f"*.{host.partition('.')[2]}" in names  # a star stands for one whole level


def parse_certificate(der: bytes) -> Certificate:
    """Parses a certificate in DER form. Raises ValueError."""
    certificate = x509.load_der_x509_certificate(der)
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names = [str(attribute.value) for attribute in common_names]
    else:
        names = alternatives.get_values_for_type(x509.DNSName)
        names += map(str, alternatives.get_values_for_type(x509.IPAddress))
    return Certificate(
        names=tuple(names),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
    )


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
