"""How many messages came and how many commands were sent in each of the last hours.

    hours = await journal.traffic.last_hours(24)  # the oldest first, the last one is the current hour
    await journal.traffic.list_received(since)    # the chat and the time of each message since then

The counts come from the stored rows, so they survive a restart. What it costs is bounded. A seq counts the
messages without gaps: the messages of an hour are the difference of two seqs, each found by bisection. The
commands are counted in an index. What an hour had that is over for a while is not read again.
"""

from __future__ import annotations

from collections.abc import Sequence

from wx2mqtt.store.database import Connection
from wx2mqtt.store.outbox import AccountRows, JournalPart
from wx2mqtt.store.statements import Statement
from wx2mqtt.values import frozen

HOUR_MS = 3_600_000

# An hour that ended so many hours ago gets no more rows: a commit takes seconds, not an hour.
SETTLED_AFTER_HOURS = 2


@frozen
class HourCounts:
    """What one account had in one hour."""

    #: Hours since 1970.
    hour: int
    #: Messages from WeChat.
    received: int = 0
    #: Commands that WeChat took.
    sent: int = 0
    #: Commands that ended otherwise, as `JournalStats.failed_today` counts them.
    not_sent: int = 0


class TrafficCounts(JournalPart):
    """The counts by hour, of which those that do not change any more are kept in memory."""

    def __init__(self, rows: AccountRows) -> None:
        super().__init__(rows)
        #: By hour: the counts that do not change any more.
        self._settled: dict[int, HourCounts] = {}

    async def last_hours(self, count: int) -> Sequence[HourCounts]:
        """Returns the last hours up to now, the oldest first. Raises `StoreError`.

        1. Drop what is kept of other hours. Hours to come are among them after the clock was set back.
        2. Count from the first hour on that is not kept.
        3. Keep the hours that do not change any more.
        """
        current = self._rows.now() // HOUR_MS
        first = current - count + 1
        settled_until = current - SETTLED_AFTER_HOURS
        self._settled = {
            hour: counts for hour, counts in self._settled.items() if first <= hour <= settled_until
        }
        unknown = next(hour for hour in range(first, current + 1) if hour not in self._settled)
        counted = await self._database.read(lambda db: self._count(db, unknown, current))
        self._settled |= {counts.hour: counts for counts in counted if counts.hour <= settled_until}
        return [*(self._settled[hour] for hour in range(first, unknown)), *counted]

    async def list_received(self, since: int) -> list[tuple[str, int]]:
        """Returns the user and the time (ms) of each message that was stored since then, in order."""

        def job(connection: Connection) -> list[tuple[str, int]]:
            oldest, newest = connection.execute(_SEQ_BOUNDS, (self._account,)).fetchone()
            if oldest is None:
                return []
            first = self._first_seq_since(connection, since, oldest, newest + 1)
            rows = connection.execute(_RECEIVED_FROM, (self._account, first)).fetchall()
            return [(str(user), int(created)) for user, created in rows]

        return await self._database.read(job)

    # Read jobs

    def _count(self, connection: Connection, first: int, last: int) -> list[HourCounts]:
        """Returns the counts of the hours from `first` to `last`."""
        values = self._account, first * HOUR_MS
        sent = dict(connection.execute(_SENT_BY_HOUR, values).fetchall())
        not_sent = dict(connection.execute(_NOT_SENT_BY_HOUR, values).fetchall())
        first_seqs = self._first_seqs(connection, first, last)
        return [
            HourCounts(
                hour=hour,
                received=first_seqs[hour + 1] - first_seqs[hour],
                sent=sent.get(hour, 0),
                not_sent=not_sent.get(hour, 0),
            )
            for hour in range(first, last + 1)
        ]

    def _first_seqs(self, connection: Connection, first: int, last: int) -> dict[int, int]:
        """Returns, by hour and for the one after `last`, the seq of its first message or of the next one."""
        oldest, newest = connection.execute(_SEQ_BOUNDS, (self._account,)).fetchone()
        next_seq = newest + 1
        lowest = next_seq if oldest is None else oldest  # None: no message is stored
        first_seqs = {last + 1: next_seq}
        for hour in range(last, first - 1, -1):  # backwards, so that each bisection has less to search
            high = first_seqs[hour + 1]
            first_seqs[hour] = self._first_seq_since(connection, hour * HOUR_MS, lowest, high)
        return first_seqs

    def _first_seq_since(self, connection: Connection, time: int, low: int, high: int) -> int:
        """Returns the first seq from `low` on that was stored at `time` or later; `high` if none was."""
        while low < high:
            middle = (low + high) // 2
            row = connection.execute(_FIRST_MESSAGE_FROM, (self._account, middle)).fetchone()
            # Rows may have been deleted: the first message from the middle on may be far behind it.
            seq, created = row or (high, time)
            if seq >= high or created >= time:
                high = middle
            else:
                low = seq + 1
        return low


# Statements

# Commands that were sent, by the hour in which that was stored. The index `command_settled` has all columns.
_SENT_BY_HOUR = Statement("""
    SELECT settled / 3600000, count(*) FROM command
    WHERE account = ?1 AND status IS NOT NULL AND settled >= ?2 AND status = 'sent' GROUP BY settled / 3600000
""")

# Commands that were not sent, by the hour; counted as `JournalStats.failed_today` is.
_NOT_SENT_BY_HOUR = Statement("""
    SELECT settled / 3600000, count(*) FROM command
    WHERE account = ?1 AND status IS NOT NULL AND settled >= ?2 AND status <> 'sent'
        AND fallback_of = '' AND NOT (command_id >= 'wx2mqtt-' AND command_id < 'wx2mqtt.')
    GROUP BY settled / 3600000
""")

# The seq of the oldest stored message (null if there is none), and the newest seq that was ever given.
_SEQ_BOUNDS = Statement("""
    SELECT (SELECT seq FROM publication WHERE account = ?1 AND seq IS NOT NULL ORDER BY seq LIMIT 1), seq
    FROM account WHERE name = ?1
""")

# The first stored message from seq ?2 on: its seq, and when it was stored.
_FIRST_MESSAGE_FROM = Statement("""
    SELECT seq, created FROM publication
    WHERE account = ?1 AND seq IS NOT NULL AND seq >= ?2 ORDER BY seq LIMIT 1
""")

# The chat of each stored message from seq ?2 on, and when it was stored.
_RECEIVED_FROM = Statement("""
    SELECT user, created FROM publication WHERE account = ?1 AND seq IS NOT NULL AND seq >= ?2 ORDER BY seq
""")
