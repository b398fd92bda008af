"""The base class of the journal's parts: database, account and clock, and the insert that all parts share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from wx2mqtt.clock import now_ms
from wx2mqtt.model import Blob
from wx2mqtt.store.database import Database
from wx2mqtt.store.queries import insert_rows, load_queries
from wx2mqtt.store.records import NO_PUBLICATIONS, NewPublication, OutboxBatch, OutboxRow

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
        self._last_publication_id: int | None = None  # that this object has stored; used in write jobs only

    @property
    def account(self) -> str:
        return self._account

    def _enqueue(self, connection: sqlite3.Connection, publications: Iterable[NewPublication]) -> OutboxBatch:
        """Adds publications behind all that wait, as a part of a write job; returns their rows."""
        now, stored = self._now(), list(publications)
        insert_rows(
            connection,
            _OUTBOX_SQL["add"],
            [
                (
                    self._account,
                    publication.category,
                    publication.topic,
                    now,
                    publication.content_type,
                    publication.correlation,
                    publication.expiry,
                    publication.payload,
                )
                for publication in stored
            ],
        )
        waiting = [_outbox_row(publication, now) for publication in stored]
        return self._stored_batch(connection, waiting, len(stored))

    def _stored_batch(
        self, connection: sqlite3.Connection, waiting: Sequence[OutboxRow | None], count: int
    ) -> OutboxBatch:
        """Returns the batch of the `count` rows just inserted; None stands for a row that must wait.

        One INSERT after the other in one transaction gives consecutive ids.
        """
        if not count:
            return NO_PUBLICATIONS
        (last_id,) = connection.execute("SELECT last_insert_rowid()").fetchone()
        after_id, self._last_publication_id = self._last_publication_id, last_id
        numbered = enumerate(waiting, last_id - count + 1)
        rows = tuple(replace(row, id=row_id) for row_id, row in numbered if row is not None)
        return OutboxBatch(rows=rows, after_id=after_id, last_id=last_id)


def _outbox_row(publication: NewPublication, now: int) -> OutboxRow:
    return OutboxRow(
        id=0,
        topic=publication.topic,
        payload=publication.payload,
        category=publication.category,
        created=now,
        content_type=publication.content_type,
        correlation=publication.correlation,
        expiry=publication.expiry,
        user="",
    )
