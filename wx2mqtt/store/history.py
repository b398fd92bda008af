"""What was published, asked for again: by seq, chat, kind and text."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from functools import partial
from string import ascii_lowercase, ascii_uppercase

from wx2mqtt.model import Kind, QuotedMessage
from wx2mqtt.store.journal_part import JournalPart
from wx2mqtt.store.queries import load_queries, storable_text
from wx2mqtt.store.records import HistoryQuery, HistoryRow

_SQL = load_queries("history")
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)

SCAN_BATCH_ROWS = 2000
"""Messages that one read looks through for a kind or a text, so that others can read in between."""


class HistoryQueries(JournalPart):
    """The messages of one account that are still kept."""

    async def find_messages(self, query: HistoryQuery) -> tuple[list[HistoryRow], bool]:
        """What fits, the oldest first; and whether there is more, newer with `since`, else older."""
        first, last = await self._database.read(lambda db: self._seq_range(db, query))
        found: list[HistoryRow] = []
        for start, end in _strides(first, last, query):
            room = query.limit + 1 - len(found)
            found += await self._database.read(partial(self._scan, query, (start, end), room))
            if len(found) > query.limit:
                break
        kept = found[: query.limit]
        return (kept if _forward(query) else kept[::-1]), len(found) > query.limit

    async def quoted_message(self, message_id: str) -> QuotedMessage | None:
        """What a message said, be it theirs or ours; None where that is not known (any more)."""
        values = self._account, storable_text(message_id)
        return await self._database.read(lambda db: _said(db, values))

    def _seq_range(self, connection: sqlite3.Connection, query: HistoryQuery) -> tuple[int, int]:
        """The first and the last seq that may fit; there are none when the first is larger."""
        first, last = connection.execute(_SQL["edges"], (self._account,)).fetchone()
        if first is None:
            return 1, 0
        after = first if query.since is None else max(first, query.since + 1)
        return after, last if query.before is None else min(last, query.before - 1)

    def _scan(
        self, query: HistoryQuery, edges: tuple[int, int], limit: int, connection: sqlite3.Connection
    ) -> list[HistoryRow]:
        """What fits between two seqs, as far as there is room, in the order of the search."""
        everywhere, of_chat = ("first", "first_of") if _forward(query) else ("newest", "newest_of")
        facts = (
            self._account,
            *edges,
            storable_text(query.kind),
            storable_text(query.text).translate(_LOWER),
            limit,
        )
        if not query.users:
            return [_kept(*row) for row in connection.execute(_SQL[everywhere], facts)]
        users = {storable_text(user) for user in query.users}
        rows = (row for user in users for row in connection.execute(_SQL[of_chat], (*facts, user)))
        kept = sorted((_kept(*row) for row in rows), key=lambda one: one.seq, reverse=not _forward(query))
        return kept[:limit]


def _said(connection: sqlite3.Connection, values: tuple[str, str]) -> QuotedMessage | None:
    ours = connection.execute(_SQL["said_by_us"], values).fetchone()
    if ours is not None:
        sent = json.loads(ours[1])
        text = str(sent.get("text") or sent.get("name") or "")
        return QuotedMessage(kind=Kind(sent["kind"]), text=text, command_id=ours[0])
    theirs = connection.execute(_SQL["said"], values).fetchone()
    return (
        None if theirs is None else QuotedMessage(kind=Kind(theirs[0]), text=theirs[1] or "", user=theirs[2])
    )


def _forward(query: HistoryQuery) -> bool:
    return query.since is not None


def _strides(first: int, last: int, query: HistoryQuery) -> Iterator[tuple[int, int]]:
    """The seqs in pieces, in the order of the search; in one where an index finds all that fits."""
    if first > last:
        return
    if not query.kind and not query.text:
        yield first, last
    elif _forward(query):
        yield from (
            (start, min(last, start + SCAN_BATCH_ROWS - 1))
            for start in range(first, last + 1, SCAN_BATCH_ROWS)
        )
    else:
        yield from (
            (max(first, end - SCAN_BATCH_ROWS + 1), end) for end in range(last, first - 1, -SCAN_BATCH_ROWS)
        )


def _kept(seq: int, message_id: str, payload: bytes) -> HistoryRow:
    return HistoryRow(seq=seq, message_id=message_id, payload=payload)
