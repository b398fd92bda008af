"""MQTT to WeChat, second half: one attempt after the other in each chat, until each command has a result.

An attempt is marked on disk before its request is written; what follows from its outcome is the one
`match` in `_outcome`. Chats go on side by side; in a chat the order of acceptance is kept.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.commands.attempts import SendAttempts, UrlPrefetch
from wx2mqtt.bridge.commands.completion import CommandCompletion
from wx2mqtt.bridge.commands.expiry import MAX_UNANSWERED_ATTEMPTS, ExpiryPolicy
from wx2mqtt.bridge.commands.fallback import FallbackDelivery
from wx2mqtt.bridge.commands.hold import HoldQueue
from wx2mqtt.bridge.commands.queues import ChatQueue, ChatQueues
from wx2mqtt.bridge.commands.rate_limit import SendConditions, TokenBucket, back_off
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import ResultPublications, final_result, uncertain_result
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.echo import EchoFilter
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.errors import (
    BackendError,
    BadCommand,
    LoggedOut,
    OutcomeUnknown,
    Rejected,
    StoreError,
    Throttled,
    WindowClosed,
)
from wx2mqtt.i18n.bridge import bridge_text, rejection_text
from wx2mqtt.model import ActionResult, Receipt, Result, Status
from wx2mqtt.store.commands import AlreadySettled
from wx2mqtt.store.records import CommandRow

log = structlog.get_logger(__name__)

MAX_CONCURRENT_SENDS = 4  # chats that are sent to side by side
MAX_CONCURRENT_FILE_SENDS = 3  # besides those: a file takes its time, and must not hold the texts of others
ECHO_DEADLINE_MS = 86_400_000  # milliseconds after which no login that was away has echoes for us any more


class CommandSender:
    """Carries out the accepted commands of one account."""

    def __init__(
        self, ctx: AccountContext, resolver: CommandResolver, echoes: EchoFilter, results: ResultPublications
    ) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self._resolver = resolver
        self._echoes = echoes
        self.conditions = SendConditions(
            bucket=TokenBucket.full(ctx.settings.per_minute, ctx.settings.burst, loop_time())
        )
        self._queues = ChatQueues(resolver, by_priority=ctx.backend.capabilities.has_reply_window)
        self._completion = CommandCompletion(ctx, resolver, self._queues, results)
        self._prefetch = UrlPrefetch(resolver, self._queues, self._completion)
        self.attempts = SendAttempts(ctx, resolver, echoes)
        self.hold_queue = HoldQueue(ctx, resolver, self._queues, results)
        self.fallback = FallbackDelivery(ctx, resolver, self._queues)
        self.fallback.delivered.connect(self.recheck)
        self._expiry = ExpiryPolicy(ctx, self._queues, self.conditions, self.hold_queue, self.fallback)
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_SENDS)
        self._file_slots = asyncio.Semaphore(MAX_CONCURRENT_FILE_SENDS)
        self._recheck_event = asyncio.Event()
        self._wake_event = asyncio.Event()
        self.result_counts = self._completion.result_counts
        self.sent_counts = self._completion.sent_counts
        echoes.require_recovery()

    def set_online(self, online: bool) -> None:
        """WeChat can be reached as this account, or no longer."""
        self.conditions.online = online
        self.recheck()

    def resize_rate_limit(self) -> None:
        """Take over the rate limit of the settings; the tokens that are there stay."""
        settings, bucket = self._ctx.settings, self.conditions.bucket
        self.conditions.bucket = bucket.resized(settings.per_minute, settings.burst, loop_time())

    def recheck(self) -> None:
        """Something that may have held commands back is different now."""
        self._queues.rekey()
        self._recheck_event.set()
        self._recheck_event = asyncio.Event()

    def add(self, row: CommandRow) -> None:
        """A command was accepted, or one that waits got another place to answer to."""
        self._queues.add(row)
        self.fallback.schedule(row)
        self._wake_event.set()
        if self._queues.by_priority:  # it may go before what waits, or is to be held as well
            self.recheck()

    def remove(self, row: CommandRow) -> None:
        """The owner dropped a command; the journal has its result, so no attempt is under way."""
        self._queues.remove(row)
        self.recheck()

    async def run(self) -> None:
        """Send what waits until cancelled."""
        try:
            await retry_until_stored(self._recover)
            await self._serve()
        finally:
            self.fallback.close()

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                if self._queues.can_load:
                    await retry_until_stored(lambda: self._queues.load(self._journal.list_due))
                for lane in self._queues.idle_queues():
                    lane.is_active = True
                    tasks.create_task(self._run_queue(lane))
                await self._wake_event.wait()
                self._wake_event.clear()

    async def _recover(self) -> None:
        """What the last life left open is in doubt, and what it sent may come back now."""
        await self._journal.recover_attempts()
        for row in await self._journal.list_unanswered(now_ms() - ECHO_DEADLINE_MS):
            for _ in range(row.attempts):  # the last one of an uncertain command is not counted in `unknown`
                self.attempts.expect_late_echo(row)
        self._echoes.mark_recovered()
        await self.fallback.recover()
        await self.attempts.recover()

    async def drain(self, seconds: float) -> None:
        """Begin no attempt any more, and give those that are under way `seconds` to end."""
        self.conditions.stopping = True
        self.fallback.stop()
        self.recheck()
        try:
            async with asyncio.timeout(seconds):
                if self.fallback.deliveries:
                    await asyncio.wait(self.fallback.deliveries)
                for places, count in (
                    (self._slots, MAX_CONCURRENT_SENDS),
                    (self._file_slots, MAX_CONCURRENT_FILE_SENDS),
                ):
                    for _ in range(count):
                        await places.acquire()
        except TimeoutError:
            log.warning("attempts were under way at the stop; they are in doubt at the next start")
        await self._unmark_started()

    async def _unmark_started(self) -> None:
        """Attempts that were marked ahead and are not begun any more are in no doubt."""
        try:
            for lane in self._queues.all_queues():
                begun, lane.started_row_id = lane.started_row_id, 0
                with suppress(AlreadySettled):
                    if begun:
                        await self._journal.mark_not_delivered(begun)
        except StoreError as trouble:
            log.warning("attempts stay marked; they are in doubt at the next start", problem=str(trouble))

    async def _run_queue(self, queue: ChatQueue) -> None:
        while queue.rows:
            if not await self._wait_until_sendable(queue):
                break
            if self._resolver.needs_fetch(queue.rows[0]):
                await self._fetch(queue)
            else:
                has_file = self._resolver.has_file(queue.rows[0])
                async with self._file_slots if has_file else self._slots:
                    await self._send_first(queue)
        self._queues.remove_empty(queue)
        self._wake_event.set()

    async def _wait_until_sendable(self, queue: ChatQueue) -> bool:
        """Wait until the first row may be sent; False when none is left."""
        while queue.rows:
            if await self._settle_expired(queue) or await self._hold_while_closed(queue):
                continue
            hindrance = self._seconds_until_sendable(queue)
            if hindrance <= 0:
                return True
            await self._wait(min(hindrance, *map(self._expiry.seconds_left, queue.rows)))
        return False

    async def _settle_expired(self, queue: ChatQueue) -> bool:
        """Settle one row that is not sent any more, wherever in the lane; False when there is none."""
        for row in queue.rows:
            if queue.started_row_id != row.id and (over := self._expiry.expired_result(row)) is not None:
                await self._settle(queue, row, over)
                return True
        return False

    async def _hold_while_closed(self, queue: ChatQueue) -> bool:
        """While WeChat takes nothing for them: keep what can wait, end one that cannot. Whether one did."""
        window = (
            None
            if not self.conditions.online or self.conditions.stopping
            else self.hold_queue.closed_window(queue.rows[0])
        )
        if window is None:
            return False
        if (out := self._expiry.find_unsendable(queue, window)) is not None:
            await self._settle(queue, *out)
            return True
        return await self.hold_queue.hold(queue, window)

    async def _send_first(self, queue: ChatQueue) -> None:
        """Send the first row, if it still may be: the lane has waited for its place."""
        if (
            queue.rows
            and self._seconds_until_sendable(queue) <= 0
            and not self._resolver.needs_fetch(queue.rows[0])
        ):
            await self._attempt(queue)

    async def _fetch(self, queue: ChatQueue) -> None:
        row = queue.rows[0]
        bad = await self._prefetch.fetch_first(queue, self._expiry.seconds_left(row))
        if bad is not None:
            await self._reject(queue, row, bad)

    async def _reject(self, queue: ChatQueue, row: CommandRow, bad: BadCommand) -> None:
        """It cannot be carried out as it stands; in doubt it stays where an attempt may have arrived."""
        rejected = final_result(row, Status.REJECTED, bad.code, rejection_text(self._ctx.language, bad))
        await self._settle(
            queue, row, uncertain_result(row, self._ctx.language) if row.unanswered else rejected
        )

    def _seconds_until_sendable(self, queue: ChatQueue) -> float:
        """Seconds until the first row of the lane may be sent; infinite until something changes."""
        if queue.started_row_id == queue.rows[0].id and not self.conditions.stopping:
            return 0.0
        if (
            not self.conditions.online
            or self.conditions.stopping
            or self._resolver.is_person_pending(queue.rows[0])
        ):
            return float("inf")
        if (window := self.hold_queue.closed_window(queue.rows[0])) is not None:
            return float("inf") if window.until is None else max(0.1, (window.until - now_ms()) / 1000)
        own_limit = 0.0 if self._resolver.is_recall(queue.rows[0]) else self.conditions.rate_limit_seconds
        return max(self.conditions.throttled_seconds, queue.paused_until - loop_time(), own_limit)

    async def _wait(self, seconds: float) -> None:
        changed = self._recheck_event
        try:
            async with asyncio.timeout(None if seconds == float("inf") else seconds):
                await changed.wait()
        except TimeoutError:
            pass

    async def _attempt(self, queue: ChatQueue) -> None:
        row = queue.rows[0]
        chat = self._resolver.chat_of(row)
        try:
            if chat is None:
                raise BadCommand("unresolved_user", "unresolved_user", user=row.command.user)
            errand = await self._resolver.resolve(row, chat)
            if queue.started_row_id != row.id:  # nothing is in doubt that was only brought along
                await self.attempts.prepare(errand)
            if not await self._mark_started(queue, row):
                return
        except BadCommand as bad:
            await self._reject(queue, row, bad)
        except Rejected as refused:
            await self._settle(queue, row, final_result(row, Status.FAILED, refused.code, str(refused)))
        except BackendError as error:
            self._on_not_delivered(queue, error)
        except AlreadySettled:
            await self._completion.finish_already_settled(row)
        else:
            await self._apply_outcome(queue, row, await self.attempts.attempt(errand, row))
            self._ctx.signals.send_attempted.emit()

    async def _mark_started(self, queue: ChatQueue, row: CommandRow) -> bool:
        """Mark the attempt on the disk; False where it may not be made any more."""
        if queue.started_row_id != row.id:
            if row not in queue.rows or self._seconds_until_sendable(queue) > 0:
                return False  # something has happened while the errand was made ready
            if not self._resolver.is_recall(row):
                self.conditions.consume_token()
            await retry_until_stored(lambda: self._journal.mark_started(row.id))
        queue.started_row_id = 0
        return True

    async def _apply_outcome(
        self, queue: ChatQueue, row: CommandRow, outcome: Receipt | ActionResult | BackendError
    ) -> None:
        match outcome:
            case ActionResult():
                queue.backoff = queue.backoff.reset()
                await self._settle(
                    queue,
                    row,
                    final_result(row, Status.SENT, "ok", bridge_text(self._ctx.language, "recalled")),
                )
            case Receipt(message_id=message_id):
                await self._on_receipt(queue, row, message_id)
            case Rejected(code=code):
                await self._settle(queue, row, final_result(row, Status.FAILED, code, str(outcome)))
            case OutcomeUnknown() if row.unanswered + 1 >= MAX_UNANSWERED_ATTEMPTS:
                self.attempts.expect_late_echo(row)
                await self._settle(queue, row, uncertain_result(row, self._ctx.language))
            case OutcomeUnknown():
                self.attempts.expect_late_echo(row)
                await retry_until_stored(lambda: self._journal.mark_uncertain(row.id))
                self._queues.replace_row(
                    replace(self._queues.current_row(row), unanswered=1, duplicate_possible=True)
                )
                back_off(queue)
            case _:
                await retry_until_stored(lambda: self._journal.mark_not_delivered(row.id))
                self._on_not_delivered(queue, outcome)

    async def _on_receipt(self, queue: ChatQueue, row: CommandRow, message_id: str) -> None:
        """WeChat took it, or a part of it; without a number nobody knows whether anybody sees it."""
        queue.backoff = queue.backoff.reset()
        if not message_id:
            self.attempts.expect_late_echo(row)
        if row.parts_sent + 1 < len(self._resolver.parts_of(row)):
            await retry_until_stored(lambda: self._journal.mark_part_sent(row.id, message_id))
            now = self._queues.current_row(row)
            self._queues.replace_row(replace(now, parts_sent=row.parts_sent + 1, unanswered=0))
            return
        code = "ok" if message_id else "unconfirmed"
        sent = final_result(row, Status.SENT, code, bridge_text(self._ctx.language, code))
        await self._settle(queue, row, replace(sent, message_id=message_id or None))

    def _on_not_delivered(self, queue: ChatQueue, error: BackendError) -> None:
        """Certainly not delivered; what holds it back decides for how long and for whom."""
        match error:
            case Throttled(retry_after=seconds):
                self.conditions.slow_down(seconds)
            case LoggedOut():
                self.conditions.online = False
                self._ctx.signals.logged_out.emit(error)
            case WindowClosed() if queue.rows and self.hold_queue.closed_window(queue.rows[0]):
                pass  # they wait for the person
            case _:
                back_off(queue)

    async def _settle(self, queue: ChatQueue, row: CommandRow, result: Result) -> None:
        if row.command.urgent:
            result = await self.fallback.complete_result(row, result)
        following = self._next_sendable(queue, row) if result.status is Status.SENT else None
        if await self._completion.settle(row, result, following) and following is not None:
            queue.started_row_id = following.id

    def _next_sendable(self, queue: ChatQueue, before: CommandRow) -> CommandRow | None:
        """The next row, if nothing keeps it: its attempt is marked in the commit that settles this one."""
        if (
            len(queue.rows) < 2
            or not self.conditions.online
            or self.conditions.stopping
            or self.conditions.throttled_seconds
        ):
            return None
        row = queue.rows[0] if queue.rows[0].id != before.id else queue.rows[1]
        if (
            not self._resolver.is_simple(row)
            or self._resolver.chat_of(row) is None
            or self.hold_queue.closed_window(row)
        ):
            return None
        if self.conditions.rate_limit_seconds > 0 or self._expiry.expired_result(row) is not None:
            return None
        self.conditions.consume_token()
        return row
