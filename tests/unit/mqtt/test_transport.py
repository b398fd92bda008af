"""A failed attempt leaves no open socket, packets are read in turns, and a dead broker is noticed in time."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.rows import every_row
from wx2mqtt.mqtt import connection, sockets, transport
from wx2mqtt.mqtt.broker import ProtocolVersion
from wx2mqtt.mqtt.client import MqttClient
from wx2mqtt.mqtt.options import MqttOptions, parse_broker_url
from wx2mqtt.mqtt.packets import PUBACK, PubackPacket, short_packet
from wx2mqtt.mqtt.reconnect import ConnectTarget
from wx2mqtt.mqtt.sockets import BufferedSocket
from wx2mqtt.mqtt.transport import KeepAlive, KeepAliveAction


class DisconnectedSocket:
    """A socket whose peer has disconnected already."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def setblocking(self, _flag: bool) -> None:
        """Does nothing: this socket never blocks."""

    def close(self) -> None:
        self.closed.set()


async def test_a_broker_that_disconnects_before_its_address_is_read_leaves_no_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = DisconnectedSocket()

    def fail_to_read_peer(_plain: object) -> bool:
        raise OSError(107, "Transport endpoint is not connected")

    monkeypatch.setattr(sockets, "open_socket", lambda *_: plain)
    monkeypatch.setattr(sockets, "is_local_peer", fail_to_read_peer)

    with pytest.raises(OSError, match="not connected"):
        await sockets.open_stream(parse_broker_url("mqtt://broker"), None, 1.0)

    assert plain.closed.is_set()


async def test_a_socket_that_opens_after_the_deadline_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = DisconnectedSocket()
    begun, go_on = threading.Event(), threading.Event()

    def open_late(*_: object) -> DisconnectedSocket:
        begun.set()
        assert go_on.wait(MAX_WAIT_SECONDS)
        return plain

    monkeypatch.setattr(sockets, "open_socket", open_late)
    monkeypatch.setattr(sockets, "is_local_peer", lambda _plain: True)
    opening = asyncio.create_task(sockets.open_stream(parse_broker_url("mqtt://broker"), None, 1.0))
    await asyncio.to_thread(begun.wait, MAX_WAIT_SECONDS)
    opening.cancel()
    await asyncio.wait([opening])
    go_on.set()

    assert await asyncio.to_thread(plain.closed.wait, MAX_WAIT_SECONDS)


async def test_the_kernel_waits_for_acknowledgements_a_little_longer_than_a_keepalive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timeouts: list[float] = []

    def refuse(_address: object, _tls: object, timeout: float) -> None:
        timeouts.append(timeout)
        raise ConnectionRefusedError

    monkeypatch.setattr(sockets, "open_socket", refuse)
    target = ConnectTarget(address=parse_broker_url("mqtt://127.0.0.1"), protocol=ProtocolVersion.MQTT_5)
    handler: Any = None
    opening = transport.SocketTransport(
        MqttOptions(urls=("mqtt://127.0.0.1",), client_id="c", keepalive=60), target, handler
    )

    with pytest.raises(ConnectionRefusedError):
        await opening.open()

    assert timeouts == [75.0]
    assert opening.is_local


class ScriptedSocket:
    """A socket on which these chunks arrive; `read_count` says how often it was read."""

    def __init__(self, *chunks: bytes) -> None:
        self.read_count = 0
        self._chunks = list(chunks)

    def recv(self, _size: int) -> bytes:
        self.read_count += 1
        if not self._chunks:
            raise BlockingIOError
        return self._chunks.pop(0)

    def close(self) -> None:
        """Does nothing: there is no file descriptor."""


class TransportHarness:
    """A transport whose socket receives these chunks; `mids` are the packet ids of the PUBACKs that it read."""

    def __init__(self, *chunks: bytes) -> None:
        self.mids: list[int] = []
        self.end_count = 0
        self.raw = ScriptedSocket(*chunks)
        raw: Any = self.raw
        handler: Any = self
        target = ConnectTarget(address=parse_broker_url("mqtt://broker"), protocol=ProtocolVersion.MQTT_5)
        options = MqttOptions(urls=("mqtt://broker",), client_id="c")
        self.transport = transport.SocketTransport(options, target, handler)
        self.transport.socket = BufferedSocket(raw)
        self.transport._has_socket = True

    def on_puback(self, packet: PubackPacket) -> None:
        self.mids.append(packet.mid)

    def on_closed(self, reason: object) -> None:
        assert reason is None
        self.end_count += 1


async def test_a_socket_on_which_nothing_arrives_is_read_once_and_not_again_until_it_is_readable() -> None:
    harness = TransportHarness()
    harness.transport._on_readable()
    await asyncio.sleep(0)
    assert harness.raw.read_count == 1


PUBACKS = [short_packet(PUBACK, mid) for mid in range(1, 4001)]


async def test_the_packets_of_a_burst_are_handled_in_one_turn() -> None:
    data = b"".join(PUBACKS[:100])
    harness = TransportHarness(data[:150], data[150:])
    harness.transport._on_readable()
    harness.transport._on_readable()
    assert harness.mids == list(range(1, 101))


async def test_while_nobody_reads_what_has_come_waits() -> None:
    harness = TransportHarness(b"".join(PUBACKS[:3]))

    def stop_reading(packet: PubackPacket) -> None:
        harness.mids.append(packet.mid)
        harness.transport._reading = False

    harness.on_puback = stop_reading  # type: ignore[method-assign]
    for turn in range(1, 4):
        harness.transport._reading = True
        harness.transport._on_readable()
        assert harness.mids == list(range(1, turn + 1))


async def test_the_packets_before_the_end_are_handled_and_the_end_is_told_once() -> None:
    harness = TransportHarness(PUBACKS[0], b"")
    harness.transport._on_readable()
    harness.transport._on_readable()
    harness.transport._on_readable()
    assert (harness.mids, harness.end_count) == ([1], 1)


async def test_tiny_packets_without_end_leave_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that stays readable calls the transport in each turn of the event loop, too."""
    monkeypatch.setattr(transport, "MAX_UNBROKEN_SECONDS", 0.0)
    harness = TransportHarness(b"".join(PUBACKS))
    loop = asyncio.get_running_loop()
    for turn in range(1, 40):
        harness.transport._on_readable()
        assert turn - 1 <= len(harness.mids) <= 2 * turn
        next_turn = loop.create_future()
        loop.call_soon(next_turn.set_result, None)
        await next_turn


class OpeningTransport:
    """A transport whose socket is open when `opened` is set."""

    is_local = True
    socket = SimpleNamespace(received_at=float("inf"))

    def __init__(self, *_: object) -> None:
        self.opened = asyncio.get_running_loop().create_future()
        TRANSPORTS.append(self)

    async def open(self) -> None:
        await self.opened

    def flush(self) -> None:
        """Does nothing: nothing is buffered."""

    def close(self) -> None:
        """Does nothing: there is no socket."""


TRANSPORTS: list[OpeningTransport] = []


async def test_a_stop_in_the_moment_in_which_the_socket_opens_is_a_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`asyncio.wait_for` of Python 3.11 forgets a cancellation then, and the stop would wait for ever."""
    monkeypatch.setattr(connection, "SocketTransport", OpeningTransport)
    listener: Any = None
    client = MqttClient(MqttOptions(urls=("mqtt://broker",), client_id="c"))
    running = asyncio.create_task(client.run(listener))
    turn = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turn.set_result, None)
    await turn
    TRANSPORTS[-1].opened.set_result(None)
    asyncio.get_running_loop().call_soon(running.cancel)
    await asyncio.wait([running], timeout=MAX_WAIT_SECONDS)
    assert running.cancelled()


# when the broker is asked for a sign of life, and when it is dead


def check(
    keepalive: KeepAlive,
    now: float,
    *,
    received: float = 0.0,
    sent: float = 0.0,
    drained: float = 0.0,
    pinged: float = -1.0,
) -> KeepAliveAction:
    return keepalive.check(now, received=received, sent=sent, drained=drained, pinged=pinged)


def test_a_broker_that_spoke_lately_is_left_in_peace() -> None:
    assert check(KeepAlive(30), 14.9) is KeepAliveAction.WAIT


def test_silence_for_half_the_keepalive_asks_once() -> None:
    assert check(KeepAlive(30), 15) is KeepAliveAction.PING
    assert check(KeepAlive(30), 16, pinged=15.0) is KeepAliveAction.WAIT


def test_a_client_that_only_receives_sends_a_ping_before_the_broker_gives_it_up() -> None:
    """A stream of deliveries at QoS 0 is no packet of ours; the broker counts those."""
    assert check(KeepAlive(30), 100, received=99.9, sent=85.0) is KeepAliveAction.PING


def test_an_answer_ends_the_question() -> None:
    assert check(KeepAlive(30), 17, received=16, pinged=15.0, sent=15.0) is KeepAliveAction.WAIT
    assert check(KeepAlive(30), 31, received=16, pinged=15.0, sent=15.0) is KeepAliveAction.PING


@every_row("keepalive", [1, 2, 5, 10, 30, 60, 600])
def test_a_dead_broker_is_seen_within_one_and_a_half_keepalives(keepalive: float) -> None:
    values = KeepAlive(keepalive)
    now = 0.0
    pinged = -1.0
    while (action := check(values, now, pinged=pinged, sent=max(pinged, 0.0))) is not KeepAliveAction.DEAD:
        pinged = now if action is KeepAliveAction.PING else pinged
        now += values.interval
    assert pinged > 0
    assert now - pinged > keepalive * 0.5
    assert now <= keepalive * 1.5


def test_a_large_packet_on_a_slow_line_is_a_sign_of_life() -> None:
    assert check(KeepAlive(30), 200, received=0, drained=190, pinged=15.0) is KeepAliveAction.WAIT
    assert check(KeepAlive(30), 230, received=0, drained=190, pinged=15.0) is KeepAliveAction.DEAD
