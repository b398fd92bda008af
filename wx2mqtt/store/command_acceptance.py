"""Accepts new commands as part of a commit, and recognizes those that were accepted before.

    a delivery that the broker repeats  ->  SAME_DELIVERY, its row stays as it is
    the id of an accepted command       ->  REPEAT; with another content REUSED
    anything else                       ->  NEW, which gets a row

`AcceptOutcome` says what each of these means for the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from wx2mqtt.store.column_values import storable_text
from wx2mqtt.store.command_records import (
    AcceptOutcome,
    AcceptResult,
    CommandRow,
    CommandState,
    NewCommand,
    command_values,
    new_row,
    replies_text,
)
from wx2mqtt.store.database import Connection, json_list
from wx2mqtt.store.outbox import AccountRows
from wx2mqtt.store.statements import Statement, insert_rows
from wx2mqtt.store.stored_commands import read_commands


class CommandAcceptance:
    """Accepts the commands of one commit. Runs inside of a write job.

    New rows are collected and inserted together: at the end, or before a statement that must see them.
    """

    def __init__(self, connection: Connection, rows: AccountRows) -> None:
        self._connection = connection
        self._account = rows.account
        self._enqueue = partial(rows.enqueue, connection)
        self._now = rows.now()
        #: Row ids for the new commands.
        self._new_ids: Iterator[int] = iter(())
        #: By command id: the stored commands, and those that this commit accepts.
        self._known: dict[str, CommandRow] = {}
        #: The rows that are still to be inserted.
        self._collected: list[tuple[object, ...]] = []

    def accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        """Returns the outcome of each command; all rows are inserted when this returns."""
        new_ids = self._connection.execute(_NEW_IDS, (len(new),)).fetchall()
        self._new_ids = (row_id for (row_id,) in new_ids)
        ids = json_list(storable_text(command.command_id) for command in new)
        self._known.update((row.command_id, row) for row in self._read(_BY_IDS, ids))
        accepted = [self._accept_one(command) for command in new]
        self._insert_collected()
        return [self._with_outbox(command, result) for command, result in zip(new, accepted, strict=True)]

    def _with_outbox(self, new: NewCommand, result: AcceptResult) -> AcceptResult:
        """Enqueues the publications of a new command that has its result already."""
        if result.outcome is AcceptOutcome.NEW and new.publications:
            return replace(result, outbox=self._enqueue(new.publications))
        return result

    def _accept_one(self, new: NewCommand) -> AcceptResult:
        if new.delivery is not None and new.delivery.dup:
            self._insert_collected()  # the statements below must see these rows
            content = (new.delivery.broker_session, new.delivery.digest, new.delivery.topic)
            same = self._read(_SAME_DELIVERY, *content, new.delivery.packet_id)
            if same:
                return AcceptResult(outcome=AcceptOutcome.SAME_DELIVERY, row=same[0])
            if self._read(_SIMILAR_DELIVERY, *content):
                # It may have been accepted before, under a packet id that the broker has given anew.
                new = replace(new, duplicate_possible=True)
        known = self._known.get(storable_text(new.command_id))
        if known:
            return self._accept_repeat(known, new)
        stored = new if new.keeps_replies else replace(new, replies=())
        row = new_row(next(self._new_ids), stored)
        self._known[row.command_id] = row
        values = command_values(stored, self._now)
        self._collected.append((row.id, self._account, *values))
        return AcceptResult(outcome=AcceptOutcome.NEW, row=row)

    def _accept_repeat(self, row: CommandRow, new: NewCommand) -> AcceptResult:
        """Accepts a command with the id of a known one, which gets the new reply targets while it waits."""
        if row.fingerprint != new.fingerprint:
            return AcceptResult(outcome=AcceptOutcome.REUSED, row=row)
        more = tuple(reply for reply in new.replies if reply not in row.replies)
        if more and row.state is CommandState.WAITING:
            self._insert_collected()
            row = self._known[row.command_id] = replace(row, replies=row.replies + more)
            values = (self._account, row.id, replies_text(row.replies))
            self._connection.execute(_SET_REPLIES, values)
        return AcceptResult(outcome=AcceptOutcome.REPEAT, row=row)

    def _insert_collected(self) -> None:
        insert_rows(self._connection, _ADD_COMMAND, self._collected)
        self._collected.clear()

    def _read(self, statement: str, *values: object) -> list[CommandRow]:
        return read_commands(self._connection, statement, self._account, *values)


# Statements

# The next ?1 row ids, at least one; no command ever had one of them.
_NEW_IDS = Statement(
    """
    WITH RECURSIVE free (id, number) AS (
        SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'command'), 0) + 1, 1
        UNION ALL
        SELECT id + 1, number + 1 FROM free WHERE number < ?1
    )
    SELECT id FROM free
    """,
    postgresql="SELECT nextval(pg_get_serial_sequence('command', 'id')) FROM generate_series(1, ?1)",
)

# The commands with these ids.
_BY_IDS = Statement("""
    SELECT * FROM command WHERE account = ?1 AND command_id IN (SELECT value FROM json_each(?2))
""")

# The command that came with this packet id, topic and content in this session of the broker. A newer row
# with the same packet id would prove that the broker has our acknowledgement of the older one.
_SAME_DELIVERY = Statement("""
    SELECT * FROM command AS one
    WHERE account = ?1 AND session = ?2 AND digest = ?3 AND topic = ?4 AND mid = ?5 AND NOT EXISTS (
        SELECT 1 FROM command AS newer
        WHERE newer.id > one.id AND newer.account = ?1 AND newer.session = ?2 AND newer.mid = ?5
    )
    ORDER BY id DESC LIMIT 1
""")

# A command with the same topic and content in this session, whatever its packet id.
_SIMILAR_DELIVERY = Statement("""
    SELECT * FROM command WHERE account = ? AND session = ? AND digest = ? AND topic = ? LIMIT 1
""")

# Replaces the topics that get the result of a command that waits.
_SET_REPLIES = Statement("UPDATE command SET replies = ?3 WHERE account = ?1 AND id = ?2 AND status IS NULL")

_ADD_COMMAND = Statement("""
    INSERT INTO command
        (id, account, command_id, fingerprint, person, key, accepted, expires, open, attempts,
         duplicate_possible, settled, status, message_id, session, mid, topic, digest, sha256, blob, replies,
         result, command, fallback_of)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
""")
