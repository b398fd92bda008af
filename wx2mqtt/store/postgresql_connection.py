"""A connection to PostgreSQL as jobs see it, and the errors of psycopg as `StoreError`.

    connection = connect("postgresql://bridge@db/wx2mqtt")
    connection.execute(statement, values)  # a `Statement`, or a text in the words of SQLite

Texts may have a NUL here and flags are whole numbers, as in SQLite: the classes at the end translate them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import RawCursor, conninfo, pq
from psycopg.rows import dict_row
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrDumper, StrDumperUnknown, TextLoader

from wx2mqtt.errors import StoreError, StoreFull
from wx2mqtt.store.database import Cursor, JsonList, NamedRow
from wx2mqtt.store.statements import Statement, for_postgresql, insert_batches

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


def connect(url: str, *, read_only: bool = False) -> PostgresqlConnection:
    """Connects; blocking. Raises the errors of psycopg. One that may write gets keepalives on both sides."""
    connection = psycopg.connect(connection_address(url), autocommit=True)
    try:
        connection.execute("SET client_encoding TO 'UTF8'")
        connection.execute("SET default_transaction_read_only TO on" if read_only else _SERVER_KEEPALIVE)
        return PostgresqlConnection(connection)
    except BaseException:
        connection.close()
        raise


def connection_address(url: str) -> str:
    """Returns the address that libpq gets: with the keepalives, unless the URL names its own."""
    return conninfo.make_conninfo("", **{**CONNECTION_DEFAULTS, **conninfo.conninfo_to_dict(url)})


def with_password(url: str, password: str | None) -> str:
    return conninfo.make_conninfo(url, password=password) if password else url


class PostgresqlConnection:
    """A connection of psycopg with the methods that jobs use."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        #: The connection of psycopg.
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
        with errors_translated():
            return connect(with_password(url, password))

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
        with errors_translated():
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
        return RawCursor(self.raw).execute(statement_text(statement), values or None)

    def executemany(self, statement: str, rows: Iterable[Sequence[object]], /) -> object:
        RawCursor(self.raw).executemany(statement_text(statement), list(rows))
        return None

    def named_rows(self, statement: str, values: Sequence[object]) -> Sequence[NamedRow]:
        cursor = RawCursor(self.raw, row_factory=dict_row)
        return cursor.execute(statement_text(statement), values).fetchall()

    def insert_returning_ids(self, statement: str, rows: Sequence[Sequence[object]]) -> Sequence[int]:
        ids: list[int] = []
        for several, values in insert_batches(statement, rows):
            cursor = RawCursor(self.raw).execute(f"{several.postgresql} RETURNING id", values)
            ids += sorted(row_id for (row_id,) in cursor)
        return ids

    def continue_ids(self, table: str) -> None:
        self.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")  # noqa: S608


def statement_text(statement: str) -> Any:
    """Returns a statement as PostgreSQL gets it."""
    return statement.postgresql if isinstance(statement, Statement) else for_postgresql(statement)


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
def errors_translated() -> Iterator[None]:
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
