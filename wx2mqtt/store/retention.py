"""Deletes rows: finished rows by age and size, and everything of an account that is removed.

Each commit deletes one batch, as long as there are rows: so messages and commands are stored in between.
Nothing that waits is pruned. The key of a deleted message is remembered for some days, since WeChat may
deliver the message again.
"""

from __future__ import annotations

import json
from functools import partial
from typing import NamedTuple

from wx2mqtt.store.database import Connection, Database, json_list
from wx2mqtt.store.outbox import JournalPart
from wx2mqtt.store.queries import load_queries
from wx2mqtt.store.records import PruneCounts
from wx2mqtt.values import frozen

DAY_MS = 86_400_000

# How long a key is remembered at least: WeChat may deliver the same message again.
MIN_KEY_RETENTION_MS = 7 * DAY_MS

# How long published results, responses and events are kept.
TRANSIENT_RETENTION_MS = DAY_MS

# How long the answers to requests are kept, for a broker that redelivers a request.
REQUEST_RETENTION_MS = DAY_MS

# How long refused commands and their results are kept in a store that is nearly full, and where that is not
# enough: a broker may deliver them again.
REFUSED_RETENTION_MS = 600_000
MIN_REFUSED_RETENTION_MS = 30_000

# Of one commit.
PRUNE_BATCH_ROWS = 500

# Pages that `prune` leaves free for new rows.
MIN_FREE_PAGES = 256


class _MessageAge(NamedTuple):
    """A row of the statement `oldest_messages`. Only a finished message may be deleted."""

    seq: int
    id: int
    is_finished: bool
    created: int


_SQL = load_queries("retention")
_REMOVE_STATEMENTS = (
    "remove_messages",
    "remove_publications",
    "remove_commands",
    "remove_keys",
    "remove_requests",
    "remove_media",
    "remove_questions",
    "remove_levels",
    "remove_persons",
)


def clock_has_passed(connection: Connection, now: int) -> bool:
    """Returns whether `now` (ms) is after the newest row of the store: only then can ages be trusted.

    With a clock that was set back every row looks young; with one that was wrong before, every row looks old.
    """
    (newest,) = connection.execute(_SQL["newest_created"]).fetchone()
    return newest is None or now > newest


class JournalRetention(JournalPart):
    """What is deleted of one account."""

    async def prune(self, now: int, history_keep_ms: int, command_keep_ms: int) -> PruneCounts:
        """Deletes finished rows that are older than they must be kept, then shrinks the file.

        The newest message always stays. Does nothing while the clock is behind the newest row.
        """
        if not await self._database.read(lambda db: clock_has_passed(db, now)):
            return PruneCounts()
        messages = 0
        after_seq: int | None = 0
        while after_seq is not None:
            deleted, after_seq = await self._prune_messages(after_seq, now - history_keep_ms)
            messages += deleted
        publications = await self._delete_transient(now - TRANSIENT_RETENTION_MS, now - MIN_KEY_RETENTION_MS)
        commands = await self._delete_before(_SQL["delete_commands"], now - command_keep_ms)
        await self._delete_before(_SQL["delete_questions"], now - command_keep_ms)
        await self._delete_before(_SQL["delete_keys"], now - max(MIN_KEY_RETENTION_MS, history_keep_ms))
        await self._delete_before(_SQL["delete_requests"], now - REQUEST_RETENTION_MS)
        await self._database.shrink(MIN_FREE_PAGES)
        return PruneCounts(messages=messages, publications=publications, commands=commands)

    async def prune_refused(self, now: int, keep_ms: int = REFUSED_RETENTION_MS) -> int:
        """Deletes refused commands and published results before their time; returns how many commands.

        Those of the last `keep_ms` stay. For a store that is nearly full: whoever may publish commands must
        not crowd messages out. Does nothing while the clock is behind the newest row.
        """
        if not await self._database.read(lambda db: clock_has_passed(db, now)):
            return 0
        deleted = await self._delete_before(_SQL["delete_refused"], now - keep_ms)
        await self._delete_transient(now - keep_ms, now - MIN_KEY_RETENTION_MS)
        await self._database.shrink(0)
        return deleted

    async def prune_history(self, target_bytes: int) -> int:
        """Deletes the oldest published messages until the database needs at most this; returns how many."""
        total = 0
        after_seq: int | None = 0
        while after_seq is not None and await self._database.used_bytes() > target_bytes:
            deleted, after_seq = await self._prune_messages(after_seq, None)
            total += deleted
        await self._database.shrink(0)
        return total

    async def _prune_messages(self, after_seq: int, before: int | None) -> tuple[int, int | None]:
        """Deletes messages of the next batch, with `before` (ms) only older ones.

        Returns how many it deleted, and the seq after which to go on, None at the end.
        """

        def job(connection: Connection) -> tuple[int, int | None]:
            arguments = (self._account, after_seq, PRUNE_BATCH_ROWS)
            batch = [_MessageAge(*row) for row in connection.execute(_SQL["oldest_messages"], arguments)]
            old = [row for row in batch if before is None or row.created < before]
            deleted = self._delete_rows(connection, [row.id for row in old if row.is_finished])
            return deleted, batch[-1].seq if old and len(batch) == PRUNE_BATCH_ROWS else None

        return await self._database.write("prune", job)

    async def _delete_before(self, statement: str, before: int) -> int:
        """Deletes rows from before a time (ms); returns how many."""
        total = 0
        deleted = PRUNE_BATCH_ROWS
        while deleted == PRUNE_BATCH_ROWS:
            values = (self._account, before, PRUNE_BATCH_ROWS)
            deleted = await self._database.execute("prune", statement, values)
            total += deleted
        return total

    async def _delete_transient(self, before: int, before_with_fields: int) -> int:
        """Deletes results, responses and events from before a time (ms); returns how many.

        Events with fields for a later request go by another time.
        """
        values = (self._account, before, before_with_fields, PRUNE_BATCH_ROWS)

        def job(connection: Connection) -> tuple[int, int]:
            ids = [row_id for (row_id,) in connection.execute(_SQL["finished_transient"], values)]
            return len(ids), self._delete_rows(connection, ids)

        total = 0
        selected = PRUNE_BATCH_ROWS
        while selected == PRUNE_BATCH_ROWS:
            selected, deleted = await self._database.write("prune", job)
            total += deleted
        return total

    def _delete_rows(self, connection: Connection, ids: list[int]) -> int:
        """Deletes publications, but remembers their keys."""
        arguments = (self._account, json_list(ids))
        connection.execute(_SQL["keep_keys"], arguments)
        return connection.execute(_SQL["delete_publications"], arguments).rowcount


@frozen
class StoredData:
    """The stored data of an account."""

    #: The base topic; empty if the account never published.
    base: str = ""
    #: The topics of Home Assistant discovery.
    announced: tuple[str, ...] = ()
    #: The topic names of its people.
    levels: tuple[str, ...] = ()
    messages: int = 0
    commands: int = 0
    people: int = 0
    media: int = 0


class AccountRemoval:
    """Removes accounts that are no longer wanted.

    The row of the account itself is deleted last, by a call of its own: a removal that a crash interrupted
    can be started again, and nothing is forgotten before it was removed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_accounts(self) -> list[str]:
        return [name for (name,) in await self._database.fetch(_SQL["accounts"])]

    async def stored_data(self, account: str) -> StoredData:
        """Returns what the store has of an account; zeros if the account is unknown."""
        return await self._database.read(partial(_stored_data, account))

    async def delete_rows(self, account: str) -> None:
        """Deletes all rows of an account but its own. The caller removes files and `people.json` entries."""
        for name in _REMOVE_STATEMENTS:
            deleted = PRUNE_BATCH_ROWS
            while deleted == PRUNE_BATCH_ROWS:
                deleted = await self._database.execute("purge", _SQL[name], (account, PRUNE_BATCH_ROWS))
        await self._database.execute("purge", _SQL["forget_people"], (account,))

    async def delete_account(self, account: str) -> None:
        """Deletes the row of the account: the last step of a removal."""
        await self._database.execute("purge", _SQL["remove_account"], (account,))


def _stored_data(account: str, connection: Connection) -> StoredData:
    base, discovery = connection.execute(_SQL["account_topics"], (account,)).fetchone() or (None, "")
    messages, commands, people, media = connection.execute(_SQL["row_counts"], (account,)).fetchone()
    return StoredData(
        base=base or "",
        announced=tuple(json.loads(discovery)["topics"]) if discovery else (),
        levels=tuple(level for (level,) in connection.execute(_SQL["levels"], (account,))),
        messages=messages,
        commands=commands,
        people=people,
        media=media,
    )
