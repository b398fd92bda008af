"""Queries of stored messages: a page by seq, chat, kind and text, and the content of one message.

Messages are searched from `since` on towards newer ones, or from `before` (or the newest) towards older ones.
An index finds them by seq and chat. For a kind or a text every message in the range is read, in batches of
`SCAN_BATCH_ROWS`, until the page is full.
"""

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

# Messages that one read searches for a kind or a text, so that other reads can run in between.
SCAN_BATCH_ROWS = 2000

_SQL = load_queries("history")
_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)  # as `lower` of SQLite does it


class HistoryQueries(JournalPart):
    async def find_messages(self, query: HistoryQuery) -> tuple[list[HistoryRow], bool]:
        """Returns matches, the oldest first, and whether there are more: newer with `since`, else older."""
        first_seq, last_seq = await self._database.read(lambda db: self._seq_range(db, query))
        matches: list[HistoryRow] = []
        for batch in _batches(first_seq, last_seq, query):
            missing = query.limit + 1 - len(matches)  # one more than asked for: whether there are more
            matches += await self._database.read(partial(self._scan, query, batch, missing))
            if len(matches) > query.limit:
                break
        page = matches[: query.limit]
        return (page if _oldest_first(query) else page[::-1]), len(matches) > query.limit

    async def quoted_message(self, message_id: str) -> QuotedMessage | None:
        """Returns the content of a message, received or sent; None if it is unknown or was pruned."""
        values = self._account, storable_text(message_id)
        return await self._database.read(lambda db: _quoted_message(db, values))

    def _seq_range(self, connection: sqlite3.Connection, query: HistoryQuery) -> tuple[int, int]:
        """Returns the first and the last seq that may match; the first is larger if there are none."""
        first, last = connection.execute(_SQL["seq_range"], (self._account,)).fetchone()
        if first is None:
            return 1, 0
        first_match = first if query.since is None else max(first, query.since + 1)
        last_match = last if query.before is None else min(last, query.before - 1)
        return first_match, last_match

    def _scan(
        self, query: HistoryQuery, seq_range: tuple[int, int], limit: int, connection: sqlite3.Connection
    ) -> list[HistoryRow]:
        """Returns up to `limit` matches within a range of seq, in the order of the search."""
        oldest_first = _oldest_first(query)
        values = (
            self._account,
            *seq_range,
            storable_text(query.kind),
            storable_text(query.text).translate(_ASCII_LOWER),
            limit,
        )
        if not query.users:
            statement = _SQL["oldest"] if oldest_first else _SQL["newest"]
            return [_history_row(*row) for row in connection.execute(statement, values)]
        statement = _SQL["oldest_in_chat"] if oldest_first else _SQL["newest_in_chat"]
        users = {storable_text(user) for user in query.users}
        rows = (row for user in users for row in connection.execute(statement, (*values, user)))
        matches = sorted(
            (_history_row(*row) for row in rows), key=lambda match: match.seq, reverse=not oldest_first
        )
        return matches[:limit]


def _quoted_message(connection: sqlite3.Connection, values: tuple[str, str]) -> QuotedMessage | None:
    sent = connection.execute(_SQL["sent_message"], values).fetchone()
    if sent is not None:
        command_id, command_text = sent
        command = json.loads(command_text)
        text = str(command.get("text") or command.get("name") or "")
        return QuotedMessage(
            kind=Kind(command["kind"]),
            text=text,
            chat=str(command["user"]),
            from_self=True,
            command_id=command_id,
        )
    received = connection.execute(_SQL["received_message"], values).fetchone()
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


def _oldest_first(query: HistoryQuery) -> bool:
    return query.since is not None


def _batches(first: int, last: int, query: HistoryQuery) -> Iterator[tuple[int, int]]:
    """Yields ranges of seq in the order of the search; a single range if an index finds every match."""
    if first > last:
        return
    if not query.kind and not query.text:
        yield first, last
    elif _oldest_first(query):
        for start in range(first, last + 1, SCAN_BATCH_ROWS):
            yield start, min(last, start + SCAN_BATCH_ROWS - 1)
    else:
        for end in range(last, first - 1, -SCAN_BATCH_ROWS):
            yield max(first, end - SCAN_BATCH_ROWS + 1), end


def _history_row(seq: int, message_id: str, payload: bytes) -> HistoryRow:
    return HistoryRow(seq=seq, message_id=message_id, payload=payload)
