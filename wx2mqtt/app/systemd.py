"""Notifies systemd: READY, RELOADING, STOPPING, STATUS, and WATCHDOG while no loop is stuck (sd_notify(3)).

Sends nothing where NOTIFY_SOCKET is not set. Uses no package from PyPI: the pure ones (sdnotify,
systemd-watchdog, sd-notify) do not support reloading and are not maintained, and the others need a C compiler
and libsystemd.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.app.accounts import Accounts
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.context import Watchdog

log = structlog.get_logger(__name__)

MAX_STATUS_CHARACTERS = 300

STATUS_INTERVAL_SECONDS = 1.0  # between two updates of STATUS, at least
OVERDUE_CHECK_SECONDS = 1.0  # between two checks whether a loop that is overdue moves again


class SystemdNotifier:
    """Sends messages to the service manager. Logs failures and raises none."""

    def __init__(self, env: Mapping[str, str]) -> None:
        address = env.get("NOTIFY_SOCKET", "")
        # A path, or a name in the abstract namespace after an @.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        #: Whether a service manager reads the messages.
        self.is_listening = address.startswith(("@", "/"))
        #: Seconds between two calls of `feed_watchdog`: half of the unit's limit; None without a watchdog.
        self.watchdog_interval = _watchdog_interval(env)

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """Reports that a reload begins, with the time that Type=notify-reload requires."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Sets the line that `systemctl status` shows."""
        self._send(f"STATUS={' '.join(text.split())[:MAX_STATUS_CHARACTERS]}")

    def feed_watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if not self.is_listening:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify_socket:
                notify_socket.setblocking(False)  # a manager that does not read must not block the bridge
                notify_socket.sendto("\n".join(assignments).encode("utf-8", "replace"), self._address)
        except OSError as error:
            log.warning("service manager not reached", error=error.strerror)


def _watchdog_interval(env: Mapping[str, str]) -> float | None:
    if env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        limit_us = int(env.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return limit_us / 2_000_000 if limit_us > 0 else None


@dataclass(eq=False)
class SystemdWatchdog:
    """Feeds systemd's watchdog as long as every loop makes progress, and updates STATUS after changes.

    Without a service manager nothing wakes it up after the start.
    """

    notifier: SystemdNotifier
    watchdog: Watchdog
    accounts: Accounts
    changes: ChangeNotifier
    #: Returns what STATUS says besides the accounts.
    notes: Callable[[], list[str]] = list

    async def run(self) -> None:
        """Reports READY, then feeds the watchdog until cancelled; returns where no manager listens."""
        for account in self.accounts.accounts:
            await account.connect_attempted.wait()  # the first attempt to reach the broker has ended
        self.notifier.ready()
        if not self.notifier.is_listening:
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._update_status())
            if self.notifier.watchdog_interval is not None:
                tasks.create_task(self._feed_watchdog(self.notifier.watchdog_interval))

    async def _feed_watchdog(self, interval: float) -> None:
        """Feeds the watchdog, unless a loop is overdue; then checks each second whether it moves again."""
        while True:
            overdue = self.watchdog.overdue()
            if overdue:
                log.error("loops do not move; the watchdog is not fed", loops=list(overdue))
            else:
                self.notifier.feed_watchdog()
            await asyncio.sleep(min(interval, OVERDUE_CHECK_SECONDS) if overdue else interval)

    async def _update_status(self) -> None:
        shown, seen_changes = "", self.changes.count
        while True:
            status = status_line(self.accounts.accounts, self.notes())
            if status != shown:
                self.notifier.status(status)
                shown = status
            await asyncio.sleep(STATUS_INTERVAL_SECONDS)
            seen_changes = await self.changes.wait(seen_changes)


def status_line(accounts: list[Account], notes: Sequence[str] = ()) -> str:
    """Returns the line for `systemctl status`: the notes, then login and broker of each account.

    An example is "home: online; work: waiting_for_scan (scan the code), no broker (connecting)".
    """
    parts = [*notes]
    for account in accounts:
        status = f"{account.name}: {account.login.state}"
        if account.login.reason and account.login.reason not in notes:
            status += f" ({account.login.reason})"
        if not account.broker_connected:
            status += f", no broker ({account.counters.broker_reason or 'connecting'})"
        parts.append(status)
    return "; ".join(parts)
