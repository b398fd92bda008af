"""One account for as long as the process lives: a fault of ours ends it alone, and it is begun again."""

from __future__ import annotations

import asyncio
import random

import structlog

from wx2mqtt.aio import Signal
from wx2mqtt.app.account_factory import AccountFactory
from wx2mqtt.backoff import Backoff
from wx2mqtt.bridge.account import Account, AccountFailed
from wx2mqtt.bridge.supervisor import Watchdog
from wx2mqtt.clock import monotonic

log = structlog.get_logger(__name__)

FIRST_RESTART_DELAY_SECONDS, MAX_RESTART_DELAY_SECONDS = 1.0, 300.0  # seconds until it is begun again
STABLE_RUN_SECONDS = 600.0  # seconds after which a life counts as a good one
STORE_OPEN_TIMEOUT_SECONDS = 60.0  # seconds that the store may take; then it is the watchdog's turn


class AccountRunner:
    """Runs an account, and builds it anew where it fails; `replaced` is emitted with the new one then."""

    def __init__(self, account: Account, factory: AccountFactory, watchdog: Watchdog) -> None:
        self.account = account
        self.replaced: Signal[[Account]] = Signal()
        self._factory = factory
        self._watchdog = watchdog
        self._backoff = Backoff(first=FIRST_RESTART_DELAY_SECONDS, cap=MAX_RESTART_DELAY_SECONDS)

    async def run(self) -> None:
        """Bridge until cancelled. No fault of one account may end another, so none leaves here."""
        while True:
            began = monotonic()
            try:
                await self.account.run()
            except AccountFailed:
                if monotonic() - began >= STABLE_RUN_SECONDS:
                    self._backoff = self._backoff.reset()
            await self.account.close()
            while not await self._restart():
                pass

    async def _restart(self) -> bool:
        """Wait, then wire it anew; False where that failed too."""
        name, faults = self.account.name, self.account.counters.faults
        self._backoff = self._backoff.after_failure()
        pause = self._backoff.wait(random.random())
        self._watchdog.remove(name)
        self._watchdog.heartbeat(f"begin:{name}", pause + STORE_OPEN_TIMEOUT_SECONDS)
        log.info("account is begun again", account=name, retry_in=round(pause, 1))
        await asyncio.sleep(pause)
        try:
            account = await self._factory.create(name)
        except Exception:  # the supervisor: what one account meets at its beginning must not end the others
            log.exception("account cannot be begun", account=name)
            return False
        account.counters.faults = faults
        self.account = account
        self.replaced.emit(account)
        self._watchdog.idle(f"begin:{name}")
        return True

    async def stop(self) -> None:
        """Stop in order; at once where it has just failed."""
        await self.account.stop()

    async def close(self) -> None:
        """Let go of the connections to WeChat."""
        await self.account.close()
