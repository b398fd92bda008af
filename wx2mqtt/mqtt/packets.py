"""Packets of the hot path as bytes: the properties and size of a PUBLISH, what is delivered, PUBACK. Pure.

paho builds three tables for every packet that it reads and gives up the whole connection over one packet
that it does not like, such as a byte order mark in somebody's user property; the broker would deliver the
same packet again at once, for ever. What is read here is read as far as it can be.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from wx2mqtt.mqtt.broker import Publication

PUBACK, PUBREC, PUBCOMP, PINGREQ, DISCONNECT = 0x40, 0x50, 0x70, 0xC0, 0xE0
MAX_PACKET_BYTES = 268_435_455 + 5
"""Bytes of the largest packet that MQTT can carry."""

(
    PAYLOAD_FORMAT_PROPERTY,
    EXPIRY_PROPERTY,
    CONTENT_TYPE_PROPERTY,
    RESPONSE_TOPIC_PROPERTY,
    CORRELATION_PROPERTY,
    REASON_PROPERTY,
) = 1, 2, 3, 8, 9, 31
FIXED_PROPERTY_SIZES = {
    1: 1,
    2: 4,
    17: 4,
    19: 2,
    23: 1,
    24: 4,
    25: 1,
    33: 2,
    34: 2,
    35: 2,
    36: 1,
    37: 1,
    39: 4,
}
FIXED_PROPERTY_SIZES |= {40: 1, 41: 1, 42: 1}
TEXT_PROPERTIES = frozenset(
    {
        CONTENT_TYPE_PROPERTY,
        RESPONSE_TOPIC_PROPERTY,
        CORRELATION_PROPERTY,
        18,
        21,
        22,
        26,
        28,
        REASON_PROPERTY,
    }
)
PAIR_PROPERTIES, VARINT_PROPERTIES = frozenset({38}), frozenset({11})


class MalformedPacket(ValueError):
    """A packet that ends too early or holds an unknown property; `mid` is its packet id where it was read."""

    def __init__(self, mid: int = 0) -> None:
        super().__init__("a packet from the broker cannot be read")
        self.mid = mid


class PublishPacket(NamedTuple):
    """A PUBLISH as it came. `topic` is None if it is no UTF-8 or not allowed by MQTT; `mid` is 0 at QoS 0."""

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


def short_packet(kind: int, mid: int | None = None) -> bytes:
    """A packet with nothing but its packet id, or with nothing; it says success in every version of MQTT."""
    return bytes((kind, 0)) if mid is None else bytes((kind, 2, mid >> 8, mid & 0xFF))


# --- what we send ---


def pack_properties(publication: Publication) -> bytes:
    """The properties of MQTT 5 with their length in front."""
    body = _described(publication.content_type)
    if publication.expiry is not None:
        body += bytes((EXPIRY_PROPERTY,)) + max(0, min(publication.expiry, 0xFFFFFFFF)).to_bytes(4, "big")
    if publication.correlation is not None:
        body += bytes((CORRELATION_PROPERTY,)) + _counted(publication.correlation)
    return read_varint(len(body)) + body


def wire_size(topic: bytes, payload: bytes, properties: bytes) -> int:
    """Bytes of the whole PUBLISH at QoS 1; `properties` is empty for MQTT 3.1.1."""
    rest = 2 + len(topic) + 2 + len(properties) + len(payload)
    return 1 + len(read_varint(rest)) + rest


def read_varint(value: int) -> bytes:
    """A variable byte integer (MQTT 5 1.5.5)."""
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
def _described(content_type: str) -> bytes:
    if not content_type:
        return b""
    return (
        (bytes((PAYLOAD_FORMAT_PROPERTY, 1)) if is_text(content_type) else b"")
        + bytes((CONTENT_TYPE_PROPERTY,))
        + _counted(content_type.encode())
    )


def _counted(data: bytes) -> bytes:
    if len(data) > 0xFFFF:
        raise ValueError("a property holds at most 65,535 bytes")
    return len(data).to_bytes(2, "big") + data


# --- what comes ---


def read_publish(header: int, body: bytes | bytearray, *, properties: bool) -> PublishPacket:
    """A PUBLISH packet without its fixed header; `header` is its first byte. Raises Unreadable."""
    topic, at = _take(body, 0)
    qos, mid = header >> 1 & 3, 0
    if qos:
        mid, at = _integer(body, at, 2)
    found: dict[int, bytes] = {}
    if properties:
        found, at = _properties(body, at, mid)
    correlation = found.get(CORRELATION_PROPERTY)
    return PublishPacket(
        topic=_topic(topic),
        payload=bytes(memoryview(body)[at:]),  # the only copy: it may be a file
        mid=mid,
        qos=qos,
        dup=bool(header & 8),
        retain=bool(header & 1),
        content_type=_text(found.get(CONTENT_TYPE_PROPERTY, b"")),
        response_topic=_text(found.get(RESPONSE_TOPIC_PROPERTY, b"")),
        correlation=correlation,
        expiry=int.from_bytes(found[EXPIRY_PROPERTY], "big") if EXPIRY_PROPERTY in found else None,
    )


def read_puback(body: bytes | bytearray) -> tuple[int, int, str]:
    """Packet id, reason code, and the reason in the broker's own words. Raises Unreadable."""
    if len(body) < 2:
        raise MalformedPacket
    mid = body[0] << 8 | body[1]
    if len(body) == 2:
        return mid, 0, ""
    code = body[2]
    return mid, code, _reason(bytes(body), 3) if code >= 0x80 and len(body) > 3 else ""


def _reason(data: bytes, at: int) -> str:
    try:
        return _text(_properties(data, at, 0)[0].get(REASON_PROPERTY, b""))
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


def _properties(data: bytes | bytearray, at: int, mid: int) -> tuple[dict[int, bytes], int]:
    """The properties at this place by their identifier, and where they end."""
    found: dict[int, bytes] = {}
    try:
        length, at = _number(data, at)
        head, end = _cut(data, 0, at + length)
        while at < end:
            name, at = _number(head, at)
            found[name], at = _property(head, at, name)
    except MalformedPacket:
        raise MalformedPacket(mid) from None
    return found, end


def _property(data: bytes, at: int, name: int) -> tuple[bytes, int]:
    if name in FIXED_PROPERTY_SIZES:
        return _cut(data, at, FIXED_PROPERTY_SIZES[name])
    if name in TEXT_PROPERTIES:
        return _take(data, at)
    if name in PAIR_PROPERTIES:
        return _take(data, _take(data, at)[1])
    if name in VARINT_PROPERTIES:
        return b"", _number(data, at)[1]
    raise MalformedPacket


def _number(data: bytes | bytearray, at: int) -> tuple[int, int]:
    value = 0
    for place in range(4):
        byte, at = _integer(data, at, 1)
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value, at
    raise MalformedPacket


def _take(data: bytes | bytearray, at: int) -> tuple[bytes, int]:
    length, at = _integer(data, at, 2)
    return _cut(data, at, length)


def _integer(data: bytes | bytearray, at: int, size: int) -> tuple[int, int]:
    found, at = _cut(data, at, size)
    return int.from_bytes(found, "big"), at


def _cut(data: bytes | bytearray, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise MalformedPacket
    return bytes(data[at : at + size]), at + size
