"""A connected socket for an address: TCP or unix, then TLS. It blocks, hence a thread of its own for it."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import sys

from wx2mqtt.mqtt.addresses import Address
from wx2mqtt.mqtt.options import TlsFiles

CONNECT_TIMEOUT = 5.0
"""Seconds for each address of a name, and again for the TLS handshake."""
UNSENT = 128 * 1024
"""Bytes that may wait unsent in the kernel: what is behind them still reaches a slow broker in time."""


def open_socket(address: Address, tls: TlsFiles | None, patience: float) -> socket.socket:
    """Connected and, for `mqtts` and `wss`, behind TLS. Raises OSError (also of ssl).

    `patience` is how many seconds sent bytes may stay unacknowledged before the kernel gives up (Linux).
    """
    context = tls_context(tls) if address.tls else None
    plain = connect(address, patience)
    try:
        return secure(context, plain, address.host) if context else plain
    except BaseException:
        plain.close()
        raise


def connect(address: Address, patience: float = CONNECT_TIMEOUT) -> socket.socket:
    """Connected, and nothing more. Raises OSError."""
    return _unix(address) if address.unix else _tcp(address, patience)


def tls_context(files: TlsFiles | None) -> ssl.SSLContext:
    """Made anew for each connection, so that renewed certificates count."""
    files = files or TlsFiles()
    context = ssl.create_default_context(cafile=files.ca_file)
    if files.cert_file:
        # a password for the key would be asked for at the terminal; an empty one makes it an error
        context.load_cert_chain(files.cert_file, files.key_file, password=lambda: "")
    return context


def resolves_near(address: Address) -> bool:
    """Whether the broker is on this machine or in a private network. Asks for the name; False if unknown."""
    if address.unix:
        return True
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(_private(entry[4]) for entry in found)


def is_near(connected: socket.socket) -> bool:
    """The same of a socket that is connected."""
    return connected.family == socket.AF_UNIX or _private(connected.getpeername())


def _private(peer: tuple[object, ...]) -> bool:
    return ipaddress.ip_address(str(peer[0]).partition("%")[0]).is_private


def _unix(address: Address) -> socket.socket:
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        plain.settimeout(CONNECT_TIMEOUT)
        plain.connect(address.path)
    except BaseException:
        plain.close()
        raise
    return plain


def _tcp(address: Address, patience: float) -> socket.socket:
    plain = socket.create_connection((address.host, address.port), timeout=CONNECT_TIMEOUT)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a kernel without them: the keepalive of MQTT is still there
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(patience * 1000))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    return plain


def secure(context: ssl.SSLContext, plain: socket.socket, host: str) -> ssl.SSLSocket:
    """TLS on a connected socket, which is closed where that fails. Raises OSError (of ssl)."""
    secured = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    try:
        secured.settimeout(CONNECT_TIMEOUT)
        secured.do_handshake()
    except BaseException:
        secured.close()
        raise
    return secured
