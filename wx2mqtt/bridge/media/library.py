"""Finds the stored media of one account; a file that is not downloaded yet is requested and waited for.

The HTTP server and the request `media` read files through it; `downloader.py` does the downloads.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.media.retries import retry_time_when_requested
from wx2mqtt.clock import now_ms
from wx2mqtt.store.records import MediaRow, MediaState


class MediaLibrary:
    """The media of one account."""

    def __init__(self, ctx: AccountContext) -> None:
        self._journal = ctx.journal
        self._blobs = ctx.shared.blobs
        #: Set when a caller waits for a download.
        self.download_requested = asyncio.Event()
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
                        row = await self._journal.media.get(media_id)
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
        self.requested_ids.add(media_id)  # before the read: else the downloader could unschedule it meanwhile
        row = await self._journal.media.get(media_id)
        if row is not None and await self._request_download(row):
            self.download_requested.set()
            row = await self._journal.media.get(media_id)
        if row is None or row.state is not MediaState.PENDING:
            self.requested_ids.discard(media_id)
        return row

    async def _request_download(self, row: MediaRow) -> bool:
        """Makes the download of a row due, also of a deleted file. Returns whether it did."""
        match row.state:
            case MediaState.READY if row.blob is None or not await self._blobs.fetch(row.blob):
                await self._journal.media.mark_lost(row.id, 0)
            case MediaState.PENDING | MediaState.FAILED if (
                due := retry_time_when_requested(row, now_ms())
            ) is not None:
                await self._journal.media.request(row.id, due)
            case _:
                return False
        return True
