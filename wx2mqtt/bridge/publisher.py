"""Publishes what is committed for the broker, awaits the PUBACKs and marks them in the journal.

What was just committed is handed over in memory. The journal is read only after a start, a connect, a refusal
or a release of a held message, when a batch is missing, or when more waits than memory should hold. The order
is kept per topic; a topic that the broker refuses waits while the others go on. After a reconnect all that
has no PUBACK goes out again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import MAX_HEAD_DISCONNECTS, MAX_UNACKED_PUBLISHES, InflightWindow, RefusedTopics
from wx2mqtt.clock import monotonic
from wx2mqtt.errors import ConnectionDropped, PublishRefused
from wx2mqtt.mqtt.broker import Publication
from wx2mqtt.mqtt.payloads import cut_payload, without_attachment
from wx2mqtt.store.records import OutboxBatch, OutboxRow

log = structlog.get_logger(__name__)

ACK_GATHER_SECONDS = 0.005  # seconds in which acknowledgements are gathered for one commit
READ_BATCH_ROWS = 200  # rows read from the journal at a time
MAX_ROWS_IN_MEMORY = 1000  # committed rows that wait in memory; what is more is read from the journal later
MAX_REPEATED_MESSAGES = 20  # messages that may repeat after a kill: published, and not marked in the journal
REFUSED_GIVE_UP_SECONDS = 7 * 86_400.0  # seconds of nothing but refusals after which rows are dropped
MESSAGE_SORTS = frozenset({"message", "plain"})  # rows that bring a message, which must not repeat too often
DROP_REASON = "refused by the broker for 7 days"


class Publisher:
    """Publishes the outbox of one account."""

    def __init__(self, ctx: AccountContext, inflight: InflightWindow) -> None:
        self._journal = ctx.journal
        self._topic_dropped = ctx.signals.topic_dropped
        self._inflight = inflight
        inflight.capacity.connect(self._on_capacity)
        self._wake_event = asyncio.Event()
        self._settle_event = asyncio.Event()
        self._answered = asyncio.Event()
        self._finishing = False
        self._known_up_to = 0  # id of the last row that was read or handed over
        self._caught_up = False  # the journal has nothing behind `_known_up_to`
        self._missed_batch = False  # something was committed while the journal was read
        self._read_generation = 0  # counts what makes a read of the journal that is under way useless
        self._open_rows = 0  # published rows without an answer
        self._open_messages = 0  # those of them that bring a message
        self._acknowledged: dict[int, bool] = {}  # rows to mark in the journal: whether each brings a message
        self._settling: frozenset[int] = frozenset()
        self._refused = RefusedTopics()
        self._refused.retry_due.connect(self._on_retry_due)
        self._refused_since: dict[str, float] = {}
        self._ready_rows: deque[OutboxRow] = deque()
        self._catch_up: deque[tuple[str, int, int]] = deque()
        self._releasing: dict[str, tuple[int, int]] = {}  # from where on unread, and how many releases
        self._quarantined: set[int] = set()
        self._truncated_sizes: dict[int, int] = {}
        self._journal_tasks: deque[Callable[[], Awaitable[None]]] = deque()
        self._without_bytes: set[int] = set()  # messages that go out without the bytes in them
        self._suspect_row: OutboxRow | None = None
        self._suspect_disconnects = 0
        self.published_count = 0
        self.set_aside_count = 0

    @property
    def refused_topics(self) -> tuple[str, ...]:
        """Topics that the broker does not take."""
        return tuple(self._refused)

    def add(self, batch: OutboxBatch) -> None:
        """Take over the publications of one commit."""
        if not batch:
            return
        fits = len(self._ready_rows) + len(batch.rows) <= MAX_ROWS_IN_MEMORY
        if self._caught_up and not self._catch_up and fits and self._follows(batch):
            self._known_up_to = batch.last_id
            self._ready_rows.extend(row for row in batch.rows if not self._is_paused(row.topic))
            self._wake_event.set()
        elif batch.last_id > self._known_up_to:
            self.wake()

    def wake(self) -> None:
        """Read the journal: something was committed that is not handed over."""
        self._caught_up = False
        self._missed_batch = True
        self._wake_event.set()

    def _follows(self, batch: OutboxBatch) -> bool:
        """Returns whether nothing was committed between what is known and this batch."""
        return batch.after_id is not None and batch.after_id <= self._known_up_to < batch.last_id

    def _is_paused(self, topic: str) -> bool:
        """Returns whether the rows of a topic are left out now and read from the journal later."""
        return topic in self._refused or topic in self._releasing

    def start_release(self, topic: str) -> None:
        """A message of this topic that is held is about to be let go; `released` must follow.

        In between nothing more of the topic is read: it would overtake what is let go.
        """
        begin, count = self._releasing.get(topic, (self._known_up_to, 0))
        self._releasing[topic] = min(begin, self._pop_catch_up(topic)), count + 1
        self._read_generation += 1

    def finish_release(self, topic: str, row_id: int | None) -> None:
        """It goes out now, and what waited behind it; None: it was not held any more."""
        begin, count = self._releasing.pop(topic)
        if row_id is not None:
            begin = min(begin, row_id - 1)
        if count > 1:
            self._releasing[topic] = begin, count - 1
        else:
            self._reread(topic, begin)

    def _pop_catch_up(self, topic: str) -> int:
        """From where on the topic is unread."""
        known = next((one for one in self._catch_up if one[0] == topic), None)
        if known is None:
            return self._known_up_to
        self._catch_up.remove(known)
        return known[1]

    def _reread(self, topic: str, after_id: int) -> None:
        """What lies behind `begin` was left out of what was read of a topic."""
        after_id = min(after_id, self._pop_catch_up(topic))
        self._read_generation += 1
        self._caught_up = False
        if after_id < self._known_up_to:
            self._catch_up.append((topic, after_id, self._known_up_to))
        self._wake_event.set()

    def _on_capacity(self) -> None:
        """There is room again, of which the retained topics had their share."""
        self._wake_event.set()

    def on_connected(self) -> None:
        """A new connection: all that has no PUBACK goes out again, in its old order."""
        self._read_generation += 1
        self._known_up_to = 0
        self._caught_up = False
        self._settling = frozenset(self._acknowledged)
        self._truncated_sizes.clear()  # this broker may take more
        self._ready_rows.clear()
        self._catch_up.clear()
        self._releasing = {topic: (0, count) for topic, (_, count) in self._releasing.items()}
        self._wake_event.set()

    def on_disconnected(self) -> None:
        """The connection is gone; what was open has been answered `NotConnected` and waits in the journal."""
        self._caught_up = False
        self._refused.on_disconnected()
        if self._suspect_row is not None and self._suspect_disconnects >= MAX_HEAD_DISCONNECTS:
            self._suspect_disconnects = 0
            self._shrink_or_quarantine(self._suspect_row)

    async def run(self) -> None:
        """Publish and settle until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_all())
            tasks.create_task(self._settle_all())

    async def _publish_all(self) -> None:
        while True:
            await self._wake_event.wait()
            self._wake_event.clear()
            await retry_until_stored(self._publish_waiting)

    async def _settle_all(self) -> None:
        while True:
            await self._settle_event.wait()
            if not self._is_settling_urgent:
                await asyncio.sleep(ACK_GATHER_SECONDS)
            self._settle_event.clear()
            await retry_until_stored(self._settle_gathered)

    async def finish(self, seconds: float) -> None:
        """At an orderly stop: take no more, and wait for what is open, so that none of it need come again.

        Raises `StoreError`.
        """
        self._finishing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._open_rows:
                    self._answered.clear()
                    await self._answered.wait()
        await self._settle_gathered()

    async def _publish_waiting(self) -> None:
        while (free_slots := self._free_slots) > 0:
            if self._ready_rows:
                if not self._publish_ready(free_slots):
                    return
            elif self._caught_up and not self._catch_up:
                return
            else:
                await self._read_ahead()

    def _publish_ready(self, free_slots: int) -> bool:
        """Publish rows; returns False when the next one has to wait until others are marked."""
        for _ in range(min(free_slots, len(self._ready_rows))):
            if not self._ready_rows:
                return True  # a publish that ended the connection has emptied it
            if (
                self._ready_rows[0].category in MESSAGE_SORTS
                and self._unmarked_messages >= MAX_REPEATED_MESSAGES
            ):
                return False
            row = self._ready_rows.popleft()
            if row.topic not in self._refused and self._is_fresh(row):
                self._publish(row)
        return True

    @property
    def _free_slots(self) -> int:
        """How many more rows may go out now.

        After a disconnect the first one goes alone: then we know whether the broker disconnects on it, and no
        PUBACK of another one is lost with the connection.
        """
        if self._finishing:
            return 0
        window = 1 if self._suspect_disconnects else MAX_UNACKED_PUBLISHES
        return min(self._inflight.free_slots, window - self._open_rows - len(self._acknowledged))

    @property
    def _unmarked_messages(self) -> int:
        """Messages that the broker may have and the journal does not: a kill now would repeat them."""
        return self._open_messages + sum(self._acknowledged.values())

    @property
    def _is_settling_urgent(self) -> bool:
        """Whether so much is acknowledged that publishing would soon wait for the commit."""
        messages = sum(self._acknowledged.values())
        return messages >= MAX_REPEATED_MESSAGES // 2 or len(self._acknowledged) >= MAX_UNACKED_PUBLISHES // 2

    async def _settle_gathered(self) -> None:
        while self._journal_tasks:
            await self._journal_tasks[0]()
            self._journal_tasks.popleft()
        ids = list(self._acknowledged)
        if ids:
            await self._journal.mark_published(ids)
            for row_id in ids:
                self._acknowledged.pop(row_id, None)
            self._wake_event.set()

    async def _read_ahead(self) -> None:
        """The next rows: first of topics that may go again, then what comes after the last one taken."""
        turn, catching_up = self._read_generation, bool(self._catch_up)
        if catching_up:
            topic, begin, upto = self._catch_up[0]
            rows = await self._journal.list_waiting_in_topic(topic, begin, upto, READ_BATCH_ROWS)
        else:
            rows = await self._next_rows()
        if turn != self._read_generation:
            self._caught_up = False
            return  # what is to be read is another thing by now
        if catching_up:
            del self._catch_up[0]
            if rows:
                self._catch_up.appendleft((topic, rows[-1].id, upto))
        elif rows:
            self._known_up_to = rows[-1].id
        self._ready_rows.extend(rows)

    async def _next_rows(self) -> list[OutboxRow]:
        self._missed_batch = False
        rows = await self._journal.list_waiting(
            self._known_up_to, READ_BATCH_ROWS, [*self._refused, *self._releasing]
        )
        self._caught_up = len(rows) < READ_BATCH_ROWS and not self._missed_batch
        return rows

    def _is_fresh(self, row: OutboxRow) -> bool:
        """Rows were read a moment ago, or by a connection that is gone; what is known since counts."""
        row_id = row.id
        if self._inflight.is_unacknowledged(row_id) or row_id in self._acknowledged:
            return False
        return row_id not in self._settling and row_id not in self._quarantined

    def _publish(self, row: OutboxRow, smaller: bytes | None = None) -> None:
        self._open_rows += 1
        self._open_messages += row.category in MESSAGE_SORTS
        if smaller is None and row.id in self._without_bytes:
            smaller = without_attachment(row.payload)
        publication = Publication(
            topic=row.topic,
            payload=row.payload if smaller is None else smaller,
            content_type=row.content_type,
            correlation=row.correlation,
            expiry=row.expiry,
        )
        self._inflight.publish(publication, lambda error: self._on_acknowledged(row, error), row.id)

    def _on_acknowledged(self, row: OutboxRow, error: Exception | None) -> None:
        self._open_rows -= 1
        self._open_messages -= row.category in MESSAGE_SORTS
        self._answered.set()
        if error is None:
            self._truncated_sizes.pop(row.id, None)
            self._without_bytes.discard(row.id)
            self._refused_since.pop(row.topic, None)
            self._acknowledged[row.id] = row.category in MESSAGE_SORTS
            self.published_count += 1
            self._suspect_disconnects = 0
            self._settle_event.set()
            self._wake_event.set()
        elif isinstance(error, PublishRefused):
            self._on_refused(row, error)
            self._wake_event.set()
        elif isinstance(error, ConnectionDropped):
            self._count_disconnect(row)

    def _count_disconnect(self, row: OutboxRow) -> None:
        """A message that the broker answers by hanging up would hold all others for ever."""
        again = self._suspect_row is not None and row.id == self._suspect_row.id
        self._suspect_disconnects = self._suspect_disconnects + 1 if again else 1
        self._suspect_row = row

    def _shrink_or_quarantine(self, row: OutboxRow) -> None:
        """The broker hangs up on this one: with MQTT 3.1.1 that is all it can say of what is too large."""
        bare = (
            without_attachment(row.payload)
            if row.category == "message" and row.id not in self._without_bytes
            else None
        )
        if bare is None:
            self._quarantine(row.id, "the broker hung up on it three times in a row")
        else:
            log.warning("broker hangs up on a message with its bytes in it; sent without", row=row.id)
            self._without_bytes.add(row.id)

    def _on_refused(self, row: OutboxRow, error: PublishRefused) -> None:
        if error.too_large:
            self._publish_truncated(row)
        elif monotonic() - self._refused_since.setdefault(row.topic, monotonic()) > REFUSED_GIVE_UP_SECONDS:
            self._drop_topic(row.topic)
        else:
            self._refused.add(row.topic, str(error))

    def _publish_truncated(self, row: OutboxRow) -> None:
        """The broker takes less than this; where it does not say how much, the half is tried, and again."""
        before = self._truncated_sizes.get(row.id, len(row.payload))
        limit = self._inflight.payload_limit(row.topic)
        room = before // 2 if limit is None else limit
        smaller = cut_payload(row.payload, room) if row.category == "message" and room > 0 else None
        if smaller is not None and len(smaller) < before:
            self._truncated_sizes[row.id] = len(smaller)
            self._publish(row, smaller)
        else:
            self._quarantine(row.id, "larger than the broker takes")

    def _on_retry_due(self, topic: str) -> None:
        self._ready_rows = deque(row for row in self._ready_rows if row.topic != topic)  # they are read again
        if topic in self._releasing:
            self._releasing[topic] = 0, self._releasing[topic][1]
        else:
            self._reread(topic, 0)

    def _drop_topic(self, topic: str) -> None:
        del self._refused_since[topic]  # what comes from now on has its own week

        async def chore() -> None:
            count = await self._journal.drop_topic(topic, DROP_REASON)
            if count:  # each of its rows that were under way is refused as well
                self._topic_dropped.emit(topic, count)

        self._journal_tasks.append(chore)
        self._settle_event.set()

    def _quarantine(self, row_id: int, reason: str) -> None:
        log.error("message set aside", row=row_id, reason=reason)
        self._quarantined.add(row_id)
        self._without_bytes.discard(row_id)
        self.set_aside_count += 1

        async def chore() -> None:
            await self._journal.set_aside([row_id], reason)
            self._read_generation += 1
            self._caught_up = False  # its later rows were left out of what was read
            self._ready_rows = deque(row for row in self._ready_rows if row.id != row_id)
            self._quarantined.discard(row_id)  # who brings it back finds it waiting

        self._journal_tasks.append(chore)
        self._settle_event.set()
