"""MQTT to WeChat: accepted, tried, settled (DESIGN 4.2).

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
from wx2mqtt.store.acceptance import Acceptance
from wx2mqtt.store.command_rows import command_row, result_text
from wx2mqtt.store.encoding import blob_text, listed, storable
from wx2mqtt.store.lane import Lane
from wx2mqtt.store.queries import queries
from wx2mqtt.store.rows import (
    Accepted,
    CommandRow,
    CommandState,
    NewCommand,
    NewPublication,
    Outcome,
    Reply,
)

_SQL = queries("commands")
_LAST = 2**63 - 1  # above every row


class AlreadySettled(Wx2MqttError):
    """This command has its result already, or was never accepted.

    No `StoreError`: the store is well, and trying again is no use.
    """


class Commands(Lane):
    """What one account was asked to send."""

    async def accept(self, new: Sequence[NewCommand]) -> list[Accepted]:
        """Take these in, in order and in one commit; when it returns, the broker may be told so.

        A redelivery of a row is that row; the same id and content is a repeat (whoever else waits for the
        result of an unsettled one is noted); the same id with other content is `reused`, left to the caller.
        """
        accepted = await self._database.write("accept", lambda db: self._accept(db, new))
        for one in new:
            if one.blob is not None:
                self._referred(one.blob)
        return accepted

    async def due(self, limit: int, skip: Collection[PersonId | None] = ()) -> list[CommandRow]:
        """What is not settled, in order, but for the persons `skip`; None skips commands to nobody known."""
        persons = listed(person or 0 for person in skip)
        return await self._read("due", persons, limit)

    async def begin(self, row_id: int) -> None:
        """An attempt begins: to be on the disk before its request is written."""
        await self._mark("begin", row_id)

    async def not_delivered(self, row_id: int) -> None:
        """The attempt certainly did not arrive."""
        await self._mark("not_delivered", row_id)

    async def doubt(self, row_id: int) -> None:
        """The request was written and nobody answered."""
        await self._mark("doubt", row_id)

    async def settle(
        self, row_id: int, result: Result, publications: Sequence[NewPublication], begin: int | None = None
    ) -> None:
        """The end of a command, and what tells of it, in one commit.

        `begin` marks the next command's attempt in the same commit. Raises `AlreadySettled`, and then
        nothing is changed.
        """

        def job(connection: sqlite3.Connection) -> None:
            self._settle(connection, row_id, result, publications)
            if begin is not None:
                self._change(connection, "begin", begin)

        await self._database.write("settle", job)

    async def hold(
        self, rows: Sequence[tuple[int, str, int]], publications: Sequence[NewPublication]
    ) -> None:
        """These wait for a chance: row, why, until when at most (ms); and what tells of it. One commit."""

        def job(connection: sqlite3.Connection) -> None:
            facts = ((self._account, row_id, why, expires) for row_id, why, expires in rows)
            connection.executemany(_SQL["hold"], facts)
            self._publish(connection, publications)

        await self._database.write("hold", job)

    async def part_sent(self, row_id: int, message_id: str) -> None:
        """WeChat took the next part of a long text, under this number or none. Raises `AlreadySettled`."""
        named = f"{message_id} " if message_id else ""
        await self._database.write("part_sent", lambda db: self._change(db, "part_sent", row_id, named))

    async def fallback(self, row_id: int, state: str) -> None:
        """How its other way stands: `begun` before anything goes out there. Raises `AlreadySettled`."""
        await self._database.write("fallback", lambda db: self._change(db, "fallback", row_id, state))

    async def urgent(self) -> list[CommandRow]:
        """What is not settled and may go another way."""
        return await self._read("urgent")

    async def last_codes(self, count: int) -> list[str]:
        """The codes of what was sent last, the newest first."""
        rows = await self._database.read(
            lambda db: db.execute(_SQL["newest_sent"], (self._account, count)).fetchall()
        )
        return [str(json.loads(text)["code"]) for (text,) in rows]

    async def attach(self, row_id: int, blob: Blob) -> None:
        """The file that the command had still to fetch is there. Raises `AlreadySettled`."""
        facts = (blob.sha256, blob_text(blob))
        await self._database.write("attach", lambda db: self._change(db, "attach", row_id, *facts))
        self._referred(blob)

    async def recover(self) -> list[CommandRow]:
        """At start: attempts that were under way become doubts. Returns all that is in doubt."""

        def job(connection: sqlite3.Connection) -> list[CommandRow]:
            connection.execute(_SQL["recover"], (self._account,))
            return _rows(connection, "doubtful", self._account)

        return await self._database.write("recover", job)

    async def unanswered(self, since: int) -> list[CommandRow]:
        """Commands with attempts that nobody answered, if they are not settled or were after `since`."""
        return await self._read("unanswered", since)

    async def sent(self, message_id: str) -> bool:
        """Whether a command got this id from WeChat: then it is no message of somebody else."""
        found = await self._database.read(
            lambda db: db.execute(_SQL["sent"], (self._account, message_id)).fetchone()
        )
        return found is not None

    async def whose(self, message_id: str) -> tuple[str, int] | None:
        """To whom an own message went and when (ms); None when no own message has this id."""
        return await self._database.read(lambda db: self._whose(db, storable(message_id)))

    async def get(self, command_id: str) -> CommandRow | None:
        """The command with this id."""
        rows = await self._read("known", storable(command_id))
        return rows[0] if rows else None

    async def commands(
        self, state: CommandState | str | None = None, limit: int = 100, before: int = _LAST
    ) -> list[CommandRow]:
        """The newest commands first, of one state or all; `before` is the row where the last page ended."""
        statement = "newest" if state is None else f"newest_{CommandState(state)}"
        return await self._read(statement, before, limit)

    async def retry(self, command_id: str, now: int, key: SendKey) -> CommandRow:
        """A settled command that was not sent, once more as `<id>~1`, `~2`, …; its time to live begins anew.

        The result goes where every result goes; response topics had theirs. Raises `BadCommand`.
        """
        return await self._database.write("retry", lambda db: self._retry(db, command_id, now, key))

    async def drop(self, command_id: str, result: Result, publications: Sequence[NewPublication]) -> None:
        """Settle a command because a person says so. Raises `BadCommand`, also while it is being sent."""

        def job(connection: sqlite3.Connection) -> None:
            row = self._known(connection, command_id)
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
        if connection.execute(_SQL[statement], (self._account, row_id, *arguments)).rowcount != 1:
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
        self._publish(connection, publications)

    def _whose(self, connection: sqlite3.Connection, message_id: str) -> tuple[str, int] | None:
        sent = connection.execute(_SQL["whose"], (self._account, message_id)).fetchone()
        if sent:
            return str(json.loads(sent[0])["user"]), int(sent[1])
        written = connection.execute(_SQL["by_key"], (self._account, message_id)).fetchone()
        if written and (json.loads(written[2]).get("sender") or {}).get("self"):
            return str(written[0]), int(written[1])
        return None

    def _accept(self, connection: sqlite3.Connection, new: Sequence[NewCommand]) -> list[Accepted]:
        accepted = Acceptance(connection, self._account, self._now()).take(new)
        fresh = (one for one, what in zip(new, accepted, strict=True) if what.outcome is Outcome.NEW)
        self._publish(connection, chain.from_iterable(one.publications for one in fresh))
        return accepted

    def _known(self, connection: sqlite3.Connection, command_id: str) -> CommandRow:
        rows = _rows(connection, "known", self._account, storable(command_id))
        if not rows:
            raise BadCommand("bad_request", "command_unknown", id=command_id)
        return rows[0]

    def _retry(self, connection: sqlite3.Connection, command_id: str, now: int, key: SendKey) -> CommandRow:
        row = self._known(connection, command_id)
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
        return next(one for one in tries if not _rows(connection, "known", self._account, storable(one)))


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


def _is_own(reply: Reply) -> bool:
    return reply.shape == "result" and reply.correlation is None


def _rows(connection: sqlite3.Connection, statement: str, *arguments: object) -> list[CommandRow]:
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    return [command_row(row) for row in cursor.execute(_SQL[statement], arguments)]
