"""Takes the commands of one commit in, in order: which are new, which repeat something.

Runs inside of a write job. New rows are gathered and written together at the end.

MQTT to WeChat: accepted, tried, settled.

Every command that is in here ends in exactly one result. An attempt is marked before its request is written;
a mark that is still open at start means that nobody knows what became of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import chain, count

from wx2mqtt.errors import BadCommand, Wx2MqttError
from wx2mqtt.model import Blob, PersonId, Result, SendKey, Status
from wx2mqtt.store.command_rows import command_row, command_values, new_row, replies_text, result_text
from wx2mqtt.store.journal_part import JournalPart
from wx2mqtt.store.queries import blob_to_text, insert_rows, json_list, load_queries, storable_text
from wx2mqtt.store.records import (
    AcceptOutcome,
    AcceptResult,
    CommandRow,
    CommandState,
    DeliveryMark,
    NewCommand,
    NewPublication,
    ReplyTarget,
)

_ACCEPTANCE_SQL = load_queries("acceptance")


class CommandAcceptance:
    """One commit of commands for one account."""

    def __init__(self, connection: sqlite3.Connection, account: str, now: int) -> None:
        self._connection = connection
        self._account = account
        self._now = now
        self._next = 1 + sum(number for (number,) in connection.execute(_ACCEPTANCE_SQL["last_row"]))
        self._known: dict[str, CommandRow] = {}
        self._unwritten: list[tuple[object, ...]] = []

    def accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        """What becomes of each; all is written when this returns."""
        ids = json_list(storable_text(one.command_id) for one in new)
        self._known.update((row.command_id, row) for row in self._rows("known", ids))
        accepted = [self._accept_one(one) for one in new]
        self._write()
        return accepted

    def _accept_one(self, new: NewCommand) -> AcceptResult:
        mark = new.delivery if new.delivery and new.delivery.dup else None
        same = self._same_delivery(mark) if mark else None
        if same:
            return AcceptResult(outcome=AcceptOutcome.SAME_DELIVERY, row=same)
        known = self._known.get(storable_text(new.command_id))
        if known:
            return self._accept_repeat(known, new)
        if mark and self._rows("similar_delivery", mark.broker_session, mark.digest, mark.topic):
            new = replace(new, duplicate_possible=True)
        return AcceptResult(outcome=AcceptOutcome.NEW, row=self._add(new))

    def _same_delivery(self, mark: DeliveryMark) -> CommandRow | None:
        self._write()
        rows = self._rows("same_delivery", mark.broker_session, mark.digest, mark.topic, mark.mid)
        return rows[0] if rows else None

    def _accept_repeat(self, row: CommandRow, new: NewCommand) -> AcceptResult:
        if row.fingerprint != new.fingerprint:
            return AcceptResult(outcome=AcceptOutcome.REUSED, row=row)
        more = tuple(reply for reply in new.replies if reply not in row.replies)
        if more and row.state is CommandState.WAITING:
            self._write()
            row = self._known[row.command_id] = replace(row, replies=row.replies + more)
            self._connection.execute(
                _ACCEPTANCE_SQL["replies"], (self._account, row.id, replies_text(row.replies))
            )
        return AcceptResult(outcome=AcceptOutcome.REPEAT, row=row)

    def _add(self, new: NewCommand) -> CommandRow:
        row = new_row(self._next, new)
        self._next += 1
        self._known[row.command_id] = row
        self._unwritten.append((row.id, self._account, *command_values(new, self._now)))
        return row

    def _write(self) -> None:
        insert_rows(self._connection, _ACCEPTANCE_SQL["add"], self._unwritten)
        self._unwritten.clear()

    def _rows(self, statement: str, *arguments: object) -> list[CommandRow]:
        cursor = self._connection.cursor()
        cursor.row_factory = sqlite3.Row
        return [
            command_row(row)
            for row in cursor.execute(_ACCEPTANCE_SQL[statement], (self._account, *arguments))
        ]


_COMMANDS_SQL = load_queries("commands")


_LAST = 2**63 - 1  # above every row


class AlreadySettled(Wx2MqttError):
    """This command has its result already, or was never accepted.

    No `StoreError`: the store is well, and trying again is no use.
    """


class JournaledCommands(JournalPart):
    """What one account was asked to send."""

    async def accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        """Take these in, in order and in one commit; when it returns, the broker may be told so.

        A redelivery of a row is that row; the same id and content is a repeat (whoever else waits for the
        result of an unsettled one is noted); the same id with other content is `reused`, left to the caller.
        """
        accepted = await self._database.write("accept", lambda db: self._accept(db, new))
        for one in new:
            if one.blob is not None:
                self._on_referenced(one.blob)
        return accepted

    async def list_due(self, limit: int, skip: Collection[PersonId | None] = ()) -> list[CommandRow]:
        """What is not settled, in order, but for the persons `skip`; None skips commands to nobody known."""
        persons = json_list(person or 0 for person in skip)
        return await self._read("due", persons, limit)

    async def mark_started(self, row_id: int) -> None:
        """An attempt begins: to be on the disk before its request is written."""
        await self._mark("begin", row_id)

    async def mark_not_delivered(self, row_id: int) -> None:
        """The attempt certainly did not arrive."""
        await self._mark("not_delivered", row_id)

    async def mark_uncertain(self, row_id: int) -> None:
        """The request was written and nobody answered."""
        await self._mark("doubt", row_id)

    async def settle(
        self,
        row_id: int,
        result: Result,
        publications: Sequence[NewPublication],
        next_row_id: int | None = None,
    ) -> None:
        """The end of a command, and what tells of it, in one commit.

        `begin` marks the next command's attempt in the same commit. Raises `AlreadySettled`, and then
        nothing is changed.
        """

        def job(connection: sqlite3.Connection) -> None:
            self._settle(connection, row_id, result, publications)
            if next_row_id is not None:
                self._change(connection, "begin", next_row_id)

        await self._database.write("settle", job)

    async def mark_held(
        self, rows: Sequence[tuple[int, str, int]], publications: Sequence[NewPublication]
    ) -> None:
        """These wait for a chance: row, why, until when at most (ms); and what tells of it. One commit."""

        def job(connection: sqlite3.Connection) -> None:
            facts = ((self._account, row_id, why, expires) for row_id, why, expires in rows)
            connection.executemany(_COMMANDS_SQL["hold"], facts)
            self._enqueue(connection, publications)

        await self._database.write("hold", job)

    async def mark_part_sent(self, row_id: int, message_id: str) -> None:
        """WeChat took the next part of a long text, under this number or none. Raises `AlreadySettled`."""
        named = f"{message_id} " if message_id else ""
        await self._database.write("part_sent", lambda db: self._change(db, "part_sent", row_id, named))

    async def set_fallback_state(self, row_id: int, state: str) -> None:
        """How its other way stands: `begun` before anything goes out there. Raises `AlreadySettled`."""
        await self._database.write("fallback", lambda db: self._change(db, "fallback", row_id, state))

    async def list_urgent(self) -> list[CommandRow]:
        """What is not settled and may go another way."""
        return await self._read("urgent")

    async def last_result_codes(self, count: int) -> list[str]:
        """The codes of what was sent last, the newest first."""
        rows = await self._database.read(
            lambda db: db.execute(_COMMANDS_SQL["newest_sent"], (self._account, count)).fetchall()
        )
        return [str(json.loads(text)["code"]) for (text,) in rows]

    async def attach_file(self, row_id: int, blob: Blob) -> None:
        """The file that the command had still to fetch is there. Raises `AlreadySettled`."""
        facts = (blob.sha256, blob_to_text(blob))
        await self._database.write("attach", lambda db: self._change(db, "attach", row_id, *facts))
        self._on_referenced(blob)

    async def recover_attempts(self) -> list[CommandRow]:
        """At start: attempts that were under way become doubts. Returns all that is in doubt."""

        def job(connection: sqlite3.Connection) -> list[CommandRow]:
            connection.execute(_COMMANDS_SQL["recover"], (self._account,))
            return _rows(connection, "doubtful", self._account)

        return await self._database.write("recover", job)

    async def list_unanswered(self, since: int) -> list[CommandRow]:
        """Commands with attempts that nobody answered, if they are not settled or were after `since`."""
        return await self._read("unanswered", since)

    async def is_sent_message(self, message_id: str) -> bool:
        """Whether a command got this id from WeChat: then it is no message of somebody else."""
        found = await self._database.read(
            lambda db: db.execute(_COMMANDS_SQL["sent"], (self._account, message_id)).fetchone()
        )
        return found is not None

    async def sent_message_target(self, message_id: str) -> tuple[str, int] | None:
        """To whom an own message went and when (ms); None when no own message has this id."""
        return await self._database.read(lambda db: self._sent_message_target(db, storable_text(message_id)))

    async def get_command(self, command_id: str) -> CommandRow | None:
        """The command with this id."""
        rows = await self._read("known", storable_text(command_id))
        return rows[0] if rows else None

    async def list_commands(
        self, state: CommandState | str | None = None, limit: int = 100, before: int = _LAST
    ) -> list[CommandRow]:
        """The newest commands first, of one state or all; `before` is the row where the last page ended."""
        statement = "newest" if state is None else f"newest_{CommandState(state)}"
        return await self._read(statement, before, limit)

    async def retry_command(self, command_id: str, now: int, key: SendKey) -> CommandRow:
        """A settled command that was not sent, once more as `<id>~1`, `~2`, …; its time to live begins anew.

        The result goes where every result goes; response topics had theirs. Raises `BadCommand`.
        """
        return await self._database.write("retry", lambda db: self._retry(db, command_id, now, key))

    async def drop_command(
        self, command_id: str, result: Result, publications: Sequence[NewPublication]
    ) -> None:
        """Settle a command because a person says so. Raises `BadCommand`, also while it is being sent."""

        def job(connection: sqlite3.Connection) -> None:
            row = self._require_command(connection, command_id)
            if row.state is CommandState.SETTLED:
                raise BadCommand("bad_request", "command_settled", id=command_id)
            if row.open:
                raise BadCommand("bad_request", "command_in_flight", id=command_id)
            self._settle(connection, row.id, result, publications)

        await self._database.write("drop", job)

    async def _read(self, statement: str, *arguments: object) -> list[CommandRow]:
        return await self._database.read(lambda db: _rows(db, statement, self._account, *arguments))

    async def _mark(self, statement: str, row_id: int) -> None:
        await self._database.write(statement, lambda db: self._change(db, statement, row_id))

    def _change(
        self, connection: sqlite3.Connection, statement: str, row_id: int, *arguments: object
    ) -> None:
        if connection.execute(_COMMANDS_SQL[statement], (self._account, row_id, *arguments)).rowcount != 1:
            raise AlreadySettled

    def _settle(
        self,
        connection: sqlite3.Connection,
        row_id: int,
        result: Result,
        publications: Iterable[NewPublication],
    ) -> None:
        facts = (self._now(), str(result.status), result.message_id, result_text(result))
        self._change(connection, "settle", row_id, *facts)
        self._enqueue(connection, publications)

    def _sent_message_target(self, connection: sqlite3.Connection, message_id: str) -> tuple[str, int] | None:
        sent = connection.execute(_COMMANDS_SQL["whose"], (self._account, message_id)).fetchone()
        if sent:
            return str(json.loads(sent[0])["user"]), int(sent[1])
        written = connection.execute(_COMMANDS_SQL["by_key"], (self._account, message_id)).fetchone()
        if written and (json.loads(written[2]).get("sender") or {}).get("self"):
            return str(written[0]), int(written[1])
        return None

    def _accept(self, connection: sqlite3.Connection, new: Sequence[NewCommand]) -> list[AcceptResult]:
        accepted = CommandAcceptance(connection, self._account, self._now()).accept(new)
        fresh = (one for one, what in zip(new, accepted, strict=True) if what.outcome is AcceptOutcome.NEW)
        self._enqueue(connection, chain.from_iterable(one.publications for one in fresh))
        return accepted

    def _require_command(self, connection: sqlite3.Connection, command_id: str) -> CommandRow:
        rows = _rows(connection, "known", self._account, storable_text(command_id))
        if not rows:
            raise BadCommand("bad_request", "command_unknown", id=command_id)
        return rows[0]

    def _retry(self, connection: sqlite3.Connection, command_id: str, now: int, key: SendKey) -> CommandRow:
        row = self._require_command(connection, command_id)
        if row.result is None:
            raise BadCommand("bad_request", "command_waits", id=command_id)
        if row.result.status is Status.SENT:
            raise BadCommand("bad_request", "command_sent", id=command_id)
        new = _once_more(row, self._free_id(connection, command_id), now, key)
        (accepted,) = self._accept(connection, [new])
        assert accepted.row is not None
        return accepted.row

    def _free_id(self, connection: sqlite3.Connection, command_id: str) -> str:
        tries = (f"{command_id}~{number}" for number in count(1))
        return next(one for one in tries if not _rows(connection, "known", self._account, storable_text(one)))


def _once_more(row: CommandRow, command_id: str, now: int, key: SendKey) -> NewCommand:
    return NewCommand(
        command=replace(row.command, id=command_id),
        command_id=command_id,
        fingerprint=row.fingerprint,
        person=row.person,
        key=key,
        accepted=now,
        expires=None if row.expires is None else now + row.expires - row.accepted,
        replies=tuple(reply for reply in row.replies if _is_own(reply)),
        blob=row.blob,
    )


def _is_own(reply: ReplyTarget) -> bool:
    return reply.shape == "result" and reply.correlation is None


def _rows(connection: sqlite3.Connection, statement: str, *arguments: object) -> list[CommandRow]:
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    return [command_row(row) for row in cursor.execute(_COMMANDS_SQL[statement], arguments)]
