"""The database on PostgreSQL, through psycopg.

All that a process writes goes through one connection. Session locks that are taken on it
(`on_write_connection`) end with it: a process that lost its locks cannot commit. So it is not opened again
when it is lost: every later write fails, and `on_lost` is called once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncRawCursor, RawCursor, conninfo, pq
from psycopg.rows import dict_row
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrDumper, StrDumperUnknown, TextLoader

from wx2mqtt.errors import StoreError, StoreFull
from wx2mqtt.store.database import (
    Connection,
    Cursor,
    Database,
    JobOutcome,
    JsonList,
    NamedRow,
    OnCommitPoint,
    QueuedJob,
    ignore_commit_point,
    refuse_newer,
)
from wx2mqtt.store.statements import Statement, for_postgresql, insert_batches

# Advisory locks have two keys of 32 bits; this is the first one of all locks of wx2mqtt ("wx2m").
LOCK_NAMESPACE = 0x7778326D
MIGRATION_LOCK = 0

MIGRATIONS_FOLDER = Path(__file__).parent / "sql/postgresql"

_ROW_BYTES = 400  # of headers, numbers and indices, about


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
        if password is not None:
            url = conninfo.make_conninfo(url, password=password)
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
                connection = self._reading = _connect(self.url, read_only=True)
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
        if password is not None:
            url = conninfo.make_conninfo(url, password=password)
        with _errors_translated():
            connection = await psycopg.AsyncConnection.connect(_connection_address(url), autocommit=True)
            await connection.execute(f"LISTEN {channel}".encode())
        return cls(connection)

    async def fetch(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Returns the rows of a statement; what it changes is committed at once."""
        with _errors_translated():
            cursor = AsyncRawCursor(self._connection)
            await cursor.execute(_statement_text(statement), values)
            return await cursor.fetchall() if cursor.description else []

    async def wait(self, seconds: float) -> None:
        """Waits for a notification, at most `seconds`."""
        with _errors_translated():
            async for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass

    async def close(self) -> None:
        with suppress(psycopg.Error):
            await self._connection.close()


class PostgresqlConnection:
    """A connection of psycopg with the methods that jobs use."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.raw = connection
        adapters = connection.adapters
        for text_dumper in (StrDumper, _TextDumper):  # the last one that is registered is used
            adapters.register_dumper(str, text_dumper)
        adapters.register_loader("text", _TextLoader)
        adapters.register_dumper(JsonList, _JsonListDumper)
        adapters.register_dumper(int, _FlagDumper)
        adapters.register_dumper(bool, _FlagDumper)

    @classmethod
    def open(cls, url: str, password: str | None) -> PostgresqlConnection:
        """Connects for a look at the server; blocking. Raises `StoreError`."""
        with _errors_translated():
            return _connect(conninfo.make_conninfo(url, **({"password": password} if password else {})))

    @property
    def address(self) -> str:
        """Host or folder, port and database, for people."""
        info = self.raw.info
        return f"{info.host or info.hostaddr}:{info.port}/{info.dbname}"

    def is_direct(self) -> bool:
        """Returns whether the session is the one that was announced when the connection was made."""
        return self.first_row("SELECT pg_backend_pid()") == (self.raw.info.backend_pid,)

    def first_row(self, statement: str, values: Sequence[object] = ()) -> tuple[Any, ...]:
        """Returns the first row of a statement. Raises `StoreError`."""
        with _errors_translated():
            row: tuple[Any, ...] | None = self.execute(statement, values).fetchone()
        return row or ()

    def close(self) -> None:
        self.raw.close()

    @property
    def in_transaction(self) -> bool:
        return self.raw.info.transaction_status in (
            pq.TransactionStatus.INTRANS,
            pq.TransactionStatus.INERROR,
        )

    def commit(self) -> None:
        # COMMIT of a transaction in which a statement failed rolls back, and is no error.
        if self.raw.execute("COMMIT").statusmessage != "COMMIT":
            raise StoreError("The database rolled a change back.")

    def rollback(self) -> None:
        if self.in_transaction:
            self.raw.execute("ROLLBACK")

    def execute(self, statement: str, values: Sequence[object] = (), /) -> Cursor:
        return RawCursor(self.raw).execute(_statement_text(statement), values or None)

    def executemany(self, statement: str, rows: Iterable[Sequence[object]], /) -> object:
        RawCursor(self.raw).executemany(_statement_text(statement), list(rows))
        return None

    def named_rows(self, statement: str, values: Sequence[object]) -> Sequence[NamedRow]:
        cursor = RawCursor(self.raw, row_factory=dict_row)
        return cursor.execute(_statement_text(statement), values).fetchall()

    def insert_returning_ids(self, statement: str, rows: Sequence[Sequence[object]]) -> Sequence[int]:
        ids: list[int] = []
        for several, values in insert_batches(statement, rows):
            cursor = RawCursor(self.raw).execute(f"{several.postgresql} RETURNING id", values)
            ids += sorted(row_id for (row_id,) in cursor)
        return ids

    def continue_ids(self, table: str) -> None:
        self.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")  # noqa: S608


# Values

# No text of PostgreSQL can have a NUL. This character stands for it, which Unicode reserves for such uses.
_NUL_STAND_IN = "\U0010ffff"
_JSON_NUL_STAND_IN = r"\udbff\udfff"
_JSON_ESCAPE = re.compile(r"\\(?:u0000|.)")


class _TextDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", _NUL_STAND_IN) if "\0" in obj else obj)


class _TextLoader(TextLoader):
    def load(self, data: Any) -> Any:
        text = str(super().load(data))
        return text.replace(_NUL_STAND_IN, "\0") if _NUL_STAND_IN in text else text


class _JsonListDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Any:
        if "\\u0000" in obj:
            obj = _JSON_ESCAPE.sub(_without_nul, obj)
        return super().dump(obj)


def _without_nul(escape: re.Match[str]) -> str:
    return _JSON_NUL_STAND_IN if escape[0] == r"\u0000" else escape[0]


class _FlagDumper(Int8BinaryDumper):
    """Writes a flag as 0 or 1, as SQLite has it."""

    def dump(self, obj: int) -> Any:
        return super().dump(int(obj))


# Errors

_REASON_CHARACTERS = 300
_DISK_FULL = "53100"
_SENTENCES = {
    "53100": "there is no room on the disk of the server",
    "42501": "this user lacks a right; grant what the documentation lists",
    "25006": "the server accepts no changes: it is a standby, or set to read-only",
    "57P01": "the server has ended the connection",
}


@contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise postgresql_error(error) from error


def postgresql_error(error: psycopg.Error) -> StoreError:
    """Returns an error of PostgreSQL as a `StoreError`, without SQL or the value of a row."""
    code = error.sqlstate or ""
    if code in _SENTENCES:
        remedy = _SENTENCES[code]
    elif code:
        remedy = f"it refused a statement ({type(error).__name__}, {code})"
    elif isinstance(error, psycopg.OperationalError):  # of libpq, about the connection and not about a row
        remedy = " ".join(str(error).split())[:_REASON_CHARACTERS].rstrip(".") or "the connection is lost"
    else:
        remedy = type(error).__name__
    store_error = (StoreFull if code == _DISK_FULL else StoreError)(f"The database cannot be used: {remedy}.")
    store_error.__cause__ = error
    return store_error


def check_url(url: str) -> None:
    """Raises `ValueError` with a sentence for a URL that libpq cannot read."""
    try:
        conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise ValueError(f"cannot be used: {' '.join(str(error).split())}") from None


# How a database is opened

# A dead server or network is noticed within about ten seconds, by both sides. What `storage.url` says comes
# first.
CONNECTION_DEFAULTS = {
    "application_name": "wx2mqtt",
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

# The same on the side of the server, for the connection that holds locks: after 8 s of silence they are free.
_SERVER_KEEPALIVE = (
    "SET tcp_keepalives_idle TO 5; SET tcp_keepalives_interval TO 1; SET tcp_keepalives_count TO 3;"
    " SET tcp_user_timeout TO 8000"
)

_FIRST_VERSION = 7
_SCHEMA_VERSION = "schema_version"


def newest_schema_version() -> int:
    """Returns the version of the schema that this wx2mqtt creates."""
    return _FIRST_VERSION + len(_migrations()) - 1


def _migrations() -> list[str]:
    return [script.read_text(encoding="utf-8") for script in sorted(MIGRATIONS_FOLDER.glob("[0-9]*.sql"))]


def _statement_text(statement: str) -> Any:
    """Returns a statement as PostgreSQL gets it."""
    return statement.postgresql if isinstance(statement, Statement) else for_postgresql(statement)


def _open(url: str) -> tuple[PostgresqlConnection, PostgresqlConnection, int]:
    with _errors_translated():
        writer = _connect(url)
        try:
            version = _migrate(writer.raw)
            return writer, _connect(url, read_only=True), version
        except BaseException:
            writer.close()
            raise


def _connect(url: str, *, read_only: bool = False) -> PostgresqlConnection:
    connection = psycopg.connect(_connection_address(url), autocommit=True)
    connection.execute("SET client_encoding TO 'UTF8'")
    connection.execute("SET default_transaction_read_only TO on" if read_only else _SERVER_KEEPALIVE)
    return PostgresqlConnection(connection)


def _connection_address(url: str) -> str:
    """Returns the address that libpq gets: with the keepalives, unless the URL names its own."""
    return conninfo.make_conninfo("", **{**CONNECTION_DEFAULTS, **conninfo.conninfo_to_dict(url)})


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
                (_SCHEMA_VERSION, str(number)),
            )


def _schema_version(connection: psycopg.Connection[Any]) -> int:
    (table,) = connection.execute("SELECT to_regclass('meta')").fetchone() or (None,)
    if table is None:
        return 0
    row = connection.execute("SELECT value FROM meta WHERE name = %s", (_SCHEMA_VERSION,)).fetchone()
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
