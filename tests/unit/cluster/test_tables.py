"""The rows and locks of instances and accounts in the database."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from functools import partial

import pytest

from tests.support.postgresql import empty_database
from wx2mqtt.cluster import tables
from wx2mqtt.cluster.tables import InstanceIdentity
from wx2mqtt.errors import SettingsError
from wx2mqtt.store.database import Connection
from wx2mqtt.store.postgresql_database import PostgresqlDatabase


def test_two_accounts_whose_locks_are_the_same_by_chance_are_refused(monkeypatch):
    monkeypatch.setattr(tables, "lock_key", len)
    tables.check_account_locks(("a", "bb"), "f")
    with pytest.raises(SettingsError, match=r"accounts\.cc: its lock in the database is that of account bb"):
        tables.check_account_locks(("a", "bb", "cc"), "f")


def test_the_key_of_a_lock_is_documented_and_never_that_of_the_migrations():
    expected = int.from_bytes(hashlib.sha256(b"home").digest()[:4], "big") & 0x7FFFFFFF
    assert tables.lock_key("home") == expected
    assert 0 < expected < 2**31


@pytest.fixture
async def database() -> AsyncIterator[PostgresqlDatabase]:
    opened = await PostgresqlDatabase.open(empty_database())
    yield opened
    await opened.close()


def identity(name: str, *login_key_ids: str) -> InstanceIdentity:
    return InstanceIdentity(name=name, version="1", url="", max_accounts=None, login_key_ids=login_key_ids)


async def test_a_heartbeat_is_stored_only_while_the_row_of_the_instance_exists(
    database: PostgresqlDatabase,
) -> None:
    beat = partial(tables.beat, name="east")
    assert not await database.write("beat", beat)
    await database.write("register", partial(tables.register, identity=identity("east"), is_leaving=False))
    assert await database.write("beat", beat)
    await database.write("leave", partial(tables.leave, name="east"))
    assert not await database.write("beat", beat)


async def test_an_account_is_a_failover_unless_its_previous_instance_released_it(
    database: PostgresqlDatabase,
) -> None:
    async def take(name: str) -> list[str]:
        job = partial(tables.record_taken, names=["home", "office"], instance=name)
        return await database.write("taken", job)

    assert await take("east") == []
    assert await take("east") == [], "the same instance after a restart"
    await database.write("release", lambda db: db.execute(tables.RELEASE, ("home", "east")))
    assert await take("west") == ["office"]


async def test_the_live_instances_without_a_key_are_listed(database: PostgresqlDatabase) -> None:
    def job(connection: Connection) -> list[str]:
        tables.register(connection, identity("east", "new", "old"), is_leaving=False)
        tables.register(connection, identity("west", "old"), is_leaving=False)
        return tables.instances_without_key(connection, "new")

    assert await database.write("register", job) == ["west"]


async def test_a_lock_of_an_account_is_free_again_after_it_was_given_up(database: PostgresqlDatabase) -> None:
    other = await PostgresqlDatabase.open(database.url)
    take = partial(tables.try_lock_accounts, names=["home", "office"])
    assert await database.on_write_connection(take) == ["home", "office"]
    assert await other.on_write_connection(take) == []
    await database.write("unlock", partial(tables.unlock_account, name="home"))
    assert await other.on_write_connection(take) == ["home"]
    await other.close()
