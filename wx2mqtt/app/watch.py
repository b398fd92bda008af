"""What systemd is told: READY, WATCHDOG while every loop moves, STATUS in words (DESIGN 4.3)."""

from __future__ import annotations

import asyncio

import structlog

from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.pulse import Pulse
from wx2mqtt.service.systemd import Notifier

log = structlog.get_logger(__name__)

LOOK = 1.0  # seconds between two looks at what STATUS should say


class Watch:
    """Feeds the watchdog from progress, never from a timer alone."""

    def __init__(self, notifier: Notifier, pulse: Pulse, accounts: list[Account]) -> None:
        self._notifier = notifier
        self._pulse = pulse
        self._accounts = accounts
        self._said = ""

    async def run(self) -> None:
        """Say READY, then watch until cancelled."""
        await self._ready()
        interval = min(self._notifier.watchdog_interval or LOOK, LOOK)
        fed = 0.0
        while True:
            self._say(status_line(self._accounts))
            now = asyncio.get_running_loop().time()
            due = self._notifier.watchdog_interval
            if due is not None and now - fed >= due - interval / 2:
                fed = self._feed(fed, now)
            await asyncio.sleep(interval)

    async def _ready(self) -> None:
        """Configuration and store are in order by now; the first connection attempt must be over too."""
        for account in self._accounts:
            await account.tried.wait()
        self._notifier.ready()

    def _feed(self, fed: float, now: float) -> float:
        stuck = self._pulse.stuck()
        if stuck:
            log.error("loops do not move; the watchdog is not fed", loops=list(stuck))
            return fed
        self._notifier.watchdog()
        return now

    def _say(self, status: str) -> None:
        if status != self._said:
            self._said = status
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
