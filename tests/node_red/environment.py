"""A home in which a real Node-RED runs the flows of deploy/node-red."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.node_red.red import NodeRed, Nodes
from tests.support.alarm_receiver import AlarmReceiver
from tests.support.broker import DURABLE
from tests.support.deadlines import MAX_WAIT_SECONDS, allowed
from tests.support.home import Home, at_home
from tests.support.ilink_home import ILinkHome, at_ilink_home

FLOWS = Path(__file__).parents[2] / "deploy" / "node-red"
NAMES = sorted(path.stem for path in FLOWS.glob("*.json"))

HOPS = 8
"""More nodes than any flow has between what it hears and what it says."""

CONTACTS = {"wife": {"remark": "老婆"}, "mom": {"remark": "妈妈"}, "family": {"group": "相亲相爱一家人"}}


WEB_WECHAT = {
    "alarm": {"FIRST": "wife"},
    "ask": {"PERSON": "wife"},
    "camera": {"PERSON": "wife"},
    "echo": {"PERSON": "filehelper"},
    "notify": {"PERSON": "wife"},
    "remote-control": {"PEOPLE": "filehelper"},
    "webhook": {"PERSON": "wife"},
}
"""Whom the flows mean here: as they are shipped it is `me`, whom only iLink has."""


def patience(seconds: float) -> int:
    """Returns the whole seconds in which an answer comes in time, also on a busy machine."""
    return math.ceil(min(allowed(seconds), MAX_WAIT_SECONDS / 3))


class NodeRedEnvironment:
    """Simulated WeChat, a broker, the bridge and Node-RED."""

    def __init__(self, home: Home, red: NodeRed, people: Mapping[str, dict[str, str]]) -> None:
        """`people` are the values of tabs, by the name of the flow, that differ from those that are shipped."""
        self.home = home
        self.red = red
        self.flow: Nodes = []
        self._people = people

    async def load(self, *names: str, every: float | None = None, **env: Any) -> None:
        """Deploy these flows as they are, but for the broker's address, values of their tabs, and the seconds
        after which their buttons press themselves. Returns once all is subscribed.
        """
        merged = {node["id"]: self._with_people(name, node) for name in names for node in read(name)}
        if names:
            broker = next(node["id"] for node in merged.values() if node["type"] == "mqtt-broker")
            merged |= {node["id"]: node for node in _long_way(broker)}
        await self.deploy([self._fitted(node, every, env) for node in merged.values()])

    async def deploy(self, flow: Nodes) -> None:
        """Deploy these nodes; returns once all is subscribed."""
        self.flow = flow
        seen = len(self.home.broker.log)
        await self.home.in_thread(self.red.deploy, self.flow)
        await self.home.in_thread(self._subscribed, seen)

    async def press(self, name: str) -> None:
        """Press the button whose name begins so."""
        (button,) = [one for one in self.flow if one["type"] == "inject" and one["name"].startswith(name)]
        await self.home.in_thread(self.red.push, button["id"])

    async def press_on(self, flow: str, name: str) -> None:
        """Press the button of this flow, where several have one whose name begins so."""
        (button,) = [one for one in read(flow) if one["type"] == "inject" and one["name"].startswith(name)]
        await self.home.in_thread(self.red.push, button["id"])

    async def shown(self, name: str, text: str = "", *, since: int = 0) -> str:
        """The first that the debug node of this name shows with `text` in it."""
        return await self.home.in_thread(self.red.shown, name, text, since=since)

    async def sent(self, *texts: str, since: int) -> None:
        """Wait until WeChat took texts with these in them, in this order, after the first `since`; and no more."""
        lines = (await self.home.control.sent(since + len(texts)))[since:]
        found = [f"{line['to']}: {line['text']}" for line in lines]
        assert len(found) == len(texts), found
        for line, text in zip(found, texts, strict=True):
            assert text in line, found

    async def settled(self) -> None:
        """Wait until Node-RED has said all that it has to say to what was published before."""
        since = self.home.subscriber.count
        await self.home.publish("test/settle", str(since))
        await self.home.in_thread(self.home.subscriber.wait, "test/settled", since=since)

    async def count(self) -> int:
        """How much WeChat took from the bridge so far."""
        return len(await self.home.control.get("sent"))

    async def restart(self) -> None:
        """Stop Node-RED in order, and start it again on what it keeps; returns once all is subscribed."""
        await self.home.in_thread(self.red.stop)
        await self.start()

    async def start(self) -> None:
        seen = len(self.home.broker.log)
        await self.home.in_thread(self.red.start)
        await self.home.in_thread(self._subscribed, seen)

    def _subscribed(self, seen: int) -> None:
        log = self.home.broker.log
        for _ in {one["topic"] for one in self.flow if one["type"] == "mqtt in"}:
            line = self.home.broker.wait_for_log("Sending SUBACK to nodered", since=seen)
            seen = log.index(line, seen) + 1

    def _with_people(self, name: str, node: dict[str, Any]) -> dict[str, Any]:
        people = self._people.get(name, {})
        if node["type"] != "tab" or not people:
            return node
        return {
            **node,
            "env": [{**one, "value": people.get(one["name"], one["value"])} for one in node["env"]],
        }

    def _fitted(self, node: dict[str, Any], every: float | None, env: dict[str, Any]) -> dict[str, Any]:
        node = copy.deepcopy(node)
        if node["type"] == "mqtt-broker":
            node["port"] = self.home.broker.port
        if node["type"] == "tab":
            for one in node["env"]:
                one["value"] = str(env.get(one["name"], one["value"]))
        if every is not None and node.get("repeat"):
            node["repeat"] = str(every)
        return node


def _long_way(broker: str) -> Nodes:
    """A tab of our own: what comes in on `test/settle` goes out on `test/settled`, over more nodes than elsewhere."""
    tab = {"id": "7e57" * 4, "type": "tab", "label": "test", "disabled": False, "info": "", "env": []}
    ids = [f"7e57{number:012}" for number in range(HOPS)]
    usual = {"z": tab["id"], "broker": broker, "qos": "1", "x": 0, "y": 0}
    begin = {"type": "mqtt in", "topic": "test/settle", "datatype": "utf8", "rh": 2, "inputs": 0}
    end = {"type": "mqtt out", "topic": "test/settled", "retain": "false"}
    between = {
        "type": "function",
        "func": "return msg",
        "outputs": 1,
        "libs": [],
        "initialize": "",
        "finalize": "",
    }
    parts: list[dict[str, Any]] = [begin, *[between] * (HOPS - 2), end]
    wires = [[[target]] for target in ids[1:]] + [[]]
    return [
        tab,
        *({**usual, **part, "id": one, "wires": to} for one, part, to in zip(ids, parts, wires, strict=True)),
    ]


def read(name: str) -> Nodes:
    """The nodes of one file."""
    nodes: Nodes = json.loads((FLOWS / f"{name}.json").read_text())
    return nodes


@asynccontextmanager
async def running_environment(folder: Path) -> AsyncIterator[NodeRedEnvironment]:
    """A house that is logged in."""
    async with at_home(folder, DURABLE) as home:
        home.bridge.configure(home.settings({"contacts": CONTACTS}))
        with NodeRed(folder / "node-red") as red:
            await home.log_in()
            yield NodeRedEnvironment(home, red, WEB_WECHAT)


@dataclass(frozen=True)
class ILinkNodeRedEnvironment:
    """A house whose bridge is on iLink: the flows mean the person whom they mean as they are shipped."""

    environment: NodeRedEnvironment
    home: ILinkHome


@asynccontextmanager
async def at_ilink_house(folder: Path) -> AsyncIterator[ILinkNodeRedEnvironment]:
    """A house that is logged in; `me` has not written yet."""
    async with at_ilink_home(folder, DURABLE) as home:
        with NodeRed(folder / "node-red") as red:
            await home.log_in()
            yield ILinkNodeRedEnvironment(NodeRedEnvironment(home, red, {}), home)


@asynccontextmanager
async def with_fallback(home: ILinkHome, **settings: Any) -> AsyncIterator[AlarmReceiver]:
    """A fallback of the bridge, with these settings of it, until the end of the block."""
    with AlarmReceiver() as service:
        home.bridge.configure(home.settings({"fallback": {"urls": [service.url], **settings}}))
        assert (await home.send_request("reload"))["status"] == "ok"
        yield service
        home.bridge.configure(home.settings())
        assert (await home.send_request("reload"))["status"] == "ok"


async def arrives(home: ILinkHome, text: str, since: int) -> None:
    """Waits until WeChat took this text, after the first `since`."""
    while True:
        lines = await home.bot.get("ilink/sent", after=since, wait=60)
        assert lines, f"{text!r} was not sent"
        if any(line["text"] == text for line in lines):
            return
        since += len(lines)


async def sent_count(home: ILinkHome) -> int:
    return len(await home.bot.get("ilink/sent"))


async def use_up(home: ILinkHome) -> None:
    """Sends texts until only what is reserved for alarms is left."""
    for _ in range(9):
        assert (await home.send_command("me", "chatter"))["status"] == "sent"
