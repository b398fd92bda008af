"""Sends accepted commands to WeChat until each has its result: the loop over the queues of the chats.

Before an attempt is made it is marked in the journal. After a crash the mark says that WeChat may have the
message already; a command without a mark was certainly not sent.

Chats are sent to in parallel, each by one task (`_run_queue`), which repeats: it asks `next_step.py` what
must happen to its queue now, and does that. To send a command takes four steps (`_send`):

1. Decide which texts go with it (`bundles.py`): the *members* of the attempt, the leading one first.
2. Make the request. It may fail, which settles the command.
3. Mark the attempt in the journal, if the members still may be sent.
4. Make the attempt (`attempts.py`), and settle the members or keep them for the next attempt.

The mark of an attempt is often a part of the commit that accepts the command (`ImmediateStarts`), or of the
one that settles the command before (`_take_next`): the command is then *marked*, and only its attempt is
missing. A stop removes the marks that are left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from wx2mqtt.aio import retry_until_stored, wait_at_most
from wx2mqtt.bridge.commands.attempts import AttemptMarks, ImmediateStarts, SendAttempts
from wx2mqtt.bridge.commands.bundles import AttemptPlan, BundlePlanner, with_texts_of
from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.completion import CommandCompletion
from wx2mqtt.bridge.commands.expiry import MAX_UNANSWERED_ATTEMPTS, ExpiryPolicy, Settlement
from wx2mqtt.bridge.commands.fallback import FallbackDelivery, FallbackDue
from wx2mqtt.bridge.commands.file_preparation import FilePreparation
from wx2mqtt.bridge.commands.hold import HoldQueue
from wx2mqtt.bridge.commands.next_step import HoldStep, NextStepPolicy, PrepareStep, SendStep, WaitStep
from wx2mqtt.bridge.commands.outcomes import CommandOutcomes
from wx2mqtt.bridge.commands.queues import ChatQueues
from wx2mqtt.bridge.commands.resolver import BackendRequest, CommandResolver, has_file
from wx2mqtt.bridge.commands.results import (
    ResultPublications,
    final_result,
    rejected_result,
    results_of_bundle,
    uncertain_result,
)
from wx2mqtt.bridge.commands.send_limits import SendConditions, SendLimits, TokenBucket, back_off
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.echo import EchoFilter
from wx2mqtt.clock import boot_time, loop_time
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
from wx2mqtt.store.command_records import AcceptResult, CommandRow, NewCommand
from wx2mqtt.store.commands import AlreadySettled
from wx2mqtt.store.records import NewPublication

log = structlog.get_logger(__name__)

# The largest number of chats to which texts are sent in parallel.
MAX_CONCURRENT_SENDS = 4

# The same for files, counted separately: an attempt repeats an upload that WeChat has dropped.
MAX_CONCURRENT_FILE_SENDS = 3


class CommandSender:
    """Sends the accepted commands of one account.

    `recheck` wakes the queues that wait: call it after a change of anything that may have held them back.
    """

    def __init__(
        self, ctx: AccountContext, resolver: CommandResolver, echoes: EchoFilter, results: ResultPublications
    ) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self._resolver = resolver
        self._echoes = echoes

        # What waits, and what keeps it from being sent
        self._queues = ChatQueues(resolver, by_priority=ctx.backend.capabilities.has_reply_window)
        self.hold_queue = HoldQueue(ctx, resolver, self._queues, results)
        limits = ctx.settings.account.send
        self.conditions = SendConditions(
            bucket=TokenBucket.full(limits.per_minute, limits.burst, loop_time())
        )
        self._limits = SendLimits(conditions=self.conditions, resolver=resolver, hold_queue=self.hold_queue)
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_SENDS)
        self._file_slots = asyncio.Semaphore(MAX_CONCURRENT_FILE_SENDS)

        # What ends a command
        self.outcomes = CommandOutcomes(ctx)
        self._completion = CommandCompletion(ctx, resolver, self._queues, results, self.outcomes)
        self.fallback = FallbackDelivery(ctx, resolver, self._queues)
        self.attempts = SendAttempts(ctx, resolver, echoes)
        self._files = FilePreparation(
            ctx, resolver, self._queues, self._limits, self.attempts, self._completion
        )
        self._expiry = ExpiryPolicy(
            ctx, self._queues, self.conditions, self.hold_queue, self.fallback, self._files
        )

        # The steps of a chat
        self._policy = NextStepPolicy(self.hold_queue, self._limits, self._expiry, self._files)
        self._bundles = BundlePlanner(ctx, resolver, self.hold_queue)
        self._marks = AttemptMarks(ctx, self._queues)
        self._immediate = ImmediateStarts(
            ctx, self._queues, self._limits, self._slots, max_chats=MAX_CONCURRENT_SENDS
        )

        self._wake_event = asyncio.Event()
        self.fallback.delivered.connect(self.recheck)
        echoes.require_recovery()

    def set_online(self, online: bool) -> None:
        """Commands are only sent while the account is online."""
        self.conditions.set_online(online)
        self.recheck()

    def on_login_ended(self, reason: str) -> None:
        """WeChat has ended the login, and no renewal follows; `reason` is a sentence."""
        if self._ctx.backend.capabilities.sends_after_login_end:
            self.conditions.try_after_login_end()
            self.recheck()
        self.fallback.report_login_end(reason)

    def resize_rate_limit(self) -> None:
        """Applies the rate limit of the settings; unused tokens are kept."""
        limits, bucket = self._ctx.settings.account.send, self.conditions.bucket
        self.conditions.bucket = bucket.resized(limits.per_minute, limits.burst, loop_time())

    @property
    def throttled_seconds(self) -> float:
        """Seconds until the throttling by WeChat ends; 0 without one."""
        return self.conditions.throttled_seconds

    @property
    def is_muted(self) -> bool:
        """Whether WeChat accepts messages that the recipients may not see."""
        return self.attempts.is_muted

    @property
    def held_count(self) -> int | None:
        """Number of commands that wait for a reply window; None for a backend without them."""
        return self.hold_queue.held_count if self._ctx.backend.capabilities.has_reply_window else None

    def recheck(self) -> None:
        """Makes all queues check again whether their first command may be sent."""
        self._queues.rekey()
        self._queues.wake_all()

    async def accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        """Stores new commands, as `JournaledCommands.accept`; `add` must follow for each that waits."""
        return await self._immediate.accept(new)

    def add(self, row: CommandRow) -> None:
        """Adds an accepted command; a command that is in a queue already gets its new reply targets."""
        self._queues.add(row)
        self.fallback.schedule(row)
        self._wake_event.set()
        if self._queues.by_priority:  # it may overtake others, or must be held too
            self.recheck()

    def remove(self, row: CommandRow, result: Result) -> None:
        """Removes a command that the owner dropped; the journal has its result and has no open attempt."""
        self._completion.remove_settled(row, result)
        self.recheck()

    async def change_owner(self, backend: str, owner_id: str) -> None:
        """As `OwnerChange.change_owner`: the new owner sends none of the commands that wait.

        Urgent ones go out by the fallback before, which takes seconds: one may be accepted meanwhile.
        """
        while True:
            try:
                settled, stored = await self._journal.commands.change_owner(
                    backend, owner_id, self._other_account_result
                )
                break
            except FallbackDue:
                await self.fallback.deliver_due()
        self._ctx.signals.outbox_changed.emit(stored)
        for row in settled:
            assert row.result is not None
            self._completion.remove_settled(row, row.result)
        self.recheck()

    def _other_account_result(self, row: CommandRow) -> tuple[Result, tuple[NewPublication, ...]]:
        """Returns what ends a command of the previous owner. Raises `FallbackDue`. In the writer thread."""
        if self.fallback.is_due(row):
            raise FallbackDue
        return self._completion.other_account_result(row)

    async def run(self) -> None:
        """Sends commands until cancelled."""
        try:
            await retry_until_stored(self._recover)
            await self._serve()
        finally:
            self.fallback.close()
            self.outcomes.close()

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                if self._queues.can_load:
                    await retry_until_stored(lambda: self._queues.load(self._journal.commands.list_due))
                    self.fallback.update_queues()
                for queue in self._queues.take_new_queues():
                    tasks.create_task(self._run_queue(queue, tasks))
                await self._wake_event.wait()
                self._wake_event.clear()

    async def _recover(self) -> None:
        """Makes attempts that the last run of the process left open uncertain, and expects their echoes."""
        await self._journal.commands.recover_attempts()
        await self.attempts.recover_echoes()
        self._echoes.mark_recovered()
        await self.fallback.recover()
        await self.attempts.recover()

    async def drain(self, seconds: float) -> None:
        """Starts no further attempt, and gives those under way `seconds` to end."""
        self.conditions.stopping = True
        self.fallback.stop()
        self.recheck()
        try:
            async with asyncio.timeout(seconds):
                if self.fallback.deliveries:
                    await asyncio.wait(self.fallback.deliveries)
                for slots, count in (
                    (self._slots, MAX_CONCURRENT_SENDS),
                    (self._file_slots, MAX_CONCURRENT_FILE_SENDS),
                ):
                    for _ in range(count):
                        await slots.acquire()
        except TimeoutError:
            log.warning("attempts were under way at the stop; they are in doubt at the next start")
        await self._remove_marks()

    async def _remove_marks(self) -> None:
        """Removes the marks of attempts that were marked in advance and not made."""
        try:
            for queue in self._queues.all_queues():
                for row in queue.marked:
                    queue.clear_marked(row)
                    with suppress(AlreadySettled):
                        await self._journal.commands.mark_not_delivered(row.id)
        except StoreError as error:
            log.warning("attempts stay marked; they are in doubt at the next start", problem=str(error))

    # One chat

    async def _run_queue(self, queue: ChatQueue, tasks: asyncio.TaskGroup) -> None:
        """Takes the steps of a chat until no command is left."""
        while queue:
            queue.wake.clear()
            self._files.cancel_removed(queue)
            match self._policy.next_step(queue):
                case Settlement(row=row, result=result):
                    await self._settle(queue, row, result)
                case HoldStep(rows=rows, window=window):
                    await self.hold_queue.hold(rows, window)
                case PrepareStep(row=row):
                    self._files.start(queue, row, tasks)
                case WaitStep(seconds=seconds):
                    await wait_at_most(queue.wake, seconds)
                case SendStep(row=row):
                    slots = self._file_slots if has_file(row) else self._slots
                    await self._send_in_slot(queue, slots)
        self._files.cancel_removed(queue)
        self._queues.remove_empty(queue)
        self._wake_event.set()

    async def _send_in_slot(self, queue: ChatQueue, slots: asyncio.Semaphore) -> None:
        """Waits for a slot, and sends the next command if that is still the next step then.

        It waits no longer than until a command of the chat expires.
        """
        try:
            async with asyncio.timeout(queue.next_expiry - boot_time()):
                await slots.acquire()
        except TimeoutError:
            return
        try:
            step = self._policy.next_step(queue) if queue else None
            if isinstance(step, SendStep):
                await self._send(queue, step.row)
        finally:
            slots.release()

    async def _send(self, queue: ChatQueue, row: CommandRow) -> None:
        plan = self._bundles.plan(queue, row)
        request = await self._prepare(queue, row)
        if request is None:
            return
        members = await self._mark_attempt(queue, plan)
        if not members:
            return
        outcome: Receipt | ActionResult | BackendError = Unreachable()
        if self._is_of_this_login(request, members[0]):
            outcome = await self.attempts.attempt(with_texts_of(request, members), members[0])
        try:
            await self._apply_outcome(queue, members, outcome)
        except AlreadySettled:  # another owner came meanwhile
            await self._completion.finish_already_settled(members)
        self._ctx.signals.sending_changed.emit()

    async def _prepare(self, queue: ChatQueue, row: CommandRow) -> BackendRequest | None:
        """Returns the request of a command; None after an error, which ends the command or delays it."""
        try:
            chat = self._resolver.chat_of(row)
            if chat is None:
                raise BadCommand("unresolved_user", "unresolved_user", user=row.command.user)
            return await self._resolver.resolve(row, chat)
        except (BadCommand, Rejected) as error:
            await self._settle(queue, row, rejected_result(row, error, self._ctx.language))
        except BackendError as error:
            self._on_not_delivered(queue, error)
        return None

    def _is_of_this_login(self, request: BackendRequest, row: CommandRow) -> bool:
        """Returns whether the recipient of a request has the same handle in the login that there is now."""
        return self.conditions.online and self._resolver.chat_of(row) == request.chat

    async def _mark_attempt(self, queue: ChatQueue, plan: AttemptPlan) -> tuple[CommandRow, ...]:
        """Marks the attempt; returns its members, none where they may not be sent any more."""
        row = plan.rows[0]
        if queue.is_marked(row):
            queue.clear_marked(row)
            return (row,)
        if not all(map(queue.is_current, plan.rows)) or self._limits.seconds_until_sendable(queue, row) > 0:
            return ()  # the conditions changed while the request was prepared
        if not self._resolver.is_recall(row):
            self.conditions.consume_token()
        try:
            leading = await self._marks.start(plan)
        except AlreadySettled:
            await self._completion.finish_already_settled(plan.rows)
            return ()
        return queue.members_of(leading)

    # What follows from an attempt

    async def _apply_outcome(
        self,
        queue: ChatQueue,
        members: Sequence[CommandRow],
        outcome: Receipt | ActionResult | BackendError,
    ) -> None:
        """Applies the outcome of an attempt. Raises `AlreadySettled`."""
        row = members[0]
        match outcome:
            case ActionResult():
                queue.backoff = queue.backoff.reset()
                recalled = bridge_text(self._ctx.language, "recalled")
                await self._settle(queue, row, final_result(row, Status.SENT, "ok", recalled))
            case Receipt(message_id=message_id):
                await self._on_receipt(queue, row, message_id)
            case Rejected() if row.bundle is not None and not row.unanswered:
                log.warning("a bundle was refused; its texts go one by one", problem=str(outcome))
                self._bundles.on_refused(queue, members)
                await self._marks.end_not_delivered(queue, row)
            case Rejected(code=code):
                await self._settle(queue, row, final_result(row, Status.FAILED, code, str(outcome)))
            case OutcomeUnknown() if row.unanswered + 1 >= MAX_UNANSWERED_ATTEMPTS:
                await self._settle(queue, row, uncertain_result(row, self._ctx.language))
            case OutcomeUnknown():
                self._files.require_again(queue, row)
                await self._marks.end_uncertain(queue, row)
                back_off(queue)
            case _:
                self._files.require_again(queue, row)
                await self._marks.end_not_delivered(queue, row)
                self._on_not_delivered(queue, outcome)

    async def _on_receipt(self, queue: ChatQueue, row: CommandRow, message_id: str) -> None:
        """WeChat accepted a message: the whole command, or the next part of a long text.

        Without a message id it is not certain that the recipient sees it: the code is `unconfirmed`.
        """
        queue.backoff = queue.backoff.reset()
        if row.parts_sent + 1 < len(self._resolver.parts_of(row)):
            await self._marks.end_part_sent(row, message_id)
            return
        code = "ok" if message_id else "unconfirmed"
        sent = final_result(row, Status.SENT, code, bridge_text(self._ctx.language, code))
        await self._settle(queue, row, replace(sent, message_id=message_id or None))

    def _on_not_delivered(self, queue: ChatQueue, error: BackendError) -> None:
        """Applies an error of an attempt that certainly delivered nothing: the command stays in its queue.

        Throttling and a logout stop the whole account, a closed window or another error only this chat.
        """
        match error:
            case Throttled(retry_after=seconds):
                self.conditions.slow_down(seconds)
            case LoggedOut():
                self.conditions.refuse_login()
                self._ctx.login_requests.on_logged_out(error)
            case WindowClosed() if queue and self.hold_queue.closed_window(self._policy.next_row(queue)):
                pass  # the next step of the queue is a HoldStep
            case _:
                back_off(queue)

    async def _settle(self, queue: ChatQueue, row: CommandRow, result: Result) -> None:
        """Ends a command, or the bundle that it leads, with this result."""
        members = queue.members_of(row)
        results = results_of_bundle(members, result)
        waits = [self.fallback.must_wait_for(row, result) for row, result in results]
        if any(waits):
            queue.set_ending(members, result)  # they are settled when their fallback has ended
            return
        results = [(row, self.fallback.complete_result(row, result)) for row, result in results]
        next_row = self._take_next(queue, row) if result.status is Status.SENT else None
        if await self._completion.settle(results, next_row) and next_row is not None:
            self._queues.set_marked(next_row)

    def _take_next(self, queue: ChatQueue, settled: CommandRow) -> CommandRow | None:
        """Returns the command behind `settled` if it may be sent now, and takes its token of the rate limit.

        Its attempt is then marked in the commit that settles the other one, which saves a commit. With a
        reply window it is decided at each attempt which commands go together.
        """
        if self._queues.by_priority:
            return None
        row = next((row for row in queue if row.id != settled.id), None)
        if row is None or not self._is_sendable_at_once(queue, row):
            return None
        self.conditions.consume_token()
        return row

    def _is_sendable_at_once(self, queue: ChatQueue, row: CommandRow) -> bool:
        return (
            self._limits.seconds_until_sendable(queue, row) <= 0
            and self._resolver.is_simple(row)
            and self._resolver.chat_of(row) is not None
            and self._expiry.result_if_expired(row) is None
        )
