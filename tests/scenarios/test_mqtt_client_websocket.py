"""The client against WebSocket servers that are wrong, endless or slow, and how much CPU time a large file takes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import tracemalloc
from pathlib import Path

import psutil
import pytest

from tests.scenarios.conftest import StartMosquitto
from tests.support.broker import free_port
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.mqtt_client import running_client
from tests.support.scripted_broker import Peer, scripted_broker
from tests.support.websocket import CLOSE, PING, PONG, acceptance, frame, frame_head, read_frame, read_frames
from wx2mqtt.mqtt import broker_features, connection, sockets
from wx2mqtt.mqtt.options import parse_broker_url

CONNACK = b"\x20\x03\x00\x00\x00"


async def read_request(peer: Peer) -> bytes:
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        return await peer.reader.readuntil(b"\r\n\r\n")


async def accept(peer: Peer) -> None:
    """Answers the handshake and CONNECT."""
    peer.raw(acceptance(await read_request(peer)))
    assert read_frame(await peer.reader.read(1000)) is not None
    peer.raw(frame(CONNACK))


async def read_to_end(peer: Peer) -> bytes:
    """Returns all that the client still sends until it closes the connection."""
    with contextlib.suppress(ConnectionError):  # it had not read all that was sent
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            return await peer.reader.read()
    return b""


def url(port: int) -> str:
    return f"ws://127.0.0.1:{port}/mqtt"


REFUSALS = {
    "not found": (
        lambda _: b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnone!",
        "answers the request for a WebSocket with HTTP status 404; see port and path in mqtt.url",
    ),
    "redirect": (
        lambda _: b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "answers the request for a WebSocket with HTTP status 302; see port and path in mqtt.url",
    ),
    "no subprotocol": (
        lambda request: acceptance(request, subprotocol=None),
        "speaks WebSocket, but not MQTT over it; see port and path in mqtt.url",
    ),
    "wrong key": (
        lambda request: acceptance(request, key=b"bm90IHRoZSByaWdodCBrZXk="),
        "sent something that is not MQTT over WebSocket; see port and path in mqtt.url",
    ),
    "a head without end": (
        lambda _: b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-More: and more\r\n" * 10_000,
        "sent something that is not MQTT over WebSocket; see port and path in mqtt.url",
    ),
    "text": (
        lambda request: acceptance(request) + frame(b'{"type": "auth_required"}', 1),
        "sent something that is not MQTT over WebSocket; see port and path in mqtt.url",
    ),
    "a length without end": (
        lambda request: acceptance(request) + b"\x82\x7f" + b"\xff" * 8,
        "sent something that is not MQTT over WebSocket; see port and path in mqtt.url",
    ),
    "closed": (
        lambda request: acceptance(request) + frame((1008).to_bytes(2, "big") + b"go away", CLOSE),
        "closed the WebSocket with code 1008",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_wrong_answer_is_a_failed_attempt_with_a_reason_and_ends_the_connection(case: str):
    answer, words = REFUSALS[case]
    ended = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        peer.raw(answer(await read_request(peer)))
        await read_to_end(peer)
        if not ended.done():
            ended.set_result(None)

    async with scripted_broker(script) as broker, running_client(url(broker.port)) as listener:
        disconnected = await listener.end()
        await asyncio.wait_for(ended, MAX_WAIT_SECONDS)
    assert disconnected.code == "unreachable"
    assert disconnected.reason.startswith(f"127.0.0.1:{broker.port} {words}")


def open_descriptors() -> int:
    count: int = psutil.Process().num_fds()
    return count


async def answer_byte_by_byte(peer: Peer, ended: asyncio.Event) -> None:
    """Answers the request byte by byte without an end, until the client closes the connection."""
    await read_request(peer)
    peer.reached()
    client_closed = asyncio.create_task(peer.reader.read())
    peer.raw(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
    while not client_closed.done():
        peer.raw(b"x")
        await asyncio.wait([client_closed], timeout=0.01)
    ended.set()


async def test_a_slow_handshake_ends_with_the_deadline_and_leaves_no_thread_and_no_descriptor(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_SECONDS", 0.3)
    ended = asyncio.Event()
    async with scripted_broker(lambda peer: answer_byte_by_byte(peer, ended)) as broker:
        threads, descriptors = threading.active_count(), open_descriptors()
        async with running_client(url(broker.port)) as listener:
            for _ in range(3):
                disconnected = await listener.end()
                assert disconnected.reason == f"no answer from 127.0.0.1:{broker.port}"
            await asyncio.wait_for(ended.wait(), MAX_WAIT_SECONDS)
        await asyncio.wait_for(ended.wait(), MAX_WAIT_SECONDS)
        assert threading.active_count() <= threads
        assert open_descriptors() <= descriptors + 2  # of the server, which may still close its own


async def test_a_stop_does_not_wait_for_a_slow_handshake():
    ended = asyncio.Event()
    async with scripted_broker(lambda peer: answer_byte_by_byte(peer, ended)) as broker:
        async with running_client(url(broker.port)):
            await broker.wait_until_done()
            start = time.monotonic()
        assert time.monotonic() - start < allowed(2)
        await asyncio.wait_for(ended.wait(), MAX_WAIT_SECONDS)


async def test_an_abort_ends_a_slow_handshake_at_once():
    ended = asyncio.Event()
    async with (
        scripted_broker(lambda peer: answer_byte_by_byte(peer, ended)) as broker,
        running_client(url(broker.port)) as listener,
        asyncio.timeout(MAX_WAIT_SECONDS),
    ):
        await broker.wait_until_done()
        start = time.monotonic()
        listener.client.abort()
        await ended.wait()
        while listener.client._connection is not None:
            await asyncio.wait([asyncio.create_task(asyncio.sleep(0.01))])
        assert time.monotonic() - start < allowed(2)


async def test_a_slow_tls_handshake_ends_with_its_deadline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sockets, "ADDRESS_CONNECT_TIMEOUT_SECONDS", 0.3)
    ended = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        client_closed = asyncio.create_task(read_to_end(peer))
        peer.raw(b"\x16\x03\x03\x40\x00")
        while not client_closed.done():
            peer.raw(b"\x02")
            await asyncio.wait([client_closed], timeout=0.01)
        ended.set()

    async with (
        scripted_broker(script) as broker,
        running_client(url(broker.port).replace("ws", "wss", 1)) as listener,
    ):
        assert (await listener.end()).code == "unreachable"
        await asyncio.wait_for(ended.wait(), MAX_WAIT_SECONDS)


async def test_an_endless_frame_and_an_endless_message_are_not_kept_in_memory_and_a_stop_is_not_delayed():
    """MQTT's limit of a packet holds inside of a frame as it does over TCP."""
    flooded = asyncio.Event()

    async def script(peer: Peer) -> None:
        await accept(peer)
        peer.raw(frame_head(1 << 62) + b"\x32\xff\xff\xff\x7f\x00\x01t\x00\x07\x00")
        with contextlib.suppress(ConnectionError):
            for number in range(1000):
                peer.raw(bytes(1 << 16))
                await peer.writer.drain()
                if number == 500:
                    flooded.set()
            flooded.set()

    async with scripted_broker(script) as broker:
        async with running_client(url(broker.port), filters=(), packet_limit=1 << 20) as listener:
            await listener.connection()
            tracemalloc.start()
            try:
                await asyncio.wait_for(flooded.wait(), MAX_WAIT_SECONDS)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            start = time.monotonic()
        assert time.monotonic() - start < allowed(3)
    assert peak < 8 << 20
    assert not [event for event in listener.events if hasattr(event, "payload")]


async def test_forbidden_frames_end_an_established_connection_with_a_reason():
    connected = asyncio.Event()

    async def script(peer: Peer) -> None:
        await accept(peer)
        await connected.wait()
        peer.raw(frame(b"\xc0\x00", reserved=4))
        await read_to_end(peer)

    async with scripted_broker(script) as broker, running_client(url(broker.port), filters=()) as listener:
        await listener.connection()
        connected.set()
        disconnected = await listener.end()
    assert disconnected.code == "lost"
    assert "not MQTT over WebSocket" in disconnected.reason


async def test_pings_between_the_fragments_of_a_packet_are_answered_while_nothing_is_sent():
    ponged = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await accept(peer)
        peer.raw(frame(b"\x30", final=False) + frame(b"alive?", PING))
        data = b""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not ponged.done():
                data += await peer.reader.read(1000)
                while (read := read_frame(data)) is not None:
                    byte, data = read
                    if byte.opcode == PONG:
                        ponged.set_result(byte.payload)
        peer.raw(frame(b"\x06\x00\x01t\x00hi", 0))
        await read_to_end(peer)

    async with scripted_broker(script) as broker, running_client(url(broker.port), filters=()) as listener:
        await listener.connection()
        assert await asyncio.wait_for(ponged, MAX_WAIT_SECONDS) == b"alive?"
        assert (await listener.delivery()).payload == b"hi"


async def test_a_stop_sends_the_disconnect_in_a_masked_frame():
    last = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await accept(peer)
        last.set_result(await read_to_end(peer))

    async with scripted_broker(script) as broker:
        async with running_client(url(broker.port), filters=()) as listener:
            await listener.connection()
        frames = read_frames(await last)
    assert frames[-1].payload == b"\xe0\x00"


@pytest.mark.parametrize(("connack", "refuses"), [(b"\x20\x02\x00\x01", True), (CONNACK, False)])
async def test_the_version_is_probed_over_a_websocket_too(connack: bytes, refuses: bool):
    async def script(peer: Peer) -> None:
        peer.raw(acceptance(await read_request(peer)))
        await peer.reader.readexactly(1)
        peer.raw(frame(connack))
        await read_to_end(peer)

    async with scripted_broker(script) as broker:
        assert await broker_features.refuses_mqtt_5(parse_broker_url(url(broker.port)), None) is refuses


async def test_the_probe_of_the_version_ends_at_a_slow_handshake(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(broker_features, "VERSION_PROBE_TIMEOUT_SECONDS", 0.3)
    ended = asyncio.Event()
    async with scripted_broker(lambda peer: answer_byte_by_byte(peer, ended)) as broker:
        threads = threading.active_count()
        assert not await broker_features.refuses_mqtt_5(parse_broker_url(url(broker.port)), None)
        await asyncio.wait_for(ended.wait(), MAX_WAIT_SECONDS)
        assert threading.active_count() <= threads


FILE_BYTES = 24 << 20

# CPU time of a WebSocket to that of TCP: measured are 2, and 13 with the WebSocket of paho.
MAX_FACTOR = 6


async def cpu_seconds_of_a_file(to: str, port: int, file: Path, content: bytes) -> float:
    """Returns the CPU seconds that it takes to receive a file that somebody publishes at `port`."""
    async with running_client(to, filters=("wx/out/#",)) as listener:
        await listener.connection()
        started_at = time.process_time()
        publisher = await asyncio.create_subprocess_exec(
            *("mosquitto_pub", "-p", str(port), "-q", "1", "-t", "wx/out/wife/file/a", "-f", str(file))
        )
        delivery = await listener.delivery()
        seconds = time.process_time() - started_at
        listener.client.acknowledge(delivery)
        assert delivery.payload == content
        assert await asyncio.wait_for(publisher.wait(), MAX_WAIT_SECONDS) == 0
    return seconds


async def test_a_large_file_takes_similar_cpu_time_over_a_websocket_as_over_tcp(
    start_mosquitto: StartMosquitto, tmp_path: Path
):
    websocket = free_port()
    broker = start_mosquitto(f"listener {websocket} 127.0.0.1\nprotocol websockets\n")
    file = tmp_path / "file"
    content = os.urandom(FILE_BYTES)
    file.write_bytes(content)
    over_tcp = await cpu_seconds_of_a_file(broker.url, broker.port, file, content)
    over_websocket = await cpu_seconds_of_a_file(url(websocket), broker.port, file, content)
    assert over_websocket < MAX_FACTOR * max(over_tcp, 0.05)
