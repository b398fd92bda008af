"""A broker that did not get a PUBACK delivers again: a command is done once, and doubtful cases are reported."""

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


class RedeliveringBroker:
    """A broker that keeps what the bridge publishes, and delivers what the test says, as often as it says."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.acknowledged: list[int] = []
        self.connections = 0
        self.keeps_session = True
        self._peer: Peer | None = None
        self._changed = asyncio.Event()

    async def serve(self, peer: Peer) -> None:
        """Serves one connection until it ends."""
        present = self.keeps_session and self.connections > 0
        await peer.accept(present=present)
        await peer.grant(1, 1)
        self._peer = peer
        self.connections += 1
        self._notify()
        while (packet := await peer.read(PUBLISH, PUBACK, DISCONNECT)).kind != DISCONNECT:
            if packet.kind == PUBLISH:
                peer.acknowledge(packet)
                self.published.append((packet.topic, _payload(packet)))
            else:
                self.acknowledged.append(packet.mid)
            self._notify()

    def deliver(self, payload: str, mid: int, properties: bytes = b"", *, dup: bool = False) -> None:
        """Delivers to `wx/out/wife`."""
        assert self._peer is not None
        self._peer.deliver("wx/out/wife", payload.encode(), mid, properties, dup=dup)

    def disconnect(self) -> None:
        """Aborts the connection, as a broken network does."""
        assert self._peer is not None
        self._peer.writer.transport.abort()

    async def wait_until(self, holds: Any) -> Any:
        """Waits, with a time limit, until `holds` returns something; returns it."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not (found := holds()):
                await self._changed.wait()
        return found

    async def wait_for_connections(self, number: int) -> None:
        await self.wait_until(lambda: self.connections >= number)

    async def results(self, count: int) -> list[dict[str, Any]]:
        """Waits for the first `count` results. After a kill one may come twice, and is the same."""
        await self.wait_until(lambda: len(self._results()) >= count)
        return [*self._results().values()]

    def _results(self) -> dict[str, dict[str, Any]]:
        bodies = [json.loads(payload) for topic, payload in self.published if topic == "wx/result/wife"]
        return {body["id"]: body for body in bodies}

    async def wait_until_online(self) -> None:
        await self.wait_until(
            lambda: any(
                topic == "wx/login/state" and json.loads(payload)["state"] == "online"
                for topic, payload in self.published
            )
        )

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _payload(packet: Packet) -> bytes:
    """Returns the payload of a PUBLISH of MQTT 5 at QoS 1 with less than 128 bytes of properties."""
    at = 2 + packet.mid + 2
    return packet.body[at + 1 + packet.body[at] :]


@asynccontextmanager
async def bridge_at_redelivering_broker(
    folder: Path,
) -> AsyncIterator[tuple[RedeliveringBroker, BridgeProcess, SimulatorControl]]:
    """Yields a broker, a bridge that is online at it, and the control of its WeChat."""
    broker = RedeliveringBroker()
    async with Simulator() as simulator, scripted_broker(broker.serve) as server:
        control = SimulatorControl(simulator.url)
        await control.post("settings", strict=True, autoscan=True)
        account = {
            "endpoint": simulator.url,
            "contacts": {"wife": {"remark": "老婆"}},
            "send": {"per_minute": 0},
        }
        bridge = BridgeProcess(
            folder, {"mqtt": {"url": server.url, "protocol": "5"}, "accounts": {"home": account}}
        )
        bridge.start()
        try:
            await broker.wait_until_online()
            yield broker, bridge, control
            assert await control.get("violations") == []
        finally:
            if bridge.running:
                await asyncio.to_thread(bridge.stop)
            await control.close()


async def sent(control: SimulatorControl) -> list[str]:
    return [message["text"] for message in await control.get("sent")]


@pytest.fixture(params=["the connection breaks", "the bridge is killed"])
def puback_loss(request: pytest.FixtureRequest) -> str:
    """Returns in which way the PUBACK is lost."""
    return str(request.param)


async def lose_puback(puback_loss: str, broker: RedeliveringBroker, bridge: BridgeProcess) -> None:
    number = broker.connections
    if puback_loss == "the connection breaks":
        broker.disconnect()
    else:
        await asyncio.to_thread(bridge.kill)
        bridge.start()
    await broker.wait_for_connections(number + 1)


async def test_a_delivery_whose_puback_was_lost_is_one_command(tmp_path: Path, puback_loss: str):
    async with bridge_at_redelivering_broker(tmp_path) as (broker, bridge, control):
        for number in range(3):
            broker.deliver(f"once {number}", mid=7 + number)
            await broker.results(number + 1)
            await lose_puback(puback_loss, broker, bridge)
            broker.acknowledged.clear()
            broker.deliver(f"once {number}", mid=7 + number, dup=True)
            await broker.wait_until(lambda mid=7 + number: mid in broker.acknowledged)
        broker.deliver("afterwards", mid=50)
        results = await broker.results(4)
        assert [result["duplicate_possible"] for result in results] == [False] * 4
        assert await sent(control) == ["once 0", "once 1", "once 2", "afterwards"]


async def test_a_redelivery_with_another_packet_id_is_done_again_and_marked_as_a_possible_duplicate(
    tmp_path: Path, puback_loss: str
):
    async with bridge_at_redelivering_broker(tmp_path) as (broker, bridge, control):
        broker.deliver("on", mid=7)
        await broker.results(1)
        await lose_puback(puback_loss, broker, bridge)
        broker.deliver("on", mid=8, dup=True)
        first, second = await broker.results(2)
        assert (first["duplicate_possible"], second["duplicate_possible"]) == (False, True)
        assert await sent(control) == ["on", "on"]


async def test_a_delivery_with_other_correlation_data_is_another_command(tmp_path: Path):
    def deliver_with(data: bytes) -> bytes:
        return b"\x08" + length_prefixed("me/x") + b"\x09" + length_prefixed(data)

    async with bridge_at_redelivering_broker(tmp_path) as (broker, bridge, control):
        broker.deliver("on", 7, deliver_with(b"1"))
        await broker.results(1)
        await lose_puback("the connection breaks", broker, bridge)
        broker.deliver("on", 7, deliver_with(b"2"), dup=True)
        await broker.results(2)
        broker.deliver("on", 7, deliver_with(b"2"), dup=True)
        await broker.wait_until(lambda: broker.acknowledged.count(7) == 3)
        assert await sent(control) == ["on", "on"]
        assert len([topic for topic, _ in broker.published if topic == "me/x"]) == 2


async def test_in_a_new_session_of_the_broker_an_equal_packet_id_does_not_count(
    tmp_path: Path, puback_loss: str
):
    async with bridge_at_redelivering_broker(tmp_path) as (broker, bridge, control):
        broker.deliver("on", mid=7)
        await broker.results(1)
        broker.keeps_session = False
        await lose_puback(puback_loss, broker, bridge)
        broker.deliver("on", mid=7, dup=True)
        first, second = await broker.results(2)
        assert (first["duplicate_possible"], second["duplicate_possible"]) == (False, False)
        assert await sent(control) == ["on", "on"]


async def test_without_dup_the_same_text_is_the_next_command(tmp_path: Path):
    async with bridge_at_redelivering_broker(tmp_path) as (broker, _, control):
        broker.deliver("on", mid=7)
        await broker.results(1)
        broker.deliver("on", mid=7)
        assert [result["duplicate_possible"] for result in await broker.results(2)] == [False, False]
        assert await sent(control) == ["on", "on"]


async def test_a_command_whose_life_is_over_when_it_comes_is_expired(tmp_path: Path):
    async with bridge_at_redelivering_broker(tmp_path) as (broker, _, control):
        broker.deliver("too late", 7, b"\x02" + (0).to_bytes(4, "big"))
        (result,) = await broker.results(1)
        assert (result["status"], result["code"]) == ("expired", "expired")
        broker.deliver("in time", 8, b"\x02" + (60).to_bytes(4, "big"))
        assert (await broker.results(2))[1]["status"] == "sent"
        assert await sent(control) == ["in time"]


async def test_pubacks_come_in_the_order_of_the_deliveries(tmp_path: Path):
    async with bridge_at_redelivering_broker(tmp_path) as (broker, _, control):
        for mid in range(100, 160):
            broker.deliver(f"{mid}", mid)
        await broker.results(60)
        await broker.wait_until(lambda: len(broker.acknowledged) == 60)
        assert broker.acknowledged == list(range(100, 160))
        assert await sent(control) == [f"{mid}" for mid in range(100, 160)]
