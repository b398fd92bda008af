"""One connection on the event loop: its socket read and written in whole chunks, paho fed from them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import cast

import structlog

from wx2mqtt.aio import run_in_daemon_thread
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.packets import DISCONNECT, PINGREQ, short_packet
from wx2mqtt.mqtt.paho_codec import PacketHandler, PahoCodec, open_websocket
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.sockets import BufferedSocket, RawSocket, is_near, open_socket, resolves_near
from wx2mqtt.mqtt.unacked import raised_at

log = structlog.get_logger(__name__)

MAX_CHUNKS_PER_TURN = 8
"""Chunks that are read in one turn of the loop; then others have theirs."""


class SocketTransport:
    """`open` it once; it tells `hears` the rest. All but the connecting runs on the loop's own thread.

    `near` says that the broker is on this machine or in a private network.
    """

    def __init__(self, options: MqttOptions, target: ConnectTarget, handler: PacketHandler) -> None:
        self.is_local = False
        self._options = options
        self._address = target.address
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._socket: BufferedSocket | None = None
        self._attached = self._flushing = self._writing = False
        self._reading = True
        self._codec = PahoCodec(options, target, handler, self._open_socket)
        self._codec.on_socket_register_write = lambda *_: self._schedule_flush()
        self._codec.on_socket_close = lambda *_: self._detach()

    @property
    def socket(self) -> BufferedSocket:
        """There is one once `open` has returned."""
        assert self._socket is not None
        return self._socket

    async def open(self) -> None:
        """Connect and send CONNECT. Raises OSError; if it is cancelled nothing stays open."""
        try:
            await run_in_daemon_thread(
                lambda: self._codec.start(self._options, self._address), on_abandoned=self.close
            )
        except OSError:  # a certificate that is refused is both
            raise
        except ValueError as error:  # from ssl and idna
            raise OSError(0, "the host name is not valid") from error
        self._attached = self._reading = True
        self._loop.add_reader(self.socket.fileno(), self._on_readable)
        self._flush()

    def publish(self, topic: str, payload: bytes, *, retain: bool, properties: bytes) -> int:
        """As `Wire.send_publish`."""
        return self._codec.send_publish(topic, payload, retain=retain, packed_properties=properties)

    def subscribe(self, filters: Sequence[str], *, own_and_retained: bool = False) -> int:
        """As `Wire.send_subscribe`."""
        return self._codec.send_subscribe(filters, own_and_retained=own_and_retained)

    def send(self, packet: bytes) -> None:
        """A packet of our own making, such as an acknowledgement."""
        if not self.socket.closed:
            self.socket.send(packet)
            self._schedule_flush()

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.send(short_packet(PINGREQ))

    def set_reading(self, *, enabled: bool) -> None:
        """Read what the broker sends, or leave it in the kernel; what was read in part stays as it is."""
        if enabled == self._reading or not self._attached:
            return
        self._reading = enabled
        if enabled:
            self.socket.received_at = time.monotonic()  # the silence was ours
            self._loop.add_reader(self.socket.fileno(), self._on_readable)
            self._loop.call_soon(self._on_readable)  # a part of it may be here already
        else:
            self._loop.remove_reader(self.socket.fileno())

    def send_disconnect(self) -> None:
        """DISCONNECT: the session stays, the will is dropped; then the broker closes."""
        self._flush()  # what paho still holds goes before it
        self.send(short_packet(DISCONNECT))
        self._flush()

    def close(self) -> None:
        """Close without a word. Does no harm when it is closed already."""
        self._detach()
        if self._socket is not None:
            self._socket.close()

    # in a thread of its own

    def _open_socket(self) -> BufferedSocket:
        try:
            plain = open_socket(self._address, self._options.tls, self._options.keepalive * 1.25)
        except OSError:
            self.is_local = resolves_near(self._address)
            raise
        raw = cast("RawSocket", plain)
        try:
            self.is_local = is_near(plain)  # raises when the broker has hung up already
            self._socket = BufferedSocket(
                open_websocket(raw, self._address) if self._address.websocket else raw
            )
        except BaseException:
            plain.close()
            raise
        return self._socket

    # on the loop

    def _on_readable(self) -> None:
        if self.socket.closed or not self._reading:
            return
        try:
            self._read_packets()
        except Exception as error:  # noqa: BLE001 - what escapes paho ends this connection, never the loop
            self._abort(error)

    def _read_packets(self) -> None:
        stream = self.socket
        for _ in range(MAX_CHUNKS_PER_TURN):
            more = stream.readable or stream.fill()
            while stream.readable and not stream.closed and self._reading:
                self._codec.loop_read()
            if stream.closed or not more or not self._reading:
                return
        self._loop.call_soon(self._on_readable)

    def _schedule_flush(self) -> None:
        if self._attached and not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if not self._attached:
            return
        try:
            self._codec.loop_write()
            done = self.socket.flush()
        except Exception as error:  # noqa: BLE001 - as in `_readable`
            self._abort(error)
            return
        self._set_writing(not done)
        if self.socket.error is not None:
            self._on_readable()  # what the broker said before the line broke may be waiting there

    def _set_writing(self, enabled: bool) -> None:
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
        self._handler.on_closed(-1, "", "")
