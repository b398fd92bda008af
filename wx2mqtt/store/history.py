"""Queries of stored messages: a page by seq, chat, kind and text, and the content of one message.

    await history.find(HistoryQuery(users=("wife",), text="door", limit=20))  # the newest 20, in order

Messages are searched from `since` on towards newer ones, or from `before` (or the newest) towards older ones:

    by seq and chat   the database has an index
    by text           `SearchIndex` finds the older messages; the newest ones are read and compared
    by kind           every message in the range is read and compared

What is read and compared is read in batches of `SCAN_BATCH_ROWS` until the page is full.

Callers know a message by its seq, which counts in its account; the search index by the id of its publication,
which counts in the whole store. Within an account both have the same order.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from string import ascii_lowercase, ascii_uppercase

from wx2mqtt.model import Kind, QuotedMessage, combined_text, is_own_text
from wx2mqtt.store.column_values import storable_text
from wx2mqtt.store.database import Connection, json_list
from wx2mqtt.store.outbox import AccountRows, JournalPart
from wx2mqtt.store.records import HistoryQuery, HistoryRow
from wx2mqtt.store.search_index import SearchIndex
from wx2mqtt.store.statements import Statement

# Messages that one read compares with a kind or a text; other reads run in between.
SCAN_BATCH_ROWS = 2000

# The search index proposes so many messages for each one that is asked for. Most of them contain the text.
CANDIDATES_PER_MATCH = 2

_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)  # as `lower` of SQLite does it


class MessageHistory(JournalPart):
    """The stored messages and events. With a search index fewer messages are read to find a text."""

    def __init__(self, rows: AccountRows, search_index: SearchIndex | None) -> None:
        super().__init__(rows)
        self._search_index = search_index

    async def find(self, query: HistoryQuery) -> tuple[list[HistoryRow], bool]:
        """Returns matches, the oldest first, and whether there are more: newer with `since`, else older."""
        matches: list[HistoryRow] = []
        async for part in self._matches(query):
            matches += part
            if len(matches) > query.limit:  # one more than asked for: there are more
                break
        page = matches[: query.limit]
        if not query.is_oldest_first:
            page.reverse()
        return page, len(matches) > query.limit

    async def quoted_message(self, message_id: str) -> QuotedMessage | None:
        """Returns the content of a message, received or sent; None if it is unknown or was pruned."""
        values = self._account, storable_text(message_id)
        return await self._database.read(lambda db: _quoted_message(db, values))

    async def private_event_fields(self, name: str, key: str) -> dict[str, str] | None:
        """Returns what the backend needs to act on the event `name` with this key; None if there is none."""
        rows = await self._fetch(_PRIVATE_EVENT_FIELDS, storable_text(key), name)
        if not rows:
            return None
        ((fields,),) = rows
        return dict(json.loads(fields)) if fields else {}

    async def message_author(self, key: str) -> str:
        """Returns the sender's topic name at the time of the message; empty if the sender had none."""
        rows = await self._fetch(_MESSAGE_PAYLOAD, storable_text(key))
        if not rows:
            return ""
        ((payload,),) = rows
        sender = json.loads(payload).get("sender", {})
        return str(sender.get("user", ""))

    # The search. Methods that take a connection are read jobs.

    async def _matches(self, query: HistoryQuery) -> AsyncIterator[list[HistoryRow]]:
        """Yields matches in the order of the search.

        Up to the newest message in the search index they come from there, behind it by comparing.
        """
        first, last = await self._database.read(lambda db: self._seq_range(db, query))
        last_indexed = await self._last_indexed_seq(query)
        indexed = self._ask_index(query, first, min(last, last_indexed))
        not_indexed = self._compare_all(query, max(first, last_indexed + 1), last)
        parts = (indexed, not_indexed) if query.is_oldest_first else (not_indexed, indexed)
        for matches in parts:
            async for part in matches:
                yield part

    async def _last_indexed_seq(self, query: HistoryQuery) -> int:
        """Returns the seq of the newest message in the search index; 0 where the index is not to be asked."""
        if self._search_index is None or not self._search_index.indexed_id or not query.text:
            return 0
        return await self._seq_at(self._search_index.indexed_id)

    def _seq_range(self, connection: Connection, query: HistoryQuery) -> tuple[int, int]:
        """Returns the first and the last seq that may match; the first is larger if there are none."""
        first, last = connection.execute(_SEQ_RANGE, (self._account,)).fetchone()
        if first is None:
            return 1, 0
        first_match = first if query.since is None else max(first, query.since + 1)
        last_match = last if query.before is None else min(last, query.before - 1)
        return first_match, last_match

    async def _compare_all(
        self, query: HistoryQuery, first: int, last: int
    ) -> AsyncIterator[list[HistoryRow]]:
        """Yields the matches among all messages of a range."""
        for batch in _batches(first, last, query):
            yield await self._database.read(partial(self._compare_batch, query, batch, query.limit + 1))

    def _compare_batch(
        self, query: HistoryQuery, seq_range: tuple[int, int], limit: int, connection: Connection
    ) -> list[HistoryRow]:
        """Returns up to `limit` matches within a range of seq, in the order of the search."""
        values = (*self._values(query, seq_range), limit)
        if not query.users:
            statement = _OLDEST if query.is_oldest_first else _NEWEST
            return [HistoryRow(*row) for row in connection.execute(statement, values)]
        statement = _OLDEST_IN_CHAT if query.is_oldest_first else _NEWEST_IN_CHAT
        rows: list[HistoryRow] = []
        for user in {storable_text(user) for user in query.users}:
            rows += (HistoryRow(*row) for row in connection.execute(statement, (*values, user)))
        rows.sort(key=lambda row: row.seq, reverse=not query.is_oldest_first)
        return rows[:limit]

    async def _ask_index(self, query: HistoryQuery, first: int, last: int) -> AsyncIterator[list[HistoryRow]]:
        """Yields the matches in a range whose messages are in the search index."""
        if first > last or self._search_index is None:
            return
        ids = await self._database.read(partial(self._id_range, first, last))
        count = CANDIDATES_PER_MATCH * (query.limit + 1)
        while ids:
            candidates = await self._search_index.candidates(
                storable_text(query.text), ids, count, newest_first=not query.is_oldest_first
            )
            if candidates is None:  # the index was deleted meanwhile: the rest is compared
                rest_first = max(first, await self._seq_at(ids.start - 1) + 1)
                rest_last = min(last, await self._seq_at(ids.stop - 1))
                async for part in self._compare_all(query, rest_first, rest_last):
                    yield part
                return
            yield await self._database.read(
                partial(self._compare_candidates, query, (first, last), candidates)
            )
            if len(candidates) < count:
                return
            last_id = candidates[-1]
            ids = range(last_id + 1, ids.stop) if query.is_oldest_first else range(ids.start, last_id)

    def _id_range(self, first: int, last: int, connection: Connection) -> range:
        """Returns the range of ids in which the messages of this range of seq lie."""
        first_id, last_id = connection.execute(_ID_RANGE, (self._account, first, last)).fetchone()
        return range(first_id, last_id + 1) if first_id and last_id else range(0)

    def _compare_candidates(
        self, query: HistoryQuery, seq_range: tuple[int, int], ids: Sequence[int], connection: Connection
    ) -> list[HistoryRow]:
        """Returns the matches among these publications, in the order of the search."""
        users = json_list(storable_text(user) for user in query.users)
        values = (*self._values(query, seq_range), json_list(ids), users)
        rows = [HistoryRow(*row) for row in connection.execute(_AMONG_CANDIDATES, values)]
        return rows if query.is_oldest_first else rows[::-1]

    def _values(self, query: HistoryQuery, seq_range: tuple[int, int]) -> tuple[object, ...]:
        """Returns what the statements that compare messages have as ?1 to ?5."""
        text = storable_text(query.text).translate(_ASCII_LOWER)
        return (self._account, *seq_range, storable_text(query.kind), text)

    async def _seq_at(self, publication_id: int) -> int:
        """Returns the seq of the newest message up to this publication; 0 without one."""
        rows = await self._fetch(_SEQ_AT, publication_id)
        return int(rows[0][0]) if rows else 0


def _quoted_message(connection: Connection, values: tuple[str, str]) -> QuotedMessage | None:
    """Returns the message of an account with a WeChat id; `values` are both."""
    sent = connection.execute(_SENT_MESSAGE, values).fetchall()
    if sent:
        return _sent_message(sent)
    received = connection.execute(_RECEIVED_MESSAGE, values).fetchone()
    if received is None:
        return None
    kind, text, chat, payload = received
    sender = json.loads(payload).get("sender", {})
    return QuotedMessage(
        kind=Kind(kind),
        text=text or "",
        chat=chat,
        user=str(sender.get("user", "")),
        from_self=sender.get("self") is True,
    )


def _sent_message(rows: Sequence[tuple[str, str]]) -> QuotedMessage:
    """Returns the message that these commands have sent together; `rows` are the id and JSON of each."""
    commands = [json.loads(command) for _, command in rows]
    # The heading of a combined message is a text of the bridge's own, and nobody's command.
    command_ids = [command_id for command_id, _ in rows if not is_own_text(command_id)]
    return QuotedMessage(
        kind=Kind(commands[0]["kind"]),
        text=combined_text(str(command.get("text") or command.get("name") or "") for command in commands),
        chat=str(commands[0]["user"]),
        from_self=True,
        command_id=command_ids[0] if command_ids else "",
    )


def _batches(first: int, last: int, query: HistoryQuery) -> Iterator[tuple[int, int]]:
    """Yields ranges of seq in the order of the search; a single range if an index finds every match."""
    if first > last:
        return
    if not query.kind and not query.text:
        yield first, last
    elif query.is_oldest_first:
        for start in range(first, last + 1, SCAN_BATCH_ROWS):
            yield start, min(last, start + SCAN_BATCH_ROWS - 1)
    else:
        for end in range(last, first - 1, -SCAN_BATCH_ROWS):
            yield max(first, end - SCAN_BATCH_ROWS + 1), end


# Statements

# What an event keeps for the backend; `kind` is the event's name.
_PRIVATE_EVENT_FIELDS = Statement("""
    SELECT private FROM publication WHERE account = ? AND key = ? AND sort = 'event' AND kind = ?
""")

# The payload of the message with this key.
_MESSAGE_PAYLOAD = Statement("""
    SELECT payload FROM publication WHERE account = ? AND key = ? AND seq IS NOT NULL
""")

# The seq of the oldest and of the newest stored message; for min and max SQLite would read all of them.
_SEQ_RANGE = Statement("""
    SELECT
        (SELECT seq FROM publication WHERE account = ?1 AND seq IS NOT NULL ORDER BY seq LIMIT 1),
        (SELECT seq FROM publication WHERE account = ?1 AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1)
""")

# Messages with a seq from ?2 to ?3, of the kind ?4 and with the text ?5; an empty kind or text matches every
# message.
_MATCHES = """
    SELECT seq, message_id, payload FROM publication
    WHERE account = ?1 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
        AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5) > 0)
"""

_OLDEST = Statement(f"{_MATCHES} ORDER BY seq LIMIT ?6")

_NEWEST = Statement(f"{_MATCHES} ORDER BY seq DESC LIMIT ?6")

_OLDEST_IN_CHAT = Statement(f"{_MATCHES} AND user = ?7 ORDER BY seq LIMIT ?6")

_NEWEST_IN_CHAT = Statement(f"{_MATCHES} AND user = ?7 ORDER BY seq DESC LIMIT ?6")

# The publications of the first message from seq ?2 on and of the last one up to ?3.
_ID_RANGE = Statement("""
    SELECT
        (SELECT id FROM publication
         WHERE account = ?1 AND seq IS NOT NULL AND seq >= ?2 ORDER BY seq LIMIT 1),
        (SELECT id FROM publication
         WHERE account = ?1 AND seq IS NOT NULL AND seq <= ?3 ORDER BY seq DESC LIMIT 1)
""")

# Those of the publications ?6 that are matches, in one of the chats ?7 or, if that is an empty list, in any.
# The + keeps SQLite from reading all messages from seq ?2 to ?3.
_AMONG_CANDIDATES = Statement("""
    SELECT seq, message_id, payload FROM publication
    WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?6))
        AND +account = ?1 AND +seq BETWEEN ?2 AND ?3
        AND (?4 = '' OR kind = ?4) AND instr(lower(text), ?5) > 0
        AND (?7 = '[]' OR +user IN (SELECT value FROM json_each(?7)))
    ORDER BY +seq
""")

# The seq of the newest message up to the publication ?2. The + keeps SQLite from reading all up to there.
_SEQ_AT = Statement("""
    SELECT seq FROM publication WHERE account = ?1 AND seq IS NOT NULL AND +id <= ?2 ORDER BY seq DESC LIMIT 1
""")

# The command that sent the message ?2, or sent it as a part of a long text. A combined message has several
# commands, in the order of its text.
_SENT_MESSAGE = Statement("""
    SELECT command_id, command FROM (
        SELECT command_id, command FROM command
        WHERE account = ?1 AND message_id = ?2 ORDER BY bundle_position
    ) AS whole
    UNION ALL
    SELECT command_id, command FROM (
        SELECT command_id, command FROM command
        WHERE account = ?1 AND part_ids <> ' ' AND instr(part_ids, ' ' || ?2 || ' ') > 0 LIMIT 1
    ) AS parts
""")

# The message with the WeChat id ?2. The search starts at the newest, since a reply mostly quotes a recent
# message.
_RECEIVED_MESSAGE = Statement("""
    SELECT kind, text, user, payload FROM publication
    WHERE account = ?1 AND seq IS NOT NULL AND message_id = ?2 ORDER BY seq DESC LIMIT 1
""")
