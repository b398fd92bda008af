"""What the crash tests share: a home whose bridge can be killed again and again."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crash.lives import Lives
from tests.support.broker import DURABLE, PROGRAM, mosquitto
from tests.support.ear import Ear
from tests.support.home import Home
from tests.support.traffic import CONTACTS, Pace, Traffic, all_through
from wx2mqtt.simulator.server import Simulator


class Arena(Home):
    """A home with traffic in it. `lives` replaces the home's own process."""

    lives: Lives
    traffic: Traffic

    async def online(self, since: int) -> None:
        """Wait until the life that was started after message number `since` receives."""
        await self.body("wx/login/state", state="online", since=since)
        await self.phone.wait("polling")

    async def last_life(self) -> None:
        """Let a life end in order that had all the time it needs, and find nothing wrong."""
        since = self.ear.count
        self.lives.start()
        await self.online(since)
        problems = await all_through(self.traffic.ledger, self.ear, self.phone)
        problems += [f"violation: {one}" for one in await self.phone.get("violations")]
        await self.lives.stop()
        log = self.lives.log.read_text()
        (self.folder / "sent.json").write_text(json.dumps(await self.phone.get("sent"), indent=1))
        problems += [line[:600] for line in log.splitlines() if '"exception"' in line or "Traceback" in line]
        assert not problems, "\n".join(problems)


@contextlib.asynccontextmanager
async def arena(folder: Path, seed: int, publishers: int = 3, **settings: Any) -> AsyncIterator[Arena]:
    """An arena; WeChat echoes what is sent, and delivers a repeated message twice, so that nothing hides."""
    async with Simulator(seed=seed) as simulator:
        with contextlib.ExitStack() as stack:
            broker = stack.enter_context(mosquitto(folder / "mosquitto", DURABLE))
            ear = stack.enter_context(Ear(broker.port, "wx/#"))
            ways = [stack.enter_context(Ear(broker.port, "none")) for _ in range(publishers)]
            home = Arena(folder, simulator, broker, ear)
            home.bridge.configure(home.settings({"contacts": CONTACTS, "receive": {"own": True}, **settings}))
            home.lives = Lives(home.bridge.config, folder / "log")
            home.traffic = Traffic(home, ways, random.Random(seed), Pace())
            stack.callback(home.lives.close)
            await home.phone.post("settings", strict=True, autoscan=True, echo=True, drop_repeats=False)
            try:
                yield home
            finally:
                await home.phone.close()


MakeArena = Callable[..., contextlib.AbstractAsyncContextManager[Arena]]


@pytest.fixture
def make_arena(tmp_path: Path) -> MakeArena:
    """`async with make_arena(seed) as arena`."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    return lambda seed, **settings: arena(tmp_path, seed, **settings)
