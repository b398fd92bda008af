"""MQTT as paho writes and reads it: the only file that knows paho.

paho frames CONNECT, SUBSCRIBE and PUBLISH, reads CONNACK, SUBACK and DISCONNECT, and speaks WebSocket. What
it does not do well is done by us (mqtt 0, 7.1): sockets and buffers, keepalive, PUBACK and
deliveries, reconnecting and the queue behind it. A client lives for one connection and starts empty.

Does a broker that says nothing to our CONNECT know MQTT 5? Asked on a connection of its own. Blocks.

amqtt reads a CONNECT of MQTT 5 as one of 3.1.1, takes its properties for lengths, and waits for ever for
bytes that do not come. Of a CONNECT with neither properties nor will it reads enough to refuse the version.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from socket import socket
from typing import Literal, Protocol, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from wx2mqtt.errors import NotConnected
from wx2mqtt.mqtt.options import BrokerAddress, MqttOptions, TlsFiles
from wx2mqtt.mqtt.packets import (
    PUBCOMP,
    MalformedPacket,
    PublishPacket,
    is_text,
    read_puback,
    read_publish,
    short_packet,
)
from wx2mqtt.mqtt.reason_codes import UNSUPPORTED_VERSION
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.sockets import BufferedSocket, RawSocket, open_socket


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnackLimits:
    """What the broker allows (CONNACK). 3.1.1 says nothing of it: what it may then be taken to allow."""

    session_present: bool
    receive_maximum: int = 65_535
    packet_limit: int | None = None
    retain_available: bool = True
    maximum_qos: int = 2
    keepalive: int | None = None
    session_expiry: int | None = None


class PacketHandler(Protocol):
    """Who is told what comes over the wire, on the loop, in order. None of these may raise."""

    def on_connack(self, limits: ConnackLimits) -> None:
        """CONNACK that says yes."""

    def on_connack_refused(self, code: int, reason_string: str, reference: str) -> None:
        """CONNACK that says no; `closed` follows."""

    def on_suback(self, mid: int, codes: Sequence[int]) -> None:
        """SUBACK, a code for each filter."""

    def on_puback(self, mid: int, code: int, reason_string: str) -> None:
        """PUBACK."""

    def on_publish(self, packet: PublishPacket) -> None:
        """PUBLISH. It waits for its PUBACK, or PUBREC at QoS 2."""

    def on_malformed_publish(self, mid: int) -> None:
        """PUBLISH that cannot be read but for its packet id."""

    def on_closed(self, code: int, reason_string: str, reference: str) -> None:
        """The end; `code` is of the broker's DISCONNECT, -1 without one. May come twice."""


class PahoCodec(paho.Client):
    """paho with our socket below it, and with the packets of the hot path read by us."""

    def __init__(
        self,
        options: MqttOptions,
        target: ConnectTarget,
        packet_handler: PacketHandler,
        open_transport: Callable[[], BufferedSocket],
    ) -> None:
        self._v5 = target.protocol == "5"
        self._packet_handler = packet_handler
        self._open_transport = open_transport
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            clean_session=None if self._v5 else options.clean,
            protocol=MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        # the window is the pump's; paho would keep what is above its own and send it later (mqtt 0.2.4)
        self.max_inflight_messages_set(0)
        self.on_connect = self._on_connack
        self.on_subscribe = self._on_suback
        self.on_disconnect = self._on_disconnect_packet
        self._set_credentials_and_will(options, target)

    def start(self, options: MqttOptions, address: BrokerAddress) -> None:
        """Open the socket and write CONNECT. Blocks. Raises OSError."""
        host, port = address.host or "localhost", address.port or 1  # not used: the socket is ours
        if self._v5:
            properties = _connect_properties(options)
            self.connect(host, port, options.keepalive, clean_start=options.clean, properties=properties)
        else:
            self.connect(host, port, options.keepalive)

    def send_publish(self, topic: str, payload: bytes, *, retain: bool, packed_properties: bytes) -> int:
        """QoS 1; the packet id. `properties` are packed, and empty for 3.1.1.

        Raises ValueError for what paho does not take, NotConnected when the connection has just gone.
        """
        packed = cast("Properties", _PackedProperties(packed_properties)) if self._v5 else None
        info = self.publish(topic, payload, 1, retain, properties=packed)
        while info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:  # this packet id still waits for its PUBACK
            info = self.publish(topic, payload, 1, retain, properties=packed)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NotConnected
        return info.mid

    def send_subscribe(self, filters: Sequence[str], *, own_and_retained: bool = False) -> int:
        """QoS 1; on MQTT 5 No Local, Retain Handling 2, no Retain As Published. The packet id.

        With `everything` also what we publish ourselves, and what is retained.
        """
        if self._v5:
            wish = SubscribeOptions(
                qos=1,
                noLocal=not own_and_retained,
                retainAsPublished=False,
                retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
                if own_and_retained
                else SubscribeOptions.RETAIN_DO_NOT_SEND,
            )
            return self.subscribe([(name, wish) for name in filters])[1] or 0
        return self.subscribe([(name, 1) for name in filters])[1] or 0

    def _set_credentials_and_will(self, options: MqttOptions, target: ConnectTarget) -> None:
        address, will = target.address, options.will
        username = options.username if options.username is not None else address.username
        password = options.password if options.password is not None else address.password
        if username is not None:
            self.username_pw_set(username, password)
        if will is None:
            return
        properties = _will_properties(will.content_type) if self._v5 else None
        self.will_set(will.topic, will.payload, 1, will.retain and target.will_may_be_retained, properties)

    # what paho tells

    def _on_connack(
        self,
        _client: object,
        _data: object,
        flags: paho.ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if code.is_failure:
            said, reference = _text(properties, "ReasonString"), _text(properties, "ServerReference")
            self._packet_handler.on_connack_refused(code.value, said, reference)
        else:
            self._packet_handler.on_connack(_grant(flags.session_present, properties))

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
        value = code.value if flags.is_disconnect_packet_from_server else -1
        self._packet_handler.on_closed(
            value, _text(properties, "ReasonString"), _text(properties, "ServerReference")
        )

    # what paho does inside, done our way; paho's version is pinned for the sake of these

    def _create_socket(self) -> BufferedSocket:
        return self._open_transport()

    def _handle_connack(self) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if len(packet) == 2 and (self._v5 or packet[1] == 1):
            # 3.1.1's form of CONNACK in answer to MQTT 5, as amqtt gives it: paho would trip over codes other
            # than 1. The other way round it would not tell us of a 1
            self._packet_handler.on_connack_refused(UNSUPPORTED_VERSION, "", "")
            return MQTTErrorCode.MQTT_ERR_CONN_REFUSED
        return super()._handle_connack()

    def _handle_publish(self) -> MQTTErrorCode:
        packet = self._in_packet
        try:
            incoming = read_publish(packet["command"], packet["packet"], properties=self._v5)
        except MalformedPacket as error:
            if not error.mid:
                return MQTTErrorCode.MQTT_ERR_PROTOCOL
            self._packet_handler.on_malformed_publish(error.mid)
        else:
            self._packet_handler.on_publish(incoming)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        try:
            mid, code, said = read_puback(self._in_packet["packet"])
        except MalformedPacket:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        if cmd == "PUBACK" and self._out_messages.pop(mid, None) is not None:
            self._packet_handler.on_puback(mid, code, said)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubrel(self) -> MQTTErrorCode:
        # answered always: with manual_ack paho leaves an unknown one unanswered, and its slot stuck
        packet = self._in_packet["packet"]
        if len(packet) < 2:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return self._packet_queue(PUBCOMP, short_packet(PUBCOMP, packet[0] << 8 | packet[1]), 0, 1)


class _PackedProperties:
    """Properties that are bytes already: all that paho asks of them is `pack`."""

    __slots__ = ("_bytes",)

    def __init__(self, packed: bytes) -> None:
        self._bytes = packed

    def pack(self) -> bytes:
        return self._bytes


class _WebSocket(paho._WebsocketWrapper):  # noqa: SLF001 - paho has it only with a socket of its own
    def _create_frame(self, opcode: int, data: bytearray, _do_masking: int = 1) -> bytearray:
        # a client masks every frame (RFC 6455 5.3); paho forgets it for pongs, and the broker hangs up
        return super()._create_frame(opcode, data, 1)


def open_websocket(plain: RawSocket, address: BrokerAddress) -> RawSocket:
    """The WebSocket of this address on a connected socket. Blocks for its handshake. Raises OSError."""
    web = _WebSocket(cast("socket", plain), address.host, address.port, address.tls, address.path, None)
    return cast("RawSocket", web)


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
    return Properties(kind)  # type: ignore[no-untyped-call]  # paho's own is not annotated


def _grant(session_present: bool, properties: Properties | None) -> ConnackLimits:
    return ConnackLimits(
        session_present=session_present,
        receive_maximum=getattr(properties, "ReceiveMaximum", 65_535),
        packet_limit=getattr(properties, "MaximumPacketSize", None),
        retain_available=getattr(properties, "RetainAvailable", 1) != 0,
        maximum_qos=getattr(properties, "MaximumQoS", 2),
        keepalive=getattr(properties, "ServerKeepAlive", None),
        session_expiry=getattr(properties, "SessionExpiryInterval", None),
    )


def _text(properties: Properties | None, name: str) -> str:
    return str(getattr(properties, name, ""))


VERSION_PROBE_TIMEOUT_SECONDS = 3.0


MINIMAL_CONNECT = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00"
"""CONNECT of MQTT 5: clean start, keepalive 10 s, no properties, no client id."""


VERSION_REFUSALS = (b"\x20\x02\x00\x01", b"\x20\x03\x00\x84")
"""CONNACK of 3.1.1 and of MQTT 5 that refuse the version."""


def refuses_mqtt_5(address: BrokerAddress, tls: TlsFiles | None) -> bool:
    """True only if it says so; silence and errors are no answer."""
    with (
        contextlib.suppress(OSError, ValueError),
        open_socket(address, tls, VERSION_PROBE_TIMEOUT_SECONDS) as plain,
    ):
        plain.settimeout(VERSION_PROBE_TIMEOUT_SECONDS)
        raw = (
            open_websocket(cast("RawSocket", plain), address)
            if address.websocket
            else cast("RawSocket", plain)
        )
        raw.send(bytearray(MINIMAL_CONNECT))
        return raw.recv(4).startswith(VERSION_REFUSALS)
    return False
