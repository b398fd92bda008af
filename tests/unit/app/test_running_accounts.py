"""Accounts that begin and end one by one, also while the process ends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from wx2mqtt.app.running_accounts import RunningAccounts
from wx2mqtt.bridge.supervisor import Watchdog


class PaperFactory:
    """Builds an account once `may_create` is set; `runs` counts the accounts that ran."""

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


async def test_an_account_that_is_built_when_all_have_ended_does_not_run() -> None:
    factory: Any = PaperFactory()
    accounts = RunningAccounts(factory, Watchdog(asyncio.get_running_loop().time))
    running = asyncio.create_task(accounts.run())
    starting = asyncio.create_task(accounts.start_account("home"))
    await factory.is_creating.wait()
    running.cancel()
    await asyncio.wait({running})
    factory.may_create.set()
    await starting
    assert factory.runs == 0
