"""Access to SQLite: one thread writes, one thread reads; the event loop never waits for the disk.

A job is a function of a connection. `Database.write` puts it into the writer's queue:

1. the writer takes all jobs that wait, at most `MAX_JOBS_PER_COMMIT`, and begins a transaction,
2. each of several jobs runs in a savepoint: one that fails is undone alone,
3. one COMMIT, so one fsync, makes all of them durable,
4. one callback into the event loop resolves the futures of all of them.

`Database.read` does the same without a transaction, in a thread and on a connection of its own. The tables
are unknown here.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from wx2mqtt.errors import StoreError
from wx2mqtt.store.files import database_error, is_damage
from wx2mqtt.store.migrations import OpenDatabase, mark_suspect, open_file
from wx2mqtt.values import frozen

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
OnCommitPoint = Callable[[str], None]

# A commit that fails must not fail all that waits.
MAX_JOBS_PER_COMMIT = 256


def _ignore_commit_point(_point: str) -> None:
    """For a database without a crash test."""


@frozen(kw_only=False)
class _Task:
    name: str
    job: Job[Any]
    future: asyncio.Future[Any]
    outside_transaction: bool = False


@frozen(kw_only=False)
class _Outcome:
    future: asyncio.Future[Any]
    value: object = None
    error: Exception | None = None


RunTasks = Callable[[Sequence[_Task]], list[_Outcome]]


class _Worker:
    """A thread that runs all waiting tasks together and reports their outcomes to the event loop at once."""

    def __init__(self, name: str, run_tasks: RunTasks, close: Callable[[], None]) -> None:
        self._run_tasks = run_tasks
        self._close = close
        self._loop = asyncio.get_running_loop()
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        # Daemon: a process that fails before it closes the store must still exit; commits are durable.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._closed: asyncio.Future[Any] = self._loop.create_future()
        self._thread.start()

    def submit(self, name: str, job: Job[T], *, outside_transaction: bool = False) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self._loop.create_future()
        self._tasks.put(_Task(name, job, future, outside_transaction))
        return future

    async def close(self) -> None:
        """Runs the waiting tasks, then ends the thread."""
        self._tasks.put(None)
        await asyncio.shield(self._closed)
        self._thread.join()

    def _run(self) -> None:
        more = True
        try:
            while more:
                tasks, more = self._next_tasks()
                if tasks:
                    self._deliver(self._run_tasks(tasks))
            self._close()
        finally:
            self._deliver([_Outcome(self._closed)])

    def _next_tasks(self) -> tuple[list[_Task], bool]:
        """Returns waiting tasks, blocking until there is one, and False once the worker is to end."""
        task = self._tasks.get()
        tasks: list[_Task] = []
        while task is not None:
            tasks.append(task)
            if len(tasks) == MAX_JOBS_PER_COMMIT or self._tasks.empty():
                return tasks, True
            task = self._tasks.get()
        return tasks, False

    def _deliver(self, outcomes: list[_Outcome]) -> None:
        try:
            self._loop.call_soon_threadsafe(_resolve, outcomes)
        except RuntimeError:  # the loop was closed before the store: nobody awaits the outcomes
            return


def _resolve(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        if outcome.future.done():  # the caller was cancelled
            continue
        if outcome.error is not None:
            outcome.future.set_exception(outcome.error)
        else:
            outcome.future.set_result(outcome.value)


class Database:
    """An open SQLite file. All methods are called on the event loop on which it was opened.

    `set_aside` is the new path of a damaged file that was found at start, `is_new` says that there was no
    readable file. `last_error` is why the last commit failed; empty if it did not.
    """

    def __init__(self, path: Path, opened: OpenDatabase, on_commit_point: OnCommitPoint) -> None:
        self.path = path
        self.set_aside = opened.set_aside
        self.is_new = opened.fresh
        self._write_connection = opened.writer
        self._read_connection = opened.reader
        self.last_error = ""
        self._on_commit_point = on_commit_point
        self._closed = False
        self._writer = _Worker("store-write", self._run_writes, opened.writer.close)
        self._reader = _Worker("store-read", self._run_reads, opened.reader.close)

    @classmethod
    async def open(cls, path: Path, on_commit_point: OnCommitPoint = _ignore_commit_point) -> Database:
        """Opens or creates the file, mode 0600; a damaged file is set aside and a new one created.

        Crash tests pass `on_commit_point`: the writer thread calls it with `before:<name>` and `after:<name>`
        for each job of a commit. Raises `StoreTooNew`, `StoreFull`, `StoreError`.
        """
        return cls(path, await asyncio.to_thread(open_file, path), on_commit_point)

    async def write(self, name: str, job: Job[T]) -> T:
        """Runs `job` in a transaction; when this returns, its changes are on the disk.

        `job` runs in the writer thread and uses the connection only, without BEGIN or COMMIT. What it raises
        is raised here, and its changes are undone. Raises `StoreFull` and `StoreError` for errors of SQLite.
        A cancelled wait does not undo the write. `name` is the commit point for crash tests.
        """
        self._check_open()
        return await self._writer.submit(name, job)

    async def read(self, job: Job[T]) -> T:
        """Runs `job`, which only reads, in the reader thread; it sees committed rows."""
        self._check_open()
        return await self._reader.submit("read", job)

    async def vacuum(self, pages: int) -> int:
        """Returns up to `pages` free pages to the file system; returns how many are still free."""
        self._check_open()
        return await self._writer.submit(
            "vacuum", lambda connection: _vacuum(connection, pages), outside_transaction=True
        )

    async def checkpoint(self) -> None:
        """Moves the write-ahead log into the file, so that a database that lost rows gets smaller."""
        self._check_open()
        await self._writer.submit("checkpoint", _checkpoint, outside_transaction=True)

    async def release_memory(self) -> None:
        """Frees the pages that SQLite keeps in memory: 2 MB after a login with 5,000 contacts."""
        self._check_open()
        await self._writer.submit("release_memory", _release_memory, outside_transaction=True)
        await self._reader.submit("release_memory", _release_memory)

    async def close(self) -> None:
        """Runs the waiting jobs, moves the write-ahead log into the file and closes it."""
        if self._closed:
            return
        self._closed = True
        await self._reader.close()  # first: the last connection removes the write-ahead log
        await self._writer.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("The store is closed.")

    def _run_writes(self, tasks: Sequence[_Task]) -> list[_Outcome]:
        transactional = [task for task in tasks if not task.outside_transaction]
        outcomes = self._commit(transactional) if transactional else []
        if transactional:
            errors = (str(outcome.error) for outcome in outcomes if isinstance(outcome.error, StoreError))
            self.last_error = next(errors, "")
        return outcomes + [
            self._run_safely(task, self._write_connection) for task in tasks if task.outside_transaction
        ]

    def _commit(self, tasks: Sequence[_Task]) -> list[_Outcome]:
        try:
            self._write_connection.execute("BEGIN IMMEDIATE")
            run = self._run_in_savepoint if len(tasks) > 1 else self._run_job
            outcomes = [run(task) for task in tasks]
            written = [task.name for task, outcome in zip(tasks, outcomes, strict=True) if not outcome.error]
            self._report_points("before", written)
            self._write_connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the callers get it
            self._roll_back()
            return [_Outcome(task.future, error=self._translate(error)) for task in tasks]
        self._report_points("after", written)
        return outcomes

    def _run_job(self, task: _Task) -> _Outcome:
        return _Outcome(task.future, task.job(self._write_connection))

    def _run_in_savepoint(self, task: _Task) -> _Outcome:
        """Runs one job of several: if it fails, the others are still committed."""
        self._write_connection.execute("SAVEPOINT job")
        try:
            outcome = self._run_job(task)
        except Exception as error:
            if not self._write_connection.in_transaction:
                raise  # SQLite rolled the whole transaction back (a full disk)
            self._write_connection.execute("ROLLBACK TO job")
            outcome = _Outcome(task.future, error=self._translate(error))
        self._write_connection.execute("RELEASE job")
        return outcome

    def _run_reads(self, tasks: Sequence[_Task]) -> list[_Outcome]:
        return [self._run_safely(task, self._read_connection) for task in tasks]

    def _run_safely(self, task: _Task, connection: sqlite3.Connection) -> _Outcome:
        try:
            return _Outcome(task.future, task.job(connection))
        except Exception as error:  # noqa: BLE001 - the caller gets it
            return _Outcome(task.future, error=self._translate(error))

    def _report_points(self, when: str, names: Sequence[str]) -> None:
        for name in names:
            self._on_commit_point(f"{when}:{name}")

    def _roll_back(self) -> None:
        """Rolls back. If that fails, the next BEGIN fails too, and this is called again."""
        with suppress(sqlite3.Error):
            if self._write_connection.in_transaction:
                self._write_connection.execute("ROLLBACK")

    def _translate(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        if is_damage(error):
            with suppress(OSError):  # without the mark, the damage is noticed again later
                mark_suspect(self.path)
        store_error = database_error(error, self.path)
        store_error.__cause__ = error
        return store_error


def _vacuum(connection: sqlite3.Connection, pages: int) -> int:
    # `executescript` runs the PRAGMA to its end; `execute` would stop after the first page.
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _release_memory(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA shrink_memory").fetchone()
