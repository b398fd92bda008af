"""What follows a try to fetch bytes: another one, or the end. Pure; clock and dice are arguments.

WeChat often has no bytes yet, or never will (webwx 2.16.7): after a few tries in a row that brought nothing
they count as gone. Everything else is tried again until a day has passed.

Fetches the bytes of messages from WeChat, beside everything else, and tells what became of them.

One at a time: parallel downloads were seen to return another message's bytes (webwx 2.16.9). What is to be
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

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.backoff import Backoff
from wx2mqtt.bridge.account_settings import MediaRules
from wx2mqtt.bridge.media.inline import InlineHold
from wx2mqtt.bridge.media.payloads import MEDIA_EVENT, media_event
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import LoggedOut, NoContentYet, Rejected, StoreError, Throttled, Unreachable, Wx2MqttError
from wx2mqtt.i18n.bridge import Language, bridge_text
from wx2mqtt.model import Blob
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.mqtt.topics import JSON_TYPE, Topics
from wx2mqtt.store.blobs import Blobs, SizeLimitExceeded
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState, NewPublication
from wx2mqtt.wechat.backend import Backend

GIVE_UP_AFTER_MS = 86_400_000  # milliseconds after which bytes that do not come are given up


MAX_RETRY_SECONDS = 300.0  # seconds between two tries


EMPTY_RETRY_SECONDS = (1, 3, 9, 27)  # seconds to wait after so many tries in a row without a byte


LARGE_EMPTY_RETRY_SECONDS = (
    *EMPTY_RETRY_SECONDS,
    81,
    240,
)  # a phone may still be sending a video or a file (webwx 2.16.7)


LARGE_KINDS = frozenset({"video", "file"})


WAITED_FOR_RETRY_MS = (
    5_000  # milliseconds: who waits for bytes hurries their next try, and never more than so
)


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Another try at `due`, in milliseconds; `empty` tries in a row have brought nothing."""

    due: int
    empty_tries: int
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """There will be no bytes."""

    state: MediaState
    reason: str


def next_attempt(
    row: MediaRow, error: Exception, *, now: int, chance: float, language: Language
) -> RetryAt | GiveUp:
    """What follows from how a try failed; `chance` is a number in [0, 1)."""
    known = isinstance(error, Wx2MqttError)  # what else it says may be anything, secrets too
    why = str(error).removesuffix(".") if known else bridge_text(language, "internal")
    match error:
        case Rejected(code="gone"):
            return GiveUp(MediaState.GONE, bridge_text(language, "media_gone"))
        case Rejected():
            return GiveUp(MediaState.FAILED, bridge_text(language, "media_refused", why=why))
        case NoContentYet():
            return _after_nothing(row, now, why, language)
    if now - row.created >= GIVE_UP_AFTER_MS:
        return GiveUp(MediaState.FAILED, bridge_text(language, "media_failed", why=why))
    pause = Backoff(cap=MAX_RETRY_SECONDS, failures=row.tries + 1).wait(chance)
    longer = error.retry_after if isinstance(error, Throttled) else 0.0
    return RetryAt(now + int(max(pause, longer) * 1000), 0, why)


def too_large_outcome(limit: int, language: Language) -> GiveUp:
    """What follows when more than `limit` bytes come."""
    said = f"{limit / 1_000_000:g} MB"
    return GiveUp(MediaState.TOO_LARGE, bridge_text(language, "media_too_large", limit=said))


def _after_nothing(row: MediaRow, now: int, reason: str, language: Language) -> RetryAt | GiveUp:
    waits = LARGE_EMPTY_RETRY_SECONDS if row.kind in LARGE_KINDS else EMPTY_RETRY_SECONDS
    if row.empty >= len(waits):
        return GiveUp(MediaState.GONE, bridge_text(language, "media_nothing"))
    return RetryAt(now + waits[row.empty] * 1000, row.empty + 1, reason)


def retry_time_when_requested(row: MediaRow, now: int) -> int | None:
    """When bytes that somebody waits for are to be fetched; None where that changes nothing.

    What was never tried goes before all that only waits for its turn. Whoever asks again and again makes no
    storm, and does not shorten the time that WeChat gets to have the bytes.
    """
    if not (row.tries or row.why):
        return 0
    if row.empty and row.due is not None:
        return None
    return now + WAITED_FOR_RETRY_MS


log = structlog.get_logger(__name__)


DOWNLOAD_IDLE_TIMEOUT_SECONDS = 30.0  # seconds without a byte after which a download is given up


DOWNLOAD_TIMEOUT_SECONDS = (
    1800.0  # seconds that one may take at all: a trickle must not keep the others waiting for ever
)


STORE_FULL_POLL_SECONDS = 5.0  # seconds until we look again whether there is room in the store, or a login


DISK_RETRY_SECONDS = 30.0  # seconds after which a disk that took no file is tried again


MAX_FAILURE_PAUSE_SECONDS = 60.0  # seconds at most between two downloads while all of them fail: no storm


MAX_SLEEP_SECONDS = 60.0  # seconds until the clock on the wall is looked at again: it may have been set


WATCHDOG_LIMIT_SECONDS = 120.0  # seconds within which the loop has moved, for the watchdog


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


class MediaDownloader:
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
        backend: Backend,
        blobs: Blobs,
        inline_hold: InlineHold,
        rules: MediaRules,
        language: Language,
        around: Around,
        over: Callable[[str], None],
    ) -> None:
        self._account = account
        self._topic = topics.event(MEDIA_EVENT)
        self._journal = journal
        self._backend = backend
        self._blobs = blobs
        self._inline_hold = inline_hold
        self._around = around
        self._over = over
        self._wake_event = asyncio.Event()
        self._not_before = 0.0
        self._failures = 0  # in a row, whatever was to be fetched
        self.counts_by_state: Counter[MediaState] = Counter()
        self.fetched_bytes = 0
        self.rules = rules
        self.language = language

    def wake(self) -> None:
        """There may be something to fetch, or one may fetch again."""
        self._wake_event.set()

    async def run(self) -> None:
        """Fetch what is due until cancelled."""
        while True:
            self._wake_event.clear()
            self._around.beat(WATCHDOG_LIMIT_SECONDS)
            pause = await self._step()
            if pause is None:
                self._around.beat(None)
            if pause != 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake_event.wait()

    def _on_store_failure(self, _trouble: StoreError) -> None:
        self._around.beat(WATCHDOG_LIMIT_SECONDS)

    async def _step(self) -> float | None:
        """Fetch one thing that is due; in how many seconds there may be more, None: when we are told."""
        row = await retry_until_stored(self._journal.next_media, self._on_store_failure)
        if row is None or row.due is None or not self._around.online():
            return None
        if self._around.full():
            return STORE_FULL_POLL_SECONDS
        if (pause := self._not_before - _clock()) > 0:
            return pause
        if (early := row.due - now_ms()) > 0:
            return min(early / 1000, MAX_SLEEP_SECONDS)
        await self._fetch(row)
        return 0

    async def _fetch(self, row: MediaRow) -> None:
        try:
            async with aclosing(self._download(row)) as pieces:
                blob = await self._blobs.store(pieces, self.rules.max_size)
        except StoreError as trouble:  # neither its fault nor WeChat's: it waits for the disk
            log.error("media cannot be stored", problem=str(trouble))
            self._pause(DISK_RETRY_SECONDS)
        except SizeLimitExceeded as much:
            await self._give_up(row, too_large_outcome(much.limit, self.language))
        except LoggedOut as gone:
            self._around.logged_out(gone)
            self._pause(STORE_FULL_POLL_SECONDS)
        except Exception as trouble:  # noqa: BLE001 - one bad file never stops the others
            await self._on_failure(row, trouble)
        else:
            await self._store_ready(row, blob)

    async def _download(self, row: MediaRow) -> AsyncGenerator[bytes, None]:
        """What comes, and that it comes."""
        count, ends = 0, _clock() + DOWNLOAD_TIMEOUT_SECONDS
        async with aclosing(self._backend.download(row.ref)) as pieces:
            while (piece := await self._next_piece(pieces)) is not None:
                if _clock() > ends:
                    raise Unreachable(bridge_text(self.language, "media_slow"))
                count += len(piece)
                self._around.beat(WATCHDOG_LIMIT_SECONDS)
                self._inline_hold.on_progress(row.id, count)
                yield piece
        if not count:
            raise NoContentYet

    async def _next_piece(self, pieces: AsyncGenerator[bytes, None]) -> bytes | None:
        """The next piece, None at the end; a download that falls silent is given up."""
        try:
            async with asyncio.timeout(DOWNLOAD_IDLE_TIMEOUT_SECONDS):
                return await anext(pieces, None)
        except TimeoutError:
            raise Unreachable(
                bridge_text(self.language, "media_silent", limit=f"{DOWNLOAD_IDLE_TIMEOUT_SECONDS:g}")
            ) from None

    async def _store_ready(self, row: MediaRow, blob: Blob) -> None:
        log.debug("media fetched", media=row.id, kind=row.kind, size=blob.size, mime=blob.mime)
        known = replace(row, state=MediaState.READY, blob=blob, why="")
        await self._inline_hold.on_media_finished(known)  # first the message, then what happened to it
        events = self._media_events(known)
        await retry_until_stored(
            lambda: self._journal.mark_media_ready(row.id, blob, events), self._on_store_failure
        )
        self.fetched_bytes += blob.size
        self._notify_finished(known)

    async def _on_failure(self, row: MediaRow, error: Exception) -> None:
        if isinstance(error, Throttled):
            self._pause(error.retry_after)
        if not isinstance(error, Wx2MqttError):
            log.error("media download failed", media=row.id, kind=row.kind, exc_info=error)
        if not self._around.online():
            return  # WeChat is away for everybody; this was no try
        what = next_attempt(row, error, now=now_ms(), chance=random.random(), language=self.language)
        log.info(
            "media not fetched", media=row.id, kind=row.kind, why=what.reason, again=isinstance(what, RetryAt)
        )
        match what:
            case RetryAt():
                await self._postpone(row, what)
            case GiveUp():
                await self._give_up(row, what)

    async def _postpone(self, row: MediaRow, retry: RetryAt) -> None:
        """Another try; where all fail, the others slow down too."""
        self._failures = 0 if retry.empty_tries else self._failures + 1
        pause = Backoff(cap=MAX_FAILURE_PAUSE_SECONDS, failures=max(0, self._failures - 1))
        self._pause(pause.wait(random.random()))
        await retry_until_stored(
            lambda: self._journal.postpone_media(
                row.id, retry.due, empty=retry.empty_tries, why=retry.reason
            ),
            self._on_store_failure,
        )

    async def _give_up(self, row: MediaRow, outcome: GiveUp) -> None:
        known = replace(row, state=outcome.state, why=outcome.reason)
        await self._inline_hold.on_media_finished(known)
        events = self._media_events(known)
        await retry_until_stored(
            lambda: self._journal.mark_media_unavailable(row.id, outcome.state, outcome.reason, events),
            self._on_store_failure,
        )
        self._notify_finished(known)

    def _notify_finished(self, row: MediaRow) -> None:
        self._failures = 0
        self.counts_by_state[row.state] += 1
        self._over(row.id)
        self._around.published()

    def _media_events(self, row: MediaRow) -> list[NewPublication]:
        """Of the thing itself only: small pictures and avatars come and go without a word."""
        if row.part is not MediaPart.WHOLE:
            return []
        body = media_event(row, self.rules, self._account, now_ms())
        return [NewPublication(topic=self._topic, payload=encode(body), sort="event", content_type=JSON_TYPE)]

    def _pause(self, seconds: float) -> None:
        self._not_before = max(self._not_before, _clock() + seconds)


def _clock() -> float:
    return asyncio.get_running_loop().time()
