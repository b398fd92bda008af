"""What has become of the rows that are published, and stores it in the journal.

    published -> open -> PUBACK -> acknowledged -> commit in the journal -> marked, and no longer here

If the process were killed now, the open rows would be published again. An acknowledged row would not: its
PUBACK is in the PUBACK log (`store/unsynced_files.py`), which a power cut may destroy. Where there is no log,
since the store is not on this machine, acknowledged rows would be published again too, and are marked sooner.

The rows that the broker never takes are stored as set aside, or dropped with their topic. What has waited for
longer than its expiry is dropped as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from wx2mqtt.aio import Signal, retry_until_stored
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import MAX_UNACKED_PUBLISHES
from wx2mqtt.bridge.outbox_reader import OutboxReader
from wx2mqtt.model import Json
from wx2mqtt.store.records import OutboxRow
from wx2mqtt.store.unsynced_files import PubackLog

# PUBACKs that arrive within this time are marked with one commit, unless publishing waits for it.
ACK_GATHER_SECONDS = 0.05

# So many PUBACKs are marked with one commit at once, while the next ones come in.
MARKED_ROWS_PER_COMMIT = 200

# Rows that are published and not marked: so many may be published twice after a power cut.
MAX_UNMARKED_ROWS = 2 * MARKED_ROWS_PER_COMMIT

# Messages that are published, and whose PUBACK is neither in the log nor in the journal: so many may be
# published twice when the process is killed.
MAX_REPEATED_MESSAGES = 20

# Categories of rows with a message from WeChat, as JSON and as plain text. `MAX_REPEATED_MESSAGES` counts
# only these.
MESSAGE_CATEGORIES = frozenset({"message", "plain"})


class UnmarkedRows:
    """The rows that are published and not yet marked in the journal, by id.

    `repeated_messages` are the messages among them that would be published again after a kill.
    """

    def __init__(self, puback_log: PubackLog) -> None:
        self._puback_log = puback_log
        self.open: dict[int, OutboxRow] = {}
        self.acknowledged: dict[int, OutboxRow] = {}
        self.repeated_messages: set[int] = set()
        self._acknowledged_at_connect: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.open) + len(self.acknowledged)

    def __contains__(self, row_id: int) -> bool:
        """Returns whether a row that was read from the journal is published already."""
        return (
            row_id in self.open  # the broker has not answered yet
            or row_id in self.acknowledged  # the journal does not say so yet
            or row_id in self._acknowledged_at_connect  # it may say so only since the row was read
        )

    def on_connected(self) -> None:
        """Follows the publisher, which begins to read again with the oldest row that is not marked."""
        self._acknowledged_at_connect = frozenset(self.acknowledged)

    def add(self, row: OutboxRow) -> None:
        """Adds a row that is published."""
        self.open[row.id] = row
        if _is_message(row):
            self.repeated_messages.add(row.id)

    def remove(self, row: OutboxRow) -> None:
        """Removes a row that the broker has not acknowledged."""
        del self.open[row.id]
        self.repeated_messages.discard(row.id)

    def acknowledge(self, row: OutboxRow) -> None:
        """Records the PUBACK of a row."""
        del self.open[row.id]
        self.acknowledged[row.id] = row
        if self._puback_log.add(row.id, row.created):
            self.repeated_messages.discard(row.id)

    def on_marked(self, row_ids: Iterable[int]) -> None:
        """Removes acknowledged rows that are marked now."""
        for row_id in row_ids:
            self.acknowledged.pop(row_id, None)
            self.repeated_messages.discard(row_id)
        self._puback_log.replace((row.id, row.created) for row in self.acknowledged.values())

    def must_wait(self, row: OutboxRow) -> bool:
        """Returns whether a row may only be published when others are marked."""
        return _is_message(row) and len(self.repeated_messages) >= MAX_REPEATED_MESSAGES

    @property
    def is_marking_urgent(self) -> bool:
        """Whether publishing has to wait for the commit, now or soon."""
        if len(self.acknowledged) >= self.max_rows // 2:
            return True
        # Open messages are awaited: one commit marks all of a window, however slow the disk is.
        all_answered = self.repeated_messages.isdisjoint(self.open)
        return all_answered and len(self.repeated_messages) >= MAX_REPEATED_MESSAGES // 2

    @property
    def max_rows(self) -> int:
        """How many rows there may be before publishing waits for the commit of marks."""
        return MAX_UNMARKED_ROWS if self._puback_log.is_usable else MAX_UNACKED_PUBLISHES


def _is_message(row: OutboxRow) -> bool:
    return row.category in MESSAGE_CATEGORIES


class OutboxMarks:
    """Stores what the broker has answered, all of some milliseconds in one commit.

    `stored` is emitted after a commit of marks: rows that waited for it may be published.
    """

    def __init__(self, ctx: AccountContext, outbox: OutboxReader, unmarked: UnmarkedRows) -> None:
        self._journal = ctx.journal
        self._shared = ctx.shared
        self._puback_log = ctx.puback_log
        self._ctx = ctx
        self._outbox = outbox
        self._unmarked = unmarked
        self._to_set_aside: dict[int, str] = {}  # row ids with the reason
        self._to_drop: dict[str, str] = {}  # topics with the reason
        self._expired: set[int] = set()  # row ids
        self._store_event = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self.stored: Signal[[]] = Signal()

    def store_soon(self) -> None:
        """Marks acknowledged rows after `ACK_GATHER_SECONDS`, or at once where publishing waits for it."""
        if self._unmarked.is_marking_urgent:
            self._store_event.set()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(ACK_GATHER_SECONDS, self._store_event.set)

    def set_aside(self, row_id: int, reason: str) -> None:
        """Sets a row aside at once."""
        self._to_set_aside[row_id] = reason
        self._store_event.set()

    def is_set_aside(self, row_id: int) -> bool:
        """Returns whether a row is to be set aside, and the journal does not say so yet."""
        return row_id in self._to_set_aside

    def drop_topic(self, topic: str, reason: str) -> None:
        """Drops the rows of a topic at once."""
        self._to_drop[topic] = reason
        self._store_event.set()

    def drop_expired(self, row_id: int) -> None:
        """Drops a row whose expiry is over, with all others of the same turn of the loop in one commit."""
        self._expired.add(row_id)
        self._store_event.set()

    async def run(self) -> None:
        """Stores until cancelled."""
        while True:
            await self._store_event.wait()
            self._stop_gathering()
            await retry_until_stored(self.store)
            # The broker has answered more during the commit. What has become urgent meanwhile is decided
            # again, now without the rows of this commit.
            self._stop_gathering()
            if self._to_set_aside or self._to_drop or self._expired:
                self._store_event.set()
            elif self._unmarked.acknowledged:
                self.store_soon()

    async def store_earlier(self) -> None:
        """Marks the rows whose PUBACK a killed process has recorded; before anything is published.

        Raises `StoreError`.
        """
        earlier = self._puback_log.earlier
        if earlier:
            stored = await self._journal.outbox.created_times(tuple(earlier))
            await self._journal.outbox.mark_published(
                [row_id for row_id in stored if stored[row_id] == earlier[row_id]]
            )
        self._puback_log.replace(())

    def _stop_gathering(self) -> None:
        self._store_event.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def store(self) -> None:
        """Stores what the broker has answered. Raises `StoreError`; a repeat continues where it stopped."""
        for row_id, reason in tuple(self._to_set_aside.items()):
            await self._journal.outbox.mark_rejected([row_id], reason)
            self._outbox.discard(row_id)
            self._to_set_aside.pop(row_id, None)  # the owner may put it back into the queue
        for topic, reason in tuple(self._to_drop.items()):
            count = await self._journal.outbox.drop_topic(topic, reason)
            self._to_drop.pop(topic, None)
            if count:  # 0 if another refused row of the topic has dropped them already
                dropped: dict[str, Json] = {"topic": topic, "count": count, "reason": reason}
                self._ctx.publish_event("dropped", dropped)
        if expired := list(self._expired):
            await self._journal.outbox.drop_expired(expired)
            self._expired.difference_update(expired)
        if row_ids := list(self._unmarked.acknowledged):
            await self._journal.outbox.mark_published(row_ids)
            if self._shared.exceeded_limit(for_commands=True):
                await self._journal.outbox.delete_published(row_ids)
            self._unmarked.on_marked(row_ids)
            self.stored.emit()
