"""The database threads: jobs share commits, and an error reaches only its own caller."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.postgresql import empty_database
from tests.unit.store.make import names, on_sqlite
from wx2mqtt.errors import StoreError, StoreFull
from wx2mqtt.store import database as database_module
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.postgresql_database import PostgresqlDatabase
from wx2mqtt.store.sqlite_database import SqliteDatabase


class FakeCommitPoint:
    """Keeps the calls of the writing thread; the commit of a job `gate` waits until `may_commit` is set."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.may_commit = threading.Event()
        self.may_commit.set()
        self.is_waiting = threading.Event()

    def __call__(self, point: str) -> None:
        self.calls.append(point)
        self.threads.add(threading.current_thread().name)
        if point == "before:gate":
            self.is_waiting.set()
            assert self.may_commit.wait(MAX_WAIT_SECONDS)


ADD_MANY_ROWS = (
    "WITH RECURSIVE counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < 5000)"
    " INSERT INTO seen (account, key, created) SELECT 'home', 'key ' || n, n FROM counter"
)


@pytest.fixture
def commit_point() -> FakeCommitPoint:
    return FakeCommitPoint()


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(
    request: pytest.FixtureRequest, tmp_path: Path, commit_point: FakeCommitPoint
) -> AsyncIterator[Database]:
    opened: Database
    if request.param == "sqlite":
        opened = await SqliteDatabase.open(tmp_path / "wx2mqtt.db", commit_point)
    else:
        opened = await PostgresqlDatabase.open(empty_database(), commit_point)
    await opened.write("table", lambda db: db.execute("CREATE TABLE note (text TEXT UNIQUE)"))
    commit_point.calls.clear()
    yield opened
    commit_point.may_commit.set()
    await opened.close()


def note(text: str) -> Callable[[Connection], None]:
    def job(connection: Connection) -> None:
        connection.execute("INSERT INTO note VALUES (?)", (text,))

    return job


def notes(connection: Connection) -> list[str]:
    order = "rowid" if isinstance(connection, sqlite3.Connection) else "ctid"
    return [text for (text,) in connection.execute(f"SELECT text FROM note ORDER BY {order}")]


@asynccontextmanager
async def shared_commit(
    database: Database, commit_point: FakeCommitPoint, *jobs: Callable[[Connection], None], name: str = "note"
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Yields the writes of jobs that come during another commit; at its end they share the next one."""
    commit_point.may_commit.clear()
    first = asyncio.create_task(database.write("gate", note("gate")))
    assert await asyncio.to_thread(commit_point.is_waiting.wait, 10)
    tasks = [asyncio.create_task(database.write(name, job)) for job in jobs]
    await asyncio.sleep(0)
    yield tasks
    commit_point.may_commit.set()
    await first
    await asyncio.wait(tasks)


def failing_job(connection: Connection) -> None:
    note("half")(connection)
    raise KeyError("bad")


async def test_a_job_runs_in_another_thread_and_its_result_is_returned(database: Database) -> None:
    here = threading.get_ident()
    assert await database.write("where", lambda _: threading.get_ident()) != here
    assert await database.read(lambda _: threading.get_ident()) != here


async def test_the_commit_point_is_called_before_and_after_a_commit_in_the_writing_thread(
    database: Database, commit_point: FakeCommitPoint
) -> None:
    await database.write("note", note("a"))
    assert await database.read(notes) == ["a"]
    assert commit_point.calls == ["before:note", "after:note"]
    assert commit_point.threads == {"store-write"}


async def test_jobs_that_come_during_a_commit_share_the_next_one(
    database: Database, commit_point: FakeCommitPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop is notified once for all jobs of a commit."""
    loop, notifications = asyncio.get_running_loop(), []
    call_soon_threadsafe = loop.call_soon_threadsafe

    def counted(callback: Callable[..., object], *arguments: object) -> object:
        if callback.__module__ == database_module.__name__:  # `tests.support.loop_watch` asks this loop, too
            notifications.append(callback)
        return call_soon_threadsafe(callback, *arguments)

    async with shared_commit(database, commit_point, *(note(str(number)) for number in range(20))):
        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    assert commit_point.calls == ["before:gate", "after:gate", *["before:note"] * 20, *["after:note"] * 20]
    assert await database.read(notes) == ["gate", *map(str, range(20))]
    assert len(notifications) == 3  # of `gate`, of the shared commit, and of the read


async def test_a_commit_has_a_limited_number_of_jobs_and_an_urgent_one_is_the_first(
    database: Database, commit_point: FakeCommitPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "MAX_JOBS_PER_COMMIT", 3)
    async with shared_commit(database, commit_point, *(note(str(number)) for number in range(4))):
        urgent = asyncio.create_task(database.write("urgent", note("urgent"), urgent=True))
        await asyncio.sleep(0)
    await urgent
    assert commit_point.calls[2:] == [
        *("before:urgent", "before:note", "before:note"), *("after:urgent", "after:note", "after:note"),
        *("before:note", "before:note"), *("after:note", "after:note"),
    ]  # fmt: skip
    assert await database.read(notes) == ["gate", "urgent", "0", "1", "2", "3"]


async def test_a_job_that_fails_leaves_the_other_jobs_of_its_commit_alone(
    database: Database, commit_point: FakeCommitPoint
) -> None:
    async with shared_commit(database, commit_point, note("a"), failing_job, note("b")) as tasks:
        pass
    assert [type(task.exception()) for task in tasks] == [type(None), KeyError, type(None)]
    assert await database.read(notes) == ["gate", "a", "b"]
    assert commit_point.calls[2:] == [*["before:note"] * 2, *["after:note"] * 2]


async def test_a_job_that_fails_in_a_commit_of_its_own_stores_nothing(
    database: Database, commit_point: FakeCommitPoint
) -> None:
    with pytest.raises(KeyError):
        await database.write("bad", failing_job)
    assert commit_point.calls == []
    await database.write("note", note("a"))
    assert await database.read(notes) == ["a"]


async def test_an_error_of_the_database_is_a_store_error_that_quotes_no_value(database: Database) -> None:
    await database.write("note", note("geheim"))
    with pytest.raises(StoreError) as caught:
        await database.write("note", note("geheim"))
    assert "geheim" not in str(caught.value)
    assert isinstance(caught.value.__cause__, sqlite3.Error | psycopg.Error)


async def test_a_read_that_fails_or_writes_is_a_store_error(database: Database) -> None:
    with pytest.raises(StoreError):
        await database.read(lambda db: db.execute("SELECT * FROM nothing"))
    with pytest.raises(StoreError, match="read-only"):
        await database.read(note("a"))
    assert await database.read(notes) == []


async def _allow_no_more_pages(database: Database) -> None:
    """Lets SQLite have no page more than it has now: the next row that needs one gets SQLITE_FULL."""

    def job(connection: Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    await database.write("limit", job)


async def _allow_more_pages(database: Database) -> None:
    await database.write("room", lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())


@on_sqlite
async def test_a_full_disk_fails_the_write_and_the_next_write_works_when_there_is_space(
    database: Database,
) -> None:
    await database.write("note", note("before"))
    await _allow_no_more_pages(database)
    with pytest.raises(StoreFull, match="room"):
        await database.write("note", note("x" * 100_000))
    assert await database.read(notes) == ["before"]
    assert "room" in database.last_error
    await _allow_more_pages(database)
    await database.write("note", note("after"))
    assert database.last_error == ""
    assert await database.read(notes) == ["before", "after"]


@on_sqlite
async def test_of_a_commit_that_a_full_disk_stops_exactly_the_jobs_without_an_error_are_stored(
    database: Database, commit_point: FakeCommitPoint
) -> None:
    await _allow_no_more_pages(database)
    texts = ["a", "x" * 100_000, "b"]
    async with shared_commit(database, commit_point, *(note(text) for text in texts)) as tasks:
        pass
    assert isinstance(tasks[1].exception(), StoreFull)
    stored = [text for text, task in zip(texts, tasks, strict=True) if task.exception() is None]
    assert await database.read(notes) == ["gate", *stored]


async def test_when_the_database_rolls_the_transaction_back_all_jobs_of_the_commit_fail(
    database: Database, commit_point: FakeCommitPoint
) -> None:
    def gives_up(connection: Connection) -> None:
        connection.execute("ROLLBACK")
        connection.execute("SELECT * FROM nothing")

    async with shared_commit(database, commit_point, note("a"), gives_up, note("b")) as tasks:
        pass
    assert all(isinstance(task.exception(), StoreError) for task in tasks)
    assert await database.read(notes) == ["gate"]
    await database.write("note", note("c"))
    assert await database.read(notes) == ["gate", "c"]


async def test_a_commit_that_fails_ends_all_its_jobs_with_an_error_and_later_commits_work(
    database: Database,
) -> None:
    await database.write(
        "tables",
        lambda db: db.execute(
            "CREATE TABLE child (of TEXT REFERENCES note (text) DEFERRABLE INITIALLY DEFERRED)"
        ),
    )
    with pytest.raises(StoreError):
        await database.write("orphan", lambda db: db.execute("INSERT INTO child VALUES ('nobody')"))
    await database.write("note", note("a"))
    assert await database.read(notes) == ["a"]


async def test_a_cancelled_wait_leaves_the_other_jobs_of_its_commit_alone_and_reads_wait_for_none(
    database: Database, commit_point: FakeCommitPoint
) -> None:
    async with shared_commit(database, commit_point, note("a"), note("b")) as tasks:
        tasks[0].cancel()
        assert await asyncio.wait_for(database.read(notes), MAX_WAIT_SECONDS) == []
    assert await database.read(notes) == ["gate", "a", "b"]


async def test_close_writes_the_jobs_that_wait_and_removes_the_wal(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "a.db")
    await database.write("table", lambda db: db.execute("CREATE TABLE note (text TEXT UNIQUE)"))
    waiting = [asyncio.create_task(database.write("note", note(str(number)))) for number in range(5)]
    await asyncio.sleep(0)
    await database.close()
    await asyncio.gather(*waiting)
    assert names(tmp_path) == ["a.db"]
    again = await SqliteDatabase.open(tmp_path / "a.db")
    assert await again.read(notes) == list("01234")
    await again.close()


async def test_a_closed_database_refuses_reads_writes_and_checkpoints(database: Database) -> None:
    await database.close()
    await database.close()
    with pytest.raises(StoreError, match="closed"):
        await database.write("note", note("a"))
    with pytest.raises(StoreError, match="closed"):
        await database.read(notes)
    if isinstance(database, SqliteDatabase):
        with pytest.raises(StoreError, match="closed"):
            await database.checkpoint()


def wal_size(database: SqliteDatabase) -> int:
    return database.path.with_name(database.path.name + "-wal").stat().st_size


@on_sqlite
async def test_a_checkpoint_empties_the_wal(database: SqliteDatabase) -> None:
    await database.write("note", note("a"))
    assert wal_size(database) > 0
    await database.checkpoint()
    assert wal_size(database) == 0
    assert await database.read(notes) == ["a"]


@on_sqlite
async def test_the_wal_stays_small_however_much_is_written(database: SqliteDatabase) -> None:
    largest = 0
    for number in range(200):
        await database.write("note", note(f"{number}" + "x" * 100_000))
        largest = max(largest, wal_size(database))
    assert await database.used_bytes() > 10 * 1024 * 1024
    assert largest < 6 * 1024 * 1024


def test_the_threads_end_though_the_event_loop_ended_before_the_database_was_closed(tmp_path: Path) -> None:
    async def open_without_close() -> Database:
        database = await SqliteDatabase.open(tmp_path / "a.db")
        await database.write("table", lambda db: db.execute("CREATE TABLE note (text TEXT UNIQUE)"))
        return database

    database = asyncio.run(open_without_close())
    database._reader._signals.put(False)
    database._writer._signals.put(False)
    database._reader._thread.join(MAX_WAIT_SECONDS)
    database._writer._thread.join(MAX_WAIT_SECONDS)
    assert not database._writer._thread.is_alive()


@on_sqlite
async def test_both_connections_free_the_pages_that_they_keep(database: Database) -> None:
    seen: list[str] = []

    def trace(connection: Connection) -> None:
        assert isinstance(connection, sqlite3.Connection)
        connection.set_trace_callback(seen.append)

    await database.write("trace", trace)
    await database.read(trace)
    seen.clear()
    await database.release_memory()
    assert seen == ["PRAGMA shrink_memory"] * 2


async def test_the_size_on_the_disk_is_known_without_a_query(database: Database) -> None:
    await database.measure(enough=10**12)
    before = database.allocated_bytes
    assert before > 0
    await database.write("more", lambda db: db.execute(ADD_MANY_ROWS))
    await database.measure(enough=10**12)
    assert database.allocated_bytes >= before + 100_000


async def test_on_postgresql_free_space_does_not_count_in_a_store_that_is_nearly_full() -> None:
    """The server gives none back: a store that was pruned would be full for ever."""
    database = await PostgresqlDatabase.open(empty_database())
    await database.write("more", lambda db: db.execute(ADD_MANY_ROWS))
    await database.measure(enough=10**12)
    filled = database.allocated_bytes
    await database.write("less", lambda db: db.execute("DELETE FROM seen"))
    await database.measure(enough=10**12)
    assert database.allocated_bytes >= filled
    await database.measure(enough=1000)
    assert database.allocated_bytes == await database.used_bytes() < filled
    await database.close()
