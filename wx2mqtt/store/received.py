"""WeChat to MQTT: stores what one `receive` returned together with the cursor after it, in one commit.

`seq` counts messages only and has no gaps: it is given within the commit, so that a rollback takes none.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence

from wx2mqtt.model import Cursor, Json
from wx2mqtt.store.folder import new_stream_id
from wx2mqtt.store.journal_part import JournalPart
from wx2mqtt.store.media import MEDIA_SQL, media_values
from wx2mqtt.store.people import apply_changes
from wx2mqtt.store.queries import (
    bounded_integer,
    compact,
    encode_payload,
    insert_rows,
    json_list,
    load_queries,
    storable_text,
)
from wx2mqtt.store.records import (
    NO_CHANGES,
    AccountState,
    NewEvent,
    NewMessage,
    OutboxRow,
    PeopleChanges,
    RecordResult,
)

_SQL = load_queries("received")

JSON_TYPE = "application/json"
MESSAGE_SCHEMA_VERSION = 1
STATE_WAITING = 0  # states of a publication
STATE_HELD = 4

Item = NewMessage | NewEvent


class ReceivedMessages(JournalPart):
    stream = ""
    """The id of the store, published with each message; empty before `open`."""

    async def open(self) -> AccountState:
        """Returns the stored state of this account; creates the account and the stream id if they are new."""
        self.stream, state = await self._database.write("open", self._open)
        return state

    async def set_base_topic(self, base: str) -> None:
        """Stores the base topic that the account first used."""
        await self._database.write(
            "base_topic", lambda db: db.execute(_SQL["set_base_topic"], (base, self._account))
        )

    async def set_broker_session(self, session: int) -> None:
        """Stores the number of the MQTT session; packet ids are compared within one session only."""
        await self._database.write(
            "session", lambda db: db.execute(_SQL["set_broker_session"], (session, self._account))
        )

    async def set_cursor(self, login_id: str, cursor: Cursor, people: PeopleChanges = NO_CHANGES) -> None:
        """Stores the start of a new login."""
        await self.record((), people, cursor, login_id)

    async def record(
        self,
        items: Sequence[Item],
        people: PeopleChanges,
        cursor: Cursor | None,
        login_id: str,
    ) -> RecordResult:
        """Stores items, people and cursor in one commit. Without a cursor the stored one stays.

        An item whose key was stored before is a repeat: it is left out and takes no seq.
        """

        def job(connection: sqlite3.Connection) -> RecordResult:
            apply_changes(connection, self._account, people)
            return self._record(connection, items, cursor, login_id)

        return await self._database.write("record", job)

    def _open(self, connection: sqlite3.Connection) -> tuple[str, AccountState]:
        connection.execute(_SQL["add_stream"], (new_stream_id(),))
        connection.execute(_SQL["add_account"], (self._account,))
        (stream,) = connection.execute(_SQL["stream"]).fetchone()
        base, session, login_id, cursor, seq = connection.execute(
            _SQL["account"], (self._account,)
        ).fetchone()
        newest = connection.execute(_SQL["newest_payload"], (self._account,)).fetchone()
        state = AccountState(
            cursor=cursor,
            login_id=login_id,
            seq=seq,
            last_payload=newest[0] if newest else None,
            base_topic=base,
            broker_session=session,
        )
        return stream, state

    def _record(
        self,
        connection: sqlite3.Connection,
        items: Sequence[Item],
        cursor: Cursor | None,
        login_id: str,
    ) -> RecordResult:
        new_items = self._new_items(connection, items)
        (seq,) = connection.execute(_SQL["newest_seq"], (self._account,)).fetchone()
        rows, messages, last_payload = self._rows(new_items, seq)
        ready = self._ready_rows(connection, new_items, rows)
        insert_rows(connection, _SQL["add"], rows)
        stored = self._stored_batch(connection, ready, len(rows))
        insert_rows(connection, MEDIA_SQL["add"], self._media(new_items, seq))
        new_messages = [item for item in new_items if isinstance(item, NewMessage)]
        plain = self._enqueue(connection, (message.plain for message in new_messages if message.plain))
        connection.execute(_SQL["advance"], (seq + messages, cursor, login_id, self._account))
        return RecordResult(
            messages=messages,
            events=len(new_items) - messages,
            repeated=len(items) - len(new_items),
            last_payload=last_payload,
            seq=seq + messages,
            kinds=Counter(message.kind for message in new_messages),
            outbox=stored.joined(plain),
        )

    def _ready_rows(
        self, connection: sqlite3.Connection, items: Sequence[Item], rows: Sequence[tuple[object, ...]]
    ) -> list[OutboxRow | None]:
        """Returns what goes out for each item; None for one that is held or waits behind one of its topic."""
        held_topics = {topic for (topic,) in connection.execute(MEDIA_SQL["held_topics"], (self._account,))}
        ready: list[OutboxRow | None] = []
        for item, values in zip(items, rows, strict=True):
            if isinstance(item, NewMessage) and item.held:
                held_topics.add(item.topic)
            ready.append(None if item.topic in held_topics else _outbox_row(item, values))
        return ready

    def _new_items(self, connection: sqlite3.Connection, items: Sequence[Item]) -> list[Item]:
        """Returns the items with a new key; of two items with the same key, the first."""
        if not items:
            return []
        by_key: dict[str, Item] = {}
        for item in items:
            by_key.setdefault(storable_text(item.key), item)
        known = connection.execute(_SQL["known_keys"], (self._account, json_list(by_key)))
        repeated = {key for (key,) in known}
        return [item for key, item in by_key.items() if key not in repeated]

    def _rows(self, items: Sequence[Item], seq: int) -> tuple[list[tuple[object, ...]], int, bytes | None]:
        """Returns the new rows, how many of them are messages, and the payload of the newest message."""
        now = self._now()
        rows: list[tuple[object, ...]] = []
        last_payload = None
        first_seq = seq
        for item in items:
            if isinstance(item, NewMessage):
                seq += 1
                last_payload = self._payload(item.body, seq)
                rows.append(self._message(item, seq, last_payload, now))
            else:
                rows.append(self._event(item, now))
        return rows, seq - first_seq, last_payload

    def _media(self, items: Sequence[Item], seq: int) -> list[tuple[object, ...]]:
        """Returns a row for each file to download, with the seq of its message."""
        now = self._now()
        messages = (item for item in items if isinstance(item, NewMessage))
        return [
            media_values(
                self._account, media, now, message_id=storable_text(item.id), user=item.user, seq=item_seq
            )
            for item_seq, item in enumerate(messages, seq + 1)
            for media in item.media
        ]

    def _payload(self, body: Mapping[str, Json], seq: int) -> bytes:
        return encode_payload({"schema": MESSAGE_SCHEMA_VERSION, "stream": self.stream, "seq": seq, **body})

    def _message(self, item: NewMessage, seq: int, payload: bytes, now: int) -> tuple[object, ...]:
        state = STATE_HELD if item.held else STATE_WAITING
        columns = (
            seq,
            storable_text(item.id),
            item.kind,
            bounded_integer(item.time),
            storable_text(item.sender),
            None,  # private
            storable_text(item.text),
        )
        return self._columns(item, "message", state, now, columns, payload)

    def _event(self, item: NewEvent, now: int) -> tuple[object, ...]:
        private = storable_text(compact(dict(item.private))) if item.private else None
        columns = (
            None,  # seq
            None,  # message_id
            item.name,
            bounded_integer(item.time),
            None,  # sender
            private,
            None,  # text
        )
        return self._columns(item, "event", STATE_WAITING, now, columns, encode_payload(item.body))

    def _columns(
        self,
        item: Item,
        sort: str,
        state: int,
        now: int,
        columns: tuple[object, ...],
        payload: bytes,
    ) -> tuple[object, ...]:
        """Returns the values of a row, in the order of the statement `add`; `columns` are seq to text."""
        key = storable_text(item.key)
        return (self._account, state, sort, item.topic, now, item.user, JSON_TYPE, key, *columns, payload)


def _outbox_row(item: Item, values: tuple[object, ...]) -> OutboxRow:
    """Returns what goes out for an item; `values` are its columns (`_columns`)."""
    created, payload = values[4], values[-1]
    assert isinstance(created, int)
    assert isinstance(payload, bytes)
    return OutboxRow(
        id=0,
        topic=item.topic,
        payload=payload,
        category="message" if isinstance(item, NewMessage) else "event",
        created=created,
        content_type=JSON_TYPE,
        correlation=None,
        expiry=None,
        user=item.user,
    )
