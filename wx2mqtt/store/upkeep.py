"""Keeps the journal small: by age, and when there is too little room. Nothing that waits is ever pruned.

Works in small commits, so that messages and commands pass in between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import fields, replace

from wx2mqtt.store.age import clock_has_passed
from wx2mqtt.store.encoding import listed
from wx2mqtt.store.lane import Lane
from wx2mqtt.store.queries import queries
from wx2mqtt.store.rows import Pruned, Stats

_SQL = queries("upkeep")
_FIGURES = tuple(item.name for item in fields(Stats) if item.name != "trouble")

CHUNK = 500  # rows of one commit
DAY = 86_400_000  # milliseconds
KEYS_KEPT = 7 * DAY  # at least: WeChat may hand over the same again (DESIGN 4.1)
PASSING_KEPT = DAY  # published results, responses and events
DEEDS_KEPT = DAY  # answers, for a broker that delivers a request again
VACUUM_FROM = 256  # free pages that are left for what comes next
VACUUM_STEP = 500  # pages of one commit

Step = Callable[[sqlite3.Connection], tuple[int, bool]]
"""Does a piece of work; returns how many rows went and whether there may be more."""


class Upkeep(Lane):
    """Age, size and figures of one account."""

    async def prune(self, now: int, history_keep_ms: int, command_keep_ms: int) -> Pruned:
        """Take away what is settled and older than it must be kept; the file shrinks.

        Does nothing while the clock is behind the newest row: a clock that was set back would make all look
        young, one that was wrong before would make all look old. The newest message always stays.
        """
        if not await self._database.read(lambda db: clock_has_passed(db, now)):
            return Pruned()
        pruned = Pruned(
            messages=await self._messages_before(now - history_keep_ms),
            publications=await self._repeatedly("prune", self._passing_before(now)),
            commands=await self._repeatedly("prune", self._commands_before(now - command_keep_ms)),
        )
        await self._repeatedly("prune", self._keys_before(now - max(KEYS_KEPT, history_keep_ms)))
        await self._repeatedly("prune", self._deleting("remove_deeds", now - DEEDS_KEPT))
        await self.shrink(VACUUM_FROM)
        return pruned

    async def prune_history(self, target_bytes: int) -> int:
        """Take the oldest published messages away until the database needs no more; returns how many."""
        pruned, after = 0, 0
        while await self._database.read(_used) > target_bytes:
            went, after = await self._database.write("prune", self._oldest_messages(after, None))
            pruned += went
            if not after:
                break
        await self.shrink(0)
        return pruned

    async def shrink(self, spare: int) -> None:
        """Give free pages back to the file system, but for `spare` ones."""
        before = free = await self._database.read(_free)
        last = free + 1
        while spare < free < last:
            last, free = free, await self._database.vacuum(min(free - spare, VACUUM_STEP))
        if free < before:
            await self._database.checkpoint()

    async def stats(self) -> Stats:
        """The figures of now; cheap enough for every few seconds."""
        stats = await self._database.read(self._stats)
        return replace(stats, trouble=self._database.trouble)

    async def _repeatedly(self, name: str, step: Step) -> int:
        total, more = 0, True
        while more:
            went, more = await self._database.write(name, step)
            total += went
        return total

    async def _messages_before(self, time: int) -> int:
        pruned, after = await self._database.write("prune", self._oldest_messages(0, time))
        while after:
            went, after = await self._database.write("prune", self._oldest_messages(after, time))
            pruned += went
        return pruned

    def _oldest_messages(
        self, after: int, before: int | None
    ) -> Callable[[sqlite3.Connection], tuple[int, int]]:
        """Prune among the next messages behind seq `after`; also returns where to go on, 0 at the end."""

        def step(connection: sqlite3.Connection) -> tuple[int, int]:
            found = connection.execute(_SQL["oldest"], (self._account, after, CHUNK)).fetchall()
            old = [row for row in found if before is None or row[3] < before]
            went = self._remove(connection, [row_id for _, row_id, settled, _ in old if settled])
            return went, found[-1][0] if old and len(found) == CHUNK else 0

        return step

    def _passing_before(self, now: int) -> Step:
        def step(connection: sqlite3.Connection) -> tuple[int, bool]:
            facts = (self._account, now - PASSING_KEPT, now - KEYS_KEPT, CHUNK)
            ids = [row_id for (row_id,) in connection.execute(_SQL["passing"], facts)]
            return self._remove(connection, ids), len(ids) == CHUNK

        return step

    def _remove(self, connection: sqlite3.Connection, ids: list[int]) -> int:
        """The rows go, their keys stay."""
        connection.execute(_SQL["keep_keys"], (self._account, listed(ids)))
        return connection.execute(_SQL["remove"], (self._account, listed(ids))).rowcount

    def _commands_before(self, time: int) -> Step:
        return self._deleting("remove_commands", time)

    def _keys_before(self, time: int) -> Step:
        return self._deleting("remove_keys", time)

    def _deleting(self, statement: str, time: int) -> Step:
        def step(connection: sqlite3.Connection) -> tuple[int, bool]:
            went = connection.execute(_SQL[statement], (self._account, time, CHUNK)).rowcount
            return went, went == CHUNK

        return step

    def _stats(self, connection: sqlite3.Connection) -> Stats:
        row = connection.execute(_SQL["stats"], (self._account, self._now() - DAY)).fetchone()
        return Stats(**dict(zip(_FIGURES, row, strict=True)))


def _used(connection: sqlite3.Connection) -> int:
    """Bytes that the database needs, without its free pages."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _free(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])
