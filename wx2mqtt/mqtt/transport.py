"""The bytes of one connection on the event loop: between a socket, the codec and the handler of packets.

    in   the socket is readable -> `BufferedSocket.fill`, a chunk -> `PahoCodec.loop_read` -> `PacketHandler`
         the PUBACKs of a burst: `BufferedSocket.take_pubacks` -> `PacketHandler`
    out  `publish`, `subscribe`, `send` -> `BufferedSocket.send` -> `flush`, once per turn of the event loop

Only the connecting blocks, so `open` does it in a thread; the handshake of a WebSocket does not. What paho
raises over a packet ends the connection. So does the end of `MqttOptions.lease`: not a byte is written then,
also no DISCONNECT, so that the broker publishes the will.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog

from wx2mqtt.aio import MAX_UNBROKEN_SECONDS, raised_at, run_in_daemon_thread
from wx2mqtt.clock import loop_time
from wx2mqtt.errors import NotConnected
from wx2mqtt.i18n.broker import broker_text
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.packets import (
    DISCONNECT,
    PINGREQ,
    UNLESS_RETAINED,
    short_packet,
    subscribe_packet,
)
from wx2mqtt.mqtt.paho_codec import PacketHandler, PahoCodec
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.sockets import BufferedSocket, is_local_address, open_stream, shake_hands

log = structlog.get_logger(__name__)

# Chunks that are read in one turn of the event loop, so that other tasks get their turn.
MAX_CHUNKS_PER_TURN = 8

# Keepalives after which the kernel ends a connection whose bytes are not acknowledged (Linux).
UNACKNOWLEDGED_AFTER_KEEPALIVES = 1.25


class SocketTransport:
    """`open` it once. Packets and the end go to `handler`. All but the connecting runs on the event loop.

    `is_local` says that the broker is on this machine or in a private network, `pinged_at` when the last
    PINGREQ was sent, on the event loop's clock.
    """

    def __init__(self, options: MqttOptions, target: ConnectTarget, handler: PacketHandler) -> None:
        self.is_local = False
        self.pinged_at = 0.0
        self._options = options
        self._address = target.address
        self._v5 = target.is_mqtt_5
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._socket: BufferedSocket | None = None
        self._attached = False
        self._reading = True
        self._read_scheduled = False
        self._writing = False
        self._flush_scheduled = False
        self._codec = PahoCodec(options, target, handler, self)
        self._codec.on_socket_register_write = lambda *_: self._schedule_flush()
        self._codec.on_socket_close = lambda *_: self._detach()

    @property
    def socket(self) -> BufferedSocket:
        """The socket, once `open` has returned."""
        assert self._socket is not None
        return self._socket

    async def open(self) -> None:
        """Connects and sends CONNECT. Raises OSError.

        A server can let it wait for ever: the caller sets a deadline, and calls `close` in any case.
        """
        if not self._options.lease.is_valid:
            raise OSError(0, broker_text(self._options.language, "lease_ended"))
        await self._connect()
        await shake_hands(self.socket)
        self._codec.start(self._options)
        self._attached = True
        self._reading = True
        self._loop.add_reader(self.socket.fileno(), self._on_readable)
        self._schedule_reading()  # bytes behind the handshake are in the buffer already
        self._flush()

    async def _connect(self) -> None:
        """Opens the socket, with TLS where the address asks for it. Raises OSError."""
        timeout = self._options.keepalive * UNACKNOWLEDGED_AFTER_KEEPALIVES
        try:
            self._socket = await open_stream(self._address, self._options.tls, timeout)
        except OSError:  # a refused certificate is an OSError and a ValueError
            self.is_local = await run_in_daemon_thread(partial(is_local_address, self._address))
            raise
        except ValueError as error:  # from ssl and idna
            raise OSError(0, "the host name is not valid") from error
        self.is_local = self._socket.is_local

    def publish(self, header: bytes, payload: bytes) -> None:
        """Sends PUBLISH: `header` is that of `packets.publish_header`.

        Raises NotConnected when the socket has just closed.
        """
        stream = self.socket
        if stream.closed:
            raise NotConnected
        stream.send(header)
        stream.send(payload)
        self._schedule_flush()

    def subscribe(self, filters: Sequence[str], mid: int, options: int = UNLESS_RETAINED) -> None:
        """Sends SUBSCRIBE (see `packets.subscribe_packet`) with the QoS of each filter."""
        with_qos = [(name, self._options.qos(name)) for name in filters]
        self.send(subscribe_packet(with_qos, mid, v5=self._v5, options=options))

    def send(self, packet: bytes) -> None:
        """Sends a packet in this turn of the event loop; drops it when the socket is closed."""
        if not self.socket.closed:
            self.socket.send(packet)
            self._schedule_flush()

    def flush(self) -> None:
        """Writes what was sent in this turn of the event loop, with one system call."""
        if self._flush_scheduled:
            self._flush()

    def ping(self) -> None:
        self.pinged_at = loop_time()
        self.send(short_packet(PINGREQ))

    def set_reading(self, *, enabled: bool) -> None:
        """Reads what the broker sends, or leaves it in the kernel; a packet read in part stays as it is."""
        if enabled == self._reading or not self._attached:
            return
        self._reading = enabled
        if enabled:
            self.socket.received_at = loop_time()  # until now nobody read
            self._loop.add_reader(self.socket.fileno(), self._on_readable)
            self._schedule_reading()  # bytes may be in the buffer already
        else:
            self._loop.remove_reader(self.socket.fileno())

    def send_disconnect(self) -> None:
        """Sends DISCONNECT: the session stays, the will is dropped; then the broker closes the connection."""
        self._flush()  # CONNECT may still wait in paho
        self.send(short_packet(DISCONNECT))
        self._flush()

    def close(self) -> None:
        """Closes the socket without DISCONNECT; does nothing when it is closed already."""
        self._detach()
        if self._socket is not None:
            self._socket.close()

    # on the event loop

    def _schedule_reading(self) -> None:
        """Goes on reading in the next turn of the event loop; the socket need not become readable."""
        if not self._read_scheduled:
            self._read_scheduled = True
            self._loop.call_soon(self._read_again)

    def _read_again(self) -> None:
        self._read_scheduled = False
        self._on_readable()

    def _on_readable(self) -> None:
        if self._read_scheduled or self.socket.closed or not self._reading:
            return
        try:
            self._read_packets()
        except Exception as error:  # noqa: BLE001 - what paho raises ends this connection, never the loop
            self._abort(error)

    def _read_packets(self) -> None:
        stream = self.socket
        turn_ends_at = self._loop.time() + MAX_UNBROKEN_SECONDS
        for _ in range(MAX_CHUNKS_PER_TURN):
            more = stream.readable or stream.fill()
            while stream.readable and not stream.closed and self._reading:
                self._read_packet()
                if self._loop.time() > turn_ends_at:
                    break  # a chunk may hold thousands of packets
            if stream.has_backlog:
                self._schedule_flush()  # the answer to a ping of a WebSocket
            if stream.closed or not self._reading or not (more or stream.readable):
                return
            if self._loop.time() > turn_ends_at:
                break
        self._schedule_reading()

    def _read_packet(self) -> None:
        """Reads what is there of one packet, or all PUBACKs that come next."""
        pubacks = self.socket.take_pubacks() if self._codec.is_between_packets else []
        for puback in pubacks:
            self._handler.on_puback(puback)
        if not pubacks:
            self._codec.loop_read()

    def _schedule_flush(self) -> None:
        if self._attached and not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self.flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if not self._attached:
            return
        if not self._options.lease.is_valid:
            self.socket.mark_ended(OSError(0, broker_text(self._options.language, "lease_ended")))
            self.close()
            self._handler.on_closed(None)
            return
        try:
            if self._codec.want_write():
                self._codec.loop_write()
            done = self.socket.flush()
        except Exception as error:  # noqa: BLE001 - as in `_on_readable`
            self._abort(error)
            return
        self._set_writing(enabled=not done)
        if self.socket.error is not None:
            self._schedule_reading()  # a reason may have come before the connection broke

    def _set_writing(self, *, enabled: bool) -> None:
        if enabled == self._writing:
            return
        self._writing = enabled
        if enabled:
            self._loop.add_writer(self.socket.fileno(), self._flush)
        else:
            self._loop.remove_writer(self.socket.fileno())

    def _detach(self) -> None:
        if self._attached:
            self._attached = False
            self._loop.remove_reader(self.socket.fileno())
            self._loop.remove_writer(self.socket.fileno())

    def _abort(self, error: Exception) -> None:
        log.error("broker sent what the library cannot take", error=type(error).__name__, at=raised_at(error))
        self.close()
        self._handler.on_closed(None)
