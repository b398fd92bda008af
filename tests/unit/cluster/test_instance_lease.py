"""An instance registers under a name that is its own, and stores its row again where it was deleted."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from tests.unit.cluster.harness import ACCOUNTS, InstanceHarness, wait_until
from wx2mqtt.errors import StoreLocked, WrongStoreKey


async def test_a_second_instance_of_the_same_name_is_refused(make_instance):
    first, second = make_instance("first"), make_instance("first")
    await first.join()
    with pytest.raises(StoreLocked, match=r"set cluster\.instance"):
        await second.join()


async def test_the_row_of_an_instance_is_stored_again_after_it_was_deleted(make_instance):
    first = make_instance("first")
    await first.join()
    with psycopg.connect(first.url, autocommit=True) as connection:
        connection.execute("DELETE FROM instance")
    await wait_until(lambda: bool(first.takeover.snapshot.instances) and first.running == set(ACCOUNTS))


async def test_an_instance_may_act_once_it_has_joined(make_instance):
    instance = make_instance("first")
    await instance.open()
    assert not instance.registration.may_act
    await instance.registration.join()
    assert instance.registration.may_act


async def test_an_instance_with_another_key_of_saved_logins_is_not_registered(make_instance):
    instance = make_instance("first")
    instance.has_key = False
    with pytest.raises(WrongStoreKey):
        await instance.join()
    assert not instance.registration.may_act
    assert stored_instances(instance) == []


async def test_a_drained_instance_is_drained_also_after_it_is_started_again(make_instance):
    first = make_instance("first")
    await first.join()
    await first.registration.set_drained(is_drained=True)
    await first.registration.delete_row()
    await first.close()
    restarted = make_instance("first")
    await restarted.open()
    await restarted.registration.join()
    assert stored_instances(restarted) == [("first", 1)]
    await restarted.registration.set_drained(is_drained=False)
    assert stored_instances(restarted) == [("first", 0)]


async def test_the_others_see_what_an_instance_says_after_a_reload(make_instance):
    instance = make_instance("first")
    await instance.join()
    await instance.registration.update(replace(instance.registration.identity, version="2"))
    await wait_until(lambda: [row.version for row in instance.takeover.snapshot.instances] == ["2"])


def stored_instances(instance: InstanceHarness) -> list[tuple[str, int]]:
    """Returns name and `draining` of all rows."""
    with psycopg.connect(instance.url, autocommit=True) as connection:
        return connection.execute("SELECT name, draining FROM instance").fetchall()
