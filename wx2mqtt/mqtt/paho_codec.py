"""CONNECT, CONNACK, SUBACK and DISCONNECT by paho; the only file that knows paho. Pure.

These packets are rare and have many properties: paho writes and reads the properties, and knows which reason
codes and properties each packet may have. All else is the bridge's (mqtt 7.1). paho's decoders are in its
`_packet`, and so not promised (mqtt 7.2): `tests/unit/mqtt/test_paho_codec.py` says what a new version lacks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from paho.mqtt import _packet as paho
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket as PahoMalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.packets import (
    CONNECT,
    FIRST_FAILURE_CODE,
    UNSUPPORTED_VERSION,
    BrokerReason,
    MalformedPacket,
    counted,
    is_text,
    pack_varint,
)
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.topics import QOS
from wx2mqtt.values import frozen

T = TypeVar("T")

# The flags of CONNECT.
USERNAME_FLAG = 0x80
PASSWORD_FLAG = 0x40
WILL_RETAIN_FLAG = 0x20
WILL_QOS_SHIFT = 3
WILL_FLAG = 0x04
CLEAN_FLAG = 0x02

# A broker that states no Receive Maximum accepts so many unacknowledged publishes (MQTT 5, 3.2.2.3.3).
MAX_RECEIVE_MAXIMUM = 65_535

SHORT_CONNACK_BYTES = 2  # of a CONNACK of MQTT 3.1.1


@frozen
class ConnackLimits:
    """The limits of the broker from its CONNACK. The defaults hold where it states none, as on MQTT 3.1.1."""

    session_present: bool
    receive_maximum: int = MAX_RECEIVE_MAXIMUM
    #: Bytes of the largest packet.
    packet_limit: int | None = None
    retain_available: bool = True
    maximum_qos: int = 2
    #: Seconds, in place of those that the client asked for.
    keepalive: int | None = None
    #: Seconds, in place of those that the client asked for.
    session_expiry: int | None = None


def connect_packet(options: MqttOptions, target: ConnectTarget) -> bytes:
    """Returns a CONNECT with the will, and with the credentials of the options or else of the address."""
    v5, address, will = target.is_mqtt_5, target.address, options.will
    flags = CLEAN_FLAG if options.clean else 0
    payload = counted(options.client_id.encode())
    if will is not None:
        flags |= WILL_FLAG | QOS << WILL_QOS_SHIFT
        if will.retain and target.will_may_be_retained:
            flags |= WILL_RETAIN_FLAG
        properties = _will_properties(will.content_type) if v5 else b""
        payload += properties + counted(will.topic.encode()) + counted(will.payload)
    username = options.username if options.username is not None else address.username
    password = options.password if options.password is not None else address.password
    if username is not None:
        flags |= USERNAME_FLAG
        payload += counted(username.encode())
        if password is not None:
            flags |= PASSWORD_FLAG
            payload += counted(password.encode())
    version = MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311
    head = counted(b"MQTT") + bytes((version, flags)) + options.keepalive.to_bytes(2, "big")
    body = head + (_connect_properties(options) if v5 else b"") + payload
    return bytes((CONNECT,)) + pack_varint(len(body)) + body


def _connect_properties(options: MqttOptions) -> bytes:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no annotations
    properties.SessionExpiryInterval = options.session_expiry
    properties.ReceiveMaximum = options.receive_maximum
    properties.MaximumPacketSize = options.packet_limit
    properties.RequestProblemInformation = 1
    return bytes(properties.pack())  # type: ignore[no-untyped-call]


def _will_properties(content_type: str) -> bytes:
    properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
    properties.WillDelayInterval = 0
    if content_type:
        properties.ContentType = content_type
    if is_text(content_type):
        properties.PayloadFormatIndicator = 1
    return bytes(properties.pack())  # type: ignore[no-untyped-call]


def read_connack(body: bytes | bytearray, *, v5: bool) -> ConnackLimits | BrokerReason:
    """Reads a CONNACK: the broker's limits, or why it refuses the connection. Raises MalformedPacket."""
    if v5 and len(body) == SHORT_CONNACK_BYTES:  # amqtt answers a CONNECT of MQTT 5 so
        return BrokerReason(UNSUPPORTED_VERSION)
    packet = _decode(paho.decode_connack, body, v5=v5)
    properties = packet.properties
    if packet.reason.value >= FIRST_FAILURE_CODE:
        return _broker_reason(packet.reason.value, properties)
    return ConnackLimits(
        session_present=bool(packet.flags & 1),
        receive_maximum=getattr(properties, "ReceiveMaximum", MAX_RECEIVE_MAXIMUM),
        packet_limit=getattr(properties, "MaximumPacketSize", None),
        retain_available=getattr(properties, "RetainAvailable", 1) != 0,
        maximum_qos=getattr(properties, "MaximumQoS", 2),
        keepalive=getattr(properties, "ServerKeepAlive", None),
        session_expiry=getattr(properties, "SessionExpiryInterval", None),
    )


def read_suback(body: bytes | bytearray, *, v5: bool) -> tuple[int, list[int]]:
    """Reads a SUBACK: its packet id, and a code for each filter. Raises MalformedPacket."""
    packet = _decode(paho.decode_suback, body, v5=v5)
    return packet.mid, [code.value for code in packet.reason_codes]


def read_disconnect(body: bytes | bytearray) -> BrokerReason:
    """Reads a DISCONNECT, which a broker sends with MQTT 5 only. Raises MalformedPacket."""
    packet = _decode(paho.decode_disconnect, body, v5=True)
    return _broker_reason(0 if packet.reason is None else packet.reason.value, packet.properties)


def _broker_reason(code: int, properties: Properties | None) -> BrokerReason:
    return BrokerReason(
        code,
        reason_string=str(getattr(properties, "ReasonString", "")),
        reference=str(getattr(properties, "ServerReference", "")),
    )


def _decode(
    decoder: Callable[[int, bytes | bytearray, MQTTProtocolVersion], T], body: bytes | bytearray, *, v5: bool
) -> T:
    """Returns what a decoder of paho reads in a packet without its fixed header."""
    try:
        return decoder(0, body, MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311)
    except PahoMalformedPacket:
        raise MalformedPacket from None
