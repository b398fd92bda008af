"""Deletes finished rows by age and size.

    a message was published and is older than `history.keep`  ->  its row is deleted, its key is remembered

Nothing that waits is deleted. WeChat may deliver a message again: its key is remembered for some days. Each
commit deletes one batch of rows, so that messages and commands are stored in between.
"""

from __future__ import annotations

from typing import NamedTuple

from wx2mqtt.store.database import Connection, json_list
from wx2mqtt.store.outbox import JournalPart
from wx2mqtt.store.records import PruneCounts
from wx2mqtt.store.statements import Statement

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

# The rows that one commit deletes.
PRUNE_BATCH_ROWS = 500

# Pages that `prune` leaves free for new rows.
MIN_FREE_PAGES = 256


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
        commands = await self._delete_before(_DELETE_COMMANDS, now - command_keep_ms)
        await self._delete_before(_DELETE_QUESTIONS, now - command_keep_ms)
        await self._delete_before(_DELETE_KEYS, now - max(MIN_KEY_RETENTION_MS, history_keep_ms))
        await self._delete_before(_DELETE_REQUESTS, now - REQUEST_RETENTION_MS)
        await self._database.shrink(MIN_FREE_PAGES)
        return PruneCounts(messages=messages, publications=publications, commands=commands)

    async def prune_refused(self, now: int, keep_ms: int = REFUSED_RETENTION_MS) -> int:
        """Deletes refused commands and published results before their time; returns how many commands.

        This is for a store that is nearly full: whoever may publish commands must not crowd messages out. The
        commands of the last `keep_ms` stay. Does nothing while the clock is behind the newest row.
        """
        if not await self._database.read(lambda db: clock_has_passed(db, now)):
            return 0
        deleted = await self._delete_before(_DELETE_REFUSED, now - keep_ms)
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
        """Deletes the finished messages of the next batch; with `before` (ms) only older ones.

        Returns how many it deleted, and the seq after which the next batch begins, None after the last one.
        """

        def job(connection: Connection) -> tuple[int, int | None]:
            arguments = (self._account, after_seq, PRUNE_BATCH_ROWS)
            batch = [_MessageAge(*row) for row in connection.execute(_OLDEST_MESSAGES, arguments)]
            old = [row for row in batch if before is None or row.created < before]
            deleted = self._delete_rows(connection, [row.id for row in old if row.is_finished])
            if not old or len(batch) < PRUNE_BATCH_ROWS:  # what follows is younger, or there is no more
                return deleted, None
            return deleted, batch[-1].seq

        return await self._database.write("prune", job)

    async def _delete_before(self, statement: str, before: int) -> int:
        """Deletes rows from before a time (ms); returns how many."""
        total = 0
        deleted = PRUNE_BATCH_ROWS
        while deleted == PRUNE_BATCH_ROWS:
            deleted = await self._execute("prune", statement, before, PRUNE_BATCH_ROWS)
            total += deleted
        return total

    async def _delete_transient(self, before: int, before_with_fields: int) -> int:
        """Deletes results, responses and events from before a time (ms); returns how many.

        An event with fields for a later request (`accept_friend`, say) is kept until `before_with_fields`.
        """
        values = (self._account, before, before_with_fields, PRUNE_BATCH_ROWS)

        def job(connection: Connection) -> tuple[int, int]:
            ids = [row_id for (row_id,) in connection.execute(_FINISHED_TRANSIENT, values)]
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
        connection.execute(_KEEP_KEYS, arguments)
        return connection.execute(_DELETE_PUBLICATIONS, arguments).rowcount


def clock_has_passed(connection: Connection, now: int) -> bool:
    """Returns whether `now` (ms) is after the newest row of the store: only then can ages be trusted.

    With a clock that was set back every row looks young; with one that was wrong before, every row looks old.
    """
    (newest,) = connection.execute(_NEWEST_CREATED).fetchone()
    return newest is None or now > newest


class _MessageAge(NamedTuple):
    """A row of `_OLDEST_MESSAGES`. Only a finished message may be deleted."""

    seq: int
    id: int
    is_finished: bool
    created: int


# Statements

# The column `state` of `publication`: 0 waiting, 1 published, 2 rejected, 3 dropped, 4 held for its file.

# When the newest row of any account was created: all accounts share one clock, and both tables grow at
# their end.
_NEWEST_CREATED = Statement("""
    SELECT max(created) FROM (
        SELECT created FROM (SELECT created FROM publication ORDER BY id DESC LIMIT 1) AS published
        UNION ALL
        SELECT accepted FROM (SELECT accepted FROM command ORDER BY id DESC LIMIT 1) AS accepted
    ) AS newest
""")

_DELETE_COMMANDS = Statement("""
    DELETE FROM command WHERE id IN (
        SELECT id FROM command WHERE account = ? AND status IS NOT NULL AND settled < ? LIMIT ?
    )
""")

# Questions that were closed before ?2, by an answer or by time. One that was asked after an open one of the
# same person stays: a bare number must not mean the older one.
_DELETE_QUESTIONS = Statement("""
    DELETE FROM question WHERE id IN (
        SELECT id FROM question AS old
        WHERE account = ?1 AND (closed < ?2 OR until < ?2) AND NOT EXISTS (
            SELECT 1 FROM question AS older
            WHERE older.account = ?1 AND older.person = old.person AND older.id < old.id
                AND older.closed IS NULL AND (older.until IS NULL OR older.until >= ?2)
        )
        LIMIT ?3
    )
""")

_DELETE_KEYS = Statement(
    """
    DELETE FROM seen
    WHERE (account, key) IN (SELECT account, key FROM seen WHERE account = ? AND created < ? LIMIT ?)
    """,
    postgresql="""
    DELETE FROM seen WHERE ctid IN (SELECT ctid FROM seen WHERE account = ? AND created < ? LIMIT ?)
    """,
)

_DELETE_REQUESTS = Statement("""
    DELETE FROM deed WHERE (account, session, mid) IN (
        SELECT account, session, mid FROM deed WHERE account = ? AND created < ? LIMIT ?
    )
""")

# Commands that were refused: nothing of them was sent, so a repeat is judged anew and does no harm.
_DELETE_REFUSED = Statement("""
    DELETE FROM command WHERE id IN (
        SELECT id FROM command WHERE account = ? AND status = 'rejected' AND settled < ? LIMIT ?
    )
""")

# The next messages after seq ?2: seq, row id, whether it may be deleted, when it was created. The newest
# message stays.
_OLDEST_MESSAGES = Statement("""
    SELECT seq, id, state IN (1, 3) AND seq < (SELECT account.seq FROM account WHERE name = ?1), created
    FROM publication WHERE account = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3
""")

# Published results, responses and events. Those with fields for a later request stay as long as their key.
_FINISHED_TRANSIENT = Statement("""
    SELECT id FROM publication
    WHERE account = ?1 AND seq IS NULL AND state IN (1, 3) AND created < ?2
        AND (private IS NULL OR created < ?3)
    LIMIT ?4
""")

# Remembers the keys of rows that are about to be deleted. The plus signs keep SQLite from reading all keys
# of the account by their index instead of these rows.
_KEEP_KEYS = Statement("""
    INSERT OR IGNORE INTO seen (account, key, created)
    SELECT account, key, created FROM publication
    WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND +account = ?1 AND +key IS NOT NULL
""")

_DELETE_PUBLICATIONS = Statement("""
    DELETE FROM publication WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?2)) AND account = ?1
""")
