"""MQTT to WeChat: commands are accepted, attempted and finished.

Every accepted command ends in exactly one result. The begin of an attempt is stored before its request is
written; one that is still open at start means that the outcome of the attempt is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count

from wx2mqtt.errors import BadCommand, Wx2MqttError
from wx2mqtt.model import Blob, PersonId, Result, SendKey, Status
from wx2mqtt.store.command_records import (
    LOST_PART,
    AcceptOutcome,
    AcceptResult,
    CommandRow,
    CommandState,
    NewCommand,
    Recipient,
    command_row,
    command_values,
    new_row,
    replies_text,
    result_text,
)
from wx2mqtt.store.database import Connection, json_list
from wx2mqtt.store.outbox import AccountRows, JournalPart
from wx2mqtt.store.people import forget_people
from wx2mqtt.store.queries import blob_to_text, insert_rows, load_queries, storable_text
from wx2mqtt.store.question_records import NewQuestion
from wx2mqtt.store.questions import end_question, give_up_questions, open_question, take_question_back
from wx2mqtt.store.records import NOTHING_SAID, NamedOwner, NewPublication, OutboxBatch, read_owners

_SQL = load_queries("commands")
_MAX_ROW_ID = 2**63 - 1
_PAGE_STATEMENTS: Mapping[CommandState | None, str] = {
    None: _SQL["newest"],
    CommandState.WAITING: _SQL["newest_waiting"],
    CommandState.FINISHED: _SQL["newest_finished"],
}


# Returns the result of a waiting command that is not to be sent, and the publications of that.
FinishWaiting = Callable[[CommandRow], tuple[Result, Sequence[NewPublication]]]


class AlreadyFinished(Wx2MqttError):
    """This command has its result already, or was never accepted.

    This is no `StoreError`: the store works, and a retry would fail again.
    """


class JournaledCommands(JournalPart):
    """The commands of one account. A method that takes publications returns their rows."""

    async def accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        """Stores new commands, in order and in one commit; afterwards the deliveries may be acknowledged.

        `AcceptOutcome` says what becomes of each. A new command with `starts` begins as by `begin_attempt`.
        """
        accepted = await self._database.write("accept", lambda db: _Acceptance(db, self._rows).accept(new))
        for command in new:
            if command.blob is not None:
                self._rows.on_referenced(command.blob)
        return accepted

    async def list_due(self, limit: int, skip: Collection[Recipient] = ()) -> list[CommandRow]:
        """Returns waiting commands in order, without those to the recipients `skip`."""
        return await self._read(_SQL["due"], json_list(skip), limit)

    async def begin_attempt(self, row_id: int, question: NewQuestion | None = None) -> None:
        """Begins an attempt at a command, or at the combined message that it leads.

        The same commit opens the question of a command with buttons. Call this before the request is written.
        """

        def job(connection: Connection) -> None:
            self._change_row(connection, _SQL["start_attempt"], row_id)
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
            for position, row_id in enumerate(members):
                self._change_row(connection, _SQL["add_to_bundle"], row_id, members[0], position)
            self._change_row(connection, _SQL["start_attempt"], members[0])
            return _rows(connection, _SQL["bundle"], self._account, members[0])

        return await self._database.write("bundle", job)

    async def end_undelivered(
        self, row_id: int, *, is_heading: bool = False, is_question: bool = False
    ) -> None:
        """Ends an attempt that certainly did not arrive.

        Its combined message is given up if no attempt is in doubt; a heading is then removed with it. So is
        the question of a command with buttons: nothing was asked.
        """

        def job(connection: Connection) -> None:
            self._change_row(connection, _SQL["mark_not_delivered"], row_id)
            if is_heading:
                connection.execute(_SQL["remove_heading"], (self._account, row_id))
            if is_question:
                take_question_back(connection, self._rows, row_id)

        await self._database.write("not_delivered", job)

    async def end_unanswered(self, row_id: int) -> None:
        """Ends an attempt, also one at a combined message, whose request was written and got no answer."""
        await self._change("doubt", _SQL["mark_uncertain"], row_id)

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
                self._finish(connection, other_id, other_result, ())
            stored = self._finish(connection, row_id, result, publications)
            if is_question:
                end_question(connection, self._rows, row_id, result)
            if next_row_id is not None:
                self._change_row(connection, _SQL["start_attempt"], next_row_id)
            return stored

        return await self._database.write("finish", job)

    async def wait_for_window(
        self, rows: Sequence[tuple[int, str, int]], publications: Sequence[NewPublication]
    ) -> OutboxBatch:
        """Lets commands wait for the window: row id, reason, expiry in ms. Enqueues the publications."""

        def job(connection: Connection) -> OutboxBatch:
            values = ((self._account, row_id, why, expires) for row_id, why, expires in rows)
            connection.executemany(_SQL["hold"], values)
            return self._rows.enqueue(connection, publications)

        return await self._database.write("hold", job)

    async def end_part_sent(self, row_id: int, message_id: str) -> None:
        """Stores that the next part of a text was sent, with an id or none. Raises `AlreadyFinished`."""
        part_id = f"{message_id} " if message_id else ""
        await self._change("part_sent", _SQL["mark_part_sent"], row_id, part_id)

    async def end_part_lost(self, row_id: int, *, is_uncertain: bool) -> None:
        """Stores that the next part of a caption is not tried again, though it perhaps did not arrive.

        Raises `AlreadyFinished`.
        """
        await self._change("part_lost", _SQL["mark_part_lost"], row_id, f"{LOST_PART} ", int(is_uncertain))

    async def set_fallback_states(self, states: Mapping[int, str]) -> dict[int, str]:
        """Stores states of the fallback by row id, `begun` before anything is sent; one that has ended stays.

        Returns the states before, without those of commands that have their result already.
        """

        def job(connection: Connection) -> dict[int, str]:
            before: dict[int, str] = {}
            for row_id, state in states.items():
                row = connection.execute(_SQL["fallback"], (self._account, row_id)).fetchone()
                if connection.execute(_SQL["set_fallback"], (self._account, row_id, state)).rowcount:
                    before[row_id] = str(row[0])
            return before

        return await self._database.write("fallback", job)

    async def list_urgent(self) -> list[CommandRow]:
        """Returns waiting commands that may go out by the fallback service."""
        return await self._read(_SQL["urgent"])

    async def count_waiting_of(self, sender: str) -> int:
        """Returns how many commands of a program that sends over HTTP have no result yet."""
        ((count,),) = await self._fetch(_SQL["count_waiting_of"], sender)
        return int(count)

    async def list_with_content(self, sender: str, content: str, since: int) -> list[CommandRow]:
        """Returns the commands of a webhook, accepted after `since` (ms), the newest first."""
        return await self._read(_SQL["with_content"], since, sender, content)

    async def last_command_for(self, person: PersonId, level: str) -> int | None:
        """Returns when somebody's last command to a person was accepted; `level` is their topic name."""
        rows = await self._fetch(_SQL["last_for"], person, storable_text(level))
        return int(rows[0][0]) if rows else None

    async def last_result_codes(self, count: int) -> list[str]:
        """Returns the result codes of the commands that were sent last, the newest first."""
        rows = await self._fetch(_SQL["newest_results"], count)
        return [str(json.loads(text)["code"]) for (text,) in rows]

    async def attach_file(self, row_id: int, blob: Blob) -> None:
        """Attaches the file that a command had to fetch by URL. Raises `AlreadyFinished`."""
        await self._change("attach", _SQL["attach_file"], row_id, blob.sha256, blob_to_text(blob))
        self._rows.on_referenced(blob)

    async def recover_attempts(self) -> list[CommandRow]:
        """At start: makes interrupted attempts uncertain; returns all commands with an uncertain attempt."""

        def job(connection: Connection) -> list[CommandRow]:
            connection.execute(_SQL["recover_attempts"], (self._account,))
            return _rows(connection, _SQL["in_doubt"], self._account)

        return await self._database.write("recover", job)

    async def list_unanswered(self, since: int) -> list[CommandRow]:
        """Returns commands with an unanswered attempt: waiting, or finished after `since` (ms).

        Among them are those whose caption perhaps did not arrive, before their file.
        """
        rows = await self._read(_SQL["unanswered"], since)
        return [row for row in rows if row.unanswered or row.parts_lost]

    async def list_attempted(self, since: int) -> list[CommandRow]:
        """Returns commands with an attempt: waiting, or finished after `since` (ms)."""
        return await self._read(_SQL["attempted"], since)

    async def is_sent_message(self, message_id: str) -> bool:
        """Returns whether WeChat gave this id to the message of a command."""
        return bool(await self._fetch(_SQL["is_sent_message"], message_id))

    async def sent_message_target(self, message_id: str) -> tuple[str, int] | None:
        """Returns the recipient's topic name and the time (ms) of an own message; None if it is unknown."""
        sent = await self._fetch(_SQL["sent_command"], storable_text(message_id))
        if sent:
            command, settled = sent[0]
            return str(json.loads(command)["user"]), int(settled)
        for user, time, payload in await self._fetch(_SQL["message_by_key"], storable_text(message_id)):
            if (json.loads(payload).get("sender") or {}).get("self"):
                return str(user), int(time)
        return None

    async def get(self, command_id: str) -> CommandRow | None:
        rows = await self._read(_SQL["by_id"], storable_text(command_id))
        return rows[0] if rows else None

    async def list_page(
        self, state: CommandState | str | None = None, limit: int = 100, before: int = _MAX_ROW_ID
    ) -> list[CommandRow]:
        """Returns a page of commands, the newest first, with row ids below `before`; of one state, or all."""
        statement = _PAGE_STATEMENTS[None if state is None else CommandState(state)]
        return await self._read(statement, before, limit)

    async def list_unsent(self, limit: int) -> list[CommandRow]:
        """Returns commands that ended in anything but `sent`, those that ended last first."""
        return await self._read(_SQL["newest_unsent"], limit)

    async def list_failing_users(self, since: int, limit: int) -> list[tuple[str, int]]:
        """Returns the users whose last command that ended after `since` (ms) was not sent, and when.

        Those that failed last, in this order. Texts of the bridge's own do not count.
        """
        rows = await self._fetch(_SQL["failing_users"], since, limit)
        return [(str(user), int(failed_at)) for user, failed_at in rows]

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
            return self._finish(connection, row.id, result, publications)

        return await self._database.write("drop", job)

    async def set_owner(self, backend: str, owner_id: str, named: NamedOwner = NOTHING_SAID) -> None:
        """Stores the WeChat account to which the store belongs; waiting commands stay."""
        await self._database.write("owner", lambda db: self._set_owner(db, backend, owner_id, named))

    async def change_owner(
        self,
        backend: str,
        owner_id: str,
        finish: FinishWaiting,
        named: NamedOwner = NOTHING_SAID,
        *,
        forgets_people: bool = False,
    ) -> tuple[list[CommandRow], OutboxBatch]:
        """Stores another account in place of the previous one, and finishes all waiting commands.

        Both are one commit, which forgets all questions as well, and with `forgets_people` everybody whom the
        previous owner knew: nothing of them is left for the new one. `finish` runs in the writer thread.
        Returns the finished commands and the rows of their publications.
        """

        def job(connection: Connection) -> tuple[list[CommandRow], OutboxBatch]:
            self._set_owner(connection, backend, owner_id, named)
            give_up_questions(connection, self._rows)
            if forgets_people:
                forget_people(connection, self._account)
            finished: list[CommandRow] = []
            publications: list[NewPublication] = []
            for (row_id,) in connection.execute(_SQL["waiting_ids"], (self._account,)).fetchall():
                (row,) = _rows(connection, _SQL["by_row_id"], self._account, row_id)
                result, more = finish(row)
                self._finish(connection, row.id, result, ())
                publications += more
                finished.append(replace(row, state=CommandState.FINISHED, result=result))
            return finished, self._rows.enqueue(connection, publications)

        return await self._database.write("change_owner", job)

    def _set_owner(self, connection: Connection, backend: str, owner_id: str, named: NamedOwner) -> None:
        (stored,) = connection.execute(_SQL["owner"], (self._account,)).fetchone()
        owners = read_owners(stored).with_owner(backend, owner_id, named)
        connection.execute(_SQL["set_owner"], (self._account, storable_text(owners.to_json())))

    async def _read(self, statement: str, *arguments: object) -> list[CommandRow]:
        return await self._database.read(lambda db: _rows(db, statement, self._account, *arguments))

    async def _change(self, commit_point: str, statement: str, row_id: int, *values: object) -> None:
        """Changes a waiting command in a commit of its own. Raises `AlreadyFinished`."""
        await self._database.write(commit_point, lambda db: self._change_row(db, statement, row_id, *values))

    def _change_row(self, connection: Connection, statement: str, row_id: int, *values: object) -> None:
        if not connection.execute(statement, (self._account, row_id, *values)).rowcount:
            raise AlreadyFinished

    def _finish(
        self, connection: Connection, row_id: int, result: Result, publications: Iterable[NewPublication]
    ) -> OutboxBatch:
        values = (self._rows.now(), str(result.status), result.message_id, result_text(result))
        self._change_row(connection, _SQL["finish"], row_id, *values)
        return self._rows.enqueue(connection, publications)

    def _require_command(self, connection: Connection, command_id: str) -> CommandRow:
        rows = _rows(connection, _SQL["by_id"], self._account, storable_text(command_id))
        if not rows:
            raise BadCommand("bad_request", "command_unknown", id=command_id)
        return rows[0]

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
            if not _rows(connection, _SQL["by_id"], self._account, storable_text(new_id)):
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
        (accepted,) = _Acceptance(connection, self._rows).accept([new])
        assert accepted.row is not None
        return accepted.row


class _Acceptance:
    """Accepts the commands of one commit. Runs inside of a write job.

    1. a delivery that the broker repeats finds its row
    2. a command whose id is known is a repeat, or uses the id again
    3. any other one gets a row, and with a result its publications

    New rows are collected and inserted together: at the end, or before a statement that must see them.
    """

    def __init__(self, connection: Connection, rows: AccountRows) -> None:
        self._connection = connection
        self._account = rows.account
        self._enqueue = partial(rows.enqueue, connection)
        self._now = rows.now()
        self._new_ids: Iterator[int] = iter(())
        self._known: dict[str, CommandRow] = {}
        self._collected: list[tuple[object, ...]] = []

    def accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        """Returns the outcome of each command; all rows are inserted when this returns."""
        new_ids = self._connection.execute(_SQL["new_ids"], (len(new),)).fetchall()
        self._new_ids = (row_id for (row_id,) in new_ids)
        ids = json_list(storable_text(command.command_id) for command in new)
        self._known.update((row.command_id, row) for row in self._read(_SQL["by_ids"], ids))
        accepted = [self._accept_one(command) for command in new]
        self._insert_collected()
        return [
            replace(result, outbox=self._enqueue(command.publications))
            if result.outcome is AcceptOutcome.NEW and command.publications
            else result
            for command, result in zip(new, accepted, strict=True)
        ]

    def _accept_one(self, new: NewCommand) -> AcceptResult:
        redelivery = new.delivery if new.delivery and new.delivery.dup else None
        if redelivery:
            self._insert_collected()
            content = (redelivery.broker_session, redelivery.digest, redelivery.topic)
            same = self._read(_SQL["same_delivery"], *content, redelivery.packet_id)
            if same:
                return AcceptResult(outcome=AcceptOutcome.SAME_DELIVERY, row=same[0])
        known = self._known.get(storable_text(new.command_id))
        if known:
            return self._accept_repeat(known, new)
        if redelivery and self._read(_SQL["similar_delivery"], *content):
            new = replace(new, duplicate_possible=True)
        stored = new if new.keeps_replies else replace(new, replies=())
        row = new_row(next(self._new_ids), stored)
        self._known[row.command_id] = row
        values = command_values(stored, self._now)
        self._collected.append((row.id, self._account, *values))
        return AcceptResult(outcome=AcceptOutcome.NEW, row=row)

    def _accept_repeat(self, row: CommandRow, new: NewCommand) -> AcceptResult:
        if row.fingerprint != new.fingerprint:
            return AcceptResult(outcome=AcceptOutcome.REUSED, row=row)
        more = tuple(reply for reply in new.replies if reply not in row.replies)
        if more and row.state is CommandState.WAITING:
            self._insert_collected()
            row = self._known[row.command_id] = replace(row, replies=row.replies + more)
            values = (self._account, row.id, replies_text(row.replies))
            self._connection.execute(_SQL["set_replies"], values)
        return AcceptResult(outcome=AcceptOutcome.REPEAT, row=row)

    def _insert_collected(self) -> None:
        insert_rows(self._connection, _SQL["add"], self._collected)
        self._collected.clear()

    def _read(self, statement: str, *values: object) -> list[CommandRow]:
        return _rows(self._connection, statement, self._account, *values)


def _rows(connection: Connection, statement: str, *arguments: object) -> list[CommandRow]:
    return [command_row(row) for row in connection.named_rows(statement, arguments)]
