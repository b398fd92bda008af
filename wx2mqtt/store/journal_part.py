"""What all parts of a journal have: the rows of one account, and the way into its outbox.

class Outbox(JournalPart):
    async def mark_published(self, ids): ...  # a commit of its own
rows.enqueue(connection, publications)        # as a part of any commit: the outbox has them next
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from wx2mqtt.model import Blob
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.records import NO_PUBLICATIONS, NewPublication, OutboxBatch, OutboxRow
from wx2mqtt.store.statements import Statement


class AccountRows:
    """The rows of one account in one database, and the way of all parts of its journal into the outbox."""

    def __init__(
        self, database: Database, account: str, now: Callable[[], int], on_referenced: Callable[[Blob], None]
    ) -> None:
        self.database = database
        self.account = account
        #: The time of day in milliseconds.
        self.now = now
        #: Called with each file as soon as a stored row refers to it (`Blobs.mark_referenced`).
        self.on_referenced = on_referenced
        #: The id of the store; empty before `Journal.open`.
        self.stream = ""
        #: The account may have questions; used in write jobs only.
        self.may_have_questions = True
        #: The newest publication that this object has stored; used in write jobs only.
        self._last_publication_id: int | None = None

    def enqueue(self, connection: Connection, publications: Iterable[NewPublication]) -> OutboxBatch:
        """Adds publications behind all that wait, as a part of a write job; returns their rows."""
        added = list(publications)
        if not added:
            return NO_PUBLICATIONS
        now = self.now()
        values = [
            (
                self.account,
                publication.category,
                publication.topic,
                now,
                publication.content_type,
                publication.correlation,
                publication.expiry,
                publication.payload,
            )
            for publication in added
        ]
        ids = connection.insert_returning_ids(_ADD_PUBLICATION, values)
        rows = [
            OutboxRow(id=row_id, created=now, user="", **asdict(publication))
            for row_id, publication in zip(ids, added, strict=True)
        ]
        return self.outbox_batch(ids, rows)

    def outbox_batch(self, ids: Sequence[int], rows: Sequence[OutboxRow]) -> OutboxBatch:
        """Returns the batch of the publications `ids` just inserted, of which `rows` may go out at once."""
        last_id = ids[-1]
        after_id, self._last_publication_id = self._last_publication_id, last_id
        return OutboxBatch(rows=tuple(rows), after_id=after_id, last_id=last_id)


class JournalPart:
    """A part of the journal of one account, which its statements have as their first value."""

    def __init__(self, rows: AccountRows) -> None:
        self._rows = rows
        self._database = rows.database
        self._account = rows.account

    async def _fetch(self, statement: str, *values: object) -> list[Any]:
        """Returns the rows of a statement."""
        return await self._database.fetch(statement, (self._account, *values))

    async def _execute(self, commit_point: str, statement: str, *values: object) -> int:
        """Runs a statement in a commit of its own; returns how many rows it changed."""
        return await self._database.execute(commit_point, statement, (self._account, *values))


# Statements

# Adds a publication that is neither a message nor an event from WeChat.
_ADD_PUBLICATION = Statement("""
    INSERT INTO publication (account, sort, topic, created, content_type, correlation, expiry, payload)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
""")
