"""A home with traffic, whose bridge is killed and started again on one store."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.crash.killable_bridge import KillableBridge
from tests.support.broker import DURABLE, mosquitto
from tests.support.home import Home
from tests.support.subscriber import Subscriber
from tests.support.traffic import CONTACTS, Traffic, wait_until_delivered
from wx2mqtt.simulator.server import Simulator

SESSION_SECONDS = 3600  # of the subscriber


class CrashHome(Home):
    """`process` is the bridge, in place of the home's own process."""

    process: KillableBridge
    traffic: Traffic
    account: dict[str, Any]
    configuration: dict[str, Any]

    def connect_to(self, url: str, protocol: str = "auto") -> None:
        """Lets the bridge, from its next start, connect to the broker there in this version of MQTT."""
        mqtt = {"url": url, "keepalive": KEEPALIVE, "protocol": protocol}
        self.configuration = self.settings(self.account, mqtt=mqtt)
        self.bridge.configure(self.configuration)

    async def start_bridge(self) -> None:
        """Starts the bridge; returns when it is online and polls."""
        since = self.subscriber.count
        self.process.start()
        await self.body("wx/login/state", state="online", since=since)
        await self.control.wait("polling")

    async def run_to_end(self) -> None:
        """Starts the bridge, lets it finish its work, stops it, and asserts that no promise was broken."""
        await self.start_bridge()
        await self.stop_and_check()

    async def stop_and_check(self) -> None:
        """Waits until everything was delivered, stops the bridge, and asserts that no promise was broken."""
        problems = await wait_until_delivered(self.traffic.record, self.subscriber, self.control)
        problems += [f"violation: {violation}" for violation in await self.control.get("violations")]
        await self.process.stop()
        log = self.process.log.read_text()
        problems += [line[:600] for line in log.splitlines() if '"exception"' in line or "Traceback" in line]
        if problems:
            (self.folder / "sent.json").write_text(json.dumps(await self.control.get("sent"), indent=1))
        assert not problems, "\n".join(problems)


@contextlib.asynccontextmanager
async def at_crash_home(
    folder: Path, seed: int, broker_config: str = DURABLE, *, publishers: int = 3, **settings: Any
) -> AsyncIterator[CrashHome]:
    """Opens a crash home with a broker of this configuration; `settings` are those of the account.

    WeChat echoes what is sent and delivers a repeated message twice, and the bridge publishes the owner's own
    messages, so that every mistake shows.
    """
    async with Simulator(seed=seed) as simulator:
        with contextlib.ExitStack() as stack:
            broker = stack.enter_context(mosquitto(folder / "mosquitto", broker_config))
            subscriber = stack.enter_context(
                Subscriber(broker.port, "wx/#", client_id="subscriber", session_seconds=SESSION_SECONDS)
            )
            publishing_clients = [
                stack.enter_context(Subscriber(broker.port, "none")) for _ in range(publishers)
            ]
            home = CrashHome(folder, simulator, broker, subscriber)
            home.account = {"contacts": CONTACTS, "receive": {"own": True}, **settings}
            home.connect_to(broker.url)
            home.process = KillableBridge(home.bridge.config, folder / "log")
            home.traffic = Traffic(home, publishing_clients, random.Random(seed))
            stack.callback(home.process.close)
            await home.control.post("settings", strict=True, autoscan=True, echo=True, drop_repeats=False)
            try:
                yield home
            except BaseException:
                log = home.process.log.read_text() if home.process.log.exists() else ""
                print("\n".join(log.splitlines()[-80:]))  # noqa: T201 - pytest shows it with the failure
                raise
            finally:
                await home.control.close()


KEEPALIVE = 4
"""Seconds; the bridge must notice within one and a half times that that a broker hangs."""
