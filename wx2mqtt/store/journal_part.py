"""The base class of the journal's parts: what they share.

_database       the database, whose `write` runs a function as one commit
_account        the name of the account
_now            the time of day in milliseconds
_search_index   finds messages by text; None: every message is read
_on_referenced  called with each file as soon as a stored row refers to it (`Blobs.mark_referenced`)
_enqueue        adds publications for the broker as a part of a commit
_outbox_batch   hands inserted publications to the publisher, with what it must know to skip no other
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from wx2mqtt.clock import now_ms
from wx2mqtt.model import Blob
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.queries import load_queries
from wx2mqtt.store.records import NO_PUBLICATIONS, NewPublication, OutboxBatch, OutboxRow
from wx2mqtt.store.search_index import SearchIndex

_OUTBOX_SQL = load_queries("outbox")


def _ignore_reference(_blob: Blob) -> None:
    """For a journal without files."""


class JournalPart:
    """The rows of one account in one database."""

    def __init__(
        self,
        database: Database,
        account: str,
        now: Callable[[], int] = now_ms,
        on_referenced: Callable[[Blob], None] = _ignore_reference,
        search_index: SearchIndex | None = None,
    ) -> None:
        self._database = database
        self._account = account
        self._now = now
        self._on_referenced = on_referenced
        self._search_index = search_index
        self._last_publication_id: int | None = None  # that this object has stored; used in write jobs only

    @property
    def account(self) -> str:
        return self._account

    def _enqueue(self, connection: Connection, publications: Iterable[NewPublication]) -> OutboxBatch:
        """Adds publications behind all that wait, as a part of a write job; returns their rows."""
        now, added = self._now(), list(publications)
        if not added:
            return NO_PUBLICATIONS
        ids = connection.insert_returning_ids(
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
                for publication in added
            ],
        )
        rows = [_outbox_row(row_id, publication, now) for row_id, publication in zip(ids, added, strict=True)]
        return self._outbox_batch(ids, rows)

    def _outbox_batch(self, ids: Sequence[int], rows: Sequence[OutboxRow]) -> OutboxBatch:
        """Returns the batch of the publications `ids` just inserted, of which `rows` may go out at once."""
        last_id = ids[-1]
        after_id, self._last_publication_id = self._last_publication_id, last_id
        return OutboxBatch(rows=tuple(rows), after_id=after_id, last_id=last_id)


def _outbox_row(row_id: int, publication: NewPublication, now: int) -> OutboxRow:
    return OutboxRow(
        id=row_id,
        topic=publication.topic,
        payload=publication.payload,
        category=publication.category,
        created=now,
        content_type=publication.content_type,
        correlation=publication.correlation,
        expiry=publication.expiry,
        user="",
    )
