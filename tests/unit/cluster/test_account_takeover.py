"""Several instances share the accounts: each account runs on one of them, also after one was lost."""

from __future__ import annotations

import asyncio
import json

import psycopg
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.cluster.harness import ACCOUNTS, InstanceHarness, wait_until
from wx2mqtt.cluster.tables import lock_key
from wx2mqtt.errors import StoreError
from wx2mqtt.store.postgresql_database import LOCK_NAMESPACE


def run_each_account_once(*instances: InstanceHarness) -> bool:
    """Returns whether each account runs on exactly one of the instances."""
    return sorted(name for instance in instances for name in instance.running) == list(ACCOUNTS)


async def test_the_only_instance_runs_all_accounts_and_one_that_joins_gets_its_share(make_instance):
    first, second = make_instance("first"), make_instance("second")
    await first.join()
    await wait_until(lambda: first.running == set(ACCOUNTS))
    await second.join()
    await wait_until(lambda: len(first.running) == 2 and run_each_account_once(first, second))
    assert first.statistics.failovers == second.statistics.failovers == 0


async def test_an_account_never_runs_on_two_instances_while_it_moves(make_instance):
    first, second = make_instance("first"), make_instance("second")
    running_twice = []

    class OverlapRecorder(set[str]):
        def add(self, name: str) -> None:
            super().add(name)
            running_twice.extend(first.running & second.running)

    first.running, second.running = OverlapRecorder(), OverlapRecorder()
    await first.join()
    await second.join()
    await wait_until(lambda: len(first.running) == 2 and run_each_account_once(first, second))
    await first.takeover.leave()
    await wait_until(lambda: second.running == set(ACCOUNTS))
    assert running_twice == []


async def test_an_account_of_an_instance_that_leaves_is_no_failover(make_instance):
    first, second = make_instance("first"), make_instance("second")
    await first.join()
    await second.join()
    await wait_until(lambda: run_each_account_once(first, second) and len(second.running) == 2)
    await first.takeover.leave()
    await first.close()
    await wait_until(lambda: second.running == set(ACCOUNTS))
    assert second.statistics.failovers == 0
    assert [row.name for row in second.takeover.snapshot.instances] in (["second"], ["first", "second"])


async def test_after_a_lost_connection_the_lease_is_revoked_and_another_instance_takes_the_accounts(
    make_instance,
):
    first, second = make_instance("first"), make_instance("second")
    await first.join()
    await second.join()
    await wait_until(lambda: run_each_account_once(first, second) and len(second.running) == 2)
    assert first.lease.is_valid
    first.end_session()
    await asyncio.wait_for(first.lost.wait(), MAX_WAIT_SECONDS)
    assert not first.lease.is_valid
    await first.stop_tasks()
    await wait_until(lambda: second.running == set(ACCOUNTS))
    assert second.statistics.failovers == 2
    with pytest.raises(StoreError):
        await first.database.write("test", lambda db: db.execute("SELECT 1"))


async def test_the_session_of_an_instance_whose_heartbeats_stop_is_ended(make_instance):
    first, second = make_instance("first"), make_instance("second")
    await first.join()
    await second.join()
    await wait_until(lambda: run_each_account_once(first, second) and len(second.running) == 2)
    await first.stop_tasks()  # its connections stay, as those of a stopped process do
    await wait_until(lambda: second.running == set(ACCOUNTS))
    with pytest.raises(StoreError):
        await first.database.write("test", lambda db: db.execute("SELECT 1"))
    assert first.lost.is_set()


async def test_an_account_that_is_still_being_started_is_given_up_only_after_that(make_instance):
    """Otherwise it would start to run when another instance has its lock."""
    first, second = make_instance("first"), make_instance("second")
    first.may_start_accounts.clear()
    await first.join()
    await wait_until(lambda: first.takeover.owned == set(ACCOUNTS))
    await second.join()
    await wait_until(lambda: len(second.takeover.snapshot.instances) == 2)
    await first.registration.set_drained(is_drained=True)
    await wait_until(lambda: any(row.is_draining for row in first.takeover.snapshot.instances))
    assert second.running == set()
    first.may_start_accounts.set()
    await wait_until(lambda: second.running == set(ACCOUNTS))
    assert first.running == set()


async def test_a_drained_instance_gives_up_its_accounts_and_takes_none(make_instance):
    first, second = make_instance("first"), make_instance("second")
    await first.join()
    await second.join()
    await wait_until(lambda: run_each_account_once(first, second) and len(second.running) == 2)
    await first.registration.set_drained(is_drained=True)
    await wait_until(lambda: second.running == set(ACCOUNTS))
    assert first.running == set()
    drained = {row.name: row.is_draining for row in second.takeover.snapshot.instances}
    assert drained == {"first": True, "second": False}


async def test_an_instance_takes_no_more_accounts_than_its_limit(make_instance):
    first, second = make_instance("first"), make_instance("second")
    await first.join(limit=1)
    await wait_until(lambda: len(first.running) == 1)
    await second.join()
    await wait_until(lambda: len(second.running) == 3)
    assert len(first.running) == 1


async def test_an_account_that_cannot_be_started_here_is_started_on_another_instance(make_instance):
    first, second = make_instance("first"), make_instance("second")
    first.failing_accounts.add("b")
    await first.join()
    await wait_until(lambda: first.running == {"a", "c", "d"})
    await second.join()
    await wait_until(lambda: "b" in second.running)


async def test_accounts_of_a_group_run_on_one_instance_and_move_together(make_instance):
    first, second = make_instance("first"), make_instance("second")
    await first.join()
    await wait_until(lambda: len(first.running) == 4)
    await second.join()
    await wait_until(lambda: len(first.running) == len(second.running) == 2)
    group = frozenset({min(first.running), min(second.running)})
    for instance in (first, second):  # a reload joins two that run apart
        instance.takeover.groups = (group,)
    await wait_until(lambda: group <= first.running or group <= second.running)
    await wait_until(lambda: len(first.running | second.running) == 4)
    owner, other = (first, second) if group <= first.running else (second, first)
    await owner.takeover.leave()
    await wait_until(lambda: len(other.running) == 4)


async def test_a_group_is_not_taken_while_another_program_has_the_lock_of_one_of_its_accounts(make_instance):
    first = make_instance("first")
    async with await psycopg.AsyncConnection.connect(first.url, autocommit=True) as other_program:
        await other_program.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_NAMESPACE, lock_key("b")))
        await first.open()
        first.takeover.groups = (frozenset({"a", "b"}),)
        await first.registration.join()
        await first.takeover._take(("a", "b", "c"))
        assert first.takeover.owned == {"c"}
        locks = await other_program.execute("SELECT objid FROM pg_locks WHERE locktype = 'advisory'")
        assert lock_key("a") not in {key for (key,) in await locks.fetchall()}


async def test_the_keys_in_which_the_configurations_of_two_instances_differ_are_named(make_instance):
    first, second = make_instance("first"), make_instance("second")
    settings = {"accounts.a.backend": "1", "accounts.a.plain": "2"}
    await first.join(configuration="x", settings=json.dumps(settings))
    await second.join(configuration="y", settings=json.dumps({**settings, "accounts.a.plain": "3"}))
    await wait_until(lambda: first.takeover.differences.get("second") == ("accounts.a.plain",))
    await wait_until(lambda: second.takeover.differences.get("first") == ("accounts.a.plain",))
