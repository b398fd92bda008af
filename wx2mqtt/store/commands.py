"""MQTT to WeChat: commands are accepted, attempted and finished. Each ends in exactly one result.

    accept              the command waits
    begin_attempt       an attempt is open: only now its request may be written
    end_undelivered     it ended, and the message certainly did not arrive: the command waits for the next one
    end_unanswered      it ended, and the message perhaps arrived: whoever repeats it may send it twice
    finish              the command has its result

An attempt that is still open at start has no answer either (`recover_attempts`). `begin_combined` makes one
message of several texts. A long text and a captioned file have parts: `end_part_sent`, `end_part_lost`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count

from wx2mqtt.errors import BadCommand, Wx2MqttError
from wx2mqtt.model import Blob, Result, SendKey, Status
from wx2mqtt.store.column_values import blob_to_text
from wx2mqtt.store.command_acceptance import CommandAcceptance
from wx2mqtt.store.command_records import (
    LOST_PART,
    AcceptResult,
    CommandRow,
    CommandState,
    NewCommand,
    result_text,
)
from wx2mqtt.store.database import Connection
from wx2mqtt.store.outbox import AccountRows
from wx2mqtt.store.question_records import NewQuestion
from wx2mqtt.store.questions import (
    end_question,
    forget_undelivered_question,
    open_question,
    start_answer_time,
    start_answer_times,
)
from wx2mqtt.store.records import NewPublication, OutboxBatch
from wx2mqtt.store.statements import Statement
from wx2mqtt.store.stored_commands import StoredCommands, find_command, read_commands


class AlreadyFinished(Wx2MqttError):
    """This command has its result already, or was never accepted.

    This is no `StoreError`: the store works, and a retry would fail again.
    """


class JournaledCommands(StoredCommands):
    """The commands of one account. A method that takes publications returns their rows."""

    async def accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        """Stores new commands, in order and in one commit; afterwards the deliveries may be acknowledged.

        `AcceptOutcome` says what becomes of each. A new command with `starts` begins as by `begin_attempt`.
        """
        accepted = await self._database.write(
            "accept", lambda db: CommandAcceptance(db, self._rows).accept(new)
        )
        for command in new:
            if command.blob is not None:
                self._rows.on_referenced(command.blob)
        return accepted

    async def begin_attempt(self, row_id: int, question: NewQuestion | None = None) -> None:
        """Begins an attempt at a command, or at the combined message that it leads.

        The same commit opens the question of a command with buttons. Call this before the request is written.
        """

        def job(connection: Connection) -> None:
            self._change_row(connection, _START_ATTEMPT, row_id)
            if question is not None:
                open_question(connection, self._rows, row_id, question)

        await self._database.write("begin", job)

    async def begin_combined(self, row_ids: Sequence[int], heading: NewCommand | None) -> list[CommandRow]:
        """Makes one message of several commands and begins an attempt at it, in one commit.

        The heading is stored with it and leads it; without one the first command does. Returns the rows of
        the message in the order of its text. Raises `AlreadyFinished`, and then nothing is changed.
        """

        def job(connection: Connection) -> list[CommandRow]:
            members = [*row_ids]
            if heading is not None:
                members.insert(0, self._accept_own(connection, heading).id)
            leader = members[0]
            for position, row_id in enumerate(members):
                self._change_row(connection, _ADD_TO_BUNDLE, row_id, leader, position)
            self._change_row(connection, _START_ATTEMPT, leader)
            return read_commands(connection, _BUNDLE_MEMBERS, self._account, leader)

        return await self._database.write("bundle", job)

    async def end_undelivered(
        self, row_id: int, *, is_heading: bool = False, is_question: bool = False
    ) -> None:
        """Ends an attempt whose message certainly did not arrive.

        Where no earlier attempt is in doubt, nobody got anything: the combined message is given up with its
        heading, and the question of a command with buttons is forgotten.
        """

        def job(connection: Connection) -> None:
            self._change_row(connection, _MARK_NOT_DELIVERED, row_id)
            if is_heading:
                connection.execute(_REMOVE_HEADING, (self._account, row_id))
            if is_question:
                forget_undelivered_question(connection, self._rows, row_id)

        await self._database.write("not_delivered", job)

    async def end_unanswered(self, row_id: int, *, is_question: bool = False) -> None:
        """Ends an attempt, also one at a combined message, whose request was written and got no answer."""

        def job(connection: Connection) -> None:
            self._change_row(connection, _MARK_UNCERTAIN, row_id)
            if is_question:
                start_answer_time(connection, self._rows, row_id)

        await self._database.write("doubt", job)

    async def finish(
        self,
        row_id: int,
        result: Result,
        publications: Sequence[NewPublication],
        next_row_id: int | None = None,
        others: Sequence[tuple[int, Result]] = (),
        *,
        is_question: bool = False,
    ) -> OutboxBatch:
        """Stores the result of a command and enqueues its publications, in one commit.

        `others` are the other commands of its combined message with their results. The same commit begins an
        attempt at the command `next_row_id`, which is no question. Raises `AlreadyFinished`, and then nothing
        is changed.
        """

        def job(connection: Connection) -> OutboxBatch:
            for other_id, other_result in others:
                finish_command(connection, self._rows, other_id, other_result)
            stored = finish_command(connection, self._rows, row_id, result, publications)
            if is_question:
                end_question(connection, self._rows, row_id, result)
            if next_row_id is not None:
                self._change_row(connection, _START_ATTEMPT, next_row_id)
            return stored

        return await self._database.write("finish", job)

    async def wait_for_window(
        self, rows: Sequence[tuple[int, str, int]], publications: Sequence[NewPublication]
    ) -> OutboxBatch:
        """Lets commands wait for the window: row id, reason, expiry in ms. Enqueues the publications."""

        def job(connection: Connection) -> OutboxBatch:
            values = ((self._account, row_id, why, expires) for row_id, why, expires in rows)
            connection.executemany(_WAIT_FOR_WINDOW, values)
            return self._rows.enqueue(connection, publications)

        return await self._database.write("hold", job)

    async def end_part_sent(self, row_id: int, message_id: str) -> None:
        """Stores that the next part of a text was sent, with an id or none. Raises `AlreadyFinished`."""
        part_id = f"{message_id} " if message_id else ""  # the column has a blank behind each id
        await self._change("part_sent", _MARK_PART_SENT, row_id, part_id)

    async def end_part_lost(self, row_id: int, *, is_uncertain: bool) -> None:
        """Stores that the next part of a caption is not tried again, though it perhaps did not arrive.

        Raises `AlreadyFinished`.
        """
        await self._change("part_lost", _MARK_PART_LOST, row_id, f"{LOST_PART} ", int(is_uncertain))

    async def set_fallback_states(self, states: Mapping[int, str]) -> dict[int, str]:
        """Stores states of the fallback by row id, `begun` before anything is sent; one that has ended stays.

        Returns the states before, without those of commands that have their result already.
        """

        def job(connection: Connection) -> dict[int, str]:
            before: dict[int, str] = {}
            for row_id, state in states.items():
                row = connection.execute(_READ_FALLBACK_STATE, (self._account, row_id)).fetchone()
                if connection.execute(_SET_FALLBACK_STATE, (self._account, row_id, state)).rowcount:
                    before[row_id] = str(row[0])
            return before

        return await self._database.write("fallback", job)

    async def attach_file(self, row_id: int, blob: Blob) -> None:
        """Attaches the file that a command had to fetch by URL. Raises `AlreadyFinished`."""
        await self._change("attach", _ATTACH_FILE, row_id, blob.sha256, blob_to_text(blob))
        self._rows.on_referenced(blob)

    async def recover_attempts(self) -> list[CommandRow]:
        """At start: makes interrupted attempts uncertain; returns all commands with an uncertain attempt."""

        def job(connection: Connection) -> list[CommandRow]:
            connection.execute(_RECOVER_ATTEMPTS, (self._account,))
            start_answer_times(connection, self._rows)
            return read_commands(connection, _IN_DOUBT, self._account)

        return await self._database.write("recover", job)

    async def retry(self, command_id: str, now: int, key: SendKey) -> CommandRow:
        """Accepts once more a finished command that was not sent, as `<id>~1`, `~2`, …

        Its time to live starts again. The result is published on the result topic only: response topics got
        theirs. Raises `BadCommand`.
        """
        return await self._database.write("retry", lambda db: self._retry(db, command_id, now, key))

    async def drop(
        self, command_id: str, result: Result, publications: Sequence[NewPublication]
    ) -> OutboxBatch:
        """Finishes a command by the owner's decision.

        Raises `BadCommand`, also while it is being sent.
        """

        def job(connection: Connection) -> OutboxBatch:
            row = self._require_command(connection, command_id)
            if row.state is CommandState.FINISHED:
                raise BadCommand("bad_request", "command_settled", id=command_id)
            if row.attempt_open or row.leader is not None:  # a combined message is repeated as it was
                raise BadCommand("bad_request", "command_in_flight", id=command_id)
            if row.command.buttons:
                end_question(connection, self._rows, row.id, result)
            return finish_command(connection, self._rows, row.id, result, publications)

        return await self._database.write("drop", job)

    async def _change(self, commit_point: str, statement: str, row_id: int, *values: object) -> None:
        """Changes a waiting command in a commit of its own. Raises `AlreadyFinished`."""
        await self._database.write(commit_point, lambda db: self._change_row(db, statement, row_id, *values))

    def _change_row(self, connection: Connection, statement: str, row_id: int, *values: object) -> None:
        if not connection.execute(statement, (self._account, row_id, *values)).rowcount:
            raise AlreadyFinished

    def _require_command(self, connection: Connection, command_id: str) -> CommandRow:
        row = find_command(connection, self._account, command_id)
        if row is None:
            raise BadCommand("bad_request", "command_unknown", id=command_id)
        return row

    def _retry(self, connection: Connection, command_id: str, now: int, key: SendKey) -> CommandRow:
        row = self._require_command(connection, command_id)
        if row.result is None:
            raise BadCommand("bad_request", "command_waits", id=command_id)
        if row.result.status is Status.SENT:
            raise BadCommand("bad_request", "command_sent", id=command_id)
        if row.fallback_of:
            raise BadCommand("bad_request", "command_fallback", id=command_id, account=row.fallback_of)
        for number in count(1):
            new_id = f"{command_id}~{number}"
            if find_command(connection, self._account, new_id) is None:
                break
        new = NewCommand(
            command=replace(row.command, id=new_id, remarks=()),
            command_id=new_id,
            fingerprint=row.fingerprint,
            person=row.person,
            key=key,
            accepted=now,
            expires=None if row.expires is None else now + row.expires - row.accepted,
            replies=tuple(
                reply for reply in row.replies if reply.shape == "result" and reply.correlation is None
            ),
            blob=row.blob,
        )
        return self._accept_own(connection, new)

    def _accept_own(self, connection: Connection, new: NewCommand) -> CommandRow:
        """Accepts a command whose id is new."""
        (accepted,) = CommandAcceptance(connection, self._rows).accept([new])
        assert accepted.row is not None
        return accepted.row


def finish_command(
    connection: Connection,
    rows: AccountRows,
    row_id: int,
    result: Result,
    publications: Iterable[NewPublication] = (),
) -> OutboxBatch:
    """Stores the result of a command and enqueues its publications, as a part of a write job.

    Raises `AlreadyFinished`, and then nothing is changed.
    """
    values = (rows.account, row_id, rows.now(), str(result.status), result.message_id, result_text(result))
    if not connection.execute(_FINISH, values).rowcount:
        raise AlreadyFinished
    return rows.enqueue(connection, publications)


# Statements

# In the tables a combined message is called `bundle`.

# Marks an attempt at the command ?2, or at the bundle that it leads.
_START_ATTEMPT = Statement("""
    UPDATE command SET open = 1, attempts = attempts + 1
    WHERE id IN (SELECT ?2 UNION ALL SELECT id FROM command WHERE account = ?1 AND bundle = ?2)
        AND account = ?1 AND status IS NULL
""")

# Makes a command the one at position ?4 of the bundle that ?3 leads.
_ADD_TO_BUNDLE = Statement("""
    UPDATE command SET bundle = ?3, bundle_position = ?4
    WHERE account = ?1 AND id = ?2 AND bundle IS NULL AND status IS NULL
""")

# The commands of the bundle that ?2 leads, in the order of its text.
_BUNDLE_MEMBERS = Statement("""
    SELECT * FROM command WHERE account = ?1 AND bundle = ?2 AND status IS NULL ORDER BY bundle_position
""")

# A bundle of which no attempt is in doubt is given up: its commands wait on their own again.
_MARK_NOT_DELIVERED = Statement("""
    UPDATE command SET
        open = 0,
        bundle = CASE WHEN unknown > 0 THEN bundle END,
        bundle_position = CASE WHEN unknown > 0 THEN bundle_position ELSE 0 END
    WHERE id IN (SELECT ?2 UNION ALL SELECT id FROM command WHERE account = ?1 AND bundle = ?2)
        AND account = ?1 AND status IS NULL
""")

# Removes the bridge's own heading ?2, whose bundle was given up.
_REMOVE_HEADING = Statement("""
    DELETE FROM command WHERE account = ?1 AND id = ?2 AND bundle IS NULL AND status IS NULL
""")

_MARK_UNCERTAIN = Statement("""
    UPDATE command SET open = 0, unknown = unknown + 1, duplicate_possible = 1
    WHERE id IN (SELECT ?2 UNION ALL SELECT id FROM command WHERE account = ?1 AND bundle = ?2)
        AND account = ?1 AND status IS NULL
""")

# Holds a command until it can be sent, at most until ?4.
_WAIT_FOR_WINDOW = Statement("""
    UPDATE command SET held = ?3, expires = ?4 WHERE account = ?1 AND id = ?2 AND status IS NULL
""")

# One part of a long text or of a caption was sent, as the message ?3. The counter of unanswered attempts
# starts anew for the next part.
_MARK_PART_SENT = Statement("""
    UPDATE command SET open = 0, unknown = 0, parts_sent = parts_sent + 1, part_ids = part_ids || ?3
    WHERE account = ?1 AND id = ?2 AND status IS NULL
""")

# One part of a caption, which perhaps did not arrive, is not tried again: ?3 stands for its message.
_MARK_PART_LOST = Statement("""
    UPDATE command SET open = 0, unknown = 0, parts_sent = parts_sent + 1, part_ids = part_ids || ?3,
        duplicate_possible = CASE WHEN ?4 = 1 THEN 1 ELSE duplicate_possible END
    WHERE account = ?1 AND id = ?2 AND status IS NULL
""")

_READ_FALLBACK_STATE = Statement("SELECT fallback FROM command WHERE account = ? AND id = ?")

# Of a fallback that has ended the state stays.
_SET_FALLBACK_STATE = Statement("""
    UPDATE command SET fallback = CASE WHEN fallback IN ('', 'begun') THEN ?3 ELSE fallback END
    WHERE account = ?1 AND id = ?2 AND status IS NULL
""")

# Attaches the file that the command had to fetch by URL.
_ATTACH_FILE = Statement("""
    UPDATE command SET sha256 = ?3, blob = ?4 WHERE account = ?1 AND id = ?2 AND status IS NULL
""")

# Attempts that were in progress when the process ended become uncertain.
_RECOVER_ATTEMPTS = Statement("""
    UPDATE command SET open = 0, unknown = unknown + 1, duplicate_possible = 1
    WHERE account = ? AND open = 1 AND status IS NULL
""")

_IN_DOUBT = Statement("""
    SELECT * FROM command WHERE account = ? AND status IS NULL AND unknown > 0 ORDER BY id
""")

_FINISH = Statement("""
    UPDATE command SET open = 0, settled = ?3, status = ?4, message_id = ?5, result = ?6
    WHERE account = ?1 AND id = ?2 AND status IS NULL
""")
