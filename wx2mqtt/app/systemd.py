"""What is said to systemd: ready, alive, in words how it goes (sd_notify(3)).

Our own sixty lines: on PyPI the pure packages (sdnotify 2017, systemd-watchdog, sd-notify) know neither
reloading nor the reload's clock and are not kept, and those that are kept need a C compiler and libsystemd.
Says nothing at all where NOTIFY_SOCKET is not set. When to feed the watchdog is the app's to know.

What systemd is told: READY, WATCHDOG while every loop moves, STATUS in words.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping, Sequence

import structlog

from wx2mqtt.app.account_runner import AccountRunner
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.supervisor import Watchdog

log = structlog.get_logger(__name__)


MAX_STATUS_CHARACTERS = 300


class SystemdNotifier:
    """One process's line to its service manager. Failing to speak never fails the caller."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._address = _address(env.get("NOTIFY_SOCKET", ""))
        self._interval = _interval(env)

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds between two calls of `watchdog`: half of what the unit allows; None without a watchdog."""
        return self._interval

    def ready(self) -> None:
        """Start-up, or a reload, is over."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is read anew; `ready` ends it. With the clock for Type=notify-reload."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """An orderly stop has begun."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line of words for `systemctl status`."""
        self._send(f"STATUS={' '.join(text.split())[:MAX_STATUS_CHARACTERS]}")

    def watchdog(self) -> None:
        """Everything that should move has moved."""
        self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.setblocking(False)  # a manager that does not read must not stop us
                line.sendto("\n".join(assignments).encode("utf-8", "replace"), self._address)
        except OSError as error:
            log.warning("service manager not reached", error=error.strerror)


def _address(written: str) -> str:
    """The address of the socket: a path, or a name in Linux's abstract namespace, written with @."""
    if written.startswith("@"):
        return f"\0{written[1:]}"
    return written if written.startswith("/") else ""


def _interval(env: Mapping[str, str]) -> float | None:
    if env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        allowed = int(env.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return allowed / 2_000_000 if allowed > 0 else None


STATUS_INTERVAL_SECONDS = 1.0  # seconds between two looks at what STATUS should say


class SystemdWatchdog:
    """Feeds the watchdog from progress, never from a timer alone."""

    def __init__(
        self, notifier: SystemdNotifier, watchdog: Watchdog, runners: Sequence[AccountRunner]
    ) -> None:
        self._notifier = notifier
        self._watchdog = watchdog
        self._runners = runners
        self._last_status = ""

    @property
    def _accounts(self) -> list[Account]:
        return [runner.account for runner in self._runners]

    async def run(self) -> None:
        """Say READY, then watch until cancelled."""
        await self._report_ready()
        interval = min(self._notifier.watchdog_interval or STATUS_INTERVAL_SECONDS, STATUS_INTERVAL_SECONDS)
        fed = 0.0
        while True:
            self._set_status(status_line(self._accounts))
            now = asyncio.get_running_loop().time()
            due = self._notifier.watchdog_interval
            if due is not None and now - fed >= due - interval / 2:
                fed = self._feed_watchdog(fed, now)
            await asyncio.sleep(interval)

    async def _report_ready(self) -> None:
        """Configuration and store are in order by now; the first connection attempt must be over too."""
        for account in self._accounts:
            await account.connect_attempted.wait()
        self._notifier.ready()

    def _feed_watchdog(self, last_fed: float, now: float) -> float:
        stuck = self._watchdog.overdue()
        if stuck:
            log.error("loops do not move; the watchdog is not fed", loops=list(stuck))
            return last_fed
        self._notifier.watchdog()
        return now

    def _set_status(self, status: str) -> None:
        if status != self._last_status:
            self._last_status = status
            self._notifier.status(status)


def status_line(accounts: list[Account]) -> str:
    """One line for `systemctl status`: each account, its login and its broker."""
    return "; ".join(
        f"{account.name}: {account.login.state}"
        + (f" ({account.login.reason})" if account.login.reason else "")
        + (
            ""
            if account.broker_connected
            else f", no broker ({account.counters.broker_reason or 'connecting'})"
        )
        for account in accounts
    )
