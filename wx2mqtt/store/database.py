"""The only door to SQLite: one thread writes, in groups, one reads; the event loop never waits for a disk.

What gathers while a commit is on its way goes into the next one together: one fsync, one hop back to the
loop. It knows nothing of what is stored.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from wx2mqtt.errors import StoreError
from wx2mqtt.store.files import database_error, is_damage
from wx2mqtt.store.migrations import OpenDatabase, mark_suspect, open_file

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
OnCommitPoint = Callable[[str], None]

MAX_JOBS_PER_COMMIT = 256  # jobs in one commit at most: a failing one must not take a whole day with it


def _nothing(_point: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Task:
    name: str
    job: Job[Any]
    future: asyncio.Future[Any]
    outside_transaction: bool = False  # outside of any transaction


@dataclass(frozen=True, slots=True)
class _Outcome:
    future: asyncio.Future[Any]
    value: object = None
    error: Exception | None = None


RunTasks = Callable[[Sequence[_Task]], list[_Outcome]]


class _Worker:
    """A thread that takes all tasks that wait, performs them and tells the loop once."""

    def __init__(self, name: str, run_tasks: RunTasks, close: Callable[[], None]) -> None:
        self._run_tasks = run_tasks
        self._close = close
        self._loop = asyncio.get_running_loop()
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        # Daemon: a program that fails before it closes the store must still end; what is committed is safe.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._closed: asyncio.Future[Any] = self._loop.create_future()
        self._thread.start()

    def submit(self, name: str, job: Job[T], *, outside_transaction: bool = False) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self._loop.create_future()
        self._tasks.put(_Task(name, job, future, outside_transaction))
        return future

    async def close(self) -> None:
        """Do what waits, then end the thread."""
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
        """What waits, at least one; and whether there may be more."""
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
        except RuntimeError:  # the loop was closed before the store: nobody is left to be told
            return


def _resolve(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        if outcome.future.done():  # whoever waited was cancelled
            continue
        if outcome.error is not None:
            outcome.future.set_exception(outcome.error)
        else:
            outcome.future.set_result(outcome.value)


class Database:
    """One SQLite file, open. All methods are called on the event loop on which it was opened.

    `trouble` is why the last commit failed; empty when it did not.
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
    async def open(cls, path: Path, on_commit_point: OnCommitPoint = _nothing) -> Database:
        """Open or create the file, mode 0600.

        A damaged file is set aside (`set_aside` says where) and a new one begun; `fresh` tells that nothing
        was there. `on_point` is called in the writing thread around every commit, for tests of crashes.
        Raises `StoreTooNew`, `StoreFull`, `StoreError`.
        """
        return cls(path, await asyncio.to_thread(open_file, path), on_commit_point)

    async def write(self, name: str, job: Job[T]) -> T:
        """Run `job` in a transaction; when this returns, what it wrote is on the disk.

        `job` runs in another thread and must use the connection only, without BEGIN or COMMIT. What it raises
        is raised here, and nothing that it did remains. Raises `StoreFull` and `StoreError` when SQLite does.
        Cancelling the wait does not undo the write.
        """
        self._check_open()
        return await self._writer.submit(name, job)

    async def read(self, job: Job[T]) -> T:
        """Run `job`, which must only read, on what is committed, in another thread."""
        self._check_open()
        return await self._reader.submit("read", job)

    async def vacuum(self, pages: int) -> int:
        """Let go of up to `pages` free pages at the end of the file; returns how many are still free."""
        self._check_open()
        return await self._writer.submit(
            "vacuum", lambda connection: _vacuum(connection, pages), outside_transaction=True
        )

    async def checkpoint(self) -> None:
        """Move the WAL into the file, so that a database that lost rows takes less room."""
        self._check_open()
        await self._writer.submit("checkpoint", _checkpoint, outside_transaction=True)

    async def close(self) -> None:
        """Do what waits, move the WAL into the file and let go of it."""
        if self._closed:
            return
        self._closed = True
        await self._reader.close()  # first, so that the writer is the last one and removes the WAL
        await self._writer.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("The store is closed.")

    def _run_writes(self, tasks: Sequence[_Task]) -> list[_Outcome]:
        together = [task for task in tasks if not task.outside_transaction]
        outcomes = self._commit(together) if together else []
        if together:
            troubles = (str(one.error) for one in outcomes if isinstance(one.error, StoreError))
            self.last_error = next(troubles, "")
        return outcomes + [
            self._run_safely(task, self._write_connection) for task in tasks if task.outside_transaction
        ]

    def _commit(self, tasks: Sequence[_Task]) -> list[_Outcome]:
        try:
            self._write_connection.execute("BEGIN IMMEDIATE")
            outcomes = (
                [self._run_in_savepoint(task) for task in tasks]
                if len(tasks) > 1
                else [self._run_job(tasks[0])]
            )
            written = [task.name for task, outcome in zip(tasks, outcomes, strict=True) if not outcome.error]
            self._report_points("before", written)
            self._write_connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - it belongs to the callers, not to this thread
            self._roll_back()
            return [_Outcome(task.future, error=self._translate(error)) for task in tasks]
        self._report_points("after", written)
        return outcomes

    def _run_job(self, task: _Task) -> _Outcome:
        return _Outcome(task.future, task.job(self._write_connection))

    def _run_in_savepoint(self, task: _Task) -> _Outcome:
        """One job of several: when it fails, the others go on."""
        self._write_connection.execute("SAVEPOINT job")
        try:
            outcome = self._run_job(task)
        except Exception as error:
            if not self._write_connection.in_transaction:
                raise  # SQLite gave up the whole transaction (a full disk): nobody's job is in it
            self._write_connection.execute("ROLLBACK TO job")
            outcome = _Outcome(task.future, error=self._translate(error))
        self._write_connection.execute("RELEASE job")
        return outcome

    def _run_reads(self, tasks: Sequence[_Task]) -> list[_Outcome]:
        return [self._run_safely(task, self._read_connection) for task in tasks]

    def _run_safely(self, task: _Task, connection: sqlite3.Connection) -> _Outcome:
        try:
            return _Outcome(task.future, task.job(connection))
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, not to this thread
            return _Outcome(task.future, error=self._translate(error))

    def _report_points(self, when: str, names: Sequence[str]) -> None:
        for name in names:
            self._on_commit_point(f"{when}:{name}")

    def _roll_back(self) -> None:
        """A disk that does not even roll back fails the next BEGIN too, and then this is tried again."""
        with suppress(sqlite3.Error):
            if self._write_connection.in_transaction:
                self._write_connection.execute("ROLLBACK")

    def _translate(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        if is_damage(error):
            with suppress(OSError):  # a disk that takes no mark: the damage shows again
                mark_suspect(self.path)
        trouble = database_error(error, self.path)
        trouble.__cause__ = error
        return trouble


def _vacuum(connection: sqlite3.Connection, pages: int) -> int:
    # Only a script steps through the whole PRAGMA; `execute` would stop after its first page.
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
