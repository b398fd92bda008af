"""A home whose account is a bot on iLink."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.home import Home, SimulatorControl, at_home_of_kind
from tests.support.subscriber import Subscriber
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.world import OWNER

PEOPLE = {"me": {"owner": True}}


class ILinkControl(SimulatorControl):
    """The simulator's control for a bot on iLink."""

    async def wait(self, what: str, seconds: float = MAX_WAIT_SECONDS, **query: Any) -> None:
        """Waits until iLink's servers have seen it (`code`, `scaned`, `number`, `polling`, `typing` …)."""
        ready = await self.get("ilink/wait", **{"for": what, "seconds": seconds, **query})
        assert ready["ready"], f"the simulator never saw {what}"

    async def write(self, text: str = "", **more: Any) -> str:
        """Lets the person write to the bot; returns the message id."""
        answer = await self.post("ilink/say", text=text, **more)
        return str(answer["msg_ids"][0])

    async def bot_sent(self, count: int, seconds: float = MAX_WAIT_SECONDS) -> list[dict[str, Any]]:
        """Returns the messages that the bot sent and WeChat accepted, once there are `count`."""
        lines: list[dict[str, Any]] = []
        while len(lines) < count:
            more = await self.get("ilink/sent", after=len(lines), wait=seconds)
            assert more, f"only {len(lines)} of {count} were sent"
            lines += more
        return lines


class ILinkHome(Home):
    """A home with the account `home` on iLink; the person who scans is `me`."""

    def __init__(self, folder: Path, simulator: Simulator, broker: Any, subscriber: Subscriber) -> None:
        super().__init__(folder, simulator, broker, subscriber)
        self.bot = ILinkControl(simulator.url)

    def settings(self, account: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
        """Returns a configuration, as `Home.settings`."""
        usual = {"backend": "ilink", "contacts": PEOPLE}
        return super().settings({**usual, **(account or {})}, **top)

    async def scan(self, person: str = OWNER) -> None:
        """Lets a person scan and confirm the code between two polls, of which the later one waits for a second."""
        await self.bot.wait("code")
        ilink = self.simulator.wechat.ilink
        code = ilink.codes.newest()
        assert code is not None
        ilink.scan(code, person)
        ilink.confirm(code)

    async def log_in(self) -> None:
        """Starts the bridge, scans and confirms; returns when it is online and polls."""
        since = self.subscriber.count
        self.bridge.start()
        await self.scan()
        await self.body("wx/login/state", state="online", since=since)
        await self.bot.wait("polling")

    async def restart(self) -> None:
        """Starts the bridge again on its store; returns when it is online."""
        since = self.subscriber.count
        self.bridge.start()
        await self.body("wx/login/state", state="online", since=since)
        await self.bot.wait("polling")

    async def close(self) -> None:
        await super().close()
        await self.bot.close()


def at_ilink_home(folder: Path, broker_config: str = "") -> AbstractAsyncContextManager[ILinkHome]:
    """Opens a home on iLink, as `at_home_of_kind`."""
    return at_home_of_kind(ILinkHome, folder, broker_config, hold_updates=5.0, hold_status=5.0)
