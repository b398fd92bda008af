"""A bridge with two bots of one person: `home` on iLink, with a window, and `office` on WeCom, without one."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from tests.support.home import at_home_of_kind
from tests.support.ilink_home import ILinkHome
from tests.support.subscriber import Subscriber
from tests.support.wecom_home import BOT, WeComControl
from tests.support.wecom_home import PEOPLE as WECOM_PEOPLE
from wx2mqtt.simulator.server import Simulator

OFFICE = "wx/office"


class TwoBots(ILinkHome):
    """The methods of `ILinkHome` are for the account `home`; `office` is the control of WeCom."""

    def __init__(self, folder: Path, simulator: Simulator, broker: Any, subscriber: Subscriber) -> None:
        super().__init__(folder, simulator, broker, subscriber)
        self.office = WeComControl(simulator.url)

    def settings(self, account: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
        """Returns a configuration, as `Home.settings`; `account` is for `home`. Each account is the fallback of the other."""
        fallback = {"after": "200ms", "accounts": ["office/me"]}
        settings = super().settings({"fallback": fallback, **(account or {})}, **top)
        settings["accounts"]["office"] = {
            "backend": "wecom",
            "endpoint": self.simulator.url,
            "contacts": WECOM_PEOPLE,
            "send": {"per_minute": 0},
            "wecom": {**BOT, "receipt": None},
            "fallback": {"after": "200ms", "accounts": ["home/me"]},
        }
        return settings

    async def log_in(self) -> None:
        await super().log_in()
        await self.office_online()

    async def restart(self) -> None:
        await super().restart()
        await self.office_online()

    async def office_online(self) -> None:
        await self.body(f"{OFFICE}/login/state", state="online")
        await self.office.wait("online")

    async def open_window(self) -> None:
        """Lets the person write to the bot of iLink."""
        await self.bot.write("hello")
        await self.body("wx/window/me", open=True)

    async def open_office(self) -> None:
        """Lets the person write to the bot of WeCom, which may not write to other people."""
        await self.office.write("hello")
        await self.body(f"{OFFICE}/in/me", text="hello")

    async def alarm(self, topic: str, command: dict[str, Any]) -> dict[str, Any]:
        """Publishes an urgent command; returns its result."""
        since = self.subscriber.count
        await self.publish(topic, {"urgent": True, **command})
        return await self.body(topic.replace("/out/", "/result/"), id=command["id"], since=since)

    async def close(self) -> None:
        await super().close()
        await self.office.close()


def at_two_bots(folder: Path, broker_config: str = "") -> AbstractAsyncContextManager[TwoBots]:
    """Opens a home on iLink and WeCom, as `at_home_of_kind`."""
    return at_home_of_kind(TwoBots, folder, broker_config, hold_updates=5.0, hold_status=5.0)
