"""Stores what WeChat delivers, together with the cursor that says how far it was received, in one commit.

    [NewMessage("door open"), NewEvent("recall")], the cursor behind them
        -> two rows of `publication`, the newest `seq` and the cursor of the account, in one commit

The rows that may be published at once are returned, so that the publisher need not read them again. A message
that is held until its file is downloaded is not among them, nor are the later rows of its topic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import NamedTuple

from wx2mqtt.model import JSON_TYPE, Cursor
from wx2mqtt.store.column_values import bounded_integer, compact, encode_payload, storable_text
from wx2mqtt.store.database import Connection, json_list
from wx2mqtt.store.media import ADD_MEDIA, media_values
from wx2mqtt.store.outbox import JournalPart
from wx2mqtt.store.people import apply_changes
from wx2mqtt.store.person_records import NO_CHANGES, PeopleChanges
from wx2mqtt.store.questions import AnswerMatching, Item
from wx2mqtt.store.records import (
    NO_PUBLICATIONS,
    NewEvent,
    NewMessage,
    OutboxBatch,
    OutboxRow,
    PublicationState,
    RecordResult,
)
from wx2mqtt.store.statements import Statement, insert_rows

MESSAGE_SCHEMA_VERSION = 1

Row = NewMessage | NewEvent


class ReceivedMessages(JournalPart):
    """What WeChat has delivered to one account."""

    async def set_cursor(self, login_id: str, cursor: Cursor) -> None:
        """Stores a new login and its first cursor, as `record` does without items."""
        await self.record((), NO_CHANGES, cursor, login_id)

    async def record(
        self, items: Sequence[Item], people: PeopleChanges, cursor: Cursor | None, login_id: str
    ) -> RecordResult:
        """Stores messages, presses and events (the items), people and cursor in one commit:

        1. Store the changed people.
        2. Leave out items whose key is stored already: WeChat delivers some twice.
        3. Close the questions that messages or presses answer (`AnswerMatching`). The event about an answer
           is a row of the account that asked, which may be another one.
        4. Give each message its `seq`, a number without gaps per account, and build its payload.
        5. Add a row for each item, for each file to download, and for each text beside a message.
        6. Store the newest `seq` and the cursor; without a cursor the stored one stays.
        """
        return await self._database.write("record", partial(self._record, items, people, cursor, login_id))

    def _record(
        self,
        items: Sequence[Item],
        people: PeopleChanges,
        cursor: Cursor | None,
        login_id: str,
        connection: Connection,
    ) -> RecordResult:
        apply_changes(connection, self._account, people)
        new_items = self._without_repeats(connection, items)
        matching = AnswerMatching(connection, self._rows)
        stored = matching.apply(new_items)
        messages = [item for item in stored if isinstance(item, NewMessage)]
        (stored_seq,) = connection.execute(_NEWEST_SEQ, (self._account,)).fetchone()
        newest_seq = stored_seq + len(messages)
        rows = self._publication_rows(stored, stored_seq + 1)
        outbox = self._insert_rows(connection, rows)
        insert_rows(connection, ADD_MEDIA, self._media_rows(messages, stored_seq + 1))
        texts = [message.plain for message in messages if message.plain]
        outbox = outbox.joined(self._rows.enqueue(connection, texts))
        for_other_accounts = self._insert_for_other_accounts(connection, matching.for_other_accounts)
        connection.execute(_SET_NEWEST_SEQ_AND_CURSOR, (newest_seq, cursor, login_id, self._account))
        payloads = [row.payload for row in rows if row.seq is not None]
        return RecordResult(
            messages=len(messages),
            events=len(stored) - len(messages),
            repeated=len(items) - len(new_items),
            last_payload=payloads[-1] if payloads else None,
            seq=newest_seq,
            message_keys=tuple(message.key for message in messages),
            kinds=Counter(message.kind for message in messages),
            outbox=outbox,
            answers=matching.answers,
            for_other_accounts=for_other_accounts,
        )

    def _without_repeats(self, connection: Connection, items: Sequence[Item]) -> list[Item]:
        """Returns the items with a new key; of two items with the same key, the first."""
        if not items:
            return []
        by_key: dict[str, Item] = {}
        for item in items:
            by_key.setdefault(storable_text(item.key), item)
        known = connection.execute(_KNOWN_KEYS, (self._account, json_list(by_key)))
        repeated = {key for (key,) in known}
        return [item for key, item in by_key.items() if key not in repeated]

    def _publication_rows(self, items: Sequence[Row], first_seq: int) -> list[_PublicationRow]:
        """Returns the row of each item; the first message gets the seq `first_seq`."""
        now = self._rows.now()
        seqs = count(first_seq)
        rows: list[_PublicationRow] = []
        for item in items:
            if isinstance(item, NewMessage):
                rows.append(self._message_row(item, next(seqs), now))
            else:
                rows.append(self._event_row(item, now))
        return rows

    def _message_row(self, item: NewMessage, seq: int, now: int) -> _PublicationRow:
        return _PublicationRow(
            account=self._account,
            state=PublicationState.HELD if item.waits_for_file else PublicationState.WAITING,
            category="message",
            topic=item.topic,
            created=now,
            user=item.user,
            key=storable_text(item.key),
            seq=seq,
            message_id=storable_text(item.id),
            kind=item.kind,
            time=bounded_integer(item.time),
            text=storable_text(item.text),
            payload=encode_payload(
                {"schema": MESSAGE_SCHEMA_VERSION, "stream": self._rows.stream, "seq": seq, **item.body}
            ),
        )

    def _event_row(self, item: NewEvent, now: int, account: str = "") -> _PublicationRow:
        return _PublicationRow(
            account=account or self._account,
            state=PublicationState.WAITING,
            category="event",
            topic=item.topic,
            created=now,
            user=item.user,
            key=storable_text(item.key),
            kind=item.name,
            time=bounded_integer(item.time),
            private=storable_text(compact(dict(item.private))) if item.private else None,
            payload=encode_payload(item.body),
        )

    def _insert_rows(self, connection: Connection, rows: Sequence[_PublicationRow]) -> OutboxBatch:
        """Inserts the rows, and returns those that may go out at once.

        A topic keeps its order: behind a held message, of this commit or an earlier one, its later rows wait.
        When the message is released, the publisher reads them from the journal.
        """
        if not rows:
            return NO_PUBLICATIONS
        # Read before the insert: rows of this commit that come before a held one of their topic do not wait.
        held_topics = {topic for (topic,) in connection.execute(_HELD_TOPICS, (self._account,))}
        ids = connection.insert_returning_ids(_ADD_PUBLICATION, rows)
        ready = []
        for row_id, row in zip(ids, rows, strict=True):
            if row.state is PublicationState.HELD:
                held_topics.add(row.topic)
            if row.topic not in held_topics:
                ready.append(row.outbox_row(row_id))
        return self._rows.outbox_batch(ids, ready)

    def _insert_for_other_accounts(
        self, connection: Connection, events: Sequence[tuple[str, NewEvent]]
    ) -> dict[str, OutboxBatch]:
        """Inserts events of other accounts; their publishers read the rows from the journal."""
        batches: dict[str, OutboxBatch] = {}
        for account, event in events:
            row = self._event_row(event, self._rows.now(), account)
            (row_id,) = connection.insert_returning_ids(_ADD_PUBLICATION, [row])
            batches[account] = OutboxBatch(last_id=row_id)
        return batches

    def _media_rows(self, messages: Sequence[NewMessage], first_seq: int) -> list[tuple[object, ...]]:
        """Returns a row for each file to download, with the seq of its message."""
        now = self._rows.now()
        return [
            media_values(
                self._account, media, now, message_id=storable_text(message.id), user=message.user, seq=seq
            )
            for seq, message in enumerate(messages, first_seq)
            for media in message.media
        ]


class _PublicationRow(NamedTuple):
    """A message or event as the values of `_ADD_PUBLICATION`, in the order of its columns.

    Only a message has a `seq`. `kind` is the kind of the message or the name of the event.
    """

    account: str
    state: PublicationState
    #: The column is called `sort`.
    category: str
    topic: str
    created: int
    user: str
    key: str
    kind: str
    time: int
    payload: bytes
    content_type: str = JSON_TYPE
    seq: int | None = None
    message_id: str | None = None
    text: str | None = None
    private: str | None = None

    def outbox_row(self, row_id: int) -> OutboxRow:
        return OutboxRow(
            id=row_id,
            topic=self.topic,
            payload=self.payload,
            category=self.category,
            created=self.created,
            content_type=self.content_type,
            correlation=None,
            expiry=None,
            user=self.user,
        )


# Statements

# The column `state` of `publication`: 0 waiting, 1 published, 2 rejected, 3 dropped, 4 held for its file.

_NEWEST_SEQ = Statement("SELECT seq FROM account WHERE name = ?")

# Stores the newest seq and the cursor; without a cursor, cursor and login stay as they are.
_SET_NEWEST_SEQ_AND_CURSOR = Statement("""
    UPDATE account SET
        seq = ?1,
        cursor = coalesce(?2, cursor),
        login_id = CASE WHEN ?2 IS NULL THEN login_id ELSE ?3 END
    WHERE name = ?4
""")

# Which of these keys were stored before, also when their publication is gone.
_KNOWN_KEYS = Statement("""
    SELECT key FROM publication WHERE account = ?1 AND key IN (SELECT value FROM json_each(?2))
    UNION ALL
    SELECT key FROM seen WHERE account = ?1 AND key IN (SELECT value FROM json_each(?2))
""")

# Topics with a message that is not published before its file is there: their later messages wait.
_HELD_TOPICS = Statement("SELECT DISTINCT topic FROM publication WHERE account = ? AND state = 4")

# Adds a message or an event, waiting for the broker or held. The column `sender` has no use any more.
_ADD_PUBLICATION = Statement("""
    INSERT INTO publication
        (account, state, sort, topic, created, user, key, kind, time, payload, content_type, seq, message_id,
         text, private)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
""")
