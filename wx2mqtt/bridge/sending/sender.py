"""MQTT to WeChat, second half: one attempt after the other in each chat, until each command has a result.

An attempt is marked on disk before its request is written; what follows from its outcome is the one
`match` in `_outcome` (DESIGN 4.2). Chats go on side by side; in a chat the order of acceptance is kept.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import structlog

from wx2mqtt.bridge.echo import Echoes
from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.results import Results, ended, expired, uncertain
from wx2mqtt.bridge.sending.endings import Endings
from wx2mqtt.bridge.sending.errands import Errand, Errands
from wx2mqtt.bridge.sending.lanes import Lane, Lanes
from wx2mqtt.bridge.sending.limits import Bucket
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import (
    BadCommand,
    GatewayError,
    LoggedOut,
    OutcomeUnknown,
    Rejected,
    StoreError,
    Throttled,
)
from wx2mqtt.model import Done, Recall, Receipt, Result, Status
from wx2mqtt.outside.trouble import Broken, NotNow
from wx2mqtt.store.journal import AlreadySettled, CommandRow, Journal
from wx2mqtt.wechat.gateway import Gateway
from wx2mqtt.words import Language, explain, say

log = structlog.get_logger(__name__)

AT_ONCE = 4  # chats that are sent to side by side
FILES_AT_ONCE = 3  # besides those: a file takes its time, and must not hold the texts of others
FETCHES_AT_ONCE = 8
FETCHES = 3  # of a url whose answers break off
ATTEMPTS = 2  # that may stay unanswered (DESIGN 4.2)
SECOND_CHANCE = (60.0, 600.0)  # seconds after its ttl in which an unanswered attempt may be repeated: as long
# as the ttl was, since who wanted it at once does not want it much later; but WeChat gets time to come back
ECHOES_COME = 86_400_000  # milliseconds after which no login that was away has echoes for us any more

Answer = TypeVar("Answer")


class Sender:
    """Carries out the accepted commands of one account."""

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
    ) -> None:
        self._journal = journal
        self._gateway = gateway
        self._errands = errands
        self._echoes = echoes
        self._logged_out = logged_out
        self._published = published
        self._lanes = Lanes(errands.lane_of)
        self._endings = Endings(journal=journal, lanes=self._lanes, results=results, published=published)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._file_places = asyncio.Semaphore(FILES_AT_ONCE)
        self._fetches = asyncio.Semaphore(FETCHES_AT_ONCE)
        self._changed = asyncio.Event()
        self._fresh = asyncio.Event()
        self._online = False
        self._stopping = False
        self._throttled_until = 0.0
        self.bucket = bucket
        self.language = language
        self.results, self.sent = self._endings.counts, self._endings.sent
        echoes.wait_for_recovery()

    @property
    def throttled(self) -> float:
        """Seconds until WeChat may be asked again; 0 when it may be now."""
        return max(0.0, self._throttled_until - _clock())

    def online(self, *, now: bool) -> None:
        """WeChat can be reached as this account, or no longer."""
        self._online = now
        self.changed()

    def changed(self) -> None:
        """Something that may have held commands back is different now."""
        self._lanes.sort()
        self._changed.set()
        self._changed = asyncio.Event()

    def add(self, row: CommandRow) -> None:
        """A command was accepted, or one that waits got another place to answer to."""
        self._lanes.add(row)
        self._fresh.set()

    def forget(self, row: CommandRow) -> None:
        """The owner dropped a command; the journal has its result, so no attempt is under way."""
        self._lanes.forget(row)
        self.changed()
        self._published()

    async def run(self) -> None:
        """Send what waits until cancelled."""
        await insist(self._recover)
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
                self._doubt_echo(row)
        self._echoes.recovered()

    async def drain(self, seconds: float) -> None:
        """Begin no attempt any more, and give those that are under way `seconds` to end."""
        self._stopping = True
        self.changed()
        try:
            async with asyncio.timeout(seconds):
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
            if await self._end_what_is_over(lane):
                continue
            hindrance = self._hindrance(lane)
            if hindrance <= 0:
                return True
            await self._wait(min(hindrance, *map(self._left, lane.rows)))
        return False

    async def _end_what_is_over(self, lane: Lane) -> bool:
        """Settle one row that is not sent any more, wherever in the lane; False when there is none."""
        for row in lane.rows:
            if lane.begun != row.id and (over := self._over(row)) is not None:
                await self._settle(lane, row, over)
                return True
        return False

    async def _send_first(self, lane: Lane) -> None:
        """Send the first row, if it still may be: the lane has waited for its place."""
        if lane.rows and self._hindrance(lane) <= 0 and not self._errands.must_fetch(lane.rows[0]):
            await self._attempt(lane)

    async def _fetch(self, lane: Lane) -> None:
        """Get the file of the first row; nothing of its attempt has begun."""
        row = lane.rows[0]
        try:
            async with self._fetches:
                fetched = await self._errands.fetch(row, self._left(row))
        except AlreadySettled:
            await self._endings.was_settled(row)
        except NotNow as trouble:
            lane.fetch_failed(row.id, trouble)
            if isinstance(trouble, Broken) and lane.failures >= FETCHES:
                await self._reject(lane, row, trouble)
            else:
                self._pause(lane)
        except BadCommand as bad:
            await self._reject(lane, row, bad)
        except StoreError as trouble:
            log.error("store does not take a file yet", problem=str(trouble))
            self._pause(lane)
        else:
            self._lanes.change(fetched)
            lane.backoff = lane.backoff.reset()

    async def _reject(self, lane: Lane, row: CommandRow, bad: BadCommand) -> None:
        """It cannot be carried out as it stands; in doubt it stays where an attempt may have arrived."""
        rejected = ended(row, Status.REJECTED, bad.code, explain(self.language, bad))
        await self._settle(lane, row, uncertain(row, self.language) if row.unknown else rejected)

    def _over(self, row: CommandRow) -> Result | None:
        """The result of a command that is not sent any more."""
        if row.unknown >= ATTEMPTS:  # one of them, at least, in a life that crashed
            return uncertain(row, self.language)
        return self._too_late(row) if self._left(row) <= 0 else None

    def _left(self, row: CommandRow) -> float:
        """Seconds within which an attempt may begin (DESIGN 4.2)."""
        return self._lanes.left(row) + (_second_chance(row) if row.unknown else 0.0)

    def _hindrance(self, lane: Lane) -> float:
        """Seconds until the first row of the lane may be sent; infinite until something changes."""
        if lane.begun == lane.rows[0].id and not self._stopping:
            return 0.0
        if not self._online or self._stopping or self._errands.is_looked_for(lane.rows[0]):
            return float("inf")
        now = _clock()
        own_limit = 0.0 if self._errands.is_recall(lane.rows[0]) else self.bucket.wait(now)
        return max(self._throttled_until - now, lane.pause - now, own_limit)

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
            if not await self._begin(lane, row):
                return
        except BadCommand as bad:
            await self._reject(lane, row, bad)
        except GatewayError as error:
            self._hold(lane, error)
        except AlreadySettled:
            await self._endings.was_settled(row)
        else:
            await self._outcome(lane, row, await self._try(errand, row))

    async def _begin(self, lane: Lane, row: CommandRow) -> bool:
        """Mark the attempt on the disk; False where it may not be made any more."""
        if lane.begun != row.id:
            if row not in lane.rows or self._hindrance(lane) > 0:
                return False  # something has happened while the errand was made ready
            if not self._errands.is_recall(row):
                self.bucket = self.bucket.take(_clock())
            await insist(lambda: self._journal.begin(row.id))
        lane.begun = 0
        return True

    async def _try(self, errand: Errand, row: CommandRow) -> Receipt | Done | GatewayError:
        if isinstance(errand, Recall):
            return await self._answer_to(self._gateway.act(errand, row.key), row)
        ended = self._echoes.begin(errand.chat, errand.kind)
        message_id = ""
        try:
            outcome = await self._answer_to(self._gateway.send(errand, row.key), row)
            if isinstance(outcome, Receipt):
                message_id = outcome.message_id
        finally:
            self._echoes.end(errand.chat, errand.kind, ended, message_id)
        return outcome

    async def _answer_to(self, asked: Awaitable[Answer], row: CommandRow) -> Answer | GatewayError:
        try:
            return await asked
        except GatewayError as error:
            return error
        except Exception:  # a fault of ours: whether the request was written is not known
            log.exception("send failed", command=row.command_id)
            return OutcomeUnknown()

    async def _outcome(self, lane: Lane, row: CommandRow, outcome: Receipt | Done | GatewayError) -> None:
        match outcome:
            case Done():
                lane.backoff = lane.backoff.reset()
                await self._settle(lane, row, ended(row, Status.SENT, "ok", say(self.language, "recalled")))
            case Receipt(message_id=message_id):
                lane.backoff = lane.backoff.reset()
                if not message_id:
                    self._doubt_echo(row)
                code = "ok" if message_id else "unconfirmed"
                sent = ended(row, Status.SENT, code, say(self.language, code))
                await self._settle(lane, row, replace(sent, message_id=message_id or None))
            case Rejected(code=code):
                await self._settle(lane, row, ended(row, Status.FAILED, code, str(outcome)))
            case OutcomeUnknown() if row.unknown + 1 >= ATTEMPTS:
                self._doubt_echo(row)
                await self._settle(lane, row, uncertain(row, self.language))
            case OutcomeUnknown():
                self._doubt_echo(row)
                await insist(lambda: self._journal.doubt(row.id))
                lane.rows[0] = replace(lane.rows[0], unknown=1, duplicate_possible=True)
                self._pause(lane)
            case _:
                await insist(lambda: self._journal.not_delivered(row.id))
                self._hold(lane, outcome)

    def _hold(self, lane: Lane, error: GatewayError) -> None:
        """Certainly not delivered; what holds it back decides for how long and for whom."""
        match error:
            case Throttled(retry_after=seconds):
                self._throttled_until = max(self._throttled_until, _clock() + seconds)
            case LoggedOut():
                self._online = False
                self._logged_out(error)
            case _:
                self._pause(lane)

    def _pause(self, lane: Lane) -> None:
        lane.backoff = lane.backoff.failed()
        lane.pause = _clock() + lane.backoff.wait(random.random())

    async def _settle(self, lane: Lane, row: CommandRow, result: Result) -> None:
        following = self._following(lane) if result.status is Status.SENT else None
        if await self._endings.settle(row, result, following) and following is not None:
            lane.begun = following.id

    def _following(self, lane: Lane) -> CommandRow | None:
        """The next row, if nothing keeps it: its attempt is marked in the commit that settles this one."""
        if len(lane.rows) < 2 or not self._online or self._stopping or self._throttled_until > _clock():
            return None
        row = lane.rows[1]
        if not self._errands.is_simple(row) or self._errands.chat(row) is None:
            return None
        if self.bucket.wait(_clock()) > 0 or self._over(row) is not None:
            return None
        self.bucket = self.bucket.take(_clock())
        return row

    def _doubt_echo(self, row: CommandRow) -> None:
        """The echo of an attempt that nobody answered may still come, with a time of about then."""
        chat, seen = self._errands.chat(row), self._errands.seen(row)
        if chat is not None and seen is not None:
            ended = row.result.time if row.result else now_ms()
            self._echoes.doubt(chat, *seen, row.accepted, ended)

    def _too_late(self, row: CommandRow) -> Result:
        """Expired, and what kept it from being sent."""
        if row.unknown:
            return uncertain(row, self.language)
        if (trouble := self._lanes.fetch_trouble(row)) is not None:
            why = explain(self.language, trouble)
            return expired(row, self.language, trouble.code, "expired_fetch", why=why)
        if (wait := self.throttled) > 0:
            return expired(row, self.language, "rate_limited", "expired_rate_limited", wait)
        if not self._online and not self._stopping:
            return expired(row, self.language, "logged_out", "expired_logged_out")
        if (wait := self.bucket.wait(_clock())) > 0:
            return expired(row, self.language, "rate_limited", "expired_own_limit", wait)
        return expired(row, self.language, "expired", "expired")


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _second_chance(row: CommandRow) -> float:
    shortest, longest = SECOND_CHANCE
    ttl = ((row.expires or row.accepted) - row.accepted) / 1000
    return min(longest, max(shortest, ttl))
