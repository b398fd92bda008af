"""Keeping the store within its bounds: how large it is, what is old enough to go (DESIGN 4.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.store.folder import Folder
from wx2mqtt.store.journal import Journal

log = structlog.get_logger(__name__)

LOOK = 15.0  # seconds between two looks at the size
PRUNE = 3600.0  # seconds between two rounds of pruning
COMMANDS_KEPT = 7 * 86_400_000  # milliseconds; an idempotency key is remembered for 7 days (DESIGN 4.2)
NEARLY_FULL = 0.9  # of the limit: from here on history goes


class Upkeep:
    """Knows the size of the folder and prunes the journals in it."""

    def __init__(self, folder: Folder, limit: int) -> None:
        self._folder = folder
        self.limit = limit
        self.size = folder.size()
        self.journals: Mapping[Journal, float] = {}

    async def run(self) -> None:
        """Look and prune until cancelled."""
        since_pruned = PRUNE
        while True:
            self.size = await asyncio.to_thread(self._folder.size)
            crowded = self.size >= NEARLY_FULL * self.limit
            if since_pruned >= PRUNE or crowded:
                since_pruned = 0.0
                await self._prune(self.journals.items(), crowded=crowded)
                self.size = await asyncio.to_thread(self._folder.size)
            await asyncio.sleep(LOOK)
            since_pruned += LOOK

    async def _prune(self, journals: Iterable[tuple[Journal, float]], *, crowded: bool) -> None:
        for journal, keep in journals:
            try:
                await journal.prune(now_ms(), int(keep * 1000), COMMANDS_KEPT)
                if crowded:
                    await journal.prune_history(int(NEARLY_FULL * self.limit))
            except StoreError as trouble:
                log.error("store cannot be pruned", problem=str(trouble))
