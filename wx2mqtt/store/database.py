"""Access to a database: one thread writes, one thread reads; the event loop never waits for the disk.

    await database.write("publish", lambda connection: connection.execute(statement, values))

A job is a function of a connection. `SqliteDatabase` and `PostgresqlDatabase` are the two databases; neither
they nor this file know the tables.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from wx2mqtt.errors import StoreError, StoreTooNew
from wx2mqtt.model import Json
from wx2mqtt.values import frozen

T = TypeVar("T")
OnCommitPoint = Callable[[str], None]

# A commit that fails must not fail all that waits.
MAX_JOBS_PER_COMMIT = 256


class Database(ABC):
    """An open database. All methods are called on the event loop on which it was opened.

    `write` puts a job into the writer's queue:

    1. the writer takes all jobs that wait, at most `MAX_JOBS_PER_COMMIT`, and begins a transaction,
    2. each of several jobs runs in a savepoint: one that fails is undone alone,
    3. one COMMIT makes all of them durable,
    4. one callback into the event loop resolves the futures of all of them.

    `read` does the same without a transaction, in a thread and on a connection of its own.
    """

    #: The statements that begin a transaction that writes, and one that sees the rows of one moment.
    _begin_write = "BEGIN"
    _begin_snapshot = "BEGIN"

    #: The new path of a damaged file that was found at start.
    set_aside: Path | None = None
    #: There was no readable store.
    is_new = False
    #: It is not in the folder of the store.
    is_elsewhere = False
    #: How much the store takes on the disk, also where rows were deleted; costs no query.
    allocated_bytes = 0

    def __init__(
        self, writing: DatabaseConnection, reading: DatabaseConnection, on_commit_point: OnCommitPoint
    ) -> None:
        #: Why the last commit failed; empty if it did not.
        self.last_error = ""
        self._writing = writing
        self._reading = reading
        self._on_commit_point = on_commit_point
        self._writer = _Worker("store-write", self._run_writes, writing.close)
        # PostgreSQL may have another connection to read by then.
        self._reader = _Worker("store-read", self._run_reads, lambda: self._reading.close())  # noqa: PLW0108

    async def write(self, name: str, job: Job[T], *, urgent: bool = False) -> T:
        """Runs `job` in a transaction; when this returns, its changes are durable.

        `job` runs in the writer thread and uses the connection only, without BEGIN or COMMIT. What it raises
        is raised here, and its changes are undone. Raises `StoreFull` and `StoreError` for errors of the
        database. A cancelled wait does not undo the write. `name` is the commit point for crash tests. An
        `urgent` job passes those that wait.
        """
        return await self._writer.submit(name, job, urgent=urgent)

    async def read(self, job: Job[T]) -> T:
        """Runs `job`, which only reads, in the reader thread; it sees committed rows."""
        return await self._reader.submit("read", job)

    async def execute(self, name: str, statement: str, values: Sequence[object] = ()) -> int:
        """Runs one statement as `write` does; returns how many rows it changed."""
        return await self._writer.submit(name, lambda db: db.execute(statement, values).rowcount)

    async def fetch(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Returns the rows of one statement, as `read` does."""
        return await self._reader.submit("read", lambda db: db.execute(statement, values).fetchall())

    async def read_snapshot(self, job: Job[T]) -> T:
        """Runs `job` like `read`, but all its statements see the rows of the same moment."""

        def within_transaction(connection: Connection) -> T:
            connection.execute(self._begin_snapshot)
            try:
                return job(connection)
            finally:
                connection.execute("COMMIT")

        return await self.read(within_transaction)

    async def on_write_connection(self, job: Job[T]) -> T:
        """Runs `job` on the connection that commits, outside of a transaction."""
        return await self._writer.submit("session", job, outside_transaction=True)

    @abstractmethod
    async def used_bytes(self) -> int:
        """Returns how much the rows of the store need."""

    @abstractmethod
    async def measure(self, enough: int) -> None:
        """Corrects `allocated_bytes`; above `enough`, where that needs a query, without free space."""

    @abstractmethod
    async def shrink(self, spare_pages: int) -> None:
        """Returns free pages to the file system, all but `spare_pages`."""

    @abstractmethod
    async def release_memory(self) -> None:
        """Frees the memory that the database keeps in this process and can do without."""

    async def close(self) -> None:
        """Runs the waiting jobs and closes the connections."""
        if self._writer.is_closed:
            return
        self._writer.is_closed = self._reader.is_closed = True
        await self._reader.end()  # first: the last connection removes the write-ahead log of SQLite
        await self._writer.end()

    def _run_writes(self, jobs: Sequence[QueuedJob]) -> list[JobOutcome]:
        """Commits the jobs of a transaction, then runs the others."""
        outcomes: list[JobOutcome] = []
        transactional = [job for job in jobs if not job.outside_transaction]
        if transactional:
            outcomes = self._commit(transactional)
            errors = (str(outcome.error) for outcome in outcomes if isinstance(outcome.error, StoreError))
            self.last_error = next(errors, "")
        return outcomes + [self._run_alone(job, self._writing) for job in jobs if job.outside_transaction]

    def _commit(self, jobs: Sequence[QueuedJob]) -> list[JobOutcome]:
        try:
            self._writing.execute(self._begin_write)
            run = self._run_in_savepoint if len(jobs) > 1 else self._run_job
            outcomes = [run(job) for job in jobs]
            written = [job.name for job, outcome in zip(jobs, outcomes, strict=True) if not outcome.error]
            for name in written:
                self._on_commit_point(f"before:{name}")
            self._writing.commit()
        except Exception as error:  # noqa: BLE001 - the callers get it
            with suppress(Exception):  # the next BEGIN fails too then, and this is called again
                self._writing.rollback()
            return [JobOutcome(job.future, error=self._translate(error)) for job in jobs]
        for name in written:
            self._on_commit_point(f"after:{name}")
        return outcomes

    def _run_job(self, job: QueuedJob) -> JobOutcome:
        return JobOutcome(job.future, job.job(self._writing))

    def _run_in_savepoint(self, job: QueuedJob) -> JobOutcome:
        """Runs one job of several: if it fails, the others are still committed."""
        self._writing.execute("SAVEPOINT job")
        try:
            outcome = self._run_job(job)
        except Exception as error:
            if not self._writing.in_transaction:
                raise  # the database gave up the whole transaction: a full disk, a lost connection
            self._writing.execute("ROLLBACK TO job")
            outcome = JobOutcome(job.future, error=self._translate(error))
        self._writing.execute("RELEASE job")
        return outcome

    def _run_reads(self, jobs: Sequence[QueuedJob]) -> list[JobOutcome]:
        return [self._run_alone(job, self._reading) for job in jobs]

    def _run_alone(self, job: QueuedJob, connection: Connection) -> JobOutcome:
        try:
            return JobOutcome(job.future, job.job(connection))
        except Exception as error:  # noqa: BLE001 - the caller gets it
            return JobOutcome(job.future, error=self._translate(error))

    @abstractmethod
    def _translate(self, error: Exception) -> Exception:
        """Returns an error of the database as a `StoreError`, any other as it is."""


def ignore_commit_point(_point: str) -> None:
    """For a database without a crash test."""


def refuse_newer(version: int, newest: int) -> None:
    """Raises `StoreTooNew` for a store of a newer wx2mqtt; this one creates stores of version `newest`."""
    if version > newest:
        raise StoreTooNew(
            f"The store has version {version}, this wx2mqtt knows {newest}; install the newer one again."
        )


# Connections

# A row whose values are found by the names of the columns.
NamedRow = Mapping[str, Any]


class Cursor(Protocol):
    """The rows of one statement. `rowcount` is how many rows a change was made to."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """What a job may use of a connection, whichever database is behind it.

    A statement is a `Statement`, with `?` or `?1` for the values. Texts are `str`, bytes are `bytes`, whole
    numbers and flags are `int`, many values are a `json_list`. Each method raises the errors of its database.
    """

    def execute(self, statement: str, values: Sequence[object] = (), /) -> Cursor: ...

    def executemany(self, statement: str, rows: Iterable[Sequence[object]], /) -> object:
        """Runs a statement for each row of values."""

    def named_rows(self, statement: str, values: Sequence[object]) -> Sequence[NamedRow]:
        """Returns the rows of a statement."""

    def insert_returning_ids(self, statement: str, rows: Sequence[Sequence[object]]) -> Sequence[int]:
        """Runs `statement`, which ends with `VALUES (?, …)`, for all rows; returns their ids in order."""

    def continue_ids(self, table: str) -> None:
        """Has the next ids follow the highest one, after rows were inserted with their ids."""


class DatabaseConnection(Connection, Protocol):
    """What only `Database` uses of a connection."""

    @property
    def in_transaction(self) -> bool: ...

    def commit(self) -> None:
        """Makes the changes of the transaction durable. Raises an error where there is none any more."""

    def rollback(self) -> None:
        """Rolls back the transaction, if there is one."""

    def close(self) -> None: ...


class JsonList(str):
    """The argument of `json_each`: a JSON array in a text."""

    __slots__ = ()


def json_list(values: Iterable[Json]) -> JsonList:
    """Returns the argument of `json_each`, with which one statement takes any number of values."""
    return JsonList(json.dumps(list(values)))


Job = Callable[[Connection], T]


# The threads


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


RunJobs = Callable[[Sequence[QueuedJob]], list[JobOutcome]]


class _Worker:
    """A thread that runs all waiting jobs together and reports their outcomes to the event loop at once."""

    def __init__(self, name: str, run_jobs: RunJobs, close: Callable[[], None]) -> None:
        #: No more jobs are taken.
        self.is_closed = False
        self._run_jobs = run_jobs
        self._close = close
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[QueuedJob] = deque()
        # True for each waiting job; False ends the thread.
        self._signals: queue.SimpleQueue[bool] = queue.SimpleQueue()
        # Daemon: a process that fails before it closes the store must still exit; commits are durable.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._ended: asyncio.Future[Any] = self._loop.create_future()
        self._thread.start()

    def submit(
        self, name: str, job: Job[T], *, outside_transaction: bool = False, urgent: bool = False
    ) -> asyncio.Future[T]:
        """Adds a job; an urgent one is the first of the next group, whatever waits."""
        if self.is_closed:
            raise StoreError("The store is closed.")
        future: asyncio.Future[T] = self._loop.create_future()
        queued = QueuedJob(name, job, future, outside_transaction)
        if urgent:
            self._waiting.appendleft(queued)
        else:
            self._waiting.append(queued)
        self._signals.put(True)
        return future

    async def end(self) -> None:
        """Runs the waiting jobs, then ends the thread."""
        self._signals.put(False)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _run(self) -> None:
        more = True
        try:
            while more:
                jobs, more = self._next_jobs()
                if jobs:
                    self._deliver(self._run_jobs(jobs))
            self._close()
        finally:
            self._deliver([JobOutcome(self._ended)])

    def _next_jobs(self) -> tuple[list[QueuedJob], bool]:
        """Returns waiting jobs, blocking until there is one, and False once the worker is to end."""
        jobs: list[QueuedJob] = []
        while self._signals.get():
            jobs.append(self._waiting.popleft())
            if len(jobs) >= MAX_JOBS_PER_COMMIT or self._signals.empty():
                return jobs, True
        return jobs, False

    def _deliver(self, outcomes: list[JobOutcome]) -> None:
        with suppress(RuntimeError):  # the loop was closed before the store: nobody awaits the outcomes
            self._loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: list[JobOutcome]) -> None:
    for outcome in outcomes:
        if outcome.future.done():  # the caller was cancelled
            continue
        if outcome.error is not None:
            outcome.future.set_exception(outcome.error)
        else:
            outcome.future.set_result(outcome.value)
