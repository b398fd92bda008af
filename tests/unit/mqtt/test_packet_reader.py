"""However the bytes of a broker are cut into chunks, each packet reaches the handler once, and none costs much."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cost import cpu_seconds
from tests.support.rows import every_row
from wx2mqtt.limits import MAX_INCOMING_PACKET_BYTES
from wx2mqtt.mqtt.broker import ProtocolVersion
from wx2mqtt.mqtt.packet_reader import ClosedByBroker, PacketReader
from wx2mqtt.mqtt.packets import (
    MAX_CONTROL_PACKET_BYTES,
    BrokerReason,
    MalformedPacket,
    PubackPacket,
    pack_varint,
    short_packet,
)
from wx2mqtt.mqtt.paho_codec import ConnackLimits


class PacketReaderHarness:
    """A reader, and in one object its packet handler, which records the calls, and its transport."""

    def __init__(self, protocol=ProtocolVersion.MQTT_5, packet_limit=MAX_INCOMING_PACKET_BYTES):
        self.calls: list[Any] = []
        self.sent: list[bytes] = []
        self.closed = False
        self.reader = PacketReader(
            self, self.sent.append, packet_limit, v5=protocol == ProtocolVersion.MQTT_5
        )

    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *arguments: self.calls.append((name, *arguments))

    def receive(self, chunk):
        """Reads a chunk; after the end of the connection nothing is read."""
        if self.closed:
            return
        try:
            for packet in self.reader.packets(chunk):
                self.reader.handle(*packet)
        except MalformedPacket:
            self._end(None)
        except ClosedByBroker as closed:
            self._end(closed.reason)

    def _end(self, reason):
        self.closed = True
        self.on_closed(reason)

    @property
    def names(self):
        return [name for name, *_ in self.calls]


CONNACK = b"\x20\x03\x00\x00\x00"


def publish_of(size, mid=7):
    """Returns a PUBLISH of so many bytes, of which two are the length."""
    head = b"\x00\x01t" + (mid.to_bytes(2, "big") if mid else b"") + b"\x00"
    body = head + bytes(size - 3 - len(head))
    return bytes((0x32 if mid else 0x30, len(body) & 0x7F | 0x80, len(body) >> 7)) + body


PACKETS = (
    CONNACK,
    b"\x90\x04\x00\x01\x00\x01",  # SUBACK
    b"\x40\x02\x00\x05",
    b"\x40\x04\x00\x06\x87\x00",
    b"\x32\x08\x00\x01t\x00\x07\x00hi",
    publish_of(200),
    b"\x62\x02\x00\x09",  # PUBREL of a packet that nobody knows
    b"\xd0\x00",  # PINGRESP
    b"\x70\x02\x00\x09",  # PUBCOMP
    b"\xb0\x04\x00\x09\x00\x00",  # UNSUBACK
)


@given(st.lists(st.sampled_from(PACKETS), max_size=8), st.lists(st.integers(1, 250), max_size=30))
def test_each_packet_is_read_once_and_in_order_however_it_is_cut(packets, sizes):
    whole, pieces = PacketReaderHarness(), PacketReaderHarness()
    for packet in packets:
        whole.receive(packet)
    data = b"".join(packets)
    for size in sizes:
        pieces.receive(data[:size])
        data = data[size:]
    pieces.receive(data)
    assert (pieces.calls, pieces.sent) == (whole.calls, whole.sent)
    assert len(pieces.calls) == sum(packet in PACKETS[:6] for packet in packets)


def test_what_each_packet_says_reaches_the_handler():
    harness = PacketReaderHarness()
    harness.receive(b"".join(PACKETS[:5]) + PACKETS[6])
    assert harness.names == ["on_connack", "on_suback", "on_puback", "on_puback", "on_publish"]
    assert harness.calls[0] == ("on_connack", ConnackLimits(session_present=False))
    assert harness.calls[1] == ("on_suback", 1, [1])
    assert harness.calls[2:4] == [("on_puback", PubackPacket(5)), ("on_puback", PubackPacket(6, 0x87))]
    assert harness.sent == [b"\x70\x02\x00\x09"]


def test_a_disconnect_ends_the_connection_with_its_reason():
    harness = PacketReaderHarness()
    harness.receive(CONNACK + b"\xe0\x02\x8e\x00" + PACKETS[4])
    assert harness.calls[1:] == [("on_closed", BrokerReason(0x8E))]


def test_a_connack_that_refuses_ends_the_connection_with_its_reason():
    harness = PacketReaderHarness()
    harness.receive(b"\x20\x03\x00\x86\x00")
    assert harness.calls == [("on_closed", BrokerReason(0x86))]


@every_row(
    "packet",
    [
        b"\x36\x08\x00\x01t\x00\x07\x00hi",  # QoS 3
        b"\x30\x03\x00\x05t",  # a topic that is longer than the packet
        b"\x40\x00",
        b"\x62\x01\x00",
        b"\x20\x00",
        b"\x82\x02\x00\x01",  # only a client subscribes
        b"\xf0\x00",  # AUTH, which was not asked for
        b"\x32\xff\xff\xff\xff\x01",  # five bytes of length
    ],
)
def test_what_breaks_the_protocol_ends_the_connection(packet):
    harness = PacketReaderHarness()
    harness.receive(CONNACK + packet + PACKETS[4])
    assert harness.names == ["on_connack", "on_closed"]


def test_in_mqtt_3_1_1_a_broker_sends_no_disconnect():
    harness = PacketReaderHarness(ProtocolVersion.MQTT_3_1_1)
    harness.receive(b"\x20\x02\x00\x00\xe0\x00")
    assert harness.calls[1:] == [("on_closed", None)]


def test_damaged_properties_of_a_message_are_no_end():
    harness = PacketReaderHarness()
    harness.receive(CONNACK + b"\x32\x08\x00\x01t\x00\x07\x7fhi" + PACKETS[4])
    assert harness.names == ["on_connack", "on_malformed_publish", "on_publish"]
    assert harness.calls[1] == ("on_malformed_publish", 7, 1, "damaged properties")


def test_a_message_with_an_impossible_topic_is_no_end():
    harness = PacketReaderHarness()
    harness.receive(CONNACK + b"\x34\x08\x00\x01\xff\x00\x07\x00hi" + PACKETS[4])
    assert harness.names == ["on_connack", "on_malformed_publish", "on_publish"]
    assert harness.calls[1] == ("on_malformed_publish", 7, 2, "impossible topic")


def packet_of_properties(first_byte, head, size):
    """Returns a packet of about this size that has nothing but user properties behind its head."""
    properties = b"\x26\0\1a\0\1b" * (size // 7)
    body = head + pack_varint(len(properties)) + properties
    return bytes((first_byte,)) + pack_varint(len(body)) + body


@every_row(("first_byte", "head"), [(0x20, b"\0\0"), (0x90, b"\0\1"), (0xE0, b"\x8b"), (0xB0, b"\0\1")])
def test_properties_without_end_end_the_connection_and_cost_nothing(first_byte, head):
    harness = PacketReaderHarness()
    if first_byte != CONNACK[0]:
        harness.receive(CONNACK)
    before = len(harness.names)
    packet = packet_of_properties(first_byte, head, 400_000)
    assert cpu_seconds(lambda: harness.receive(packet)) < 0.5
    assert harness.names[before:] == ["on_closed"]


def test_the_largest_control_packet_is_read():
    harness = PacketReaderHarness()
    codes = bytes(MAX_CONTROL_PACKET_BYTES - 3)
    harness.receive(CONNACK + b"\x90" + pack_varint(MAX_CONTROL_PACKET_BYTES) + b"\0\1\0" + codes)
    assert harness.names == ["on_connack", "on_suback"]


@pytest.mark.parametrize("protocol", ProtocolVersion)
def test_a_publish_that_is_too_large_is_neither_kept_nor_delivered_for_ever(protocol):
    """MQTT 3.1.1 cannot tell the broker the limit, and a broker may not keep to it."""
    harness = PacketReaderHarness(protocol, packet_limit=1000)
    harness.receive(CONNACK if protocol is ProtocolVersion.MQTT_5 else b"\x20\x02\x00\x00")
    for size, mid in ((1000, 5), (1001, 6), (1001, 0), (1000, 8)):
        harness.receive(publish_of(size, mid))
    assert harness.names == ["on_connack", "on_publish", *["on_malformed_publish"] * 2, "on_publish"]
    assert harness.calls[2:4] == [("on_malformed_publish", mid, min(mid, 1), "too large") for mid in (6, 0)]


def test_of_a_publish_that_is_too_large_little_is_in_memory_meanwhile():
    harness = PacketReaderHarness(packet_limit=1000)
    harness.receive(CONNACK)
    harness.receive(b"\x32\xff\xff\xff\x7f\x00\x01t\x00\x07\x00")
    for _ in range(100):
        harness.receive(bytes(50_000))
        begun = harness.reader._begun
        assert begun is not None
        assert len(begun.body) < 70_000
    harness.receive(CONNACK)  # as content
    assert harness.names == ["on_connack"]


def test_another_packet_that_is_too_large_ends_the_connection():
    harness = PacketReaderHarness(packet_limit=1000)
    harness.receive(CONNACK + b"\x90\xe9\x07\x00\x01\x00")
    assert harness.names == ["on_connack", "on_closed"]


def test_the_rest_of_a_message_that_looks_like_packets_is_no_packet():
    harness = PacketReaderHarness()
    inside = b"".join(short_packet(0x40, mid) for mid in range(1, 20))
    body = b"\x00\x01t\x00\x07\x00" + inside
    packet = b"\x32" + pack_varint(len(body)) + body
    harness.receive(packet[:12])
    harness.receive(packet[12:])
    assert [name for name, *_ in harness.calls] == ["on_publish"]
    assert harness.calls[0][1].payload == inside
