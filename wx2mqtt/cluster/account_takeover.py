"""Takes, starts and gives up the accounts of one instance of the cluster.

    take an account     lock it, write its row in `ownership`, start it
    give it up          stop it, close its row, unlock it, notify the other instances

`assignment.decide` says which accounts are taken and given up; all that is done only while the lease of the
instance is valid (`InstanceLease`). An instance that ends without giving its accounts up leaves their rows
open. The instance that takes such an account next counts a failover.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn, Protocol

import structlog

from wx2mqtt.aio import LogInterval, cancel_and_wait
from wx2mqtt.clock import boot_time
from wx2mqtt.cluster import tables
from wx2mqtt.cluster.assignment import ClusterView, Decision, decide
from wx2mqtt.cluster.configuration_digest import named_keys
from wx2mqtt.cluster.instance_lease import InstanceLease
from wx2mqtt.cluster.observation import ClusterStatistics, Observer, Snapshot, members_of
from wx2mqtt.cluster.tables import InstanceIdentity
from wx2mqtt.errors import StoreError
from wx2mqtt.store.postgresql_database import PostgresqlDatabase, PostgresqlListener

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0  # between two looks at the cluster, if no notification wakes the instance

PROBLEM_INTERVAL_SECONDS = 60.0  # between two lines of the log that say that the cluster cannot be watched

AVOID_SECONDS = 30.0  # for which an account that could not be started is left to the other instances


class AccountHost(Protocol):
    """Runs accounts; the application implements it."""

    async def start_account(self, name: str) -> None:
        """Begins to run an account. Raises `StoreError` if its state cannot be read."""

    async def stop_account(self, name: str) -> None:
        """Stops an account in order; when it returns, nothing of it is under way."""


class AccountTakeover:
    """The accounts of one instance, until its connection to the database is lost or it leaves.

    1. `InstanceLease.join` has registered the instance.
    2. `run` stores heartbeats, which renew its lease, and looks at all instances: two loops.
    3. `leave` gives all accounts up, while `run` goes on.
    4. `close` is called when `run` was cancelled.
    """

    def __init__(
        self,
        database: PostgresqlDatabase,
        instance: InstanceLease,
        accounts: Sequence[str],
        host: AccountHost,
        statistics: ClusterStatistics,
    ) -> None:
        #: The accounts of the configuration at the start.
        self.accounts = accounts
        #: Those that run on one instance together or not at all; a reload may change it.
        self.groups: Sequence[frozenset[str]] = ()
        #: What the last look saw.
        self.snapshot = Snapshot(lock_holders={})
        #: Emitted when `snapshot` has changed, or whether the instance may act.
        self.changed = instance.changed
        #: The accounts whose lock this instance holds.
        self.owned: set[str] = set()
        #: The keys in which the configuration of another instance differs, by its name.
        self.differences: Mapping[str, Sequence[str]] = {}
        self._database = database
        self._host = host
        self._instance = instance
        self._statistics = statistics
        self._observer = Observer()
        #: The task that starts each account that was just taken.
        self._starting: dict[str, asyncio.Task[None]] = {}
        #: The task that gives up each account that this instance is to lose.
        self._giving_up: dict[str, asyncio.Task[None]] = {}
        #: When (`boot_time`) this instance may take each account again that it could not start.
        self._avoided_until: dict[str, float] = {}
        self._watch_problems = LogInterval(PROBLEM_INTERVAL_SECONDS)
        #: The digest of its configuration by the name of each instance: it was compared with the own one.
        self._compared_digests: dict[str, str] = {}

    async def update(self, identity: InstanceIdentity) -> None:
        """Stores what the instance says about itself after a reload. Raises `StoreError`."""
        self._compared_digests.clear()
        await self._instance.update(identity)

    async def run(self) -> None:
        """Takes part until cancelled. Raises `StoreError` when commits are refused."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._instance.store_heartbeats())
            tasks.create_task(self._watch())

    async def close(self) -> None:
        """Stops what is under way after `run` was cancelled."""
        await cancel_and_wait([*self._starting.values(), *self._giving_up.values()])

    async def leave(self) -> None:
        """Gives all accounts up, all of them at the same time, and deletes the row of the instance."""
        self._instance.is_leaving = True
        await cancel_and_wait([*self._starting.values()])
        # From now on no other instance leaves a free account to this one.
        await self._instance.set_draining()
        await asyncio.gather(*(self._begin_give_up(name) for name in sorted(self.owned)))
        await self._instance.delete_row()

    # The looks at the cluster

    async def _watch(self) -> None:
        """Looks at the cluster until cancelled, on a connection of its own, which is opened again when lost.

        The loss of this connection ends no account: the locks are on the connection that commits.
        """
        while True:
            try:
                await self._listen()
            except StoreError as error:
                if self._watch_problems.is_due():
                    log.warning("cluster cannot be watched", problem=str(error))
                # Where the server is gone, the connection that commits shows it.
                self._instance.store_heartbeat_now()
                await asyncio.sleep(LOOK_SECONDS)

    async def _listen(self) -> NoReturn:
        listener = await PostgresqlListener.open(self._database.url, tables.CHANNEL)
        try:
            while True:
                await self._look(listener)
                await listener.wait(LOOK_SECONDS)
        finally:
            await listener.close()

    async def _look(self, listener: PostgresqlListener) -> None:
        """Looks at the cluster once, and acts:

        1. has a heartbeat stored at once if the own session, which holds the locks, cannot be seen
        2. ends silent instances, and deletes the rows of those that are long gone
        3. warns of other configurations
        4. takes accounts and gives them up, while the lease is valid
        """
        now = await self._update_snapshot(listener)
        rows = self.snapshot.instances
        if not any(row.has_session and row.name == self._instance.name for row in rows):
            self._instance.store_heartbeat_now()
        await self._end_silent(listener)
        await self._compare_configurations(listener)
        if not (self._instance.is_leaving or self._observer.must_wait) and self._instance.may_act:
            await self._carry_out(decide(self._view(now)))

    async def _update_snapshot(self, listener: PostgresqlListener) -> float:
        """Reads the rows and locks of all instances; returns when (`boot_time`)."""
        started_at = boot_time()
        snapshot = await tables.read_snapshot(listener, self.accounts)
        now = boot_time()
        self._statistics.look_seconds = now - started_at
        free = [name for name in self.accounts if name not in snapshot.lock_holders]
        self._observer.update(snapshot, free, now, has_lease=self._instance.may_act)
        has_changed = snapshot != self.snapshot
        self.snapshot = snapshot
        if has_changed:
            self.changed.emit()
        return now

    def _view(self, now: float) -> ClusterView:
        return ClusterView(
            name=self._instance.name,
            accounts=self.accounts,
            groups=self.groups,
            members=members_of(self.snapshot),
            giving_up=frozenset(self._giving_up),
            neglected=self._observer.neglected(now),
            avoided=frozenset(name for name, until in self._avoided_until.items() if until > now),
        )

    async def _end_silent(self, listener: PostgresqlListener) -> None:
        for row in self._observer.silent:
            if row.name != self._instance.name and await tables.end_session(listener, row):
                log.warning("instance without a heartbeat ended", instance=row.name)
        for row in self._observer.forgotten:
            await self._database.execute("forget", tables.FORGET, (row.name, row.pid, row.heartbeat))

    async def _compare_configurations(self, listener: PostgresqlListener) -> None:
        """Logs once in which keys another instance differs."""
        own_name = self._instance.name
        for row in self.snapshot.instances:
            if row.has_session and self._compared_digests.get(row.name) != row.configuration:
                self._compared_digests[row.name] = row.configuration
                keys = await tables.read_differences(listener, own_name, row.name)
                self.differences = {**self.differences, row.name: keys}
                if keys:
                    log.warning("configuration differs", instance=row.name, keys=named_keys(keys))

    # Taking accounts and giving them up

    async def _carry_out(self, decision: Decision) -> None:
        if decision.take:
            await self._take(decision.take)
        for name in decision.give_up:
            if name in self.owned:  # the snapshot may be older than the end of a move
                self._begin_give_up(name)

    async def _take(self, names: tuple[str, ...]) -> None:
        """Locks accounts, stores that this instance runs them, and starts those that it could lock."""
        unlocked = [name for name in names if name not in self.owned]
        locked = await self._database.on_write_connection(partial(tables.try_lock_accounts, names=unlocked))
        taken = [name for name in locked if self._has_group_of(name, locked)]
        for name in set(locked) - set(taken):  # another instance has the rest of the group of this account
            await self._database.on_write_connection(partial(tables.unlock_account, name=name))
        if not taken:
            return
        try:
            failovers = await self._database.write(
                "take", partial(tables.record_taken, names=taken, instance=self._instance.name)
            )
        except StoreError:
            for name in taken:
                await self._release(name)
            raise
        self._statistics.failovers += len(failovers)
        self.owned.update(taken)
        for name in taken:
            log.info("account taken", account=name, failover=name in failovers)
            self._starting[name] = asyncio.create_task(self._start(name))

    def _has_group_of(self, name: str, locked: Sequence[str]) -> bool:
        """Returns whether this instance has the locks of all accounts that run together with this one."""
        group = next((group for group in self.groups if name in group), frozenset({name}))
        return group <= self.owned.union(locked)

    async def _start(self, name: str) -> None:
        try:
            await self._host.start_account(name)
        except Exception:  # one account must not end the others
            log.exception("account cannot be begun", account=name)
            self._avoided_until[name] = boot_time() + AVOID_SECONDS
            await self._release(name)
        finally:
            self._starting.pop(name, None)

    def _begin_give_up(self, name: str) -> asyncio.Task[None]:
        if name not in self._giving_up:
            self._giving_up[name] = asyncio.create_task(self._give_up(name))
        return self._giving_up[name]

    async def _give_up(self, name: str) -> None:
        try:
            if (starting := self._starting.get(name)) is not None:
                await asyncio.wait([starting])  # else the account would start after its lock is given back
            await self._host.stop_account(name)
            await self._release(name)
            log.info("account given up", account=name)
        finally:
            self._giving_up.pop(name, None)

    async def _release(self, name: str) -> None:
        """Closes the row of an account in `ownership`, and gives its lock back."""
        self.owned.discard(name)
        with suppress(StoreError):  # where the connection is lost, the lock is lost with it
            await self._database.execute("release", tables.RELEASE, (name, self._instance.name))
            await self._database.on_write_connection(partial(tables.unlock_account, name=name))
