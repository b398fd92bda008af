"""MQTT to WeChat, second half: one attempt after the other in each chat, until each command has a result.

An attempt is marked on disk before its request is written; what follows from its outcome is the one
`match` in `_outcome` (DESIGN 4.2). Chats go on side by side; in a chat the order of acceptance is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from wx2mqtt.bridge.echo import Echoes
from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.results import Results, ended, uncertain
from wx2mqtt.bridge.sending.conditions import Conditions, clock, rest
from wx2mqtt.bridge.sending.endings import Endings
from wx2mqtt.bridge.sending.errands import Errands
from wx2mqtt.bridge.sending.fallback import Fallback, FallbackRules
from wx2mqtt.bridge.sending.fetching import Fetching
from wx2mqtt.bridge.sending.holding import Holding, HoldRules
from wx2mqtt.bridge.sending.lanes import Lane, Lanes
from wx2mqtt.bridge.sending.lateness import ATTEMPTS, Lateness
from wx2mqtt.bridge.sending.limits import Bucket
from wx2mqtt.bridge.sending.trying import Trying
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import (
    BadCommand,
    GatewayError,
    LoggedOut,
    OutcomeUnknown,
    Rejected,
    StoreError,
    Throttled,
    WindowClosed,
)
from wx2mqtt.model import Done, Receipt, Result, Status
from wx2mqtt.store.journal import AlreadySettled, CommandRow, Journal
from wx2mqtt.wechat.gateway import Gateway
from wx2mqtt.words import Language, explain, say

log = structlog.get_logger(__name__)

AT_ONCE = 4  # chats that are sent to side by side
FILES_AT_ONCE = 3  # besides those: a file takes its time, and must not hold the texts of others
ECHOES_COME = 86_400_000  # milliseconds after which no login that was away has echoes for us any more


class Sender:
    """Carries out the accepted commands of one account.

    `used` is called when WeChat was asked: its window may be another one now.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        gateway: Gateway,
        errands: Errands,
        echoes: Echoes,
        results: Results,
        bucket: Bucket,
        language: Language,
        logged_out: Callable[[LoggedOut], None],
        published: Callable[[], None],
        hold: Callable[[], HoldRules] = HoldRules,
        fallback: Callable[[], FallbackRules] = FallbackRules,
        used: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal = journal
        self._errands = errands
        self._echoes = echoes
        self._logged_out = logged_out
        self._published = published
        self._used = used
        self.language = language
        self.conditions = Conditions(bucket=bucket)
        self._lanes = Lanes(errands.lane_of, by_priority=gateway.capabilities.window)
        self._endings = Endings(
            journal=journal,
            lanes=self._lanes,
            results=results,
            parts=lambda row: len(errands.parts(row)),
            published=published,
        )
        self._fetching = Fetching(errands=errands, lanes=self._lanes, endings=self._endings)
        self.trying = Trying(journal=journal, gateway=gateway, errands=errands, echoes=echoes)
        self.holding = Holding(
            journal=journal,
            gateway=gateway,
            errands=errands,
            lanes=self._lanes,
            results=results,
            rules=hold,
            language=lambda: self.language,
        )
        self.fallback = Fallback(
            account=results.account,
            journal=journal,
            errands=errands,
            lanes=self._lanes,
            rules=fallback,
            language=lambda: self.language,
            changed=self.changed,
        )
        self._lateness = Lateness(
            lanes=self._lanes,
            conditions=self.conditions,
            holding=self.holding,
            fallback=self.fallback,
            language=lambda: self.language,
        )
        self._places = asyncio.Semaphore(AT_ONCE)
        self._file_places = asyncio.Semaphore(FILES_AT_ONCE)
        self._changed = asyncio.Event()
        self._fresh = asyncio.Event()
        self.results, self.sent = self._endings.counts, self._endings.sent
        echoes.wait_for_recovery()

    def online(self, *, now: bool) -> None:
        """WeChat can be reached as this account, or no longer."""
        self.conditions.online = now
        self.changed()

    def changed(self) -> None:
        """Something that may have held commands back is different now."""
        self._lanes.sort()
        self._changed.set()
        self._changed = asyncio.Event()

    def add(self, row: CommandRow) -> None:
        """A command was accepted, or one that waits got another place to answer to."""
        self._lanes.add(row)
        self.fallback.watch(row)
        self._fresh.set()
        if self._lanes.by_priority:  # it may go before what waits, or is to be held as well
            self.changed()

    def forget(self, row: CommandRow) -> None:
        """The owner dropped a command; the journal has its result, so no attempt is under way."""
        self._lanes.forget(row)
        self.changed()
        self._published()

    async def run(self) -> None:
        """Send what waits until cancelled."""
        try:
            await insist(self._recover)
            await self._serve()
        finally:
            self.fallback.close()

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                if self._lanes.wants:
                    await insist(lambda: self._lanes.fill(self._journal.due))
                for lane in self._lanes.idle():
                    lane.working = True
                    tasks.create_task(self._work(lane))
                await self._fresh.wait()
                self._fresh.clear()

    async def _recover(self) -> None:
        """What the last life left open is in doubt, and what it sent may come back now."""
        await self._journal.recover()
        for row in await self._journal.unanswered(now_ms() - ECHOES_COME):
            for _ in range(row.attempts):  # the last one of an uncertain command is not counted in `unknown`
                self.trying.doubt_echo(row)
        self._echoes.recovered()
        await self.fallback.recover()
        await self.trying.recover()

    async def drain(self, seconds: float) -> None:
        """Begin no attempt any more, and give those that are under way `seconds` to end."""
        self.conditions.stopping = True
        self.fallback.stop()
        self.changed()
        try:
            async with asyncio.timeout(seconds):
                if self.fallback.under_way:
                    await asyncio.wait(self.fallback.under_way)
                for places, count in ((self._places, AT_ONCE), (self._file_places, FILES_AT_ONCE)):
                    for _ in range(count):
                        await places.acquire()
        except TimeoutError:
            log.warning("attempts were under way at the stop; they are in doubt at the next start")
        await self._unmark()

    async def _unmark(self) -> None:
        """Attempts that were marked ahead and are not begun any more are in no doubt."""
        try:
            for lane in self._lanes.all():
                begun, lane.begun = lane.begun, 0
                with suppress(AlreadySettled):
                    if begun:
                        await self._journal.not_delivered(begun)
        except StoreError as trouble:
            log.warning("attempts stay marked; they are in doubt at the next start", problem=str(trouble))

    async def _work(self, lane: Lane) -> None:
        while lane.rows:
            if not await self._may_send(lane):
                break
            if self._errands.must_fetch(lane.rows[0]):
                await self._fetch(lane)
            else:
                has_file = self._errands.has_file(lane.rows[0])
                async with self._file_places if has_file else self._places:
                    await self._send_first(lane)
        self._lanes.close(lane)
        self._fresh.set()

    async def _may_send(self, lane: Lane) -> bool:
        """Wait until the first row may be sent; False when none is left."""
        while lane.rows:
            if await self._end_what_is_over(lane) or await self._hold_back(lane):
                continue
            hindrance = self._hindrance(lane)
            if hindrance <= 0:
                return True
            await self._wait(min(hindrance, *map(self._lateness.left, lane.rows)))
        return False

    async def _end_what_is_over(self, lane: Lane) -> bool:
        """Settle one row that is not sent any more, wherever in the lane; False when there is none."""
        for row in lane.rows:
            if lane.begun != row.id and (over := self._lateness.over(row)) is not None:
                await self._settle(lane, row, over)
                return True
        return False

    async def _hold_back(self, lane: Lane) -> bool:
        """While WeChat takes nothing for them: keep what can wait, end one that cannot. Whether one did."""
        window = (
            None
            if not self.conditions.online or self.conditions.stopping
            else self.holding.shut(lane.rows[0])
        )
        if window is None:
            return False
        if (out := self._lateness.shut_out(lane, window)) is not None:
            await self._settle(lane, *out)
            return True
        kept = await self.holding.keep(lane, window)
        if kept:
            self._published()
        return kept

    async def _send_first(self, lane: Lane) -> None:
        """Send the first row, if it still may be: the lane has waited for its place."""
        if lane.rows and self._hindrance(lane) <= 0 and not self._errands.must_fetch(lane.rows[0]):
            await self._attempt(lane)

    async def _fetch(self, lane: Lane) -> None:
        row = lane.rows[0]
        bad = await self._fetching.first(lane, self._lateness.left(row))
        if bad is not None:
            await self._reject(lane, row, bad)

    async def _reject(self, lane: Lane, row: CommandRow, bad: BadCommand) -> None:
        """It cannot be carried out as it stands; in doubt it stays where an attempt may have arrived."""
        rejected = ended(row, Status.REJECTED, bad.code, explain(self.language, bad))
        await self._settle(lane, row, uncertain(row, self.language) if row.unknown else rejected)

    def _hindrance(self, lane: Lane) -> float:
        """Seconds until the first row of the lane may be sent; infinite until something changes."""
        if lane.begun == lane.rows[0].id and not self.conditions.stopping:
            return 0.0
        if (
            not self.conditions.online
            or self.conditions.stopping
            or self._errands.is_looked_for(lane.rows[0])
        ):
            return float("inf")
        if (window := self.holding.shut(lane.rows[0])) is not None:
            return float("inf") if window.until is None else max(0.1, (window.until - now_ms()) / 1000)
        own_limit = 0.0 if self._errands.is_recall(lane.rows[0]) else self.conditions.own_limit
        return max(self.conditions.throttled, lane.pause - clock(), own_limit)

    async def _wait(self, seconds: float) -> None:
        changed = self._changed
        try:
            async with asyncio.timeout(None if seconds == float("inf") else seconds):
                await changed.wait()
        except TimeoutError:
            pass

    async def _attempt(self, lane: Lane) -> None:
        row = lane.rows[0]
        chat = self._errands.chat(row)
        try:
            if chat is None:
                raise BadCommand("unresolved_user", "unresolved_user", user=row.command.user)
            errand = await self._errands.of(row, chat)
            if lane.begun != row.id:  # nothing is in doubt that was only brought along
                await self.trying.prepare(errand)
            if not await self._begin(lane, row):
                return
        except BadCommand as bad:
            await self._reject(lane, row, bad)
        except Rejected as refused:
            await self._settle(lane, row, ended(row, Status.FAILED, refused.code, str(refused)))
        except GatewayError as error:
            self._hold(lane, error)
        except AlreadySettled:
            await self._endings.was_settled(row)
        else:
            await self._outcome(lane, row, await self.trying.once(errand, row))
            self._used()

    async def _begin(self, lane: Lane, row: CommandRow) -> bool:
        """Mark the attempt on the disk; False where it may not be made any more."""
        if lane.begun != row.id:
            if row not in lane.rows or self._hindrance(lane) > 0:
                return False  # something has happened while the errand was made ready
            if not self._errands.is_recall(row):
                self.conditions.take()
            await insist(lambda: self._journal.begin(row.id))
        lane.begun = 0
        return True

    async def _outcome(self, lane: Lane, row: CommandRow, outcome: Receipt | Done | GatewayError) -> None:
        match outcome:
            case Done():
                lane.backoff = lane.backoff.reset()
                await self._settle(lane, row, ended(row, Status.SENT, "ok", say(self.language, "recalled")))
            case Receipt(message_id=message_id):
                await self._taken(lane, row, message_id)
            case Rejected(code=code):
                await self._settle(lane, row, ended(row, Status.FAILED, code, str(outcome)))
            case OutcomeUnknown() if row.unknown + 1 >= ATTEMPTS:
                self.trying.doubt_echo(row)
                await self._settle(lane, row, uncertain(row, self.language))
            case OutcomeUnknown():
                self.trying.doubt_echo(row)
                await insist(lambda: self._journal.doubt(row.id))
                self._lanes.change(replace(self._lanes.current(row), unknown=1, duplicate_possible=True))
                rest(lane)
            case _:
                await insist(lambda: self._journal.not_delivered(row.id))
                self._hold(lane, outcome)

    async def _taken(self, lane: Lane, row: CommandRow, message_id: str) -> None:
        """WeChat took it, or a part of it; without a number nobody knows whether anybody sees it."""
        lane.backoff = lane.backoff.reset()
        if not message_id:
            self.trying.doubt_echo(row)
        if row.parts_sent + 1 < len(self._errands.parts(row)):
            await insist(lambda: self._journal.part_sent(row.id, message_id))
            now = self._lanes.current(row)
            self._lanes.change(replace(now, parts_sent=row.parts_sent + 1, unknown=0))
            return
        code = "ok" if message_id else "unconfirmed"
        sent = ended(row, Status.SENT, code, say(self.language, code))
        await self._settle(lane, row, replace(sent, message_id=message_id or None))

    def _hold(self, lane: Lane, error: GatewayError) -> None:
        """Certainly not delivered; what holds it back decides for how long and for whom."""
        match error:
            case Throttled(retry_after=seconds):
                self.conditions.slow_down(seconds)
            case LoggedOut():
                self.conditions.online = False
                self._logged_out(error)
            case WindowClosed() if lane.rows and self.holding.shut(lane.rows[0]):
                pass  # they wait for the person
            case _:
                rest(lane)

    async def _settle(self, lane: Lane, row: CommandRow, result: Result) -> None:
        if row.command.urgent:
            result = await self.fallback.before_end(row, result)
        following = self._following(lane, row) if result.status is Status.SENT else None
        if await self._endings.settle(row, result, following) and following is not None:
            lane.begun = following.id

    def _following(self, lane: Lane, before: CommandRow) -> CommandRow | None:
        """The next row, if nothing keeps it: its attempt is marked in the commit that settles this one."""
        if (
            len(lane.rows) < 2
            or not self.conditions.online
            or self.conditions.stopping
            or self.conditions.throttled
        ):
            return None
        row = lane.rows[0] if lane.rows[0].id != before.id else lane.rows[1]
        if not self._errands.is_simple(row) or self._errands.chat(row) is None or self.holding.shut(row):
            return None
        if self.conditions.own_limit > 0 or self._lateness.over(row) is not None:
            return None
        self.conditions.take()
        return row
