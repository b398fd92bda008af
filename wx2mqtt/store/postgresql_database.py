"""The database on PostgreSQL, through psycopg.

    database = await PostgresqlDatabase.open("postgresql://bridge@db/wx2mqtt", on_lost=restart)
    the connection that writes is lost  ->  every later write fails, and `on_lost` is called once

It is not opened again: session locks that were taken on it (`on_write_connection`) end with it, and a process
that lost its locks must not commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncRawCursor

from wx2mqtt.store.database import (
    Connection,
    Database,
    JobOutcome,
    OnCommitPoint,
    QueuedJob,
    ignore_commit_point,
    refuse_newer,
)
from wx2mqtt.store.postgresql_connection import (
    PostgresqlConnection,
    connect,
    connection_address,
    errors_translated,
    postgresql_error,
    statement_text,
    with_password,
)
from wx2mqtt.store.statements import Statement

# Advisory locks have two keys of 32 bits; this is the first one of all locks of wx2mqtt ("wx2m").
LOCK_NAMESPACE = 0x7778326D
MIGRATION_LOCK = 0

MIGRATIONS_FOLDER = Path(__file__).parent / "sql/postgresql"

# About how many bytes a row needs for headers, numbers and indices.
_ROW_BYTES = 400


class PostgresqlDatabase(Database):
    """An open database of a server. `on_lost` is called once, in the writer thread; `url` has a password."""

    is_elsewhere = True
    _writing: PostgresqlConnection
    _reading: PostgresqlConnection
    _begin_snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    def __init__(
        self,
        url: str,
        writer: PostgresqlConnection,
        reader: PostgresqlConnection,
        *,
        is_new: bool,
        on_commit_point: OnCommitPoint,
        on_lost: Callable[[], object],
    ) -> None:
        self.is_new = is_new
        self.url = url
        self._on_lost = on_lost
        self._is_lost = False
        super().__init__(writer, reader, on_commit_point)

    @classmethod
    async def open(
        cls,
        url: str,
        on_commit_point: OnCommitPoint = ignore_commit_point,
        on_lost: Callable[[], object] = lambda: None,
        *,
        password: str | None = None,
    ) -> PostgresqlDatabase:
        """Connects, and creates or migrates the schema. Raises `StoreTooNew`, `StoreFull`, `StoreError`."""
        url = with_password(url, password)
        writer, reader, version = await asyncio.to_thread(_open, url)
        return cls(url, writer, reader, is_new=version == 0, on_commit_point=on_commit_point, on_lost=on_lost)

    async def measure(self, enough: int) -> None:
        """Measures on the connection that commits, so that its loss is noticed where nothing is written."""
        (allocated,) = await self.on_write_connection(lambda db: db.execute(_ALLOCATED_BYTES).fetchone())
        self.allocated_bytes = int(allocated) if allocated <= enough else await self.used_bytes()

    async def used_bytes(self) -> int:
        """Returns about how much the rows need: the server's files keep their size when rows are deleted."""
        ((used,),) = await self.fetch(_USED_BYTES, (_ROW_BYTES,))
        return int(used)

    async def shrink(self, spare_pages: int) -> None:
        """Does nothing: the server vacuums."""

    async def release_memory(self) -> None:
        """Does nothing: psycopg keeps no pages."""

    async def other_sessions(self) -> int:
        """Returns how many other connections of wx2mqtt use the database."""
        statement = "SELECT pg_backend_pid()"
        (writer,) = await self.on_write_connection(lambda db: db.execute(statement).fetchone())
        ((reader,),) = await self.fetch(statement)
        ((count,),) = await self.fetch(_OTHER_SESSIONS, (writer, reader))
        return int(count)

    def _run_writes(self, jobs: Sequence[QueuedJob]) -> list[JobOutcome]:
        outcomes = super()._run_writes(jobs)
        if self._writing.raw.closed and not self._is_lost:
            self._is_lost = True
            self._on_lost()
        return outcomes

    def _run_alone(self, job: QueuedJob, connection: Connection) -> JobOutcome:
        """Opens the reader again where it was lost; the writer holds locks, and stays closed."""
        try:
            if connection is self._reading and self._reading.raw.closed:
                connection = self._reading = connect(self.url, read_only=True)
        except psycopg.Error as error:
            return JobOutcome(job.future, error=postgresql_error(error))
        return super()._run_alone(job, connection)

    def _translate(self, error: Exception) -> Exception:
        return postgresql_error(error) if isinstance(error, psycopg.Error) else error


class PostgresqlListener:
    """A connection on the event loop that waits for notifications, and looks at the database meanwhile.

    One task uses it. All methods raise `StoreError`; then the connection must be closed.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: str, channel: str, *, password: str | None = None) -> PostgresqlListener:
        """Connects and subscribes to a channel; raises `StoreError`."""
        with errors_translated():
            address = connection_address(with_password(url, password))
            connection = await psycopg.AsyncConnection.connect(address, autocommit=True)
            try:
                await connection.execute(f"LISTEN {channel}".encode())
            except BaseException:  # also where the caller gives up
                await connection.close()
                raise
        return cls(connection)

    async def fetch(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Returns the rows of a statement; what it changes is committed at once."""
        with errors_translated():
            cursor = AsyncRawCursor(self._connection)
            await cursor.execute(statement_text(statement), values)
            return await cursor.fetchall() if cursor.description else []

    async def wait(self, seconds: float) -> None:
        """Waits for a notification, at most `seconds`."""
        with errors_translated():
            async for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass

    async def close(self) -> None:
        with suppress(psycopg.Error):
            await self._connection.close()


# How a database is opened

_FIRST_VERSION = 7
SCHEMA_VERSION = "schema_version"  # the name of the row of `meta` that holds it


def newest_schema_version() -> int:
    """Returns the version of the schema that this wx2mqtt creates."""
    return _FIRST_VERSION + len(_migrations()) - 1


def _migrations() -> list[str]:
    return [script.read_text(encoding="utf-8") for script in sorted(MIGRATIONS_FOLDER.glob("[0-9]*.sql"))]


def _open(url: str) -> tuple[PostgresqlConnection, PostgresqlConnection, int]:
    with errors_translated():
        writer = connect(url)
        try:
            version = _migrate(writer.raw)
            return writer, connect(url, read_only=True), version
        except BaseException:
            writer.close()
            raise


def _migrate(connection: psycopg.Connection[Any]) -> int:
    """Runs each missing migration in a transaction of its own; returns the old version, 0 for none.

    The lock lets two instances start at once. It is that of the transaction, and free after any error.
    """
    first_version: int | None = None
    while True:
        with connection.transaction():
            connection.execute(
                "SELECT pg_advisory_xact_lock(%s::int, %s::int)", (LOCK_NAMESPACE, MIGRATION_LOCK)
            )
            version = _schema_version(connection)
            first_version = version if first_version is None else first_version
            refuse_newer(version, newest_schema_version())
            if version == newest_schema_version():
                return first_version
            number = max(version + 1, _FIRST_VERSION)
            connection.execute(_migrations()[number - _FIRST_VERSION].encode())
            connection.execute(
                "INSERT INTO meta (name, value) VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (SCHEMA_VERSION, str(number)),
            )


def _schema_version(connection: psycopg.Connection[Any]) -> int:
    (table,) = connection.execute("SELECT to_regclass('meta')").fetchone() or (None,)
    if table is None:
        return 0
    row = connection.execute("SELECT value FROM meta WHERE name = %s", (SCHEMA_VERSION,)).fetchone()
    return int(row[0]) if row else 0


# Statements

_ALLOCATED_BYTES = Statement("""
    SELECT sum(pg_total_relation_size(name))
    FROM unnest('{publication,command,person,media,seen}'::regclass[]) AS name
""")

# About how many bytes the rows need, without the space of deleted ones. ?1 is what a row needs beside its
# long columns.
_USED_BYTES = Statement("""
    SELECT (SELECT coalesce(sum(octet_length(payload) + coalesce(octet_length(text), 0)), 0) + count(*) * ?1
            FROM publication)
        + (SELECT coalesce(sum(octet_length(command) + octet_length(replies)), 0) + count(*) * ?1
            FROM command)
        + (SELECT count(*) * ?1 FROM person)
        + (SELECT count(*) * ?1 FROM media)
        + (SELECT count(*) * ?1 FROM seen)
""")

_OTHER_SESSIONS = Statement("""
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid NOT IN (?, ?)
    AND application_name = current_setting('application_name')
""")
