"""Access to a database: one thread writes, one thread reads; the event loop never waits for the disk.

A job is a function of a connection. `Database.write` puts it into the writer's queue:

1. the writer takes all jobs that wait, at most `MAX_JOBS_PER_COMMIT`, and begins a transaction,
2. each of several jobs runs in a savepoint: one that fails is undone alone,
3. one COMMIT makes all of them durable,
4. one callback into the event loop resolves the futures of all of them.

`Database.read` does the same without a transaction, in a thread and on a connection of its own. The tables
are unknown here, and so is the database: `SqliteDatabase` and `PostgresqlDatabase` are the two there are.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from wx2mqtt.errors import StoreError
from wx2mqtt.values import frozen


class NamedRow(Protocol):
    """A row whose values are found by the names of the columns."""

    def __getitem__(self, name: str, /) -> Any: ...

    def keys(self) -> Iterable[str]: ...


class Cursor(Protocol):
    """The rows of one statement. `rowcount` is how many rows a change was made to."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """What a job may use of a connection, whichever database is behind it.

    The statements are those of `load_queries`, with `?` or `?1` for the values. Texts are `str`, bytes are
    `bytes`, whole numbers and flags are `int`. Each method raises the errors of its database.
    """

    def execute(self, statement: str, values: Sequence[object] = (), /) -> Cursor: ...

    def executemany(self, statement: str, rows: Iterable[Sequence[object]], /) -> object:
        """Runs a statement for each row of values."""

    def named_rows(self, statement: str, values: Sequence[object]) -> Iterable[NamedRow]:
        """Returns the rows of a statement."""

    def insert_returning_ids(self, statement: str, rows: Sequence[Sequence[object]]) -> Sequence[int]:
        """Runs `statement`, which ends with `VALUES (?, …)`, for all rows; returns their ids in order."""

    def continue_ids(self, table: str) -> None:
        """Has the next ids follow the highest one, after rows were inserted with their ids."""


T = TypeVar("T")
Job = Callable[[Connection], T]
OnCommitPoint = Callable[[str], None]

# A commit that fails must not fail all that waits.
MAX_JOBS_PER_COMMIT = 256


def ignore_commit_point(_point: str) -> None:
    """For a database without a crash test."""


@frozen(kw_only=False)
class QueuedJob:
    name: str
    job: Job[Any]
    future: asyncio.Future[Any]
    outside_transaction: bool = False


@frozen(kw_only=False)
class JobOutcome:
    future: asyncio.Future[Any]
    value: object = None
    error: Exception | None = None


RunTasks = Callable[[Sequence[QueuedJob]], list[JobOutcome]]


class _Wake:
    """Stands in the queue for an urgent task."""


class _Worker:
    """A thread that runs all waiting tasks together and reports their outcomes to the event loop at once."""

    def __init__(self, name: str, run_tasks: RunTasks, close: Callable[[], None]) -> None:
        self._run_tasks = run_tasks
        self._close = close
        self._loop = asyncio.get_running_loop()
        self._tasks: queue.SimpleQueue[QueuedJob | _Wake | None] = queue.SimpleQueue()
        self._urgent: queue.SimpleQueue[QueuedJob] = queue.SimpleQueue()
        # Daemon: a process that fails before it closes the store must still exit; commits are durable.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._closed: asyncio.Future[Any] = self._loop.create_future()
        self._thread.start()

    def submit(
        self, name: str, job: Job[T], *, outside_transaction: bool = False, urgent: bool = False
    ) -> asyncio.Future[T]:
        """Adds a task; an urgent one is the first of the next group, whatever waits."""
        future: asyncio.Future[T] = self._loop.create_future()
        task = QueuedJob(name, job, future, outside_transaction)
        if urgent:
            self._urgent.put(task)
        self._tasks.put(_Wake() if urgent else task)
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
            self._deliver([JobOutcome(self._closed)])

    def _next_tasks(self) -> tuple[list[QueuedJob], bool]:
        """Returns waiting tasks, blocking until there is one, and False once the worker is to end."""
        task = self._tasks.get()
        tasks = [self._urgent.get() for _ in range(self._urgent.qsize())]
        while task is not None:
            if isinstance(task, QueuedJob):
                tasks.append(task)
            if len(tasks) >= MAX_JOBS_PER_COMMIT or self._tasks.empty():
                return tasks, True
            task = self._tasks.get()
        return tasks, False

    def _deliver(self, outcomes: list[JobOutcome]) -> None:
        try:
            self._loop.call_soon_threadsafe(_resolve, outcomes)
        except RuntimeError:  # the loop was closed before the store: nobody awaits the outcomes
            return


def _resolve(outcomes: list[JobOutcome]) -> None:
    for outcome in outcomes:
        if outcome.future.done():  # the caller was cancelled
            continue
        if outcome.error is not None:
            outcome.future.set_exception(outcome.error)
        else:
            outcome.future.set_result(outcome.value)


class Database(ABC):
    """An open database. All methods are called on the event loop on which it was opened."""

    _begin_snapshot = "BEGIN"

    #: The new path of a damaged file that was found at start.
    set_aside: Path | None = None
    #: There was no readable store.
    is_new = False
    #: It is not in the folder of the store.
    is_elsewhere = False

    def __init__(self, on_commit_point: OnCommitPoint) -> None:
        #: Why the last commit failed; empty if it did not.
        self.last_error = ""
        self._on_commit_point = on_commit_point
        self._closed = False
        self._writer = _Worker("store-write", self._run_writes, self._close_writer)
        self._reader = _Worker("store-read", self._run_reads, self._close_reader)

    async def write(self, name: str, job: Job[T], *, urgent: bool = False) -> T:
        """Runs `job` in a transaction; when this returns, its changes are durable.

        `job` runs in the writer thread and uses the connection only, without BEGIN or COMMIT. What it raises
        is raised here, and its changes are undone. Raises `StoreFull` and `StoreError` for errors of the
        database. A cancelled wait does not undo the write. `name` is the commit point for crash tests. An
        `urgent` job passes those that wait.
        """
        self._check_open()
        return await self._writer.submit(name, job, urgent=urgent)

    async def read(self, job: Job[T]) -> T:
        """Runs `job`, which only reads, in the reader thread; it sees committed rows."""
        self._check_open()
        return await self._reader.submit("read", job)

    async def execute(self, name: str, statement: str, values: Sequence[object] = ()) -> int:
        """Runs one statement as `write` does; returns how many rows it changed."""
        return await self.write(name, lambda connection: connection.execute(statement, values).rowcount)

    async def fetch(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Returns the rows of one statement, as `read` does."""
        return await self.read(lambda connection: connection.execute(statement, values).fetchall())

    async def read_snapshot(self, job: Job[T]) -> T:
        """Runs `job` like `read`, but all its statements see the rows of the same moment."""

        def within_transaction(connection: Connection) -> T:
            connection.execute(self._begin_snapshot)
            try:
                return job(connection)
            finally:
                connection.execute("COMMIT")

        return await self.read(within_transaction)

    @property
    @abstractmethod
    def allocated_bytes(self) -> int:
        """How much the store takes on the disk, also where rows were deleted; costs no query."""

    @abstractmethod
    async def measure(self, enough: int) -> None:
        """Corrects `allocated_bytes`, where that needs a query; above `enough` without free space."""

    @abstractmethod
    async def used_bytes(self) -> int:
        """Returns how much the rows of the store need."""

    @abstractmethod
    async def free_pages(self) -> int:
        """Returns how many pages `vacuum` could return; 0 where the database does that itself."""

    @abstractmethod
    async def vacuum(self, pages: int) -> int:
        """Returns up to `pages` free pages to the file system; returns how many are still free."""

    @abstractmethod
    async def checkpoint(self) -> None:
        """Makes the files smaller after rows were lost, where the database does not do that itself."""

    @abstractmethod
    async def release_memory(self) -> None:
        """Frees the memory that the database keeps in this process and can do without."""

    async def close(self) -> None:
        """Runs the waiting jobs and closes the connections."""
        if self._closed:
            return
        self._closed = True
        await self._reader.close()  # first: the last connection removes the write-ahead log of SQLite
        await self._writer.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("The store is closed.")

    def _run_writes(self, tasks: Sequence[QueuedJob]) -> list[JobOutcome]:
        transactional = [task for task in tasks if not task.outside_transaction]
        outcomes = self._commit(transactional) if transactional else []
        if transactional:
            errors = (str(outcome.error) for outcome in outcomes if isinstance(outcome.error, StoreError))
            self.last_error = next(errors, "")
        return outcomes + [
            self._run_safely(task, self._write_connection) for task in tasks if task.outside_transaction
        ]

    def _commit(self, tasks: Sequence[QueuedJob]) -> list[JobOutcome]:
        try:
            self._begin()
            run = self._run_in_savepoint if len(tasks) > 1 else self._run_job
            outcomes = [run(task) for task in tasks]
            written = [task.name for task, outcome in zip(tasks, outcomes, strict=True) if not outcome.error]
            self._report_points("before", written)
            self._end()
        except Exception as error:  # noqa: BLE001 - the callers get it
            self._roll_back()
            return [JobOutcome(task.future, error=self._translate(error)) for task in tasks]
        self._report_points("after", written)
        return outcomes

    def _run_job(self, task: QueuedJob) -> JobOutcome:
        return JobOutcome(task.future, task.job(self._write_connection()))

    def _run_in_savepoint(self, task: QueuedJob) -> JobOutcome:
        """Runs one job of several: if it fails, the others are still committed."""
        connection = self._write_connection()
        connection.execute("SAVEPOINT job")
        try:
            outcome = self._run_job(task)
        except Exception as error:
            if not self._is_in_transaction():
                raise  # the database gave up the whole transaction: a full disk, a lost connection
            connection.execute("ROLLBACK TO job")
            outcome = JobOutcome(task.future, error=self._translate(error))
        connection.execute("RELEASE job")
        return outcome

    def _run_reads(self, tasks: Sequence[QueuedJob]) -> list[JobOutcome]:
        return [self._run_safely(task, self._read_connection) for task in tasks]

    def _run_safely(self, task: QueuedJob, connection: Callable[[], Connection]) -> JobOutcome:
        try:
            return JobOutcome(task.future, task.job(connection()))
        except Exception as error:  # noqa: BLE001 - the caller gets it
            return JobOutcome(task.future, error=self._translate(error))

    def _report_points(self, when: str, names: Sequence[str]) -> None:
        for name in names:
            self._on_commit_point(f"{when}:{name}")

    @abstractmethod
    def _write_connection(self) -> Connection:
        """Returns the connection of the writer thread."""

    @abstractmethod
    def _read_connection(self) -> Connection:
        """Returns the connection of the reader thread. May raise an error of the database."""

    @abstractmethod
    def _begin(self) -> None:
        """Begins a transaction."""

    @abstractmethod
    def _end(self) -> None:
        """Makes the changes of the transaction durable."""

    @abstractmethod
    def _is_in_transaction(self) -> bool: ...

    @abstractmethod
    def _roll_back(self) -> None:
        """Rolls back. If that fails, the next `_begin` fails too, and this is called again."""

    @abstractmethod
    def _translate(self, error: Exception) -> Exception:
        """Returns an error of the database as a `StoreError`, any other as it is."""

    @abstractmethod
    def _close_writer(self) -> None: ...

    @abstractmethod
    def _close_reader(self) -> None: ...
