"""Instances in one process on a real PostgreSQL: who runs what, and what happens when one is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import psycopg
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.postgresql import empty_database
from wx2mqtt.aio import cancel_and_wait
from wx2mqtt.clock import Lease
from wx2mqtt.cluster import account_takeover, instance_lease, observation
from wx2mqtt.cluster.account_takeover import AccountTakeover
from wx2mqtt.cluster.instance_lease import InstanceLease
from wx2mqtt.cluster.observation import LEASE_SECONDS, ClusterStatistics
from wx2mqtt.cluster.tables import InstanceIdentity, account_keys
from wx2mqtt.errors import StoreError, StoreLocked, WrongStoreKey
from wx2mqtt.store.database import Connection
from wx2mqtt.store.postgresql_database import LOCK_NAMESPACE, PostgresqlDatabase

ACCOUNTS = ("a", "b", "c", "d")
POLL_SECONDS = 0.02


class Instance:
    """One instance with its own connections. Its accounts are names in `running`."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self.running: set[str] = set()
        self.lost = asyncio.Event()
        self.lease = Lease(LEASE_SECONDS)
        self.statistics = ClusterStatistics()
        self.refuses: set[str] = set()
        self.has_key = True
        self.may_start = asyncio.Event()
        self.may_start.set()
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
        keys = account_keys(ACCOUNTS, "test")
        self.registration = InstanceLease(
            self.database, identity, self.lease, self.statistics, check_key=self._check_key
        )
        self.takeover = AccountTakeover(self.database, self.registration, keys, self, self.statistics)

    def _check_key(self, _connection: Connection) -> None:
        """Every instance has the key of the database, but for one that `has_key` says has another."""
        if not self.has_key:
            raise WrongStoreKey

    async def join(self, *, limit: int | None = None, configuration: str = "", settings: str = "{}") -> None:
        await self.open(limit=limit, configuration=configuration, settings=settings)
        await self.registration.join()
        self._task = asyncio.create_task(self.takeover.run())

    async def start_account(self, name: str) -> None:
        await self.may_start.wait()
        if name in self.refuses:
            raise StoreError("its state is unreadable")
        self.running.add(name)

    async def stop_account(self, name: str) -> None:
        self.running.discard(name)

    async def stop_tasks(self) -> None:
        """Ends all that the instance does; its connections stay."""
        if self._task is not None:
            await cancel_and_wait([self._task])
        await self.takeover.close()

    async def close(self) -> None:
        await self.stop_tasks()
        with suppress(StoreError):
            await self.database.close()

    def end_session(self) -> None:
        """Has the server end the connection that writes, as a restart of the server does."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM instance WHERE name = %s", (self.name,))


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[str], Instance]]:
    """Makes instances of one database. They look often, and find others silent early."""
    monkeypatch.setattr(account_takeover, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(instance_lease, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(observation, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(observation, "NEGLECTED_SECONDS", 0.3)
    monkeypatch.setattr(instance_lease, "NAME_WAIT_SECONDS", 0.2)
    monkeypatch.setattr(instance_lease, "NAME_RETRY_SECONDS", 0.05)
    url = empty_database()
    instances: list[Instance] = []

    def make(name: str) -> Instance:
        instances.append(Instance(url, name))
        return instances[-1]

    yield make
    for instance in instances:
        await instance.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - what other instances do sets no event here
            await asyncio.sleep(POLL_SECONDS)


def shared_out(*instances: Instance) -> bool:
    """Whether each account runs on exactly one instance."""
    return sorted(name for instance in instances for name in instance.running) == list(ACCOUNTS)


async def test_the_only_instance_runs_everything_and_one_that_joins_gets_its_share(cluster):
    one, two = cluster("one"), cluster("two")
    await one.join()
    await until(lambda: one.running == set(ACCOUNTS))
    await two.join()
    await until(lambda: len(one.running) == 2 and shared_out(one, two))
    assert one.statistics.failovers == two.statistics.failovers == 0


async def test_an_account_never_runs_twice_while_it_moves(cluster):
    one, two = cluster("one"), cluster("two")
    seen_twice = []

    class Watched(set[str]):
        def add(self, name: str) -> None:
            super().add(name)
            seen_twice.extend(one.running & two.running)

    one.running, two.running = Watched(), Watched()
    await one.join()
    await two.join()
    await until(lambda: len(one.running) == 2 and shared_out(one, two))
    await one.takeover.leave()
    await until(lambda: two.running == set(ACCOUNTS))
    assert seen_twice == []


async def test_an_instance_that_leaves_gives_its_accounts_up_in_order(cluster):
    one, two = cluster("one"), cluster("two")
    await one.join()
    await two.join()
    await until(lambda: shared_out(one, two) and len(two.running) == 2)
    await one.takeover.leave()
    await one.close()
    await until(lambda: two.running == set(ACCOUNTS))
    assert two.statistics.failovers == 0
    assert [row.name for row in two.takeover.snapshot.instances] in (["two"], ["one", "two"])


async def test_a_lost_connection_revokes_the_lease_and_another_instance_goes_on(cluster):
    one, two = cluster("one"), cluster("two")
    await one.join()
    await two.join()
    await until(lambda: shared_out(one, two) and len(two.running) == 2)
    assert one.lease.is_valid
    one.end_session()
    await asyncio.wait_for(one.lost.wait(), MAX_WAIT_SECONDS)
    assert not one.lease.is_valid
    await one.stop_tasks()
    await until(lambda: two.running == set(ACCOUNTS))
    assert two.statistics.failovers == 2
    with pytest.raises(StoreError):
        await one.database.write("test", lambda db: db.execute("SELECT 1"))


async def test_an_instance_whose_heart_stands_still_is_ended(cluster):
    one, two = cluster("one"), cluster("two")
    await one.join()
    await two.join()
    await until(lambda: shared_out(one, two) and len(two.running) == 2)
    await one.stop_tasks()  # its connections stay, as those of a stopped process do
    await until(lambda: two.running == set(ACCOUNTS))
    with pytest.raises(StoreError):
        await one.database.write("test", lambda db: db.execute("SELECT 1"))
    assert one.lost.is_set()


async def test_an_account_that_is_still_being_begun_is_given_up_only_after_that(cluster):
    """Else it would begin to run when another instance has its lock."""
    one, two = cluster("one"), cluster("two")
    one.may_start.clear()
    await one.join()
    await until(lambda: one.takeover.owned == set(ACCOUNTS))
    await two.join()
    await until(lambda: len(two.takeover.snapshot.instances) == 2)
    await one.registration.set_drained(is_drained=True)
    await until(lambda: any(row.is_draining for row in one.takeover.snapshot.instances))
    assert two.running == set()
    one.may_start.set()
    await until(lambda: two.running == set(ACCOUNTS))
    assert one.running == set()


async def test_a_drained_instance_runs_nothing_and_takes_nothing(cluster):
    one, two = cluster("one"), cluster("two")
    await one.join()
    await two.join()
    await until(lambda: shared_out(one, two) and len(two.running) == 2)
    await one.registration.set_drained(is_drained=True)
    await until(lambda: two.running == set(ACCOUNTS))
    assert one.running == set()
    drained = {row.name: row.is_draining for row in two.takeover.snapshot.instances}
    assert drained == {"one": True, "two": False}


async def test_a_limit_is_kept_and_the_rest_waits(cluster):
    one, two = cluster("one"), cluster("two")
    await one.join(limit=1)
    await until(lambda: len(one.running) == 1)
    await two.join()
    await until(lambda: len(two.running) == 3)
    assert len(one.running) == 1


async def test_a_second_instance_of_the_same_name_is_refused(cluster):
    one, twin = cluster("one"), cluster("one")
    await one.join()
    with pytest.raises(StoreLocked, match=r"set cluster\.instance"):
        await twin.join()


async def test_an_account_that_cannot_be_begun_here_is_begun_elsewhere(cluster):
    one, two = cluster("one"), cluster("two")
    one.refuses.add("b")
    await one.join()
    await until(lambda: one.running == {"a", "c", "d"})
    await two.join()
    await until(lambda: "b" in two.running)


async def test_accounts_of_a_group_run_on_one_instance_and_come_together(cluster):
    one, two = cluster("one"), cluster("two")
    await one.join()
    await until(lambda: len(one.running) == 4)
    await two.join()
    await until(lambda: len(one.running) == len(two.running) == 2)
    pair = frozenset({min(one.running), min(two.running)})
    for instance in (one, two):  # a reload joins two that run apart
        instance.takeover.groups = (pair,)
    await until(lambda: pair <= one.running or pair <= two.running)
    await until(lambda: len(one.running | two.running) == 4)
    keeper, other = (one, two) if pair <= one.running else (two, one)
    await keeper.takeover.leave()
    await until(lambda: len(other.running) == 4)


async def test_a_group_of_which_somebody_has_a_lock_is_not_taken(cluster):
    one = cluster("one")
    async with await psycopg.AsyncConnection.connect(one.url, autocommit=True) as stranger:
        keys = account_keys(ACCOUNTS, "the settings")
        await stranger.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_NAMESPACE, keys["b"]))
        await one.open()
        one.takeover.groups = (frozenset({"a", "b"}),)
        await one.registration.join()
        await one.takeover._take(("a", "b", "c"))
        assert one.takeover.owned == {"c"}
        locks = await stranger.execute("SELECT objid FROM pg_locks WHERE locktype = 'advisory'")
        assert keys["a"] not in {key for (key,) in await locks.fetchall()}


async def test_a_difference_of_the_configuration_is_named(cluster):
    one, two = cluster("one"), cluster("two")
    settings = {"accounts.a.backend": "1", "accounts.a.plain": "2"}
    await one.join(configuration="x", settings=json.dumps(settings))
    await two.join(configuration="y", settings=json.dumps({**settings, "accounts.a.plain": "3"}))
    await until(lambda: one.takeover.differences.get("two") == ("accounts.a.plain",))
    await until(lambda: two.takeover.differences.get("one") == ("accounts.a.plain",))


async def test_a_row_that_somebody_deleted_comes_again(cluster):
    one = cluster("one")
    await one.join()
    with psycopg.connect(one.url, autocommit=True) as connection:
        connection.execute("DELETE FROM instance")
    await until(lambda: bool(one.takeover.snapshot.instances) and one.running == set(ACCOUNTS))
