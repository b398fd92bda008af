"""A home with traffic in it, whose bridge can be killed again and again, and where nothing wrong hides."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.crash.lives import Lives
from tests.support.broker import DURABLE, mosquitto
from tests.support.home import Home
from tests.support.subscriber import Subscriber
from tests.support.traffic import CONTACTS, Traffic, all_through
from wx2mqtt.simulator.server import Simulator

KEPT = 3600  # seconds for which the broker keeps what the subscriber misses


class Arena(Home):
    """`lives` replaces the home's own process."""

    lives: Lives
    traffic: Traffic
    account: dict[str, Any]
    written: dict[str, Any]

    def reach(self, url: str, protocol: str = "auto") -> None:
        """From the next life on the bridge reaches the broker there, in this version of MQTT."""
        mqtt = {"url": url, "keepalive": KEEPALIVE, "protocol": protocol}
        self.written = self.settings(self.account, mqtt=mqtt)
        self.bridge.configure(self.written)

    async def begin(self) -> None:
        """Start a life; returns when it is online and polls."""
        since = self.subscriber.count
        self.lives.start()
        await self.body("wx/login/state", state="online", since=since)
        await self.control.wait("polling")

    async def last_life(self) -> None:
        """Let a life end in order that had all the time it needs, and find nothing wrong."""
        await self.begin()
        await self.ends_well()

    async def ends_well(self) -> None:
        """Wait until everything has come out, end this life in order, and find nothing wrong."""
        problems = await all_through(self.traffic.ledger, self.subscriber, self.control)
        problems += [f"violation: {one}" for one in await self.control.get("violations")]
        await self.lives.stop()
        log = self.lives.log.read_text()
        problems += [line[:600] for line in log.splitlines() if '"exception"' in line or "Traceback" in line]
        if problems:
            (self.folder / "sent.json").write_text(json.dumps(await self.control.get("sent"), indent=1))
        assert not problems, "\n".join(problems)


@contextlib.asynccontextmanager
async def arena(
    folder: Path, seed: int, broker_config: str = DURABLE, *, publishers: int = 3, **settings: Any
) -> AsyncIterator[Arena]:
    """An arena with a broker of this configuration; `settings` are those of the account.

    WeChat echoes what is sent and delivers a repeated message twice, and the bridge publishes the owner's own
    messages, so that every mistake shows.
    """
    async with Simulator(seed=seed) as simulator:
        with contextlib.ExitStack() as stack:
            broker = stack.enter_context(mosquitto(folder / "mosquitto", broker_config))
            subscriber = stack.enter_context(
                Subscriber(broker.port, "wx/#", client_id="subscriber", keeps=KEPT)
            )
            ways = [stack.enter_context(Subscriber(broker.port, "none")) for _ in range(publishers)]
            home = Arena(folder, simulator, broker, subscriber)
            home.account = {"contacts": CONTACTS, "receive": {"own": True}, **settings}
            home.reach(broker.url)
            home.lives = Lives(home.bridge.config, folder / "log")
            home.traffic = Traffic(home, ways, random.Random(seed))
            stack.callback(home.lives.close)
            await home.control.post("settings", strict=True, autoscan=True, echo=True, drop_repeats=False)
            try:
                yield home
            except BaseException:
                log = home.lives.log.read_text() if home.lives.log.exists() else ""
                print("\n".join(log.splitlines()[-80:]))  # noqa: T201 - pytest shows it with the failure
                raise
            finally:
                await home.control.close()


KEEPALIVE = 4
"""Seconds; a broker that hangs must be found out within one and a half times that."""
