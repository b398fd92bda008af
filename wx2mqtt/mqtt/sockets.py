"""Opens the socket of an address.

open_stream (connects in a thread) -> shake_hands (`ws`, `wss`) -> MQTT through the `BufferedSocket`
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from wx2mqtt.aio import run_in_daemon_thread
from wx2mqtt.mqtt.options import BrokerAddress, TlsFiles

if TYPE_CHECKING:
    from wx2mqtt.mqtt.websocket import WebSocket

# Seconds for each address of a name, and again for the TLS handshake.
ADDRESS_CONNECT_TIMEOUT_SECONDS = 5.0

# Bytes that may wait unsent in the kernel, so that a PINGREQ behind them reaches a slow broker in time.
MAX_UNSENT_BYTES = 128 * 1024

READ_CHUNK_BYTES = 64 * 1024

# Of a WebSocket: a chunk of frames without content costs wsproto a few microseconds for each two bytes.
WEBSOCKET_CHUNK_BYTES = 8 * 1024

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


async def open_stream(
    address: BrokerAddress, tls: TlsFiles | None, unacknowledged_seconds: float
) -> BufferedSocket:
    """Connects as `open_socket` does, in a thread. Raises OSError, or ValueError for an impossible host name.

    When it is cancelled, a socket that opens later is closed.
    """
    clock = asyncio.get_running_loop().time

    def connect() -> BufferedSocket:
        context = tls_context(tls) if address.tls else None
        connected = open_socket(address, context, unacknowledged_seconds)
        try:
            stream = BufferedSocket(connected, clock, _websocket_of(address))
            connected.setblocking(False)
            stream.is_local = is_local_peer(connected)  # raises when the broker has closed the connection
        except BaseException:
            connected.close()
            raise
        return stream

    return await run_in_daemon_thread(connect, undo=BufferedSocket.close)


def _websocket_of(address: BrokerAddress) -> WebSocket | None:
    if not address.websocket:
        return None
    from wx2mqtt.mqtt.websocket import WebSocket  # noqa: PLC0415 - wsproto takes 0.7 MB

    return WebSocket(address)


async def shake_hands(stream: BufferedSocket) -> bytes:
    """Returns when the stream takes packets: at once, or when the server has accepted the WebSocket.

    Returns the bytes of MQTT that the server has sent already. Raises OSError. It waits for as long as the
    server takes, so the caller sets a deadline and closes the stream in any case.
    """
    data = b""
    while not stream.is_open:
        data = await _exchange(stream)
        if stream.ended or stream.closed:
            raise stream.error or ConnectionResetError
    return data


async def receive_some(stream: BufferedSocket) -> bytes:
    """Sends what waits, and returns the next bytes, b"" at the end. Raises OSError."""
    data = b""
    while not data and not stream.ended:
        data = await _exchange(stream)
    if not data and stream.error is not None:
        raise stream.error
    return data


async def _exchange(stream: BufferedSocket) -> bytes:
    """Sends what waits and receives what has come; waits for the socket if nothing has."""
    stream.flush()
    was_open = stream.is_open
    data = stream.receive()
    is_progress = data or stream.has_more or stream.ended or stream.is_open is not was_open
    if not is_progress:
        await _wait_until_ready(stream)
    return data


async def _wait_until_ready(stream: BufferedSocket) -> None:
    """Waits until the socket is readable, writable if something waits for that, or closed meanwhile."""
    loop = asyncio.get_running_loop()
    descriptor = stream.fileno()
    ready = asyncio.Event()

    def stop() -> None:
        loop.remove_reader(descriptor)
        loop.remove_writer(descriptor)
        ready.set()

    loop.add_reader(descriptor, ready.set)
    if stream.has_backlog:
        loop.add_writer(descriptor, ready.set)
    stream.on_close = stop
    try:
        await ready.wait()
    finally:
        if not stream.closed:  # else the number may be that of another socket already
            stop()


def open_socket(
    address: BrokerAddress, context: ssl.SSLContext | None, timeout: float = ADDRESS_CONNECT_TIMEOUT_SECONDS
) -> socket.socket:
    """Returns a connected socket, with TLS if there is a context. Blocks. Raises OSError (also those of ssl).

    After `timeout` seconds without an acknowledgement of sent bytes the kernel ends the connection (Linux).
    """
    connected = _connect_unix(address.path) if address.unix else _connect_tcp(address, timeout)
    if context is None:
        return connected
    try:
        secured = context.wrap_socket(connected, server_hostname=address.host, do_handshake_on_connect=False)
        connected = secured
        secured.do_handshake()
    except BaseException:
        connected.close()
        raise
    return secured


def _connect_unix(path: str) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(ADDRESS_CONNECT_TIMEOUT_SECONDS)
        connected.connect(path)
    except BaseException:
        connected.close()
        raise
    return connected


def _connect_tcp(address: BrokerAddress, timeout: float) -> socket.socket:
    endpoint = (address.host, address.port)
    connected = socket.create_connection(endpoint, timeout=ADDRESS_CONNECT_TIMEOUT_SECONDS)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        with suppress(OSError):  # without these options the keepalive of MQTT still finds a dead broker
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeout * 1000))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
    return connected


def tls_context(files: TlsFiles | None) -> ssl.SSLContext:
    """Returns a new context for each connection, so that renewed certificates take effect. Raises OSError."""
    files = files or TlsFiles()
    for file in (files.ca_file, files.cert_file, files.key_file):
        if file is not None:
            file.open("rb").close()  # the error names the file, that of ssl does not
    context = ssl.create_default_context(cafile=files.ca_file)
    if files.cert_file:
        # ssl would ask for the password of a key at the terminal; an empty password makes it an error.
        context.load_cert_chain(files.cert_file, files.key_file, password=lambda: "")
    return context


def is_local_address(address: BrokerAddress) -> bool:
    """Whether the broker is on this machine or in a private network; False if the name cannot be resolved."""
    if address.unix:
        return True
    try:
        entries = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(_is_private(entry[4]) for entry in entries)


def is_local_peer(connected: socket.socket) -> bool:
    """As `is_local_address`, of a connected socket. Raises OSError."""
    return connected.family == socket.AF_UNIX or _is_private(connected.getpeername())


def _is_private(sockaddr: tuple[object, ...]) -> bool:
    return ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]).is_private


class BufferedSocket:
    """A socket on the event loop: what is sent waits in a buffer until `flush`, so that packets share a call.

    With a `websocket` the bytes that are sent and received are what is inside of its frames.
    """

    def __init__(
        self,
        raw: socket.socket,
        clock: Callable[[], float] = time.monotonic,
        websocket: WebSocket | None = None,
    ) -> None:
        #: The broker is on this machine or in a private network.
        self.is_local = False
        #: The broker has closed the connection, or it broke; then `error` is why.
        self.ended = False
        self.error: OSError | None = None
        #: `close` was called; it calls `on_close` before it closes the socket.
        self.closed = False
        self.on_close: Callable[[], object] = lambda: None
        #: Another `receive` may return bytes at once.
        self.has_more = False
        #: Bytes wait that the kernel did not take yet.
        self.has_backlog = websocket is not None  # its request
        #: Times of the last byte of MQTT in and out, on `clock`.
        self.received_at = clock()
        self.sent_at = self.received_at
        #: When the kernel last took bytes of a backlog: a large packet on a slow line proceeds.
        self.drained_at = self.received_at
        self._raw = raw
        self._websocket = websocket
        self._chunk_bytes = READ_CHUNK_BYTES if websocket is None else WEBSOCKET_CHUNK_BYTES
        self._clock = clock
        is_tcp = isinstance(raw, socket.socket) and raw.family in (socket.AF_INET, socket.AF_INET6)
        self._quick_ack = getattr(socket, "TCP_QUICKACK", None) if is_tcp else None
        # TLS may hold bytes that the kernel no longer shows (paho #131).
        self._tls_pending: Callable[[], int] = getattr(raw, "pending", int)  # `int()` is 0
        self._unsent = bytearray()
        self._unsent_is_control = False  # a pong is not what the broker's keepalive waits for
        self._had_backlog = False  # at the last `flush`

    @property
    def is_open(self) -> bool:
        """Whether MQTT may begin: not while a WebSocket's handshake goes on."""
        return self._websocket is None or self._websocket.is_open

    def fileno(self) -> int:
        return self._raw.fileno()

    def receive(self) -> bytes:
        """Returns a chunk of what the broker has sent, b"" if nothing has come. Sets `has_more`."""
        try:
            data = self._raw.recv(self._chunk_bytes)
        except WOULD_BLOCK:
            self.has_more = self._tls_pending() > 0
            return b""
        except OSError as error:
            self.mark_ended(error)
            return b""
        if not data:
            self.mark_ended(None)
            return b""
        if self._quick_ack is not None:
            # Without it (Linux; the kernel forgets it each time) a broker that collects small packets, as
            # mosquitto does without `set_tcp_nodelay`, holds the next command back for about 40 ms, until the
            # kernel acknowledges the packet before it (mqtt 6.1.6).
            with suppress(OSError):  # the connection broke; the next read reports it
                self._raw.setsockopt(socket.IPPROTO_TCP, self._quick_ack, 1)
        self.has_more = len(data) == self._chunk_bytes or self._tls_pending() > 0
        if self._websocket is not None:
            data = self._unframe(self._websocket, data)
        if data:
            self.received_at = self._clock()
        return data

    def _unframe(self, websocket: WebSocket, data: bytes) -> bytes:
        """Returns the bytes of MQTT in a chunk; a close frame or an error in it is the end behind them."""
        payload = websocket.receive(data)
        self.has_backlog = self.has_backlog or websocket.has_output
        if websocket.is_closed:
            self.mark_ended(websocket.error)
            self.flush()  # the answer to a close frame
        return payload

    def send(self, *parts: bytes) -> None:
        """Stores bytes for `flush`."""
        self.has_backlog = True
        for part in parts:
            if self._websocket is None:
                self._unsent += part
            else:
                self._websocket.send(part)

    def flush(self) -> bool:
        """Writes what waits. Returns True if nothing is left, or if the connection broke (then `ended`)."""
        sent_any = False
        try:
            while self._unsent or (self._websocket is not None and self._take_frame(self._websocket)):
                sent_count = self._raw.send(self._unsent)
                if not sent_count:
                    break
                del self._unsent[:sent_count]
                sent_any = sent_any or not self._unsent_is_control
        except WOULD_BLOCK:
            pass
        except OSError as error:
            self._unsent.clear()
            self.mark_ended(error)
        if sent_any:
            self.sent_at = self._clock()
            if self._had_backlog or self._unsent:
                self.drained_at = self.sent_at
        self.has_backlog = self._had_backlog = bool(self._unsent)
        return not self._unsent

    def _take_frame(self, websocket: WebSocket) -> bool:
        """Takes the next frame, one at a time: of many pings only the newest is answered."""
        self._unsent_is_control = bool(websocket.control_frame)
        self._unsent += websocket.take_frame()
        return bool(self._unsent)

    def mark_ended(self, error: OSError | None) -> None:
        """Records the end; `error` is why. Only the first call counts."""
        self.has_more = False
        if not self.ended:
            self.ended = True
            self.error = error

    def close(self) -> None:
        """Closes the socket; bytes that were not read yet are discarded."""
        if not self.closed:
            self.on_close()
        self.closed = True
        self._raw.close()
