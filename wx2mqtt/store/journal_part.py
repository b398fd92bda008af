"""What every part of the journal holds: the database, whose rows it means, and the clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from wx2mqtt.clock import now_ms
from wx2mqtt.model import Blob
from wx2mqtt.store.database import Database
from wx2mqtt.store.queries import insert_rows, load_queries
from wx2mqtt.store.records import NewPublication

_SQL = load_queries("publications")


def _untold(_blob: Blob) -> None:
    """Nobody keeps files."""


class JournalPart:
    """The rows of one account in one database.

    `referred` is told of each file as soon as a row refers to it (`Blobs.referred`).
    """

    def __init__(
        self,
        database: Database,
        account: str,
        now: Callable[[], int] = now_ms,
        on_referenced: Callable[[Blob], None] = _untold,
    ) -> None:
        self._database = database
        self._account = account
        self._now = now
        self._on_referenced = on_referenced

    @property
    def account(self) -> str:
        """Whose rows these are."""
        return self._account

    def _enqueue(self, connection: sqlite3.Connection, new: Iterable[NewPublication]) -> None:
        now = self._now()
        insert_rows(
            connection,
            _SQL["add"],
            [
                (
                    self._account,
                    one.sort,
                    one.topic,
                    now,
                    one.content_type,
                    one.correlation,
                    one.expiry,
                    one.payload,
                )
                for one in new
            ],
        )
