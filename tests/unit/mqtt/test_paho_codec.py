"""CONNECT is what paho itself would write, and what the bridge uses of paho's inside exists."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt import _packet
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.rows import every_row
from wx2mqtt.mqtt import paho_codec
from wx2mqtt.mqtt.broker import ProtocolVersion, Publication
from wx2mqtt.mqtt.options import MqttOptions, parse_broker_url
from wx2mqtt.mqtt.packets import BrokerReason, MalformedPacket
from wx2mqtt.mqtt.paho_codec import connect_packet, read_connack, read_disconnect, read_suback
from wx2mqtt.mqtt.reconnect import ConnectTarget

DECODERS = ("decode_connack", "decode_disconnect", "decode_suback")
"""Private functions of paho that the bridge calls."""


@pytest.mark.parametrize("name", DECODERS)
def test_paho_has_each_decoder_that_is_called(name):
    decoder = getattr(_packet, name, None)
    assert decoder is not None, f"this version of paho has no {name}; see mqtt/paho_codec.py and mqtt.md, 7.2"
    assert list(inspect.signature(decoder).parameters) == ["header", "packet", "protocol"]


def test_no_other_private_name_of_paho_is_used():
    tree = ast.parse(Path(paho_codec.__file__).read_text())
    called = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "paho"
    }
    assert called == set(DECODERS)


class RecordingSocket:
    """A socket for paho that records what is written."""

    def __init__(self):
        self.written = bytearray()

    def send(self, data):
        self.written += data
        return len(data)

    def __getattr__(self, _name):
        return lambda *_: 0


def connect_of_paho(options: MqttOptions, target: ConnectTarget, *, is_retained: bool) -> bytes:
    """Returns the CONNECT that `paho.Client` writes with these options."""
    v5, will, raw = target.is_mqtt_5, options.will, RecordingSocket()
    client: Any = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        clean_session=None if v5 else options.clean,
        protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
    )
    client._create_socket = lambda: raw
    if options.username is not None:
        client.username_pw_set(options.username, options.password)
    if will is not None:
        properties = Properties(PacketTypes.WILLMESSAGE)
        properties.WillDelayInterval = 0
        properties.ContentType = will.content_type
        properties.PayloadFormatIndicator = 1
        client.will_set(will.topic, will.payload, 1, is_retained, properties if v5 else None)
    more: dict[str, Any] = {}
    if v5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval, properties.ReceiveMaximum = options.session_expiry, 200
        properties.MaximumPacketSize, properties.RequestProblemInformation = options.packet_limit, 1
        more = {"clean_start": options.clean, "properties": properties}
    client.connect("broker", 1883, options.keepalive, **more)
    client.loop_write()
    return bytes(raw.written)


WILL = Publication(topic="wx/微", payload=b"offline", retain=True, content_type="text/plain")


@every_row("protocol", ProtocolVersion)
@every_row("may_be_retained", [True, False])
@every_row(
    "given",
    [
        {},
        {"will": WILL},
        {"username": "u", "password": "geheim", "clean": True},
        {"username": "微", "will": WILL, "keepalive": 65_535, "session_expiry": 0},
        {"username": "", "password": ""},
        {"client_id": "c" * 200, "will": WILL, "clean": True},
    ],
)
def test_connect_is_the_one_that_paho_writes(protocol, may_be_retained, given):
    values: dict[str, Any] = {"urls": ("mqtt://broker",), "client_id": "wx2mqtt-家", **given}
    options = MqttOptions(**values)
    target = ConnectTarget(
        address=parse_broker_url("mqtt://broker"), protocol=protocol, will_may_be_retained=may_be_retained
    )
    assert connect_packet(options, target) == connect_of_paho(options, target, is_retained=may_be_retained)


def test_the_credentials_of_the_address_are_sent_unless_the_options_have_some():
    target = ConnectTarget(
        address=parse_broker_url("mqtt://url-user:url-word@broker"), protocol=ProtocolVersion.MQTT_5
    )
    own: dict[str, Any] = {"username": "file-user", "password": "file-word"}
    for given, sent, other in (({}, b"url-", b"file-"), (own, b"file-", b"url-")):
        packet = connect_packet(MqttOptions(urls=("mqtt://broker",), client_id="c", **given), target)
        assert sent + b"user" in packet
        assert sent + b"word" in packet
        assert other not in packet


def test_without_a_user_name_no_password_is_sent():
    target = ConnectTarget(address=parse_broker_url("mqtt://broker"), protocol=ProtocolVersion.MQTT_5)
    options = MqttOptions(urls=("mqtt://broker",), client_id="c", password="geheim")
    assert b"geheim" not in connect_packet(options, target)


@pytest.mark.parametrize("v5", [True, False])
def test_a_connack_of_3_1_1_that_refuses_the_version_is_reported(v5):
    assert read_connack(b"\0\1", v5=v5) == BrokerReason(0x84)


@every_row(("code", "reason"), [(2, 0x85), (3, 0x88), (4, 0x86), (5, 0x87)])
def test_a_code_of_3_1_1_is_read_as_that_of_mqtt_5(code, reason):
    assert read_connack(bytes((0, code)), v5=False) == BrokerReason(reason)


@every_row("read", [read_connack, read_suback])
@every_row("body", [b"", b"\0", b"\0\0\x7f", b"\0\0\x05\x11\0", b"\0\0\2\x7e\1"])
def test_a_damaged_answer_is_malformed(read, body):
    with pytest.raises(MalformedPacket):
        read(body, v5=True)


def test_a_disconnect_without_a_code_is_a_plain_one():
    assert read_disconnect(b"") == BrokerReason(0)
    with pytest.raises(MalformedPacket):
        read_disconnect(b"\x8b\x05")
