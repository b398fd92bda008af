"""Downloads the files, thumbnails and avatars of one account from WeChat, stores them and publishes
`event/media`.

One at a time: parallel downloads were seen to return another message's bytes (webwx 2.16.9). The journal has
the jobs and their due times, so that a crash loses no job and a restart does not fetch all of them at once.
`retries.py` decides when a failed download is tried again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import structlog

from wx2mqtt.aio import retry_until_stored, wait_at_most
from wx2mqtt.backoff import Backoff
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.media.inline import InlineHold
from wx2mqtt.bridge.media.library import MediaLibrary
from wx2mqtt.bridge.media.payloads import MEDIA_EVENT, media_event
from wx2mqtt.bridge.media.retries import GiveUp, RetryAt, is_wrong_content, next_attempt, too_large_outcome
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.errors import (
    LoggedOut,
    NoContentYet,
    ProtocolViolation,
    StoreError,
    Throttled,
    Unreachable,
    Wx2MqttError,
)
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Blob, LoginState
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.mqtt.topics import JSON_TYPE
from wx2mqtt.settings.schema import Media
from wx2mqtt.store.blobs import SizeLimitExceeded
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState, NewPublication

log = structlog.get_logger(__name__)

# A download that receives no byte for so long is cancelled and tried again later.
DOWNLOAD_IDLE_TIMEOUT_SECONDS = 30.0
# The longest duration of one download: a very slow one must not block the others.
DOWNLOAD_TIMEOUT_SECONDS = 1800.0
# The pause before the next look while the store is full or the login is over.
STORE_FULL_POLL_SECONDS = 5.0
# The longest pause after the disk refused a file; the pause doubles while the disk refuses every file.
MAX_DISK_PAUSE_SECONDS = 30.0
# The longest pause between two downloads while all of them fail.
MAX_FAILURE_PAUSE_SECONDS = 60.0
# The longest sleep until the next due time is computed again: the system clock may have been set.
MAX_SLEEP_SECONDS = 60.0
# The watchdog expects a heartbeat of the loop within this time.
WATCHDOG_LIMIT_SECONDS = 120.0


class MediaDownloader:
    """Downloads the due jobs of one account, one at a time."""

    def __init__(
        self,
        ctx: AccountContext,
        inline_hold: InlineHold,
        library: MediaLibrary,
    ) -> None:
        self._ctx = ctx
        self._account = ctx.name
        self._topic = ctx.topics.event(MEDIA_EVENT)
        self._journal = ctx.journal
        self._backend = ctx.backend
        self._blobs = ctx.shared.blobs
        self._inline_hold = inline_hold
        self._library = library
        library.download_requested.connect(self.wake)
        self._is_online = False
        self._wake_event = asyncio.Event()
        self._not_before = 0.0
        self._failures = 0  # failed downloads in a row, of any job
        self._disk_failures = 0  # files in a row that the disk refused

    @property
    def _rules(self) -> Media:
        return self._ctx.settings.account.media

    @property
    def _language(self) -> Language:
        return self._ctx.language

    def on_login_changed(self, login: LoginStatus) -> None:
        """Downloads only run while the account is online."""
        self._is_online = login.state is LoginState.ONLINE
        self.wake()

    def wake(self) -> None:
        """Makes the loop look for a due job now."""
        self._wake_event.set()

    async def run(self) -> None:
        """Downloads due jobs until cancelled."""
        while True:
            self._wake_event.clear()
            self._ctx.heartbeat("media", WATCHDOG_LIMIT_SECONDS)
            pause = await self._step()
            if pause is None:
                self._ctx.idle("media")
            if pause != 0:
                await wait_at_most(self._wake_event, pause)

    def on_store_failure(self, _trouble: StoreError) -> None:
        """Sends a heartbeat: a loop that waits for the disk is not stuck."""
        self._ctx.heartbeat("media", WATCHDOG_LIMIT_SECONDS)

    async def _step(self) -> float | None:
        """Downloads the next job if it is due. Returns the seconds until the next step, None: until woken."""
        row = await retry_until_stored(self._journal.media.next_download, self.on_store_failure)
        if row is None or row.due is None:
            return None
        if not self._may_fetch(row):
            await self._unschedule()
            return 0
        if not self._is_online:
            return None
        if (pause := self._seconds_until(row.due)) > 0:
            return pause
        if row.due == 0:
            self._library.mark_requested(row.id)
        await self._fetch(row)
        return 0

    def _seconds_until(self, due: int) -> float:
        """Returns the seconds, at most, until a download that is due at `due` (ms) may start."""
        if self._ctx.shared.exceeded_limit():
            return STORE_FULL_POLL_SECONDS
        if (pause := self._not_before - loop_time()) > 0:
            return pause
        return min((due - now_ms()) / 1000, MAX_SLEEP_SECONDS)

    def _may_fetch(self, row: MediaRow) -> bool:
        """Returns whether a job may be downloaded: without `media.download` only if a client requested it."""
        return self._rules.download or self._library.is_requested(row)

    async def _unschedule(self) -> None:
        """Makes jobs that no client has requested not due, and releases the messages that wait for them."""
        await retry_until_stored(
            lambda: self._journal.media.unschedule(self._library.requested_ids), self.on_store_failure
        )
        self._inline_hold.release_all_but(self._library.requested_ids)

    async def _fetch(self, row: MediaRow) -> None:
        try:
            async with aclosing(self._download(row)) as pieces:
                blob = await self._blobs.store(pieces, self._rules.max_size)
            if is_wrong_content(row, blob):
                raise ProtocolViolation(
                    bridge_text(self._language, "media_wrong", size=blob.size, announced=row.ref.size)
                )
        except StoreError as error:  # not a failure of this download: it waits for the disk
            log.error("media cannot be stored", problem=str(error))
            self._disk_failures += 1
            backoff = Backoff(cap=MAX_DISK_PAUSE_SECONDS, failures=self._disk_failures)
            self._pause(backoff.wait(random.random()))
        except SizeLimitExceeded as much:
            await self._give_up(row, too_large_outcome(much.limit, self._language))
        except LoggedOut as gone:
            self._ctx.login_requests.on_logged_out(gone)
            self._pause(STORE_FULL_POLL_SECONDS)
        except Exception as error:  # noqa: BLE001 - one bad file never stops the others
            await self._on_failure(row, error)
        else:
            await self._store_ready(row, blob)

    async def _download(self, row: MediaRow) -> AsyncGenerator[bytes, None]:
        """Yields the pieces of a download. Raises `Unreachable` on a timeout, `NoContentYet` for no byte."""
        count, ends = 0, loop_time() + DOWNLOAD_TIMEOUT_SECONDS
        async with aclosing(self._backend.download(row.ref)) as pieces:
            while (piece := await self._next_piece(pieces)) is not None:
                if loop_time() > ends:
                    raise Unreachable(bridge_text(self._language, "media_slow"))
                count += len(piece)
                self._ctx.heartbeat("media", WATCHDOG_LIMIT_SECONDS)
                self._inline_hold.on_progress(row.id, count)
                yield piece
        if not count:
            raise NoContentYet

    async def _next_piece(self, pieces: AsyncGenerator[bytes, None]) -> bytes | None:
        """Returns the next piece, None at the end. Raises `Unreachable` when none arrives in time."""
        try:
            async with asyncio.timeout(DOWNLOAD_IDLE_TIMEOUT_SECONDS):
                return await anext(pieces, None)
        except TimeoutError:
            raise Unreachable(
                bridge_text(self._language, "media_silent", limit=f"{DOWNLOAD_IDLE_TIMEOUT_SECONDS:g}")
            ) from None

    async def _store_ready(self, row: MediaRow, blob: Blob) -> None:
        self._disk_failures = 0
        log.debug("media fetched", media=row.id, kind=row.kind, size=blob.size, mime=blob.mime)
        known = replace(row, state=MediaState.READY, blob=blob, reason="")
        await self._inline_hold.on_media_finished(known)  # the message is published before its event
        events = self._media_events(known)
        stored = await retry_until_stored(
            lambda: self._journal.media.mark_ready(row.id, blob, events), self.on_store_failure
        )
        self._ctx.signals.outbox_changed.emit(stored)
        self._ctx.counters.media_bytes += blob.size
        self._notify_finished(known)

    async def _on_failure(self, row: MediaRow, error: Exception) -> None:
        if isinstance(error, Throttled):
            self._pause(error.retry_after)
        if not isinstance(error, Wx2MqttError):
            log.error("media download failed", media=row.id, kind=row.kind, exc_info=error)
        if not self._is_online:
            return  # the login ended meanwhile: not counted as an attempt of this job
        what = next_attempt(row, error, now=now_ms(), chance=random.random(), language=self._language)
        log.info(
            "media not fetched", media=row.id, kind=row.kind, why=what.reason, again=isinstance(what, RetryAt)
        )
        match what:
            case RetryAt():
                await self._postpone(row, what)
            case GiveUp():
                await self._give_up(row, what)

    async def _postpone(self, row: MediaRow, retry: RetryAt) -> None:
        """Stores the next due time of a job; after failures in a row the pause of all downloads grows."""
        self._failures = 0 if retry.empty_tries else self._failures + 1
        pause = Backoff(cap=MAX_FAILURE_PAUSE_SECONDS, failures=max(0, self._failures - 1))
        self._pause(pause.wait(random.random()))
        await retry_until_stored(
            lambda: self._journal.media.postpone(
                row.id,
                retry.due if self._may_fetch(row) else None,
                empty=retry.empty_tries,
                why=retry.reason,
            ),
            self.on_store_failure,
        )

    async def _give_up(self, row: MediaRow, outcome: GiveUp) -> None:
        known = replace(row, state=outcome.state, reason=outcome.reason)
        await self._inline_hold.on_media_finished(known)
        events = self._media_events(known)
        stored = await retry_until_stored(
            lambda: self._journal.media.mark_unavailable(row.id, outcome.state, outcome.reason, events),
            self.on_store_failure,
        )
        self._ctx.signals.outbox_changed.emit(stored)
        self._notify_finished(known)

    def _notify_finished(self, row: MediaRow) -> None:
        self._failures = 0
        self._ctx.counters.media[row.state] += 1
        self._library.on_media_finished(row.id)

    def _media_events(self, row: MediaRow) -> list[NewPublication]:
        """Returns the `event/media` of a message's file; thumbnails and avatars have no event."""
        if row.part is not MediaPart.WHOLE:
            return []
        body = media_event(row, self._ctx.settings, self._account, now_ms())
        return [
            NewPublication(topic=self._topic, payload=encode(body), category="event", content_type=JSON_TYPE)
        ]

    def _pause(self, seconds: float) -> None:
        self._not_before = max(self._not_before, loop_time() + seconds)
