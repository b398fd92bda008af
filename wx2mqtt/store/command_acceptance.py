"""Decides which of some commands are new, and stores these: a part of one commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from wx2mqtt.store.command_records import AcceptOutcome, AcceptResult, CommandRow, CommandState, NewCommand
from wx2mqtt.store.command_rows import command_row, command_values, new_row, replies_text
from wx2mqtt.store.database import Connection
from wx2mqtt.store.journal_part import AccountRows
from wx2mqtt.store.queries import insert_rows, json_list, load_queries, storable_text

_SQL = load_queries("commands")


class CommandAcceptance:
    """Accepts the commands of one commit. Runs inside of a write job.

    1. a delivery that the broker repeats finds its row
    2. a command whose id is known is a repeat, or uses the id again
    3. any other one gets a row, and with a result its publications

    New rows are collected and inserted together: at the end, or before a statement that must see them.
    """

    def __init__(self, connection: Connection, rows: AccountRows) -> None:
        self._connection = connection
        self._account_rows = rows
        self._now = rows.now()
        self._new_ids: Iterator[int] = iter(())
        self._known: dict[str, CommandRow] = {}
        self._collected: list[tuple[object, ...]] = []

    def accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        """Returns the outcome of each command; all rows are inserted when this returns."""
        new_ids = self._connection.execute(_SQL["new_ids"], (len(new),)).fetchall()
        self._new_ids = (row_id for (row_id,) in new_ids)
        ids = json_list(storable_text(command.command_id) for command in new)
        self._known.update((row.command_id, row) for row in self._rows(_SQL["by_ids"], ids))
        accepted = [self._accept_one(command) for command in new]
        self._insert_collected()
        return [
            replace(result, outbox=self._account_rows.enqueue(self._connection, command.publications))
            if result.outcome is AcceptOutcome.NEW and command.publications
            else result
            for command, result in zip(new, accepted, strict=True)
        ]

    def _accept_one(self, new: NewCommand) -> AcceptResult:
        redelivery = new.delivery if new.delivery and new.delivery.dup else None
        if redelivery:
            self._insert_collected()
            content = (redelivery.broker_session, redelivery.digest, redelivery.topic)
            same = self._rows(_SQL["same_delivery"], *content, redelivery.packet_id)
            if same:
                return AcceptResult(outcome=AcceptOutcome.SAME_DELIVERY, row=same[0])
        known = self._known.get(storable_text(new.command_id))
        if known:
            return self._accept_repeat(known, new)
        if redelivery and self._rows(_SQL["similar_delivery"], *content):
            new = replace(new, duplicate_possible=True)
        stored = new if new.keeps_replies else replace(new, replies=())
        row = new_row(next(self._new_ids), stored)
        self._known[row.command_id] = row
        values = command_values(stored, self._now)
        self._collected.append((row.id, self._account_rows.account, *values))
        return AcceptResult(outcome=AcceptOutcome.NEW, row=row)

    def _accept_repeat(self, row: CommandRow, new: NewCommand) -> AcceptResult:
        if row.fingerprint != new.fingerprint:
            return AcceptResult(outcome=AcceptOutcome.REUSED, row=row)
        more = tuple(reply for reply in new.replies if reply not in row.replies)
        if more and row.state is CommandState.WAITING:
            self._insert_collected()
            row = self._known[row.command_id] = replace(row, replies=row.replies + more)
            values = (self._account_rows.account, row.id, replies_text(row.replies))
            self._connection.execute(_SQL["set_replies"], values)
        return AcceptResult(outcome=AcceptOutcome.REPEAT, row=row)

    def _insert_collected(self) -> None:
        insert_rows(self._connection, _SQL["add"], self._collected)
        self._collected.clear()

    def _rows(self, statement: str, *arguments: object) -> list[CommandRow]:
        values = (self._account_rows.account, *arguments)
        return [command_row(row) for row in self._connection.named_rows(statement, values)]
