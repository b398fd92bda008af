"""Keeps the store below its maximum size: measures it, and removes old data.

    every 15 s                    measures the size
    every hour, or nearly full    removes what is older than the settings allow
    still nearly full             removes refused commands, then media, then history

What has not been published is never removed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from wx2mqtt.aio import wait_at_most
from wx2mqtt.bridge.context import StorageQuota
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.memory import return_free_memory
from wx2mqtt.settings.schema import Account
from wx2mqtt.store.blobs import MEDIA_FOLDER
from wx2mqtt.store.database import Database
from wx2mqtt.store.folder import StoreFolder
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.journal_retention import MIN_REFUSED_RETENTION_MS, REFUSED_RETENTION_MS
from wx2mqtt.store.media_retention import MediaRetention
from wx2mqtt.store.search_index import SearchIndex

log = structlog.get_logger(__name__)

SIZE_CHECK_INTERVAL_SECONDS = 15.0
PRUNE_INTERVAL_SECONDS = 3600.0

# The id of a command is remembered for 7 days, so that a repetition is recognised.
COMMAND_RETENTION_MS = 7 * 86_400_000

# The store is nearly full from this part of its maximum size on.
NEARLY_FULL_RATIO = 0.9


class StorageMaintenance:
    """Measures the store, removes old data from it, and lets the search index follow."""

    def __init__(
        self,
        folder: StoreFolder,
        database: Database,
        media: MediaRetention,
        search_index: SearchIndex | None,
        limit: int,
    ) -> None:
        self._folder = folder
        self._database = database
        self._media = media
        self._search_index = search_index
        #: How much the store takes; its limit is `storage.max_size`, which a reload sets.
        self.quota = StorageQuota(database=database, blobs=media.blobs, limit=limit)
        self.quota.other_files_size = self._measure_other_files()
        self._was_full = False  # at the last check
        #: The journals of the accounts that run here, each with the settings that say what it keeps.
        self._limits_by_journal: Mapping[Journal, Account] = {}
        #: Journals of `_limits_by_journal` that have not been pruned since they were added.
        self._unpruned: set[Journal] = set()
        #: Wakes `run`: a journal was added.
        self._added = asyncio.Event()

    def set_limits(self, limits_by_journal: Mapping[Journal, Account]) -> None:
        """Applies `history.keep`, `media.keep` and `media.max_total` of the accounts that run here.

        A journal that was not among them before is pruned at once.
        """
        added = limits_by_journal.keys() - self._limits_by_journal
        self._unpruned = (self._unpruned | added) & limits_by_journal.keys()
        self._limits_by_journal = limits_by_journal
        if self._unpruned:
            self._added.set()

    def _measure_other_files(self) -> int:
        """Returns the bytes beside database and media; 0 with `storage.url`, where they are scratch files."""
        if self._database.is_elsewhere:
            return 0
        return self._folder.size_bytes(excluded=MEDIA_FOLDER) - self._database.allocated_bytes

    async def run(self) -> None:
        """Checks the size and prunes until cancelled; the first prune is at the start.

        A while after each prune free memory goes back to the system.
        """
        pruned_at = -math.inf
        while True:
            self._added.clear()
            is_prune_due = loop_time() - pruned_at >= PRUNE_INTERVAL_SECONDS
            has_pruned = await self.check_size(prune_due=is_prune_due)
            if has_pruned:
                pruned_at = loop_time()
            elif self._unpruned:
                await self._prune_old(self._unpruned)
            if self._search_index is not None:
                with _store_errors_logged():
                    await self._search_index.extend()
            await wait_at_most(self._added, SIZE_CHECK_INTERVAL_SECONDS)
            if has_pruned:
                with _store_errors_logged():
                    await self._database.release_memory()
                return_free_memory()

    async def check_size(self, *, prune_due: bool) -> bool:
        """Measures the folder, and prunes where `prune_due` or nearly full; returns whether it pruned."""
        with _store_errors_logged():
            await self._database.measure(self._nearly_full_bytes)
        # Measured after the database: else what a commit has written meanwhile would count twice.
        self.quota.other_files_size = await asyncio.to_thread(self._measure_other_files)
        is_pruned = prune_due or self.quota.size >= self._nearly_full_bytes
        if is_pruned:
            await self._prune_old(self._limits_by_journal)
        for journal, limits in self._limits_by_journal.items():
            if self._media.blobs.size > limits.media.max_total:  # else this account cannot exceed its limit
                with _store_errors_logged():
                    await self._media.enforce_limit(journal.account, limits.media.max_total)
        if self.quota.size >= self._nearly_full_bytes:
            await self._free_space()
        is_full = self.quota.size >= self.quota.limit
        if is_full and not self._was_full:
            log.warning("store is full: nothing is received", size=self.quota.size, limit=self.quota.limit)
        self._was_full = is_full
        return is_pruned

    async def _prune_old(self, journals: Iterable[Journal]) -> None:
        now = now_ms()
        for journal in tuple(journals):
            self._unpruned.discard(journal)
            limits = self._limits_by_journal.get(journal)
            if limits is None:  # the account has moved to another instance meanwhile
                continue
            with _store_errors_logged():
                await journal.retention.prune(now, _ms(limits.history.keep), COMMAND_RETENTION_MS)
            with _store_errors_logged():
                await self._media.prune(journal.account, now, _ms(limits.media.keep))
        with _store_errors_logged():
            await self._media.delete_unused_files()

    async def _free_space(self) -> None:
        """Removes refused commands, the old ones first, then media, then history."""
        for keep_ms in (REFUSED_RETENTION_MS, MIN_REFUSED_RETENTION_MS):
            for journal in self._limits_by_journal:
                if self.quota.size >= self._nearly_full_bytes:
                    with _store_errors_logged():
                        await journal.retention.prune_refused(now_ms(), keep_ms)
        if self.quota.size >= self._nearly_full_bytes:
            with _store_errors_logged():
                await self._media.free_space(self.quota.size - self._nearly_full_bytes)
        for journal in self._limits_by_journal:
            if self.quota.size >= self._nearly_full_bytes:
                beside_database = self.quota.other_files_size + self._media.blobs.size
                database_budget = max(0, self._nearly_full_bytes - beside_database)
                with _store_errors_logged():
                    await journal.retention.prune_history(database_budget)

    @property
    def _nearly_full_bytes(self) -> int:
        return int(NEARLY_FULL_RATIO * self.quota.limit)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


@contextmanager
def _store_errors_logged() -> Iterator[None]:
    """Logs a `StoreError` of the block, after which the next check tries again."""
    try:
        yield
    except StoreError as error:
        log.error("store cannot be pruned", problem=str(error))
