"""Takes the commands of one commit in, in order: which are new, which repeat something (DESIGN 4.2).

Runs inside of a write job. New rows are gathered and written together at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from wx2mqtt.store.bulk import insert
from wx2mqtt.store.command_rows import command_row, new_row, replies_text, values
from wx2mqtt.store.encoding import listed, storable
from wx2mqtt.store.queries import queries
from wx2mqtt.store.rows import Accepted, CommandRow, CommandState, DeliveryMark, NewCommand, Outcome

_SQL = queries("acceptance")


class Acceptance:
    """One commit of commands for one account."""

    def __init__(self, connection: sqlite3.Connection, account: str, now: int) -> None:
        self._connection = connection
        self._account = account
        self._now = now
        self._next = 1 + sum(number for (number,) in connection.execute(_SQL["last_row"]))
        self._known: dict[str, CommandRow] = {}
        self._unwritten: list[tuple[object, ...]] = []

    def take(self, new: Sequence[NewCommand]) -> list[Accepted]:
        """What becomes of each; all is written when this returns."""
        ids = listed(storable(one.command_id) for one in new)
        self._known.update((row.command_id, row) for row in self._rows("known", ids))
        accepted = [self._take(one) for one in new]
        self._write()
        return accepted

    def _take(self, new: NewCommand) -> Accepted:
        mark = new.delivery if new.delivery and new.delivery.dup else None
        same = self._same_delivery(mark) if mark else None
        if same:
            return Accepted(outcome=Outcome.SAME_DELIVERY, row=same)
        known = self._known.get(storable(new.command_id))
        if known:
            return self._again(known, new)
        if mark and self._rows("similar_delivery", mark.session, mark.digest, mark.topic):
            new = replace(new, duplicate_possible=True)
        return Accepted(outcome=Outcome.NEW, row=self._add(new))

    def _same_delivery(self, mark: DeliveryMark) -> CommandRow | None:
        self._write()
        rows = self._rows("same_delivery", mark.session, mark.digest, mark.topic, mark.mid)
        return rows[0] if rows else None

    def _again(self, row: CommandRow, new: NewCommand) -> Accepted:
        if row.fingerprint != new.fingerprint:
            return Accepted(outcome=Outcome.REUSED, row=row)
        more = tuple(reply for reply in new.replies if reply not in row.replies)
        if more and row.state is CommandState.WAITING:
            self._write()
            row = self._known[row.command_id] = replace(row, replies=row.replies + more)
            self._connection.execute(_SQL["replies"], (self._account, row.id, replies_text(row.replies)))
        return Accepted(outcome=Outcome.REPEAT, row=row)

    def _add(self, new: NewCommand) -> CommandRow:
        row = new_row(self._next, new)
        self._next += 1
        self._known[row.command_id] = row
        self._unwritten.append((row.id, self._account, *values(new, self._now)))
        return row

    def _write(self) -> None:
        insert(self._connection, _SQL["add"], self._unwritten)
        self._unwritten.clear()

    def _rows(self, statement: str, *arguments: object) -> list[CommandRow]:
        cursor = self._connection.cursor()
        cursor.row_factory = sqlite3.Row
        return [command_row(row) for row in cursor.execute(_SQL[statement], (self._account, *arguments))]
