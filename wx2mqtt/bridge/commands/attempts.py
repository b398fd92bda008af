"""Makes one attempt to send a message or to recall one, and reports its outcome to the echo filter.

`sender.py` decides when an attempt is made and what follows from its outcome. A file is fetched and uploaded
before (`file_preparation.py`).

`AttemptMarks` stores the begin and the end of an attempt. `ImmediateStarts` marks the attempt of a command
that can be sent at once in the commit that accepts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.commands.bundles import AttemptPlan, bundles_of
from wx2mqtt.bridge.commands.chat_queue import ChatQueue, is_heading
from wx2mqtt.bridge.commands.queues import ChatQueues
from wx2mqtt.bridge.commands.resolver import BackendRequest, ChatKey, CommandResolver
from wx2mqtt.bridge.commands.send_limits import SendLimits
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.echo import EchoFilter
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BackendError, OutcomeUnknown
from wx2mqtt.model import ActionResult, Draft, Kind, Recall, Receipt, bundle_text
from wx2mqtt.store.command_records import AcceptOutcome, AcceptResult, CommandRow, NewCommand
from wx2mqtt.store.command_rows import new_row

log = structlog.get_logger(__name__)

# After so many messages in a row without a message id the recipients may not see them (ilink 10.1.5).
UNCONFIRMED_WARNING_COUNT = 3

# No login delivers the echo of a sent message later than this.
ECHO_DEADLINE_MS = 86_400_000

AnswerT = TypeVar("AnswerT")


class SendAttempts:
    """Makes the attempts of one account."""

    def __init__(self, ctx: AccountContext, resolver: CommandResolver, echoes: EchoFilter) -> None:
        self._journal = ctx.journal
        self._backend = ctx.backend
        self._unconfirmed_in_a_row = 0
        self._resolver = resolver
        self._echoes = echoes

    @property
    def is_muted(self) -> bool:
        """Whether WeChat accepts messages that the recipients may not see."""
        return (
            self._backend.capabilities.has_reply_window
            and self._unconfirmed_in_a_row >= UNCONFIRMED_WARNING_COUNT
        )

    async def recover(self) -> None:
        """Restores `is_muted` from the stored results. Raises `StoreError`."""
        codes = (
            await self._journal.commands.last_result_codes(UNCONFIRMED_WARNING_COUNT)
            if self._backend.capabilities.has_reply_window
            else []
        )
        self._unconfirmed_in_a_row = next(
            (index for index, code in enumerate(codes) if code == "ok"), len(codes)
        )

    async def recover_echoes(self) -> None:
        """Expects the echoes of attempts without an answer of the previous process. Raises `StoreError`."""
        for members in bundles_of(await self._journal.commands.list_unanswered(now_ms() - ECHO_DEADLINE_MS)):
            # `unanswered` lacks the last attempt of an uncertain command
            for _ in range(members[0].attempts):
                self.expect_late_echo(members)

    async def prepare(self, request: BackendRequest) -> None:
        """Uploads the file of a message, which delivers nothing yet. Raises `BackendError`."""
        if isinstance(request, Draft) and request.attachment is not None:
            await self._backend.prepare(request)

    async def attempt(
        self, request: BackendRequest, row: CommandRow
    ) -> Receipt | ActionResult | BackendError:
        """Makes one attempt and returns its outcome; errors are returned, not raised.

        All attempts of the same message have the same key, by which WeChat drops duplicates.
        """
        key = self._resolver.send_key(row)
        if isinstance(request, Recall):
            return await self._outcome_of(self._backend.perform(request, key), row)
        started_at = now_ms()
        ended = self._echoes.mark_started(request.chat, request.kind)
        message_id = ""
        try:
            outcome = await self._outcome_of(self._backend.send(request, key), row)
            if isinstance(outcome, Receipt):
                message_id = outcome.message_id
                self._unconfirmed_in_a_row = 0 if message_id else self._unconfirmed_in_a_row + 1
            if isinstance(outcome, OutcomeUnknown) or (isinstance(outcome, Receipt) and not message_id):
                self._add_unanswered(request, row, started_at)
        finally:
            self._echoes.mark_finished(request.chat, request.kind, ended, message_id)
        return outcome

    async def _outcome_of(self, request: Awaitable[AnswerT], row: CommandRow) -> AnswerT | BackendError:
        try:
            return await request
        except BackendError as error:
            return error
        except Exception:  # a bug in the bridge: the request may have been written
            log.exception("send failed", command=row.command_id)
            return OutcomeUnknown()

    def expect_late_echo(self, members: Sequence[CommandRow]) -> None:
        """Makes the echo filter drop the echo of an attempt of the previous process, which may still arrive.

        `members` are the command, or those of its bundle in the order of its text. When the attempt was made
        is not stored: after the acceptance of its command, and before its result.
        """
        row = members[0]
        chat = self._resolver.chat_of(row)
        echo = self._resolver.expected_echo(row)
        if len(members) > 1:
            echo = Kind.TEXT, bundle_text(member.command.text for member in members)
        if chat is not None and echo is not None:
            ended = row.result.time if row.result else now_ms()
            size = row.blob.size if row.blob else None
            self._echoes.add_unanswered(chat, *echo, row.accepted, ended, size=size)

    def _add_unanswered(self, draft: Draft, row: CommandRow, started_at: int) -> None:
        size = row.blob.size if row.blob else None
        self._echoes.add_unanswered(draft.chat, draft.kind, draft.text, started_at, now_ms(), size=size)


class AttemptMarks:
    """Stores the begin and the end of attempts, each in one commit, and brings the queues up to date.

    The row is that of a command, or of the leading one of a bundle. All methods raise `AlreadySettled`.
    """

    def __init__(self, ctx: AccountContext, queues: ChatQueues) -> None:
        self._journal = ctx.journal
        self._queues = queues

    async def start(self, plan: AttemptPlan) -> CommandRow:
        """Marks the begin of an attempt, before its request is written; returns the leading command."""
        row = plan.rows[0]
        if not plan.is_new_bundle:
            await retry_until_stored(lambda: self._journal.commands.mark_started(row.id))
            return row
        row_ids = [row.id for row in plan.rows]
        stored = await retry_until_stored(lambda: self._journal.commands.start_bundle(row_ids, plan.heading))
        self._queues.set_bundle(stored)
        return stored[0]

    async def end_not_delivered(self, queue: ChatQueue, row: CommandRow) -> None:
        """Marks the end of an attempt that certainly delivered nothing."""
        is_given_up = row.bundle is not None and not row.unanswered
        has_heading = is_given_up and is_heading(row)
        await retry_until_stored(
            lambda: self._journal.commands.mark_not_delivered(row.id, is_heading=has_heading)
        )
        if is_given_up:
            self._queues.release_bundle(queue.members_of(row))

    async def end_uncertain(self, queue: ChatQueue, row: CommandRow) -> None:
        """Marks the end of an attempt without an answer."""
        await retry_until_stored(lambda: self._journal.commands.mark_uncertain(row.id))
        for member in queue.members_of(row):
            current = self._queues.current_row(member)
            unanswered = row.unanswered + 1
            self._queues.replace_row(replace(current, unanswered=unanswered, duplicate_possible=True))

    async def end_part_sent(self, row: CommandRow, message_id: str) -> None:
        """Marks the end of an attempt that delivered the next part of a long text."""
        await retry_until_stored(lambda: self._journal.commands.mark_part_sent(row.id, message_id))
        current = self._queues.current_row(row)
        self._queues.replace_row(replace(current, parts_sent=row.parts_sent + 1, unanswered=0))


class ImmediateStarts:
    """Accepts commands, and marks the attempt of those that can be sent at once in the same commit.

    So a command in calm waits for one commit before its request, instead of two. At most `max_chats` chats
    are sent to at a time.
    """

    def __init__(
        self,
        ctx: AccountContext,
        queues: ChatQueues,
        limits: SendLimits,
        slots: asyncio.Semaphore,
        *,
        max_chats: int,
    ) -> None:
        self._journal = ctx.journal
        self._queues = queues
        self._limits = limits
        self._slots = slots
        self._max_chats = max_chats

    async def accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        """As `JournaledCommands.accept`; adds the commands whose attempt is marked to their queues."""
        selected = () if self._slots.locked() else self._select(new)
        if not any(command.starts for command in selected):
            return await self._journal.commands.accept(new)
        async with self._slots:  # a stop waits for it, and then knows the marks that it must remove
            return await self._accept(selected)

    async def _accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        started: list[CommandRow] = []
        try:
            accepted = await self._journal.commands.accept(new)
            rows = [result.row for result in accepted if result.outcome is AcceptOutcome.NEW]
            started += [row for row in rows if row is not None and row.attempt_open]
        finally:  # what repeats an earlier command is not sent, and what is not stored is selected again
            self._limits.conditions.return_tokens(sum(command.starts for command in new) - len(started))
        for row in started:
            self._queues.add(row)
            self._queues.set_marked(row)
        return accepted

    def _select(self, new: Sequence[NewCommand]) -> list[NewCommand]:
        """Returns the commands, some with `starts`; takes their tokens of the rate limit."""
        chats: set[ChatKey] = set()
        selected = list(new)
        free_slots = self._max_chats - self._queues.chat_count
        for index, command in enumerate(new):
            if free_slots <= 0:
                break
            row = new_row(0, command)
            chat = self._limits.resolver.queue_key(row)
            if chat not in chats and self._may_start(command, row):
                self._limits.conditions.consume_token()
                selected[index] = replace(command, starts=True)
                free_slots -= 1
            if command.result is None:
                chats.add(chat)
        return selected

    def _may_start(self, new: NewCommand, row: CommandRow) -> bool:
        is_repeat = new.delivery is not None and new.delivery.dup
        return (
            new.result is None
            and not is_repeat
            and not new.command.urgent  # the fallback may have to send it
            and (new.expires is None or new.expires > now_ms())
            and self._limits.resolver.is_simple(row)
            and self._limits.resolver.chat_of(row) is not None
            and self._queues.would_be_first(row)
            and self._limits.seconds_until_allowed(row) <= 0
            and self._limits.hold_queue.messages_left(row) != 1  # others may have to share the last message
        )
