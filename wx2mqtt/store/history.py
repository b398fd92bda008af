"""What was published, asked for again: by seq, chat, kind and text (DESIGN 4.2)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from functools import partial
from string import ascii_lowercase, ascii_uppercase

from wx2mqtt.model import Kind, Said
from wx2mqtt.store.encoding import storable
from wx2mqtt.store.lane import Lane
from wx2mqtt.store.queries import queries
from wx2mqtt.store.rows import Kept, Wanted

_SQL = queries("history")
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)

STRIDE = 2000
"""Messages that one read looks through for a kind or a text, so that others can read in between."""


class History(Lane):
    """The messages of one account that are still kept."""

    async def history(self, wanted: Wanted) -> tuple[list[Kept], bool]:
        """What fits, the oldest first; and whether there is more, newer with `since`, else older."""
        first, last = await self._database.read(lambda db: self._edges(db, wanted))
        found: list[Kept] = []
        for start, end in _strides(first, last, wanted):
            room = wanted.limit + 1 - len(found)
            found += await self._database.read(partial(self._found, wanted, (start, end), room))
            if len(found) > wanted.limit:
                break
        kept = found[: wanted.limit]
        return (kept if _forward(wanted) else kept[::-1]), len(found) > wanted.limit

    async def said(self, message_id: str) -> Said | None:
        """What a message said, be it theirs or ours; None where that is not known (any more)."""
        values = self._account, storable(message_id)
        return await self._database.read(lambda db: _said(db, values))

    def _edges(self, connection: sqlite3.Connection, wanted: Wanted) -> tuple[int, int]:
        """The first and the last seq that may fit; there are none when the first is larger."""
        first, last = connection.execute(_SQL["edges"], (self._account,)).fetchone()
        if first is None:
            return 1, 0
        after = first if wanted.since is None else max(first, wanted.since + 1)
        return after, last if wanted.before is None else min(last, wanted.before - 1)

    def _found(
        self, wanted: Wanted, edges: tuple[int, int], room: int, connection: sqlite3.Connection
    ) -> list[Kept]:
        """What fits between two seqs, as far as there is room, in the order of the search."""
        everywhere, of_chat = ("first", "first_of") if _forward(wanted) else ("newest", "newest_of")
        facts = (self._account, *edges, storable(wanted.kind), storable(wanted.text).translate(_LOWER), room)
        if not wanted.users:
            return [_kept(*row) for row in connection.execute(_SQL[everywhere], facts)]
        users = {storable(user) for user in wanted.users}
        rows = (row for user in users for row in connection.execute(_SQL[of_chat], (*facts, user)))
        kept = sorted((_kept(*row) for row in rows), key=lambda one: one.seq, reverse=not _forward(wanted))
        return kept[:room]


def _said(connection: sqlite3.Connection, values: tuple[str, str]) -> Said | None:
    ours = connection.execute(_SQL["said_by_us"], values).fetchone()
    if ours is not None:
        sent = json.loads(ours[1])
        text = str(sent.get("text") or sent.get("name") or "")
        return Said(kind=Kind(sent["kind"]), text=text, command=ours[0])
    theirs = connection.execute(_SQL["said"], values).fetchone()
    return None if theirs is None else Said(kind=Kind(theirs[0]), text=theirs[1] or "", user=theirs[2])


def _forward(wanted: Wanted) -> bool:
    return wanted.since is not None


def _strides(first: int, last: int, wanted: Wanted) -> Iterator[tuple[int, int]]:
    """The seqs in pieces, in the order of the search; in one where an index finds all that fits."""
    if first > last:
        return
    if not wanted.kind and not wanted.text:
        yield first, last
    elif _forward(wanted):
        yield from ((start, min(last, start + STRIDE - 1)) for start in range(first, last + 1, STRIDE))
    else:
        yield from ((max(first, end - STRIDE + 1), end) for end in range(last, first - 1, -STRIDE))


def _kept(seq: int, message_id: str, payload: bytes) -> Kept:
    return Kept(seq=seq, message_id=message_id, payload=payload)
