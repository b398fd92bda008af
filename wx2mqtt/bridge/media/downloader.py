"""Downloads the files of messages from WeChat.

    a job of the journal is due  ->  its file is downloaded and stored  ->  `event/media` announces it

A job is a row of the journal for one file, thumbnail or avatar. The journal has the jobs and their due times,
so that a crash loses no job and a restart does not fetch all of them at once. Only one file is downloaded at
a time: of parallel downloads WeChat was seen to return another message's bytes (webwx 2.16.9). After a
failure `download_retries.py` decides; a failure that concerns all downloads pauses all.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import structlog

from wx2mqtt.aio import retry_until_stored, wait_at_most
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.media.download_retries import (
    GiveUp,
    RetryAt,
    is_wrong_content,
    next_attempt,
    too_large_outcome,
)
from wx2mqtt.bridge.media.inline_files import WATCHDOG_LIMIT_SECONDS, WaitingMessages
from wx2mqtt.bridge.media.media_payloads import MEDIA_EVENT, media_event
from wx2mqtt.bridge.media.media_request import MediaRequest
from wx2mqtt.bridge.media.stored_media import MediaLibrary
from wx2mqtt.bridge.publisher import Publisher
from wx2mqtt.clock import Backoff, loop_time, now_ms
from wx2mqtt.errors import (
    LoggedOut,
    NoContentYet,
    ProtocolViolation,
    StoreError,
    Throttled,
    Unreachable,
    Wx2MqttError,
)
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import JSON_TYPE, LoginState
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.store.blobs import SizeLimitExceeded
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState, NewMessage, NewPublication
from wx2mqtt.wechat.backend_options import OnFileName

log = structlog.get_logger(__name__)

# A download that receives no byte for this time is cancelled, and tried again later.
DOWNLOAD_IDLE_TIMEOUT_SECONDS = 30.0
# A download that takes longer than this is cancelled, too: a very slow one must not block the others.
DOWNLOAD_TIMEOUT_SECONDS = 1800.0
# While the store is full or the login is over, no download starts; that is checked again after this pause.
STORE_FULL_POLL_SECONDS = 5.0
# The longest pause after the disk refused a file; the pause doubles while the disk refuses every file.
MAX_DISK_PAUSE_SECONDS = 30.0
# The longest pause between two downloads while all of them fail.
MAX_FAILURE_PAUSE_SECONDS = 60.0
# The longest sleep until the next due time is computed again: the system clock may have been set, and the
# watchdog expects a heartbeat (`WATCHDOG_LIMIT_SECONDS`).
MAX_SLEEP_SECONDS = 60.0


class MediaDownloader:
    """The files, thumbnails and avatars of one account: downloads the due jobs, one at a time (`_step`)."""

    def __init__(self, ctx: AccountContext, publisher: Publisher) -> None:
        self._ctx = ctx
        self._jobs = ctx.journal.media
        self._blobs = ctx.shared.blobs
        #: The messages that are published when their file is there.
        self.waiting = WaitingMessages(ctx, publisher)
        #: Finds stored files, and requests a download.
        self.library = MediaLibrary(ctx)
        #: Answers the request `media`.
        self.request = MediaRequest(ctx, self.library)
        self._login_state = LoginState.STARTING
        #: Whether an outage has ended, after which all that failed is due at once.
        self._has_outage_ended = False
        #: Set when there may be another job to do now.
        self._wake_event = self.library.download_requested
        #: The loop time before which no download starts: WeChat, or the disk, wants a pause.
        self._not_before = 0.0
        #: The same after failures in a row; the end of an outage ends it.
        self._failure_pause_until = 0.0
        #: How many downloads failed one after the other, whichever job they were of.
        self._failures = 0
        #: How many files the disk refused one after the other.
        self._disk_failures = 0

    def enqueue(self, messages: Sequence[NewMessage]) -> None:
        """Starts the downloads of messages that were just stored; `waiting.commit_lock` must be locked."""
        self.waiting.add(messages)
        self.wake()

    def on_login_changed(self, login: LoginStatus) -> None:
        """Downloads only run while the account is online; the end of an outage ends their pauses."""
        if self._login_state is LoginState.INTERRUPTED and login.state is LoginState.ONLINE:
            self._has_outage_ended = True
        self._login_state = login.state
        self.wake()

    @property
    def _is_online(self) -> bool:
        return self._login_state is LoginState.ONLINE

    def wake(self) -> None:
        """Makes the loop look for a due job now."""
        self._wake_event.set()

    async def run(self) -> None:
        """Downloads media and releases waiting messages until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.waiting.run())
            tasks.create_task(self._download_due())

    async def _download_due(self) -> None:
        while True:
            self._wake_event.clear()
            self._ctx.heartbeat("media", WATCHDOG_LIMIT_SECONDS)
            pause = await self._step()
            if pause is None:
                self._ctx.idle("media")
            if pause != 0:
                await wait_at_most(self._wake_event, pause)

    async def _step(self) -> float | None:
        """Downloads the file of the next job if it is due.

        Returns the seconds until the next step, 0 for at once, None for nothing to do until `wake`.
        """
        if self._has_outage_ended:
            await self._end_pauses()
        row = await retry_until_stored(self._jobs.next_download, self.waiting.on_store_failure)
        if row is None or row.due is None:
            return None
        if not self._may_fetch(row):
            # `media.download` is off: only requested files stay due, and no message waits for another file.
            requested = self.library.requested_ids
            await retry_until_stored(lambda: self._jobs.unschedule(requested), self.waiting.on_store_failure)
            await self.waiting.release_all_but(requested)
            return 0
        if not self._is_online:
            return None
        pause = self._seconds_until(row.due)
        if pause > 0:
            return pause
        if row.due == 0:  # a client has requested it, perhaps before the start
            self.library.requested_ids.add(row.id)
        await self._fetch(row)
        return 0

    async def _end_pauses(self) -> None:
        """Makes all downloads due that failed before or during an outage."""
        self._has_outage_ended = False
        self._failures = 0
        self._failure_pause_until = 0.0
        await retry_until_stored(lambda: self._jobs.end_pauses(now_ms()), self.waiting.on_store_failure)

    def _seconds_until(self, due: int) -> float:
        """Returns after how many seconds to look again whether a job due at `due` (ms) may start; 0: now."""
        if self._ctx.shared.exceeded_limit():
            return STORE_FULL_POLL_SECONDS
        pause = max(self._not_before, self._failure_pause_until) - loop_time()
        if pause <= 0:
            pause = (due - now_ms()) / 1000
        return min(pause, MAX_SLEEP_SECONDS)

    def _may_fetch(self, row: MediaRow) -> bool:
        """Returns whether a job may be downloaded: without `media.download` only if a client requested it."""
        is_requested = row.due == 0 or row.id in self.library.requested_ids
        return self._ctx.settings.account.media.download or is_requested

    async def _fetch(self, row: MediaRow) -> None:
        """Downloads and stores the file of a job, or records what became of the attempt."""
        names: list[str] = []  # the name that the backend tells during the download, if it does
        try:
            async with aclosing(self._download(row, names.append)) as pieces:
                blob = await self._blobs.store(pieces, self._ctx.settings.account.media.max_size)
            if is_wrong_content(row, blob):
                raise ProtocolViolation(
                    bridge_text(self._ctx.language, "media_wrong", size=blob.size, announced=row.ref.size)
                )
        except StoreError as error:  # not a failure of this download: it waits for the disk
            log.error("media cannot be stored", problem=str(error))
            self._disk_failures += 1
            backoff = Backoff(cap=MAX_DISK_PAUSE_SECONDS, failures=self._disk_failures)
            self._pause(backoff.wait(random.random()))
        except SizeLimitExceeded as error:
            outcome = too_large_outcome(error.limit, self._ctx.language)
            await self._finish(replace(row, state=outcome.state, reason=outcome.reason))
        except LoggedOut as error:
            self._ctx.login_requests.on_logged_out(error)
            self._pause(STORE_FULL_POLL_SECONDS)
        except Exception as error:  # noqa: BLE001 - one bad file never stops the others
            await self._on_failure(row, error)
        else:
            log.debug("media fetched", media=row.id, kind=row.kind, size=blob.size, mime=blob.mime)
            self._disk_failures = 0
            ref = replace(row.ref, name=row.ref.name or "".join(names))
            await self._finish(replace(row, state=MediaState.READY, blob=blob, reason="", ref=ref))
            self._ctx.counters.media_bytes += blob.size

    async def _download(self, row: MediaRow, on_name: OnFileName) -> AsyncGenerator[bytes, None]:
        """Yields the pieces of a download. Raises `Unreachable` on a timeout, `NoContentYet` for no byte."""
        received_bytes = 0
        deadline = loop_time() + DOWNLOAD_TIMEOUT_SECONDS
        async with aclosing(self._ctx.backend.download(row.ref, on_name)) as pieces:
            while (piece := await self._next_piece(pieces)) is not None:
                if loop_time() > deadline:
                    raise Unreachable(bridge_text(self._ctx.language, "media_slow"))
                received_bytes += len(piece)
                self._ctx.heartbeat("media", WATCHDOG_LIMIT_SECONDS)
                await self.waiting.on_progress(row.id, received_bytes)
                yield piece
        if not received_bytes:
            raise NoContentYet

    async def _next_piece(self, pieces: AsyncGenerator[bytes, None]) -> bytes | None:
        """Returns the next piece, None at the end. Raises `Unreachable` when none arrives in time."""
        try:
            async with asyncio.timeout(DOWNLOAD_IDLE_TIMEOUT_SECONDS):
                return await anext(pieces, None)
        except TimeoutError:
            raise Unreachable(
                bridge_text(self._ctx.language, "media_silent", limit=f"{DOWNLOAD_IDLE_TIMEOUT_SECONDS:g}")
            ) from None

    async def _on_failure(self, row: MediaRow, error: Exception) -> None:
        if isinstance(error, Throttled):
            self._pause(error.retry_after)
        if not isinstance(error, Wx2MqttError):
            log.error("media download failed", media=row.id, kind=row.kind, exc_info=error)
        if not self._is_online:
            return  # the login ended meanwhile: not counted as an attempt of this job
        decision = next_attempt(row, error, now=now_ms(), chance=random.random(), language=self._ctx.language)
        is_retried = isinstance(decision, RetryAt)
        log.info("media not fetched", media=row.id, kind=row.kind, why=decision.reason, again=is_retried)
        match decision:
            case RetryAt():
                await self._postpone(row, decision)
            case GiveUp():
                await self._finish(replace(row, state=decision.state, reason=decision.reason))

    async def _postpone(self, row: MediaRow, retry: RetryAt) -> None:
        """Stores the next due time of a job; after failures in a row the pause of all downloads grows."""
        if retry.empty_tries:
            self._failures = 0  # WeChat has answered, only without this file
        else:
            self._failures += 1
        backoff = Backoff(cap=MAX_FAILURE_PAUSE_SECONDS, failures=max(0, self._failures - 1))
        self._failure_pause_until = loop_time() + backoff.wait(random.random())
        due = retry.due if self._may_fetch(row) else None
        await retry_until_stored(
            lambda: self._jobs.postpone(row.id, due, empty=retry.empty_tries, why=retry.reason),
            self.waiting.on_store_failure,
        )

    async def _finish(self, row: MediaRow) -> None:
        """Stores that a job has ended, and announces that of a file; thumbnails and avatars have no event."""
        await self.waiting.on_media_finished(row)  # the message is published before its event
        events: list[NewPublication] = []
        if row.part is MediaPart.WHOLE:
            body = media_event(row, self._ctx.settings, self._ctx.name, now_ms())
            topic = self._ctx.topics.event(MEDIA_EVENT)
            events.append(
                NewPublication(topic=topic, payload=encode(body), category="event", content_type=JSON_TYPE)
            )
        jobs = self._jobs
        if row.blob is not None and row.state is MediaState.READY:
            work = partial(jobs.mark_ready, row.id, row.blob, events, ref=row.ref)
        else:
            work = partial(jobs.mark_unavailable, row.id, row.state, row.reason, events)
        stored = await retry_until_stored(work, self.waiting.on_store_failure)
        self._ctx.signals.outbox_changed.emit(stored)
        self._failures = 0
        self._ctx.counters.media[row.state] += 1
        self.library.on_media_finished(row.id)

    def _pause(self, seconds: float) -> None:
        self._not_before = max(self._not_before, loop_time() + seconds)
