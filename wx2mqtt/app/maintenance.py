"""Keeping the store within its bounds: how large it is, what is old enough to go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.store.blobs import MEDIA_FOLDER
from wx2mqtt.store.folder import DATABASE_NAME, StoreFolder
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.media_retention import MediaRetention

log = structlog.get_logger(__name__)

SIZE_CHECK_INTERVAL_SECONDS = 15.0  # seconds between two looks at the size
PRUNE_INTERVAL_SECONDS = 3600.0  # seconds between two rounds of pruning
COMMAND_RETENTION_MS = 7 * 86_400_000  # milliseconds; an idempotency key is remembered for 7 days
NEARLY_FULL_RATIO = 0.9  # of the limit: from here on media go, then history


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionLimits:
    """How long one account keeps messages and media (seconds), and how many bytes of media."""

    history_seconds: float
    media_seconds: float
    media_bytes: int


class StorageMaintenance:
    """Knows the size of the folder and prunes what is in it."""

    def __init__(self, folder: StoreFolder, media: MediaRetention, limit: int) -> None:
        self._folder = folder
        self._media = media
        self.limit = limit
        self._other_files_size = self._measure_other_files()
        self._was_full = False
        self.limits_by_journal: Mapping[Journal, RetentionLimits] = {}

    @property
    def size(self) -> int:
        """Bytes of everything below the folder: database and media as of now, the rest as last looked at."""
        return self._other_files_size + self._database_size + self._media.size

    def _measure_other_files(self) -> int:
        return self._folder.size_bytes(excluded=MEDIA_FOLDER) - self._database_size

    @property
    def _database_size(self) -> int:
        size = 0
        for ending in ("", "-wal", "-shm"):
            with suppress(OSError):  # the last two come and go
                size += (self._folder.path / f"{DATABASE_NAME}{ending}").stat().st_size
        return size

    async def run(self) -> None:
        """Look and prune until cancelled."""
        since_pruned = PRUNE_INTERVAL_SECONDS
        while True:
            since_pruned = (
                0.0
                if await self.check_size(prune_due=since_pruned >= PRUNE_INTERVAL_SECONDS)
                else since_pruned + SIZE_CHECK_INTERVAL_SECONDS
            )
            await asyncio.sleep(SIZE_CHECK_INTERVAL_SECONDS)

    async def check_size(self, *, prune_due: bool) -> bool:
        """See how large the folder is; prune when it is `due` or nearly full. Whether it pruned."""
        self._other_files_size = await asyncio.to_thread(self._measure_other_files)
        prune_due = prune_due or self.size >= self._nearly_full_bytes
        if prune_due:
            await self._prune_old()
        await self._limit_media()
        if self.size >= self._nearly_full_bytes:
            await self._free_space()
        self._log_when_full()
        return prune_due

    async def _prune_old(self) -> None:
        now = now_ms()
        for journal, keep in self.limits_by_journal.items():
            await _trying(partial(journal.prune, now, _ms(keep.history_seconds), COMMAND_RETENTION_MS))
            await _trying(partial(self._media.prune, journal.account, now, _ms(keep.media_seconds)))
        await _trying(self._media.remove_orphans)

    async def _limit_media(self) -> None:
        for journal, keep in self.limits_by_journal.items():
            if self._media.size > keep.media_bytes:  # else no account can have more
                await _trying(partial(self._media.enforce_limit, journal.account, keep.media_bytes))

    async def _free_space(self) -> None:
        """Media first, then history."""
        await _trying(partial(self._media.free_space, self.size - self._nearly_full_bytes))
        for journal in self.limits_by_journal:
            if self.size >= self._nearly_full_bytes:
                await _trying(partial(journal.prune_history, self._database_budget()))

    def _log_when_full(self) -> None:
        full = self.size >= self.limit
        if full and not self._was_full:
            log.warning("store is full: nothing is received", size=self.size, limit=self.limit)
        self._was_full = full

    @property
    def _nearly_full_bytes(self) -> int:
        return int(NEARLY_FULL_RATIO * self.limit)

    def _database_budget(self) -> int:
        """What the database may take: what is left to it of 90 % of the limit beside all the other files."""
        return max(0, self._nearly_full_bytes - self._other_files_size - self._media.size)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


async def _trying(work: Callable[[], Awaitable[object]]) -> None:
    """What the store does not take now is tried again at the next look."""
    try:
        await work()
    except StoreError as trouble:
        log.error("store cannot be pruned", problem=str(trouble))
