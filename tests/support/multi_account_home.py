"""Several accounts in one bridge: two on web WeChat, each with its own simulated servers, and one on iLink."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.broker import mosquitto
from tests.support.home import PEOPLE, Home, SimulatorControl
from tests.support.ilink_home import ILinkControl
from tests.support.subscriber import Subscriber
from wx2mqtt.simulator.server import Simulator

FAULTY_PROGRAM = [sys.executable, "-m", "tests.support.faulty_bridge"]
WEB = {"home": "wx", "office": "wx/office"}
BASES = {**WEB, "bot": "wx/bot"}


class MultiAccountHome(Home):
    """A home with the accounts `home`, `office` and `bot`; `control` and `simulator` are those of `home`."""

    def __init__(
        self, folder: Path, simulators: dict[str, Simulator], broker: Any, subscriber: Subscriber
    ) -> None:
        self.simulators = simulators
        super().__init__(folder, simulators["home"], broker, subscriber)
        self.office = SimulatorControl(simulators["office"].url)
        self.bot = ILinkControl(simulators["bot"].url)
        self.controls = {"home": self.control, "office": self.office}
        self.bridge.configure(self.settings_of(*BASES))

    def settings_of(self, *names: str, **top: Any) -> dict[str, Any]:
        """Returns a configuration of these accounts, in this order."""
        accounts: dict[str, Any] = {}
        for name in names:
            account = {"endpoint": self.simulators[name].url, "send": {"per_minute": 0}}
            people = {"me": {"owner": True}} if name == "bot" else PEOPLE
            backend = "ilink" if name == "bot" else "webwx"
            accounts[name] = {**account, "contacts": people, "backend": backend}
        return {"mqtt": {"url": self.broker.url}, "accounts": accounts, **top}

    async def scan_all(self) -> None:
        """Scans and confirms the code of each account."""
        for control in self.controls.values():
            await control.wait("code")
            await control.post("scan")
            await control.post("confirm")
        await self.bot.wait("code")
        await self.bot.post("ilink/scan")
        await self.bot.post("ilink/confirm")

    async def wait_until_online(self, since: int = 0, *names: str) -> None:
        """Waits until these accounts, or all, say that they are online, and poll."""
        for name in names or BASES:
            await self.body(f"{BASES[name]}/login/state", state="online", since=since)
            await {**self.controls, "bot": self.bot}[name].wait("polling")

    async def log_in(self) -> None:
        """Starts the bridge and scans for all accounts; returns when all are online and poll."""
        since = self.subscriber.count
        self.bridge.start()
        await self.scan_all()
        await self.wait_until_online(since)

    async def assert_works(self, name: str, word: str) -> None:
        """Asserts that an account of web WeChat receives a message, sends one, and has no problem."""
        base, since = BASES[name], self.subscriber.count
        await self.controls[name].say("wife", f"{word} in")
        await self.body(f"{base}/in/wife", text=f"{word} in", account=name, since=since)
        await self.publish(f"{base}/out/wife", {"text": f"{word} out", "id": word})
        await self.body(f"{base}/result/wife", id=word, status="sent", account=name, since=since)
        health = await self.answer_of(name, "health")
        assert (health["account"], health["healthy"], health["problems"]) == (name, True, [])

    async def answer_of(
        self, name: str, request: str, fields: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Sends a request to an account; returns the data of the answer."""
        since = self.subscriber.count
        await self.publish(f"{BASES[name]}/bridge/request/{request}", fields or {})
        answer = await self.body(f"{BASES[name]}/bridge/response/{request}", since=since)
        assert answer["status"] == "ok", answer
        data: dict[str, Any] = answer["data"]
        return data

    def states(self, name: str, since: int) -> list[str]:
        """Returns the states of the login that an account published since then."""
        received = self.subscriber.received[since:]
        return [
            message.body["state"] for message in received if message.topic == f"{BASES[name]}/login/state"
        ]

    async def close(self) -> None:
        await super().close()
        await self.office.close()
        await self.bot.close()


@asynccontextmanager
async def at_multi_account_home(folder: Path, broker_config: str = "") -> AsyncIterator[MultiAccountHome]:
    """Opens a home whose bridge does not run yet; WeChat is strict, and must have seen no violation at the end."""
    async with AsyncExitStack() as stack:
        simulators = {name: await stack.enter_async_context(Simulator()) for name in BASES}
        broker = stack.enter_context(mosquitto(folder / "mosquitto", broker_config))
        home = MultiAccountHome(folder, simulators, broker, stack.enter_context(Subscriber(broker.port)))
        stack.push_async_callback(home.close)
        for control in (*home.controls.values(), home.bot):
            await control.post("settings", strict=True)
        for control in home.controls.values():
            await control.post("settings", hold_sync=2)
        await home.bot.post("ilink/settings", hold_updates=5.0, hold_status=5.0)
        try:
            yield home
            for control in (*home.controls.values(), home.bot):
                assert await control.get("violations") == []
        except BaseException:
            print("\n".join(home.bridge.log[-80:]))  # noqa: T201 - pytest shows it with the failure
            raise
