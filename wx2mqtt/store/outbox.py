"""The way to the broker: publications in the order in which they were stored, and what became of them.

    rows = await journal.outbox.list_waiting(after=0, limit=100)
    await journal.outbox.mark_published([rows[0].id])

`JournalPart` is the base of this and of all other parts of a journal. `AccountRows` is what they share: any
commit may add publications with `rows.enqueue(connection, publications)`. At the end of the file, what Home
Assistant discovery has published: it is cleared even after a restart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, field, fields
from typing import Any

from wx2mqtt.model import Blob
from wx2mqtt.store.column_values import storable_text
from wx2mqtt.store.database import Connection, Database, json_list
from wx2mqtt.store.records import NO_PUBLICATIONS, NewPublication, OutboxBatch, OutboxRow
from wx2mqtt.store.statements import Statement
from wx2mqtt.values import frozen

# In the order of the columns that the statements select; the column of `category` is `sort`.
_ROW_FIELDS = tuple(item.name for item in fields(OutboxRow))


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


class Outbox(JournalPart):
    """The publications of one account.

    state       method              next state (`PublicationState`)
    -           record, add         WAITING, or HELD for a message whose file is downloaded first
    HELD        release_message     WAITING
    WAITING     mark_published      PUBLISHED: the broker has acknowledged it
    WAITING     mark_rejected       REJECTED: the broker refused it, and the rows behind it go on
    REJECTED    requeue_rejected    WAITING
    WAITING     drop_topic          DROPPED
    WAITING     drop_expired        DROPPED
    """

    async def list_waiting(self, after: int, limit: int, skip: Collection[str] = ()) -> list[OutboxRow]:
        """Returns the next rows after the id `after`, in order of id, without the topics `skip`."""
        return [_row(row) for row in await self._fetch(_WAITING, after, json_list(skip), limit)]

    async def list_waiting_in_topic(self, topic: str, after: int, upto: int, limit: int) -> list[OutboxRow]:
        """Returns the next rows of one topic after the id `after`, up to and including the id `upto`."""
        rows = await self._fetch(_WAITING_IN_TOPIC, after, upto, topic, limit)
        return [_row(row) for row in rows]

    async def mark_published(self, ids: Sequence[int]) -> None:
        """Stores that the broker acknowledged these rows."""
        await self._execute("published", _MARK_PUBLISHED, json_list(ids))

    async def delete_published(self, ids: Sequence[int]) -> None:
        """Deletes those of these rows that nothing needs after they were published: results and answers."""
        await self._execute("delete_published", _DELETE_PUBLISHED, json_list(ids))

    async def created_times(self, ids: Sequence[int]) -> dict[int, int]:
        """Returns when these rows were created (ms), by id, without rows that are gone."""
        return dict(await self._fetch(_CREATED_TIMES, json_list(ids)))

    async def mark_rejected(self, ids: Sequence[int], why: str) -> None:
        """Keeps these rows, but out of the order, so that they do not block the rows behind them."""
        await self._execute("reject", _MARK_REJECTED, json_list(ids), why)

    async def list_rejected(self, limit: int = 100) -> list[tuple[OutboxRow, str]]:
        """Returns rows that the broker rejected with the reason, the oldest first."""
        rows = await self._fetch(_REJECTED, limit)
        return [(_row(values), str(why)) for *values, why in rows]

    async def requeue_rejected(self, ids: Sequence[int]) -> int:
        """Lets rows that were rejected wait again, at their old position; returns how many."""
        return await self._execute("requeue", _REQUEUE, json_list(ids))

    async def drop_topic(self, topic: str, why: str) -> int:
        """Gives up all waiting rows of a topic; returns how many. Messages stay in the history."""

        def job(connection: Connection) -> int:
            dropped = connection.execute(_DROP_TOPIC, (self._account, topic, why)).rowcount
            connection.execute(_COUNT_DROPPED, (self._account, dropped))
            return dropped

        return await self._database.write("drop_topic", job)

    async def drop_expired(self, ids: Sequence[int]) -> None:
        """Gives up waiting rows whose expiry is over. That is no loss, so they are not counted."""
        await self._execute("drop_expired", _DROP_EXPIRED, json_list(ids))

    async def add(self, new: Sequence[NewPublication]) -> OutboxBatch:
        """Adds publications behind all that wait; returns their rows."""
        return await self._database.write("publish", lambda db: self._rows.enqueue(db, new))


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
        #: Whether the account may have a question; most accounts never ask. Changed in write jobs only.
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


@frozen
class DiscoveryRecord:
    """What Home Assistant discovery may have published for one account."""

    #: The retained topics.
    topics: tuple[str, ...] = ()
    #: The platform of each entity by its key, with entities that were removed.
    components: Mapping[str, str] = field(default_factory=dict)
    #: The id of each person by the topic name under which it was first exposed. Entries stay, so that
    #: a person who comes back gets the same entity.
    ids: Mapping[str, str] = field(default_factory=dict)


class DiscoveryState(JournalPart):
    async def load(self) -> DiscoveryRecord:
        """Returns the stored record; an empty one before the first time."""
        rows = await self._fetch(_LOAD_DISCOVERY)
        if not rows or not rows[0][0]:
            return DiscoveryRecord()
        fields = json.loads(rows[0][0])
        return DiscoveryRecord(**{**fields, "topics": tuple(fields["topics"])})

    async def save(self, record: DiscoveryRecord) -> None:
        """Stores what is about to be published."""
        text = storable_text(json.dumps(asdict(record), ensure_ascii=False))
        await self._execute("announce", _SAVE_DISCOVERY, text)


def _row(values: Iterable[Any]) -> OutboxRow:
    return OutboxRow(**dict(zip(_ROW_FIELDS, values, strict=True)))


# Statements

# The column `state` of `publication`: 0 waiting, 1 published, 2 rejected, 3 dropped, 4 held for its file.

# The next waiting rows, in order, without those of the topics ?3. The index contains the topic, so that
# skipped rows cost little. A row behind a held row of the same topic waits for that one.
_WAITING = Statement("""
    SELECT id, topic, payload, sort, created, content_type, correlation, expiry, user
    FROM publication AS row
    WHERE account = ?1 AND state = 0 AND id > ?2 AND topic NOT IN (SELECT value FROM json_each(?3))
        AND NOT EXISTS (
            SELECT 1 FROM publication AS held
            WHERE held.account = ?1 AND held.state = 4 AND held.topic = row.topic AND held.id < row.id
        )
    ORDER BY id LIMIT ?4
""")

# The next waiting rows of one topic, up to the row ?3 and up to the first held row.
_WAITING_IN_TOPIC = Statement("""
    SELECT id, topic, payload, sort, created, content_type, correlation, expiry, user
    FROM publication
    WHERE account = ?1 AND state = 0 AND id > ?2 AND id <= ?3 AND topic = ?4
        AND id < coalesce(
            (SELECT min(id) FROM publication WHERE account = ?1 AND state = 4 AND topic = ?4), ?3 + 1
        )
    ORDER BY id LIMIT ?5
""")

# The broker acknowledged these rows; it may do so after they were given up.
_MARK_PUBLISHED = Statement("""
    UPDATE publication SET state = 1
    WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND account = ?1 AND state <> 1
""")

# Messages stay as history, and what has a key to be known again.
_DELETE_PUBLISHED = Statement("""
    DELETE FROM publication
    WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND account = ?1 AND state = 1
        AND seq IS NULL AND key IS NULL AND private IS NULL
""")

_CREATED_TIMES = Statement("""
    SELECT id, created FROM publication
    WHERE account = ?1 AND id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2))
""")

_MARK_REJECTED = Statement("""
    UPDATE publication SET state = 2, why = ?3
    WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND account = ?1 AND state = 0
""")

_REJECTED = Statement("""
    SELECT id, topic, payload, sort, created, content_type, correlation, expiry, user, why
    FROM publication WHERE account = ? AND state = 2 ORDER BY id LIMIT ?
""")

_REQUEUE = Statement("""
    UPDATE publication SET state = 0, why = NULL
    WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND account = ?1 AND state = 2
""")

_DROP_TOPIC = Statement("""
    UPDATE publication SET state = 3, why = ?3 WHERE account = ?1 AND state = 0 AND topic = ?2
""")

_COUNT_DROPPED = Statement("UPDATE account SET dropped = dropped + ?2 WHERE name = ?1")

_DROP_EXPIRED = Statement("""
    UPDATE publication SET state = 3, why = 'expired'
    WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND account = ?1 AND state = 0
""")

# Adds a publication that is neither a message nor an event from WeChat.
_ADD_PUBLICATION = Statement("""
    INSERT INTO publication (account, sort, topic, created, content_type, correlation, expiry, payload)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
""")

_LOAD_DISCOVERY = Statement("SELECT announced FROM account WHERE name = ?")

_SAVE_DISCOVERY = Statement("UPDATE account SET announced = ?2 WHERE name = ?1")
