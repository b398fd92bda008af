"""The database threads: jobs share commits, and an error reaches only its own caller."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.postgresql import empty_database
from tests.unit.store.make import names
from wx2mqtt.errors import StoreError, StoreFull
from wx2mqtt.store import database as database_module
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.postgresql_database import PostgresqlDatabase
from wx2mqtt.store.sqlite_database import SqliteDatabase


class Points:
    """What the writing thread reached, and a gate at which it can be held."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.threads: set[str] = set()
        self.open = threading.Event()
        self.open.set()
        self.waits = threading.Event()

    def __call__(self, point: str) -> None:
        self.reached.append(point)
        self.threads.add(threading.current_thread().name)
        if point == "before:gate":
            self.waits.set()
            assert self.open.wait(MAX_WAIT_SECONDS)


FILL = (
    "WITH RECURSIVE counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < 5000)"
    " INSERT INTO seen (account, key, created) SELECT 'home', 'key ' || n, n FROM counter"
)


@pytest.fixture
def points() -> Points:
    return Points()


@pytest.fixture(params=["sqlite", "postgresql"])
async def watched(request: pytest.FixtureRequest, tmp_path: Path, points: Points) -> AsyncIterator[Database]:
    opened: Database
    if request.param == "sqlite":
        opened = await SqliteDatabase.open(tmp_path / "wx2mqtt.db", points)
    else:
        opened = await PostgresqlDatabase.open(empty_database(), points)
    await opened.write("table", lambda db: db.execute("CREATE TABLE note (text TEXT UNIQUE)"))
    points.reached.clear()
    yield opened
    points.open.set()
    await opened.close()


watched_on_sqlite = pytest.mark.parametrize("watched", ["sqlite"], indirect=True)


def note(text: str) -> Callable[[Connection], None]:
    def job(connection: Connection) -> None:
        connection.execute("INSERT INTO note VALUES (?)", (text,))

    return job


def notes(connection: Connection) -> list[str]:
    order = "rowid" if isinstance(connection, sqlite3.Connection) else "ctid"
    return [text for (text,) in connection.execute(f"SELECT text FROM note ORDER BY {order}")]


async def _held(database: Database, points: Points) -> asyncio.Task[None]:
    """A commit that waits at the gate; what is written meanwhile must gather behind it."""
    points.open.clear()
    first = asyncio.create_task(database.write("gate", note("gate")))
    assert await asyncio.to_thread(points.waits.wait, 10)
    return first


async def test_a_write_returns_what_its_job_returned(watched: Database) -> None:
    assert await watched.write("answer", lambda _: 42) == 42


async def test_what_was_written_is_read(watched: Database) -> None:
    await watched.write("note", note("a"))
    assert await watched.read(notes) == ["a"]


async def test_jobs_run_in_other_threads(watched: Database) -> None:
    here = threading.get_ident()
    assert await watched.write("where", lambda _: threading.get_ident()) != here
    assert await watched.read(lambda _: threading.get_ident()) != here


async def test_the_points_around_a_commit_are_reached_in_the_writing_thread(
    watched: Database, points: Points
) -> None:
    await watched.write("note", note("a"))
    assert points.reached == ["before:note", "after:note"]
    assert points.threads == {"store-write"}


async def test_what_gathers_during_a_commit_is_written_in_one(watched: Database, points: Points) -> None:
    first = await _held(watched, points)
    more = [asyncio.create_task(watched.write("note", note(str(number)))) for number in range(20)]
    await asyncio.sleep(0)
    points.open.set()
    await asyncio.gather(first, *more)
    assert points.reached == ["before:gate", "after:gate", *["before:note"] * 20, *["after:note"] * 20]
    assert await watched.read(notes) == ["gate", *map(str, range(20))]


async def test_the_loop_is_notified_once_for_a_whole_group(
    watched: Database, points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await _held(watched, points)
    loop, hops = asyncio.get_running_loop(), []
    really = loop.call_soon_threadsafe

    def counted(callback: Callable[..., object], *arguments: object) -> object:
        if callback.__module__ == database_module.__name__:  # `tests.support.loop_watch` asks this loop, too
            hops.append(callback)
        return really(callback, *arguments)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    more = [asyncio.create_task(watched.write("note", note(str(number)))) for number in range(20)]
    await asyncio.sleep(0)
    points.open.set()
    await asyncio.gather(first, *more)
    assert len(hops) == 2


async def test_a_group_has_a_limit(
    watched: Database, points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "MAX_JOBS_PER_COMMIT", 3)
    first = await _held(watched, points)
    more = [asyncio.create_task(watched.write("note", note(str(number)))) for number in range(4)]
    await asyncio.sleep(0)
    points.open.set()
    await asyncio.gather(first, *more)
    assert points.reached[2:] == [*["before:note"] * 3, *["after:note"] * 3, "before:note", "after:note"]


async def test_an_urgent_job_is_the_first_of_the_next_group(
    watched: Database, points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "MAX_JOBS_PER_COMMIT", 3)
    first = await _held(watched, points)
    more = [asyncio.create_task(watched.write("note", note(str(number)))) for number in range(4)]
    await asyncio.sleep(0)
    urgent = asyncio.create_task(watched.write("urgent", note("urgent"), urgent=True))
    await asyncio.sleep(0)
    points.open.set()
    await asyncio.gather(first, urgent, *more)
    assert points.reached[2:5] == ["before:urgent", "before:note", "before:note"]
    assert await watched.read(notes) == ["gate", "urgent", "0", "1", "2", "3"]


async def test_a_job_that_fails_in_a_group_fails_alone(watched: Database, points: Points) -> None:
    first = await _held(watched, points)

    def bad(connection: Connection) -> None:
        note("half")(connection)
        raise KeyError("bad")

    more = [watched.write("note", note("a")), watched.write("bad", bad), watched.write("note", note("b"))]
    gathered = asyncio.gather(*more, return_exceptions=True)
    await asyncio.sleep(0)
    points.open.set()
    await first
    a, error, b = await gathered
    assert (a, b) == (None, None)
    assert isinstance(error, KeyError)
    assert await watched.read(notes) == ["gate", "a", "b"]
    assert "before:bad" not in points.reached


async def test_a_job_that_fails_by_itself_leaves_nothing(watched: Database, points: Points) -> None:
    def bad(connection: Connection) -> None:
        note("half")(connection)
        raise KeyError("bad")

    with pytest.raises(KeyError):
        await watched.write("bad", bad)
    assert points.reached == []
    await watched.write("note", note("a"))
    assert await watched.read(notes) == ["a"]


async def test_errors_of_the_database_come_out_as_ours_and_quote_no_value(watched: Database) -> None:
    await watched.write("note", note("geheim"))
    with pytest.raises(StoreError) as caught:
        await watched.write("note", note("geheim"))
    assert "geheim" not in str(caught.value)
    assert isinstance(caught.value.__cause__, sqlite3.Error | psycopg.Error)


async def test_a_read_that_fails_is_an_error_of_its_own(watched: Database) -> None:
    with pytest.raises(StoreError):
        await watched.read(lambda db: db.execute("SELECT * FROM nothing"))
    assert await watched.read(notes) == []


async def test_a_read_cannot_write(watched: Database) -> None:
    with pytest.raises(StoreError, match="read-only"):
        await watched.read(note("a"))


async def _fill(database: Database) -> None:
    """Let SQLite have no page more than it has now: the next row that needs one gets SQLITE_FULL."""

    def job(connection: Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    await database.write("limit", job)


async def _make_room(database: Database) -> None:
    await database.write("room", lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())


@watched_on_sqlite
async def test_a_full_disk_fails_the_write_and_the_next_write_works_when_there_is_space(
    watched: Database,
) -> None:
    await watched.write("note", note("before"))
    await _fill(watched)
    with pytest.raises(StoreFull, match="room"):
        await watched.write("note", note("x" * 100_000))
    assert await watched.read(notes) == ["before"]
    assert "room" in watched.last_error
    await _make_room(watched)
    await watched.write("note", note("after"))
    assert watched.last_error == ""
    assert await watched.read(notes) == ["before", "after"]


@watched_on_sqlite
async def test_a_group_that_a_full_disk_stops_fails_whole_or_keeps_what_fits(
    watched: Database, points: Points
) -> None:
    await _fill(watched)
    first = await _held(watched, points)
    more = [watched.write("note", note(text)) for text in ("a", "x" * 100_000, "b")]
    gathered = asyncio.gather(*more, return_exceptions=True)
    await asyncio.sleep(0)
    points.open.set()
    await first
    outcomes = await gathered
    assert isinstance(outcomes[1], StoreFull)
    told = [text for text, outcome in zip(("a", "x", "b"), outcomes, strict=True) if outcome is None]
    assert await watched.read(notes) == ["gate", *told]


async def test_when_sqlite_gives_up_the_transaction_the_whole_group_fails(
    watched: Database, points: Points
) -> None:
    first = await _held(watched, points)

    def gives_up(connection: Connection) -> None:
        connection.execute("ROLLBACK")
        connection.execute("SELECT * FROM nothing")

    more = [
        watched.write("note", note("a")),
        watched.write("bad", gives_up),
        watched.write("note", note("b")),
    ]
    gathered = asyncio.gather(*more, return_exceptions=True)
    await asyncio.sleep(0)
    points.open.set()
    await first
    assert all(isinstance(outcome, StoreError) for outcome in await gathered)
    assert await watched.read(notes) == ["gate"]
    await watched.write("note", note("c"))
    assert await watched.read(notes) == ["gate", "c"]


async def test_a_commit_that_fails_fails_all_that_was_in_it_and_the_thread_lives_on(
    watched: Database,
) -> None:
    await watched.write(
        "tables",
        lambda db: db.execute(
            "CREATE TABLE child (of TEXT REFERENCES note (text) DEFERRABLE INITIALLY DEFERRED)"
        ),
    )
    with pytest.raises(StoreError):
        await watched.write("orphan", lambda db: db.execute("INSERT INTO child VALUES ('nobody')"))
    await watched.write("note", note("a"))
    assert await watched.read(notes) == ["a"]


async def test_a_cancelled_wait_leaves_the_others_of_its_group_alone(
    watched: Database, points: Points
) -> None:
    first = await _held(watched, points)
    cancelled = asyncio.create_task(watched.write("note", note("a")))
    other = asyncio.create_task(watched.write("note", note("b")))
    await asyncio.sleep(0)
    cancelled.cancel()
    points.open.set()
    await asyncio.gather(first, other)
    assert await watched.read(notes) == ["gate", "a", "b"]


async def test_reads_do_not_wait_for_a_commit(watched: Database, points: Points) -> None:
    first = await _held(watched, points)
    assert await asyncio.wait_for(watched.read(notes), MAX_WAIT_SECONDS) == []
    points.open.set()
    await first


async def test_close_does_what_waits_and_removes_the_wal(tmp_path: Path) -> None:
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


async def test_a_closed_store_says_so(watched: Database) -> None:
    await watched.close()
    await watched.close()
    with pytest.raises(StoreError, match="closed"):
        await watched.write("note", note("a"))
    with pytest.raises(StoreError, match="closed"):
        await watched.read(notes)


@watched_on_sqlite
async def test_a_closed_file_says_so_at_a_checkpoint(watched: Database) -> None:
    await watched.close()
    assert isinstance(watched, SqliteDatabase)
    with pytest.raises(StoreError, match="closed"):
        await watched.checkpoint()


def _path(database: Database) -> Path:
    assert isinstance(database, SqliteDatabase)
    return database.path


@watched_on_sqlite
async def test_a_checkpoint_empties_the_wal(watched: Database) -> None:
    await watched.write("note", note("a"))
    wal = _path(watched).with_name(_path(watched).name + "-wal")
    assert wal.stat().st_size > 0
    assert isinstance(watched, SqliteDatabase)
    await watched.checkpoint()
    assert wal.stat().st_size == 0
    assert await watched.read(notes) == ["a"]


@watched_on_sqlite
async def test_the_wal_stays_bounded_whatever_is_written(watched: Database) -> None:
    wal, largest = _path(watched).with_name(_path(watched).name + "-wal"), 0
    for number in range(200):
        await watched.write("note", note(f"{number}" + "x" * 100_000))
        largest = max(largest, wal.stat().st_size)
    assert _path(watched).stat().st_size > 10 * 1024 * 1024
    assert largest < 6 * 1024 * 1024


def test_a_loop_that_ends_before_the_store_is_closed_hangs_nothing(tmp_path: Path) -> None:
    async def forgetful() -> Database:
        database = await SqliteDatabase.open(tmp_path / "a.db")
        await database.write("table", lambda db: db.execute("CREATE TABLE note (text TEXT UNIQUE)"))
        return database

    database = asyncio.run(forgetful())
    database._reader._signals.put(False)
    database._writer._signals.put(False)
    database._reader._thread.join(MAX_WAIT_SECONDS)
    database._writer._thread.join(MAX_WAIT_SECONDS)
    assert not database._writer._thread.is_alive()


@watched_on_sqlite
async def test_both_connections_free_the_pages_that_they_keep(watched: Database) -> None:
    seen: list[str] = []

    def trace(connection: Connection) -> None:
        assert isinstance(connection, sqlite3.Connection)
        connection.set_trace_callback(seen.append)

    await watched.write("trace", trace)
    await watched.read(trace)
    seen.clear()
    await watched.release_memory()
    assert seen == ["PRAGMA shrink_memory"] * 2


async def test_what_the_store_takes_on_the_disk_is_known_without_a_query(watched: Database) -> None:
    await watched.measure(enough=10**12)
    before = watched.allocated_bytes
    assert before > 0
    await watched.write("more", lambda db: db.execute(FILL))
    await watched.measure(enough=10**12)
    assert watched.allocated_bytes >= before + 100_000


async def test_on_postgresql_free_space_does_not_count_in_a_store_that_is_nearly_full() -> None:
    """The server gives none back: a store that was pruned would be full for ever."""
    database = await PostgresqlDatabase.open(empty_database())
    await database.write("more", lambda db: db.execute(FILL))
    await database.measure(enough=10**12)
    filled = database.allocated_bytes
    await database.write("less", lambda db: db.execute("DELETE FROM seen"))
    await database.measure(enough=10**12)
    assert database.allocated_bytes >= filled
    await database.measure(enough=1000)
    assert database.allocated_bytes == await database.used_bytes() < filled
    await database.close()
