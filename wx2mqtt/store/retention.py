"""Whether the clock can be trusted with what is old enough to go.

All that a store knows of an account that is no longer wanted: told, and taken away for good.

The row of the account itself goes last, by a call of its own: what a crash cut off can be begun again, and
nothing is forgotten before it was taken away. In small commits, so that messages of others pass in between.

Keeps the journal small: by age, and when there is too little room. Nothing that waits is ever pruned.

Works in small commits, so that messages and commands pass in between.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial

from wx2mqtt.store.database import Database
from wx2mqtt.store.journal_part import JournalPart
from wx2mqtt.store.queries import json_list, load_queries
from wx2mqtt.store.records import JournalStats, PruneCounts

_AGE_SQL = load_queries("age")


def clock_has_passed(connection: sqlite3.Connection, now: int) -> bool:
    """Whether `now` (ms) lies behind the newest row of the store.

    A clock that was set back would make all look young, one that was wrong before would make all look old.
    """
    (newest,) = connection.execute(_AGE_SQL["newest"]).fetchone()
    return newest is None or now > newest


_REMOVAL_SQL = load_queries("removal")


_CHUNK = 500  # rows of one commit


_ROWS = ("messages", "publications", "commands", "keys", "deeds", "media", "given_levels", "persons")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredData:
    """What there is of an account. `announced` are topics; with `base` empty where nothing was ever said."""

    base: str = ""
    announced: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    messages: int = 0
    commands: int = 0
    people: int = 0
    media: int = 0


class AccountRemoval:
    """Looks at accounts and takes them away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_accounts(self) -> list[str]:
        """Accounts that have rows here."""
        return await self._database.read(
            lambda db: [name for (name,) in db.execute(_REMOVAL_SQL["accounts"]).fetchall()]
        )

    async def stored_data(self, account: str) -> StoredData:
        """What there is of one; nothing where it was never heard of."""
        return await self._database.read(partial(_remains, account))

    async def delete_rows(self, account: str) -> None:
        """Take all rows away but its own. Files and copies to which they led are for others to take away."""
        for rows in _ROWS:
            while await self._database.write("purge", partial(_delete, rows, account)) == _CHUNK:
                pass
        await self._database.write("purge", lambda db: db.execute(_REMOVAL_SQL["nobody"], (account,)))

    async def delete_account(self, account: str) -> None:
        """The end of it."""
        await self._database.write("purge", lambda db: db.execute(_REMOVAL_SQL["account"], (account,)))


def _remains(account: str, connection: sqlite3.Connection) -> StoredData:
    row = connection.execute(_REMOVAL_SQL["base_topic"], (account,)).fetchone() or (None, "")
    messages, commands, people, media = connection.execute(_REMOVAL_SQL["counts"], (account,)).fetchone()
    return StoredData(
        base=row[0] or "",
        announced=tuple(json.loads(row[1])["topics"]) if row[1] else (),
        levels=tuple(level for (level,) in connection.execute(_REMOVAL_SQL["levels"], (account,))),
        messages=messages,
        commands=commands,
        people=people,
        media=media,
    )


def _delete(rows: str, account: str, connection: sqlite3.Connection) -> int:
    return connection.execute(_REMOVAL_SQL[rows], (account, _CHUNK)).rowcount


_RETENTION_SQL = load_queries("upkeep")


_FIGURES = tuple(item.name for item in fields(JournalStats) if item.name != "trouble")


PRUNE_BATCH_ROWS = 500  # rows of one commit


DAY_MS = 86_400_000  # milliseconds


KEY_RETENTION_MS = 7 * DAY_MS  # at least: WeChat may hand over the same message again


TRANSIENT_RETENTION_MS = DAY_MS  # published results, responses and events


REQUEST_RETENTION_MS = DAY_MS  # answers, for a broker that delivers a request again


MIN_FREE_PAGES = 256  # free pages that are left for what comes next


VACUUM_BATCH_PAGES = 500  # pages of one commit


PruneStep = Callable[[sqlite3.Connection], tuple[int, bool]]
"""Does a piece of work; returns how many rows went and whether there may be more."""


class JournalRetention(JournalPart):
    """Age, size and figures of one account."""

    async def prune(self, now: int, history_keep_ms: int, command_keep_ms: int) -> PruneCounts:
        """Take away what is settled and older than it must be kept; the file shrinks.

        Does nothing while the clock is behind the newest row: a clock that was set back would make all look
        young, one that was wrong before would make all look old. The newest message always stays.
        """
        if not await self._database.read(lambda db: clock_has_passed(db, now)):
            return PruneCounts()
        pruned = PruneCounts(
            messages=await self._prune_messages(now - history_keep_ms),
            publications=await self._run_steps("prune", self._prune_transient_step(now)),
            commands=await self._run_steps("prune", self._prune_commands_step(now - command_keep_ms)),
        )
        await self._run_steps("prune", self._prune_keys_step(now - max(KEY_RETENTION_MS, history_keep_ms)))
        await self._run_steps("prune", self._delete_step("remove_deeds", now - REQUEST_RETENTION_MS))
        await self.shrink(MIN_FREE_PAGES)
        return pruned

    async def prune_history(self, target_bytes: int) -> int:
        """Take the oldest published messages away until the database needs no more; returns how many."""
        pruned, after = 0, 0
        while await self._database.read(_used) > target_bytes:
            went, after = await self._database.write("prune", self._prune_messages_step(after, None))
            pruned += went
            if not after:
                break
        await self.shrink(0)
        return pruned

    async def shrink(self, spare_pages: int) -> None:
        """Give free pages back to the file system, but for `spare` ones."""
        before = free = await self._database.read(_free)
        last = free + 1
        while spare_pages < free < last:
            last, free = free, await self._database.vacuum(min(free - spare_pages, VACUUM_BATCH_PAGES))
        if free < before:
            await self._database.checkpoint()

    async def stats(self) -> JournalStats:
        """The figures of now; cheap enough for every few seconds."""
        stats = await self._database.read(self._stats)
        return replace(stats, trouble=self._database.last_error)

    async def _run_steps(self, name: str, step: PruneStep) -> int:
        total, more = 0, True
        while more:
            went, more = await self._database.write(name, step)
            total += went
        return total

    async def _prune_messages(self, time: int) -> int:
        pruned, after = await self._database.write("prune", self._prune_messages_step(0, time))
        while after:
            went, after = await self._database.write("prune", self._prune_messages_step(after, time))
            pruned += went
        return pruned

    def _prune_messages_step(
        self, after: int, before: int | None
    ) -> Callable[[sqlite3.Connection], tuple[int, int]]:
        """Prune among the next messages behind seq `after`; also returns where to go on, 0 at the end."""

        def step(connection: sqlite3.Connection) -> tuple[int, int]:
            found = connection.execute(
                _RETENTION_SQL["oldest"], (self._account, after, PRUNE_BATCH_ROWS)
            ).fetchall()
            old = [row for row in found if before is None or row[3] < before]
            went = self._remove_rows(connection, [row_id for _, row_id, settled, _ in old if settled])
            return went, found[-1][0] if old and len(found) == PRUNE_BATCH_ROWS else 0

        return step

    def _prune_transient_step(self, now: int) -> PruneStep:
        def step(connection: sqlite3.Connection) -> tuple[int, bool]:
            facts = (self._account, now - TRANSIENT_RETENTION_MS, now - KEY_RETENTION_MS, PRUNE_BATCH_ROWS)
            ids = [row_id for (row_id,) in connection.execute(_RETENTION_SQL["passing"], facts)]
            return self._remove_rows(connection, ids), len(ids) == PRUNE_BATCH_ROWS

        return step

    def _remove_rows(self, connection: sqlite3.Connection, ids: list[int]) -> int:
        """The rows go, their keys stay."""
        connection.execute(_RETENTION_SQL["keep_keys"], (self._account, json_list(ids)))
        return connection.execute(_RETENTION_SQL["remove"], (self._account, json_list(ids))).rowcount

    def _prune_commands_step(self, time: int) -> PruneStep:
        return self._delete_step("remove_commands", time)

    def _prune_keys_step(self, time: int) -> PruneStep:
        return self._delete_step("remove_keys", time)

    def _delete_step(self, statement: str, time: int) -> PruneStep:
        def step(connection: sqlite3.Connection) -> tuple[int, bool]:
            went = connection.execute(
                _RETENTION_SQL[statement], (self._account, time, PRUNE_BATCH_ROWS)
            ).rowcount
            return went, went == PRUNE_BATCH_ROWS

        return step

    def _stats(self, connection: sqlite3.Connection) -> JournalStats:
        row = connection.execute(_RETENTION_SQL["stats"], (self._account, self._now() - DAY_MS)).fetchone()
        return JournalStats(**dict(zip(_FIGURES, row, strict=True)))


def _used(connection: sqlite3.Connection) -> int:
    """Bytes that the database needs, without its free pages."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _free(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])
