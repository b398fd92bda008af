"""Makes the attempts at commands, and stores what becomes of them.

    CommandProgress.begin     before the request is written: after a crash the attempt is in doubt
    SendAttempts.attempt      the call of WeChat
    CommandProgress.end_…     an attempt has ended and its command has not: nothing was delivered, nothing was
                              answered, or the next part of a long text was sent, or the caption of a file
    CommandProgress.finish    the command has its result, which is published

`sender.py` decides which of them comes next. A file is fetched and uploaded before (`file_preparation.py`).

A message is *unconfirmed* if WeChat accepted it without the id that it otherwise gives. The leading command
of a combined message may be its heading (`combined_messages.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.commands.chat_queue import ChatQueue, is_heading
from wx2mqtt.bridge.commands.combined_messages import AttemptPlan, by_message
from wx2mqtt.bridge.commands.fallback_states import with_fallback
from wx2mqtt.bridge.commands.outcomes import CommandOutcomes
from wx2mqtt.bridge.commands.questions import CommandQuestions
from wx2mqtt.bridge.commands.resolver import BackendRequest, CommandResolver, split_ahead
from wx2mqtt.bridge.commands.results import (
    ResultPublications,
    final_result,
    result_of_parts,
    with_remarks,
)
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.wechat_calls import EchoFilter, WeChatCalls
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BackendError, OutcomeUnknown
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import ActionResult, Draft, Kind, Receipt, Result, Status, combined_text
from wx2mqtt.store.command_records import CommandRow, ReplyTarget
from wx2mqtt.store.commands import AlreadyFinished
from wx2mqtt.store.records import NewPublication
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

# After so many messages in a row without a message id the recipients may not see them (ilink 10.1.5).
UNCONFIRMED_WARNING_COUNT = 3

# No login delivers the echo of a sent message later than this.
ECHO_DEADLINE_MS = 86_400_000


class CommandProgress:
    """Stores the attempts and the results of one account's commands.

    Each method is one commit, and brings the queue of the chat up to date. The row that it takes is that of a
    command, or of the leading one of a combined message.
    """

    def __init__(
        self,
        ctx: AccountContext,
        resolver: CommandResolver,
        waiting: WaitingCommands,
        results: ResultPublications,
        outcomes: CommandOutcomes,
        questions: CommandQuestions,
    ) -> None:
        self._commands = ctx.journal.commands
        self._ctx = ctx
        self._capabilities = ctx.backend.capabilities
        self._resolver = resolver
        self._waiting = waiting
        self._results = results
        self._outcomes = outcomes
        self._questions = questions

    # Attempts. All these raise `AlreadyFinished`.

    async def begin(self, plan: AttemptPlan) -> CommandRow:
        """Stores the begin of an attempt, before its request is written; returns the leading command.

        The first attempt at a command with buttons opens its question in the same commit.
        """
        row = plan.rows[0]
        if len(plan.rows) == 1 or row.leader is not None:
            question = self._questions.new_question(row)
            await retry_until_stored(lambda: self._commands.begin_attempt(row.id, question))
            return row
        row_ids = [row.id for row in plan.rows]
        stored = await retry_until_stored(lambda: self._commands.begin_combined(row_ids, plan.heading))
        self._waiting.combine(stored)
        return stored[0]

    async def end_undelivered(self, queue: ChatQueue, row: CommandRow) -> None:
        """Stores the end of an attempt that certainly delivered nothing.

        The commands of a combined message wait on their own again, without its heading. After an unanswered
        attempt they stay together: WeChat may have delivered that message.
        """
        separates = row.leader is not None and not row.unanswered
        removes_heading = separates and is_heading(row)
        is_question = bool(row.command.buttons)
        await retry_until_stored(
            lambda: self._commands.end_undelivered(
                row.id, is_heading=removes_heading, is_question=is_question
            )
        )
        if separates:
            self._waiting.separate(queue.members_of(row))

    async def end_unanswered(self, queue: ChatQueue, row: CommandRow) -> None:
        is_question = bool(row.command.buttons)
        await retry_until_stored(lambda: self._commands.end_unanswered(row.id, is_question=is_question))
        for member in queue.members_of(row):
            queue.change(member.id, unanswered=row.unanswered + 1, duplicate_possible=True)

    async def end_part_sent(self, queue: ChatQueue, row: CommandRow, message_id: str) -> None:
        """Stores the end of an attempt that delivered the next part of a long text, or of a caption."""
        await retry_until_stored(lambda: self._commands.end_part_sent(row.id, message_id))
        queue.change(row.id, parts_sent=row.parts_sent + 1, unanswered=0)

    async def end_part_lost(self, queue: ChatQueue, row: CommandRow, *, is_uncertain: bool) -> None:
        """Stores the end of an attempt at a part of a caption, which is not tried again: its file follows."""
        await retry_until_stored(lambda: self._commands.end_part_lost(row.id, is_uncertain=is_uncertain))
        queue.change(
            row.id,
            parts_sent=row.parts_sent + 1,
            parts_lost=row.parts_lost + 1,
            unanswered=0,
            duplicate_possible=row.duplicate_possible or is_uncertain,
        )

    # Results

    async def finish(
        self, queue: ChatQueue, results: Sequence[tuple[CommandRow, Result]], next_row: CommandRow | None
    ) -> None:
        """Stores the result of a command, or those of a combined message, and begins the next attempt.

        1. One commit holds the results, their publications and the begin of the attempt at `next_row`.
        2. Where that fails, since the owner may have dropped `next_row`, one holds the results alone.
        3. Where that fails, too, the commands have their results already, and nothing is stored.
        4. Who published a command again during the commit is answered, too.
        """
        for row, _ in results:  # one that expired was perhaps never sent by this process
            await split_ahead(row.command, self._capabilities)
        finished = self._results_to_store(queue, results)
        is_stored = await self._store_results(finished, next_row)
        if not is_stored and next_row is not None:
            next_row = None
            finished = self._results_to_store(queue, results)
            is_stored = await self._store_results(finished, None)
        if not is_stored:
            await self.drop_finished([row for row, _ in finished])
            return
        if next_row is not None and next_row.id in queue.rows:
            queue.begun_id = next_row.id
        for row, result in finished:
            current = queue.rows.get(row.id, row)
            await self._answer_late_repeats(current, result, answered=row.replies)
            self.forget(row, result)

    def _results_to_store(
        self, queue: ChatQueue, results: Sequence[tuple[CommandRow, Result]]
    ) -> list[tuple[CommandRow, Result]]:
        """Returns the results as they are stored, each with its row and the reply targets known now."""
        completed = []
        for row, result in results:
            current = queue.rows.get(row.id) or row
            completed.append((replace(row, replies=current.replies), self._whole_result(row, result)))
        return completed

    async def _store_results(
        self, results: Sequence[tuple[CommandRow, Result]], next_row: CommandRow | None
    ) -> bool:
        """Returns False where one of these commands or the next one has its result already."""
        (leading, leading_result), *others = results
        other_results = []
        publications = [*self._results.publications(leading_result, leading.replies)]
        for row, result in others:
            other_results.append((row.id, result))
            publications += self._results.publications(result, row.replies)
        store = partial(
            self._commands.finish,
            leading.id,
            leading_result,
            publications,
            None if next_row is None else next_row.id,
            other_results,
            is_question=bool(leading.command.buttons),
        )
        try:
            stored = await retry_until_stored(store)
        except AlreadyFinished:
            return False
        self._ctx.signals.outbox_changed.emit(stored)
        return True

    def _whole_result(self, row: CommandRow, result: Result) -> Result:
        parts = len(self._resolver.parts_of(row))
        if parts > 1:
            result = result_of_parts(row, result, parts)
        has_window = self._capabilities.has_reply_window
        return with_remarks(result, row.command, self._ctx.language, has_window=has_window)

    def other_account_result(self, row: CommandRow) -> tuple[Result, tuple[NewPublication, ...]]:
        """Returns the result of a command that waited for another owner, and its publications."""
        is_uncertain = row.attempt_open or row.unanswered > 0
        status = Status.UNCERTAIN if is_uncertain else Status.FAILED
        sentence = bridge_text(self._ctx.language, "other_account")
        result = final_result(row, status, "other_account", sentence)
        if is_uncertain:
            result = replace(result, duplicate_possible=True)
        result = self._whole_result(row, with_fallback(result, row.fallback, self._ctx.language))
        return result, self._results.publications(result, row.replies)

    def forget(self, row: CommandRow, result: Result) -> None:
        """Removes a command whose result is stored."""
        self._waiting.remove(row.id)
        self._outcomes.record(row.command.kind, result, is_fallback=bool(row.fallback_of))
        if row.window_reason:
            self._ctx.signals.sending_changed.emit()

    async def drop_finished(self, rows: Sequence[CommandRow]) -> None:
        """Removes the commands that have their result already: the owner dropped them, or came late."""
        for command_id, row in {row.command_id: row for row in rows}.items():
            stored = await retry_until_stored(partial(self._commands.get, command_id))
            if stored is not None and stored.result is None:
                continue  # another one of its combined message has a result
            log.info("command has its result already", command=command_id)
            if stored is not None and stored.result is not None:
                current = self._waiting.find(row.id) or row
                await self._answer_late_repeats(current, stored.result, answered=())
            self._waiting.remove(row.id)

    async def _answer_late_repeats(
        self, row: CommandRow, result: Result, *, answered: Sequence[ReplyTarget]
    ) -> None:
        """Publishes the result to those who published the command again while the result was stored.

        Each of them has added a reply target to `row`. `answered` are those that have the result.
        """
        if row.replies == answered:
            return
        late = [reply for reply in row.replies if reply not in answered]
        publications = self._results.publications(result, late)
        await retry_until_stored(lambda: self._ctx.publish(publications))


@frozen(kw_only=False)
class _PossibleEcho:
    """An echo that may come of a message of the previous process."""

    kind: Kind
    text: str
    #: At most so many attempts were made at the message.
    max_count: int
    #: The size of its file, in bytes.
    size: int | None = None


class SendAttempts:
    """Makes single attempts to send a message or to recall one, and tells the echo filter of each."""

    def __init__(
        self, ctx: AccountContext, calls: WeChatCalls, resolver: CommandResolver, echoes: EchoFilter
    ) -> None:
        self._journal = ctx.journal
        self._capabilities = ctx.backend.capabilities
        self._calls = calls
        self._resolver = resolver
        self._echoes = echoes
        self._unconfirmed_in_a_row = 0

    async def attempt(
        self, request: BackendRequest, row: CommandRow
    ) -> Receipt | ActionResult | BackendError:
        """Makes one attempt at a command and returns its outcome; errors are returned, not raised.

        All attempts of the same message have the same key, by which WeChat drops duplicates.
        """
        key = self._resolver.send_key(row)
        if not isinstance(request, Draft):
            return await self._calls.perform(request, key)
        started_at = now_ms()
        with self._echoes.open_attempt(request.chat, request.kind):
            outcome = await self._calls.send(request, key)
            may_be_echoed = isinstance(outcome, OutcomeUnknown) or is_unconfirmed(outcome)
            if is_unconfirmed(outcome):
                self._unconfirmed_in_a_row += 1
            elif isinstance(outcome, Receipt):
                self._unconfirmed_in_a_row = 0
                if outcome.message_id:
                    self._echoes.add_sent_id(outcome.message_id)
            if may_be_echoed:
                size = row.blob.size if row.blob else None
                self._echoes.add_unanswered(
                    request.chat, request.kind, request.text, started_at, now_ms(), size=size
                )
        return outcome

    @property
    def is_muted(self) -> bool:
        """Whether WeChat accepts messages that the recipients may not see."""
        return self._capabilities.has_reply_window and self._unconfirmed_in_a_row >= UNCONFIRMED_WARNING_COUNT

    # At the start of the process

    async def recover(self) -> None:
        """Expects the echoes of the previous process, and restores `is_muted`. Raises `StoreError`."""
        unanswered = await self._journal.commands.list_unanswered(now_ms() - ECHO_DEADLINE_MS)
        for members in by_message(unanswered):
            await self._expect_echoes(members)
        if self._capabilities.has_reply_window:
            codes = await self._journal.commands.last_result_codes(UNCONFIRMED_WARNING_COUNT)
            unconfirmed = (index for index, code in enumerate(codes) if code == "ok")
            self._unconfirmed_in_a_row = next(unconfirmed, len(codes))

    async def _expect_echoes(self, members: Sequence[CommandRow]) -> None:
        row = members[0]
        chat = self._resolver.chat_of(row)
        if chat is None:
            return
        # When an attempt was made is not stored: it was between acceptance and result
        ended = row.result.time if row.result else now_ms()
        await split_ahead(row.command, self._capabilities)
        for echo in self._possible_echoes(members):
            for _ in range(echo.max_count):
                self._echoes.add_unanswered(chat, echo.kind, echo.text, row.accepted, ended, size=echo.size)

    def _possible_echoes(self, members: Sequence[CommandRow]) -> list[_PossibleEcho]:
        """Returns the echoes of a command, or of the members of a combined message.

        How many attempts each part had is not stored. `attempts` counts those at all parts, `unanswered`
        those at the next part, without the last one of a command that ended `uncertain`.
        """
        row = members[0]
        echoes = []
        if row.parts_lost and row.duplicate_possible:  # else the caption was refused: nothing is in doubt
            # Of a restored command nobody knows which attempts were made at the next part.
            unanswered = 0 if row.is_restored else row.unanswered
            before_next_part = row.attempts - unanswered
            texts = self._resolver.parts_of(row)[: row.parts_sent]
            echoes += [_PossibleEcho(Kind.TEXT, text, before_next_part) for text in texts]
        at_next_part = row.attempts - row.parts_sent  # each part before it took at least one
        if len(members) > 1:
            text = combined_text(member.command.text for member in members)
            echoes.append(_PossibleEcho(Kind.TEXT, text, at_next_part))
        elif row.unanswered and (expected := self._resolver.expected_echo(row)) is not None:
            kind, text = expected
            size = row.blob.size if row.blob else None
            echoes.append(_PossibleEcho(kind, text, at_next_part, size))
        return echoes


def is_unconfirmed(outcome: Receipt | ActionResult | BackendError) -> bool:
    """Returns whether WeChat took a message without the id that it otherwise gives."""
    return isinstance(outcome, Receipt) and outcome.message_id == ""
