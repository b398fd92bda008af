"""Keeping the store within its bounds: how large it is, what is old enough to go (DESIGN 4.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.store.blobs import MEDIA
from wx2mqtt.store.folder import DATABASE, Folder
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.media_upkeep import MediaUpkeep

log = structlog.get_logger(__name__)

LOOK = 15.0  # seconds between two looks at the size
PRUNE = 3600.0  # seconds between two rounds of pruning
COMMANDS_KEPT = 7 * 86_400_000  # milliseconds; an idempotency key is remembered for 7 days (DESIGN 4.2)
NEARLY_FULL = 0.9  # of the limit: from here on media go, then history


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How long one account keeps messages and media (seconds), and how many bytes of media."""

    history: float
    media: float
    media_total: int


class Upkeep:
    """Knows the size of the folder and prunes what is in it."""

    def __init__(self, folder: Folder, media: MediaUpkeep, limit: int) -> None:
        self._folder = folder
        self._media = media
        self.limit = limit
        self._others = self._size_of_others()
        self._was_full = False
        self.journals: Mapping[Journal, Keep] = {}

    @property
    def size(self) -> int:
        """Bytes of everything below the folder: database and media as of now, the rest as last looked at."""
        return self._others + self._database + self._media.size

    def _size_of_others(self) -> int:
        return self._folder.size(without=MEDIA) - self._database

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
        self._others = await asyncio.to_thread(self._size_of_others)
        due = due or self.size >= self._crowded
        if due:
            await self._prune_old()
        await self._bound_media()
        if self.size >= self._crowded:
            await self._make_room()
        self._tell()
        return due

    async def _prune_old(self) -> None:
        now = now_ms()
        for journal, keep in self.journals.items():
            await _trying(partial(journal.prune, now, _ms(keep.history), COMMANDS_KEPT))
            await _trying(partial(self._media.prune, journal.account, now, _ms(keep.media)))
        await _trying(self._media.sweep)

    async def _bound_media(self) -> None:
        for journal, keep in self.journals.items():
            if self._media.size > keep.media_total:  # else no account can have more
                await _trying(partial(self._media.bound, journal.account, keep.media_total))

    async def _make_room(self) -> None:
        """Media first, then history (DESIGN 4.3)."""
        await _trying(partial(self._media.make_room, self.size - self._crowded))
        for journal in self.journals:
            if self.size >= self._crowded:
                await _trying(partial(journal.prune_history, self._room_for_journals()))

    def _tell(self) -> None:
        full = self.size >= self.limit
        if full and not self._was_full:
            log.warning("store is full: nothing is received", size=self.size, limit=self.limit)
        self._was_full = full

    @property
    def _crowded(self) -> int:
        return int(NEARLY_FULL * self.limit)

    def _room_for_journals(self) -> int:
        """What the database may take: what is left to it of 90 % of the limit beside all the other files."""
        return max(0, self._crowded - self._others - self._media.size)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


async def _trying(work: Callable[[], Awaitable[object]]) -> None:
    """What the store does not take now is tried again at the next look."""
    try:
        await work()
    except StoreError as trouble:
        log.error("store cannot be pruned", problem=str(trouble))
