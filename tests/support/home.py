"""A home: simulated WeChat, a real mosquitto, the bridge as a process, and a subscriber at the broker."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.support.broker import Mosquitto, mosquitto
from tests.support.deadlines import MAX_REQUEST_SECONDS, MAX_WAIT_SECONDS
from tests.support.process import BridgeProcess
from tests.support.subscriber import Subscriber
from tests.support.web_client import system_trust
from wx2mqtt.simulator.server import Simulator

T = TypeVar("T")
HomeKind = TypeVar("HomeKind", bound="Home")

PEOPLE = {"wife": {"remark": "老婆"}, "family": {"group": "相亲相爱一家人"}}


class SimulatorControl:
    """A client of the simulator's control (`/sim`)."""

    def __init__(self, url: str, ca: Path | None = None) -> None:
        """`ca` is the file of the CA whose certificate the simulator has, which may name other hosts."""
        context = system_trust()
        if ca is not None:
            context = ssl.create_default_context(cafile=ca)
            context.check_hostname = False
        self._http = httpx.AsyncClient(
            base_url=url, trust_env=False, timeout=MAX_REQUEST_SECONDS, verify=context
        )

    async def post(self, act: str, **body: Any) -> Any:
        """Sends `POST /sim/<act>`; returns the answer."""
        answer = await self._http.post(f"/sim/{act}", json=body)
        assert answer.status_code == 200, f"{act}: {answer.status_code} {answer.text}"
        return answer.json()

    async def get(self, what: str, **query: Any) -> Any:
        """Sends `GET /sim/<what>`; returns the answer."""
        answer = await self._http.get(f"/sim/{what}", params=query)
        assert answer.status_code == 200, f"{what}: {answer.status_code} {answer.text}"
        return answer.json()

    async def wait(self, what: str, seconds: float = MAX_WAIT_SECONDS) -> None:
        """Waits until the simulator has seen it (`code`, `online`, `polling`, `calls:<endpoint>:<n>` …)."""
        ready = await self.get("wait", **{"for": what, "seconds": seconds})
        assert ready["ready"], f"the simulator never saw {what}"

    async def say(self, who: str, text: str = "", *, to: str = "me", **more: Any) -> list[str]:
        """Lets a person of the simulated world write a text; returns the message ids."""
        answer = await self.post("say", **{"from": who, "to": to, "text": text, **more})
        return list(answer["msg_ids"])

    async def content(self, message_id: str, *, thumbnail: bool = False) -> bytes:
        """Returns the bytes of a message, or of its small picture, as the phone has them."""
        query = {"thumbnail": ""} if thumbnail else {}
        answer = await self._http.get(f"/sim/media/{message_id}", params=query)
        assert answer.status_code == 200, f"{message_id}: {answer.status_code} {answer.text}"
        return bytes(answer.content)

    async def sent(self, count: int, seconds: float = MAX_WAIT_SECONDS) -> list[dict[str, Any]]:
        """Returns the messages that the bridge sent and WeChat accepted, once there are `count`."""
        async with asyncio.timeout(seconds):
            lines: list[dict[str, Any]] = []
            while len(lines) < count:
                lines += await self.get("sent", after=len(lines), wait=seconds)
        return lines

    async def close(self) -> None:
        await self._http.aclose()


class Home:
    """Everything around a bridge with the account `home` on web WeChat."""

    def __init__(self, folder: Path, simulator: Simulator, broker: Mosquitto, subscriber: Subscriber) -> None:
        self.folder = folder
        self.simulator = simulator
        self.broker = broker
        self.subscriber = subscriber
        self.control = SimulatorControl(simulator.url)
        self.bridge = BridgeProcess(folder / "bridge", self.settings())

    def settings(self, account: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
        """Returns a configuration; `account` and `top` replace keys of the usual one."""
        usual = {"endpoint": self.simulator.url, "contacts": PEOPLE, "send": {"per_minute": 0}}
        return {"mqtt": {"url": self.broker.url}, "accounts": {"home": {**usual, **(account or {})}}, **top}

    async def in_thread(self, what: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Runs a blocking call of the subscriber or the process in a thread: the simulator runs in this loop."""
        return await asyncio.to_thread(what, *args, **kwargs)

    async def body(self, topic: str, **wanted: Any) -> dict[str, Any]:
        """Waits for the first JSON object on `topic` with these values; returns it."""
        return await self.in_thread(self.subscriber.wait_body, topic, **wanted)

    async def send_command(self, user: str, payload: Any, **properties: Any) -> dict[str, Any]:
        """Publishes a command on `wx/out/<user>`, an object as JSON; returns its result, or the next one without an id."""
        since = self.subscriber.count
        await self.publish(f"wx/out/{user}", payload, **properties)
        wanted = {"id": payload["id"]} if isinstance(payload, dict) and "id" in payload else {}
        return await self.body(f"wx/result/{user.partition('/')[0]}", since=since, **wanted)

    async def send_request(self, name: str, payload: Any = "", **properties: Any) -> dict[str, Any]:
        """Publishes on `wx/bridge/request/<name>`, an object as JSON; returns the next answer."""
        since = self.subscriber.count
        await self.publish(f"wx/bridge/request/{name}", payload, **properties)
        return await self.body(f"wx/bridge/response/{name}", since=since)

    async def publish(self, topic: str, payload: Any, **properties: Any) -> None:
        """Publishes as the subscriber, an object as JSON; `properties` as `Subscriber.publish` takes them."""
        data = json.dumps(payload) if isinstance(payload, dict) else payload
        await self.in_thread(self.subscriber.publish, topic, data, **properties)

    async def log_in(self) -> None:
        """Starts the bridge, scans and confirms; returns when it is online and polls."""
        since = self.subscriber.count
        self.bridge.start()
        await self.control.wait("code")
        await self.control.post("scan")
        await self.control.post("confirm")
        await self.body("wx/login/state", state="online", since=since)
        await self.control.wait("polling")

    async def restart(self) -> None:
        """Starts the bridge again on its store; returns when it is online."""
        since = self.subscriber.count
        self.bridge.start()
        await self.body("wx/login/state", state="online", since=since)
        await self.control.wait("polling")

    async def stop_wechat(self) -> None:
        """Stops WeChat's servers, which keep what they know."""
        self.simulator._port = self.simulator.port
        await self.simulator.__aexit__(None, None, None)

    async def start_wechat(self) -> None:
        """Starts WeChat's servers again at their old address."""
        await self.simulator.__aenter__()

    async def close(self) -> None:
        await self.in_thread(self.bridge.close)
        await self.control.close()


@asynccontextmanager
async def at_home_of_kind(
    kind: type[HomeKind], folder: Path, broker_config: str = "", **simulated: Any
) -> AsyncIterator[HomeKind]:
    """Opens a home whose bridge does not run yet; WeChat is strict, and must have seen no violation at the end.

    `simulated` are settings of the simulated iLink.
    """
    async with Simulator() as simulator:
        with mosquitto(folder / "mosquitto", broker_config) as broker, Subscriber(broker.port) as subscriber:
            home = kind(folder, simulator, broker, subscriber)
            await home.control.post("settings", strict=True)
            if simulated:
                await home.control.post("ilink/settings", **simulated)
            try:
                yield home
                violations = await home.control.get("violations")
                assert violations == [], violations
            except BaseException:
                print("\n".join(home.bridge.log[-80:]))  # noqa: T201 - pytest shows it with the failure
                raise
            finally:
                await home.close()


def at_home(folder: Path, broker_config: str = "") -> AbstractAsyncContextManager[Home]:
    """Opens a home on web WeChat, as `at_home_of_kind`."""
    return at_home_of_kind(Home, folder, broker_config)
