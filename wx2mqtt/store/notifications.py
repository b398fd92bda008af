"""A connection to PostgreSQL on the event loop: for notifications, and for what must not wait for reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import AsyncRawCursor, conninfo

from wx2mqtt.store.postgresql import connection_address, postgresql_error, statement_text


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
            connection = await psycopg.AsyncConnection.connect(connection_address(url), autocommit=True)
            await connection.execute(f"LISTEN {channel}".encode())
        return cls(connection)

    async def fetch(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Returns the rows of a statement; what it changes is committed at once."""
        with _errors_translated():
            cursor = AsyncRawCursor(self._connection)
            await cursor.execute(statement_text(statement), values)
            return await cursor.fetchall() if cursor.description else []

    async def wait(self, seconds: float) -> None:
        """Waits for a notification, at most `seconds`."""
        with _errors_translated():
            async for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass

    async def close(self) -> None:
        with suppress(psycopg.Error):
            await self._connection.close()


@contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise postgresql_error(error) from error
