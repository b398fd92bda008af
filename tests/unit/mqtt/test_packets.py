"""Packets as bytes: paho and the bridge read each other's packets, and a damaged packet raises one error."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt._packet import decode_publish
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.rows import every_row
from wx2mqtt.mqtt.broker import Publication
from wx2mqtt.mqtt.packets import (
    MAX_PROPERTIES,
    OWN_AND_RETAINED,
    PINGREQ,
    RETAINED_COPIES,
    MalformedPacket,
    pack_varint,
    publish_head,
    read_puback,
    read_publish,
    short_packet,
    subscribe_packet,
    unsubscribe_packet,
)

NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff+#"), min_size=1, max_size=30
)


def counted(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def publish(topic: bytes, mid: int, properties: bytes, payload: bytes) -> bytes:
    return counted(topic) + mid.to_bytes(2, "big") + pack_varint(len(properties)) + properties + payload


def properties_of(publication: Publication) -> bytes:
    """Returns the bytes between the packet id and the payload of a PUBLISH of ours."""
    head = publish_head(publication, 1, retain=False, v5=True)
    return head[head.index(b"\0\1t\0\1") + 5 :]


@given(
    st.sampled_from(["", "application/json", "text/plain", "image/png"]),
    st.none() | st.integers(0, 2**32 - 1),
    st.none() | st.binary(max_size=50),
)
def test_paho_reads_the_properties_that_we_write(content_type, expiry, correlation):
    publication = Publication(
        topic="t", payload=b"", content_type=content_type, expiry=expiry, correlation=correlation
    )
    properties = Properties(PacketTypes.PUBLISH)
    properties.unpack(properties_of(publication))
    assert getattr(properties, "ContentType", "") == content_type
    assert getattr(properties, "MessageExpiryInterval", None) == expiry
    assert getattr(properties, "CorrelationData", None) == correlation
    promised = getattr(properties, "PayloadFormatIndicator", 0)
    assert promised == (content_type in {"application/json", "text/plain"})


def test_the_longest_correlation_that_a_packet_can_hold_is_packed():
    packed = properties_of(Publication(topic="t", payload=b"", correlation=b"x" * 65535))
    assert packed.endswith(b"\xff\xff" + b"x" * 65535)


def test_a_correlation_that_no_packet_can_hold_is_refused():
    with pytest.raises(ValueError, match="65,535"):
        properties_of(Publication(topic="t", payload=b"", correlation=b"x" * 65536))


@given(st.integers(0, 268_435_455))
def test_a_number_has_the_length_that_mqtt_gives_it(value):
    packed = pack_varint(value)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(packed)) == value
    assert len(packed) == 1 + (value > 127) + (value > 16383) + (value > 2097151)


@every_row("payload", [0, 1, 120, 127, 128, 16380, 20000])
def test_the_header_and_the_payload_are_the_whole_packet(payload):
    publication = Publication(topic="wx/in/a", payload=b"x" * payload, content_type="text/plain")
    properties = b"\x01\x01\x03" + counted(b"text/plain")
    body = counted(b"wx/in/a") + b"\0\1" + pack_varint(len(properties)) + properties + b"x" * payload
    head = publish_head(publication, 1, retain=False, v5=True)
    assert head + b"x" * payload == b"\x32" + pack_varint(len(body)) + body


@given(
    NAMES,
    st.integers(1, 65535),
    st.binary(max_size=100),
    st.booleans(),
    st.booleans(),
    NAMES,
    NAMES,
    st.binary(max_size=20),
    st.integers(0, 2**32 - 1),
)
def test_we_read_what_paho_reads(topic, mid, payload, dup, retain, content, response, correlation, expiry):
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType, properties.ResponseTopic = content, response
    properties.CorrelationData, properties.MessageExpiryInterval = correlation, expiry
    properties.UserProperty = [("a", content), (response, "b")]
    properties.SubscriptionIdentifier = [7, 300_000]
    body = counted(topic.encode()) + mid.to_bytes(2, "big") + properties.pack() + payload
    header = 0x32 | dup << 3 | retain
    theirs = decode_publish(header, body, MQTTProtocolVersion.MQTTv5)
    ours = read_publish(header, body, v5=True)
    assert (ours.topic, ours.payload, ours.mid, ours.qos) == (topic, theirs.payload, theirs.mid, theirs.qos)
    assert (ours.dup, ours.retain) == (theirs.dup, theirs.retain) == (dup, retain)
    assert (ours.content_type, ours.response_topic) == (content, response)
    assert (ours.correlation, ours.expiry) == (correlation, expiry)


def test_without_properties_everything_behind_the_packet_id_is_payload():
    packet = read_publish(0x32, counted("wx/out/妻".encode()) + b"\0\7\0\1", v5=False)
    assert (packet.topic, packet.mid, packet.payload) == ("wx/out/妻", 7, b"\0\1")


def test_at_qos_0_there_is_no_packet_id():
    packet = read_publish(0x30, counted(b"t") + b"hi", v5=False)
    assert (packet.qos, packet.mid, packet.payload) == (0, 0, b"hi")


def test_a_publish_with_qos_3_is_malformed_and_not_acknowledged():
    with pytest.raises(MalformedPacket) as caught:
        read_publish(0x36, publish(b"t", 5, b"", b"hi"), v5=True)
    assert caught.value.mid == 0


@given(NAMES, st.integers(1, 65535), st.binary(max_size=300), st.booleans())
def test_paho_reads_the_publish_that_we_write(topic, mid, payload, retain):
    publication = Publication(topic=topic, payload=payload, content_type="text/plain", expiry=7)
    packet = publish_head(publication, mid, retain=retain, v5=True) + payload
    size_length = len(pack_varint(len(packet) - 3))
    read = decode_publish(packet[0], packet[1 + size_length :], MQTTProtocolVersion.MQTTv5)
    assert (read.topic, read.payload, read.qos, read.retain) == (topic.encode(), payload, 1, retain)
    assert read.mid == mid
    assert getattr(read.properties, "ContentType", None) == "text/plain"
    assert getattr(read.properties, "MessageExpiryInterval", None) == 7


@pytest.mark.parametrize("v5", [True, False])
def test_our_subscribe_is_that_of_the_standard(v5):
    first, rest = b"\x82", b"\0\7" + (b"\0" if v5 else b"")
    options = b"\x2d" if v5 else b"\1"
    rest += counted(b"a/#") + options + counted("微".encode()) + options
    assert subscribe_packet(["a/#", "微"], 7, v5=v5) == first + pack_varint(len(rest)) + rest


def test_a_subscribe_for_retained_copies_has_no_local_and_retain_as_published():
    assert subscribe_packet(["a"], 7, v5=True, options=RETAINED_COPIES, qos=0) == b"\x82\x07\0\7\0\0\1a\x0c"


def test_an_unsubscribe_names_its_filters():
    assert unsubscribe_packet(["a", "b"], 7) == b"\xa2\x09\0\7\0\0\1a\0\1b"


def test_a_subscribe_for_own_and_retained_messages_sets_no_option():
    assert subscribe_packet(["a"], 7, v5=True, options=OWN_AND_RETAINED) == b"\x82\x07\0\7\0\0\1a\1"


@every_row("topic", ["", "a/+", "a/#", "a\0b", "\ud800", "x" * 65_536])
def test_a_topic_that_nobody_may_publish_to_is_refused(topic):
    publication = Publication(topic=topic, payload=b"")
    with pytest.raises(ValueError, match=r"topic|surrogates|65,535"):
        publish_head(publication, 1, retain=False, v5=True)


def test_a_byte_order_mark_in_a_property_is_no_reason_to_refuse():
    pair = b"\x26" + counted("\ufeffk".encode()) + counted(b"v")
    packet = read_publish(
        0x32, publish(b"t", 5, pair + b"\x08" + counted("\ufeffr".encode()), b"hi"), v5=True
    )
    assert (packet.payload, packet.response_topic) == (b"hi", "\ufeffr")


def test_text_that_is_no_utf8_counts_as_absent():
    properties = b"\x03" + counted(b"\xff\xfe") + b"\x08" + counted(b"\xc3")
    packet = read_publish(0x32, publish(b"t", 5, properties, b"hi"), v5=True)
    assert (packet.content_type, packet.response_topic, packet.payload) == ("", "", b"hi")


@every_row("topic", [b"wx/\xff", b"", b"a\0b", b"\xed\xa0\x80"])
def test_an_impossible_topic_is_empty(topic):
    packet = read_publish(0x32, publish(topic, 5, b"", b""), v5=True)
    assert (packet.topic, packet.mid) == ("", 5)


@every_row(
    "body",
    [
        publish(b"t", 5, b"\x7e\x01", b""),
        publish(b"t", 5, b"\x02\0\0", b""),
        publish(b"t", 5, b"\x03\xff\xffa", b""),
        counted(b"t") + b"\0\5" + b"\xff\xff\xff\xff\xff",
        counted(b"t") + b"\0\5" + b"\x7f",
        counted(b"t") + b"\0\5",
    ],
)
def test_damaged_properties_leave_the_packet_id(body):
    with pytest.raises(MalformedPacket) as caught:
        read_publish(0x32, body, v5=True)
    assert caught.value.mid == 5


@every_row("prop", [b"\x26\0\0\0\0", b"\x0b\1", b"\x03\0\1t"])
@every_row("first_byte", [0x30, 0x32])
def test_properties_without_end_change_nothing_but_that_the_last_ones_are_not_read(first_byte, prop):
    """A packet at QoS 0 has no id by which it could be refused: it would end the connection."""
    for count in (MAX_PROPERTIES, MAX_PROPERTIES + 1, 10 * MAX_PROPERTIES):
        body = publish(b"t", 5, prop * count, b"x")
        if first_byte == 0x30:
            body = counted(b"t") + body[len(counted(b"t")) + 2 :]
        packet = read_publish(first_byte, body, v5=True)
        assert (packet.topic, packet.payload, packet.mid) == ("t", b"x", 0 if first_byte == 0x30 else 5)


@given(st.integers(0, 15), st.binary(max_size=60), st.booleans())
def test_no_bytes_raise_anything_but_malformed(flags, body, properties):
    with contextlib.suppress(MalformedPacket):
        read_publish(0x30 | flags, body, v5=properties)


@given(st.binary(max_size=60))
def test_a_puback_is_read_or_malformed(body):
    try:
        mid, code, reason = read_puback(body)
    except MalformedPacket:
        assert len(body) < 2
    else:
        assert mid == int.from_bytes(body[:2], "big")
        assert code == (body[2] if len(body) > 2 else 0)
        assert isinstance(reason, str)


def test_a_puback_that_says_no_says_why():
    reason = b"\x1f" + counted(b"no right")
    assert read_puback(b"\0\5\x87" + pack_varint(len(reason)) + reason) == (5, 0x87, "no right")
    assert read_puback(b"\0\5\x87\x09") == (5, 0x87, "")


def test_short_packets_are_those_of_the_standard():
    assert short_packet(0x40, 0x1234) == b"\x40\x02\x12\x34"
    assert short_packet(PINGREQ) == b"\xc0\x00"


FIXED_SIZES_BYTES = {"Byte": 1, "Two Byte Integer": 2, "Four Byte Integer": 4}
PAHO_PROPERTIES = Properties(PacketTypes.PUBLISH)
FIXED_SIZE_PROPERTIES = [
    (identifier, FIXED_SIZES_BYTES[PAHO_PROPERTIES.types[kind]])
    for identifier, (kind, _packets) in PAHO_PROPERTIES.properties.items()
    if PAHO_PROPERTIES.types[kind] in FIXED_SIZES_BYTES
]


@every_row(("identifier", "size_bytes"), FIXED_SIZE_PROPERTIES)
def test_a_property_of_fixed_size_has_the_size_that_it_has_for_paho(identifier, size_bytes):
    content_type = b"\x03" + counted(b"text/plain")
    properties = bytes((identifier, *[1] * size_bytes)) + content_type
    packet = read_publish(0x32, publish(b"t", 7, properties, b"hi"), v5=True)
    assert (packet.content_type, packet.payload) == ("text/plain", b"hi")
