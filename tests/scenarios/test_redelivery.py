"""A broker that lost our PUBACK delivers again: once is once, and what cannot be known is said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.home import SimulatorControl
from tests.support.process import BridgeProcess
from tests.support.scripted_broker import (
    DISCONNECT,
    PUBACK,
    PUBLISH,
    Packet,
    Peer,
    length_prefixed,
    scripted_broker,
)
from wx2mqtt.simulator.server import Simulator


class Node:
    """A broker that takes what the bridge publishes, and delivers what the test says, as often as it says."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.acknowledged: list[int] = []
        self.connections = 0
        self.keeps_session = True
        self._peer: Peer | None = None
        self._news = asyncio.Event()

    async def serve(self, peer: Peer) -> None:
        """One connection, to its end."""
        present = self.keeps_session and self.connections > 0
        await peer.accept(present=present)
        await peer.grant(1, 1)
        self._peer = peer
        self.connections += 1
        self._tell()
        while (packet := await peer.read(PUBLISH, PUBACK, DISCONNECT)).kind != DISCONNECT:
            if packet.kind == PUBLISH:
                peer.acknowledge(packet)
                self.published.append((packet.topic, _payload(packet)))
            else:
                self.acknowledged.append(packet.mid)
            self._tell()

    def deliver(self, payload: str, mid: int, properties: bytes = b"", *, dup: bool = False) -> None:
        """To `wx/out/wife`."""
        assert self._peer is not None
        self._peer.deliver("wx/out/wife", payload.encode(), mid, properties, dup=dup)

    def hang_up(self) -> None:
        """As a broken network would."""
        assert self._peer is not None
        self._peer.writer.transport.abort()

    async def until(self, holds: Any) -> Any:
        """Wait, with a bound, for what comes over the wire."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not (found := holds()):
                await self._news.wait()
        return found

    async def connected(self, number: int) -> None:
        await self.until(lambda: self.connections >= number)

    async def results(self, count: int) -> list[dict[str, Any]]:
        """The first results; after a crash one may come twice, and is the same."""
        await self.until(lambda: len(self._results()) >= count)
        return [*self._results().values()]

    def _results(self) -> dict[str, dict[str, Any]]:
        bodies = [json.loads(payload) for topic, payload in self.published if topic == "wx/result/wife"]
        return {one["id"]: one for one in bodies}

    async def is_online(self) -> None:
        await self.until(
            lambda: any(
                topic == "wx/login/state" and json.loads(payload)["state"] == "online"
                for topic, payload in self.published
            )
        )

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _payload(packet: Packet) -> bytes:
    """Of a PUBLISH of MQTT 5 at QoS 1 with less than 128 bytes of properties."""
    at = 2 + packet.mid + 2
    return packet.body[at + 1 + packet.body[at] :]


@asynccontextmanager
async def bridged(folder: Path) -> AsyncIterator[tuple[Node, BridgeProcess, SimulatorControl]]:
    """A bridge that is online at a `Node`."""
    node = Node()
    async with Simulator() as simulator, scripted_broker(node.serve) as broker:
        control = SimulatorControl(simulator.url)
        await control.post("settings", strict=True, autoscan=True)
        account = {
            "endpoint": simulator.url,
            "contacts": {"wife": {"remark": "老婆"}},
            "send": {"per_minute": 0},
        }
        bridge = BridgeProcess(
            folder, {"mqtt": {"url": broker.url, "protocol": "5"}, "accounts": {"home": account}}
        )
        bridge.start()
        try:
            await node.is_online()
            yield node, bridge, control
            assert await control.get("violations") == []
        finally:
            if bridge.running:
                await asyncio.to_thread(bridge.stop)
            await control.close()


async def sent(control: SimulatorControl) -> list[str]:
    return [one["text"] for one in await control.get("sent")]


@pytest.fixture(params=["the connection breaks", "the bridge is killed"])
def how(request: pytest.FixtureRequest) -> str:
    """In which way the PUBACK is lost."""
    return str(request.param)


async def lose_puback(how: str, node: Node, bridge: BridgeProcess) -> None:
    number = node.connections
    if how == "the connection breaks":
        node.hang_up()
    else:
        await asyncio.to_thread(bridge.kill)
        bridge.start()
    await node.connected(number + 1)


async def test_a_delivery_whose_puback_was_lost_is_one_command(tmp_path: Path, how: str):
    async with bridged(tmp_path) as (node, bridge, control):
        for number in range(3):
            node.deliver(f"once {number}", mid=7 + number)
            await node.results(number + 1)
            await lose_puback(how, node, bridge)
            node.acknowledged.clear()
            node.deliver(f"once {number}", mid=7 + number, dup=True)
            await node.until(lambda mid=7 + number: mid in node.acknowledged)
        node.deliver("afterwards", mid=50)
        results = await node.results(4)
        assert [one["duplicate_possible"] for one in results] == [False] * 4
        assert await sent(control) == ["once 0", "once 1", "once 2", "afterwards"]


async def test_with_another_packet_id_it_is_done_again_and_says_so(tmp_path: Path, how: str):
    async with bridged(tmp_path) as (node, bridge, control):
        node.deliver("on", mid=7)
        await node.results(1)
        await lose_puback(how, node, bridge)
        node.deliver("on", mid=8, dup=True)
        first, second = await node.results(2)
        assert (first["duplicate_possible"], second["duplicate_possible"]) == (False, True)
        assert await sent(control) == ["on", "on"]


async def test_with_other_correlation_data_it_is_another_command(tmp_path: Path):
    def asked(data: bytes) -> bytes:
        return b"\x08" + length_prefixed("me/x") + b"\x09" + length_prefixed(data)

    async with bridged(tmp_path) as (node, bridge, control):
        node.deliver("on", 7, asked(b"1"))
        await node.results(1)
        await lose_puback("the connection breaks", node, bridge)
        node.deliver("on", 7, asked(b"2"), dup=True)
        await node.results(2)
        node.deliver("on", 7, asked(b"2"), dup=True)
        await node.until(lambda: node.acknowledged.count(7) == 3)
        assert await sent(control) == ["on", "on"]
        assert len([topic for topic, _ in node.published if topic == "me/x"]) == 2


async def test_in_a_session_that_the_broker_began_anew_a_packet_id_says_nothing(tmp_path: Path, how: str):
    async with bridged(tmp_path) as (node, bridge, control):
        node.deliver("on", mid=7)
        await node.results(1)
        node.keeps_session = False
        await lose_puback(how, node, bridge)
        node.deliver("on", mid=7, dup=True)
        first, second = await node.results(2)
        assert (first["duplicate_possible"], second["duplicate_possible"]) == (False, False)
        assert await sent(control) == ["on", "on"]


async def test_without_dup_the_same_text_is_the_next_command(tmp_path: Path):
    async with bridged(tmp_path) as (node, _, control):
        node.deliver("on", mid=7)
        await node.results(1)
        node.deliver("on", mid=7)
        assert [one["duplicate_possible"] for one in await node.results(2)] == [False, False]
        assert await sent(control) == ["on", "on"]


async def test_a_command_whose_life_is_over_when_it_comes_is_expired(tmp_path: Path):
    async with bridged(tmp_path) as (node, _, control):
        node.deliver("too late", 7, b"\x02" + (0).to_bytes(4, "big"))
        (result,) = await node.results(1)
        assert (result["status"], result["code"]) == ("expired", "expired")
        node.deliver("in time", 8, b"\x02" + (60).to_bytes(4, "big"))
        assert (await node.results(2))[1]["status"] == "sent"
        assert await sent(control) == ["in time"]


async def test_pubacks_come_in_the_order_of_the_deliveries(tmp_path: Path):
    async with bridged(tmp_path) as (node, _, control):
        for mid in range(100, 160):
            node.deliver(f"{mid}", mid)
        await node.results(60)
        await node.until(lambda: len(node.acknowledged) == 60)
        assert node.acknowledged == list(range(100, 160))
        assert await sent(control) == [f"{mid}" for mid in range(100, 160)]
