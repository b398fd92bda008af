"""MQTT: packets and the bytes of a broker, commands and requests, topics, addresses of brokers."""

from __future__ import annotations

import json
from contextlib import suppress
from random import Random

from paho.mqtt.client import topic_matches_sub

from tests.fuzz.mutators import HOSTILE_TEXTS, either, encode_json, grown, grown_json, mutated, mutated_json
from tests.fuzz.oracles import JSON_MEMORY_FACTOR, LARGE_BYTES, require_json
from tests.fuzz.target import Target
from tests.support.websocket import acceptance, frame, frame_head, in_fragments
from tests.unit.mqtt.test_packet_reader import PacketReaderHarness
from wx2mqtt.bounded_json import JsonBounds, is_encodable, load_json
from wx2mqtt.bridge.repeats import fingerprint
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.limits import MAX_INCOMING_PACKET_BYTES
from wx2mqtt.mqtt import commands, connection_errors, options, packets, topics
from wx2mqtt.mqtt.broker import Delivery, Publication
from wx2mqtt.mqtt.packets import FIXED_VALUE_BYTES, MalformedPacket, Property
from wx2mqtt.mqtt.payloads import REQUEST_CODES, encode
from wx2mqtt.mqtt.websocket import WebSocket
from wx2mqtt.settings.names_and_topics import validate_topic_filter

# Packets


def _counted(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _property(random: Random) -> bytes:
    """Returns a property of MQTT 5, mostly with the form that its identifier has."""
    identifier = random.choice(list(Property))
    word = random.choice((*HOSTILE_TEXTS, "application/json", "text/plain", "re/ply")).encode()
    if random.randrange(10) == 0:
        return bytes((random.randrange(256),)) + word
    match identifier:
        case Property.USER_PROPERTY:
            return bytes((identifier,)) + _counted(word) + _counted(word)
        case Property.SUBSCRIPTION_IDENTIFIER:
            return bytes((identifier,)) + packets.pack_varint(random.choice((1, 127, 128, 16_384)))
    if identifier not in FIXED_VALUE_BYTES:
        return bytes((identifier,)) + _counted(word)
    return bytes((identifier,)) + random.choice((0, 1, 2, 255)).to_bytes(FIXED_VALUE_BYTES[identifier], "big")


def _properties(random: Random) -> bytes:
    body = b"".join(_property(random) for _ in range(random.choice((0, 0, 1, 2, 5))))
    size = len(body) if random.randrange(10) else random.choice((0, 1, 127, 128, 0xFFFFFFF))
    return packets.pack_varint(size) + body


def _publish(random: Random, payload: bytes) -> tuple[int, bytes]:
    """Returns first byte and body of a PUBLISH."""
    qos = random.choice((0, 1, 1, 1, 2, 3))
    topic = random.choice(("wx/out/wife", "wx/bridge/request/send", *HOSTILE_TEXTS)).encode()
    if random.randrange(10) == 0:
        topic = random.choice((b"\xff", b"a\0b", b"", b"\xed\xa0\x80"))
    mid = random.choice((0, 1, 65_535)).to_bytes(2, "big") if qos else b""
    return 0x30 | qos << 1 | random.choice((0, 1, 8, 9)), _counted(topic) + mid + _properties(
        random
    ) + payload


def _packet(random: Random, payload: bytes) -> bytes:
    """Returns a whole packet of any kind that a broker sends, its length mostly right."""
    match random.randrange(8):
        case 0 | 1 | 2:
            first, body = _publish(random, payload)
        case 3:
            first, body = (
                0x40,
                b"\0\1" + random.choice((b"", b"\x00", b"\x87", b"\x10")) + _properties(random),
            )
        case 4:
            first, body = 0x20, random.choice((b"\0\0", b"\1\0", b"\0\x87", b"\0\1")) + _properties(random)
        case 5:
            first, body = 0x90, b"\0\1" + _properties(random) + random.choice((b"\1", b"\x80", b"\0\1"))
        case 6:
            first, body = 0xE0, random.choice((b"", b"\x8e", b"\x9d")) + _properties(random)
        case _:
            first, body = random.choice((0x62, 0x50, 0xD0, 0xF0, 0x00, 0xB0)), b"\0\1" + _properties(random)
    size = len(body) if random.randrange(12) else random.choice((0, 1, len(body) + 1, 0xFFFFFFF))
    return bytes((first,)) + packets.pack_varint(size) + body


def _stream(random: Random) -> bytes:
    """Returns what a broker sends: mostly a CONNACK, then packets."""
    head = b"\x20\3\0\0\0" if random.randrange(8) else b""
    return head + b"".join(
        _packet(random, random.choice(HOSTILE_TEXTS).encode()) for _ in range(random.randrange(5))
    )


# 7,500 packets of four bytes.
_LARGE_STREAM_BYTES = 30_000


def _large_stream(random: Random) -> bytes:
    packet = _packet(random, random.choice((b"x" * LARGE_BYTES, b"x" * 10, b"")))
    return b"\x20\3\0\0\0" + packet * (_LARGE_STREAM_BYTES // len(packet) + 1)


def _body(random: Random) -> bytes:
    first, body = _publish(random, random.choice(HOSTILE_TEXTS).encode())
    return bytes((first,)) + body


def _large_body(random: Random) -> bytes:
    kind = random.choice((Property.USER_PROPERTY, Property.CONTENT_TYPE, Property.SUBSCRIPTION_IDENTIFIER))
    unit = {
        Property.USER_PROPERTY: bytes((38,)) + _counted(b"") + _counted(b""),
        Property.CONTENT_TYPE: bytes((3,)) + _counted(b"t"),
        Property.SUBSCRIPTION_IDENTIFIER: bytes((11, 1)),
    }[kind]
    body = unit * (LARGE_BYTES // len(unit))
    return b"\x32" + _counted(b"wx/out/wife") + b"\0\1" + packets.pack_varint(len(body)) + body + b"hello"


_BODIES = (
    b"\x32" + _counted(b"wx/out/wife") + b"\0\1\0hello",
    b"\x32" + _counted(b"wx/out/wife") + b"\0\1\x10\x03\x00\x0aapplicationhello",
    b"\x3b" + _counted(b"wx/bridge/request/send") + b"\0\2\0" + b'{"user": "wife", "text": "x"}',
    b"\x40\0\1",
    b"\x40\0\1\x87\x08\x1f\0\5no no",
)


def _run_packets(data: bytes) -> None:
    first, body = (data[0] if data else 0x30), data[1:]
    for v5 in (True, False):
        with suppress(MalformedPacket):
            packet = packets.read_publish(first, body, v5=v5)
            assert packet.qos in {0, 1, 2}
            assert "\0" not in packet.topic
            assert bytes(body).endswith(packet.payload)
            _write_again(packet, v5=v5)
    with suppress(MalformedPacket):
        mid, code, reason = packets.read_puback(body)
        assert packets.read_packet_id(body) == mid
        assert 0 <= mid <= packets.MAX_PACKET_ID
        assert isinstance(packets.is_text(reason), bool)
        sentence = connection_errors.reason_text("en", code, reason)
        assert sentence.isprintable()
        assert "password" not in connection_errors.scrub_reason(sentence, "password", None)


def _write_again(packet: Delivery, *, v5: bool) -> None:
    """Fails unless a PUBLISH that was read can be written and read again."""
    if not packet.topic:
        return
    publication = Publication(topic=packet.topic, payload=packet.payload, correlation=packet.correlation)
    try:
        header = packets.publish_head(publication, packet.mid, retain=False, v5=v5)
    except ValueError:  # a wildcard, which no broker delivers on
        return
    at, remaining = 1, header[1] & 0x7F
    while header[at] & 0x80:
        at += 1
        remaining |= (header[at] & 0x7F) << 7 * (at - 1)
    assert remaining == len(header) - at - 1 + len(packet.payload)
    again = packets.read_publish(header[0], header[at + 1 :] + packet.payload, v5=v5)
    assert (again.topic, again.payload, again.correlation) == (
        packet.topic,
        packet.payload,
        packet.correlation if v5 else None,
    )


def _run_stream(data: bytes) -> None:
    for protocol, limit in (("5", MAX_INCOMING_PACKET_BYTES), ("3.1.1", 200)):
        harness = PacketReaderHarness(protocol, packet_limit=limit)
        harness.receive(data)
        assert all(len(call[1].payload) < limit for call in harness.calls if call[0] == "on_publish")
        assert len(harness.calls) <= len(data) + 1
        assert all(name.startswith("on_") for name in harness.names)


# WebSocket


def _frames(random: Random) -> bytes:
    """Returns frames of a server, mostly allowed, of which the content is the beginning of a stream of MQTT."""
    data = b""
    for _ in range(random.randrange(6)):
        payload = random.choice((b"", b"x", b"\x20\3\0\0\0", b"\x03\xe8", b"\x03\xf0why", b"x" * 200))
        opcode = random.choice((2, 2, 2, 0, 0, 9, 10, 8, 1, 3, 15))
        data += frame(payload, opcode, final=random.randrange(4) > 0, reserved=int(random.randrange(20) == 0))
    return data + random.choice((b"", b"", frame_head(random.choice((1, 126, 1 << 16, 1 << 62)))))


_ANSWERS = (
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 301 Moved\r\nLocation: ws://x/\r\n\r\n",
    b"HTTP/1.1 101 Any\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
)
_FRAME_STREAMS = (
    frame(b"\x20\3\0\0\0") + frame(b"beat", 9) + in_fragments(b"\x30\x06\0\1t\0hi", 3),
    frame((1008).to_bytes(2, "big") + b"no", 8),
)


def _large_frames(random: Random) -> bytes:
    unit = random.choice((frame(), frame(b"x"), frame(b"beat", 9), frame(b"x", 0, final=False), b"x"))
    return frame(b"x", final=False) + unit * (_LARGE_STREAM_BYTES // len(unit))


def _run_websocket(data: bytes) -> None:
    """Reads the input as the answer to the request where it begins as HTTP, else as frames behind a right answer."""
    websocket = WebSocket(options.parse_broker_url("ws://broker"))
    answer = acceptance(websocket.take_frame())
    websocket.send(b"CONNECT")
    if not data.startswith(b"HTTP/"):
        websocket.receive(answer)
        assert websocket.is_open
    size = 0
    for at in range(0, len(data), 1000):
        size += len(websocket.receive(data[at : at + 1000]))
        if websocket.is_closed:
            break
    assert size <= len(data)
    for _ in range(3):
        websocket.take_frame()
    assert not websocket.has_output


# Commands and requests


_COMMANDS = [
    encode_json(fields)
    for fields in (
        {"text": "heating on", "id": "a-1", "ttl": 60, "mention": ["Bob"], "hold": True, "priority": "high"},
        {"text": "x", "urgent": True, "also_wechat": False, "id": 15, "ttl": 0.5},
        {"kind": "image", "url": "https://example.org/a.jpg", "name": "a.jpg"},
        {"kind": "file", "path": "/srv/share/a.pdf"},
        {"kind": "image", "data": "/9j/4AAQSkZJRg=="},
        {"kind": "recall", "message_id": "7615282929538795099"},
        {"id": "b-1", "kind": "fly", "text": "x"},
        {"user": "wife", "text": "x", "transaction": {"a": [1, None, "b"]}},
    )
]
_KEYS = (*commands.COMMAND_KEYS, "user", "transaction", "limit", "since", "code", "name", "members", "remark")
_TEXTS = (b"heating on", "开灯 ☀".encode(), b" \n", b"{", b'{"a":', b"\xff\xfe", b"[1]")


def check_refusal(bad: BadCommand) -> None:
    """Fails unless a refusal has a code of the contract and sentences in both languages."""
    assert bad.code in REQUEST_CODES or bad.code == "bad_request", bad.code
    for language in ("en", "zh"):
        sentence = rejection_text(language, bad)
        assert sentence
        sentence.encode("utf-8", "replace")


def _run_commands(data: bytes) -> None:
    for content_type in ("", "application/json", "text/plain; charset=utf-8"):
        try:
            command = commands.read_command("wife", data, content_type)
        except BadCommand as bad:
            check_refusal(bad)
            continue
        assert command.text or command.kind != "text"
        assert command.ttl is None or command.ttl > 0
        assert fingerprint(command)
        command.text.encode()


def _large_command(random: Random) -> bytes:
    """Returns a command with one hostile value: many numbers, many brackets, deep, long."""
    unit = random.choice(
        ("1e1,", "1,", "[],", "{},", '"",', "1.5,", "[", '{"a":', "-", "0", '{"a":1},', "\\ud800", " ")
    )
    key = random.choice(_KEYS)
    return f'{{"text": "x", "{key}": [{unit * (LARGE_BYTES // len(unit))}1]}}'.encode()


def _run_requests(data: bytes) -> None:
    try:
        fields = commands.read_request(data)
    except BadCommand as bad:
        check_refusal(bad)
        return
    written = encode(fields)  # a transaction is echoed
    assert encode(json.loads(written)) == written
    for key in (*list(fields)[:5], "name", "limit"):
        for read in (
            lambda key: commands.read_text(fields, key),
            lambda key: commands.read_topic_name(fields, key),
            lambda key: commands.read_name(fields, key, allow_empty=True),
            lambda key: commands.read_integer(fields, key, 0),
            lambda key: commands.read_flag(fields, key),
            lambda key: commands.read_digits(fields, key),
            lambda key: commands.read_names(fields, key),
        ):
            try:
                value = read(key)
            except BadCommand as bad:
                check_refusal(bad)
            else:
                json.dumps(value)
    for read_fields in (
        lambda: commands.reject_unknown_fields(fields, "query", "kind"),
        lambda: commands.read_command_id(fields),
        lambda: commands.command_from_fields("wife", fields),
    ):
        try:
            read_fields()
        except BadCommand as bad:
            check_refusal(bad)


# JSON within bounds


_BOUNDS = (
    JsonBounds(max_bytes=1 << 20, max_depth=64, max_values=20_000),
    JsonBounds(max_bytes=4000, max_depth=3, max_values=10),
)


def _run_json(data: bytes) -> None:
    for bounds in _BOUNDS:
        try:
            value = load_json(data, bounds)
        except ValueError as error:
            assert str(error)
            continue
        assert len(data) <= bounds.max_bytes
        assert data.count(b"{") <= bounds.max_values or b'"' in data
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        if is_encodable(text):
            require_json(value)


# Topics and addresses


def _pack_topic(topic: str) -> None:
    """Raises ValueError unless a message can be published to this topic."""
    packets.publish_head(Publication(topic=topic, payload=b""), 1, retain=False, v5=True)


def _run_topics(data: bytes) -> None:
    text, _, topic_filter = data.decode("utf-8", "replace").partition(" | ")
    _check_filter(text, topic_filter)
    table = topics.Topics("wx")
    parsed = table.parse(text)
    if isinstance(parsed, topics.TextTopic):
        assert "/".join(filter(None, (table.out(parsed.user), parsed.level))) == text
    if isinstance(parsed, topics.RequestTopic):
        assert text in {table.request(parsed.name), table.request(parsed.name).removesuffix("/")}
    if topics.is_topic_name(text):
        assert "/" not in text
        _pack_topic(table.message(text))
        for topic in (
            table.result(text),
            table.text(text),
            table.window(text),
            table.event(text),
            table.response(text),
        ):
            _pack_topic(topic)
        for topic in (*table.commands_to(text), *table.files_to(text)):
            assert table.parse(topic) is not None
        assert table.retained([text])
    assert topics.is_publishable(text) or not table.may_publish(text)
    if table.may_publish(text):
        assert text.startswith("wx/")
        assert table.parse(text) is None
        with suppress(ValueError):  # longer than MQTT carries
            _pack_topic(text)
    if topics.is_config_topic("home", text):
        assert text.endswith("/device/wx2mqtt_home/config")
    if topics.response_topic_allowed(text, ("wx", "other"), "homeassistant"):
        assert not text.startswith(("wx/", "other/", "homeassistant/", "$"))
        with suppress(ValueError):  # longer than MQTT carries
            _pack_topic(text)
    with suppress(ValueError):
        _pack_topic(text)


# paho's matcher calls itself once for each level.
_MAX_PAHO_LEVELS = 200


def _check_filter(topic: str, topic_filter: str) -> None:
    """Fails unless a topic that a filter of the settings allows is one that paho matches as well."""
    try:
        validate_topic_filter(topic_filter)
    except ValueError:
        return
    allowed = topics.response_topic_allowed(topic, ("wx",), "homeassistant", (topic_filter,))
    matches = topics.matches_filter(topic, topic_filter)
    assert matches or not allowed
    if topic and not topic.startswith("$") and topic.count("/") < _MAX_PAHO_LEVELS:
        assert matches == topic_matches_sub(topic_filter, topic)


_TOPICS = (
    b"wife",
    b"wx/out/wife",
    b"wx/out/wife/file/a.pdf",
    b"wx/out/wife/image",
    b"wx/bridge/request/send",
    b"zigbee2mqtt/x/set",
    b"homeassistant/x",
    b"answers/a/b | answers/+/b",
    b"answers/a | answers/a/#",
    b"answers//b | #",
)
_TOPIC_WORDS = (
    "wx",
    "/",
    "/out/",
    "bridge/request/",
    "+",
    "#",
    "$share/",
    "file/",
    "image",
    "homeassistant",
    "other",
    " | ",
    "/+",
    "/#",
)


def _run_broker_urls(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        address = options.parse_broker_url(text)
    except ValueError as error:
        assert str(error)
        address = options.parse_broker_url("mqtts://user:secret@broker:8883")
    assert address.unix or 0 < address.port <= 65_535
    secure = options.parse_broker_url("mqtts://user:secret@broker:8883")
    for other in options.parse_server_references(text, secure):
        assert other.scheme == "mqtts"
        assert 0 < other.port <= 65_535
        assert (other.username, other.password) == ("user", "secret")


_BROKERS = (
    b"mqtt://localhost:1883",
    b"mqtts://u:p@host:8883",
    b"wss://host/mqtt?x=1",
    b"unix:///run/mosquitto.sock",
    b"other.host:1884 [::1]:1883 mqtt://third",
)
_BROKER_WORDS = ("mqtt://", "wss://", "unix://", "@", ":", "1883", "[::1]", "/", "?", "#", " ", "%40", "host")


def _names(module: str, *functions: str) -> tuple[str, ...]:
    return tuple(f"mqtt.{module}:{name}" for name in functions)


TARGETS = (
    Target(
        name="json.bounds",
        run=_run_json,
        parsers=(
            *("bounded_json:load_json", "bounded_json:JsonBounds.check"),
            *("bounded_json:is_encodable", "bounded_json:read_float"),
        ),
        seeds=(*_COMMANDS, *_TEXTS, b'{"a": 1.5e3, "b": "\\ud83d", "c": [[[1]]]}'),
        generate=either(mutated_json(_COMMANDS, _KEYS), mutated(_COMMANDS, _KEYS)),
        grow=either(grown_json(_COMMANDS, _KEYS), _large_command),
        memory_factor=JSON_MEMORY_FACTOR,
    ),
    Target(
        name="mqtt.packets",
        run=_run_packets,
        parsers=(
            *_names(
                "packets",
                "read_publish",
                "read_puback",
                "read_packet_id",
                "read_varint",
                "publish_head",
                "is_text",
            ),
            *_names("connection_errors", "reason_text", "scrub_reason"),
        ),
        seeds=_BODIES,
        generate=either(_body, mutated(_BODIES)),
        grow=either(_large_body, grown(_BODIES)),
        cost_factor=2.0,
    ),
    Target(
        name="mqtt.stream",
        run=_run_stream,
        parsers=(
            "mqtt.packets:read_publish",
            *("mqtt.packet_reader:PacketReader.packets", "mqtt.packet_reader:PacketReader.handle"),
            *(
                "mqtt.paho_codec:read_connack",
                "mqtt.paho_codec:read_suback",
                "mqtt.paho_codec:read_disconnect",
            ),
        ),
        seeds=(
            b"\x20\3\0\0\0",
            b"\x20\2\0\0",
            b"\x20\3\0\0\0\x32\x11\0\x0bwx/out/wife\0\1\0x",
            b"\x20\3\0\x87\0",
            b"\xe0\2\x8e\0",
        ),
        generate=either(
            _stream, mutated((b"\x20\3\0\0\0\x32\x11\0\x0bwx/out/wife\0\1\0x\x40\2\0\1\x90\4\0\1\0\1",))
        ),
        grow=_large_stream,
        cost_factor=4.0,
        memory_factor=2.0,
    ),
    Target(
        name="mqtt.websocket",
        run=_run_websocket,
        parsers=_names("websocket", "WebSocket.receive"),
        seeds=(*_ANSWERS, *_FRAME_STREAMS),
        generate=either(_frames, mutated(_ANSWERS), mutated(_FRAME_STREAMS)),
        grow=_large_frames,
        cost_factor=4.0,
        memory_factor=2.0,
        fixed_bytes=6 << 20,  # the patterns of h11 for a head, which has 16 KiB at most
    ),
    Target(
        name="mqtt.commands",
        run=_run_commands,
        parsers=(
            *_names("commands", "read_command", "command_from_fields", "read_command_id", "read_object"),
            "bridge.commands.validation:fingerprint",
        ),
        seeds=(*_COMMANDS, *_TEXTS),
        generate=either(mutated_json(_COMMANDS, _KEYS), mutated(_TEXTS, _KEYS)),
        grow=either(grown_json(_COMMANDS, _KEYS), _large_command),
        cost_factor=3.0,
    ),
    Target(
        name="mqtt.requests",
        run=_run_requests,
        parsers=_names(
            "commands",
            *(
                "read_request",
                "reject_unknown_fields",
                "read_text",
                "read_topic_name",
                "read_name",
                "read_integer",
            ),
            *("read_flag", "read_digits", "read_names"),
        ),
        seeds=_COMMANDS,
        generate=mutated_json(_COMMANDS, _KEYS),
        grow=either(grown_json(_COMMANDS, _KEYS), _large_command),
        cost_factor=3.0,
        memory_factor=JSON_MEMORY_FACTOR,
    ),
    Target(
        name="mqtt.topics",
        run=_run_topics,
        parsers=_names(
            "topics",
            *("Topics.parse", "Topics.message", "Topics.out", "Topics.result", "Topics.event"),
            *("Topics.text", "Topics.request", "Topics.response", "Topics.window", "Topics.retained"),
            *("Topics.commands_to", "Topics.files_to"),
            "Topics.may_publish",
            *("is_topic_name", "is_publishable", "response_topic_allowed", "matches_filter"),
            "is_config_topic",
        ),
        seeds=_TOPICS,
        generate=mutated(_TOPICS, _TOPIC_WORDS),
        grow=grown(_TOPICS, _TOPIC_WORDS),
        memory_factor=2.0,
    ),
    Target(
        name="mqtt.broker_urls",
        run=_run_broker_urls,
        parsers=_names("options", "parse_broker_url", "parse_server_references"),
        seeds=_BROKERS,
        generate=mutated(_BROKERS, _BROKER_WORDS),
        grow=grown(_BROKERS, _BROKER_WORDS),
        memory_factor=2.0,
    ),
)
