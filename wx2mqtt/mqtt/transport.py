"""The bytes of one connection on the event loop: between the socket and the handler of packets.

    in   the socket is readable -> `BufferedSocket.receive`, a chunk -> `PacketReader` -> `PacketHandler`
    out  `send` -> `BufferedSocket.send` -> `flush`, once per turn of the event loop

A packet that cannot be read ends the connection. So does the end of `MqttOptions.lease`: not a byte is
written then, also no DISCONNECT, so that the broker publishes the will.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from enum import Enum, auto
from functools import partial
from time import monotonic

import structlog

from wx2mqtt.aio import MAX_UNBROKEN_SECONDS, raised_at, run_in_daemon_thread
from wx2mqtt.clock import loop_time
from wx2mqtt.i18n.broker import broker_text
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.packet_reader import ClosedByBroker, PacketHandler, PacketReader, ReceivedPacket
from wx2mqtt.mqtt.packets import DISCONNECT, PINGREQ, BrokerReason, MalformedPacket, short_packet
from wx2mqtt.mqtt.paho_codec import connect_packet
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.sockets import BufferedSocket, is_local_address, open_stream, shake_hands

log = structlog.get_logger(__name__)

# Chunks that are read in one turn of the event loop, so that other tasks get their turn.
MAX_CHUNKS_PER_TURN = 8

# Keepalives after which the kernel ends a connection whose bytes are not acknowledged (Linux).
UNACKNOWLEDGED_AFTER_KEEPALIVES = 1.25


class SocketTransport:
    """`open` it once. Packets and the end go to `handler`. All but the connecting runs on the event loop."""

    #: Set by `open`.
    socket: BufferedSocket

    def __init__(
        self, options: MqttOptions, target: ConnectTarget, handler: PacketHandler, connection_number: int = 0
    ) -> None:
        #: The broker is on this machine or in a private network.
        self.is_local = False
        self._pinged_at = 0.0  # when the last PINGREQ was sent
        self._options = options
        self._target = target
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._has_socket = False  # `open` has set `socket`
        self._closed = False  # `close` was called, maybe while `open` runs
        self._reader = PacketReader(
            handler, self.send, options.packet_limit, v5=target.is_mqtt_5, connection_number=connection_number
        )
        self._packets: Iterator[ReceivedPacket] = iter(())  # what was received and is not handled yet
        self._attached = False  # the event loop watches the socket
        self._reading = True  # `set_reading`: what comes is read
        self._read_scheduled = False
        self._writing = False  # the event loop waits until the socket takes more
        self._flush_scheduled = False

    async def open(self) -> None:
        """Connects and sends CONNECT. Raises OSError, also where `close` is called meanwhile.

        A server can let it wait for ever: the caller sets a deadline, and calls `close` in any case.
        """
        if not self._options.lease.is_valid:
            raise OSError(0, broker_text(self._options.language, "lease_ended"))
        address = self._target.address
        timeout = self._options.keepalive * UNACKNOWLEDGED_AFTER_KEEPALIVES
        try:
            self.socket = await open_stream(address, self._options.tls, timeout)
        except OSError:  # a refused certificate is an OSError and a ValueError
            self.is_local = await run_in_daemon_thread(partial(is_local_address, address))
            raise
        except ValueError as error:  # from ssl and idna
            raise OSError(0, "the host name is not valid") from error
        self._has_socket = True
        if self._closed:
            raise ConnectionAbortedError
        self.is_local = self.socket.is_local
        received = await shake_hands(self.socket)
        self._attached = True
        self._loop.add_reader(self.socket.fileno(), self._on_readable)
        self.send(connect_packet(self._options, self._target))
        self.flush()
        self._packets = self._reader.packets(received)
        self._schedule_reading()

    # out

    def send(self, *parts: bytes) -> None:
        """Sends a packet, in one or more parts, in this turn of the event loop; not on a closed socket."""
        if self.socket.closed:
            return
        self.socket.send(*parts)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self.flush)

    def keep_alive(self, keepalive: KeepAlive, now: float) -> bool:
        """Sends PINGREQ where it is time. Returns False if the broker counts as dead."""
        stream = self.socket
        received = stream.received_at if self._reading else now  # while nothing is read no broker is dead
        action = keepalive.check(
            now, received=received, sent=stream.sent_at, drained=stream.drained_at, pinged=self._pinged_at
        )
        if action is KeepAliveAction.PING:
            self._pinged_at = loop_time()
            self.send(short_packet(PINGREQ))
        return action is not KeepAliveAction.DEAD

    def send_disconnect(self) -> None:
        """Sends DISCONNECT: the session stays, the will is dropped; then the broker closes the connection."""
        self.send(short_packet(DISCONNECT))
        self.flush()

    def flush(self) -> None:
        """Writes what was sent in this turn of the event loop, with one system call."""
        if not self._attached or not (self._flush_scheduled or self._writing):
            return
        self._flush_scheduled = False
        stream = self.socket
        if not self._options.lease.is_valid:
            stream.mark_ended(OSError(0, broker_text(self._options.language, "lease_ended")))
            self._end()
            return
        try:
            is_done = stream.flush()
        except Exception as error:  # noqa: BLE001 - as in `_on_readable`
            self._end_with_fault(error)
            return
        if is_done and self._writing:
            self._loop.remove_writer(stream.fileno())
        elif not is_done and not self._writing:
            self._loop.add_writer(stream.fileno(), self.flush)
        self._writing = not is_done
        if stream.error is not None:
            self._schedule_reading()  # a reason may have come before the connection broke

    # in

    def set_reading(self, *, enabled: bool) -> None:
        """Reads what the broker sends, or leaves it in the kernel; a packet read in part stays as it is."""
        if enabled == self._reading or not self._attached:
            return
        self._reading = enabled
        if enabled:
            self.socket.received_at = loop_time()  # until now nobody read
            self._loop.add_reader(self.socket.fileno(), self._on_readable)
            self._schedule_reading()  # packets may have been received already
        else:
            self._loop.remove_reader(self.socket.fileno())

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
        except MalformedPacket:
            self._end()
        except ClosedByBroker as closed:
            self._end(closed.reason)
        except Exception as error:  # noqa: BLE001 - a fault ends this connection, never the event loop
            self._end_with_fault(error)

    def _read_packets(self) -> None:
        """Handles packets until nothing has come, or for a turn; goes on in the next one then."""
        stream = self.socket
        turn_ends_at = monotonic() + MAX_UNBROKEN_SECONDS
        stream.has_more = True  # the socket is readable
        for _ in range(MAX_CHUNKS_PER_TURN):
            for packet in self._packets:
                self._reader.handle(*packet)
                if stream.closed or not self._reading:
                    return
                if monotonic() > turn_ends_at:  # a chunk may hold thousands of packets
                    self._schedule_reading()
                    return
            if stream.ended:
                self._end()
                return
            if not stream.has_more:
                return
            self._packets = self._reader.packets(stream.receive())
            if stream.has_backlog and not self._flush_scheduled:  # the answer to a ping of a WebSocket
                self._flush_scheduled = True
                self._loop.call_soon(self.flush)
            if monotonic() > turn_ends_at:
                break
        self._schedule_reading()

    # the end

    def close(self) -> None:
        """Closes the socket without DISCONNECT; does nothing when it is closed already."""
        self._closed = True
        if self._attached:
            self._attached = False
            self._loop.remove_reader(self.socket.fileno())
            self._loop.remove_writer(self.socket.fileno())
        if self._has_socket:
            self.socket.close()

    def _end(self, reason: BrokerReason | None = None) -> None:
        self.close()
        self._handler.on_closed(reason)

    def _end_with_fault(self, error: Exception) -> None:
        log.error("connection to the broker failed", error=type(error).__name__, at=raised_at(error))
        self._end()


# Parts of the keepalive. The broker is found dead before 1.5 of it, with the interval of the checks.
PING_AFTER_KEEPALIVES = 0.5
DEAD_AFTER_KEEPALIVES = 1.25

# Each check wakes an idle process up: it is no more often than the deadlines need.
MAX_CHECK_INTERVAL_SECONDS = 5.0
CHECKS_PER_KEEPALIVE = 8


class KeepAliveAction(Enum):
    WAIT = auto()
    PING = auto()
    DEAD = auto()


class KeepAlive:
    """When to send PINGREQ, and when the broker counts as dead; all times are of one monotonic clock.

    With a keepalive of 30 s, in seconds since the last byte from the broker:

        15    PINGREQ; also 15 s after the last byte to the broker, which expects one within 45 s
        37.5  dead: no answer to it has come, and the kernel has not taken anything of a large packet either

    paho's own keepalive needs up to twice the interval to notice a dead broker, and takes a broker for dead
    that is only busy with a large packet (mqtt 7.1.2).
    """

    def __init__(self, keepalive: float) -> None:
        #: Seconds between two checks.
        self.interval = min(MAX_CHECK_INTERVAL_SECONDS, keepalive / CHECKS_PER_KEEPALIVE)
        #: Seconds without a byte from the broker after which it is dead.
        self.timeout = keepalive * DEAD_AFTER_KEEPALIVES
        self._ping_after = keepalive * PING_AFTER_KEEPALIVES

    def check(
        self, now: float, *, received: float, sent: float, drained: float, pinged: float
    ) -> KeepAliveAction:
        """Decides from the times of the last byte received and sent, and of the last PINGREQ.

        `drained` is when the kernel last took bytes of a backlog: a large packet on a slow line proceeds.
        """
        if now - max(received, drained) >= self.timeout:
            return KeepAliveAction.DEAD
        ping_pending = pinged > received
        if not ping_pending and now - min(received, sent) >= self._ping_after:
            return KeepAliveAction.PING
        return KeepAliveAction.WAIT
