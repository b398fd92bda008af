"""Cuts what the broker sends into packets, and hands each one to the connection. Pure.

    a chunk of bytes -> `packets` -> `ReceivedPacket` -> `handle` -> `PacketHandler.on_puback`

A chunk may end anywhere: the beginning of a packet waits for the next chunk. Of a PUBLISH that is
larger than `MqttOptions.packet_limit` only its head is kept, so that it can be acknowledged; another packet
that is too large ends the connection. `packets.py` and `paho_codec.py` read what is inside of a packet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.packets import (
    CONNACK,
    DISCONNECT,
    MAX_CONTROL_PACKET_BYTES,
    MAX_VARINT_BYTES,
    PACKET_TYPE_MASK,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBLISH_HEAD_BYTES,
    PUBREC,
    PUBREL,
    QOS_MASK,
    QOS_SHIFT,
    SUBACK,
    UNSUBACK,
    BrokerReason,
    MalformedPacket,
    PubackPacket,
    TruncatedPacket,
    read_packet_id,
    read_puback,
    read_publish,
    read_varint,
    short_packet,
)
from wx2mqtt.mqtt.paho_codec import ConnackLimits, read_connack, read_disconnect, read_suback

# The bridge publishes nothing with QoS 2, and the answer to a ping counts as bytes, not as a packet.
_IGNORED_TYPES = frozenset({PUBREC, PUBCOMP, UNSUBACK, PINGRESP})


class PacketHandler(Protocol):
    """Receives the packets of one connection, on the event loop and in order. The methods must not raise."""

    def on_connack(self, limits: ConnackLimits) -> None:
        """CONNACK that accepts the connection."""

    def on_suback(self, mid: int, codes: Sequence[int]) -> None:
        """SUBACK with a code for each filter."""

    def on_puback(self, packet: PubackPacket) -> None:
        """PUBACK."""

    def on_publish(self, delivery: Delivery) -> None:
        """PUBLISH. The broker waits for `packets.acknowledgement`."""

    def on_malformed_publish(self, mid: int, qos: int, why: str) -> None:
        """PUBLISH of which only the packet id can be read, 0 at QoS 0."""

    def on_closed(self, reason: BrokerReason | None) -> None:
        """The end: the socket is closed. None if the broker gave no reason. Only the first call counts."""


class ClosedByBroker(Exception):
    """The broker has refused or ended the connection, with a reason."""

    def __init__(self, reason: BrokerReason) -> None:
        super().__init__(reason)
        self.reason = reason


# First byte, what follows the fixed header, and whether of that only the beginning was kept.
ReceivedPacket = tuple[int, bytes | bytearray, bool]


class PacketReader:
    """Reads the packets of one connection; `send` sends a packet to the broker."""

    def __init__(
        self,
        handler: PacketHandler,
        send: Callable[[bytes], None],
        packet_limit: int,
        *,
        v5: bool,
        connection_number: int = 0,
    ) -> None:
        self._handler = handler
        self._send = send
        self._packet_limit = packet_limit
        #: Bytes behind the fixed header of any packet but a PUBLISH; with it they are below `packet_limit`.
        self._max_control_bytes = min(packet_limit - 1 - MAX_VARINT_BYTES, MAX_CONTROL_PACKET_BYTES)
        self._v5 = v5
        self._connection_number = connection_number
        self._header_start = b""  # the last bytes of a chunk that ended within a fixed header
        self._begun: _BegunPacket | None = None  # the packet within whose body a chunk ended

    def packets(self, chunk: bytes) -> Iterator[ReceivedPacket]:
        """Yields the packets that end in a chunk; all must be read before the next chunk.

        Raises MalformedPacket for a packet that ends the connection.
        """
        data, start = self._header_start + chunk, 0
        self._header_start = b""
        while start < len(data):
            if self._begun is None:
                try:
                    body_size, body_start = read_varint(data, start + 1)
                except TruncatedPacket:
                    self._header_start = data[start:]
                    return
                first_byte, body_end = data[start], body_start + body_size
                if body_size > self._max_control_bytes and first_byte & PACKET_TYPE_MASK != PUBLISH:
                    raise MalformedPacket
                is_cut = body_end - start > self._packet_limit
                if body_end <= len(data) and not is_cut:
                    yield first_byte, data[body_start:body_end], False
                    start = body_end
                    continue
                self._begun = _BegunPacket(first_byte, body_size, is_cut=is_cut)
                start = body_start
            start = self._begun.add(data, start)
            if self._begun.missing_bytes == 0:
                begun, self._begun = self._begun, None
                yield begun.first_byte, begun.body, begun.is_cut

    def handle(self, first_byte: int, body: bytes | bytearray, is_cut: bool) -> None:
        """Calls the handler with what a packet says.

        Raises MalformedPacket or ClosedByBroker for a packet that ends the connection.
        """
        packet_type = first_byte & PACKET_TYPE_MASK
        if packet_type == PUBACK:
            self._handler.on_puback(read_puback(body))
        elif packet_type == PUBLISH:
            self._handle_publish(first_byte, body, is_cut=is_cut)
        elif packet_type == PUBREL & PACKET_TYPE_MASK:
            # Also where the packet id is unknown: without an answer the broker waits for ever (mqtt 0.5.4).
            self._send(short_packet(PUBCOMP, read_packet_id(body)))
        elif packet_type == CONNACK:
            answer = read_connack(body, v5=self._v5)
            if isinstance(answer, BrokerReason):
                raise ClosedByBroker(answer)
            self._handler.on_connack(answer)
        elif packet_type == SUBACK:
            self._handler.on_suback(*read_suback(body, v5=self._v5))
        elif packet_type == DISCONNECT and self._v5:
            raise ClosedByBroker(read_disconnect(body))
        elif packet_type not in _IGNORED_TYPES:
            raise MalformedPacket

    def _handle_publish(self, first_byte: int, body: bytes | bytearray, *, is_cut: bool) -> None:
        # Without a packet id one that cannot be read ends the connection: no broker delivers it again.
        qos = first_byte >> QOS_SHIFT & QOS_MASK
        if is_cut:
            head = read_publish(first_byte, body, v5=False)  # properties may be cut
            self._handler.on_malformed_publish(head.mid, qos, "too large")
            return
        try:
            number = self._connection_number
            delivery = read_publish(first_byte, body, v5=self._v5, connection_number=number)
        except MalformedPacket as error:
            if not error.mid:
                raise
            self._handler.on_malformed_publish(error.mid, qos, "damaged properties")
            return
        if delivery.topic:
            self._handler.on_publish(delivery)
        else:
            self._handler.on_malformed_publish(delivery.mid, qos, "impossible topic")


class _BegunPacket:
    """A packet of which a part has come; `missing_bytes` of its body have not."""

    def __init__(self, first_byte: int, body_size: int, *, is_cut: bool) -> None:
        self.first_byte = first_byte
        self.body = bytearray()
        self.is_cut = is_cut
        self.missing_bytes = body_size
        self._kept_bytes = PUBLISH_HEAD_BYTES if is_cut else body_size

    def add(self, data: bytes, start: int) -> int:
        """Takes what belongs to the packet, from `start` on; returns where it ends."""
        part = data[start : start + self.missing_bytes]
        self.missing_bytes -= len(part)
        self.body += part[: self._kept_bytes - len(self.body)]
        return start + len(part)
