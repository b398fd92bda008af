"""Messages to systemd: READY after the first attempt, WATCHDOG while loops make progress, and STATUS."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from tests.support.pauseless_loop import run_without_pauses
from tests.support.rows import every_row
from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.app.systemd import SystemdNotifier, SystemdWatchdog, status_line
from wx2mqtt.bridge.context import Watchdog


class FakeManager:
    """Notes when what was said."""

    def __init__(self, interval: float | None) -> None:
        self.is_listening = True
        self.watchdog_interval = interval
        self.said: list[tuple[float, str]] = []

    def ready(self) -> None:
        self._say("ready")

    def feed_watchdog(self) -> None:
        self._say("watchdog")

    def status(self, text: str) -> None:
        self._say(text)

    def times(self, word: str) -> list[float]:
        return [at for at, said in self.said if said == word]

    def _say(self, word: str) -> None:
        self.said.append((asyncio.get_running_loop().time(), word))


@dataclass
class FakeAccount:
    name: str = "home"
    state: str = "online"
    reason: str = ""
    broker_connected: bool = True
    broker_reason: str = ""
    connect_attempted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def login(self) -> Any:
        return SimpleNamespace(state=self.state, reason=self.reason)

    @property
    def counters(self) -> Any:
        return SimpleNamespace(broker_reason=self.broker_reason)


class Stage:
    def __init__(self, interval: float | None, *accounts: FakeAccount) -> None:
        self.manager = FakeManager(interval)
        self.pulse = Watchdog(asyncio.get_running_loop().time)
        self.accounts: Any = list(accounts)
        running: Any = SimpleNamespace(accounts=self.accounts)
        self.changes = ChangeNotifier()
        self.watch = SystemdWatchdog(self.manager, self.pulse, running, self.changes)  # type: ignore[arg-type]

    async def run(self, seconds: float) -> None:
        task = asyncio.create_task(self.watch.run())
        await asyncio.wait({task}, timeout=seconds)
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})


def played(story: Any) -> None:
    run_without_pauses(story())


def tried(**more: Any) -> FakeAccount:
    account = FakeAccount(**more)
    account.connect_attempted.set()
    return account


def test_ready_waits_for_the_first_attempt_of_every_account():
    async def story() -> None:
        late = FakeAccount(name="late")
        stage = Stage(None, tried(), late)
        asyncio.get_running_loop().call_later(7, late.connect_attempted.set)
        await stage.run(20)
        assert stage.manager.times("ready") == [7.0]
        assert stage.manager.times("watchdog") == []

    played(story)


@every_row("interval", [0.25, 0.5, 1.0, 5.0, 30.0])
def test_the_watchdog_is_fed_at_half_its_time_and_never_later(interval: float):
    async def story() -> None:
        stage = Stage(interval, tried())
        await stage.run(20 * interval)
        times = stage.manager.times("watchdog")
        assert len(times) >= 15
        assert max(later - earlier for earlier, later in pairwise([0.0, *times])) <= interval * 1.5

    played(story)


def test_a_stuck_loop_starves_the_watchdog_until_it_moves_again():
    async def story() -> None:
        stage = Stage(1.0, tried())
        loop = asyncio.get_running_loop()
        stage.pulse.heartbeat("receive:home", 10)
        loop.call_at(25, stage.pulse.heartbeat, "receive:home", 100)
        await stage.run(40)
        times = stage.manager.times("watchdog")
        assert any(at <= 10 for at in times)
        assert not any(11 < at < 25 for at in times)
        assert any(25 <= at <= 27 for at in times)

    played(story)


def test_the_status_is_sent_only_when_it_changes():
    async def story() -> None:
        account = tried(state="waiting_for_scan", reason="scan the QR code")
        stage = Stage(None, account)

        def log_in() -> None:
            account.state = "online"
            stage.changes.notify()

        asyncio.get_running_loop().call_later(5, stage.changes.notify)
        asyncio.get_running_loop().call_later(10, log_in)
        await stage.run(30)
        said = [text for _, text in stage.manager.said if text != "ready"]
        assert said == ["home: waiting_for_scan (scan the QR code)", "home: online (scan the QR code)"]

    played(story)


def test_without_a_service_manager_nothing_runs_after_the_start():
    async def story() -> None:
        stage = Stage(None, tried())
        stage.manager.is_listening = False
        await stage.watch.run()
        assert [text for _, text in stage.manager.said] == ["ready"]

    played(story)


def test_nothing_runs_while_nothing_changes():
    async def story() -> None:
        loop = asyncio.get_running_loop()
        stage = Stage(None, tried())
        task = asyncio.create_task(stage.watch.run())
        await asyncio.sleep(5)
        with patch.object(loop, "call_at", wraps=loop.call_at) as timers:
            await asyncio.sleep(100)
        assert timers.call_count == 1, "only that of the test"
        task.cancel()

    played(story)


def test_the_status_line_names_each_account_and_a_broker_that_is_away():
    async def story() -> None:
        home = FakeAccount(broker_connected=False, broker_reason="connection refused")
        work = FakeAccount(name="work", state="logged_out", reason="scan again", broker_connected=False)
        accounts: Any = [home, work]
        assert status_line(accounts) == (
            "home: online, no broker (connection refused); "
            "work: logged_out (scan again), no broker (connecting)"
        )

    played(story)


@every_row(
    ("env", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_of_what_the_unit_allows(env, interval):
    assert SystemdNotifier(env).watchdog_interval == interval


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234"])
def test_without_a_socket_nothing_is_sent_and_nothing_fails(address):
    notifier = SystemdNotifier({"NOTIFY_SOCKET": address})
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    notifier.status("x")
    notifier.feed_watchdog()
