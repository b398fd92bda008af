"""The accounts that this process runs: all of the configuration, or those that it has in a cluster now.

An account that fails is built and run again, after a longer pause each time; the others do not notice.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import structlog
from structlog.contextvars import bound_contextvars

from wx2mqtt.aio import Signal, cancel_and_wait
from wx2mqtt.app.account_factory import AccountFactory
from wx2mqtt.bridge.account import Account, AccountFailed
from wx2mqtt.bridge.context import Watchdog
from wx2mqtt.bridge.media.stored_media import MediaLibrary
from wx2mqtt.clock import Backoff, boot_time

log = structlog.get_logger(__name__)

# The delays of the restarts of an account that fails again and again.
RESTART_BACKOFF = Backoff(first=1.0, cap=300.0)

# An account that has run for so long is restarted after the first delay again.
STABLE_RUN_SECONDS = 600.0

# A restart that reads the store for longer than this counts as stuck, and systemd restarts the process.
STORE_OPEN_TIMEOUT_SECONDS = 60.0

# The key of the reason in `login/state` after an account was given up.
GIVEN_UP_REASON = "given_up"


@dataclass(slots=True, eq=False)
class _Entry:
    #: After a failure it is replaced by the account that was built again.
    account: Account
    #: The delay of the next restart.
    backoff: Backoff = RESTART_BACKOFF
    #: Runs the account, and builds it again after a failure; None before `Accounts.run`.
    task: asyncio.Task[None] | None = None


class Accounts:
    """Builds accounts, runs them and ends them.

    1. `add` builds an account from its state in the store.
    2. `run` runs what was added; in a cluster `start_account` and `stop_account` follow its decisions then.
    3. `stop_all` completes what has begun, and publishes that the accounts are offline. Or `abort_all`: it
       publishes nothing more. Then `run` is cancelled.
    4. `close_all` closes the connections to WeChat.
    """

    def __init__(self, factory: AccountFactory, watchdog: Watchdog) -> None:
        #: Emitted after each change of `accounts`.
        self.changed: Signal[[]] = Signal()
        #: Those of `accounts`. The web server holds this list, so it is changed in place.
        self.media_libraries: list[MediaLibrary] = []
        #: By the name of the account.
        self._entries: dict[str, _Entry] = {}
        self._factory = factory
        self._watchdog = watchdog
        #: The tasks of the entries; None where `run` does not run.
        self._group: asyncio.TaskGroup | None = None

    @property
    def accounts(self) -> list[Account]:
        """The current accounts, in the order of the configuration."""
        order = self._factory.base_topics
        return [self._entries[name].account for name in order if name in self._entries]

    async def add(self, name: str) -> None:
        """Builds an account; raises `StoreError`."""
        with bound_contextvars(account=name):
            self._entries[name] = _Entry(await self._factory.create(name))
        self._on_change()

    async def run(self) -> None:
        """Runs the accounts until cancelled; raises no failure of an account."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for entry in self._entries.values():
                    entry.task = group.create_task(self._run_again_and_again(entry))
                await asyncio.Event().wait()  # accounts may be added, also where none runs now
        finally:
            self._group = None

    async def start_account(self, name: str) -> None:
        """Builds an account and runs it, unless the process ends meanwhile; raises `StoreError`."""
        await self.add(name)
        if self._group is not None:
            entry = self._entries[name]
            entry.task = self._group.create_task(self._run_again_and_again(entry))

    async def stop_account(self, name: str) -> None:
        """Stops, closes and forgets an account, if it is here: another process runs it next."""
        entry = self._entries.get(name)
        if entry is None:
            return
        try:
            with bound_contextvars(account=name):
                await entry.account.stop(GIVEN_UP_REASON)
        except Exception:  # whatever fails here, another process must get the account
            log.exception("account did not stop in order", account=name)
        if entry.task is not None:
            await cancel_and_wait([entry.task])
        del self._entries[name]
        self._on_change()
        with bound_contextvars(account=name):
            await entry.account.close()
        self._watchdog.remove(name)

    async def stop_all(self) -> None:
        """Stops the accounts in order, all at the same time."""
        async with asyncio.TaskGroup() as tasks:
            for account in self.accounts:
                with bound_contextvars(account=account.name):  # the task keeps the name for its lines
                    tasks.create_task(account.stop("stopped"))

    def abort_all(self) -> None:
        """Makes the accounts publish nothing more, at once: another process may run them."""
        for account in self.accounts:
            with bound_contextvars(account=account.name):
                try:
                    account.abort()
                except Exception:  # the other accounts must not publish either
                    log.exception("account was not aborted in order")

    async def close_all(self) -> None:
        """Closes the connections to WeChat."""
        for account in self.accounts:
            with bound_contextvars(account=account.name):
                await account.close()

    async def _run_again_and_again(self, entry: _Entry) -> None:
        """Runs one account until cancelled, with its name in each line of the log of all its tasks."""
        name = entry.account.name
        with bound_contextvars(account=name):
            while True:
                started_at = boot_time()
                try:
                    await entry.account.run()
                except AccountFailed:  # a run ends only so, or cancelled
                    if boot_time() - started_at >= STABLE_RUN_SECONDS:
                        entry.backoff = RESTART_BACKOFF
                await entry.account.close()
                await self._build_again(entry)

    async def _build_again(self, entry: _Entry) -> None:
        """Puts a new account in place of a failed one, after a pause; tries as often as it takes."""
        failed = entry.account
        account: Account | None = None
        while account is None:
            entry.backoff = entry.backoff.after_failure()
            pause = entry.backoff.wait(random.random())
            self._watchdog.watch_only("begin", failed.name, pause + STORE_OPEN_TIMEOUT_SECONDS)
            log.info("account is begun again", account=failed.name, retry_in=round(pause, 1))
            await asyncio.sleep(pause)
            try:
                account = await self._factory.create(failed.name)
            except Exception:  # a failure of one account must not end the others
                log.exception("account cannot be begun", account=failed.name)
        self._watchdog.idle(f"begin:{failed.name}")
        account.counters.faults = failed.counters.faults  # this metric counts on over restarts
        entry.account = account
        self._on_change()

    def _on_change(self) -> None:
        self.media_libraries[:] = [account.media_library for account in self.accounts]
        self.changed.emit()
