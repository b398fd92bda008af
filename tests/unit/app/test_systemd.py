"""The messages to systemd: READY after the first attempt, WATCHDOG while loops make progress, STATUS."""

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


class FakeNotifier:
    """Keeps each message with its time."""

    def __init__(self, interval: float | None) -> None:
        self.is_listening = True
        self.watchdog_interval = interval
        self.messages: list[tuple[float, str]] = []

    def ready(self) -> None:
        self._record("ready")

    def feed_watchdog(self) -> None:
        self._record("watchdog")

    def status(self, text: str) -> None:
        self._record(text)

    def times(self, word: str) -> list[float]:
        return [time for time, message in self.messages if message == word]

    def _record(self, word: str) -> None:
        self.messages.append((asyncio.get_running_loop().time(), word))


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


class SystemdHarness:
    """`SystemdWatchdog` with accounts; `interval` is the time between two WATCHDOG messages, in seconds."""

    def __init__(self, interval: float | None, *accounts: FakeAccount) -> None:
        self.notifier = FakeNotifier(interval)
        self.watchdog = Watchdog(asyncio.get_running_loop().time)
        self.accounts: Any = list(accounts)
        accounts_view: Any = SimpleNamespace(accounts=self.accounts)
        self.changes = ChangeNotifier()
        self.systemd_watchdog = SystemdWatchdog(self.notifier, self.watchdog, accounts_view, self.changes)  # type: ignore[arg-type]

    async def run(self, seconds: float) -> None:
        task = asyncio.create_task(self.systemd_watchdog.run())
        await asyncio.wait({task}, timeout=seconds)
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})


def run_scenario(scenario: Any) -> None:
    run_without_pauses(scenario())


def attempted_account(**more: Any) -> FakeAccount:
    """Returns an account that has tried to connect to the broker."""
    account = FakeAccount(**more)
    account.connect_attempted.set()
    return account


def test_ready_waits_for_the_first_attempt_of_every_account():
    async def scenario() -> None:
        connecting_account = FakeAccount(name="late")
        harness = SystemdHarness(None, attempted_account(), connecting_account)
        asyncio.get_running_loop().call_later(7, connecting_account.connect_attempted.set)
        await harness.run(20)
        assert harness.notifier.times("ready") == [7.0]
        assert harness.notifier.times("watchdog") == []

    run_scenario(scenario)


@every_row("interval", [0.25, 0.5, 1.0, 5.0, 30.0])
def test_the_watchdog_is_fed_at_half_its_time_and_never_later(interval: float):
    async def scenario() -> None:
        harness = SystemdHarness(interval, attempted_account())
        await harness.run(20 * interval)
        times = harness.notifier.times("watchdog")
        assert len(times) >= 15
        assert max(later - earlier for earlier, later in pairwise([0.0, *times])) <= interval * 1.5

    run_scenario(scenario)


def test_while_a_loop_is_stuck_the_watchdog_is_not_fed():
    async def scenario() -> None:
        harness = SystemdHarness(1.0, attempted_account())
        loop = asyncio.get_running_loop()
        harness.watchdog.heartbeat("receive:home", 10)
        loop.call_at(25, harness.watchdog.heartbeat, "receive:home", 100)
        await harness.run(40)
        times = harness.notifier.times("watchdog")
        assert any(at <= 10 for at in times)
        assert not any(11 < at < 25 for at in times)
        assert any(25 <= at <= 27 for at in times)

    run_scenario(scenario)


def test_the_status_is_sent_only_when_it_changes():
    async def scenario() -> None:
        account = attempted_account(state="waiting_for_scan", reason="scan the QR code")
        harness = SystemdHarness(None, account)

        def log_in() -> None:
            account.state = "online"
            harness.changes.notify()

        asyncio.get_running_loop().call_later(5, harness.changes.notify)
        asyncio.get_running_loop().call_later(10, log_in)
        await harness.run(30)
        statuses = [text for _, text in harness.notifier.messages if text != "ready"]
        assert statuses == ["home: waiting_for_scan (scan the QR code)", "home: online (scan the QR code)"]

    run_scenario(scenario)


def test_without_a_service_manager_nothing_runs_after_the_start():
    async def scenario() -> None:
        harness = SystemdHarness(None, attempted_account())
        harness.notifier.is_listening = False
        await harness.systemd_watchdog.run()
        assert [text for _, text in harness.notifier.messages] == ["ready"]

    run_scenario(scenario)


def test_no_timer_runs_while_nothing_changes():
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        harness = SystemdHarness(None, attempted_account())
        task = asyncio.create_task(harness.systemd_watchdog.run())
        await asyncio.sleep(5)
        with patch.object(loop, "call_at", wraps=loop.call_at) as timers:
            await asyncio.sleep(100)
        assert timers.call_count == 1, "only that of the test"
        task.cancel()

    run_scenario(scenario)


def test_the_status_line_names_each_account_and_a_broker_that_is_away():
    async def scenario() -> None:
        home = FakeAccount(broker_connected=False, broker_reason="connection refused")
        work = FakeAccount(name="work", state="logged_out", reason="scan again", broker_connected=False)
        accounts: Any = [home, work]
        assert status_line(accounts) == (
            "home: online, no broker (connection refused); "
            "work: logged_out (scan again), no broker (connecting)"
        )

    run_scenario(scenario)


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
