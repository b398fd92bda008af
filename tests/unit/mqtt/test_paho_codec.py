"""What the bridge uses of paho's inside exists, and paho calls it; the packets of the hot path never enter paho."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.cost import cpu_seconds
from wx2mqtt.mqtt import paho_codec
from wx2mqtt.mqtt.broker import ProtocolVersion, Publication
from wx2mqtt.mqtt.options import MqttOptions, parse_broker_url
from wx2mqtt.mqtt.packets import PubackPacket, pack_varint
from wx2mqtt.mqtt.paho_codec import PahoCodec
from wx2mqtt.mqtt.reason_codes import BrokerReason
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.sockets import BufferedSocket

OVERRIDDEN_METHODS = {
    "_create_socket": ["self"],
    "_packet_handle": ["self"],
    "_handle_connack": ["self"],
    "_handle_publish": ["self"],
    "_handle_pubackcomp": ["self", "cmd"],
    "_handle_pubrel": ["self"],
    "_packet_read": ["self"],
}
"""Private methods of `paho.Client` with their parameters."""

READ_ATTRIBUTES = {"_in_packet": {"command", "packet", "remaining_count", "remaining_length"}}
"""Private attributes of `paho.Client` that are read, with the keys that are used."""

PUBLIC_METHODS = ("connect", "loop_read", "loop_write", "username_pw_set", "want_write", "will_set")


def parameters(function):
    return list(inspect.signature(function).parameters)


def lacking(owner, name):
    return f"{owner} of this version of paho has no {name}; see mqtt/paho_codec.py and mqtt.md, 7.2"


class Raw:
    """A socket whose bytes the test gives and reads."""

    def __init__(self):
        self.incoming = bytearray()
        self.outgoing = bytearray()

    def recv(self, size, /):
        if not self.incoming:
            raise BlockingIOError
        data = bytes(self.incoming[:size])
        del self.incoming[:size]
        return data

    def send(self, data, /):
        self.outgoing += data
        return len(data)

    def close(self):
        pass

    def fileno(self):
        return 0

    def setblocking(self, flag, /):
        pass


class Peer:
    """Both neighbours of the codec: its packet handler, which records the calls, and its transport."""

    def __init__(self, protocol=ProtocolVersion.MQTT_5, **more):
        self.calls = []
        self.sent = []
        self.raw = Raw()
        self.socket = BufferedSocket(self.raw)
        options = MqttOptions(
            urls=("mqtt://broker",), client_id="c", will=Publication(topic="t", payload=b"gone"), **more
        )
        target = ConnectTarget(address=parse_broker_url("mqtt://broker"), protocol=protocol)
        self.codec = PahoCodec(options, target, self, self)
        self.codec.start(options)

    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *arguments: self.calls.append((name, *arguments))

    def send(self, packet):
        self.sent.append(packet)

    def receive(self, packet):
        self.raw.incoming += packet
        self.socket.fill()
        while self.socket.readable and not self.socket.closed:
            self.codec.loop_read()

    @property
    def names(self):
        return [name for name, *_ in self.calls]


@pytest.mark.parametrize("name", OVERRIDDEN_METHODS)
def test_paho_has_each_method_that_is_overridden(name):
    method = getattr(paho.Client, name, None)
    assert method is not None, lacking("Client", name)
    assert parameters(method) == OVERRIDDEN_METHODS[name], f"paho has changed the parameters of {name}"
    assert name in vars(PahoCodec)


@pytest.mark.parametrize("name", READ_ATTRIBUTES)
def test_paho_has_each_attribute_that_is_read(name):
    client = paho.Client(CallbackAPIVersion.VERSION2)
    assert hasattr(client, name), lacking("Client", name)
    assert READ_ATTRIBUTES[name] <= set(getattr(client, name)), f"paho has changed the keys of {name}"


@pytest.mark.parametrize("name", PUBLIC_METHODS)
def test_paho_has_each_public_method_that_is_called(name):
    assert callable(getattr(paho.Client, name, None)), lacking("Client", name)


OWN_ATTRIBUTES = {"_v5", "_packet_handler", "_packet_transport", "_max_packet_bytes"}


def attributes_of_paho():
    client = paho.Client(CallbackAPIVersion.VERSION2)
    return {*vars(client), *dir(paho.Client)}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def test_no_other_private_name_of_paho_is_used():
    tree = ast.parse(Path(paho_codec.__file__).read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_private(node.attr)}
    own = OWN_ATTRIBUTES | (set(vars(PahoCodec)) - attributes_of_paho())
    assert used - own <= {*OVERRIDDEN_METHODS, *READ_ATTRIBUTES}


def test_no_other_private_method_of_paho_is_overridden():
    overridden = {name for name in vars(PahoCodec) if is_private(name)} & attributes_of_paho()
    assert overridden == set(OVERRIDDEN_METHODS)


def test_no_attribute_of_the_codec_hides_one_of_paho():
    assert set(vars(Peer().codec)) >= OWN_ATTRIBUTES
    assert not OWN_ATTRIBUTES & attributes_of_paho()


CONNACK = b"\x20\x03\x00\x00\x00"


def test_paho_writes_connect_and_hands_each_packet_to_the_bridge():
    peer = Peer()
    assert bytes(peer.socket._unsent).startswith(b"\x10")
    peer.receive(CONNACK)
    peer.receive(b"\x90\x04\x00\x01\x00\x01")  # SUBACK
    peer.receive(b"\x40\x02\x00\x05")  # PUBACK of a packet that paho has not written
    peer.receive(b"\x32\x08\x00\x01t\x00\x07\x00hi")  # PUBLISH
    peer.receive(b"\x62\x02\x00\x09")  # PUBREL of a packet that nobody knows
    assert peer.names == ["on_connack", "on_suback", "on_puback", "on_publish"]
    assert peer.calls[2] == ("on_puback", PubackPacket(5))
    assert peer.sent == [b"\x70\x02\x00\x09"]


def packet_of_properties(first_byte, head, size):
    """A packet of about this size that has nothing but user properties behind its head."""
    properties = b"\x26\0\1a\0\1b" * (size // 7)
    body = head + pack_varint(len(properties)) + properties
    return bytes((first_byte,)) + pack_varint(len(body)) + body


@pytest.mark.parametrize(
    ("first_byte", "head"), [(0x20, b"\0\0"), (0x90, b"\0\1"), (0xE0, b"\x8b"), (0xB0, b"\0\1")]
)
def test_properties_without_end_end_the_connection_and_cost_nothing(first_byte, head):
    peer = Peer()
    if first_byte != CONNACK[0]:
        peer.receive(CONNACK)
    before = len(peer.names)
    packet = packet_of_properties(first_byte, head, 400_000)

    def receive():
        peer.receive(packet)
        while peer.raw.incoming:
            peer.receive(b"")

    assert cpu_seconds(receive) < 0.5
    assert peer.names[before:] == ["on_closed"]
    assert peer.socket.closed


def test_a_publish_with_qos_3_ends_the_connection():
    peer = Peer()
    peer.receive(CONNACK)
    peer.receive(b"\x36\x08\x00\x01t\x00\x07\x00hi")
    assert peer.names == ["on_connack", "on_closed"]
    assert peer.socket.closed


def publish_of(size, mid=7):
    """A PUBLISH of so many bytes, of which two are the length."""
    head = b"\x00\x01t" + (mid.to_bytes(2, "big") if mid else b"") + b"\x00"
    body = head + bytes(size - 3 - len(head))
    return bytes((0x32 if mid else 0x30, len(body) & 0x7F | 0x80, len(body) >> 7)) + body


@pytest.mark.parametrize("protocol", ProtocolVersion)
def test_a_publish_that_is_too_large_is_neither_kept_nor_delivered_for_ever(protocol):
    """MQTT 3.1.1 has no word for the limit, and a broker may not keep to it."""
    peer = Peer(protocol, packet_limit=1000)
    peer.receive(CONNACK if protocol is ProtocolVersion.MQTT_5 else b"\x20\x02\x00\x00")
    for size, mid in ((1000, 5), (1001, 6), (1001, 0), (1000, 8)):
        peer.receive(publish_of(size, mid))
    assert peer.names == ["on_connack", "on_publish", *["on_malformed_publish"] * 2, "on_publish"]
    assert peer.calls[2:4] == [("on_malformed_publish", mid, "too large") for mid in (6, 0)]


def test_of_a_publish_that_is_too_large_little_is_in_memory_meanwhile():
    peer = Peer(packet_limit=1000)
    peer.receive(CONNACK)
    peer.receive(b"\x32\xff\xff\xff\x7f\x00\x01t\x00\x07\x00")
    for _ in range(100):
        peer.receive(bytes(50_000))
        assert len(peer.codec._in_packet["packet"]) < 70_000
    peer.receive(CONNACK)  # as content
    assert peer.names == ["on_connack"]


def test_another_packet_that_is_too_large_ends_the_connection():
    peer = Peer(packet_limit=1000)
    peer.receive(CONNACK)
    peer.receive(b"\x90\xe9\x07\x00\x01\x00")
    assert peer.names == ["on_connack", "on_closed"]


def test_paho_stores_no_message():
    peer = Peer()
    peer.receive(CONNACK)
    peer.receive(b"\x32\x08\x00\x01t\x00\x07\x00hi")
    assert not peer.codec._out_messages
    assert not peer.codec._in_messages


@pytest.mark.parametrize("protocol", ProtocolVersion)
def test_a_connack_of_3_1_1_that_refuses_the_version_is_reported(protocol):
    peer = Peer(protocol)
    peer.receive(b"\x20\x02\x00\x01")
    assert peer.calls[0] == ("on_closed", BrokerReason(0x84))
