"""The accounts that this process runs: all of the configuration, or those that it has in a cluster now."""

from __future__ import annotations

import asyncio

import structlog
from structlog.contextvars import bound_contextvars

from wx2mqtt.aio import Signal, cancel_and_wait
from wx2mqtt.app.account_factory import AccountFactory
from wx2mqtt.app.account_runner import AccountRunner
from wx2mqtt.app.maintenance import RetentionLimits
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.media.library import MediaLibrary
from wx2mqtt.bridge.supervisor import Watchdog
from wx2mqtt.settings.schema import Account as AccountConfig
from wx2mqtt.store.journal import Journal

log = structlog.get_logger(__name__)

# The key of the reason in `login/state` after an account was given up.
GIVEN_UP_REASON = "given_up"


class RunningAccounts:
    """Builds accounts, runs and stops them one by one. `changed` is emitted after each change of `accounts`.

    `runners` and `media_libraries` are in the order of the configuration and change in place.
    """

    def __init__(self, factory: AccountFactory, watchdog: Watchdog) -> None:
        self.runners: list[AccountRunner] = []
        self.media_libraries: list[MediaLibrary] = []
        self.changed: Signal[[]] = Signal()
        self._factory = factory
        self._watchdog = watchdog
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def accounts(self) -> list[Account]:
        """The current accounts; one that failed is replaced."""
        return [runner.account for runner in self.runners]

    async def add(self, name: str) -> None:
        """Builds an account from its state in the store. Raises `StoreError`."""
        with bound_contextvars(account=name):
            account = await self._factory.create(name)
        runner = AccountRunner(account, self._factory, self._watchdog)
        runner.replaced.connect(lambda _account: self._on_change())
        order = list(self._factory.base_topics)
        self.runners.append(runner)
        self.runners.sort(key=lambda runner: order.index(runner.account.name))
        self._on_change()

    async def run(self) -> None:
        """Runs the accounts until cancelled, also those that are started later."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for runner in self.runners:
                    self._start(runner)
                await asyncio.Event().wait()
        finally:
            self._group = None

    def _start(self, runner: AccountRunner) -> None:
        if self._group is None:
            return  # the process ends: an account that was being built is not run any more
        self._tasks[runner.account.name] = self._group.create_task(runner.run())

    async def start_account(self, name: str) -> None:
        """Builds an account and runs it. Raises `StoreError`."""
        await self.add(name)
        self._start(self._runner_of(name))

    async def stop_account(self, name: str) -> None:
        """Stops an account in order and forgets it. Does nothing where it does not run."""
        if not any(runner.account.name == name for runner in self.runners):
            return
        runner = self._runner_of(name)
        try:
            await runner.stop(GIVEN_UP_REASON)
        except Exception:  # whatever fails, another process is to run the account
            log.exception("account did not stop in order", account=name)
        await cancel_and_wait([task for task in (self._tasks.pop(name, None),) if task is not None])
        self.runners.remove(runner)
        self._on_change()
        await runner.close()
        self._watchdog.remove(name)

    def _runner_of(self, name: str) -> AccountRunner:
        return next(runner for runner in self.runners if runner.account.name == name)

    async def stop(self) -> None:
        """Stops all accounts in order, at the same time."""
        async with asyncio.TaskGroup() as tasks:
            for runner in self.runners:
                tasks.create_task(runner.stop())

    def abort(self) -> None:
        """Publishes nothing more: another process may run the accounts."""
        for account in self.accounts:
            with bound_contextvars(account=account.name):
                account.abort()

    async def close(self) -> None:
        """Closes all connections to WeChat."""
        for runner in self.runners:
            await runner.close()

    def _on_change(self) -> None:
        self.media_libraries[:] = [account.media_library for account in self.accounts]
        self.changed.emit()

    def retention_limits(self) -> dict[Journal, RetentionLimits]:
        """Returns how long each account keeps what it has, without accounts that a reload has removed."""
        settings = self._factory.loaded.settings.accounts
        return {
            account.ctx.journal: _retention_limits(settings[account.name])
            for account in self.accounts
            if account.name in settings
        }


def _retention_limits(settings: AccountConfig) -> RetentionLimits:
    return RetentionLimits(
        history_seconds=settings.history.keep,
        media_seconds=settings.media.keep,
        media_bytes=settings.media.max_total,
    )
