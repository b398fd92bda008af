"""Runs the whole bridge at brokers that are strict or close the connection, packet by packet."""

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

ACKNOWLEDGE_AFTER_SECONDS = 0.02  # without a packet, until the slow broker acknowledges one


@dataclass
class StrictBroker:
    """Takes publications. Where `disconnects_on` says so, it closes the connection instead of acknowledging.

    With `maximum`, its receive maximum, it is slow: it acknowledges only when nothing more comes, and
    `max_waiting` is the largest number of messages that waited at once.
    """

    maximum: int = 0
    disconnects_on: Callable[[str, bytes], bool] = lambda _topic, _payload: False
    published: list[tuple[str, bytes]] = field(default_factory=list)
    connections: int = 0
    max_waiting: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, peer: Peer) -> None:
        """Serves one connection to its end."""
        await peer.accept(
            receive_maximum(self.maximum) if self.maximum else b"", present=self.connections > 0
        )
        await peer.grant(1, 1)
        self.connections += 1
        packets: asyncio.Queue[Packet] = asyncio.Queue()
        reading = asyncio.create_task(_read(peer, packets))
        try:
            await self._acknowledge(peer, packets)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _acknowledge(self, peer: Peer, packets: asyncio.Queue[Packet]) -> None:
        waiting: list[Packet] = []
        while True:
            packet = await _next(packets, ACKNOWLEDGE_AFTER_SECONDS if waiting else None)
            if packet is None:
                peer.acknowledge(waiting.pop(0))
            elif packet.kind == PUBLISH and self.disconnects_on(packet.topic, payload_of(packet)):
                peer.writer.transport.abort()
                return
            elif packet.kind == PUBLISH:
                waiting.append(packet)
                self.max_waiting = max(self.max_waiting, len(waiting))
                self.published.append((packet.topic, payload_of(packet)))
                if not self.maximum:
                    peer.acknowledge(waiting.pop(0))
                self.changed.set()
            elif packet.kind == DISCONNECT:
                return

    def texts(self, topic: str) -> list[str]:
        """Returns the texts of the messages on this topic, each once."""
        return list(
            dict.fromkeys(
                json.loads(payload)["text"]
                for published_topic, payload in self.published
                if published_topic == topic
            )
        )

    async def wait_for_texts(self, chat: str, texts: list[str]) -> None:
        """Waits until these texts were published for a chat, in this order."""
        await self.until(lambda: self.texts(f"wx/in/{chat}") == texts)

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Waits until a condition holds, which is evaluated after each publication."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not (found := condition()):
                self.changed.clear()
                await self.changed.wait()
        return found

    async def wait_for_state(self, state: str) -> None:
        """Waits until `login/state` has this state."""
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
    """Returns the payload of a PUBLISH of MQTT 5 at QoS 1 with less than 128 bytes of properties."""
    start = 2 + packet.mid + 2
    return packet.body[start + 1 + packet.body[start] :]


@dataclass
class StrictBrokerHome:
    """A bridge at a broker that a test scripts, and the simulated WeChat."""

    strict_broker: StrictBroker
    bridge: BridgeProcess
    control: SimulatorControl

    async def say(self, chat: str, *texts: str) -> None:
        for text in texts:
            await self.control.post("say", **{"from": chat, "text": text})

    async def command_line(self, *arguments: str) -> Any:
        """Runs `wx2mqtt …`; returns its output, which is JSON."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "wx2mqtt",
            *arguments,
            "-c",
            str(self.bridge.config),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(), MAX_WAIT_SECONDS)
        assert process.returncode == 0, output.decode()
        return json.loads(output)

    async def health(self) -> Any:
        """Returns the health by the control socket, which needs no broker."""
        return await ask_bridge(self.bridge.store, "health")


@contextlib.asynccontextmanager
async def at_strict_broker(folder: Path, strict_broker: StrictBroker) -> AsyncIterator[StrictBrokerHome]:
    async with Simulator() as simulator, scripted_broker(strict_broker.serve) as broker:
        control = SimulatorControl(simulator.url)
        await control.post("settings", strict=True, autoscan=True)
        contacts = {"wife": {"remark": "老婆"}, "mom": {"remark": "妈妈"}, "lilei": {"alias": "lilei_1986"}}
        account = {"endpoint": simulator.url, "contacts": contacts, "send": {"per_minute": 0}}
        mqtt = {"url": broker.url, "protocol": "5", "keepalive": 4}
        bridge = BridgeProcess(folder, {"mqtt": mqtt, "accounts": {"home": account}})
        bridge.start()
        try:
            await control.wait("polling")
            yield StrictBrokerHome(strict_broker, bridge, control)
            assert await control.get("violations") == []
        except BaseException:
            print("\n".join(bridge.log[-60:]))  # noqa: T201 - pytest shows it with the failure
            raise
        finally:
            if bridge.running:
                await asyncio.to_thread(bridge.stop)
            await control.close()


@pytest.mark.parametrize("maximum", [1, 5])
async def test_a_broker_never_has_more_unacknowledged_messages_than_its_receive_maximum(
    tmp_path: Path, maximum: int
):
    strict_broker = StrictBroker(maximum)
    async with at_strict_broker(tmp_path, strict_broker) as home:
        texts = [f"text {n}" for n in range(15)]
        for chat in ("wife", "mom", "lilei"):
            await home.say(chat, *texts)
        for chat in ("wife", "mom", "lilei"):
            await strict_broker.wait_for_texts(chat, texts)
        assert 0 < strict_broker.max_waiting <= maximum
        assert strict_broker.connections == 1


async def test_a_message_on_which_the_broker_disconnects_is_set_aside_and_can_be_published_again(
    tmp_path: Path,
):
    strict_broker = StrictBroker(disconnects_on=lambda _topic, payload: b"poison" in payload)
    async with at_strict_broker(tmp_path, strict_broker) as home:
        await strict_broker.wait_for_state("online")
        for chat in ("wife", "mom", "lilei"):
            await home.say(chat, "before")
        await home.say("wife", "poison", "after")
        for chat in ("mom", "lilei"):
            await home.say(chat, "after")
        for chat in ("wife", "mom", "lilei"):
            await strict_broker.wait_for_texts(chat, ["before", "after"])
        assert 4 <= strict_broker.connections <= 5  # one more if other messages were in flight with it
        (set_aside,) = (await home.command_line("journal", "list", "--json"))["set_aside"]
        assert (set_aside["topic"], set_aside["sort"]) == ("wx/in/wife", "message")
        body = await home.health()
        assert body["queues"]["set_aside"] == 1
        assert "messages_set_aside" in body["problems"]
        strict_broker.disconnects_on = lambda _topic, _payload: False
        await home.command_line("journal", "retry", "--row", str(set_aside["row"]))
        await strict_broker.until(lambda: "poison" in strict_broker.texts("wx/in/wife"))
        assert (await home.command_line("journal", "list", "--json"))["set_aside"] == []


async def test_a_retained_topic_on_which_the_broker_disconnects_does_not_stop_the_others(tmp_path: Path):
    """Some brokers do so where a right is missing. No message is the cause, so none is set aside."""
    strict_broker = StrictBroker(disconnects_on=lambda topic, _payload: topic == "wx/contacts")
    async with at_strict_broker(tmp_path, strict_broker) as home:
        for chat in ("wife", "mom", "lilei"):
            await home.say(chat, "one", "two")
        for chat in ("wife", "mom", "lilei"):
            await strict_broker.wait_for_texts(chat, ["one", "two"])
        body = await home.health()
        assert body["queues"]["set_aside"] == 0
        assert body["broker"]["refused_topics"] == ["wx/contacts"]
        assert "broker_refuses_topics" in body["problems"]
