"""How many messages came and how many commands were sent in each of the last hours.

    hours = await journal.traffic.last_hours(24)  # the oldest first, the last one is the current hour

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

    # Read jobs

    def _count(self, connection: Connection, first: int, last: int) -> list[HourCounts]:
        """Returns the counts of the hours from `first` to `last`."""
        values = self._account, first * HOUR_MS
        sent = dict(connection.execute(_SENT_BY_HOUR, values).fetchall())
        not_sent = dict(connection.execute(_NOT_SENT_BY_HOUR, values).fetchall())
        oldest, newest = connection.execute(_SEQ_BOUNDS, (self._account,)).fetchone()
        end = newest + 1
        begins = [end]
        for hour in range(last, first - 1, -1):  # backwards, so that each bisection has less to search
            if oldest is not None:
                end = self._first_seq_since(connection, hour * HOUR_MS, oldest, end)
            begins.append(end)
        begins.reverse()
        return [
            HourCounts(
                hour=hour,
                received=begins[index + 1] - begins[index],
                sent=sent.get(hour, 0),
                not_sent=not_sent.get(hour, 0),
            )
            for index, hour in enumerate(range(first, last + 1))
        ]

    def _first_seq_since(self, connection: Connection, time: int, low: int, high: int) -> int:
        """Returns the first seq from `low` on that was stored at `time` or later; `high` if none was."""
        while low < high:
            middle = (low + high) // 2
            row = connection.execute(_FIRST_MESSAGE_FROM, (self._account, middle)).fetchone()
            # Rows may have been deleted: the first one from the middle on may be far behind it.
            if row is None or row[0] >= high or row[1] >= time:
                high = middle
            else:
                low = row[0] + 1
        return low


# Statements

# Commands that were sent, by the hour in which that was stored. The index `command_settled` has all of it.
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

# The oldest stored seq (null without messages), and the newest one that was ever given.
_SEQ_BOUNDS = Statement("""
    SELECT (SELECT seq FROM publication WHERE account = ?1 AND seq IS NOT NULL ORDER BY seq LIMIT 1), seq
    FROM account WHERE name = ?1
""")

# The first stored message from seq ?2 on: its seq, and when it was stored.
_FIRST_MESSAGE_FROM = Statement("""
    SELECT seq, created FROM publication
    WHERE account = ?1 AND seq IS NOT NULL AND seq >= ?2 ORDER BY seq LIMIT 1
""")
