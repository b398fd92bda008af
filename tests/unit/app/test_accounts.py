"""An account that a bug has ended is restarted, after a longer delay each time, and raises nothing.

Accounts begin and end one by one, also while the process ends.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

from tests.support.pauseless_loop import run_without_pauses
from wx2mqtt.app import accounts
from wx2mqtt.app.accounts import (
    RESTART_BACKOFF,
    STABLE_RUN_SECONDS,
    STORE_OPEN_TIMEOUT_SECONDS,
    Accounts,
)
from wx2mqtt.app.application import STOP_TIMEOUT_SECONDS
from wx2mqtt.bridge.account import DRAIN_TIMEOUT_SECONDS, OFFLINE_PUBLISH_TIMEOUT_SECONDS, AccountFailed
from wx2mqtt.bridge.context import Watchdog
from wx2mqtt.wechat.ilink.protocol.endpoints import NOTIFY_STOP


@dataclass
class FakeAccount:
    """Lives for `life` seconds."""

    life: float
    name: str = "home"
    closed: bool = False
    media_library: None = None
    counters: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(faults=0))

    async def run(self):
        await asyncio.sleep(self.life)
        self.counters.faults += 1
        raise AccountFailed

    async def close(self):
        self.closed = True


class Stage:
    """Lives of which each is as long as `lives` says; a negative one cannot be begun. Times in seconds."""

    def __init__(self, monkeypatch, *lives):
        self.loop = asyncio.get_running_loop()
        monkeypatch.setattr(accounts, "boot_time", self.loop.time)
        self.lives = list(lives)
        self.began: list[float] = []
        self.accounts: list[Any] = []
        self.pulse = Watchdog(self.loop.time)
        self.last = asyncio.Event()
        factory: Any = SimpleNamespace(create=self.build, base_topics={"home": "wx"})
        self.factory = factory
        self.living = Accounts(factory, self.pulse)
        self.living.changed.connect(lambda: self.accounts.extend(self.living.accounts))

    async def build(self, name) -> Any:
        self.began.append(self.loop.time())
        life = self.lives.pop(0)
        if not self.lives:
            self.last.set()
        if life < 0:
            raise RuntimeError("ours")
        return FakeAccount(life, name)

    async def play(self):
        """Returns when accounts were begun again."""
        await self.living.add("home")
        running = asyncio.create_task(self.living.run())
        await self.last.wait()
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()
        return self.began[1:]


def test_the_pauses_grow_up_to_five_minutes_and_faults_are_counted_on(monkeypatch):
    async def story():
        stage = Stage(monkeypatch, *[0.0] * 14)
        began = await stage.play()
        pauses = [after - before for before, after in zip([0.0, *began], began, strict=False)]
        assert 0.5 <= pauses[0] <= 1.0
        assert all(0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses[:8]))
        assert all(RESTART_BACKOFF.cap / 2 <= pause <= RESTART_BACKOFF.cap for pause in pauses[9:])
        assert [one.counters.faults for one in stage.accounts[1:4]] == [2, 3, 4]
        assert stage.accounts[0].closed

    run_without_pauses(story())


def test_after_a_long_run_it_is_restarted_soon(monkeypatch):
    async def story():
        *_, last_but_one, last = await Stage(monkeypatch, 0, 0, 0, 0, 0, STABLE_RUN_SECONDS, 1e6).play()
        assert last - last_but_one - STABLE_RUN_SECONDS <= 1.0

    run_without_pauses(story())


def test_an_account_that_cannot_be_built_is_tried_again(monkeypatch):
    async def story():
        stage = Stage(monkeypatch, 0.0, -1.0, -1.0, 1e6)
        assert len(await stage.play()) == 3
        assert [one.life for one in stage.accounts] == [0.0, 1e6]
        assert stage.living.accounts == stage.accounts[1:]

    run_without_pauses(story())


def test_a_beginning_that_hangs_starves_the_watchdog(monkeypatch):
    async def story():
        stage = Stage(monkeypatch, 0.0, 0.0)
        never: Any = asyncio.Event().wait
        await stage.living.add("home")
        stage.factory.create = lambda _: never()
        running = asyncio.create_task(stage.living.run())
        await asyncio.sleep(1.0)
        assert stage.pulse.overdue() == ()
        await asyncio.sleep(STORE_OPEN_TIMEOUT_SECONDS + 1.0)
        assert stage.pulse.overdue() == ("begin:home",)
        running.cancel()

    run_without_pauses(story())


def test_a_stop_at_which_nobody_answers_is_within_its_time():
    """Attempts are drained, the broker hears two goodbyes, iLink one."""
    assert (
        DRAIN_TIMEOUT_SECONDS + 2 * OFFLINE_PUBLISH_TIMEOUT_SECONDS + NOTIFY_STOP.timeout
        <= STOP_TIMEOUT_SECONDS
    )


class FakeFactory:
    """Builds an account once `may_create` is set; `runs` counts the accounts that ran."""

    def __init__(self) -> None:
        self.base_topics = {"home": "wx"}
        self.runs = 0
        self.is_creating = asyncio.Event()
        self.may_create = asyncio.Event()

    async def create(self, name: str) -> Any:
        self.is_creating.set()
        await self.may_create.wait()
        return SimpleNamespace(name=name, media_library=None, run=self._run)

    async def _run(self) -> None:
        self.runs += 1
        await asyncio.Event().wait()


async def test_an_account_that_is_built_when_all_have_ended_does_not_run() -> None:
    factory: Any = FakeFactory()
    starts = Accounts(factory, Watchdog(asyncio.get_running_loop().time))
    running = asyncio.create_task(starts.run())
    starting = asyncio.create_task(starts.start_account("home"))
    await factory.is_creating.wait()
    running.cancel()
    await asyncio.wait({running})
    factory.may_create.set()
    await starting
    assert factory.runs == 0


async def test_a_fault_of_one_account_does_not_keep_the_others_from_being_aborted() -> None:
    aborted: list[str] = []

    def abort(name: str) -> None:
        aborted.append(name)
        if name == "home":
            raise RuntimeError("ours")

    async def create(name: str) -> Any:
        return SimpleNamespace(name=name, media_library=None, abort=partial(abort, name))

    factory: Any = SimpleNamespace(create=create, base_topics={"home": "wx", "bot": "wx/bot"})
    running = Accounts(factory, Watchdog(asyncio.get_running_loop().time))
    for name in factory.base_topics:
        await running.add(name)
    running.abort_all()
    assert aborted == ["home", "bot"]
