"""An instance of the bridge without accounts of WeChat: its account names are in `running`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import psycopg

from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.aio import cancel_and_wait
from wx2mqtt.clock import Lease
from wx2mqtt.cluster.account_takeover import AccountTakeover
from wx2mqtt.cluster.instance_lease import InstanceLease
from wx2mqtt.cluster.observation import LEASE_SECONDS, ClusterStatistics
from wx2mqtt.cluster.tables import InstanceIdentity
from wx2mqtt.errors import StoreError, WrongStoreKey
from wx2mqtt.store.database import Connection
from wx2mqtt.store.postgresql_database import PostgresqlDatabase

ACCOUNTS = ("a", "b", "c", "d")


POLL_SECONDS = 0.02


class InstanceHarness:
    """One instance with its own connections, on a real PostgreSQL."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        #: The accounts that run here.
        self.running: set[str] = set()
        self.lost = asyncio.Event()
        self.lease = Lease(LEASE_SECONDS)
        self.statistics = ClusterStatistics()
        #: The accounts that cannot be started here.
        self.failing_accounts: set[str] = set()
        #: Whether its key of saved logins is the one of the database.
        self.has_key = True
        self.may_start_accounts = asyncio.Event()
        self.may_start_accounts.set()
        self._task: asyncio.Task[None] | None = None

    async def open(self, *, limit: int | None = None, configuration: str = "", settings: str = "{}") -> None:
        loop = asyncio.get_running_loop()

        def on_lost() -> None:
            self.lease.revoke()
            loop.call_soon_threadsafe(self.lost.set)

        self.database = await PostgresqlDatabase.open(self.url, on_lost=on_lost)
        identity = InstanceIdentity(
            name=self.name,
            version="1",
            url="",
            max_accounts=limit,
            configuration=configuration,
            settings=settings,
        )
        self.registration = InstanceLease(
            self.database, identity, self.lease, self.statistics, check_login_key=self._check_key
        )
        self.takeover = AccountTakeover(self.database, self.registration, ACCOUNTS, self, self.statistics)

    def _check_key(self, _connection: Connection) -> None:
        if not self.has_key:
            raise WrongStoreKey

    async def join(self, *, limit: int | None = None, configuration: str = "", settings: str = "{}") -> None:
        await self.open(limit=limit, configuration=configuration, settings=settings)
        await self.registration.join()
        self._task = asyncio.create_task(self.takeover.run())

    async def start_account(self, name: str) -> None:
        await self.may_start_accounts.wait()
        if name in self.failing_accounts:
            raise StoreError("its state is unreadable")
        self.running.add(name)

    async def stop_account(self, name: str) -> None:
        self.running.discard(name)

    async def stop_tasks(self) -> None:
        """Stops all that the instance does; its connections stay."""
        if self._task is not None:
            await cancel_and_wait([self._task])
        await self.takeover.close()

    async def close(self) -> None:
        await self.stop_tasks()
        with suppress(StoreError):
            await self.database.close()

    def end_session(self) -> None:
        """Lets the server end the connection that writes, as a restart of the server does."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM instance WHERE name = %s", (self.name,))


async def wait_until(condition: Callable[[], bool]) -> None:
    """Waits until the condition is true."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - what other instances do sets no event here
            await asyncio.sleep(POLL_SECONDS)
