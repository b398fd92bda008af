"""Keeping the store within its bounds: how large it is, what is old enough to go (DESIGN 4.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

import structlog

from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.store.folder import Folder
from wx2mqtt.store.journal import Journal

log = structlog.get_logger(__name__)

DATABASE = "wx2mqtt.db"  # below the folder, with its -wal and -shm
LOOK = 15.0  # seconds between two looks at the size
PRUNE = 3600.0  # seconds between two rounds of pruning
COMMANDS_KEPT = 7 * 86_400_000  # milliseconds; an idempotency key is remembered for 7 days (DESIGN 4.2)
NEARLY_FULL = 0.9  # of the limit: from here on history goes


class Upkeep:
    """Knows the size of the folder and prunes the journals in it."""

    def __init__(self, folder: Folder, limit: int) -> None:
        self._folder = folder
        self.limit = limit
        self._others = folder.size() - self._database
        self._was_full = False
        self.journals: Mapping[Journal, float] = {}

    @property
    def size(self) -> int:
        """Bytes of everything below the folder: the database as it is now, the rest as last looked at."""
        return self._others + self._database

    @property
    def _database(self) -> int:
        size = 0
        for ending in ("", "-wal", "-shm"):
            with suppress(OSError):  # the last two come and go
                size += (self._folder.path / f"{DATABASE}{ending}").stat().st_size
        return size

    async def run(self) -> None:
        """Look and prune until cancelled."""
        since_pruned = PRUNE
        while True:
            since_pruned = 0.0 if await self.look(due=since_pruned >= PRUNE) else since_pruned + LOOK
            await asyncio.sleep(LOOK)

    async def look(self, *, due: bool) -> bool:
        """See how large the folder is; prune when it is `due` or nearly full. Whether it pruned."""
        self._others = await asyncio.to_thread(self._folder.size) - self._database
        crowded = self.size >= NEARLY_FULL * self.limit
        if due or crowded:
            await self._prune(self.journals.items(), crowded=crowded)
        self._tell()
        return due or crowded

    def _tell(self) -> None:
        full = self.size >= self.limit
        if full and not self._was_full:
            log.warning("store is full: nothing is received", size=self.size, limit=self.limit)
        self._was_full = full

    async def _prune(self, journals: Iterable[tuple[Journal, float]], *, crowded: bool) -> None:
        for journal, keep in journals:
            try:
                await journal.prune(now_ms(), int(keep * 1000), COMMANDS_KEPT)
                if crowded:
                    await journal.prune_history(self._room_for_journals())
            except StoreError as trouble:
                log.error("store cannot be pruned", problem=str(trouble))

    def _room_for_journals(self) -> int:
        """What the database may take: what is left to it of 90 % of the limit beside all the other files."""
        return max(0, int(NEARLY_FULL * self.limit) - self._others)
