"""WeChat to MQTT: what one `receive` brought and the cursor after it, in one commit.

`seq` counts messages only, without gaps, and is given in the commit: what was rolled back took none.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence

from wx2mqtt.model import Cursor, Json
from wx2mqtt.store.folder import new_stream_id
from wx2mqtt.store.journal_part import JournalPart
from wx2mqtt.store.media import MEDIA_SQL, media_values
from wx2mqtt.store.people import NO_CHANGES, PeopleChanges, apply_changes
from wx2mqtt.store.queries import (
    bounded_integer,
    compact,
    encode_payload,
    insert_rows,
    json_list,
    load_queries,
    storable_text,
)
from wx2mqtt.store.records import AccountState, NewEvent, NewMessage, RecordResult

_SQL = load_queries("inbound")

JSON_TYPE = "application/json"
MESSAGE_SCHEMA_VERSION = 1
STATE_WAITING, STATE_HELD = 0, 4  # states of a publication


class ReceivedMessages(JournalPart):
    """Takes in what WeChat handed over. `stream` names the store, once `open` was called."""

    stream = ""

    async def open(self) -> AccountState:
        """Where this account stands; a new account and a new store are begun."""
        self.stream, opened = await self._database.write("open", self._open)
        return opened

    async def set_base_topic(self, base: str) -> None:
        """Remember the base that the account first used."""
        await self._database.write(
            "base_topic", lambda db: db.execute(_SQL["base_topic"], (base, self._account))
        )

    async def set_broker_session(self, session: int) -> None:
        """Remember the number of the broker's session, since packet ids mean something within it only."""
        await self._database.write(
            "session", lambda db: db.execute(_SQL["session"], (session, self._account))
        )

    async def set_cursor(self, login_id: str, cursor: Cursor, people: PeopleChanges = NO_CHANGES) -> None:
        """A new login begins here."""
        await self.record((), people, cursor, login_id)

    async def record(
        self,
        items: Sequence[NewMessage | NewEvent],
        people: PeopleChanges,
        cursor: Cursor | None,
        login_id: str,
    ) -> RecordResult:
        """Store items, people and cursor in one commit. Without a cursor the stored one stays.

        What has a key that is known is a repeat: it is left out and takes no seq.
        """

        def job(connection: sqlite3.Connection) -> RecordResult:
            apply_changes(connection, self._account, people)
            return self._record(connection, items, cursor, login_id)

        return await self._database.write("record", job)

    def _open(self, connection: sqlite3.Connection) -> tuple[str, AccountState]:
        connection.execute(_SQL["new_stream"], (new_stream_id(),))
        connection.execute(_SQL["new_account"], (self._account,))
        (stream,) = connection.execute(_SQL["stream"]).fetchone()
        base, session, login_id, cursor, seq = connection.execute(
            _SQL["account"], (self._account,)
        ).fetchone()
        last = connection.execute(_SQL["last"], (self._account,)).fetchone()
        opened = AccountState(
            cursor=cursor,
            login_id=login_id,
            seq=seq,
            last_payload=last[0] if last else None,
            base_topic=base,
            broker_session=session,
        )
        return stream, opened

    def _record(
        self,
        connection: sqlite3.Connection,
        items: Sequence[NewMessage | NewEvent],
        cursor: Cursor | None,
        login_id: str,
    ) -> RecordResult:
        fresh = self._new_items(connection, items)
        (seq,) = connection.execute(_SQL["seq"], (self._account,)).fetchone()
        rows, messages, last = self._rows(fresh, seq)
        insert_rows(connection, _SQL["add"], rows)
        insert_rows(connection, MEDIA_SQL["add"], self._media(fresh, seq))
        self._enqueue(connection, (one.plain for one in fresh if isinstance(one, NewMessage) and one.plain))
        connection.execute(_SQL["advance"], (seq + messages, cursor, login_id, self._account))
        return RecordResult(
            messages=messages,
            events=len(fresh) - messages,
            repeated=len(items) - len(fresh),
            last_payload=last,
            seq=seq + messages,
            kinds=Counter(item.kind for item in fresh if isinstance(item, NewMessage)),
        )

    def _new_items(
        self, connection: sqlite3.Connection, items: Sequence[NewMessage | NewEvent]
    ) -> list[NewMessage | NewEvent]:
        """Items whose key is new; of two with one key in the same batch, the first."""
        if not items:
            return []
        first: dict[str, NewMessage | NewEvent] = {}
        for item in items:
            first.setdefault(storable_text(item.key), item)
        known = connection.execute(_SQL["known"], (self._account, json_list(first)))
        repeated = {key for (key,) in known}
        return [item for key, item in first.items() if key not in repeated]

    def _rows(
        self, items: Sequence[NewMessage | NewEvent], seq: int
    ) -> tuple[list[tuple[object, ...]], int, bytes | None]:
        now = self._now()
        rows: list[tuple[object, ...]] = []
        last, first = None, seq
        for item in items:
            if isinstance(item, NewMessage):
                seq += 1
                last = self._payload(item.body, seq)
                rows.append(self._message(item, seq, last, now))
            else:
                rows.append(self._event(item, now))
        return rows, seq - first, last

    def _media(self, items: Sequence[NewMessage | NewEvent], seq: int) -> list[tuple[object, ...]]:
        """Rows for what is to be fetched, each with the seq of its message."""
        now = self._now()
        messages = (item for item in items if isinstance(item, NewMessage))
        return [
            media_values(
                self._account, media, now, message_id=storable_text(item.id), user=item.user, seq=number
            )
            for number, item in enumerate(messages, seq + 1)
            for media in item.media
        ]

    def _payload(self, body: Mapping[str, Json], seq: int) -> bytes:
        return encode_payload({"schema": MESSAGE_SCHEMA_VERSION, "stream": self.stream, "seq": seq, **body})

    def _message(self, item: NewMessage, seq: int, payload: bytes, now: int) -> tuple[object, ...]:
        name, text = storable_text(item.sender), storable_text(item.text)
        facts = (seq, storable_text(item.id), item.kind, bounded_integer(item.time), name, None, text)
        return self._columns(item, "message", STATE_HELD if item.held else STATE_WAITING, now, facts, payload)

    def _event(self, item: NewEvent, now: int) -> tuple[object, ...]:
        private = storable_text(compact(dict(item.private))) if item.private else None
        facts = (None, None, item.name, bounded_integer(item.time), None, private, None)
        return self._columns(item, "event", STATE_WAITING, now, facts, encode_payload(item.body))

    def _columns(
        self,
        item: NewMessage | NewEvent,
        sort: str,
        state: int,
        now: int,
        facts: tuple[object, ...],
        payload: bytes,
    ) -> tuple[object, ...]:
        """In the order of the statement `add`."""
        key = storable_text(item.key)
        return (self._account, state, sort, item.topic, now, item.user, JSON_TYPE, key, *facts, payload)
