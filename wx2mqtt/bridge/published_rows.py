"""The register of the rows that are published, until the journal says so.

    published -> open -> PUBACK -> acknowledged -> commit -> published in the journal, and no longer here

A kill now would repeat the open rows. It would not repeat an acknowledged one: its PUBACK is in the PUBACK
log (`store/mapped_files.py`), which a power cut may destroy. Where there is no log, since the store is not
on this machine, acknowledged rows would be repeated too, and are stored sooner.
"""

from __future__ import annotations

import asyncio

from wx2mqtt.aio import retry_until_stored, wait_at_most
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import MAX_UNACKED_PUBLISHES
from wx2mqtt.bridge.outbox_reader import OutboxReader
from wx2mqtt.model import Json
from wx2mqtt.store.mapped_files import MAX_PUBACK_RECORDS
from wx2mqtt.store.records import OutboxRow

# PUBACKs that arrive within this time are stored with one commit, unless publishing waits for it.
ACK_GATHER_SECONDS = 0.05

# Messages that a kill would repeat: open ones, and those whose PUBACK is neither logged nor stored.
MAX_REPEATED_MESSAGES = 20

# Categories of rows with a message from WeChat, as JSON and as plain text.
MESSAGE_CATEGORIES = frozenset({"message", "plain"})


class PublishedRows:
    """What the broker has of the rows of one account, and did with others, until that is stored.

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
        #: The rows with a PUBACK that the journal does not have yet.
        self.acknowledged: dict[int, OutboxRow] = {}
        self._acknowledged_at_connect: frozenset[int] = frozenset()
        self._repeated_messages: set[int] = set()  # those that a kill would repeat
        self._rejected: dict[int, str] = {}  # row ids with the reason
        self._dropped_topics: dict[str, str] = {}  # with the reason
        self._expired: set[int] = set()  # row ids
        self._is_due = asyncio.Event()  # something is to be stored
        self._is_urgent = asyncio.Event()  # and publishing waits for it

    # What may be published

    def __contains__(self, row_id: int) -> bool:
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
        self.acknowledged[row.id] = row
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
            self._puback_log.replace((row.id, row.created) for row in self.acknowledged.values())

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
