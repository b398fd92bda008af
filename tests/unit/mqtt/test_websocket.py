"""MQTT inside a WebSocket: what the client sends, what it takes, and that no server makes it keep or spend much."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cost import is_in_proportion
from tests.support.rows import every_row
from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    ClientFrame,
    acceptance,
    frame,
    frame_head,
    in_fragments,
    read_frames,
)
from tests.unit.mqtt.test_sockets import ScriptedSocket
from wx2mqtt.errors import WebSocketError
from wx2mqtt.mqtt.options import parse_broker_url
from wx2mqtt.mqtt.sockets import WEBSOCKET_CHUNK_BYTES, BufferedSocket
from wx2mqtt.mqtt.websocket import (
    FRAME_BYTES,
    WebSocket,
)

URL = "ws://broker:9001"


def error_of(websocket: WebSocket) -> tuple[str, dict[str, object]]:
    """Returns the key and the facts of the sentence that says why it was closed."""
    assert websocket.error is not None
    return websocket.error.message_key, websocket.error.facts


def requested(url: str = URL) -> tuple[WebSocket, bytes]:
    websocket = WebSocket(parse_broker_url(url))
    return websocket, websocket.take_frame()


def opened() -> WebSocket:
    websocket, request = requested()
    assert websocket.receive(acceptance(request)) == b""
    assert websocket.is_open
    return websocket


class FakeSocket:
    """A raw socket that returns what the server has sent, and accepts `capacity` bytes from the client."""

    def __init__(self, data: bytes = b"", capacity: int = 1 << 40) -> None:
        self.data, self.capacity = bytearray(data), capacity
        self.sent = b""

    def recv(self, size: int) -> bytes:
        if not self.data:
            raise BlockingIOError
        chunk = bytes(self.data[:size])
        del self.data[:size]
        return chunk

    def send(self, data: bytes) -> int:
        size = min(len(data), self.capacity - len(self.sent))
        if not size:
            raise BlockingIOError
        self.sent += bytes(data[:size])
        return size


def stream_on(raw: Any) -> BufferedSocket:
    """Returns a buffered socket whose WebSocket is open."""
    return BufferedSocket(raw, websocket=opened())


def receive_all(stream: BufferedSocket) -> int:
    """Reads all that the server has sent; returns how many bytes of MQTT it was."""
    size = 0
    stream.has_more = True
    while stream.has_more:
        size += len(stream.receive())
    return size


# the handshake


def lines(request: bytes) -> list[str]:
    return request.decode("ascii").split("\r\n")


@every_row(
    ("url", "first", "host"),
    [
        ("ws://broker:9001", "GET /mqtt HTTP/1.1", "broker:9001"),
        ("ws://broker/", "GET / HTTP/1.1", "broker"),
        ("wss://broker:443/a?token=x%20y", "GET /a?token=x%20y HTTP/1.1", "broker"),
        ("ws://[::1]:80/x", "GET /x HTTP/1.1", "[::1]"),
        ("wss://[fe80::1]:9001/x", "GET /x HTTP/1.1", "[fe80::1]:9001"),
        (
            "ws://bücher.example:8080/微 信?a=é",
            "GET /%E5%BE%AE%20%E4%BF%A1?a=%C3%A9 HTTP/1.1",
            "xn--bcher-kva.example:8080",
        ),
    ],
)
def test_the_request_names_path_host_and_subprotocol(url: str, first: str, host: str):
    _, request = requested(url)
    assert lines(request)[0] == first
    assert f"Host: {host}" in lines(request)
    assert "Sec-WebSocket-Protocol: mqtt" in lines(request)
    assert "Sec-WebSocket-Extensions" not in request.decode()
    scheme = "https" if url.startswith("wss") else "http"
    assert f"Origin: {scheme}://{host}" in lines(request)


@given(st.lists(st.integers(1, 40), max_size=20))
def test_the_answer_may_come_in_any_pieces_and_frames_right_behind_it(sizes):
    websocket, request = requested()
    data = acceptance(request) + frame(b"one") + frame(b"two")
    received = b""
    for size in [*sizes, len(data)]:
        received += websocket.receive(data[:size])
        data = data[size:]
    assert websocket.is_open
    assert received == b"onetwo"


@every_row("status", [200, 301, 400, 401, 404, 503])
def test_a_status_is_a_refusal_and_a_redirect_is_followed_nowhere(status: int):
    websocket, _ = requested()
    websocket.receive(b"HTTP/1.1 %d Any\r\nLocation: ws://elsewhere/\r\nContent-Length: 0\r\n\r\n" % status)
    assert error_of(websocket) == ("no_websocket", {"status": status})
    assert (websocket.is_closed, websocket.is_open) == (True, False)
    assert not websocket.has_output


def test_a_server_that_does_not_choose_the_subprotocol_speaks_no_mqtt():
    websocket, request = requested()
    websocket.receive(acceptance(request, subprotocol=None))
    assert error_of(websocket) == ("websocket_without_mqtt", {})


@every_row(
    "wrong",
    [
        lambda request: acceptance(request, key=b"bm90IHRoZSByaWdodCBrZXk="),
        lambda request: acceptance(request, subprotocol=b"graphql"),
        lambda request: acceptance(request, subprotocol=b"\xff"),
        lambda request: acceptance(request).replace(b"Upgrade: websocket\r\n", b""),
        lambda request: acceptance(request).replace(b"Connection: Upgrade", b"Connection: \xe9"),
        lambda request: acceptance(request)[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        lambda _: b"HTTP/1.1 100 Continue\r\n\r\n",
        lambda _: b"\x20\x03\x00\x00\x00\r\n\r\n",
        lambda _: b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"a" * 50_000,
        lambda _: b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: a\r\n" * 10_000,
    ],
)
def test_a_wrong_answer_ends_the_attempt_within_a_bounded_head(wrong):
    websocket, request = requested()
    data = wrong(request)
    while data and not websocket.is_closed:
        websocket.receive(data[:1000])
        data = data[1000:]
    assert error_of(websocket)[0] in {"bad_websocket", "no_websocket"}
    assert not websocket.is_open


def test_a_head_of_blanks_costs_in_proportion():
    def receive(size: int) -> None:
        websocket, _ = requested()
        websocket.receive(b"HTTP/1.1 101 Switching Protocols\r\nX:" + b" " * size + b"\x00\r\n\r\n")
        assert websocket.is_closed

    assert is_in_proportion(receive, 15_000)


# what comes


@given(st.binary(max_size=300), st.integers(1, 300), st.lists(st.integers(1, 50), max_size=40))
def test_the_content_of_frames_is_handed_on_whatever_the_pieces(payload, fragment, sizes):
    websocket = opened()
    data = in_fragments(payload, fragment, between=frame(b"beat", PING))
    received = b""
    for size in [*sizes, len(data)]:
        received += websocket.receive(data[:size])
        data = data[size:]
    assert (received, websocket.is_closed) == (payload, False)


def test_a_frame_is_handed_on_before_it_is_whole():
    websocket = opened()
    assert websocket.receive(frame_head(1 << 62) + b"CONNACK") == b"CONNACK"
    assert websocket.receive(b"more") == b"more"


def test_of_a_frame_without_end_nothing_is_kept():
    stream = stream_on(FakeSocket())
    raw: Any = stream._raw
    raw.data += frame_head(1 << 62)
    tracemalloc.start()
    try:
        for _ in range(50):
            raw.data += bytes(1 << 18)
            receive_all(stream)
        raw.data.clear()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1 << 20


@every_row(
    "data",
    [
        frame(b"x", BINARY, reserved=4),
        frame(b"x", 3),
        frame(b"x", CONTINUATION),
        frame(b"x", BINARY, final=False) + frame(b"y", BINARY),
        frame(b"x", PING, final=False),
        frame_head(126, PING),
        b"\x82\x7f" + b"\xff" * 8,
        b"\x82\x7f" + (5).to_bytes(8, "big"),
        b"\x82\x81\0\0\0\0x",
        frame(b"text", TEXT),
        frame(b"\xff", TEXT),
        frame(b"\x03", CLOSE),
        frame(b"\x03\xee", CLOSE),
    ],
)
def test_a_frame_that_is_not_allowed_is_the_end_behind_what_came_before(data: bytes):
    websocket = opened()
    assert websocket.receive(frame(b"before") + data + frame(b"behind")) in {b"before", b"beforex"}
    assert error_of(websocket) == ("bad_websocket", {})
    [answer] = read_frames(websocket.take_frame())
    assert answer.opcode == CLOSE
    assert not websocket.has_output


def test_empty_frames_and_pongs_are_nothing():
    websocket = opened()
    assert websocket.receive(frame() * 3 + frame(b"x", PONG)) == b""
    assert not (websocket.is_closed or websocket.has_output)


@every_row(("code", "error"), [(1000, None), (1001, None), (1008, 1008), (1011, 1011), (4000, 4000)])
def test_a_close_frame_is_answered_and_its_code_of_a_failure_is_told(code: int, error: int | None):
    websocket = opened()
    payload = code.to_bytes(2, "big")
    websocket.send(b"not sent any more")
    assert websocket.receive(frame(b"last") + frame(payload + b"why", CLOSE)) == b"last"
    assert websocket.is_closed
    if error is None:
        assert websocket.error is None
    else:
        assert error_of(websocket) == ("websocket_closed", {"code": error})
    assert read_frames(websocket.take_frame()) == [ClientFrame(CLOSE, True, payload)]
    assert not websocket.has_output


# what is sent


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_what_is_sent_goes_out_in_masked_binary_frames(packets):
    websocket = opened()
    for packet in packets:
        websocket.send(packet)
    data = b""
    while websocket.has_output:
        data += websocket.take_frame()
    assert all(frame.opcode == BINARY and frame.final for frame in read_frames(data))
    assert b"".join(frame.payload for frame in read_frames(data)) == b"".join(packets)


def test_a_large_packet_goes_out_in_several_frames_and_a_pong_between_them():
    websocket = opened()
    websocket.send(b"x" * (FRAME_BYTES + 1))
    first = websocket.take_frame()
    websocket.receive(frame(b"alive?", PING))
    frames = read_frames(first + websocket.take_frame() + websocket.take_frame())
    assert [(frame.opcode, len(frame.payload)) for frame in frames] == [
        (BINARY, FRAME_BYTES),
        (PONG, 6),
        (BINARY, 1),
    ]


def test_of_many_pings_to_whose_pongs_nobody_listens_the_newest_is_answered():
    raw = FakeSocket(b"".join(frame(b"%d" % number, PING) for number in range(10_000)), capacity=0)
    stream = stream_on(raw)
    while raw.data:
        stream.receive()
        stream.flush()
    assert len(stream._unsent) < 200
    raw.capacity = 1 << 20
    assert stream.flush()
    assert read_frames(raw.sent)[-1] == ClientFrame(PONG, True, b"9999")
    assert len(read_frames(raw.sent)) <= 2


def test_pings_and_pongs_are_no_activity_of_mqtt():
    """If they counted, the bridge would send no PINGREQ, and a dead broker behind a gateway that runs would not be noticed."""
    raw = FakeSocket(frame(b"beat", PING))
    stream = stream_on(raw)
    stream.received_at = stream.sent_at = 0.0
    stream.receive()
    assert stream.has_backlog
    assert stream.flush()
    assert (stream.received_at, stream.sent_at) == (0.0, 0.0)
    stream.send(b"PINGREQ")
    assert stream.flush()
    raw.data += frame(b"PINGRESP")
    stream.receive()
    assert min(stream.received_at, stream.sent_at) > 0


@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(st.integers(0, 7), max_size=30))
def test_everything_is_written_in_order_whatever_the_socket_takes(packets, accepted_sizes):
    raw: Any = ScriptedSocket(accepted_sizes=accepted_sizes)
    stream = stream_on(raw)
    for packet in packets:
        stream.send(packet)
        stream.flush()
    while not stream.flush():
        assert stream.has_backlog
    assert not stream.has_backlog
    assert b"".join(frame.payload for frame in read_frames(raw.sent)) == b"".join(packets)


def test_the_end_of_the_websocket_is_read_behind_what_was_sent_before_it():
    raw = FakeSocket(frame(b"DISCONNECT") + frame((1011).to_bytes(2, "big"), CLOSE) + frame(b"behind"))
    stream = stream_on(raw)
    assert stream.receive() == b"DISCONNECT"
    assert not stream.has_more
    assert isinstance(stream.error, WebSocketError)
    assert stream.error.message_key == "websocket_closed"
    assert read_frames(raw.sent)[0].opcode == CLOSE


# what it costs


@pytest.mark.parametrize(
    "data",
    [
        lambda size: frame(bytes(size)),
        lambda size: in_fragments(bytes(size // 50), 1),
        lambda size: frame() * (size // 100),
        lambda size: frame(b"", PING) * (size // 100),
        lambda size: in_fragments(bytes(size // 5), 1000, between=frame(b"beat", PING)),
    ],
    ids=["one frame", "fragments of one byte", "empty frames", "pings", "pings between fragments"],
)
def test_the_cost_grows_with_the_size_and_not_with_its_square(data):
    def receive(size: int) -> None:
        stream = stream_on(FakeSocket(data(size)))
        receive_all(stream)

    assert is_in_proportion(receive, 1 << 20)


def test_a_chunk_of_empty_frames_is_short_work():
    """Between two chunks the event loop serves others."""
    stream = stream_on(FakeSocket(frame() * (10 * WEBSOCKET_CHUNK_BYTES)))
    assert stream.receive() == b""
    assert stream.has_more
    raw: Any = stream._raw
    assert len(raw.data) == 19 * WEBSOCKET_CHUNK_BYTES
