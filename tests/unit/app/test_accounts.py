"""An account that a bug has ended is restarted, each time after a longer delay; accounts start and stop one by one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

from tests.support.pauseless_loop import run_without_pauses
from wx2mqtt.app import accounts as accounts_module
from wx2mqtt.app.accounts import (
    RESTART_BACKOFF,
    STABLE_RUN_SECONDS,
    STORE_OPEN_TIMEOUT_SECONDS,
    Accounts,
)
from wx2mqtt.bridge.account import AccountFailed
from wx2mqtt.bridge.context import Watchdog


@dataclass
class FakeAccount:
    """Runs for `run_seconds`, then fails."""

    run_seconds: float
    name: str = "home"
    is_closed: bool = False
    media_library: None = None
    counters: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(faults=0))

    async def run(self):
        await asyncio.sleep(self.run_seconds)
        self.counters.faults += 1
        raise AccountFailed

    async def close(self):
        self.is_closed = True


class AccountsHarness:
    """`Accounts` with one account, which runs for each of `run_seconds` in turn and then fails.

    For a negative number the account cannot be created.
    """

    def __init__(self, monkeypatch, *run_seconds):
        self.loop = asyncio.get_running_loop()
        monkeypatch.setattr(accounts_module, "boot_time", self.loop.time)
        self.run_seconds = list(run_seconds)
        self.started_at: list[float] = []
        self.created_accounts: list[Any] = []
        self.watchdog = Watchdog(self.loop.time)
        self.last_start = asyncio.Event()
        factory: Any = SimpleNamespace(create=self.create_account, base_topics={"home": "wx"})
        self.factory = factory
        self.accounts = Accounts(factory, self.watchdog)
        self.accounts.changed.connect(lambda: self.created_accounts.extend(self.accounts.accounts))

    async def create_account(self, name) -> Any:
        self.started_at.append(self.loop.time())
        seconds = self.run_seconds.pop(0)
        if not self.run_seconds:
            self.last_start.set()
        if seconds < 0:
            raise RuntimeError("ours")
        return FakeAccount(seconds, name)

    async def run_until_last_start(self):
        """Runs until the account was started for the last time; returns the times of its restarts."""
        await self.accounts.add("home")
        running = asyncio.create_task(self.accounts.run())
        await self.last_start.wait()
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()
        return self.started_at[1:]


def test_the_delays_before_restarts_grow_up_to_five_minutes_and_faults_are_added_up(monkeypatch):
    async def scenario():
        harness = AccountsHarness(monkeypatch, *[0.0] * 14)
        started_at = await harness.run_until_last_start()
        pauses = [after - before for before, after in zip([0.0, *started_at], started_at, strict=False)]
        assert 0.5 <= pauses[0] <= 1.0
        assert all(0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses[:8]))
        assert all(RESTART_BACKOFF.cap / 2 <= pause <= RESTART_BACKOFF.cap for pause in pauses[9:])
        assert [account.counters.faults for account in harness.created_accounts[1:4]] == [2, 3, 4]
        assert harness.created_accounts[0].is_closed

    run_without_pauses(scenario())


def test_an_account_that_ran_long_is_restarted_soon(monkeypatch):
    async def scenario():
        *_, last_but_one, last = await AccountsHarness(
            monkeypatch, 0, 0, 0, 0, 0, STABLE_RUN_SECONDS, 1e6
        ).run_until_last_start()
        assert last - last_but_one - STABLE_RUN_SECONDS <= 1.0

    run_without_pauses(scenario())


def test_an_account_that_cannot_be_created_is_tried_again(monkeypatch):
    async def scenario():
        harness = AccountsHarness(monkeypatch, 0.0, -1.0, -1.0, 1e6)
        assert len(await harness.run_until_last_start()) == 3
        assert [account.run_seconds for account in harness.created_accounts] == [0.0, 1e6]
        assert harness.accounts.accounts == harness.created_accounts[1:]

    run_without_pauses(scenario())


def test_the_watchdog_reports_an_account_whose_start_hangs(monkeypatch):
    async def scenario():
        harness = AccountsHarness(monkeypatch, 0.0, 0.0)
        never: Any = asyncio.Event().wait
        await harness.accounts.add("home")
        harness.factory.create = lambda _: never()
        running = asyncio.create_task(harness.accounts.run())
        await asyncio.sleep(1.0)
        assert harness.watchdog.overdue() == ()
        await asyncio.sleep(STORE_OPEN_TIMEOUT_SECONDS + 1.0)
        assert harness.watchdog.overdue() == ("begin:home",)
        running.cancel()

    run_without_pauses(scenario())


class FakeFactory:
    """Creates an account once `may_create` is set; `runs` counts the accounts that ran."""

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


async def test_an_account_that_is_created_after_the_end_of_all_accounts_does_not_run() -> None:
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
