"""Publishes the committed rows of the outbox, awaits the PUBACKs and marks the rows in the journal.

The order is kept per topic: a topic that the broker refuses waits, and the others go on. After a reconnect
all rows without PUBACK are published again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import (
    MAX_HEAD_DISCONNECTS,
    MAX_REPEATED_MESSAGES,
    MAX_UNACKED_PUBLISHES,
    InflightWindow,
    RefusedTopics,
)
from wx2mqtt.bridge.outbox_reader import OutboxReader
from wx2mqtt.clock import monotonic
from wx2mqtt.errors import ConnectionDropped, PublishRefused
from wx2mqtt.mqtt.broker import Publication
from wx2mqtt.mqtt.payloads import cut_payload, without_attachment
from wx2mqtt.store.records import OutboxBatch, OutboxRow

log = structlog.get_logger(__name__)

# PUBACKs that arrive within this time are marked with one commit.
ACK_GATHER_SECONDS = 0.005

# The rows of a topic are dropped when the broker has refused every one of them for this long.
REFUSED_GIVE_UP_SECONDS = 7 * 86_400.0
DROP_REASON = "refused by the broker for 7 days"

MESSAGE_CATEGORIES = frozenset({"message", "plain"})
"""Categories of rows with a message from WeChat; `MAX_REPEATED_MESSAGES` counts only these."""


class Publisher:
    """Publishes the outbox of one account.

    `published_count` counts rows with a PUBACK, `set_aside_count` rows that the broker does not accept.
    """

    def __init__(self, ctx: AccountContext, inflight: InflightWindow) -> None:
        self._journal = ctx.journal
        self._topic_dropped = ctx.signals.topic_dropped
        self._inflight = inflight
        self._refused = RefusedTopics()
        self._refused_since: dict[str, float] = {}  # topics without a PUBACK since their first refusal
        self._outbox = OutboxReader(ctx.journal, self._refused)
        self._wake_event = asyncio.Event()
        self._settle_event = asyncio.Event()
        self._answered = asyncio.Event()
        self._finishing = False
        self._open_rows = 0  # published rows without an answer
        self._open_messages = 0  # those of them with a message
        self._acknowledged: dict[int, bool] = {}  # rows to mark in the journal: whether each has a message
        # Rows that an earlier connection acknowledged: a read of the journal may still return them.
        self._acknowledged_before: frozenset[int] = frozenset()
        self._truncated_bytes: dict[int, int] = {}  # payload sizes of rows that were too large for the broker
        self._without_attachment: set[int] = set()  # rows that are published without their inline bytes
        self._suspect_row: OutboxRow | None = None  # the row on which the broker has disconnected last
        self._suspect_disconnects = 0  # how often in a row
        self._quarantined: set[int] = set()  # rows that are being set aside
        self._journal_tasks: deque[Callable[[], Awaitable[None]]] = deque()
        self.published_count = 0
        self.set_aside_count = 0
        inflight.capacity.connect(self._on_capacity)
        self._refused.retry_due.connect(self._on_retry_due)

    @property
    def refused_topics(self) -> tuple[str, ...]:
        """Topics that the broker refuses."""
        return tuple(self._refused)

    def add(self, batch: OutboxBatch) -> None:
        """Publishes the rows of one commit."""
        if batch:
            self._outbox.add(batch)
            self._wake_event.set()

    def wake(self) -> None:
        """Reads the journal: rows were committed that `add` does not get."""
        self._outbox.expect_rows()
        self._wake_event.set()

    def start_release(self, topic: str) -> None:
        """Pauses a topic while one of its held messages is released; `finish_release` must follow."""
        self._outbox.start_release(topic)

    def finish_release(self, topic: str, row_id: int | None) -> None:
        """Publishes a released row and those behind it; None if the message was not held any more."""
        self._outbox.finish_release(topic, row_id)
        self._wake_event.set()

    def on_connected(self) -> None:
        """Publishes all rows without PUBACK again, in their order."""
        self._outbox.restart()
        self._acknowledged_before = frozenset(self._acknowledged)
        self._truncated_bytes.clear()  # this broker may accept larger payloads
        self._wake_event.set()

    def on_disconnected(self) -> None:
        """Waits for the next connection; open rows were answered with `NotConnected` before."""
        self._outbox.invalidate()
        self._refused.on_disconnected()
        if self._suspect_row is not None and self._suspect_disconnects >= MAX_HEAD_DISCONNECTS:
            self._suspect_disconnects = 0
            self._shrink_or_quarantine(self._suspect_row)

    def _on_capacity(self) -> None:
        self._wake_event.set()

    async def run(self) -> None:
        """Publishes rows and marks them until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_all())
            tasks.create_task(self._settle_all())

    async def finish(self, seconds: float) -> None:
        """Publishes no more, and waits at most `seconds` for open PUBACKs. Raises `StoreError`."""
        self._finishing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._open_rows:
                    self._answered.clear()
                    await self._answered.wait()
        await self._settle_gathered()

    # Publishing

    async def _publish_all(self) -> None:
        while True:
            await self._wake_event.wait()
            self._wake_event.clear()
            await retry_until_stored(self._publish_waiting)

    async def _publish_waiting(self) -> None:
        while (free_slots := self._free_slots) > 0:
            if self._outbox.rows:
                if not self._publish_ready(free_slots):
                    return
            elif self._outbox.is_exhausted:
                return
            else:
                await self._outbox.read()

    def _publish_ready(self, free_slots: int) -> bool:
        """Publishes rows; returns False when the next one must wait until others are marked."""
        for _ in range(min(free_slots, len(self._outbox.rows))):
            if not self._outbox.rows:
                return True  # a publish that ended the connection has emptied it
            row = self._outbox.rows[0]
            if row.category in MESSAGE_CATEGORIES and self._unmarked_messages >= MAX_REPEATED_MESSAGES:
                return False
            self._outbox.rows.popleft()
            if row.topic not in self._refused and self._is_due(row):
                self._publish(row)
        return True

    @property
    def _free_slots(self) -> int:
        """The number of rows that may be published now.

        After a disconnect it is 1: if the broker disconnects on the first row again, that row is known, and
        no PUBACK of another row is lost.
        """
        if self._finishing:
            return 0
        window = 1 if self._suspect_disconnects else MAX_UNACKED_PUBLISHES
        return min(self._inflight.free_slots, window - self._open_rows - len(self._acknowledged))

    @property
    def _unmarked_messages(self) -> int:
        """The number of messages that would be published again if the process were killed now."""
        return self._open_messages + sum(self._acknowledged.values())

    def _is_due(self, row: OutboxRow) -> bool:
        """Returns whether a row still has to be published: it may have been since it was read."""
        return not (
            self._inflight.is_unacknowledged(row.id)
            or row.id in self._acknowledged
            or row.id in self._acknowledged_before
            or row.id in self._quarantined
        )

    def _publish(self, row: OutboxRow, truncated: bytes | None = None) -> None:
        self._open_rows += 1
        self._open_messages += row.category in MESSAGE_CATEGORIES
        if truncated is None and row.id in self._without_attachment:
            truncated = without_attachment(row.payload)
        publication = Publication(
            topic=row.topic,
            payload=row.payload if truncated is None else truncated,
            content_type=row.content_type,
            correlation=row.correlation,
            expiry=row.expiry,
        )
        self._inflight.publish(publication, lambda error: self._on_acknowledged(row, error), row.id)

    # Answers of the broker

    def _on_acknowledged(self, row: OutboxRow, error: Exception | None) -> None:
        self._open_rows -= 1
        self._open_messages -= row.category in MESSAGE_CATEGORIES
        self._answered.set()
        if error is None:
            self._truncated_bytes.pop(row.id, None)
            self._without_attachment.discard(row.id)
            self._refused_since.pop(row.topic, None)
            self._acknowledged[row.id] = row.category in MESSAGE_CATEGORIES
            self.published_count += 1
            self._suspect_disconnects = 0
            self._settle_event.set()
            self._wake_event.set()
        elif isinstance(error, PublishRefused):
            self._on_refused(row, error)
            self._wake_event.set()
        elif isinstance(error, ConnectionDropped):
            self._count_disconnect(row)

    def _on_refused(self, row: OutboxRow, error: PublishRefused) -> None:
        if error.too_large:
            self._publish_truncated(row)
        elif monotonic() - self._refused_since.setdefault(row.topic, monotonic()) > REFUSED_GIVE_UP_SECONDS:
            self._drop_topic(row.topic)
        else:
            self._refused.add(row.topic, str(error))

    def _on_retry_due(self, topic: str) -> None:
        self._outbox.reread_topic(topic)
        self._wake_event.set()

    def _publish_truncated(self, row: OutboxRow) -> None:
        """Publishes a row with a payload that fits; without a known limit, with half of the last size."""
        last_bytes = self._truncated_bytes.get(row.id, len(row.payload))
        limit = self._inflight.payload_limit(row.topic)
        max_bytes = last_bytes // 2 if limit is None else limit
        is_message = row.category == "message"
        truncated = cut_payload(row.payload, max_bytes) if is_message and max_bytes > 0 else None
        if truncated is not None and len(truncated) < last_bytes:
            self._truncated_bytes[row.id] = len(truncated)
            self._publish(row, truncated)
        else:
            self._quarantine(row.id, "larger than the broker takes")

    def _count_disconnect(self, row: OutboxRow) -> None:
        """Counts disconnects in a row on the same row, which would otherwise block all others for ever."""
        is_same = self._suspect_row is not None and row.id == self._suspect_row.id
        self._suspect_disconnects = self._suspect_disconnects + 1 if is_same else 1
        self._suspect_row = row

    def _shrink_or_quarantine(self, row: OutboxRow) -> None:
        """Publishes a message without its inline bytes, else set the row aside.

        A broker with MQTT 3.1.1 cannot refuse a message that is too large: it disconnects.
        """
        can_shrink = row.category == "message" and row.id not in self._without_attachment
        if can_shrink and without_attachment(row.payload) is not None:
            log.warning("broker hangs up on a message with its bytes in it; sent without", row=row.id)
            self._without_attachment.add(row.id)
        else:
            self._quarantine(row.id, "the broker hung up on it three times in a row")

    # Marking in the journal

    async def _settle_all(self) -> None:
        while True:
            await self._settle_event.wait()
            if not self._is_settling_urgent:
                await asyncio.sleep(ACK_GATHER_SECONDS)
            self._settle_event.clear()
            await retry_until_stored(self._settle_gathered)

    @property
    def _is_settling_urgent(self) -> bool:
        """Whether so many rows are acknowledged that publishing would soon have to wait for the commit."""
        messages = sum(self._acknowledged.values())
        return messages >= MAX_REPEATED_MESSAGES // 2 or len(self._acknowledged) >= MAX_UNACKED_PUBLISHES // 2

    async def _settle_gathered(self) -> None:
        while self._journal_tasks:
            await self._journal_tasks[0]()
            self._journal_tasks.popleft()
        row_ids = list(self._acknowledged)
        if row_ids:
            await self._journal.mark_published(row_ids)
            for row_id in row_ids:
                self._acknowledged.pop(row_id, None)
            self._wake_event.set()

    def _drop_topic(self, topic: str) -> None:
        del self._refused_since[topic]  # rows that are committed later have the full time again

        async def drop() -> None:
            count = await self._journal.drop_topic(topic, DROP_REASON)
            if count:  # 0 if another refused row of the topic has dropped them already
                self._topic_dropped.emit(topic, count)

        self._journal_tasks.append(drop)
        self._settle_event.set()

    def _quarantine(self, row_id: int, reason: str) -> None:
        """Sets a row aside: it stays in the journal, but does not block the rows behind it any longer."""
        log.error("message set aside", row=row_id, reason=reason)
        self._quarantined.add(row_id)
        self._without_attachment.discard(row_id)
        self.set_aside_count += 1

        async def set_aside() -> None:
            await self._journal.set_aside([row_id], reason)
            self._outbox.discard(row_id)
            self._quarantined.discard(row_id)  # the owner may put it back into the queue

        self._journal_tasks.append(set_aside)
        self._settle_event.set()
