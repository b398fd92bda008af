"""MQTT to WeChat, second half: one attempt after the other in each chat, until each command has a result.

An attempt is marked on disk before its request is written; what follows from its outcome is the one
`match` in `_outcome` (DESIGN 4.2). Chats go on side by side; in a chat the order of acceptance is kept.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from wx2mqtt.bridge.echo import Echoes
from wx2mqtt.bridge.identity import Identity
from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.limits import Bucket
from wx2mqtt.bridge.results import Results
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import GatewayError, LoggedOut, OutcomeUnknown, Rejected, Throttled
from wx2mqtt.model import Draft, Kind, PersonId, Receipt, Result, Status
from wx2mqtt.retry import Backoff
from wx2mqtt.store.journal import AlreadySettled, CommandRow, Journal
from wx2mqtt.wechat.gateway import Gateway
from wx2mqtt.words import Language, say

log = structlog.get_logger(__name__)

IN_MEMORY = 500  # commands; what is more waits on disk only
AT_ONCE = 4  # chats that are sent to side by side
SECOND_CHANCE = 600_000  # milliseconds after its ttl in which an unanswered attempt may still be repeated


@dataclass(slots=True)
class Lane:
    """The commands of one chat, oldest first. `pause` is a time of the loop's clock, in seconds."""

    rows: deque[CommandRow] = field(default_factory=deque)
    backoff: Backoff = field(default_factory=Backoff)
    pause: float = 0.0
    begun: int = 0
    working: bool = False


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
        self._lanes: dict[PersonId | str, Lane] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._changed = asyncio.Event()
        self._fresh = asyncio.Event()
        self._more_on_disk = True
        self._online = False
        self._stopping = False
        self._throttled_until = 0.0
        self.bucket = bucket
        self.language = language
        self.results: Counter[tuple[str, str]] = Counter()

    @property
    def waiting(self) -> int:
        """Commands in memory that have no result yet."""
        return sum(len(lane.rows) for lane in self._lanes.values())

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
        self._changed.set()
        self._changed = asyncio.Event()

    def add(self, row: CommandRow) -> None:
        """A command was accepted, or one that waits got another place to answer to."""
        lane = self._lanes.get(_lane_of(row))
        known = next((i for i, other in enumerate(lane.rows) if other.id == row.id), None) if lane else None
        if lane is not None and known is not None:
            lane.rows[known] = replace(lane.rows[known], replies=row.replies)
        elif self._more_on_disk or self.waiting >= IN_MEMORY:
            self._more_on_disk = True  # behind what waits on disk: the order stays
            self._fresh.set()
        else:
            self._put(row)

    def forget(self, row: CommandRow) -> None:
        """The owner dropped a command; the journal has let it go, so no attempt is under way."""
        lane = self._lanes.get(_lane_of(row))
        if lane is not None:
            lane.rows = deque(other for other in lane.rows if other.id != row.id)
            self.changed()

    def _put(self, row: CommandRow) -> None:
        self._lanes.setdefault(_lane_of(row), Lane()).rows.append(row)
        self._fresh.set()

    async def run(self) -> None:
        """Send what waits until cancelled."""
        for row in await insist(self._journal.recover):
            self._doubt_echo(row)
        async with asyncio.TaskGroup() as tasks:
            while True:
                if self._more_on_disk and not self.waiting:
                    await self._load()
                for key, lane in list(self._lanes.items()):
                    if lane.rows and not lane.working:
                        lane.working = True
                        tasks.create_task(self._work(key, lane))
                await self._fresh.wait()
                self._fresh.clear()

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

    async def _load(self) -> None:
        rows = await insist(lambda: self._journal.due(IN_MEMORY, ()))
        self._more_on_disk = len(rows) == IN_MEMORY
        for row in rows:
            self._put(row)

    async def _work(self, key: PersonId | str, lane: Lane) -> None:
        while lane.rows:
            if await self._may_send(lane):
                async with self._places:
                    if lane.rows:
                        await self._attempt(lane)
        del self._lanes[key]
        self._fresh.set()

    async def _may_send(self, lane: Lane) -> bool:
        """Wait until the first row may be sent; False when its time was over before."""
        while lane.rows:
            row = lane.rows[0]
            left = (_deadline(row) - now_ms()) / 1000
            if left <= 0 and lane.begun != row.id:
                await self._settle(lane, self._too_late(row))
                return False
            hindrance = self._hindrance(lane)
            if hindrance <= 0:
                if lane.begun != row.id:
                    self.bucket = self.bucket.take(_clock())
                return True
            await self._wait(min(hindrance, left))
        return False

    def _hindrance(self, lane: Lane) -> float:
        """Seconds until the first row of the lane may be sent; infinite until something changes."""
        if lane.begun == lane.rows[0].id:
            return 0.0
        if not self._online or self._stopping:
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
            await self._settle(lane, self._nobody(row))
            return
        if lane.begun != row.id:
            await insist(lambda: self._journal.begin(row.id))
        lane.begun = 0
        ended = self._echoes.begin(draft.chat, draft.text)
        message_id = ""
        try:
            outcome = await self._try(draft, row)
            if isinstance(outcome, Receipt):
                message_id = outcome.message_id
        finally:
            self._echoes.end(draft.chat, draft.text, ended, message_id)
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
                code = "ok" if message_id else "unconfirmed"
                sent = self._result(row, Status.SENT, code, say(self.language, code))
                await self._settle(lane, replace(sent, message_id=message_id or None))
            case Rejected(code=code):
                await self._settle(lane, self._result(row, Status.FAILED, code, str(outcome)))
            case OutcomeUnknown() if row.unknown:
                await self._settle(lane, self._uncertain(row))
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

    async def _settle(self, lane: Lane, result: Result) -> None:
        row = lane.rows[0]  # read again: it may have got another place to answer to meanwhile
        following = self._following(lane) if result.status is Status.SENT else None
        publications = self._results.publications(result, row.replies)
        begin = None if following is None else following.id
        try:
            await insist(lambda: self._journal.settle(row.id, result, publications, begin))
        except AlreadySettled:  # the owner dropped it in the very moment
            log.info("command was dropped", command=row.command_id)
            begin = None
        if lane.rows and lane.rows[0].id == row.id:
            lane.rows.popleft()
        lane.begun = begin or 0
        self.results[str(result.status), result.code] += 1
        self._published()

    def _following(self, lane: Lane) -> CommandRow | None:
        """The next row, if nothing keeps it: its attempt is marked in the commit that settles this one."""
        if len(lane.rows) < 2 or not self._online or self._stopping or self._throttled_until > _clock():
            return None
        row = lane.rows[1]
        if self.bucket.wait(_clock()) > 0 or _deadline(row) <= now_ms() or self._draft(row) is None:
            return None
        self.bucket = self.bucket.take(_clock())
        return row

    def _draft(self, row: CommandRow) -> Draft | None:
        person = None if row.person is None else self._identity.get(row.person)
        if person is None:  # named before the first login, or joined with somebody since
            person = self._identity.by_level(row.command.user)
        if person is None or person.closed or person.handle is None:
            return None
        return Draft(chat=person.handle, kind=Kind.TEXT, text=row.command.text)

    def _doubt_echo(self, row: CommandRow) -> None:
        draft = self._draft(row)
        if draft is not None:
            self._echoes.doubt(draft.chat, draft.text)

    def _nobody(self, row: CommandRow) -> Result:
        user = row.command.user
        if row.unknown:
            return self._uncertain(row)
        return self._result(
            row, Status.REJECTED, "unresolved_user", say(self.language, "unresolved_user", user=user)
        )

    def _too_late(self, row: CommandRow) -> Result:
        if row.unknown:
            return self._uncertain(row)
        ttl = ((row.expires or 0) - row.accepted) / 1000
        if self._throttled_until > _clock():
            result = self._expired(row, "rate_limited", "expired_rate_limited", ttl)
            return replace(result, retry_after=round(self.throttled, 1))
        if not self._online and not self._stopping:
            return self._expired(row, "logged_out", "expired_logged_out", ttl)
        return self._expired(row, "expired", "expired", ttl)

    def _expired(self, row: CommandRow, code: str, word: str, ttl: float) -> Result:
        return self._result(row, Status.EXPIRED, code, say(self.language, word, ttl=f"{ttl:g}"))

    def _uncertain(self, row: CommandRow) -> Result:
        result = self._result(row, Status.UNCERTAIN, "no_answer", say(self.language, "uncertain"))
        return replace(result, duplicate_possible=True)

    def _result(self, row: CommandRow, status: Status, code: str, message: str) -> Result:
        return Result(
            id=row.command_id,
            user=row.command.user,
            status=status,
            code=code,
            message=message,
            time=now_ms(),
            duplicate_possible=row.duplicate_possible or row.unknown > 0,
        )


def _lane_of(row: CommandRow) -> PersonId | str:
    return row.command.user if row.person is None else row.person


def _deadline(row: CommandRow) -> int:
    """After this a command is no longer sent, in milliseconds (DESIGN 4.2)."""
    expires = row.expires if row.expires is not None else row.accepted
    return expires + SECOND_CHANCE if row.unknown else expires


def _clock() -> float:
    return asyncio.get_running_loop().time()
