"""Homes in which a real Node-RED runs the flows of deploy/node-red."""

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
from tests.support.wecom_home import at_wecom_home

FLOWS = Path(__file__).parents[2] / "deploy" / "node-red"
NAMES = sorted(path.stem for path in FLOWS.glob("*.json"))

RELAY_NODES = 8
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


def timeout_seconds(seconds: float) -> int:
    """Returns a timeout in whole seconds that suffices on a busy machine, too."""
    return math.ceil(min(allowed(seconds), MAX_WAIT_SECONDS / 3))


class NodeRedEnvironment:
    """A home with Node-RED, and what the tests do with both."""

    def __init__(self, home: Home, red: NodeRed, people: Mapping[str, dict[str, str]]) -> None:
        """Takes in `people` the values of tabs, by flow, that differ from the shipped ones."""
        self.home = home
        self.red = red
        self.flow: Nodes = []
        self._people = people

    async def load(self, *names: str, every: float | None = None, **env: Any) -> None:
        """Deploys these flows with the address of the broker, values for their tabs, and the seconds after which
        their buttons press themselves. Returns when all is subscribed.
        """
        merged = {node["id"]: self._with_people(name, node) for name in names for node in read(name)}
        if names:
            broker = next(node["id"] for node in merged.values() if node["type"] == "mqtt-broker")
            merged |= {node["id"]: node for node in _relay_tab(broker)}
        await self.deploy([self._for_this_home(node, every, env) for node in merged.values()])

    async def deploy(self, flow: Nodes) -> None:
        """Deploys these nodes; returns when all is subscribed."""
        self.flow = flow
        seen = len(self.home.broker.log)
        await self.home.in_thread(self.red.deploy, self.flow)
        await self.home.in_thread(self._wait_for_subscriptions, seen)

    async def press(self, name: str) -> None:
        """Presses the button whose name begins so."""
        (button,) = [node for node in self.flow if node["type"] == "inject" and node["name"].startswith(name)]
        await self.home.in_thread(self.red.press, button["id"])

    async def press_in_flow(self, flow: str, name: str) -> None:
        """Presses the button of this flow, where several flows have one whose name begins so."""
        (button,) = [
            node for node in read(flow) if node["type"] == "inject" and node["name"].startswith(name)
        ]
        await self.home.in_thread(self.red.press, button["id"])

    async def shown(self, name: str, text: str = "", *, since: int = 0) -> str:
        """Waits until the debug node of this name shows something with `text` in it; returns it."""
        return await self.home.in_thread(self.red.shown, name, text, since=since)

    async def assert_sent(self, *texts: str, since: int) -> None:
        """Waits until WeChat has texts that contain these, in this order, after the first `since`, and no more."""
        lines = (await self.home.control.sent(since + len(texts)))[since:]
        found = [f"{line['to']}: {line['text']}" for line in lines]
        assert len(found) == len(texts), found
        for line, text in zip(found, texts, strict=True):
            assert text in line, found

    async def wait_until_idle(self) -> None:
        """Waits until Node-RED has published all that follows from what was published before."""
        since = self.home.subscriber.count
        await self.home.publish("test/settle", str(since))
        await self.home.in_thread(self.home.subscriber.wait, "test/settled", since=since)

    async def sent_count(self) -> int:
        """Returns how many messages WeChat has got from the bridge so far."""
        return len(await self.home.control.get("sent"))

    async def restart(self) -> None:
        """Stops Node-RED, and starts it again with the state that it stored; returns when all is subscribed."""
        await self.home.in_thread(self.red.stop)
        await self.start()

    async def start(self) -> None:
        seen = len(self.home.broker.log)
        await self.home.in_thread(self.red.start)
        await self.home.in_thread(self._wait_for_subscriptions, seen)

    def _wait_for_subscriptions(self, seen: int) -> None:
        log = self.home.broker.log
        for _ in {node["topic"] for node in self.flow if node["type"] == "mqtt in"}:
            line = self.home.broker.wait_for_log("Sending SUBACK to nodered", since=seen)
            seen = log.index(line, seen) + 1

    def _with_people(self, name: str, node: dict[str, Any]) -> dict[str, Any]:
        people = self._people.get(name, {})
        if node["type"] != "tab" or not people:
            return node
        return {
            **node,
            "env": [
                {**variable, "value": people[variable["name"]]} if variable["name"] in people else variable
                for variable in node["env"]
            ],
        }

    def _for_this_home(
        self, node: dict[str, Any], every: float | None, env: dict[str, Any]
    ) -> dict[str, Any]:
        node = copy.deepcopy(node)
        if node["type"] == "mqtt-broker":
            node["port"] = self.home.broker.port
        if node["type"] == "tab":
            _set_variables(node, env)
        if every is not None and node.get("repeat"):
            node["repeat"] = str(every)
        return node


def _set_variables(tab: dict[str, Any], env: dict[str, Any]) -> None:
    """Sets variables of a tab, those that are credentials as the editor does: beside the tab, not in it."""
    for variable in tab["env"]:
        name = variable["name"]
        if name in env and variable["type"] == "cred":
            tab["credentials"] = {**tab.get("credentials", {}), name: env[name]}
        elif name in env:
            variable["value"] = str(env[name])


def _relay_tab(broker: str) -> Nodes:
    """Returns a tab that relays `test/settle` to `test/settled` over more nodes than any flow has."""
    tab = {"id": "7e57" * 4, "type": "tab", "label": "test", "disabled": False, "info": "", "env": []}
    ids = [f"7e57{number:012}" for number in range(RELAY_NODES)]
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
    parts: list[dict[str, Any]] = [begin, *[between] * (RELAY_NODES - 2), end]
    wires = [[[target]] for target in ids[1:]] + [[]]
    return [
        tab,
        *(
            {**usual, **node, "id": ident, "wires": targets}
            for ident, node, targets in zip(ids, parts, wires, strict=True)
        ),
    ]


def read(name: str) -> Nodes:
    """Returns the nodes of one file."""
    nodes: Nodes = json.loads((FLOWS / f"{name}.json").read_text())
    return nodes


@asynccontextmanager
async def running_environment(folder: Path) -> AsyncIterator[NodeRedEnvironment]:
    """Runs a home with Node-RED that is logged in."""
    async with at_home(folder, DURABLE) as home:
        home.bridge.configure(home.settings({"contacts": CONTACTS}))
        with NodeRed(folder / "node-red") as red:
            await home.log_in()
            yield NodeRedEnvironment(home, red, WEB_WECHAT)


@dataclass(frozen=True)
class ILinkNodeRedEnvironment:
    """An environment whose bridge is on iLink; the flows are for the person that they are shipped for."""

    environment: NodeRedEnvironment
    home: ILinkHome


@asynccontextmanager
async def running_ilink_environment(folder: Path) -> AsyncIterator[ILinkNodeRedEnvironment]:
    """Runs such a home that is logged in; `me` has not written yet."""
    async with at_ilink_home(folder, DURABLE) as home:
        with NodeRed(folder / "node-red") as red:
            await home.log_in()
            yield ILinkNodeRedEnvironment(NodeRedEnvironment(home, red, {}), home)


@asynccontextmanager
async def running_wecom_environment(folder: Path) -> AsyncIterator[NodeRedEnvironment]:
    """Runs such a home on WeCom that is logged in; `me` and `family` have written."""
    async with at_wecom_home(folder, DURABLE) as home:
        with NodeRed(folder / "node-red") as red:
            await home.log_in()
            yield NodeRedEnvironment(home, red, {})
            assert red.complaints() == []


@asynccontextmanager
async def with_fallback(home: ILinkHome, **settings: Any) -> AsyncIterator[AlarmReceiver]:
    """Gives the bridge a fallback with these settings until the end of the block."""
    with AlarmReceiver() as service:
        home.bridge.configure(home.settings({"fallback": {"urls": [service.url], **settings}}))
        assert (await home.send_request("reload"))["status"] == "ok"
        yield service
        home.bridge.configure(home.settings())
        assert (await home.send_request("reload"))["status"] == "ok"


async def wait_for_text(home: ILinkHome, text: str, since: int) -> None:
    """Waits until WeChat has this text, after the first `since`."""
    while True:
        lines = await home.bot.get("ilink/sent", after=since, wait=60)
        assert lines, f"{text!r} was not sent"
        if any(line["text"] == text for line in lines):
            return
        since += len(lines)


async def sent_count(home: ILinkHome) -> int:
    return len(await home.bot.get("ilink/sent"))


async def use_up_quota(home: ILinkHome) -> None:
    """Sends texts until only what is reserved for alarms is left."""
    for _ in range(9):
        assert (await home.send_command("me", "chatter"))["status"] == "sent"
