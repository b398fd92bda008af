"""A home whose account is a bot of WeCom."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.home import Home, SimulatorControl, at_home_of_kind
from tests.support.subscriber import Subscriber
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.people import chatid_of, userid_of
from wx2mqtt.simulator.wecom.simulated_wecom import HOME_BOT_ID, HOME_BOT_SECRET

PEOPLE = {"me": {"wecom": userid_of("me")}, "family": {"wecom": chatid_of("family")}}
BOT = {"bot_id": HOME_BOT_ID, "secret": HOME_BOT_SECRET}


class WeComControl(SimulatorControl):
    """The simulator's control for a bot of WeCom."""

    async def wait(self, what: str, seconds: float = MAX_WAIT_SECONDS, **query: Any) -> None:
        """Waits until WeCom's servers have seen it (`online`, `offline`, `subscriptions:<n>`, `answered:<n>` …)."""
        ready = await self.get("wecom/wait", **{"for": what, "seconds": seconds, **query})
        assert ready["ready"], f"the simulator never saw {what}"

    async def write(self, text: str, **more: Any) -> str:
        """Lets a person write to the bot, or in a group (`to`); returns the message id."""
        answer = await self.post("wecom/say", text=text, **more)
        return str(answer["msg_ids"][0])

    async def press(self, key: str = "", **more: Any) -> None:
        """Presses a button of the newest card; a program must be connected."""
        assert await self.post("wecom/press", key=key, **more) == {"delivered": True}

    async def bot_sent(self, count: int, seconds: float = MAX_WAIT_SECONDS) -> list[dict[str, Any]]:
        """Returns the messages that the bot sent and WeCom accepted, without answers, once there are `count`."""
        lines: list[dict[str, Any]] = []
        after = 0
        while len(lines) < count:
            more = await self.get("wecom/sent", after=after, wait=seconds)
            assert more, f"only {len(lines)} of {count} were sent"
            after += len(more)
            lines += [line for line in more if line["command"] == "send"]
        return lines


class WeComHome(Home):
    """A home with the account `home` on WeCom, its person `me` and its group `family`."""

    def __init__(self, folder: Path, simulator: Simulator, broker: Any, subscriber: Subscriber) -> None:
        super().__init__(folder, simulator, broker, subscriber)
        self.bot = WeComControl(simulator.url)

    def settings(self, account: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
        """Returns a configuration, as `Home.settings`, without receipts, so that the bot sends only what a test sends."""
        wecom = {**BOT, "receipt": None}
        usual = {"backend": "wecom", "contacts": PEOPLE, "wecom": wecom}
        return super().settings({**usual, **(account or {})}, **top)

    async def log_in(self) -> None:
        """Starts the bridge; returns when it is online and everybody has written to the bot."""
        await self.restart()
        await self.bot.write("hello")
        await self.bot.write("hello all", to="family")
        await self.body("wx/in/me", text="hello")
        await self.body("wx/in/family", user="family")

    async def restart(self) -> None:
        """Starts the bridge, again on its store; returns when it is online."""
        since = self.subscriber.count
        self.bridge.start()
        await self.body("wx/login/state", state="online", since=since)
        await self.bot.wait("online")

    async def scan(self, person: str = "me") -> None:
        """Starts the bridge without credentials, scans and confirms; returns when it is online."""
        since = self.subscriber.count
        self.bridge.configure(self.settings({"wecom": {}}))
        self.bridge.start()
        await self.bot.wait("code")
        await self.bot.post("wecom/scan", person=person)
        await self.body("wx/login/state", state="waiting_for_confirm", since=since)
        await self.bot.post("wecom/confirm")
        await self.body("wx/login/state", state="online", since=since)
        await self.bot.wait("any_online")

    async def close(self) -> None:
        await super().close()
        await self.bot.close()


def at_wecom_home(folder: Path, broker_config: str = "") -> AbstractAsyncContextManager[WeComHome]:
    """Opens a home on WeCom, as `at_home_of_kind`."""
    return at_home_of_kind(WeComHome, folder, broker_config)
