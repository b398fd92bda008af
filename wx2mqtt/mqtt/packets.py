"""Packets as bytes: writes PUBLISH, SUBSCRIBE and short packets, reads PUBLISH and PUBACK. Pure.

    packet     first byte    then the remaining length, and
    PUBLISH    0011 DQQR     topic, packet id (unless QoS is 0), properties, payload; D dup, QQ QoS, R retain
    PUBACK     0100 0000     packet id, reason code, properties; or only the packet id for success
    SUBSCRIBE  1000 0010     packet id, properties, and for each filter: the filter and one byte of options

Only MQTT 5 has properties and reason codes. paho would end the connection over a property that it does not
like, and the broker would deliver the packet again, for ever (mqtt 7.1.4). So the bridge reads these itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from wx2mqtt.mqtt.broker import Delivery, Publication
from wx2mqtt.mqtt.topics import QOS, is_publishable
from wx2mqtt.values import frozen

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


# Reason codes of MQTT 5. The first code that means failure.
FIRST_FAILURE_CODE = 0x80

UNSUPPORTED_VERSION = 0x84
CLIENT_ID_NOT_VALID = 0x85
BAD_CREDENTIALS = 0x86
NOT_AUTHORIZED = 0x87
BANNED = 0x8A
SERVER_SHUTTING_DOWN = 0x8B
BAD_AUTHENTICATION_METHOD = 0x8C
TAKEN_OVER = 0x8E
TOPIC_NAME_INVALID = 0x90
PACKET_TOO_LARGE = 0x95
ADMINISTRATIVE_ACTION = 0x98
RETAIN_UNSUPPORTED = 0x9A
QOS_UNSUPPORTED = 0x9B
USE_ANOTHER_SERVER = 0x9C
SERVER_MOVED = 0x9D

# This server goes away: another one of the list is the better choice.
SERVER_LEAVING_CODES = frozenset({SERVER_SHUTTING_DOWN, ADMINISTRATIVE_ACTION})

# Refusals that another attempt cannot change.
NEEDS_OWNER_CODES = frozenset(
    {CLIENT_ID_NOT_VALID, BAD_CREDENTIALS, NOT_AUTHORIZED, BANNED, BAD_AUTHENTICATION_METHOD}
)


@frozen(kw_only=False)
class BrokerReason:
    """Why the broker refused a connection or ended it: from a CONNACK or a DISCONNECT.

    `reference` is the Server Reference: the servers that the broker names instead.
    """

    code: int
    reason_string: str = ""
    reference: str = ""


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
FIXED_VALUE_BYTES: dict[int, int] = {
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

_IDENTIFIERS = frozenset(map(int, Property))


class MalformedPacket(ValueError):
    """The packet ends too early or breaks the standard; `mid` is its packet id, 0 where none was read."""

    def __init__(self, mid: int = 0) -> None:
        super().__init__("a packet from the broker cannot be read")
        self.mid = mid


class TruncatedPacket(MalformedPacket):
    """The data end before the packet does."""


class PubackPacket(NamedTuple):
    """A PUBACK as the broker sent it. `code` is a reason code; only a refusal has a `reason_string`."""

    mid: int
    code: int = 0
    reason_string: str = ""


# --- packets that the bridge sends ---


def short_packet(first_byte: int, mid: int | None = None) -> bytes:
    """Returns a packet with nothing but its packet id, if any; it means success in every version of MQTT."""
    return bytes((first_byte, 0)) if mid is None else bytes((first_byte, 2, mid >> 8, mid & 0xFF))


def acknowledgement(mid: int, qos: int) -> bytes:
    """Returns the answer to a PUBLISH. QoS 2 comes only in a session that another program has left behind."""
    return bytes((PUBREC if qos == 2 else PUBACK, 2, mid >> 8, mid & 0xFF))


def publish_head(publication: Publication, mid: int, *, retain: bool, v5: bool) -> bytes:
    """Returns a PUBLISH up to its payload, which follows as it is: it may be a file, and is not copied here.

    Raises ValueError for a topic that MQTT does not let anybody publish to, and for what is too long.
    """
    body = _pack_topic(publication.topic) + mid.to_bytes(PACKET_ID_BYTES, "big")
    if v5:
        properties = _content_properties(publication.content_type)
        if publication.expiry is not None:
            seconds = max(0, min(publication.expiry, MAX_EXPIRY_SECONDS))
            properties += bytes((Property.MESSAGE_EXPIRY_INTERVAL,)) + seconds.to_bytes(EXPIRY_BYTES, "big")
        if publication.correlation is not None:
            properties += bytes((Property.CORRELATION_DATA,)) + counted(publication.correlation)
        body += pack_varint(len(properties)) + properties
    first_byte = PUBLISH | QOS << QOS_SHIFT | (RETAIN_FLAG if retain else 0)
    return bytes((first_byte,)) + pack_varint(len(body) + len(publication.payload)) + body


@lru_cache(maxsize=256)
def _pack_topic(topic: str) -> bytes:
    if not is_publishable(topic):
        raise ValueError("the topic cannot be published to")
    return counted(topic.encode())


@lru_cache(maxsize=32)
def _content_properties(content_type: str) -> bytes:
    if not content_type:
        return b""
    is_utf8 = bytes((Property.PAYLOAD_FORMAT_INDICATOR, 1)) if is_text(content_type) else b""
    return is_utf8 + bytes((Property.CONTENT_TYPE,)) + counted(content_type.encode())


def subscribe_packet(
    filters: Sequence[str], mid: int, *, v5: bool, options: int = UNLESS_RETAINED, qos: int = QOS
) -> bytes:
    """Returns a SUBSCRIBE with these options of MQTT 5 for each filter; 3.1.1 has none."""
    no_properties = b"\0" if v5 else b""
    option_byte = bytes((qos | options if v5 else qos,))
    body = mid.to_bytes(PACKET_ID_BYTES, "big") + no_properties
    body += b"".join(counted(name.encode()) + option_byte for name in filters)
    return bytes((SUBSCRIBE,)) + pack_varint(len(body)) + body


def unsubscribe_packet(filters: Sequence[str], mid: int) -> bytes:
    """Returns an UNSUBSCRIBE of MQTT 5."""
    no_properties = b"\0"
    body = mid.to_bytes(PACKET_ID_BYTES, "big") + no_properties
    body += b"".join(counted(name.encode()) for name in filters)
    return bytes((UNSUBSCRIBE,)) + pack_varint(len(body)) + body


@lru_cache(maxsize=256)
def pack_varint(value: int) -> bytes:
    """Returns a variable byte integer (MQTT 5, 1.5.5): 7 bits a byte, the lowest first."""
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)


def is_text(content_type: str) -> bool:
    """Whether the payload format indicator may promise UTF-8."""
    return content_type.startswith("text/") or content_type == "application/json"


def counted(data: bytes) -> bytes:
    """Returns text or binary data after its length. Raises ValueError if it is too long."""
    if len(data) > MAX_STRING_BYTES:
        raise ValueError("a string of MQTT holds at most 65,535 bytes")
    return len(data).to_bytes(STRING_LENGTH_BYTES, "big") + data


# --- packets that the broker sends ---


def read_publish(
    first_byte: int, body: bytes | bytearray, *, v5: bool, connection_number: int = 0
) -> Delivery:
    """Reads a PUBLISH without its fixed header. Raises MalformedPacket.

    An impossible topic is read as "". Damaged properties give an error with the packet id, so that the packet
    can be acknowledged.
    """
    qos = first_byte >> QOS_SHIFT & QOS_MASK
    if qos == INVALID_QOS:
        raise MalformedPacket
    topic_bytes, position = _read_counted(body, 0)
    topic = _text(topic_bytes)
    mid = 0
    if qos:
        mid = read_packet_id(body, position)
        position += PACKET_ID_BYTES
    properties: dict[int, bytes] = {}
    if v5:
        try:
            properties, position = _read_properties(body, position)
        except MalformedPacket:
            raise MalformedPacket(mid) from None
    expiry = properties.get(Property.MESSAGE_EXPIRY_INTERVAL)
    return Delivery(
        topic="" if "\0" in topic else topic,
        payload=bytes(memoryview(body)[position:]),  # the only copy: it may be a file
        mid=mid,
        qos=qos,
        dup=bool(first_byte & DUP_FLAG),
        retain=bool(first_byte & RETAIN_FLAG),
        connection_number=connection_number,
        content_type=_text(properties.get(Property.CONTENT_TYPE, b"")),
        response_topic=_text(properties.get(Property.RESPONSE_TOPIC, b"")),
        correlation=properties.get(Property.CORRELATION_DATA),
        expiry=None if expiry is None else int.from_bytes(expiry, "big"),
    )


def read_puback(body: bytes | bytearray) -> PubackPacket:
    """Reads a PUBACK without its fixed header. Raises MalformedPacket if it holds no packet id.

    A reason string that cannot be read counts as none.
    """
    mid = read_packet_id(body)
    if len(body) == PACKET_ID_BYTES:  # nearly every PUBACK
        return PubackPacket(mid)
    code = body[PACKET_ID_BYTES]
    properties_start = PACKET_ID_BYTES + 1
    if code < FIRST_FAILURE_CODE or properties_start == len(body):
        return PubackPacket(mid, code)
    try:
        properties, _ = _read_properties(body, properties_start)
    except MalformedPacket:
        return PubackPacket(mid, code)
    return PubackPacket(mid, code, _text(properties.get(Property.REASON_STRING, b"")))


def read_packet_id(body: bytes | bytearray, start: int = 0) -> int:
    """Returns the packet id that begins at `start`. Raises MalformedPacket."""
    if start + PACKET_ID_BYTES > len(body):
        raise TruncatedPacket
    return body[start] << 8 | body[start + 1]


def read_varint(data: bytes | bytearray, start: int) -> tuple[int, int]:
    """Returns the variable byte integer that begins at `start` (`pack_varint`), and where it ends.

    Raises TruncatedPacket where the data end before, MalformedPacket where it has more than four bytes.
    """
    value = 0
    for index, byte in enumerate(data[start : start + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, start + index + 1
    if start + MAX_VARINT_BYTES <= len(data):
        raise MalformedPacket
    raise TruncatedPacket


def _read_properties(body: bytes | bytearray, start: int) -> tuple[dict[int, bytes], int]:
    """Returns the properties by identifier, without those that the bridge does not use, and where they end.

    Raises MalformedPacket, also for an unknown one: its length is not known.
    """
    properties: dict[int, bytes] = {}
    size, start = read_varint(body, start)
    end = start + size
    if end > len(body):
        raise TruncatedPacket
    data, position = bytes(body[start:end]), 0
    for _ in range(MAX_PROPERTIES):
        if position == len(data):
            break
        identifier, position = read_varint(data, position)
        if identifier not in _IDENTIFIERS:
            raise MalformedPacket
        if identifier == Property.USER_PROPERTY:
            _, position = _read_counted(data, position)
            _, position = _read_counted(data, position)
        elif identifier == Property.SUBSCRIPTION_IDENTIFIER:
            _, position = read_varint(data, position)
        elif size := FIXED_VALUE_BYTES.get(identifier, 0):
            properties[identifier] = data[position : position + size]
            position += size
            if position > len(data):
                raise TruncatedPacket
        else:
            properties[identifier], position = _read_counted(data, position)
    return properties, end


def _read_counted(data: bytes | bytearray, start: int) -> tuple[bytes, int]:
    """Returns the text or binary data behind its length (`counted`), and where it ends."""
    value_start = start + STRING_LENGTH_BYTES
    end = value_start + int.from_bytes(data[start:value_start], "big")
    if end > len(data):
        raise TruncatedPacket
    return bytes(data[value_start:end]), end


def _text(data: bytes) -> str:
    """Returns the text, "" where it is no UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""
