"""The whole bridge at brokers that are strict or hang up, packet by packet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
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
    receive_maximum,
    scripted_broker,
)
from wx2mqtt.app.control_socket import ask_bridge
from wx2mqtt.simulator.server import Simulator

QUIET = 0.02  # seconds without a packet after which the slow broker acknowledges one


@dataclass
class Node:
    """Takes what comes. `hangs_up` says on what it breaks the connection off instead of acknowledging it.

    With `maximum` it is slow: it acknowledges only when nothing more comes, and `most` is how many ever waited.
    """

    maximum: int = 0
    hangs_up: Callable[[str, bytes], bool] = lambda _topic, _payload: False
    published: list[tuple[str, bytes]] = field(default_factory=list)
    connections: int = 0
    most: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, peer: Peer) -> None:
        """One connection, to its end."""
        await peer.accept(
            receive_maximum(self.maximum) if self.maximum else b"", present=self.connections > 0
        )
        await peer.grant(1, 1)
        self.connections += 1
        packets: asyncio.Queue[Packet] = asyncio.Queue()
        reading = asyncio.create_task(_read(peer, packets))
        try:
            await self._take(peer, packets)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _take(self, peer: Peer, packets: asyncio.Queue[Packet]) -> None:
        waiting: list[Packet] = []
        while True:
            packet = await _next(packets, QUIET if waiting else None)
            if packet is None:
                peer.acknowledge(waiting.pop(0))
            elif packet.kind == PUBLISH and self.hangs_up(packet.topic, payload_of(packet)):
                peer.writer.transport.abort()
                return
            elif packet.kind == PUBLISH:
                waiting.append(packet)
                self.most = max(self.most, len(waiting))
                self.published.append((packet.topic, payload_of(packet)))
                if not self.maximum:
                    peer.acknowledge(waiting.pop(0))
                self.news.set()
            elif packet.kind == DISCONNECT:
                return

    def texts(self, topic: str) -> list[str]:
        """Of the messages on this topic, each once."""
        return list(
            dict.fromkeys(json.loads(payload)["text"] for on, payload in self.published if on == topic)
        )

    async def received(self, chat: str, texts: list[str]) -> None:
        """Wait until these were published for a chat, in this order."""
        await self.until(lambda: self.texts(f"wx/in/{chat}") == texts)

    async def until(self, holds: Callable[[], Any]) -> Any:
        """Wait, with a bound, for what comes over the wire."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not (found := holds()):
                self.news.clear()
                await self.news.wait()
        return found

    async def state(self, state: str) -> None:
        """Wait until `login/state` says it."""
        await self.until(
            lambda: any(
                topic == "wx/login/state" and json.loads(payload)["state"] == state
                for topic, payload in self.published
            )
        )


async def _read(peer: Peer, packets: asyncio.Queue[Packet]) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            packets.put_nowait(await peer.read(PUBLISH, PUBACK, DISCONNECT))
    packets.put_nowait(Packet(DISCONNECT, 0, b""))


async def _next(packets: asyncio.Queue[Packet], within: float | None) -> Packet | None:
    try:
        async with asyncio.timeout(within):
            return await packets.get()
    except TimeoutError:
        return None


def payload_of(packet: Packet) -> bytes:
    """Of a PUBLISH of MQTT 5 at QoS 1 with less than 128 bytes of properties."""
    at = 2 + packet.mid + 2
    return packet.body[at + 1 + packet.body[at] :]


@dataclass
class Place:
    """A bridge at a node, and WeChat."""

    node: Node
    bridge: BridgeProcess
    control: SimulatorControl

    async def say(self, chat: str, *texts: str) -> None:
        for text in texts:
            await self.control.post("say", **{"from": chat, "text": text})

    async def command_line(self, *arguments: str) -> Any:
        """What `wx2mqtt …` says, as JSON."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "wx2mqtt",
            *arguments,
            "-c",
            str(self.bridge.config),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await asyncio.wait_for(process.communicate(), MAX_WAIT_SECONDS)
        assert process.returncode == 0, said.decode()
        return json.loads(said)

    async def health(self) -> Any:
        """As the control socket tells it: beside the broker."""
        return await ask_bridge(self.bridge.store, "health")


@contextlib.asynccontextmanager
async def placed(folder: Path, node: Node) -> AsyncIterator[Place]:
    async with Simulator() as simulator, scripted_broker(node.serve) as broker:
        control = SimulatorControl(simulator.url)
        await control.post("settings", strict=True, autoscan=True)
        contacts = {"wife": {"remark": "老婆"}, "mom": {"remark": "妈妈"}, "lilei": {"alias": "lilei_1986"}}
        account = {"endpoint": simulator.url, "contacts": contacts, "send": {"per_minute": 0}}
        mqtt = {"url": broker.url, "protocol": "5", "keepalive": 4}
        bridge = BridgeProcess(folder, {"mqtt": mqtt, "accounts": {"home": account}})
        bridge.start()
        try:
            await control.wait("polling")
            yield Place(node, bridge, control)
            assert await control.get("violations") == []
        except BaseException:
            print("\n".join(bridge.log[-60:]))  # noqa: T201 - pytest shows it with the failure
            raise
        finally:
            if bridge.running:
                await asyncio.to_thread(bridge.stop)
            await control.close()


@pytest.mark.parametrize("maximum", [1, 5])
async def test_a_broker_never_gets_more_at_once_than_it_takes(tmp_path: Path, maximum: int):
    node = Node(maximum)
    async with placed(tmp_path, node) as place:
        said = [f"text {n}" for n in range(15)]
        for chat in ("wife", "mom", "lilei"):
            await place.say(chat, *said)
        for chat in ("wife", "mom", "lilei"):
            await node.received(chat, said)
        assert 0 < node.most <= maximum
        assert node.connections == 1


async def test_a_message_on_which_the_broker_hangs_up_is_set_aside_and_can_be_brought_back(tmp_path: Path):
    node = Node(hangs_up=lambda _topic, payload: b"poison" in payload)
    async with placed(tmp_path, node) as place:
        await node.state("online")
        for chat in ("wife", "mom", "lilei"):
            await place.say(chat, "before")
        await place.say("wife", "poison", "after")
        for chat in ("mom", "lilei"):
            await place.say(chat, "after")
        for chat in ("wife", "mom", "lilei"):
            await node.received(chat, ["before", "after"])
        assert 4 <= node.connections <= 5  # one more if its neighbours were under way with it
        (aside,) = (await place.command_line("journal", "list", "--json"))["set_aside"]
        assert (aside["topic"], aside["sort"]) == ("wx/in/wife", "message")
        body = await place.health()
        assert body["queues"]["set_aside"] == 1
        assert "messages_set_aside" in body["problems"]
        node.hangs_up = lambda _topic, _payload: False
        await place.command_line("journal", "retry", "--row", str(aside["row"]))
        await node.until(lambda: "poison" in node.texts("wx/in/wife"))
        assert (await place.command_line("journal", "list", "--json"))["set_aside"] == []


async def test_a_retained_topic_on_which_the_broker_hangs_up_stops_nothing(tmp_path: Path):
    """As some brokers do where the right is missing: the messages are innocent, and none is set aside."""
    node = Node(hangs_up=lambda topic, _payload: topic == "wx/contacts")
    async with placed(tmp_path, node) as place:
        for chat in ("wife", "mom", "lilei"):
            await place.say(chat, "one", "two")
        for chat in ("wife", "mom", "lilei"):
            await node.received(chat, ["one", "two"])
        body = await place.health()
        assert body["queues"]["set_aside"] == 0
        assert body["broker"]["refused_topics"] == ["wx/contacts"]
        assert "broker_refuses_topics" in body["problems"]
