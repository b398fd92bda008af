"""Runs one account as long as the process, and restarts it after a failure without touching the others."""

from __future__ import annotations

import asyncio
import random

import structlog
from structlog.contextvars import bound_contextvars

from wx2mqtt.aio import Signal
from wx2mqtt.app.account_factory import AccountFactory
from wx2mqtt.backoff import Backoff
from wx2mqtt.bridge.account import Account, AccountFailed
from wx2mqtt.bridge.supervisor import Watchdog
from wx2mqtt.clock import boot_time

log = structlog.get_logger(__name__)

FIRST_RESTART_DELAY_SECONDS = 1.0
MAX_RESTART_DELAY_SECONDS = 300.0

# A run of this length resets the delay of the next restart.
STABLE_RUN_SECONDS = 600.0

# If reading the store takes longer during a restart, the watchdog is not fed.
STORE_OPEN_TIMEOUT_SECONDS = 60.0


class AccountRunner:
    """Runs an account and replaces it by a new one when it fails; `replaced` is emitted with the new one."""

    def __init__(self, account: Account, factory: AccountFactory, watchdog: Watchdog) -> None:
        self.account = account
        self.replaced: Signal[[Account]] = Signal()
        self._factory = factory
        self._watchdog = watchdog
        self._backoff = Backoff(first=FIRST_RESTART_DELAY_SECONDS, cap=MAX_RESTART_DELAY_SECONDS)

    async def run(self) -> None:
        """Runs until cancelled. No failure of the account is raised, since it must not end the others."""
        with bound_contextvars(account=self.account.name):  # in each line of the log of all its tasks
            while True:
                await self._run_until_failure()

    async def _run_until_failure(self) -> None:
        started_at = boot_time()
        try:
            await self.account.run()
        except AccountFailed:
            if boot_time() - started_at >= STABLE_RUN_SECONDS:
                self._backoff = self._backoff.reset()
        await self.account.close()
        while not await self._restart():
            pass

    async def _restart(self) -> bool:
        """Waits and builds the account again; returns False where that failed."""
        name = self.account.name
        faults = self.account.counters.faults
        self._backoff = self._backoff.after_failure()
        pause = self._backoff.wait(random.random())
        self._watchdog.remove(name)
        self._watchdog.heartbeat(f"begin:{name}", pause + STORE_OPEN_TIMEOUT_SECONDS)
        log.info("account is begun again", account=name, retry_in=round(pause, 1))
        await asyncio.sleep(pause)
        try:
            account = await self._factory.create(name)
        except Exception:  # a failure of one account must not end the others
            log.exception("account cannot be begun", account=name)
            return False
        account.counters.faults = faults
        self.account = account
        self.replaced.emit(account)
        self._watchdog.idle(f"begin:{name}")
        return True

    async def stop(self, reason_key: str = "stopped") -> None:
        """Stops the account in order, as `Account.stop`; at once where it has just failed."""
        with bound_contextvars(account=self.account.name):
            await self.account.stop(reason_key)

    async def close(self) -> None:
        """Closes the connections to WeChat."""
        with bound_contextvars(account=self.account.name):
            await self.account.close()
