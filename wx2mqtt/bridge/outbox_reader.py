"""The queue of publications that are due, filled from memory or from the journal.

- A commit hands its rows over in memory (`add`), as long as nothing in the journal waits before them.
- The journal is read after a start, a connect, a refusal or the release of a message that has waited for its
  file, when a batch is missing, and when more rows wait than memory should hold.
- Rows of one topic come in the order of their ids; topics do not wait for each other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import replace
from enum import Enum, auto

from wx2mqtt.store.journal import Journal
from wx2mqtt.store.records import OutboxBatch, OutboxRow
from wx2mqtt.values import frozen

# Rows that are read from the journal at a time.
READ_BATCH_ROWS = 200

# From so many rows in memory on, further ones stay in the journal.
MAX_ROWS_IN_MEMORY = 1000


class Coverage(Enum):
    """What is known of the journal behind the last row that was read or handed over."""

    BEHIND = auto()  # it has further rows, or may have
    READING = auto()  # it is being read, and nothing was committed since the read began
    CAUGHT_UP = auto()  # it has no further row


@frozen
class SkippedRows:
    """Rows of one topic that reading has left out: those behind the id `after_id`, up to `last_id`."""

    after_id: int
    last_id: int


@frozen
class PendingRelease:
    """Releases of messages of one topic that are under way; its rows behind `after_id` are unread."""

    after_id: int
    count: int


class OutboxReader:
    """Keeps the rows that are due in `rows`; the publisher takes them from the left.

    What else waits in the journal is read later. Of each row one of these is true:

    - it is behind `_last_id`, where reading goes on;
    - it is in the range that `_skipped` has for its topic; these ranges are read first;
    - its topic is in `_releases`, or a message before it waits for its file: until `finish_release`;
    - its topic is in `refused_topics`: until `reread_topic`.

    A topic is never in both `_skipped` and `_releases`. Each change of these begins a new `_generation`: a
    read that began before is repeated.
    """

    def __init__(self, journal: Journal, refused_topics: Collection[str]) -> None:
        self._journal = journal
        self._refused_topics = refused_topics
        self.rows: deque[OutboxRow] = deque()
        #: Set when there may be other rows to publish.
        self.changed = asyncio.Event()
        self._skipped: dict[str, SkippedRows] = {}  # by topic
        self._releases: dict[str, PendingRelease] = {}
        self._last_id = 0  # the last row that was read or handed over
        self._coverage = Coverage.BEHIND  # of the rows behind `_last_id`
        self._generation = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether the journal has nothing that is not in `rows`."""
        return self._coverage is Coverage.CAUGHT_UP and not self._skipped

    def add(self, batch: OutboxBatch) -> None:
        """Takes the rows of one commit, or records that the journal must be read for them."""
        fits = len(self.rows) + len(batch.rows) <= MAX_ROWS_IN_MEMORY
        # No other row lies between the last known one and this batch.
        follows = batch.after_id is not None and batch.after_id <= self._last_id < batch.last_id
        if self.is_exhausted and fits and follows:
            self._last_id = batch.last_id
            for row in batch.rows:
                if row.topic not in self._refused_topics and row.topic not in self._releases:
                    self.rows.append(row)
        elif batch.last_id > self._last_id:
            self.expect_rows()

    def expect_rows(self) -> None:
        """Records that the journal may have rows that were not handed over."""
        self._coverage = Coverage.BEHIND
        self.changed.set()

    def restart(self) -> None:
        """Begins again with the oldest row that is not published."""
        self._generation += 1
        self._last_id = 0
        self.expect_rows()
        self.rows.clear()
        self._skipped.clear()
        self._releases = {topic: replace(release, after_id=0) for topic, release in self._releases.items()}

    def start_release(self, topic: str) -> None:
        """Pauses a topic until `finish_release`: no later row may overtake the message that is released."""
        release = self._releases.get(topic, PendingRelease(after_id=self._last_id, count=0))
        after_id = min(release.after_id, self._pop_skipped(topic))
        self._releases[topic] = PendingRelease(after_id=after_id, count=release.count + 1)
        self._generation += 1

    def finish_release(self, topic: str, row_id: int | None) -> None:
        """Reads the topic again from the released row on; None if the message did not wait any more."""
        release = self._releases.pop(topic)
        after_id = release.after_id if row_id is None else min(release.after_id, row_id - 1)
        if release.count > 1:
            self._releases[topic] = PendingRelease(after_id=after_id, count=release.count - 1)
        else:
            self._reread(topic, after_id)

    def reread_topic(self, topic: str) -> None:
        """Reads a topic again from its beginning: it may be published again."""
        self.rows = deque(row for row in self.rows if row.topic != topic)
        if topic in self._releases:
            self._releases[topic] = replace(self._releases[topic], after_id=0)
        else:
            self._reread(topic, 0)

    def discard(self, row_id: int) -> None:
        """Removes a row that the broker rejects; rows of its topic that waited behind it may be due now."""
        self._generation += 1
        self.expect_rows()
        self.rows = deque(row for row in self.rows if row.id != row_id)

    async def read(self) -> None:
        """Reads the next rows into `rows`: skipped ones first. Raises `StoreError`."""
        skipped_topic = next(iter(self._skipped), None)
        if skipped_topic is None:
            await self._read_next()
        else:
            await self._read_skipped(skipped_topic)

    async def _read_skipped(self, topic: str) -> None:
        generation, skipped = self._generation, self._skipped[topic]
        rows = await self._journal.outbox.list_waiting_in_topic(
            topic, skipped.after_id, skipped.last_id, READ_BATCH_ROWS
        )
        if self._is_outdated(generation):
            return
        if rows:
            self._skipped[topic] = replace(skipped, after_id=rows[-1].id)
        else:
            del self._skipped[topic]
        self.rows.extend(rows)

    async def _read_next(self) -> None:
        generation = self._generation
        self._coverage = Coverage.READING
        topics_to_skip = [*self._refused_topics, *self._releases]
        rows = await self._journal.outbox.list_waiting(self._last_id, READ_BATCH_ROWS, topics_to_skip)
        if self._is_outdated(generation):
            return
        is_complete = self._coverage is Coverage.READING and len(rows) < READ_BATCH_ROWS
        self._coverage = Coverage.CAUGHT_UP if is_complete else Coverage.BEHIND
        if rows:
            self._last_id = rows[-1].id
        self.rows.extend(rows)

    def _is_outdated(self, generation: int) -> bool:
        """Returns whether a read must be repeated, since what is to be read has changed meanwhile."""
        if generation == self._generation:
            return False
        self._coverage = Coverage.BEHIND
        return True

    def _reread(self, topic: str, after_id: int) -> None:
        after_id = min(after_id, self._pop_skipped(topic))
        self._generation += 1
        self.expect_rows()
        if after_id < self._last_id:
            self._skipped[topic] = SkippedRows(after_id=after_id, last_id=self._last_id)

    def _pop_skipped(self, topic: str) -> int:
        """Removes the skipped rows of a topic, and returns the id behind which it is unread."""
        skipped = self._skipped.pop(topic, None)
        return self._last_id if skipped is None else skipped.after_id
