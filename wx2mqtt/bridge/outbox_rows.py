"""The rows of the outbox that are in memory: those to publish, and those that are published.

    commit -> `OutboxReader.rows` -> published -> PUBACK -> commit -> no longer in memory

`publisher.py` takes a row from the first register, `OutboxReader`, and adds it to the other, `PublishedRows`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import replace
from enum import Enum, auto

from wx2mqtt.aio import retry_until_stored, wait_at_most
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import MAX_UNACKED_PUBLISHES
from wx2mqtt.model import Json
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.mapped_files import MAX_PUBACK_RECORDS
from wx2mqtt.store.records import OutboxBatch, OutboxRow
from wx2mqtt.values import frozen

# Rows that are read from the journal at a time.
READ_BATCH_ROWS = 200

# From so many rows in memory on, further ones stay in the journal.
MAX_ROWS_IN_MEMORY = 1000

# PUBACKs that arrive within this time are stored with one commit, unless publishing waits for it.
ACK_GATHER_SECONDS = 0.05

# Messages that a kill would repeat: open ones, and those whose PUBACK is neither logged nor stored.
MAX_REPEATED_MESSAGES = 20

# Categories of rows with a message from WeChat, as JSON and as plain text.
MESSAGE_CATEGORIES = frozenset({"message", "plain"})


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

    - A commit hands its rows over in memory (`add`), as long as nothing in the journal waits before them.
    - The journal is read after a start, a connect, a refusal or the release of a message that has waited for
      its file, when a batch is missing, and when more rows wait than memory should hold.
    - Rows of one topic come in the order of their ids; topics do not wait for each other.

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
        #: By topic, as the next one.
        self._skipped: dict[str, SkippedRows] = {}
        self._releases: dict[str, PendingRelease] = {}
        #: The id of the last row that was read or handed over.
        self._last_id = 0
        #: What is known of the rows behind it.
        self._coverage = Coverage.BEHIND
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


class PublishedRows:
    """What the broker has of the rows of one account, and did with others, until the journal says so.

        published -> open -> PUBACK -> acknowledged -> commit -> published in the journal, no longer here

    A kill now would repeat the open rows. It would not repeat an acknowledged one: its PUBACK is in the
    PUBACK log (`store/mapped_files.py`), which a power cut may destroy. Where there is no log, since the
    store is not on this machine, acknowledged rows would be repeated too, and are stored sooner.

    The publisher reports each step of a row:

    - `add` when it is published, then `acknowledge`, or `remove` where the broker did not take it,
    - `reject`, `drop_expired` and `drop_topic` for what is never published.

    It waits while `must_wait` says so, and while it has `max_rows`; `store_due` makes room.
    """

    def __init__(self, ctx: AccountContext, outbox: OutboxReader) -> None:
        self._ctx = ctx
        self._journal = ctx.journal.outbox
        self._puback_log = ctx.puback_log
        self._outbox = outbox
        #: The rows that wait for their PUBACK, by id.
        self.open: dict[int, OutboxRow] = {}
        #: When the rows were created whose PUBACK the journal does not have yet, in milliseconds, by id.
        self.acknowledged: dict[int, int] = {}
        self._acknowledged_at_connect: frozenset[int] = frozenset()
        #: The ids of messages that a kill would repeat.
        self._repeated_messages: set[int] = set()
        #: By row id: why the broker does not take it.
        self._rejected: dict[int, str] = {}
        #: By topic: why its rows are given up.
        self._dropped_topics: dict[str, str] = {}
        #: The ids of rows whose expiry is over.
        self._expired: set[int] = set()
        #: Set when something is to be stored.
        self._is_due = asyncio.Event()
        #: Set when publishing waits for that.
        self._is_urgent = asyncio.Event()

    # What may be published

    def has_handled(self, row_id: int) -> bool:
        """Returns whether a row that was read from the journal needs no more publishing."""
        return (
            row_id in self.open  # the broker has not answered yet
            or row_id in self.acknowledged  # the journal does not say so yet
            or row_id in self._acknowledged_at_connect  # it may say so only since the row was read
            or row_id in self._rejected
        )

    @property
    def max_rows(self) -> int:
        """How many rows may be open or acknowledged before some of them are stored."""
        return MAX_PUBACK_RECORDS if self._puback_log.is_usable else MAX_UNACKED_PUBLISHES

    def must_wait(self, row: OutboxRow) -> bool:
        """Returns whether a kill would repeat too many messages if this row were published now."""
        return row.category in MESSAGE_CATEGORIES and len(self._repeated_messages) >= MAX_REPEATED_MESSAGES

    # What has become of a row

    def on_connected(self) -> None:
        """Follows the publisher, which begins to read again with the oldest row that is not published."""
        self._acknowledged_at_connect = frozenset(self.acknowledged)

    def add(self, row: OutboxRow) -> None:
        """Adds a row that is published."""
        self.open[row.id] = row
        if row.category in MESSAGE_CATEGORIES:
            self._repeated_messages.add(row.id)

    def remove(self, row: OutboxRow) -> None:
        """Removes a row that the broker has not acknowledged."""
        del self.open[row.id]
        self._repeated_messages.discard(row.id)

    def acknowledge(self, row: OutboxRow) -> None:
        """Records the PUBACK of a row; it is stored soon, at once where publishing waits for it."""
        del self.open[row.id]
        self.acknowledged[row.id] = row.created
        if self._puback_log.add(row.id, row.created):
            self._repeated_messages.discard(row.id)
        self._store_soon()

    def reject(self, row_id: int, reason: str) -> None:
        """Stores that the broker does not take a row, which then blocks no other."""
        self._rejected[row_id] = reason
        self._store_soon()

    def drop_topic(self, topic: str, reason: str) -> None:
        """Gives up the rows of a topic."""
        self._dropped_topics[topic] = reason
        self._store_soon()

    def drop_expired(self, row_id: int) -> None:
        """Gives up a row whose expiry is over, with all others of the same turn of the loop in one commit."""
        self._expired.add(row_id)
        self._store_soon()

    # Storing it

    async def store_earlier(self) -> None:
        """Stores the rows whose PUBACK a killed process has logged, before anything is published.

        Raises `StoreError`.
        """
        earlier = self._puback_log.earlier
        if earlier:
            stored = await self._journal.created_times(tuple(earlier))
            await self._journal.mark_published(
                [row_id for row_id in stored if stored[row_id] == earlier[row_id]]
            )
        self._puback_log.replace(())

    async def store_due(self) -> None:
        """Waits until something is to be stored, and stores it; repeats that while the store fails."""
        await self._is_due.wait()
        await wait_at_most(self._is_urgent, ACK_GATHER_SECONDS)
        await retry_until_stored(self.store)
        # The broker has answered more during the commit. What has become urgent meanwhile is decided
        # again, now without the rows of this commit.
        self._is_due.clear()
        self._is_urgent.clear()
        if self._rejected or self._dropped_topics or self._expired or self.acknowledged:
            self._store_soon()

    async def store(self) -> None:
        """Stores what the broker has answered. Raises `StoreError`; a repeat continues where it stopped."""
        for row_id, reason in tuple(self._rejected.items()):
            await self._journal.mark_rejected([row_id], reason)
            self._outbox.discard(row_id)
            self._rejected.pop(row_id, None)  # the owner may put it back into the queue
        for topic, reason in tuple(self._dropped_topics.items()):
            count = await self._journal.drop_topic(topic, reason)
            self._dropped_topics.pop(topic, None)
            if count:  # 0 if another refused row of the topic has dropped them already
                dropped: dict[str, Json] = {"topic": topic, "count": count, "reason": reason}
                self._ctx.publish_event("dropped", dropped)
        if expired := list(self._expired):
            await self._journal.drop_expired(expired)
            self._expired.difference_update(expired)
        if row_ids := list(self.acknowledged):
            await self._journal.mark_published(row_ids)
            if self._ctx.shared.exceeded_limit(for_commands=True):
                await self._journal.delete_published(row_ids)
            for row_id in row_ids:
                self.acknowledged.pop(row_id, None)  # `finish` of the publisher may store meanwhile as well
            self._repeated_messages.difference_update(row_ids)
            self._puback_log.replace(self.acknowledged.items())

    def _store_soon(self) -> None:
        """Makes `store_due` store: at once if publishing has to wait for the commit, now or soon."""
        self._is_due.set()
        is_final = bool(self._rejected or self._dropped_topics or self._expired)
        is_half_full = len(self.acknowledged) >= self.max_rows // 2
        repeated = self._repeated_messages
        # Open messages are awaited: one commit stores all of a window, however slow the disk is.
        repeats_many = len(repeated) >= MAX_REPEATED_MESSAGES // 2 and repeated.isdisjoint(self.open)
        if is_final or is_half_full or repeats_many:
            self._is_urgent.set()
