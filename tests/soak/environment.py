"""Everything that a soak needs: processes of simulated WeChat, mosquitto and the bridge, and an MQTT client."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.benchmarks.measures import RemoteSimulator
from tests.support.broker import Mosquitto, mosquitto
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.home import SimulatorControl
from tests.support.ilink_home import ILinkControl
from tests.support.process import BridgeProcess

BROKER = "persistence true\npersistence_location {folder}/\nmax_queued_messages 0"
FRIENDS = 200
MAX_MEDIA_MB = 3  # as much as comes within some minutes
SESSION_SECONDS = 86_400
CONNECT_SECONDS = 15.0


class Client:
    """An MQTT client with a session that the broker keeps; `received` is called in its thread."""

    def __init__(self, port: int, received: Callable[[str, bytes], None]) -> None:
        self._port = port
        self._received = received
        self._subscribed = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="soak", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe([("wx/#", 1), ("soak", 1)])
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self._received(
            message.topic, bytes(message.payload)
        )

    def start(self) -> None:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_SECONDS
        self._client.connect_async("127.0.0.1", self._port, clean_start=False, properties=properties)
        self._client.loop_start()
        if not self._subscribed.wait(CONNECT_SECONDS):
            raise RuntimeError("the broker does not accept the client")

    def publish(self, topic: str, payload: str | bytes) -> None:
        """Publishes with QoS 1; while the broker is away, later."""
        self._client.publish(topic, payload, qos=1)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class AllAccountsControl(ILinkControl):
    """The simulator's control for all accounts. `wecom_bots` are the bots of WeCom, by account, as `wecom.bot_id`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.wecom_bots: dict[str, str] = {}

    async def wait_polling(self, account: str) -> None:
        if account == "home":
            await SimulatorControl.wait(self, "polling")
        elif account in self.wecom_bots:
            query = {"for": "online", "bot": self.wecom_bots[account], "seconds": MAX_WAIT_SECONDS}
            assert (await self.get("wecom/wait", **query))["ready"], account
        else:
            await self.wait("polling")

    async def write_to(self, account: str, **message: Any) -> None:
        """Lets a person write to a bot of WeCom."""
        await self.post("wecom/say", bot=self.wecom_bots[account], **message)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakEnvironment:
    """The parts of a soak; `control` is the control of the simulator."""

    broker: Mosquitto
    bridge: BridgeProcess
    control: AllAccountsControl
    client: Client

    @property
    def page(self) -> str:
        """The address of the bridge's page, once the bridge is online."""
        connections = psutil.Process(self.bridge.pid).net_connections("inet4")
        (port,) = [item.laddr.port for item in connections if item.status == psutil.CONN_LISTEN]
        return f"http://127.0.0.1:{port}"


@asynccontextmanager
async def open_environment(
    folder: Path,
    received: Callable[[str, bytes], None],
    *,
    program: Sequence[str] = (sys.executable, "-m", "tests.soak.bridge", "run"),
    env: Mapping[str, str] | None = None,
    keep: str = "10m",
    wecom_bots: int = 1,
) -> AsyncIterator[SoakEnvironment]:
    """Starts everything; people scan as soon as the bridge shows a QR code.

    The bridge runs as `program` with `env`; messages and files are kept as long as `keep` says. Besides an account
    on web WeChat and one on iLink there are so many `wecom_bots`.
    """
    simulator = RemoteSimulator()
    control = AllAccountsControl(simulator.url)
    try:
        await control.post("settings", autoscan=True)
        await control.post("people", friends=FRIENDS, groups=5)
        await control.post("ilink/settings", autoscan="me", quota=10_000_000)
        await control.post("wecom/settings", needs_first_message=False)
        bots = {f"wecom{number}": await control.post("wecom/bot") for number in range(1, wecom_bots + 1)}
        control.wecom_bots = {name: str(bot["bot"]) for name, bot in bots.items()}
        userid = (await control.get("wecom/state"))["handles"]["me"]
        with mosquitto(folder / "broker", BROKER, log="information") as broker:
            bridge = BridgeProcess(
                folder / "bridge",
                _settings(simulator.url, broker.url, keep, bots, userid),
                env=dict(env or {}),
                program=[*program],
            )
            client = Client(broker.port, received)
            client.start()
            try:
                with bridge:
                    yield SoakEnvironment(broker=broker, bridge=bridge, control=control, client=client)
            finally:
                await asyncio.to_thread(client.stop)
    finally:
        await control.close()
        simulator.close()


def _settings(
    simulator: str, broker: str, keep: str, bots: Mapping[str, Mapping[str, str]], userid: str
) -> dict[str, object]:
    account = {
        "endpoint": simulator,
        "send": {"per_minute": 0},
        "media": {"keep": keep, "max_total": f"{MAX_MEDIA_MB}MB"},
        "history": {"keep": keep},
    }
    return {
        "mqtt": {"url": broker},
        "accounts": {
            "home": {**account, "contacts": {"wife": {"remark": "老婆"}}},
            "bot": {**account, "backend": "ilink", "contacts": {"me": {"owner": True}}},
            **{
                name: {
                    **account,
                    "backend": "wecom",
                    "contacts": {"me": {"wecom": userid}},
                    "wecom": {"bot_id": bot["bot"], "secret": bot["secret"]},
                }
                for name, bot in bots.items()
            },
        },
        "log": {"level": "warning", "format": "json"},
    }
