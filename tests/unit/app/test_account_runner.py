"""An account that a bug has ended is restarted, after a longer delay each time, and raises nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tests.support.hurry import hurry
from wx2mqtt.app import account_runner
from wx2mqtt.app.account_runner import (
    MAX_RESTART_DELAY_SECONDS,
    STABLE_RUN_SECONDS,
    STORE_OPEN_TIMEOUT_SECONDS,
    AccountRunner,
)
from wx2mqtt.app.application import STOP_TIMEOUT_SECONDS
from wx2mqtt.bridge.account import DRAIN_TIMEOUT_SECONDS, OFFLINE_PUBLISH_TIMEOUT_SECONDS, AccountFailed
from wx2mqtt.bridge.supervisor import Watchdog
from wx2mqtt.wechat.ilink.protocol.endpoints import NOTIFY_STOP


@dataclass
class PaperAccount:
    """Lives for `life` seconds."""

    life: float
    name: str = "home"
    closed: bool = False
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
        monkeypatch.setattr(account_runner, "boot_time", self.loop.time)
        self.lives = list(lives)
        self.began: list[float] = []
        self.accounts: list[Any] = []
        self.pulse = Watchdog(self.loop.time)
        self.last = asyncio.Event()
        first: Any = PaperAccount(self.lives.pop(0))
        self.first = first
        factory: Any = SimpleNamespace(create=self.begin)
        self.living = AccountRunner(first, factory, self.pulse)
        self.living.replaced.connect(self.accounts.append)

    async def begin(self, name) -> Any:
        self.began.append(self.loop.time())
        life = self.lives.pop(0)
        if not self.lives:
            self.last.set()
        if life < 0:
            raise RuntimeError("ours")
        return PaperAccount(life, name)

    async def play(self):
        running = asyncio.create_task(self.living.run())
        await self.last.wait()
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()
        return self.began


def test_the_pauses_grow_up_to_five_minutes_and_faults_are_counted_on(monkeypatch):
    async def story():
        stage = Stage(monkeypatch, *[0.0] * 14)
        began = await stage.play()
        pauses = [after - before for before, after in zip([0.0, *began], began, strict=False)]
        assert 0.5 <= pauses[0] <= 1.0
        assert all(0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses[:8]))
        assert all(
            MAX_RESTART_DELAY_SECONDS / 2 <= pause <= MAX_RESTART_DELAY_SECONDS for pause in pauses[9:]
        )
        assert [one.counters.faults for one in stage.accounts[:3]] == [2, 3, 4]
        assert stage.first.closed

    hurry(story())


def test_after_a_long_run_it_is_restarted_soon(monkeypatch):
    async def story():
        *_, last_but_one, last = await Stage(monkeypatch, 0, 0, 0, 0, 0, STABLE_RUN_SECONDS, 1e6).play()
        assert last - last_but_one - STABLE_RUN_SECONDS <= 1.0

    hurry(story())


def test_an_account_that_cannot_be_built_is_tried_again(monkeypatch):
    async def story():
        stage = Stage(monkeypatch, 0.0, -1.0, -1.0, 1e6)
        assert len(await stage.play()) == 3
        assert [one.life for one in stage.accounts] == [1e6]
        assert stage.living.account is stage.accounts[0]

    hurry(story())


def test_a_beginning_that_hangs_starves_the_watchdog(monkeypatch):
    async def story():
        stage = Stage(monkeypatch, 0.0, 0.0)
        never: Any = asyncio.Event().wait
        hangs: Any = SimpleNamespace(create=lambda _: never())
        stage.living._factory = hangs
        running = asyncio.create_task(stage.living.run())
        await asyncio.sleep(1.0)
        assert stage.pulse.overdue() == ()
        await asyncio.sleep(STORE_OPEN_TIMEOUT_SECONDS + 1.0)
        assert stage.pulse.overdue() == ("begin:home",)
        running.cancel()

    hurry(story())


def test_a_stop_at_which_nobody_answers_is_within_its_time():
    """Attempts are drained, the broker hears two goodbyes, iLink one."""
    assert (
        DRAIN_TIMEOUT_SECONDS + 2 * OFFLINE_PUBLISH_TIMEOUT_SECONDS + NOTIFY_STOP.timeout
        <= STOP_TIMEOUT_SECONDS
    )
