"""CONNECT, CONNACK, SUBACK and DISCONNECT by paho; the only file that knows paho.

paho splits the incoming bytes into packets, writes CONNECT, reads CONNACK, SUBACK and DISCONNECT. All else is
the bridge's (mqtt 7.1): sockets, buffers and WebSocket, keepalive, PUBLISH, SUBSCRIBE and acknowledgements,
reconnecting. paho stores no message: its queue and its window stay empty. A codec lives for one connection.

The bridge overrides and reads names inside paho (mqtt 7.2). `tests/unit/mqtt/test_paho_codec.py` lists them
and says which of them a new version of paho lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.packets import (
    MAX_CONTROL_PACKET_BYTES,
    PACKET_TYPE_MASK,
    PUBCOMP,
    PUBLISH,
    PUBLISH_HEAD_BYTES,
    MalformedPacket,
    PubackPacket,
    PublishPacket,
    is_text,
    read_packet_id,
    read_puback,
    read_publish,
    short_packet,
)
from wx2mqtt.mqtt.reason_codes import UNSUPPORTED_VERSION, BrokerReason
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.sockets import BufferedSocket
from wx2mqtt.values import frozen

# paho wants an address, although the bridge has opened the socket (`_create_socket`).
UNUSED_HOST, UNUSED_PORT = "localhost", 1

# Return code of MQTT 3.1.1 for a version that the broker does not speak.
REFUSED_VERSION_3 = 1

# Unacknowledged publishes that a broker accepts which states no Receive Maximum (MQTT 5, 3.2.2.3.3).
MAX_RECEIVE_MAXIMUM = 65_535

# Bytes of a CONNACK of MQTT 3.1.1.
SHORT_CONNACK_BYTES = 2


@frozen
class ConnackLimits:
    """The limits of the broker from its CONNACK; the defaults hold for MQTT 3.1.1, which states none.

    `packet_limit` is in bytes, `keepalive` and `session_expiry` in seconds; None if the broker states none.
    """

    session_present: bool
    receive_maximum: int = MAX_RECEIVE_MAXIMUM
    packet_limit: int | None = None
    retain_available: bool = True
    maximum_qos: int = 2
    keepalive: int | None = None
    session_expiry: int | None = None


class PacketHandler(Protocol):
    """Receives the packets of one connection, on the event loop and in order. The methods must not raise."""

    def on_connack(self, limits: ConnackLimits) -> None:
        """CONNACK that accepts the connection; one that refuses it calls `on_closed`."""

    def on_suback(self, mid: int, codes: Sequence[int]) -> None:
        """SUBACK with a code for each filter."""

    def on_puback(self, packet: PubackPacket) -> None:
        """PUBACK."""

    def on_publish(self, packet: PublishPacket) -> None:
        """PUBLISH. The broker waits for a PUBACK, or for a PUBREC at QoS 2."""

    def on_malformed_publish(self, mid: int, why: str) -> None:
        """PUBLISH of which only the packet id can be read, 0 at QoS 0."""

    def on_closed(self, reason: BrokerReason | None) -> None:
        """The end; only the first call counts. None if the broker gave no reason."""


class CodecTransport(Protocol):
    @property
    def socket(self) -> BufferedSocket:
        """The open socket."""

    def send(self, packet: bytes) -> None:
        """Sends a packet soon."""


class PahoCodec(paho.Client):
    """paho on a socket of the bridge; the packets of the hot path are read here, not by paho."""

    def __init__(
        self, options: MqttOptions, target: ConnectTarget, handler: PacketHandler, transport: CodecTransport
    ) -> None:
        # paho has a `_transport` of its own
        self._v5 = target.is_mqtt_5
        self._packet_handler = handler
        self._packet_transport = transport
        self._max_packet_bytes = options.packet_limit
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            clean_session=None if self._v5 else options.clean,
            protocol=MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self.on_connect = self._on_connack
        self.on_subscribe = self._on_suback
        self.on_disconnect = self._on_disconnect_packet
        self._set_credentials_and_will(options, target)

    def start(self, options: MqttOptions) -> None:
        """Takes over the open socket and writes CONNECT into its buffer."""
        if self._v5:
            self.connect(
                UNUSED_HOST,
                UNUSED_PORT,
                options.keepalive,
                clean_start=options.clean,
                properties=_connect_properties(options),
            )
        else:
            self.connect(UNUSED_HOST, UNUSED_PORT, options.keepalive)

    @property
    def is_between_packets(self) -> bool:
        """Whether the next byte is the first one of a packet."""
        return self._in_packet["command"] == 0

    @property
    def _is_publish(self) -> bool:
        return self._in_packet["command"] & PACKET_TYPE_MASK == PUBLISH

    @property
    def _is_too_large(self) -> bool:
        """Whether the packet that is being read is larger than the broker was told, or could not be told."""
        packet = self._in_packet
        if not self._is_publish and packet["remaining_length"] > MAX_CONTROL_PACKET_BYTES:
            return True
        size = 1 + len(packet["remaining_count"]) + packet["remaining_length"]
        return size > self._max_packet_bytes

    def _set_credentials_and_will(self, options: MqttOptions, target: ConnectTarget) -> None:
        address, will = target.address, options.will
        username = options.username if options.username is not None else address.username
        password = options.password if options.password is not None else address.password
        if username is not None:
            self.username_pw_set(username, password)
        if will is None:
            return
        properties = _will_properties(will.content_type) if self._v5 else None
        retain = will.retain and target.will_may_be_retained
        self.will_set(will.topic, will.payload, options.qos(will.topic), retain, properties)

    # callbacks of paho

    def _on_connack(
        self,
        _client: object,
        _data: object,
        flags: paho.ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if code.is_failure:
            self._packet_handler.on_closed(_broker_reason(code, properties))
        else:
            self._packet_handler.on_connack(_limits(flags.session_present, properties))

    def _on_suback(
        self, _client: object, _data: object, mid: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        self._packet_handler.on_suback(mid, [code.value for code in codes])

    def _on_disconnect_packet(
        self,
        _client: object,
        _data: object,
        flags: paho.DisconnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        is_sent_by_broker = flags.is_disconnect_packet_from_server
        self._packet_handler.on_closed(_broker_reason(code, properties) if is_sent_by_broker else None)

    # methods of paho that are overridden

    def _create_socket(self) -> BufferedSocket:
        return self._packet_transport.socket

    def _packet_handle(self) -> MQTTErrorCode:
        if self._is_too_large and not self._is_publish:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return super()._packet_handle()

    def _handle_connack(self) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if len(packet) == SHORT_CONNACK_BYTES and (self._v5 or packet[1] == REFUSED_VERSION_3):
            # A CONNACK of 3.1.1 in answer to MQTT 5, as amqtt sends it: paho fails on codes other than 1. In
            # answer to 3.1.1 paho does not report a 1.
            self._packet_handler.on_closed(BrokerReason(UNSUPPORTED_VERSION))
            return MQTTErrorCode.MQTT_ERR_CONN_REFUSED
        return super()._handle_connack()

    def _packet_read(self) -> MQTTErrorCode:
        """Of a PUBLISH that is too large only what holds its packet id is kept; others are an error."""
        result = super()._packet_read()
        if self._is_too_large:
            if not self._is_publish:
                return MQTTErrorCode.MQTT_ERR_PROTOCOL
            del self._in_packet["packet"][PUBLISH_HEAD_BYTES:]
        return result

    def _handle_publish(self) -> MQTTErrorCode:
        packet = self._in_packet
        if self._is_too_large:
            return self._drop_publish(packet["command"], packet["packet"])
        try:
            publish = read_publish(packet["command"], packet["packet"], v5=self._v5)
        except MalformedPacket as error:
            if not error.mid:
                return MQTTErrorCode.MQTT_ERR_PROTOCOL
            self._packet_handler.on_malformed_publish(error.mid, "damaged properties")
        else:
            self._packet_handler.on_publish(publish)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _drop_publish(self, first_byte: int, head: bytearray) -> MQTTErrorCode:
        try:
            mid = read_publish(first_byte, head, v5=False).mid  # properties may be cut
        except MalformedPacket:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._packet_handler.on_malformed_publish(mid, "too large")
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        try:
            puback = read_puback(self._in_packet["packet"])
        except MalformedPacket:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        if cmd == "PUBACK":
            self._packet_handler.on_puback(puback)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubrel(self) -> MQTTErrorCode:
        # Always answered: with manual_ack paho does not answer an unknown one, and the broker waits for ever.
        try:
            mid = read_packet_id(self._in_packet["packet"])
        except MalformedPacket:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._packet_transport.send(short_packet(PUBCOMP, mid))
        return MQTTErrorCode.MQTT_ERR_SUCCESS


def _connect_properties(options: MqttOptions) -> Properties:
    properties = _properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = options.session_expiry
    properties.ReceiveMaximum = options.receive_maximum
    properties.MaximumPacketSize = options.packet_limit
    properties.RequestProblemInformation = 1
    return properties


def _will_properties(content_type: str) -> Properties:
    properties = _properties(PacketTypes.WILLMESSAGE)
    properties.WillDelayInterval = 0
    if content_type:
        properties.ContentType = content_type
    if is_text(content_type):
        properties.PayloadFormatIndicator = 1
    return properties


def _properties(kind: int) -> Properties:
    return Properties(kind)  # type: ignore[no-untyped-call]  # paho does not annotate it


def _limits(session_present: bool, properties: Properties | None) -> ConnackLimits:
    return ConnackLimits(
        session_present=session_present,
        receive_maximum=getattr(properties, "ReceiveMaximum", MAX_RECEIVE_MAXIMUM),
        packet_limit=getattr(properties, "MaximumPacketSize", None),
        retain_available=getattr(properties, "RetainAvailable", 1) != 0,
        maximum_qos=getattr(properties, "MaximumQoS", 2),
        keepalive=getattr(properties, "ServerKeepAlive", None),
        session_expiry=getattr(properties, "SessionExpiryInterval", None),
    )


def _broker_reason(code: ReasonCode, properties: Properties | None) -> BrokerReason:
    return BrokerReason(
        code.value,
        reason_string=str(getattr(properties, "ReasonString", "")),
        reference=str(getattr(properties, "ServerReference", "")),
    )
