"""Sends accepted commands to WeChat until each has its result: the loop over the chats.

    a chat has a command  ->  `next_step.py` says what to do  ->  its attempt  ->  its result, or again

The begin of an attempt is stored before its request is written: after a crash it says that WeChat may have
the message already. A command without it was certainly not sent. `_send` has the steps of an attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from wx2mqtt.aio import retry_until_stored, wait_at_most
from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.combined_messages import AttemptPlan, CombinedMessages, with_texts_of
from wx2mqtt.bridge.commands.fallback import FallbackDelivery, FallbackDue
from wx2mqtt.bridge.commands.file_preparation import FilePreparation
from wx2mqtt.bridge.commands.next_step import (
    EndStep,
    NextStepPolicy,
    PrepareStep,
    SendStep,
    WaitStep,
    WindowStep,
    max_unanswered_attempts,
)
from wx2mqtt.bridge.commands.outcomes import CommandOutcomes
from wx2mqtt.bridge.commands.questions import CardUpdates, CommandQuestions
from wx2mqtt.bridge.commands.resolver import (
    BackendRequest,
    CommandResolver,
    has_file,
    is_caption_next,
    is_simple,
    split_ahead,
)
from wx2mqtt.bridge.commands.results import (
    UNCONFIRMED,
    ResultPublications,
    final_result,
    rejected_result,
    results_of_members,
    uncertain_result,
)
from wx2mqtt.bridge.commands.send_attempts import CommandProgress, SendAttempts, is_unconfirmed
from wx2mqtt.bridge.commands.send_limits import SendLimits, back_off
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.commands.window_wait import WindowWait
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.wechat_calls import EchoFilter, WeChatCalls
from wx2mqtt.clock import Backoff, boot_time, now_ms
from wx2mqtt.errors import (
    BackendError,
    BadCommand,
    LoggedOut,
    OutcomeUnknown,
    Rejected,
    StoreError,
    Throttled,
    Unreachable,
    WindowClosed,
)
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import ActionResult, Receipt, Result, Status
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.commands import AlreadyFinished
from wx2mqtt.store.records import NewPublication
from wx2mqtt.store.remembered_owners import NOTHING_SAID, NamedOwner

log = structlog.get_logger(__name__)

# The largest number of chats to which texts are sent in parallel.
MAX_CONCURRENT_SENDS = 4

# The same for files, which are counted separately: an attempt repeats an upload that WeChat has dropped.
MAX_CONCURRENT_FILE_SENDS = 3


class CommandSender:
    """Sends the accepted commands of one account. Each chat is sent to by one task (`_run_queue`)."""

    def __init__(
        self,
        ctx: AccountContext,
        calls: WeChatCalls,
        resolver: CommandResolver,
        echoes: EchoFilter,
        results: ResultPublications,
    ) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self.calls = calls
        self.resolver = resolver
        self._echoes = echoes

        # What waits, and what keeps it from being sent
        self.waiting = WaitingCommands(resolver, by_priority=ctx.backend.capabilities.has_reply_window)
        self.window_wait = WindowWait(ctx, resolver, self.waiting, results)
        self.limits = SendLimits(ctx, calls, resolver, self.window_wait)
        #: Each attempt takes one.
        self.slots = asyncio.Semaphore(MAX_CONCURRENT_SENDS)
        self._file_slots = asyncio.Semaphore(MAX_CONCURRENT_FILE_SENDS)

        # What becomes of a command
        self.outcomes = CommandOutcomes(ctx)
        self.questions = CommandQuestions(ctx, resolver)
        #: Shows on cards what their buttons were answered with.
        self.cards = CardUpdates(ctx)
        self._progress = CommandProgress(ctx, resolver, self.waiting, results, self.outcomes, self.questions)
        self.fallback = FallbackDelivery(ctx, resolver, self.waiting)
        self.attempts = SendAttempts(ctx, calls, resolver, echoes)
        self._files = FilePreparation(ctx, resolver, calls, self.limits, self._progress)
        self._policy = NextStepPolicy(
            ctx, calls, self.limits, self.window_wait, self.fallback, self._files, questions=self.questions
        )
        self._messages = CombinedMessages(ctx, self.window_wait)
        self._queues_changed = asyncio.Event()
        self.fallback.delivered.connect(self.recheck)

    # The life of the sender

    async def run(self) -> None:
        try:
            await retry_until_stored(self._recover)
            async with asyncio.TaskGroup() as tasks:
                while True:
                    seconds = None
                    if not self.waiting.has_all:
                        seconds = await retry_until_stored(self._load)
                    while self.waiting.new_queues:
                        queue = self.waiting.new_queues.popleft()
                        tasks.create_task(self._run_queue(queue, tasks))
                    await wait_at_most(self._queues_changed, seconds)
                    self._queues_changed.clear()
        finally:
            self.fallback.close()
            self.outcomes.close()

    async def _load(self) -> float | None:
        """Loads the next commands from the journal, and those that have expired. Raises `StoreError`.

        Returns the seconds until some may have expired again; None where none is left in the journal.
        """
        if self.waiting.can_load:
            await self.waiting.load(self._journal.commands.list_due)
        if self.waiting.seconds_until_expiry_check() == 0:
            await self.waiting.load_expired(partial(self._journal.commands.list_expired, now_ms()))
        self.fallback.update_queues()
        return self.waiting.seconds_until_expiry_check()

    async def _recover(self) -> None:
        """Makes attempts that the last run of the process left open uncertain, and expects their echoes."""
        await self._journal.commands.recover_attempts()
        await self.questions.recover()
        await self.attempts.recover()
        self._echoes.recovered.set()
        await self.fallback.recover()

    async def drain(self, seconds: float) -> None:
        """Starts no further attempt, and gives those under way `seconds` to end.

        The begin of an attempt that was not made is taken back: its command was certainly not sent.
        """
        self.calls.stopping = True
        self.fallback.stop()
        self.recheck()
        try:
            async with asyncio.timeout(seconds):
                if self.fallback.deliveries:
                    await asyncio.wait(self.fallback.deliveries)
                for _ in range(MAX_CONCURRENT_SENDS):
                    await self.slots.acquire()
                for _ in range(MAX_CONCURRENT_FILE_SENDS):
                    await self._file_slots.acquire()
        except TimeoutError:
            log.warning("attempts were under way at the stop; they are in doubt at the next start")
        try:
            for queue in [*self.waiting.queues.values()]:
                row_id, queue.begun_id = queue.begun_id, None
                if row_id is not None:
                    with suppress(AlreadyFinished):
                        await self._journal.commands.end_undelivered(row_id)
        except StoreError as error:
            log.warning("attempts stay open; they are in doubt at the next start", problem=str(error))

    # One chat

    async def _run_queue(self, queue: ChatQueue, tasks: asyncio.TaskGroup) -> None:
        """Takes the steps of a chat until no command is left."""
        while queue.rows:
            queue.wake.clear()
            if queue.had_file:
                self._files.cancel_removed(queue)
            match self._policy.next_step(queue):
                case EndStep(row=row, result=result):
                    await self._finish(queue, row, result)
                case WindowStep(rows=rows, window=window):
                    await self.window_wait.begin(queue, rows, window)
                case PrepareStep(row=row):
                    self._files.start(queue, row, tasks)
                case WaitStep(seconds=seconds):
                    await wait_at_most(queue.wake, seconds)
                case SendStep(row=row):
                    await self._send_in_slot(queue, row)
        if queue.had_file:
            self._files.cancel_removed(queue)
        self.waiting.remove_empty(queue)
        self._queues_changed.set()

    async def _send_in_slot(self, queue: ChatQueue, row: CommandRow) -> None:
        """Sends a command in a free slot, for which it waits until a command of the chat expires."""
        slots = self._file_slots if has_file(row) else self.slots
        must_wait = slots.locked()
        try:
            async with asyncio.timeout(queue.next_expiry - boot_time()):
                await slots.acquire()
        except TimeoutError:
            return
        try:
            if must_wait:
                step = self._policy.next_step(queue) if queue.rows else None
                if not isinstance(step, SendStep):
                    return
                row = step.row
            await self._send(queue, row)
        finally:
            slots.release()

    async def _send(self, queue: ChatQueue, row: CommandRow) -> None:
        """Makes an attempt.

        1. Decides which texts go with it: the *members* of the attempt, the leading one first.
        2. Makes the request. It may fail, which ends the command.
        3. Stores the begin of the attempt, unless the commit that accepted the command has done that, or the
           one that finished the command before (`_take_next`).
        4. Calls WeChat, and finishes the members or keeps them for the next attempt.
        """
        await split_ahead(row.command, self._ctx.backend.capabilities)
        if row.unanswered and row.unanswered >= max_unanswered_attempts(row):  # of a caption, after a crash
            await self._give_up_caption(queue, row, OutcomeUnknown())
            return
        plan = self._messages.plan(queue, row)
        request = await self._make_request(queue, row)
        if request is None:
            return
        members = await self._begin_attempt(queue, plan)
        if not members:
            return
        if len(members) > 1:
            request = with_texts_of(request, members)
        outcome: Receipt | ActionResult | BackendError
        is_same_login = self.resolver.chat_of(members[0]) == request.chat  # a handle is valid in one login
        if self.calls.is_connected and is_same_login:
            outcome = await self.attempts.attempt(request, members[0])
        else:
            outcome = Unreachable()
        try:
            await self._apply_outcome(queue, members, outcome)
        except AlreadyFinished:  # another owner came meanwhile
            await self._progress.drop_finished(members)
        self._ctx.signals.sending_changed.emit()

    async def _make_request(self, queue: ChatQueue, row: CommandRow) -> BackendRequest | None:
        """Returns the request of a command; None after an error, which ends the command or delays it."""
        try:
            return await self.resolver.resolve(row)
        except (BadCommand, Rejected) as error:
            await self._finish(queue, row, rejected_result(row, error, self._ctx.language))
        except BackendError as error:
            self._on_undelivered(queue, error)
        return None

    async def _begin_attempt(self, queue: ChatQueue, plan: AttemptPlan) -> tuple[CommandRow, ...]:
        """Stores the begin of the attempt; returns its members, none where they may not be sent any more."""
        row = plan.rows[0]
        if row.id == queue.begun_id:
            queue.begun_id = None
            return (row,)
        if not all(map(queue.is_current, plan.rows)) or self.limits.seconds_until_sendable(queue, row) > 0:
            return ()  # the conditions changed while the request was made
        if row.command.kind != "recall":
            self.limits.bucket.take()
        try:
            leading = await self._progress.begin(plan)
        except AlreadyFinished:
            await self._progress.drop_finished(plan.rows)
            return ()
        return queue.members_of(leading)

    # What follows from an attempt

    async def _apply_outcome(
        self, queue: ChatQueue, members: Sequence[CommandRow], outcome: Receipt | ActionResult | BackendError
    ) -> None:
        """Finishes the members of an attempt, or keeps them for the next one. Raises `AlreadyFinished`."""
        row = members[0]
        match outcome:
            case ActionResult():
                queue.backoff = Backoff()
                recalled = bridge_text(self._ctx.language, "recalled")
                await self._finish(queue, row, final_result(row, Status.SENT, "ok", recalled))
            case Receipt():
                await self._on_receipt(queue, row, outcome)
            case BackendError() if self.questions.is_proven(row):
                await self._finish(queue, row, self.questions.proven_result(row))
            case Rejected() if row.leader is not None and not row.unanswered:
                log.warning("a combined message was refused; its texts go one by one", problem=str(outcome))
                self._messages.on_refused(queue, members)
                await self._progress.end_undelivered(queue, row)
            case Rejected() | OutcomeUnknown() if self._gives_up_caption(row, outcome):
                await self._give_up_caption(queue, row, outcome)
            case Rejected():
                await self._finish(queue, row, rejected_result(row, outcome, self._ctx.language))
            case OutcomeUnknown() if row.unanswered + 1 >= max_unanswered_attempts(row):
                await self._finish(queue, row, uncertain_result(row, self._ctx.language))
            case OutcomeUnknown():
                self._files.require_again(queue, row)
                await self._progress.end_unanswered(queue, row)
                back_off(queue)
            case _:  # certainly nothing was delivered
                self._files.require_again(queue, row)
                await self._progress.end_undelivered(queue, row)
                self._on_undelivered(queue, outcome)

    def _gives_up_caption(self, row: CommandRow, outcome: Rejected | OutcomeUnknown) -> bool:
        """Returns whether the file of a command follows without its caption, or without a part of it."""
        is_last_attempt = isinstance(outcome, Rejected) or row.unanswered + 1 >= max_unanswered_attempts(row)
        return is_last_attempt and is_caption_next(row, self._ctx.backend.capabilities)

    async def _give_up_caption(
        self, queue: ChatQueue, row: CommandRow, outcome: Rejected | OutcomeUnknown
    ) -> None:
        """Stores that a part of a caption perhaps did not arrive. Raises `AlreadyFinished`."""
        log.warning("caption not sent for certain", command=row.command_id, problem=str(outcome))
        is_uncertain = isinstance(outcome, OutcomeUnknown)
        await self._progress.end_part_lost(queue, row, is_uncertain=is_uncertain)

    async def _on_receipt(self, queue: ChatQueue, row: CommandRow, receipt: Receipt) -> None:
        """WeChat accepted the command or a part of it; without the usual id the recipient may not see it."""
        queue.backoff = Backoff()
        if row.parts_sent + 1 < len(self.resolver.parts_of(row)):
            await self._progress.end_part_sent(queue, row, receipt.message_id or "")
            return
        code = UNCONFIRMED if is_unconfirmed(receipt) else "ok"
        sent = final_result(row, Status.SENT, code, bridge_text(self._ctx.language, code))
        await self._finish(queue, row, replace(sent, message_id=receipt.message_id or None))

    def _on_undelivered(self, queue: ChatQueue, error: BackendError) -> None:
        """Applies an error of an attempt that certainly delivered nothing: the command stays in its queue."""
        match error:
            case Throttled() | LoggedOut():
                self.calls.hold_back(error)
            case WindowClosed() if self._policy.is_window_closed(queue):
                pass  # the next step of the queue is a WindowStep
            case _ if not self.calls.is_connected:
                pass  # it is sent when there is a connection again (`set_online`)
            case _:
                back_off(queue)

    async def _finish(self, queue: ChatQueue, row: CommandRow, result: Result) -> None:
        """Ends the commands of an attempt with this result, or when the fallback of one has ended."""
        results = [(row, result)]
        if row.leader is not None:
            results = results_of_members(queue.members_of(row), result)
        must_wait = False
        for member, member_result in results:  # each is asked: that makes its fallback due
            if member.command.urgent and self.fallback.start_or_withdraw_alert(member, member_result):
                must_wait = True
        if must_wait:
            queue.set_ending([member for member, _ in results], result)
            return
        completed = []
        for member, member_result in results:
            is_urgent = member.command.urgent
            whole = self.fallback.complete_result(member, member_result) if is_urgent else member_result
            completed.append((member, whole))
        next_row = self._take_next(queue, row) if result.status is Status.SENT else None
        await self._progress.finish(queue, completed, next_row)

    def _take_next(self, queue: ChatQueue, finished: CommandRow) -> CommandRow | None:
        """Returns the command behind `finished` if it may be sent now, and takes its token of the rate limit.

        Its attempt begins in the commit that finishes the other one, which saves a commit. With a reply
        window it is decided at each attempt which commands go together.
        """
        if self.waiting.by_priority or len(queue.waiting.rows) < 2:
            return None
        row = next(row for row in queue.waiting.rows if row.id != finished.id)
        if self.limits.seconds_until_sendable(queue, row) > 0 or not is_simple(row):
            return None
        if self.resolver.chat_of(row) is None or self._policy.result_if_expired(queue, row) is not None:
            return None
        self.limits.bucket.take()
        return row

    # Called by other components

    def add(self, row: CommandRow, *, is_begun: bool = False) -> None:
        """Queues an accepted command; `is_begun` says that its attempt has begun with its acceptance."""
        self.waiting.add(row, is_begun=is_begun)
        if row.command.urgent:
            self.fallback.schedule(row)
        self._queues_changed.set()
        if self.waiting.by_priority:  # it may overtake others, or must wait for the window too
            self.recheck()

    def on_answered(self, row_ids: Sequence[int]) -> None:
        """The questions of these commands were answered; one that is in doubt was sent."""
        self.questions.add_answered(row_ids)
        self.recheck()

    def recheck(self) -> None:
        """Makes the chats look for their next step: what held them back may have changed."""
        self.waiting.recheck()

    def set_online(self, online: bool) -> None:
        """Commands are only sent while the account is online.

        The pauses after failures end when it becomes online, and when WeChat answers again.
        """
        self.calls.set_online(online)
        if online:
            for queue in self.waiting.queues.values():
                queue.end_pause()
            self._files.end_pauses()
        self.recheck()

    def on_login_ended(self, reason: str) -> None:
        """WeChat has ended the login, and no renewal follows; `reason` is a sentence."""
        if self._ctx.backend.capabilities.sends_after_login_end:
            self.calls.try_after_login_end()
            self.recheck()
        self.fallback.report_login_end(reason)

    def remove(self, row: CommandRow, result: Result) -> None:
        """Removes a command that the owner dropped; the journal has its result and has no open attempt."""
        self._progress.forget(row, result)
        self.recheck()

    async def change_owner(
        self, backend: str, owner_id: str, named: NamedOwner = NOTHING_SAID, *, forgets_people: bool = False
    ) -> None:
        """Stores the new owner of the store, who sends none of the commands that wait.

        Urgent ones go out by the fallback before, which takes seconds: one may be accepted meanwhile.
        """
        while True:
            try:
                finished, stored = await self._journal.owner.change(
                    backend, owner_id, self._other_account_result, named, forgets_people=forgets_people
                )
                break
            except FallbackDue:
                await self.fallback.deliver_due()
        self._ctx.signals.outbox_changed.emit(stored)
        for row in finished:
            assert row.result is not None
            self._progress.forget(row, row.result)
        self.recheck()

    def _other_account_result(self, row: CommandRow) -> tuple[Result, tuple[NewPublication, ...]]:
        """Returns what ends a command of the previous owner. Raises `FallbackDue`. In the writer thread."""
        if self.fallback.is_wanted(row):
            raise FallbackDue
        return self._progress.other_account_result(row)
