"""Where bytes are found that came with messages; whoever wants some that are not there yet waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from wx2mqtt.bridge.media.tries import wanted_by
from wx2mqtt.clock import now_ms
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.journal import Journal, MediaRow, MediaState


class Shelf:
    """The bytes of one account. `wake` tells the one who fetches that somebody waits."""

    def __init__(self, journal: Journal, blobs: Blobs, wake: Callable[[], None]) -> None:
        self._journal = journal
        self._blobs = blobs
        self._wake = wake
        self._waiting: dict[str, list[asyncio.Event]] = {}

    async def find(self, media_id: str, wait: float) -> MediaRow | None:
        """What is known of these bytes, in about `wait` seconds at most; None for an id that is unknown.

        What is not there is asked for, and waited for until it is there, is not to be had, or time is over.
        Raises `StoreError`.
        """
        over = asyncio.Event()
        waiting = self._waiting.setdefault(media_id, [])
        waiting.append(over)
        try:
            row = await self._ask(media_id)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    while row is not None and row.state is MediaState.PENDING:
                        await over.wait()
                        over.clear()  # what ended may be the try before the one that was asked for
                        row = await self._journal.media_get(media_id)
            return row
        finally:
            waiting.remove(over)
            if not waiting:
                self._waiting.pop(media_id, None)

    def file(self, row: MediaRow) -> Path:
        """Where the bytes of a row are that is `ready`."""
        if row.blob is None:
            raise ValueError("there are no bytes yet")
        return self._blobs.file(row.blob)

    def over(self, media_id: str) -> None:
        """These are there, or are not to be had."""
        for waiting in self._waiting.get(media_id, ()):
            waiting.set()

    async def _ask(self, media_id: str) -> MediaRow | None:
        row = await self._journal.media_get(media_id)
        if row is None or not await self._is_wanted(row):
            return row
        self._wake()
        return await self._journal.media_get(media_id)

    async def _is_wanted(self, row: MediaRow) -> bool:
        """Whether it is to be fetched, which is noted; so are bytes that somebody took away by hand."""
        match row.state:
            case MediaState.READY if not await self._has(row):
                await self._journal.media_lost(row.id, 0)
            case MediaState.PENDING | MediaState.FAILED if (due := wanted_by(row, now_ms())) is not None:
                await self._journal.media_ask(row.id, due)
            case _:
                return False
        return True

    async def _has(self, row: MediaRow) -> bool:
        return row.blob is not None and await asyncio.to_thread(self._blobs.has, row.blob)
