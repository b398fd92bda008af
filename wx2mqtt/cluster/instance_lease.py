"""The lease of one instance: it may act for its accounts for 7 s after its last stored heartbeat.

    join                registers the instance, as the only one with its name; the lease begins
    store_heartbeats    stores one every 2 s, and each renews the lease
    set_draining        the other instances leave no free account to this one
    delete_row          the instance is gone

A stored heartbeat proves that this instance can commit, and so that it has the locks of its accounts: both
are on the same connection.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import NoReturn

import structlog

from wx2mqtt.aio import Signal, wait_at_most
from wx2mqtt.clock import Lease, boot_time
from wx2mqtt.cluster import tables
from wx2mqtt.cluster.observation import HEARTBEAT_SECONDS, LEASE_SECONDS, ClusterStatistics
from wx2mqtt.cluster.tables import InstanceIdentity
from wx2mqtt.errors import StoreLocked
from wx2mqtt.store.database import Connection, Job
from wx2mqtt.store.postgresql_database import PostgresqlDatabase

log = structlog.get_logger(__name__)

# A new instance waits so long until the session of its predecessor with the same name has ended.
NAME_WAIT_SECONDS = 15.0
NAME_RETRY_SECONDS = 0.5


class InstanceLease:
    """The row of this instance, with its heartbeat, and the lease. All methods raise `StoreError`."""

    def __init__(
        self,
        database: PostgresqlDatabase,
        identity: InstanceIdentity,
        lease: Lease,
        statistics: ClusterStatistics,
        *,
        check_login_key: Job[None],
    ) -> None:
        self.identity = identity
        #: Emitted when `may_act` may have changed.
        self.changed: Signal[[]] = Signal()
        #: The instance takes no account any more.
        self.is_leaving = False
        self._database = database
        self._lease = lease
        self._statistics = statistics
        #: Raises in a write job if the key of saved logins is not the database's.
        self._check_login_key = check_login_key
        #: Set to have a heartbeat stored at once.
        self._heartbeat_due = asyncio.Event()

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def may_act(self) -> bool:
        """Whether the lease is valid: the last heartbeat was stored in time."""
        return self._lease.is_valid

    async def join(self) -> None:
        """Registers the instance. Raises `StoreLocked` where another one has its name."""
        started_at = boot_time()
        deadline = started_at + NAME_WAIT_SECONDS
        lock = partial(tables.try_lock, namespace=tables.INSTANCE_NAMESPACE, name=self.name)
        while not await self._database.on_write_connection(lock):
            if boot_time() >= deadline:
                raise StoreLocked(
                    f"An instance with the name {self.name} uses this database already; set cluster.instance."
                )
            await asyncio.sleep(NAME_RETRY_SECONDS)
            started_at = boot_time()
        await self._register()
        self._lease.renew(started_at)

    async def update(self, identity: InstanceIdentity) -> None:
        """Stores what the instance says about itself after a reload."""
        self.identity = identity
        await self._register()

    async def _register(self) -> None:
        """Stores the row of this instance, while its key of saved logins is that of the database."""

        def job(connection: Connection) -> None:
            self._check_login_key(connection)
            tables.register(connection, self.identity, is_leaving=self.is_leaving)

        await self._database.write("register", job)

    async def store_heartbeats(self) -> NoReturn:
        """Stores heartbeats, and the row again where somebody has deleted it, until cancelled."""
        while True:
            started_at = boot_time()
            is_registered = await self._store_heartbeat()
            if not is_registered and not self.is_leaving:
                await self._register()
            could_act = self.may_act
            self._lease.renew(started_at)
            if not could_act:
                self.changed.emit()
            self._statistics.heartbeat_seconds = boot_time() - started_at
            self._heartbeat_due.clear()
            await wait_at_most(self._heartbeat_due, HEARTBEAT_SECONDS)

    async def _store_heartbeat(self) -> bool:
        """Returns whether the row of this instance is there. Tells when that takes longer than the lease."""
        job = partial(tables.beat, name=self.name)
        write = asyncio.ensure_future(self._database.write("heartbeat", job, urgent=True))
        try:
            await asyncio.wait({write}, timeout=LEASE_SECONDS)
            if not write.done():
                log.warning("database does not answer; nothing goes out until it does")
                self.changed.emit()
            return await write
        finally:
            write.cancel()

    def store_heartbeat_now(self) -> None:
        """Lets the next heartbeat be stored at once: it fails if the connection is lost."""
        self._heartbeat_due.set()

    async def set_drained(self, *, is_drained: bool) -> None:
        """Lets the other instances have all accounts, or takes accounts again; also after a new start."""
        job = partial(tables.set_drained, name=self.name, is_drained=is_drained)
        await self._database.write("drain", job)

    async def set_draining(self) -> None:
        """Lets the other instances have all accounts until `delete_row`."""
        job = partial(tables.set_draining, name=self.name, is_draining=True)
        await self._database.write("drain", job)

    async def delete_row(self) -> None:
        await self._database.write("leave", partial(tables.leave, name=self.name))
