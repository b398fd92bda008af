"""Packets as bytes: writes PUBLISH, SUBSCRIBE and short packets, reads PUBLISH and PUBACK. Pure.

paho builds three tables for every packet that it reads and ends the whole connection over one packet that it
does not accept, such as a byte order mark in a user property; the broker would then deliver the same packet
again, for ever (mqtt 7.1.4). What is read here is read as far as it can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from wx2mqtt.mqtt.broker import Publication
from wx2mqtt.mqtt.reason_codes import FIRST_FAILURE_CODE

PUBLISH, PUBACK, PUBREC, PUBCOMP, SUBSCRIBE, PINGREQ, DISCONNECT = 0x30, 0x40, 0x50, 0x70, 0x82, 0xC0, 0xE0
"""First bytes of packets, with the flags that the standard fixes."""
DUP_FLAG = 0x08
RETAIN_FLAG = 0x01
QOS_SHIFT = 1
INVALID_QOS = 3

MAX_PACKET_BYTES = 268_435_455 + 5
"""Bytes of the largest packet that MQTT can carry: remaining length, first byte and four of the length."""
MAX_STRING_BYTES = 0xFFFF
MAX_PACKET_ID = 0xFFFF
MAX_EXPIRY_SECONDS = 0xFFFF_FFFF
MAX_VARINT_BYTES = 4

NO_LOCAL_FLAG = 0x04
RETAIN_HANDLING_NONE = 2 << 4
"""Subscription option: the broker sends nothing of what is retained."""


class Property(IntEnum):
    """Identifiers of the properties of MQTT 5 (2.2.2.2)."""

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


_FIXED_SIZE_BYTES: dict[int, int] = {
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
_COUNTED = frozenset[int](
    {
        Property.CONTENT_TYPE,
        Property.RESPONSE_TOPIC,
        Property.CORRELATION_DATA,
        Property.ASSIGNED_CLIENT_IDENTIFIER,
        Property.AUTHENTICATION_METHOD,
        Property.AUTHENTICATION_DATA,
        Property.RESPONSE_INFORMATION,
        Property.SERVER_REFERENCE,
        Property.REASON_STRING,
    }
)
"""Text and binary data, with two bytes of length in front."""


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


# --- packets that the bridge sends ---


def packet_ids() -> Iterator[int]:
    """Yields 1 to 65,535 and begins again; the caller skips those that are in use."""
    while True:
        yield from range(1, MAX_PACKET_ID + 1)


def short_packet(first_byte: int, mid: int | None = None) -> bytes:
    """Returns a packet with nothing but its packet id, if any; it means success in every version of MQTT."""
    return bytes((first_byte, 0)) if mid is None else bytes((first_byte, 2, mid >> 8, mid & 0xFF))


def publish_header(
    topic: bytes, mid: int, properties: bytes, payload_size: int, *, qos: int, retain: bool
) -> bytes:
    """Returns a PUBLISH up to its payload, which follows as it is: it may be a file, and is not copied here.

    `properties` is empty for MQTT 3.1.1. At QoS 0 `mid` is not used.
    """
    body = _counted(topic) + (mid.to_bytes(2, "big") if qos else b"") + properties
    first_byte = PUBLISH | qos << QOS_SHIFT | (RETAIN_FLAG if retain else 0)
    return bytes((first_byte,)) + pack_varint(len(body) + payload_size) + body


def publish_size(topic: bytes, payload: bytes, properties: bytes) -> int:
    """Returns the bytes of the whole PUBLISH at QoS 1; `properties` is empty for MQTT 3.1.1."""
    remaining = 2 + len(topic) + 2 + len(properties) + len(payload)
    return 1 + len(pack_varint(remaining)) + remaining


def pack_properties(publication: Publication) -> bytes:
    """Returns the properties of MQTT 5 after their length. Raises ValueError for one that is too long."""
    body = _content_properties(publication.content_type)
    if publication.expiry is not None:
        seconds = max(0, min(publication.expiry, MAX_EXPIRY_SECONDS))
        body += bytes((Property.MESSAGE_EXPIRY_INTERVAL,)) + seconds.to_bytes(4, "big")
    if publication.correlation is not None:
        body += bytes((Property.CORRELATION_DATA,)) + _counted(publication.correlation)
    return pack_varint(len(body)) + body


def check_topic(topic: str) -> bytes:
    """Returns the topic as UTF-8. Raises ValueError for one that MQTT does not let anybody publish to."""
    encoded = topic.encode()
    if not encoded or len(encoded) > MAX_STRING_BYTES or any(sign in topic for sign in "+#\0"):
        raise ValueError("the topic cannot be published to")
    return encoded


def subscribe_packet(
    filters: Sequence[tuple[str, int]], mid: int, *, v5: bool, own_and_retained: bool = False
) -> bytes:
    """Returns a SUBSCRIBE for pairs of filter and QoS.

    On MQTT 5 the broker sends neither what this client publishes (No Local) nor what is retained (Retain
    Handling 2); with `own_and_retained` it sends both.
    """
    options = NO_LOCAL_FLAG | RETAIN_HANDLING_NONE if v5 and not own_and_retained else 0
    no_properties = b"\0" if v5 else b""
    body = mid.to_bytes(2, "big") + no_properties
    body += b"".join(_counted(name.encode()) + bytes((options | qos,)) for name, qos in filters)
    return bytes((SUBSCRIBE,)) + pack_varint(len(body)) + body


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
def _content_properties(content_type: str) -> bytes:
    if not content_type:
        return b""
    is_utf8 = bytes((Property.PAYLOAD_FORMAT_INDICATOR, 1)) if is_text(content_type) else b""
    return is_utf8 + bytes((Property.CONTENT_TYPE,)) + _counted(content_type.encode())


def _counted(data: bytes) -> bytes:
    if len(data) > MAX_STRING_BYTES:
        raise ValueError("a string of MQTT holds at most 65,535 bytes")
    return len(data).to_bytes(2, "big") + data


# --- packets that the broker sends ---


class _Properties:
    """The properties of one packet: single ones as bytes by identifier, and the user properties."""

    __slots__ = ("single", "user")

    def __init__(self) -> None:
        self.single: dict[int, bytes] = {}
        self.user: list[tuple[str, str]] = []

    def text(self, identifier: Property) -> str:
        return _text(self.single.get(identifier, b""))


_NO_PROPERTIES = _Properties()


def read_publish(first_byte: int, body: bytes | bytearray, *, v5: bool) -> PublishPacket:
    """Reads a PUBLISH without its fixed header. Raises MalformedPacket.

    Damaged properties give an error with the packet id, so that the packet can be acknowledged.
    """
    qos = first_byte >> QOS_SHIFT & 3
    if qos == INVALID_QOS:
        raise MalformedPacket
    topic, at = _read_counted(body, 0)
    mid = 0
    if qos:
        mid, at = _read_integer(body, at, 2)
    properties = _NO_PROPERTIES
    if v5:
        properties, at = _read_properties(body, at, mid)
    expiry = properties.single.get(Property.MESSAGE_EXPIRY_INTERVAL)
    return PublishPacket(
        topic=_topic(topic),
        payload=bytes(memoryview(body)[at:]),  # the only copy: it may be a file
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


def read_puback(body: bytes | bytearray) -> tuple[int, int, str]:
    """Returns packet id, reason code, and the reason string of a refusal. Raises MalformedPacket."""
    if len(body) < 2:
        raise MalformedPacket
    mid = body[0] << 8 | body[1]
    if len(body) == 2:
        return mid, 0, ""
    code = body[2]
    return mid, code, _read_reason(bytes(body), 3) if code >= FIRST_FAILURE_CODE and len(body) > 3 else ""


def _read_reason(data: bytes, at: int) -> str:
    try:
        return _read_properties(data, at, 0)[0].text(Property.REASON_STRING)
    except MalformedPacket:
        return ""


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


# Each reader below returns what it read and the position behind it, and raises MalformedPacket.


def _read_properties(data: bytes | bytearray, at: int, mid: int) -> tuple[_Properties, int]:
    properties = _Properties()
    try:
        length, at = _read_varint(data, at)
        head, end = _read_bytes(data, 0, at + length)
        while at < end:
            identifier, at = _read_varint(head, at)
            at = _read_property(properties, identifier, head, at)
    except MalformedPacket:
        raise MalformedPacket(mid) from None
    return properties, end


def _read_property(properties: _Properties, identifier: int, data: bytes, at: int) -> int:
    """Adds one property; returns the position behind it. The value of an unknown one has no known length."""
    if identifier in _FIXED_SIZE_BYTES:
        properties.single[identifier], at = _read_bytes(data, at, _FIXED_SIZE_BYTES[identifier])
    elif identifier in _COUNTED:
        properties.single[identifier], at = _read_counted(data, at)
    elif identifier == Property.USER_PROPERTY:
        key, at = _read_counted(data, at)
        value, at = _read_counted(data, at)
        properties.user.append((_text(key), _text(value)))
    elif identifier == Property.SUBSCRIPTION_IDENTIFIER:
        _, at = _read_varint(data, at)
    else:
        raise MalformedPacket
    return at


def _read_varint(data: bytes | bytearray, at: int) -> tuple[int, int]:
    value = 0
    for index in range(MAX_VARINT_BYTES):
        byte, at = _read_integer(data, at, 1)
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, at
    raise MalformedPacket


def _read_counted(data: bytes | bytearray, at: int) -> tuple[bytes, int]:
    length, at = _read_integer(data, at, 2)
    return _read_bytes(data, at, length)


def _read_integer(data: bytes | bytearray, at: int, size: int) -> tuple[int, int]:
    value, at = _read_bytes(data, at, size)
    return int.from_bytes(value, "big"), at


def _read_bytes(data: bytes | bytearray, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise MalformedPacket
    return bytes(data[at : at + size]), at + size
