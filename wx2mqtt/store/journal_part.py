"""The base class of the journal's parts: database, account and clock, and the insert that all parts share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from wx2mqtt.clock import now_ms
from wx2mqtt.model import Blob
from wx2mqtt.store.database import Database
from wx2mqtt.store.queries import insert_rows, load_queries
from wx2mqtt.store.records import NewPublication

_OUTBOX_SQL = load_queries("outbox")


def _ignore_reference(_blob: Blob) -> None:
    """For a journal without files."""


class JournalPart:
    """The rows of one account in one database.

    `on_referenced` is called with each file as soon as a stored row refers to it (`Blobs.mark_referenced`).
    """

    def __init__(
        self,
        database: Database,
        account: str,
        now: Callable[[], int] = now_ms,
        on_referenced: Callable[[Blob], None] = _ignore_reference,
    ) -> None:
        self._database = database
        self._account = account
        self._now = now
        self._on_referenced = on_referenced

    @property
    def account(self) -> str:
        return self._account

    def _enqueue(self, connection: sqlite3.Connection, publications: Iterable[NewPublication]) -> None:
        """Adds publications behind all that wait, as a part of a write job."""
        now = self._now()
        insert_rows(
            connection,
            _OUTBOX_SQL["add"],
            [
                (
                    self._account,
                    publication.sort,
                    publication.topic,
                    now,
                    publication.content_type,
                    publication.correlation,
                    publication.expiry,
                    publication.payload,
                )
                for publication in publications
            ],
        )
