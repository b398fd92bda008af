"""Queries of stored messages: a page by seq, chat, kind and text, and the content of one message.

    await history.find(HistoryQuery(users=("wife",), text="door", limit=20))  # the newest 20, in order

Messages are searched from `since` on towards newer ones, or from `before` (or the newest) towards older ones,
until the page is full:

    by seq and chat   the database has an index
    by text           `SearchIndex` finds the older messages; the newest ones are read and compared
    by kind           every message in the range is read and compared
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from string import ascii_lowercase, ascii_uppercase
from typing import NamedTuple

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
        """Returns matches, the oldest first, and whether there are more: newer with `since`, else older.

        1. Take the seqs of the range; a seq is the number of a message in its account.
        2. Search those in the search index through it, and the newer ones by comparing, in the order of the
           search. Stop at one match more than the page has: then there are more.
        3. Put the page in order.
        """
        first, last = await self._database.read(partial(self._seq_range, query))
        last_indexed = await self._last_indexed_seq(query)
        parts = [
            (self._find_by_index, range(first, min(last, last_indexed) + 1)),
            (self._find_by_comparing, range(max(first, last_indexed + 1), last + 1)),
        ]
        if not query.is_oldest_first:
            parts = [(search, seqs[::-1]) for search, seqs in reversed(parts)]
        matches: list[HistoryRow] = []
        for search, seqs in parts:
            if len(matches) <= query.limit:
                matches += await search(query, seqs)
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

    # The search. Methods that take a connection are read jobs; ranges are in the order of the search.

    def _seq_range(self, query: HistoryQuery, connection: Connection) -> tuple[int, int]:
        """Returns the first and the last seq that may match; the first is larger if there are none."""
        first, last = connection.execute(_SEQ_RANGE, (self._account,)).fetchone()
        if first is None:
            return 1, 0
        first_match = first if query.since is None else max(first, query.since + 1)
        last_match = last if query.before is None else min(last, query.before - 1)
        return first_match, last_match

    async def _last_indexed_seq(self, query: HistoryQuery) -> int:
        """Returns the seq of the newest message in the search index; 0 where the index is not to be asked."""
        if self._search_index is None or not self._search_index.indexed_id or not query.text:
            return 0
        rows = await self._fetch(_SEQ_AT, self._search_index.indexed_id)
        return int(rows[0][0]) if rows else 0

    async def _find_by_index(self, query: HistoryQuery, seqs: range) -> list[HistoryRow]:
        """Returns the matches among `seqs`, which are in the search index, or as many as fill the page.

        The index knows messages of all accounts, each by the id of its publication. In one account ids and
        seqs have the same order.
        """
        if not seqs or self._search_index is None:
            return []
        matches: list[HistoryRow] = []
        ids = await self._database.read(partial(self._publication_ids, seqs))
        count = CANDIDATES_PER_MATCH * (query.limit + 1)
        while ids and len(matches) <= query.limit:
            candidates = await self._search_index.candidates(storable_text(query.text), ids, count)
            if candidates is None:  # the index was deleted meanwhile: the rest is compared
                rest = seqs[seqs.index(matches[-1].seq) + 1 :] if matches else seqs
                return matches + await self._find_by_comparing(query, rest)
            matches += await self._database.read(partial(self._compare_candidates, query, seqs, candidates))
            if len(candidates) < count:
                break
            ids = ids[ids.index(candidates[-1]) + 1 :]
        return matches

    def _publication_ids(self, seqs: range, connection: Connection) -> range:
        """Returns the range of ids in which the messages of this range of seqs lie."""
        first_id, last_id = connection.execute(_ID_RANGE, (self._account, *_bounds(seqs))).fetchone()
        ids = range(first_id, last_id + 1) if first_id and last_id else range(0)
        return ids[:: seqs.step]

    def _compare_candidates(
        self, query: HistoryQuery, seqs: range, ids: Sequence[int], connection: Connection
    ) -> list[HistoryRow]:
        """Returns the matches among these publications, in the order of the search."""
        users = json_list(storable_text(user) for user in query.users)
        values = (*self._wanted(query, seqs), json_list(ids), users)
        rows = [HistoryRow(*row) for row in connection.execute(_AMONG_CANDIDATES, values)]
        return rows if query.is_oldest_first else rows[::-1]

    async def _find_by_comparing(self, query: HistoryQuery, seqs: range) -> list[HistoryRow]:
        """Returns the matches among `seqs`, or as many as fill the page."""
        matches: list[HistoryRow] = []
        # By seq and chat the database finds all matches at once.
        batch_rows = SCAN_BATCH_ROWS if query.kind or query.text else max(1, len(seqs))
        for start in range(0, len(seqs), batch_rows):
            batch = seqs[start : start + batch_rows]
            matches += await self._database.read(partial(self._compare_batch, query, batch))
            if len(matches) > query.limit:
                break
        return matches

    def _compare_batch(self, query: HistoryQuery, seqs: range, connection: Connection) -> list[HistoryRow]:
        """Returns the matches among `seqs`, or as many as fill the page, in the order of the search."""
        limit = query.limit + 1
        values = (*self._wanted(query, seqs), limit)
        if not query.users:
            statement = _OLDEST if query.is_oldest_first else _NEWEST
            return [HistoryRow(*row) for row in connection.execute(statement, values)]
        statement = _OLDEST_IN_CHAT if query.is_oldest_first else _NEWEST_IN_CHAT
        rows: list[HistoryRow] = []
        for user in {storable_text(user) for user in query.users}:
            rows += (HistoryRow(*row) for row in connection.execute(statement, (*values, user)))
        rows.sort(key=lambda row: row.seq, reverse=not query.is_oldest_first)
        return rows[:limit]

    def _wanted(self, query: HistoryQuery, seqs: range) -> _Wanted:
        first_seq, last_seq = _bounds(seqs)
        text = storable_text(query.text).translate(_ASCII_LOWER)
        return _Wanted(self._account, first_seq, last_seq, kind=storable_text(query.kind), text=text)


def _bounds(seqs: range) -> tuple[int, int]:
    """Returns the smallest and the largest seq of a range that is not empty."""
    return min(seqs[0], seqs[-1]), max(seqs[0], seqs[-1])


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


class _Wanted(NamedTuple):
    """Which messages match: ?1 to ?5 of the statements that compare."""

    account: str
    first_seq: int
    last_seq: int
    #: Empty for every kind.
    kind: str
    #: In small letters; empty for every text.
    text: str


_MATCHES = """
    SELECT seq, message_id, payload FROM publication
    WHERE account = ?1 AND seq IS NOT NULL AND seq BETWEEN ?2 AND ?3
        AND (?4 = '' OR kind = ?4) AND (?5 = '' OR instr(lower(text), ?5) > 0)
"""

# At most ?6 of them, from all chats or from the chat ?7.
_OLDEST = Statement(f"{_MATCHES} ORDER BY seq LIMIT ?6")

_NEWEST = Statement(f"{_MATCHES} ORDER BY seq DESC LIMIT ?6")

_OLDEST_IN_CHAT = Statement(f"{_MATCHES} AND user = ?7 ORDER BY seq LIMIT ?6")

_NEWEST_IN_CHAT = Statement(f"{_MATCHES} AND user = ?7 ORDER BY seq DESC LIMIT ?6")

# The ids of the first message from seq ?2 on and of the last one up to ?3.
_ID_RANGE = Statement("""
    SELECT
        (SELECT id FROM publication
         WHERE account = ?1 AND seq IS NOT NULL AND seq >= ?2 ORDER BY seq LIMIT 1),
        (SELECT id FROM publication
         WHERE account = ?1 AND seq IS NOT NULL AND seq <= ?3 ORDER BY seq DESC LIMIT 1)
""")

# Those of the ids ?6 that match, in one of the chats ?7 or, if that is an empty list, in any.
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
