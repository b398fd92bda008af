"""MQTT as paho writes and reads it: the only file that knows paho.

paho frames CONNECT, SUBSCRIBE and PUBLISH, reads CONNACK, SUBACK and DISCONNECT, and speaks WebSocket. What
it does not do well is done by us (mqtt-bridges 0 and 7.1): sockets and buffers, keepalive, PUBACK and
deliveries, reconnecting and the queue behind it. A client lives for one connection and starts empty.
"""

from __future__ import annotations

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
from wx2mqtt.mqtt.addresses import Address
from wx2mqtt.mqtt.attempts import Attempt
from wx2mqtt.mqtt.options import Options
from wx2mqtt.mqtt.packets import (
    PUBCOMP,
    Incoming,
    Unreadable,
    is_text,
    read_puback,
    read_publish,
    short_packet,
)
from wx2mqtt.mqtt.reasons import VERSION
from wx2mqtt.mqtt.stream import Raw, Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the broker allows (CONNACK). 3.1.1 says nothing of it: what it may then be taken to allow."""

    session_present: bool
    receive_maximum: int = 65_535
    packet_limit: int | None = None
    retain_available: bool = True
    maximum_qos: int = 2
    keepalive: int | None = None
    session_expiry: int | None = None


class Hears(Protocol):
    """Who is told what comes over the wire, on the loop, in order. None of these may raise."""

    def accepted(self, grant: Grant) -> None:
        """CONNACK that says yes."""

    def refused(self, code: int, said: str, reference: str) -> None:
        """CONNACK that says no; `closed` follows."""

    def subscribed(self, mid: int, codes: Sequence[int]) -> None:
        """SUBACK, a code for each filter."""

    def acknowledged(self, mid: int, code: int, said: str) -> None:
        """PUBACK."""

    def arrived(self, incoming: Incoming) -> None:
        """PUBLISH. It waits for its PUBACK, or PUBREC at QoS 2."""

    def unreadable(self, mid: int) -> None:
        """PUBLISH that cannot be read but for its packet id."""

    def closed(self, code: int, said: str, reference: str) -> None:
        """The end; `code` is of the broker's DISCONNECT, -1 without one. May come twice."""


class Wire(paho.Client):
    """paho with our socket below it, and with the packets of the hot path read by us."""

    def __init__(
        self, options: Options, attempt: Attempt, hears: Hears, opened: Callable[[], Stream]
    ) -> None:
        self._v5 = attempt.protocol == "5"
        self._hears = hears
        self._opened = opened
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            clean_session=None if self._v5 else options.clean,
            protocol=MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        # the window is the pump's; paho would keep what is above its own and send it later (mqtt-bridges 0.2)
        self.max_inflight_messages_set(0)
        self.on_connect = self._on_connack
        self.on_subscribe = self._on_suback
        self.on_disconnect = self._on_end
        self._introduce(options, attempt)

    def start(self, options: Options, address: Address) -> None:
        """Open the socket and write CONNECT. Blocks. Raises OSError."""
        host, port = address.host or "localhost", address.port or 1  # not used: the socket is ours
        if self._v5:
            properties = _connect_properties(options)
            self.connect(host, port, options.keepalive, clean_start=options.clean, properties=properties)
        else:
            self.connect(host, port, options.keepalive)

    def send_publish(self, topic: str, payload: bytes, *, retain: bool, properties: bytes) -> int:
        """QoS 1; the packet id. `properties` are packed, and empty for 3.1.1.

        Raises ValueError for what paho does not take, NotConnected when the connection has just gone.
        """
        packed = cast("Properties", _Packed(properties)) if self._v5 else None
        info = self.publish(topic, payload, 1, retain, properties=packed)
        while info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:  # this packet id still waits for its PUBACK
            info = self.publish(topic, payload, 1, retain, properties=packed)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NotConnected
        return info.mid

    def send_subscribe(self, filters: Sequence[str], *, everything: bool = False) -> int:
        """QoS 1; on MQTT 5 No Local, Retain Handling 2, no Retain As Published. The packet id.

        With `everything` also what we publish ourselves, and what is retained.
        """
        if self._v5:
            wish = SubscribeOptions(
                qos=1,
                noLocal=not everything,
                retainAsPublished=False,
                retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
                if everything
                else SubscribeOptions.RETAIN_DO_NOT_SEND,
            )
            return self.subscribe([(name, wish) for name in filters])[1] or 0
        return self.subscribe([(name, 1) for name in filters])[1] or 0

    def _introduce(self, options: Options, attempt: Attempt) -> None:
        address, will = attempt.address, options.will
        username = options.username if options.username is not None else address.username
        password = options.password if options.password is not None else address.password
        if username is not None:
            self.username_pw_set(username, password)
        if will is None:
            return
        properties = _will_properties(will.content_type) if self._v5 else None
        self.will_set(will.topic, will.payload, 1, will.retain and attempt.retained_will, properties)

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
            self._hears.refused(code.value, said, reference)
        else:
            self._hears.accepted(_grant(flags.session_present, properties))

    def _on_suback(
        self, _client: object, _data: object, mid: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        self._hears.subscribed(mid, [code.value for code in codes])

    def _on_end(
        self,
        _client: object,
        _data: object,
        flags: paho.DisconnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        value = code.value if flags.is_disconnect_packet_from_server else -1
        self._hears.closed(value, _text(properties, "ReasonString"), _text(properties, "ServerReference"))

    # what paho does inside, done our way; paho's version is pinned for the sake of these

    def _create_socket(self) -> Stream:
        return self._opened()

    def _handle_connack(self) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if len(packet) == 2 and (self._v5 or packet[1] == 1):
            # 3.1.1's form of CONNACK in answer to MQTT 5, as amqtt gives it: paho would trip over codes other
            # than 1. The other way round it would not tell us of a 1
            self._hears.refused(VERSION, "", "")
            return MQTTErrorCode.MQTT_ERR_CONN_REFUSED
        return super()._handle_connack()

    def _handle_publish(self) -> MQTTErrorCode:
        packet = self._in_packet
        try:
            incoming = read_publish(packet["command"], packet["packet"], properties=self._v5)
        except Unreadable as error:
            if not error.mid:
                return MQTTErrorCode.MQTT_ERR_PROTOCOL
            self._hears.unreadable(error.mid)
        else:
            self._hears.arrived(incoming)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        try:
            mid, code, said = read_puback(self._in_packet["packet"])
        except Unreadable:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        if cmd == "PUBACK" and self._out_messages.pop(mid, None) is not None:
            self._hears.acknowledged(mid, code, said)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubrel(self) -> MQTTErrorCode:
        # answered always: with manual_ack paho leaves an unknown one unanswered, and its slot stuck
        packet = self._in_packet["packet"]
        if len(packet) < 2:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return self._packet_queue(PUBCOMP, short_packet(PUBCOMP, packet[0] << 8 | packet[1]), 0, 1)


class _Packed:
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


def web_socket(plain: Raw, address: Address) -> Raw:
    """The WebSocket of this address on a connected socket. Blocks for its handshake. Raises OSError."""
    web = _WebSocket(cast("socket", plain), address.host, address.port, address.tls, address.path, None)
    return cast("Raw", web)


def _connect_properties(options: Options) -> Properties:
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


def _grant(session_present: bool, properties: Properties | None) -> Grant:
    return Grant(
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
