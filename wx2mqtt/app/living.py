"""One account for as long as the process lives: a fault of ours ends it alone, and it is begun again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from wx2mqtt.bridge.account import Account, Failed
from wx2mqtt.bridge.pulse import Pulse
from wx2mqtt.clock import steady
from wx2mqtt.retry import Backoff

log = structlog.get_logger(__name__)

FIRST, LONGEST = 1.0, 300.0  # seconds until it is begun again
SOUND = 600.0  # seconds after which a life counts as a good one
BEGINNING = 60.0  # seconds that the store may take; then it is the watchdog's turn

Begin = Callable[[str], Awaitable[Account]]
"""Wires the account of that name, standing where its journal says."""

Begun = Callable[[Account], None]
"""Told of an account that takes the place of the one that ended."""


class Living:
    """Runs an account, and the next one in its place where that fails. `account` is the one of now."""

    def __init__(self, account: Account, begin: Begin, begun: Begun, pulse: Pulse) -> None:
        self.account = account
        self._begin = begin
        self._begun = begun
        self._pulse = pulse
        self._backoff = Backoff(first=FIRST, cap=LONGEST)

    async def run(self) -> None:
        """Bridge until cancelled. No fault of one account may end another, so none leaves here."""
        while True:
            began = steady()
            try:
                await self.account.run()
            except Failed:
                if steady() - began >= SOUND:
                    self._backoff = self._backoff.reset()
            await self.account.close()
            while not await self._begin_again():
                pass

    async def _begin_again(self) -> bool:
        """Wait, then wire it anew; False where that failed too."""
        name, faults = self.account.name, self.account.counters.faults
        self._backoff = self._backoff.failed()
        pause = self._backoff.wait(random.random())
        self._pulse.forget(name)
        self._pulse.beat(f"begin:{name}", pause + BEGINNING)
        log.info("account is begun again", account=name, retry_in=round(pause, 1))
        await asyncio.sleep(pause)
        try:
            account = await self._begin(name)
        except Exception:  # the supervisor: what one account meets at its beginning must not end the others
            log.exception("account cannot be begun", account=name)
            return False
        account.counters.faults = faults
        self.account = account
        self._begun(account)
        self._pulse.rest(f"begin:{name}")
        return True

    async def stop(self) -> None:
        """Stop in order; at once where it has just failed."""
        await self.account.stop()

    async def close(self) -> None:
        """Let go of the connections to WeChat."""
        await self.account.close()
