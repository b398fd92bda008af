"""Finds the stored media of one account, by their ids.

    find("m1", 20)   ->   the row of a stored file; or its state after at most 20 s of waiting for a download

A file that is not stored is requested here; `downloader.py` does the downloads. The web server
(`web/media_endpoint.py`) and the request `media` (`media_request.py`) read files through this.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import now_ms
from wx2mqtt.store.records import MediaRow, MediaState

# A failed download that a caller waits for is tried again after this time.
REQUESTED_RETRY_DELAY_MS = 5_000


class MediaLibrary:
    """The media of one account."""

    def __init__(self, ctx: AccountContext) -> None:
        self._journal = ctx.journal.media
        self._blobs = ctx.shared.blobs
        #: Set when a caller waits for a download.
        self.download_requested = asyncio.Event()
        #: By media id: one event for each caller of `find`, set when an attempt to download has ended.
        self._waiters: dict[str, list[asyncio.Event]] = {}
        #: The ids of files that a client has requested since the start, and whose download has not ended.
        self.requested_ids: set[str] = set()

    async def find(self, media_id: str, wait: float) -> MediaRow | None:
        """Returns the row of an id, None if it is unknown.

        A file that is not stored is requested; this waits up to `wait` seconds for the end of its download.
        Raises `StoreError`.
        """
        finished = asyncio.Event()
        waiters = self._waiters.setdefault(media_id, [])
        waiters.append(finished)
        try:
            row = await self._request(media_id)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    while row is not None and row.state is MediaState.PENDING:
                        await finished.wait()
                        finished.clear()  # perhaps an earlier attempt ended, not the requested one
                        row = await self._journal.get(media_id)
            return row
        finally:
            waiters.remove(finished)
            if not waiters:
                self._waiters.pop(media_id, None)

    def file(self, row: MediaRow) -> Path:
        """Returns the path of the file of a row in the state `ready`."""
        if row.blob is None:
            raise ValueError("the file is not stored yet")
        return self._blobs.path_of(row.blob)

    def on_media_finished(self, media_id: str) -> None:
        """Wakes the callers that wait for a download: it succeeded or was given up."""
        self.requested_ids.discard(media_id)
        for waiter in self._waiters.get(media_id, ()):
            waiter.set()

    async def _request(self, media_id: str) -> MediaRow | None:
        """Requests the download of a file that is not stored; returns the row as it is then."""
        self.requested_ids.add(media_id)  # before the row is read, else the downloader could unschedule it
        row = await self._journal.get(media_id)
        if row is not None and await self._make_due(row):
            self.download_requested.set()
            row = await self._journal.get(media_id)
        if row is None or row.state is not MediaState.PENDING:
            self.requested_ids.discard(media_id)
        return row

    async def _make_due(self, row: MediaRow) -> bool:
        """Makes the download of a file due that is not stored, or was deleted. Returns whether it did."""
        if row.state is MediaState.READY:
            if row.blob is not None and await self._blobs.fetch(row.blob):
                return False
            await self._journal.mark_lost(row.id, 0)
            return True
        if row.state not in (MediaState.PENDING, MediaState.FAILED):
            return False
        due = retry_time_when_requested(row, now_ms())
        if due is None:
            return False
        await self._journal.request(row.id, due)
        return True


def retry_time_when_requested(row: MediaRow, now: int) -> int | None:
    """Returns when a download that a caller waits for becomes due, in ms since 1970; None: as it is.

    A download that was never tried becomes the next one (0). Repeated requests do not add attempts, and do
    not shorten the pauses after answers without a byte.
    """
    was_tried = row.attempts > 0 or bool(row.reason)
    if not was_tried:
        return 0
    waits_after_empty_answer = row.empty_attempts > 0 and row.due is not None
    if waits_after_empty_answer:
        return None
    return now + REQUESTED_RETRY_DELAY_MS
