"""What the parts of a journal share: the rows of one account, and the way into its outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from wx2mqtt.model import Blob
from wx2mqtt.store.database import Connection, Database
from wx2mqtt.store.queries import load_queries
from wx2mqtt.store.records import NO_PUBLICATIONS, NewPublication, OutboxBatch, OutboxRow

_OUTBOX_SQL = load_queries("outbox")


class AccountRows:
    """The rows of one account in one database."""

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
        now, added = self.now(), list(publications)
        if not added:
            return NO_PUBLICATIONS
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
        ids = connection.insert_returning_ids(_OUTBOX_SQL["add"], values)
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
    """Statements of the parts have the account as their first value."""

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
