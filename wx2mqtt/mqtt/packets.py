"""Packets as bytes: writes PUBLISH, SUBSCRIBE and short packets, reads PUBLISH and PUBACK. Pure.

    packet     first byte    then the remaining length, and
    PUBLISH    0011 DQQR     topic, packet id (unless QoS is 0), properties, payload; D dup, QQ QoS, R retain
    PUBACK     0100 0000     packet id, reason code, properties; or only the packet id for success
    SUBSCRIBE  1000 0010     packet id, properties, and for each filter: the filter and one byte of options

The remaining length, and that in front of the properties, is a variable byte integer: 7 bits a byte, the
lowest first. Text and binary data have their length in two bytes in front ("counted"). Only MQTT 5 has
properties and reason codes.

The bridge reads PUBLISH and PUBACK itself since paho builds three tables for each, and ends the connection
over one that it does not accept, such as a byte order mark in a user property; the broker would then deliver
the same packet again, for ever (mqtt 7.1.4). What is read here is read as far as it can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from wx2mqtt.mqtt.broker import Delivery, Publication
from wx2mqtt.mqtt.reason_codes import FIRST_FAILURE_CODE
from wx2mqtt.mqtt.topics import is_publishable

# First bytes of packets, with the flags that the standard fixes.
CONNECT, CONNACK, DISCONNECT = 0x10, 0x20, 0xE0
PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 0x30, 0x40, 0x50, 0x62, 0x70
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 0x82, 0x90, 0xA2, 0xB0
PINGREQ, PINGRESP = 0xC0, 0xD0

# The part of a first byte without the flags.
PACKET_TYPE_MASK = 0xF0

# Flags in the first byte of PUBLISH.
DUP_FLAG = 0x08
RETAIN_FLAG = 0x01
QOS_SHIFT = 1
QOS_MASK = 3
INVALID_QOS = 3

# Bytes of the largest packet that MQTT can carry: remaining length, first byte and four of the length.
MAX_PACKET_BYTES = 268_435_455 + 5
MAX_VARINT_BYTES = 4
MAX_STRING_BYTES = 0xFFFF
MAX_PACKET_ID = 0xFFFF
MAX_EXPIRY_SECONDS = 0xFFFF_FFFF
# Of one packet; the standard lets a publisher add user properties without end. Those behind are ignored: a
# packet at QoS 0 that is refused would end the connection, which no publisher may do.
MAX_PROPERTIES = 1000
# Of a packet that is no PUBLISH. paho copies what is left of it with each property: 80 kB of them took 0.3 s,
# 800 kB half a minute.
MAX_CONTROL_PACKET_BYTES = 16_384
PACKET_ID_BYTES = 2
STRING_LENGTH_BYTES = 2
# Of a PUBLISH, without its fixed header: the longest topic and the packet id.
PUBLISH_HEAD_BYTES = STRING_LENGTH_BYTES + MAX_STRING_BYTES + PACKET_ID_BYTES
EXPIRY_BYTES = 4

# The options of a filter in SUBSCRIBE: the broker sends nothing that this client publishes (No Local), leaves
# the retain flag of what is published (Retain As Published), sends nothing that it keeps (Retain Handling 2).
NO_LOCAL_FLAG = 0x04
RETAIN_AS_PUBLISHED_FLAG = 0x08
RETAIN_HANDLING_NONE = 2 << 4

# Sets of these options: what others publish now; that and what the broker keeps; all, own messages too.
RETAINED_COPIES = NO_LOCAL_FLAG | RETAIN_AS_PUBLISHED_FLAG
UNLESS_RETAINED = RETAINED_COPIES | RETAIN_HANDLING_NONE
OWN_AND_RETAINED = 0


class Property(IntEnum):
    """The identifiers of the properties of MQTT 5 (2.2.2.2)."""

    PAYLOAD_FORMAT_INDICATOR = 1
    MESSAGE_EXPIRY_INTERVAL = 2
    CONTENT_TYPE = 3
    RESPONSE_TOPIC = 8
    CORRELATION_DATA = 9
    SUBSCRIPTION_IDENTIFIER = 11
    SESSION_EXPIRY_INTERVAL = 17
    ASSIGNED_CLIENT_IDENTIFIER = 18
    SERVER_KEEP_ALIVE = 19
    AUTHENTICATION_METHOD = 21
    AUTHENTICATION_DATA = 22
    REQUEST_PROBLEM_INFORMATION = 23
    WILL_DELAY_INTERVAL = 24
    REQUEST_RESPONSE_INFORMATION = 25
    RESPONSE_INFORMATION = 26
    SERVER_REFERENCE = 28
    REASON_STRING = 31
    RECEIVE_MAXIMUM = 33
    TOPIC_ALIAS_MAXIMUM = 34
    TOPIC_ALIAS = 35
    MAXIMUM_QOS = 36
    RETAIN_AVAILABLE = 37
    USER_PROPERTY = 38
    MAXIMUM_PACKET_SIZE = 39
    WILDCARD_SUBSCRIPTION_AVAILABLE = 40
    SUBSCRIPTION_IDENTIFIER_AVAILABLE = 41
    SHARED_SUBSCRIPTION_AVAILABLE = 42


# The bytes of a value whose length is fixed. USER_PROPERTY has two strings and SUBSCRIPTION_IDENTIFIER an
# integer of variable length; all others have a string or bytes behind two bytes with their length.
FIXED_VALUE_BYTES = {
    Property.PAYLOAD_FORMAT_INDICATOR: 1,
    Property.MESSAGE_EXPIRY_INTERVAL: 4,
    Property.SESSION_EXPIRY_INTERVAL: 4,
    Property.SERVER_KEEP_ALIVE: 2,
    Property.REQUEST_PROBLEM_INFORMATION: 1,
    Property.WILL_DELAY_INTERVAL: 4,
    Property.REQUEST_RESPONSE_INFORMATION: 1,
    Property.RECEIVE_MAXIMUM: 2,
    Property.TOPIC_ALIAS_MAXIMUM: 2,
    Property.TOPIC_ALIAS: 2,
    Property.MAXIMUM_QOS: 1,
    Property.RETAIN_AVAILABLE: 1,
    Property.MAXIMUM_PACKET_SIZE: 4,
    Property.WILDCARD_SUBSCRIPTION_AVAILABLE: 1,
    Property.SUBSCRIPTION_IDENTIFIER_AVAILABLE: 1,
    Property.SHARED_SUBSCRIPTION_AVAILABLE: 1,
}

_PROPERTY_BY_IDENTIFIER = {prop.value: prop for prop in Property}


class MalformedPacket(ValueError):
    """The packet ends too early or breaks the standard; `mid` is its packet id, 0 where none was read."""

    def __init__(self, mid: int = 0) -> None:
        super().__init__("a packet from the broker cannot be read")
        self.mid = mid


class PublishPacket(NamedTuple):
    """A PUBLISH as the broker sent it.

    `topic` is None if it is not UTF-8 or breaks a rule of MQTT. `mid` is 0 at QoS 0. `expiry` is in seconds.
    """

    topic: str | None
    payload: bytes
    mid: int
    qos: int
    dup: bool
    retain: bool
    content_type: str
    response_topic: str
    correlation: bytes | None
    expiry: int | None
    user_properties: tuple[tuple[str, str], ...]

    def delivery(self, topic: str, connection_number: int) -> Delivery:
        return Delivery(
            topic=topic,
            payload=self.payload,
            mid=self.mid,
            dup=self.dup,
            retain=self.retain,
            connection_number=connection_number,
            content_type=self.content_type,
            response_topic=self.response_topic,
            correlation=self.correlation,
            expiry=self.expiry,
        )


class PubackPacket(NamedTuple):
    """A PUBACK as the broker sent it. `code` is a reason code; only a refusal has a `reason_string`."""

    mid: int
    code: int = 0
    reason_string: str = ""


# --- packets that the bridge sends ---


def packet_ids() -> Iterator[int]:
    """Yields 1 to 65,535 and begins again; the caller skips those that are in use."""
    while True:
        yield from range(1, MAX_PACKET_ID + 1)


def short_packet(first_byte: int, mid: int | None = None) -> bytes:
    """Returns a packet with nothing but its packet id, if any; it means success in every version of MQTT."""
    return bytes((first_byte, 0)) if mid is None else bytes((first_byte, 2, mid >> 8, mid & 0xFF))


def publish_head(publication: Publication, mid: int, *, qos: int, retain: bool, v5: bool) -> bytes:
    """Returns a PUBLISH up to its payload, which follows as it is: it may be a file, and is not copied here.

    At QoS 0 `mid` is not used. Raises ValueError for a topic that MQTT does not let anybody publish to, and
    for what is too long.
    """
    body = _pack_topic(publication.topic)
    if qos:
        body += mid.to_bytes(PACKET_ID_BYTES, "big")
    if v5:
        body += pack_properties(publication)
    first_byte = PUBLISH | qos << QOS_SHIFT | (RETAIN_FLAG if retain else 0)
    return bytes((first_byte,)) + pack_varint(len(body) + len(publication.payload)) + body


@lru_cache(maxsize=256)
def _pack_topic(topic: str) -> bytes:
    if not is_publishable(topic):
        raise ValueError("the topic cannot be published to")
    return counted(topic.encode())


def pack_properties(publication: Publication) -> bytes:
    """Returns the properties of MQTT 5 after their length. Raises ValueError for one that is too long."""
    if publication.expiry is None and publication.correlation is None:
        return _packed_content_properties(publication.content_type)
    body = _content_properties(publication.content_type)
    if publication.expiry is not None:
        seconds = max(0, min(publication.expiry, MAX_EXPIRY_SECONDS))
        body += bytes((Property.MESSAGE_EXPIRY_INTERVAL,)) + seconds.to_bytes(EXPIRY_BYTES, "big")
    if publication.correlation is not None:
        body += bytes((Property.CORRELATION_DATA,)) + counted(publication.correlation)
    return pack_varint(len(body)) + body


def subscribe_packet(
    filters: Sequence[tuple[str, int]], mid: int, *, v5: bool, options: int = UNLESS_RETAINED
) -> bytes:
    """Returns a SUBSCRIBE for pairs of filter and QoS, with these options of MQTT 5; 3.1.1 has none."""
    options = options if v5 else 0
    no_properties = b"\0" if v5 else b""
    body = mid.to_bytes(PACKET_ID_BYTES, "big") + no_properties
    body += b"".join(counted(name.encode()) + bytes((options | qos,)) for name, qos in filters)
    return bytes((SUBSCRIBE,)) + pack_varint(len(body)) + body


def unsubscribe_packet(filters: Sequence[str], mid: int) -> bytes:
    """Returns an UNSUBSCRIBE of MQTT 5."""
    no_properties = b"\0"
    body = mid.to_bytes(PACKET_ID_BYTES, "big") + no_properties
    body += b"".join(counted(name.encode()) for name in filters)
    return bytes((UNSUBSCRIBE,)) + pack_varint(len(body)) + body


def pack_varint(value: int) -> bytes:
    """Returns a variable byte integer (MQTT 5, 1.5.5)."""
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)


def is_text(content_type: str) -> bool:
    """Whether the payload format indicator may promise UTF-8."""
    return content_type.startswith("text/") or content_type == "application/json"


@lru_cache(maxsize=32)
def _packed_content_properties(content_type: str) -> bytes:
    body = _content_properties(content_type)
    return pack_varint(len(body)) + body


@lru_cache(maxsize=32)
def _content_properties(content_type: str) -> bytes:
    if not content_type:
        return b""
    is_utf8 = bytes((Property.PAYLOAD_FORMAT_INDICATOR, 1)) if is_text(content_type) else b""
    return is_utf8 + bytes((Property.CONTENT_TYPE,)) + counted(content_type.encode())


def counted(data: bytes) -> bytes:
    """Returns text or binary data after its length. Raises ValueError if it is too long."""
    if len(data) > MAX_STRING_BYTES:
        raise ValueError("a string of MQTT holds at most 65,535 bytes")
    return len(data).to_bytes(STRING_LENGTH_BYTES, "big") + data


# --- packets that the broker sends ---


def read_publish(first_byte: int, body: bytes | bytearray, *, v5: bool) -> PublishPacket:
    """Reads a PUBLISH without its fixed header. Raises MalformedPacket.

    Damaged properties give an error with the packet id, so that the packet can be acknowledged.
    """
    qos = first_byte >> QOS_SHIFT & QOS_MASK
    if qos == INVALID_QOS:
        raise MalformedPacket
    reader = _Reader(body)
    topic = reader.read_counted()
    mid = reader.read_integer(PACKET_ID_BYTES) if qos else 0
    try:
        properties = reader.read_properties() if v5 else _NO_PROPERTIES
    except MalformedPacket:
        raise MalformedPacket(mid) from None
    expiry = properties.single.get(Property.MESSAGE_EXPIRY_INTERVAL)
    return PublishPacket(
        topic=_topic(topic),
        payload=reader.read_rest(),
        mid=mid,
        qos=qos,
        dup=bool(first_byte & DUP_FLAG),
        retain=bool(first_byte & RETAIN_FLAG),
        content_type=properties.text(Property.CONTENT_TYPE),
        response_topic=properties.text(Property.RESPONSE_TOPIC),
        correlation=properties.single.get(Property.CORRELATION_DATA),
        expiry=None if expiry is None else int.from_bytes(expiry, "big"),
        user_properties=tuple(properties.user),
    )


def read_puback(body: bytes | bytearray) -> PubackPacket:
    """Reads a PUBACK without its fixed header. Raises MalformedPacket if it holds no packet id.

    A reason string that cannot be read counts as none.
    """
    if len(body) == PACKET_ID_BYTES:  # nearly every PUBACK
        return PubackPacket(body[0] << 8 | body[1])
    reader = _Reader(body)
    mid = reader.read_integer(PACKET_ID_BYTES)
    code = reader.read_integer(1)
    if code < FIRST_FAILURE_CODE or reader.at_end:
        return PubackPacket(mid, code)
    try:
        return PubackPacket(mid, code, reader.read_properties().text(Property.REASON_STRING))
    except MalformedPacket:
        return PubackPacket(mid, code)


def read_packet_id(body: bytes | bytearray) -> int:
    """Returns the packet id at the start of a packet without its fixed header. Raises MalformedPacket."""
    return _Reader(body).read_integer(PACKET_ID_BYTES)


class _Properties:
    """The properties of one packet: single ones as bytes by identifier, and the user properties."""

    __slots__ = ("single", "user")

    def __init__(self) -> None:
        self.single: dict[int, bytes] = {}
        self.user: list[tuple[str, str]] = []

    def text(self, identifier: Property) -> str:
        return _text(self.single[identifier]) if identifier in self.single else ""


_NO_PROPERTIES = _Properties()


class _Reader:
    """Reads a packet from its start to its end. Raises MalformedPacket where it ends too early."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        self._position = 0

    @property
    def at_end(self) -> bool:
        return self._position == len(self._data)

    def read_bytes(self, size: int) -> bytes:
        start, end = self._position, self._position + size
        if end > len(self._data):
            raise MalformedPacket
        self._position = end
        return bytes(self._data[start:end])

    def read_rest(self) -> bytes:
        return bytes(memoryview(self._data)[self._position :])  # the only copy: it may be a file

    def read_integer(self, size: int) -> int:
        return int.from_bytes(self.read_bytes(size), "big")

    def read_counted(self) -> bytes:
        return self.read_bytes(self.read_integer(STRING_LENGTH_BYTES))

    def read_varint(self) -> int:
        value = 0
        for index in range(MAX_VARINT_BYTES):
            byte = self.read_integer(1)
            value |= (byte & 0x7F) << 7 * index
            if not byte & 0x80:
                return value
        raise MalformedPacket

    def read_properties(self) -> _Properties:
        data = self.read_bytes(self.read_varint())
        if not data:
            return _NO_PROPERTIES
        properties = _Properties()
        reader = _Reader(data)
        for _ in range(MAX_PROPERTIES):
            if reader.at_end:
                break
            reader.read_property(properties)
        return properties

    def read_property(self, properties: _Properties) -> None:
        """Adds one property. An unknown one has no known length, so the packet is malformed."""
        prop = _PROPERTY_BY_IDENTIFIER.get(self.read_varint())
        if prop is None:
            raise MalformedPacket
        if prop is Property.USER_PROPERTY:
            key, value = self.read_counted(), self.read_counted()
            properties.user.append((_text(key), _text(value)))
        elif prop is Property.SUBSCRIPTION_IDENTIFIER:
            self.read_varint()  # the bridge does not use it
        elif prop in FIXED_VALUE_BYTES:
            properties.single[prop] = self.read_bytes(FIXED_VALUE_BYTES[prop])
        else:
            properties.single[prop] = self.read_counted()


def _topic(data: bytes) -> str | None:
    try:
        topic = data.decode()
    except UnicodeDecodeError:
        return None
    return topic if topic and "\0" not in topic else None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""
