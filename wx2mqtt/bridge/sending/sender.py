"""MQTT to WeChat, second half: one attempt after the other in each chat, until each command has a result.

An attempt is marked on disk before its request is written; what follows from its outcome is the one
`match` in `_outcome` (DESIGN 4.2). Chats go on side by side; in a chat the order of acceptance is kept.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from wx2mqtt.bridge.echo import Echoes
from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.people.identity import Identity
from wx2mqtt.bridge.results import Results, ended, expired, uncertain
from wx2mqtt.bridge.sending.lanes import Key, Lane, Lanes
from wx2mqtt.bridge.sending.limits import Bucket
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import GatewayError, LoggedOut, OutcomeUnknown, Rejected, StoreError, Throttled
from wx2mqtt.model import Draft, Kind, Receipt, Result, Status
from wx2mqtt.store.journal import AlreadySettled, CommandRow, Journal
from wx2mqtt.store.people import Person
from wx2mqtt.wechat.gateway import Gateway
from wx2mqtt.words import Language, say

log = structlog.get_logger(__name__)

AT_ONCE = 4  # chats that are sent to side by side
ATTEMPTS = 2  # that may stay unanswered (DESIGN 4.2)
SECOND_CHANCE = (60.0, 600.0)  # seconds after its ttl in which an unanswered attempt may be repeated: as long
# as the ttl was, since who wanted it at once does not want it much later; but WeChat gets time to come back
ECHOES_COME = 86_400_000  # milliseconds after which no login that was away has echoes for us any more


class Sender:
    """Carries out the accepted commands of one account."""

    def __init__(
        self,
        *,
        journal: Journal,
        gateway: Gateway,
        identity: Identity,
        echoes: Echoes,
        results: Results,
        bucket: Bucket,
        language: Language,
        logged_out: Callable[[LoggedOut], None],
        published: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._gateway = gateway
        self._identity = identity
        self._echoes = echoes
        self._results = results
        self._logged_out = logged_out
        self._published = published
        self._lanes = Lanes(self._lane_of)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._changed = asyncio.Event()
        self._fresh = asyncio.Event()
        self._online = False
        self._stopping = False
        self._throttled_until = 0.0
        self.bucket = bucket
        self.language = language
        self.results: Counter[tuple[str, str]] = Counter()
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
                for _ in range(AT_ONCE):
                    await self._places.acquire()
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
            if await self._may_send(lane):
                async with self._places:
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
        if not lane.rows or self._hindrance(lane) > 0:
            return
        if lane.begun != lane.rows[0].id:
            self.bucket = self.bucket.take(_clock())
        await self._attempt(lane)

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
        if not self._online or self._stopping or self._is_looked_for(lane.rows[0]):
            return float("inf")
        now = _clock()
        return max(self._throttled_until - now, lane.pause - now, self.bucket.wait(now))

    async def _wait(self, seconds: float) -> None:
        changed = self._changed
        try:
            async with asyncio.timeout(None if seconds == float("inf") else seconds):
                await changed.wait()
        except TimeoutError:
            pass

    async def _attempt(self, lane: Lane) -> None:
        row = lane.rows[0]
        draft = self._draft(row)
        if draft is None:
            await self._settle(lane, row, self._nobody(row))
            return
        try:
            if lane.begun != row.id:
                await insist(lambda: self._journal.begin(row.id))
        except AlreadySettled:
            await self._was_settled(row)
            return
        lane.begun = 0
        ended = self._echoes.begin(draft.chat)
        message_id = ""
        try:
            outcome = await self._try(draft, row)
            if isinstance(outcome, Receipt):
                message_id = outcome.message_id
        finally:
            self._echoes.end(draft.chat, ended, message_id)
        await self._outcome(lane, row, outcome)

    async def _try(self, draft: Draft, row: CommandRow) -> Receipt | GatewayError:
        try:
            return await self._gateway.send(draft, row.key)
        except GatewayError as error:
            return error
        except Exception:  # a fault of ours: whether the request was written is not known
            log.exception("send failed", command=row.command_id)
            return OutcomeUnknown()

    async def _outcome(self, lane: Lane, row: CommandRow, outcome: Receipt | GatewayError) -> None:
        match outcome:
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
        row = replace(row, replies=self._lanes.replies(row))  # by now there may be more
        following = self._following(lane) if result.status is Status.SENT else None
        begun = following is not None and await self._end(row, result, following.id)
        if not begun and not await self._end(row, result, None):
            await self._was_settled(row)
            return
        await self._answer_late(row, result)
        self._lanes.forget(row)
        if following is not None and begun:
            lane.begun = following.id
        self.results[str(result.status), result.code] += 1
        self._published()

    async def _end(self, row: CommandRow, result: Result, begin: int | None) -> bool:
        """Store the end of a command and the begin of the next; False where the owner has dropped either."""
        publications = self._results.publications(result, row.replies)
        try:
            await insist(lambda: self._journal.settle(row.id, result, publications, begin))
        except AlreadySettled:
            return False
        return True

    async def _was_settled(self, row: CommandRow) -> None:
        """It was dropped in this very moment, or repeated and told to us after its end."""
        log.info("command has its result already", command=row.command_id)
        stored = await insist(lambda: self._journal.get(row.command_id))
        if stored is not None and stored.result is not None:
            await self._answer_late(replace(row, replies=()), stored.result)
        self._lanes.forget(row)
        self._published()

    async def _answer_late(self, row: CommandRow, result: Result) -> None:
        """Tell the result where it was asked for while it was being stored; `row` has those who know."""
        late = [one for one in self._lanes.replies(row) if one not in row.replies]
        if late:
            publications = self._results.publications(result, late)
            await insist(lambda: self._journal.publish(publications))

    def _following(self, lane: Lane) -> CommandRow | None:
        """The next row, if nothing keeps it: its attempt is marked in the commit that settles this one."""
        if len(lane.rows) < 2 or not self._online or self._stopping or self._throttled_until > _clock():
            return None
        row = lane.rows[1]
        if self.bucket.wait(_clock()) > 0 or self._over(row) is not None or self._draft(row) is None:
            return None
        self.bucket = self.bucket.take(_clock())
        return row

    def _person(self, row: CommandRow) -> Person | None:
        """For whom it is; nobody, where somebody was named before the first login and is not known yet."""
        known = None if row.person is None else self._identity.get(row.person)
        return known or self._identity.by_level(row.command.user)

    def _lane_of(self, row: CommandRow) -> Key:
        """One person has one lane, by whatever name and whenever they were written to."""
        person = self._person(row)
        return row.command.user if person is None else person.id

    def _is_looked_for(self, row: CommandRow) -> bool:
        """Whether the contacts of this login, which are not all there yet, may still bring the person."""
        person = self._person(row)
        found = person is not None and (person.closed or person.handle is not None)
        return not found and not self._identity.complete

    def _draft(self, row: CommandRow) -> Draft | None:
        person = self._person(row)
        if person is None or person.closed or person.handle is None:
            return None
        return Draft(chat=person.handle, kind=Kind.TEXT, text=row.command.text)

    def _doubt_echo(self, row: CommandRow) -> None:
        """The echo of an attempt that nobody answered may still come, with a time of about then."""
        draft = self._draft(row)
        if draft is not None:
            ended = row.result.time if row.result else now_ms()
            self._echoes.doubt(draft.chat, draft.text, row.accepted, ended)

    def _nobody(self, row: CommandRow) -> Result:
        if row.unknown:
            return uncertain(row, self.language)
        words = say(self.language, "unresolved_user", user=row.command.user)
        return ended(row, Status.REJECTED, "unresolved_user", words)

    def _too_late(self, row: CommandRow) -> Result:
        """Expired, and what kept it from being sent."""
        if row.unknown:
            return uncertain(row, self.language)
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
