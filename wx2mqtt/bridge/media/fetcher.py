"""Fetches the bytes of messages from WeChat, beside everything else, and tells what became of them.

One at a time: parallel downloads were seen to return another message's bytes (webwx 2.16). What is to be
fetched stands in the journal and so does when, so that a crash loses no job and a restart makes no storm.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

import structlog

from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.media.holding import Holding
from wx2mqtt.bridge.media.rules import MediaRules
from wx2mqtt.bridge.media.shown import EVENT, over_event
from wx2mqtt.bridge.media.tries import Again, Over, after, too_large
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import LoggedOut, NothingYet, StoreError, Throttled, Unreachable, Wx2MqttError
from wx2mqtt.model import Blob
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.mqtt.topics import JSON, Topics
from wx2mqtt.retry import Backoff
from wx2mqtt.store.blobs import Blobs, TooMuch
from wx2mqtt.store.journal import Journal, MediaRow, MediaState, NewPublication, Part
from wx2mqtt.wechat.gateway import Gateway
from wx2mqtt.words import Language, say

log = structlog.get_logger(__name__)

SILENCE = 30.0  # seconds without a byte after which a download is given up
LONGEST = 1800.0  # seconds that one may take at all: a trickle must not keep the others waiting for ever
STANDSTILL = 5.0  # seconds until we look again whether there is room in the store, or a login
DISK_PAUSE = 30.0  # seconds after which a disk that took no file is tried again
FAILING_PAUSE = 60.0  # seconds at most between two downloads while all of them fail: no storm (P7)
ASLEEP = 60.0  # seconds until the clock on the wall is looked at again: it may have been set
MOVES = 120.0  # seconds within which the loop has moved, for the watchdog


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the one who fetches must know of the rest of the account, and what he tells it.

    `online`: a login stands and WeChat answers. `full`: there is no room in the store. `published`: something
    was committed for the broker. `beat` is told within how many seconds the loop moves, None: when it is
    woken.
    """

    online: Callable[[], bool]
    full: Callable[[], bool]
    logged_out: Callable[[LoggedOut], None]
    published: Callable[[], None]
    beat: Callable[[float | None], None]


class Fetcher:
    """The one who downloads for one account.

    `over` is told the id of what needs no more waiting for. `ended` counts what became of all since the
    start, `fetched` the bytes that came.
    """

    def __init__(
        self,
        *,
        account: str,
        topics: Topics,
        journal: Journal,
        gateway: Gateway,
        blobs: Blobs,
        holding: Holding,
        rules: MediaRules,
        language: Language,
        around: Around,
        over: Callable[[str], None],
    ) -> None:
        self._account = account
        self._topic = topics.event(EVENT)
        self._journal = journal
        self._gateway = gateway
        self._blobs = blobs
        self._holding = holding
        self._around = around
        self._over = over
        self._more = asyncio.Event()
        self._not_before = 0.0
        self._failures = 0  # in a row, whatever was to be fetched
        self.ended: Counter[MediaState] = Counter()
        self.fetched = 0
        self.rules = rules
        self.language = language

    def wake(self) -> None:
        """There may be something to fetch, or one may fetch again."""
        self._more.set()

    async def run(self) -> None:
        """Fetch what is due until cancelled."""
        while True:
            self._more.clear()
            self._around.beat(MOVES)
            pause = await self._step()
            if pause is None:
                self._around.beat(None)
            if pause != 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._more.wait()

    def _not_stored(self, _trouble: StoreError) -> None:
        self._around.beat(MOVES)

    async def _step(self) -> float | None:
        """Fetch one thing that is due; in how many seconds there may be more, None: when we are told."""
        row = await insist(self._journal.media_next, self._not_stored)
        if row is None or row.due is None or not self._around.online():
            return None
        if self._around.full():
            return STANDSTILL
        if (pause := self._not_before - _clock()) > 0:
            return pause
        if (early := row.due - now_ms()) > 0:
            return min(early / 1000, ASLEEP)
        await self._fetch(row)
        return 0

    async def _fetch(self, row: MediaRow) -> None:
        try:
            async with aclosing(self._pieces(row)) as pieces:
                blob = await self._blobs.take(pieces, self.rules.max_size)
        except StoreError as trouble:  # neither its fault nor WeChat's: it waits for the disk
            log.error("media cannot be stored", problem=str(trouble))
            self._stand_still(DISK_PAUSE)
        except TooMuch as much:
            await self._end(row, too_large(much.limit, self.language))
        except LoggedOut as gone:
            self._around.logged_out(gone)
            self._stand_still(STANDSTILL)
        except Exception as trouble:  # noqa: BLE001 - one bad file never stops the others (P5)
            await self._failed(row, trouble)
        else:
            await self._ready(row, blob)

    async def _pieces(self, row: MediaRow) -> AsyncGenerator[bytes, None]:
        """What comes, and that it comes."""
        count, ends = 0, _clock() + LONGEST
        async with aclosing(self._gateway.download(row.ref)) as pieces:
            while (piece := await self._next(pieces)) is not None:
                if _clock() > ends:
                    raise Unreachable(say(self.language, "media_slow"))
                count += len(piece)
                self._around.beat(MOVES)
                self._holding.grown(row.id, count)
                yield piece
        if not count:
            raise NothingYet

    async def _next(self, pieces: AsyncGenerator[bytes, None]) -> bytes | None:
        """The next piece, None at the end; a download that falls silent is given up."""
        try:
            async with asyncio.timeout(SILENCE):
                return await anext(pieces, None)
        except TimeoutError:
            raise Unreachable(say(self.language, "media_silent", limit=f"{SILENCE:g}")) from None

    async def _ready(self, row: MediaRow, blob: Blob) -> None:
        log.debug("media fetched", media=row.id, kind=row.kind, size=blob.size, mime=blob.mime)
        known = replace(row, state=MediaState.READY, blob=blob, why="")
        await self._holding.over(known)  # first the message, then what happened to it
        events = self._events(known)
        await insist(lambda: self._journal.media_ready(row.id, blob, events), self._not_stored)
        self.fetched += blob.size
        self._tell(known)

    async def _failed(self, row: MediaRow, trouble: Exception) -> None:
        if isinstance(trouble, Throttled):
            self._stand_still(trouble.retry_after)
        if not isinstance(trouble, Wx2MqttError):
            log.error("media download failed", media=row.id, kind=row.kind, exc_info=trouble)
        if not self._around.online():
            return  # WeChat is away for everybody; this was no try
        what = after(row, trouble, now=now_ms(), chance=random.random(), language=self.language)
        log.info(
            "media not fetched", media=row.id, kind=row.kind, why=what.why, again=isinstance(what, Again)
        )
        match what:
            case Again():
                await self._postpone(row, what)
            case Over():
                await self._end(row, what)

    async def _postpone(self, row: MediaRow, again: Again) -> None:
        """Another try; where all fail, the others slow down too."""
        self._failures = 0 if again.empty else self._failures + 1
        pause = Backoff(cap=FAILING_PAUSE, failures=max(0, self._failures - 1))
        self._stand_still(pause.wait(random.random()))
        await insist(
            lambda: self._journal.media_postpone(row.id, again.due, empty=again.empty, why=again.why),
            self._not_stored,
        )

    async def _end(self, row: MediaRow, over: Over) -> None:
        known = replace(row, state=over.state, why=over.why)
        await self._holding.over(known)
        events = self._events(known)
        await insist(lambda: self._journal.media_over(row.id, over.state, over.why, events), self._not_stored)
        self._tell(known)

    def _tell(self, row: MediaRow) -> None:
        self._failures = 0
        self.ended[row.state] += 1
        self._over(row.id)
        self._around.published()

    def _events(self, row: MediaRow) -> list[NewPublication]:
        """Of the thing itself only: small pictures and avatars come and go without a word."""
        if row.part is not Part.WHOLE:
            return []
        body = over_event(row, self.rules, self._account, now_ms())
        return [NewPublication(topic=self._topic, payload=encode(body), sort="event", content_type=JSON)]

    def _stand_still(self, seconds: float) -> None:
        self._not_before = max(self._not_before, _clock() + seconds)


def _clock() -> float:
    return asyncio.get_running_loop().time()
