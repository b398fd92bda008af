"""PostgreSQL as a database: its schema, and what happens when a connection is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.postgresql import address, empty_database, new_database
from tests.unit.store.make import command, message, publication
from wx2mqtt.errors import StoreError, StoreTooNew
from wx2mqtt.model import Cursor
from wx2mqtt.store.database import Connection
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.postgresql_database import (
    LOCK_NAMESPACE,
    PostgresqlDatabase,
    PostgresqlListener,
    newest_schema_version,
)


class LossCounter:
    """Counts the calls of `on_lost`."""

    def __init__(self) -> None:
        self.count = 0
        self.is_lost = threading.Event()

    def __call__(self) -> None:
        self.count += 1
        self.is_lost.set()


@pytest.fixture
def losses() -> LossCounter:
    return LossCounter()


@pytest.fixture
def url() -> str:
    return empty_database()


@pytest.fixture
async def database(url: str, losses: LossCounter) -> AsyncIterator[PostgresqlDatabase]:
    opened = await PostgresqlDatabase.open(url, on_lost=losses)
    yield opened
    await opened.close()


def _backend(connection: Connection) -> int:
    return int(connection.execute("SELECT pg_backend_pid()").fetchone()[0])


async def _end_session(database: PostgresqlDatabase, url: str) -> None:
    backend = await database.on_write_connection(_backend)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (backend,))


async def test_a_store_is_new_at_its_first_opening_only() -> None:
    url = new_database()
    first = await PostgresqlDatabase.open(url)
    await first.close()
    second = await PostgresqlDatabase.open(url)
    await second.close()
    assert (first.is_new, second.is_new) == (True, False)


async def test_two_instances_may_create_the_store_at_once() -> None:
    url = new_database()
    both = await asyncio.gather(PostgresqlDatabase.open(url), PostgresqlDatabase.open(url))
    assert sorted(database.is_new for database in both) == [False, True]
    for database in both:
        await database.close()


async def test_a_store_of_a_newer_version_is_refused_and_not_changed() -> None:
    url = new_database()
    await (await PostgresqlDatabase.open(url)).close()
    newer = str(newest_schema_version() + 1)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE meta SET value = %s WHERE name = 'schema_version'", (newer,))
        with pytest.raises(StoreTooNew, match=newer):
            await PostgresqlDatabase.open(url)
        rows = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchall()
    assert rows == [(newer,)]


async def test_a_database_that_does_not_exist_is_reported() -> None:
    with pytest.raises(StoreError, match="does not exist"):
        await PostgresqlDatabase.open(address("nowhere"))


async def test_a_server_that_cannot_be_reached_is_an_error() -> None:
    with pytest.raises(StoreError, match="/nonexistent"):
        await PostgresqlDatabase.open("postgresql:///test?host=/nonexistent")


async def test_after_the_loss_of_the_connection_every_commit_fails_and_it_is_reported_once(
    database: PostgresqlDatabase, url: str, losses: LossCounter
) -> None:
    journal = Journal(database, "home")
    await journal.open()
    await _end_session(database, url)
    for _ in range(3):
        with pytest.raises(StoreError):
            await journal.received.record([message("a")], NO_CHANGES, Cursor("c"), "login")
    assert losses.count == 1
    assert database.last_error
    assert await journal.outbox.list_waiting(0, 9) == []


async def test_a_session_lock_ends_with_the_connection_that_commits(
    database: PostgresqlDatabase, url: str
) -> None:
    lock = "SELECT pg_try_advisory_lock(?1::int, 7)"
    assert await database.on_write_connection(lambda db: db.execute(lock, (LOCK_NAMESPACE,)).fetchone()[0])
    other = await PostgresqlDatabase.open(url)
    is_taken = await other.on_write_connection(lambda db: db.execute(lock, (LOCK_NAMESPACE,)).fetchone()[0])
    assert is_taken is False
    await _end_session(database, url)
    is_taken = await other.on_write_connection(lambda db: db.execute(lock, (LOCK_NAMESPACE,)).fetchone()[0])
    assert is_taken is True
    await other.close()


async def test_reads_work_again_after_their_connection_was_lost(
    database: PostgresqlDatabase, url: str
) -> None:
    backend = await database.read(_backend)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (backend,))
    with pytest.raises(StoreError):
        await database.read(_backend)
    assert await database.read(_backend) != backend


async def test_reads_fail_while_the_server_refuses_connections_and_work_again_later(
    database: PostgresqlDatabase, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await database.read(_backend)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (backend,))

    def refuse(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("the server is away")

    with monkeypatch.context() as patches:
        patches.setattr(psycopg, "connect", refuse)
        for _ in range(2):
            with pytest.raises(StoreError):
                async with asyncio.timeout(MAX_WAIT_SECONDS):
                    await database.read(_backend)
    assert await database.read(_backend) != backend


async def test_a_job_that_hides_an_error_of_the_database_is_not_taken_for_a_commit(
    database: PostgresqlDatabase,
) -> None:
    def hides(connection: Connection) -> None:
        connection.execute("INSERT INTO meta (name, value) VALUES ('lost', '')")
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 1 / 0")

    with pytest.raises(StoreError):
        await database.write("hides", hides)
    assert (
        await database.read(lambda db: db.execute("SELECT 1 FROM meta WHERE name = 'lost'").fetchone())
        is None
    )


async def test_ids_fit_their_rows_when_another_instance_writes_in_between(
    database: PostgresqlDatabase, url: str
) -> None:
    other_database = await PostgresqlDatabase.open(url)
    journal, other = Journal(database, "home"), Journal(other_database, "other")
    await journal.open()
    await other.open()

    async def write(to: Journal) -> None:
        for number in range(20):
            keys = [f"{number}-{index}" for index in range(40)]
            batch = (await to.received.record([message(key) for key in keys], NO_CHANGES, None, "")).outbox
            stored = {row.id: row.payload for row in await to.outbox.list_waiting(batch.rows[0].id - 1, 40)}
            assert [stored[row.id] for row in batch.rows] == [row.payload for row in batch.rows]
            assert batch.last_id == batch.rows[-1].id
            await to.outbox.add([publication()])
            accepted = await to.commands.accept([command(f"{number}-{index}") for index in range(3)])
            for answer in accepted:
                assert answer.row is not None
                assert await to.commands.get(answer.row.command_id) == answer.row

    await asyncio.gather(write(journal), write(other))
    await other_database.close()


async def test_a_long_key_from_wechat_is_stored_and_known_again(database: PostgresqlDatabase) -> None:
    journal = Journal(database, "home")
    await journal.open()
    key = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(20_000))
    await journal.received.record([message(key)], NO_CHANGES, None, "")
    assert (await journal.received.record([message(key)], NO_CHANGES, None, "")).repeated == 1


async def test_close_does_not_wait_for_a_thread_that_lost_its_connection(
    database: PostgresqlDatabase, url: str
) -> None:
    await _end_session(database, url)
    await asyncio.wait_for(database.close(), MAX_WAIT_SECONDS)


async def test_a_listener_that_cannot_subscribe_leaves_no_connection_open(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[psycopg.AsyncConnection] = []
    connect = psycopg.AsyncConnection.connect

    async def recorded(*arguments: Any, **options: Any) -> psycopg.AsyncConnection:
        connections.append(await connect(*arguments, **options))
        return connections[-1]

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", recorded)
    with pytest.raises(StoreError):
        await PostgresqlListener.open(url, "no channel")
    assert [connection.closed for connection in connections] == [True]
