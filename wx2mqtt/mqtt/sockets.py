"""A connected socket for an address: TCP or unix, then TLS. It blocks, hence a thread of its own for it.

A socket with a buffer on each side: paho takes it for its socket, the event loop fills and flushes it.

paho reads single bytes and writes single packets; with the buffers many packets share one system call.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from wx2mqtt.mqtt.options import BrokerAddress, TlsFiles

ADDRESS_CONNECT_TIMEOUT_SECONDS = 5.0
"""Seconds for each address of a name, and again for the TLS handshake."""


MAX_UNSENT_BYTES = 128 * 1024
"""Bytes that may wait unsent in the kernel: what is behind them still reaches a slow broker in time."""


def open_socket(address: BrokerAddress, tls: TlsFiles | None, timeout: float) -> socket.socket:
    """Connected and, for `mqtts` and `wss`, behind TLS. Raises OSError (also of ssl).

    `patience` is how many seconds sent bytes may stay unacknowledged before the kernel gives up (Linux).
    """
    context = tls_context(tls) if address.tls else None
    plain = connect_socket(address, timeout)
    try:
        return wrap_tls(context, plain, address.host) if context else plain
    except BaseException:
        plain.close()
        raise


def connect_socket(address: BrokerAddress, timeout: float = ADDRESS_CONNECT_TIMEOUT_SECONDS) -> socket.socket:
    """Connected, and nothing more. Raises OSError."""
    return _unix(address) if address.unix else _tcp(address, timeout)


def tls_context(files: TlsFiles | None) -> ssl.SSLContext:
    """Made anew for each connection, so that renewed certificates count."""
    files = files or TlsFiles()
    context = ssl.create_default_context(cafile=files.ca_file)
    if files.cert_file:
        # a password for the key would be asked for at the terminal; an empty one makes it an error
        context.load_cert_chain(files.cert_file, files.key_file, password=lambda: "")
    return context


def resolves_near(address: BrokerAddress) -> bool:
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


def _unix(address: BrokerAddress) -> socket.socket:
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        plain.settimeout(ADDRESS_CONNECT_TIMEOUT_SECONDS)
        plain.connect(address.path)
    except BaseException:
        plain.close()
        raise
    return plain


def _tcp(address: BrokerAddress, timeout: float) -> socket.socket:
    plain = socket.create_connection((address.host, address.port), timeout=ADDRESS_CONNECT_TIMEOUT_SECONDS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a kernel without them: the keepalive of MQTT is still there
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeout * 1000))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
    return plain


def wrap_tls(context: ssl.SSLContext, plain: socket.socket, host: str) -> ssl.SSLSocket:
    """TLS on a connected socket, which is closed where that fails. Raises OSError (of ssl)."""
    secured = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    try:
        secured.settimeout(ADDRESS_CONNECT_TIMEOUT_SECONDS)
        secured.do_handshake()
    except BaseException:
        secured.close()
        raise
    return secured


READ_CHUNK_BYTES = 64 * 1024


WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class RawSocket(Protocol):
    """A non-blocking socket: plain, TLS, or paho's WebSocket around one of them."""

    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytearray, /) -> int: ...
    def close(self) -> None: ...
    def fileno(self) -> int: ...
    def setblocking(self, flag: bool, /) -> None: ...


class BufferedSocket:
    """Times are of the monotonic clock: `heard_at` of the last byte in, `sent_at` of the last byte out.

    `drained_at` is when the kernel last took something of a backlog: a large packet on a slow line moves.
    `over` is true once the other side, or the line, has ended it; `error` says how if not in order.
    """

    def __init__(self, raw: RawSocket) -> None:
        self._raw = raw
        self._quick_ack = _quick_acknowledgement(raw)
        self._received = b""
        self._position = 0
        self.ended = False
        self._unsent = bytearray()
        self._had_backlog = False
        self.error: OSError | None = None
        self.closed = False
        self.received_at = self.sent_at = self.drained_at = time.monotonic()

    # what paho calls

    def recv(self, size: int) -> bytes:
        """Bytes that `fill` has brought; the end and an error only after all of them."""
        start = self._position
        if start < len(self._received):
            data = self._received[start : start + size]
            self._position = start + len(data)
            return data
        if not (self.ended or self.closed):
            raise BlockingIOError
        if self.error is not None:
            raise self.error
        return b""

    def send(self, data: bytes | bytearray) -> int:
        """Takes everything; `flush` hands it on."""
        self._unsent += data
        return len(data)

    def close(self) -> None:
        """Nothing more is given out, not even what was read already."""
        self.closed = True
        self._received = b""
        self._raw.close()

    def fileno(self) -> int:
        return self._raw.fileno()

    def setblocking(self, flag: bool) -> None:
        self._raw.setblocking(flag)

    # what the event loop calls

    @property
    def readable(self) -> bool:
        """Whether `recv` has something to give: bytes, the end, or an error."""
        return self._position < len(self._received) or self.ended

    @property
    def has_backlog(self) -> bool:
        """Whether the kernel has yet to take some of what was sent."""
        return bool(self._unsent)

    def fill(self) -> bool:
        """Take in what has arrived, when all before has been read. True: there may be more already."""
        try:
            data = self._raw.recv(READ_CHUNK_BYTES)
        except WOULD_BLOCK:
            return self._has_pending()
        except OSError as error:
            self._mark_ended(error)
            return False
        if not data:
            self._mark_ended(None)
            return False
        self._quick_ack()
        self._received, self._position = data, 0
        self.received_at = time.monotonic()
        return len(data) == READ_CHUNK_BYTES or self._has_pending()

    def flush(self) -> bool:
        """Hand on what was sent. True: nothing is left, or the connection is broken (and then readable)."""
        left = len(self._unsent)
        try:
            while self._unsent:
                taken = self._raw.send(self._unsent)
                if not taken:
                    break
                del self._unsent[:taken]
        except WOULD_BLOCK:
            pass
        except OSError as error:
            self._unsent.clear()
            self._mark_ended(error)
        self._record_sent(left)
        return not self._unsent

    def _record_sent(self, before: int) -> None:
        if len(self._unsent) < before:
            self.sent_at = time.monotonic()
            if self._had_backlog or self._unsent:
                self.drained_at = self.sent_at
        self._had_backlog = bool(self._unsent)

    def _has_pending(self) -> bool:
        """TLS may hold bytes that the kernel no longer shows (paho #131)."""
        pending = getattr(self._raw, "pending", None)
        return pending is not None and pending() > 0

    def _mark_ended(self, error: OSError | None) -> None:
        self.ended = True
        self.error = self.error or error


def _quick_acknowledgement(raw: RawSocket) -> Callable[[], object]:
    """Have the kernel acknowledge at once what was just read, where it can (Linux; it forgets each time).

    Else a broker that collects small packets, as mosquitto does unless told otherwise, holds a command back
    until the kernel has acknowledged the PUBACK before it, some 40 ms later.
    """
    if not isinstance(raw, socket.socket) or raw.family not in (socket.AF_INET, socket.AF_INET6):
        return _nothing
    option = getattr(socket, "TCP_QUICKACK", None)
    return _nothing if option is None else partial(_set, raw, option)


def _set(raw: socket.socket, option: int) -> None:
    with suppress(OSError):  # the connection is gone; the next read says so
        raw.setsockopt(socket.IPPROTO_TCP, option, 1)


def _nothing() -> None:
    """Other systems have no such option."""
