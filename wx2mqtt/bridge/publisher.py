"""Publishes the committed rows of the outbox, in the order of each topic, until the broker has them.

A commit hands its rows to `add`, which publishes them at once; the PUBACK is stored some milliseconds later.
A topic that the broker refuses waits, and other topics go on. A row that is too large is published again,
shorter. All open rows are published again after a disconnect. A row that the broker takes in no form is
*rejected*: it stays in the journal, and blocks no other row.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inflight import MAX_HEAD_DISCONNECTS, InflightWindow, RefusedTopics
from wx2mqtt.bridge.outbox_rows import OutboxReader, PublishedRows
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import ConnectionDropped, PublishRefused
from wx2mqtt.mqtt.broker import Publication
from wx2mqtt.mqtt.packets import NOT_AUTHORIZED, TOPIC_NAME_INVALID
from wx2mqtt.mqtt.payloads import cut_payload, without_attachment
from wx2mqtt.store.records import ANSWER_CATEGORIES, OutboxBatch, OutboxRow

log = structlog.get_logger(__name__)

# The category of the rows with a message as JSON: only of these a part can be left out.
CUTTABLE_CATEGORY = "message"

# The rows of a topic are dropped when the broker has refused every one of them for this long: its owner has a
# week to correct the access rules.
REFUSED_GIVE_UP_DAYS = 7
REFUSED_GIVE_UP_SECONDS = REFUSED_GIVE_UP_DAYS * 86_400.0
DROP_REASON = f"refused by the broker for {REFUSED_GIVE_UP_DAYS} days"


class Publisher:
    """Publishes the outbox of one account.

    1. A row is handed over by `add`, or read from the journal after a reconnect (`outbox_rows.py`).
    2. It is published when a slot of the window is free (`inflight.py`). A message also waits while a kill
       would repeat too many others (`outbox_rows.py`). A row whose expiry is over is dropped instead.
    3. `_on_answer` takes the answer of the broker; `PublishedRows` stores it.
    """

    def __init__(self, ctx: AccountContext, inflight: InflightWindow) -> None:
        self._ctx = ctx
        self._topics = ctx.topics
        self._inflight = inflight
        #: The topics that the broker refuses.
        self.refused = RefusedTopics()
        #: What there is to publish.
        self.outbox = OutboxReader(ctx.journal, self.refused.paused)
        self._rows = PublishedRows(ctx, self.outbox)
        #: The row on which the broker has disconnected, perhaps because of it; None after the next PUBACK.
        self._suspect: OutboxRow | None = None
        #: How many times in a row.
        self._suspect_disconnects = 0
        #: By row id: what is published in place of its payload.
        self._shortened: dict[int, bytes] = {}
        #: Whether `finish` was called: nothing more is published.
        self._finishing = False
        #: Wakes `finish`.
        self._answered = asyncio.Event()
        #: Rows that the broker does not take.
        self.rejected_count = 0
        inflight.capacity.connect(self._wake_for_next_row)
        self.refused.retry_due.connect(self.outbox.reread_topic)

    # What there is to publish

    def add(self, batch: OutboxBatch) -> None:
        """Publishes the rows of one commit, as far as the window allows.

        They are written with all else of this turn of the event loop; who cannot wait flushes the window.
        """
        self.outbox.add(batch)
        self._publish_rows()

    def on_connected(self) -> None:
        """Publishes all rows without PUBACK again, in their order."""
        self.outbox.restart()
        self._rows.on_connected()

    def on_disconnected(self) -> None:
        """Waits for the next connection; open rows were answered with `NotConnected` before."""
        self.outbox.expect_rows()
        self.refused.on_disconnected()
        if self._suspect is not None and self._suspect_disconnects >= MAX_HEAD_DISCONNECTS:
            self._shorten_or_reject(self._suspect)
            self._suspect = None

    async def run(self) -> None:
        """Publishes rows and stores the answers until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_loop())
            tasks.create_task(self._store_loop())

    async def finish(self, seconds: float) -> None:
        """Publishes no more, and waits at most `seconds` for open PUBACKs. Raises `StoreError`."""
        self._finishing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._rows.open:
                    self._answered.clear()
                    await self._answered.wait()
        await self._rows.store()

    # Publishing

    async def _store_loop(self) -> None:
        while True:
            await self._rows.store_due()
            self._wake_for_next_row()  # it may have waited for that

    async def _publish_loop(self) -> None:
        await retry_until_stored(self._rows.store_earlier)
        while True:
            await self.outbox.changed.wait()
            self.outbox.changed.clear()
            await retry_until_stored(self._publish_waiting)

    async def _publish_waiting(self) -> None:
        """Publishes rows until there is no other, or the next one must wait. Raises `StoreError`."""
        self._publish_rows()
        while self._free_slots > 0 and not self.outbox.rows and not self.outbox.is_exhausted:
            await self.outbox.read()
            self._publish_rows()

    def _wake_for_next_row(self) -> None:
        """Wakes `_publish_loop` if there is a row that it may publish; in a burst most PUBACKs find none.

        When the next row must wait, `_store_loop` calls this again.
        """
        rows = self.outbox.rows
        if rows and self._rows.must_wait(rows[0]):
            return
        if rows or not self.outbox.is_exhausted:
            self.outbox.changed.set()

    def _publish_rows(self) -> None:
        """Publishes rows that are in memory until there is no other, or the next one must wait."""
        slots_left = self._free_slots
        while self.outbox.rows and slots_left > 0:
            if self._rows.must_wait(self.outbox.rows[0]):
                break
            row = self.outbox.rows.popleft()
            if row.topic in self.refused.paused or self._rows.has_handled(row.id):
                continue  # much may have happened since it was read
            if row.expiry is not None and row.is_expired(now_ms()):
                self._rows.drop_expired(row.id)
                continue
            if not self._topics.may_publish(row.topic) and not self._may_answer_on_topic(row):
                self._give_up(row)
                continue
            self._publish(row, self._shortened.get(row.id, row.payload))
            slots_left -= 1

    @property
    def _free_slots(self) -> int:
        """The number of rows that may be published now.

        While a row is suspect it is 1: if the broker disconnects on that row again, no PUBACK of another row
        is lost.
        """
        if self._finishing:
            return 0
        rows = self._rows
        max_rows = rows.max_rows if self._suspect is None else 1
        return min(self._inflight.free_slots, max_rows - len(rows.open) - len(rows.acknowledged))

    def _may_answer_on_topic(self, row: OutboxRow) -> bool:
        """Returns whether this is an answer for a topic that its publisher has named, and may name."""
        return row.category in ANSWER_CATEGORIES and self._ctx.settings.allows_response_topic(row.topic)

    def _give_up(self, row: OutboxRow) -> None:
        """Gives up a row of a forbidden topic: of a restored backup, or one that a reload has forbidden."""
        if row.category not in ANSWER_CATEGORIES:
            self._reject(row.id, "its topic is not one of the bridge's")
            return
        log.warning("response topic is not allowed", topic=row.topic)
        self._rows.add(row)
        self._rows.acknowledge(row)

    def _publish(self, row: OutboxRow, payload: bytes) -> None:
        self._rows.add(row)
        publication = Publication(
            topic=row.topic,
            payload=payload,
            content_type=row.content_type,
            correlation=row.correlation,
            expiry=None if row.expiry is None else row.remaining_expiry(now_ms()),
        )
        self._inflight.publish(publication, partial(self._on_answer, row, len(payload)))

    # Answers of the broker

    def _on_answer(self, row: OutboxRow, payload_bytes: int, error: Exception | None) -> None:
        self._answered.set()
        if isinstance(error, PublishRefused) and self._is_refused_for_good(row, error):
            log.warning("broker refuses response topic", topic=row.topic, reason=str(error))
            error = None  # so that the row counts as published
        if error is None:
            self._rows.acknowledge(row)
            self.refused.forget(row.topic)
            self._shortened.pop(row.id, None)
            self._suspect = None
            self._ctx.counters.published += 1
            return  # `InflightWindow.capacity` follows, and wakes the loop
        self._rows.remove(row)
        match error:
            case PublishRefused(too_large=True):
                self._publish_truncated(row, payload_bytes)
            case PublishRefused():
                self._on_refused(row, str(error))
            case ConnectionDropped():  # the other open rows get `NotConnected`
                is_same = self._suspect is not None and self._suspect.id == row.id
                self._suspect_disconnects = self._suspect_disconnects + 1 if is_same else 1
                self._suspect = row

    def _is_refused_for_good(self, row: OutboxRow, refusal: PublishRefused) -> bool:
        """Returns whether a row is given up: the topic that only its publisher has named is not allowed.

        Whoever may publish could name any number of such topics, each of which would be tried again for a
        week. Each result is on a topic of its own, too.
        """
        is_answer = row.category in ANSWER_CATEGORIES and not row.topic.startswith(f"{self._topics.base}/")
        is_forbidden = refusal.code in {NOT_AUTHORIZED, TOPIC_NAME_INVALID} and not refusal.too_large
        return is_answer and is_forbidden

    def _on_refused(self, row: OutboxRow, reason: str) -> None:
        """Pauses a topic, or drops its rows when it was refused for `REFUSED_GIVE_UP_SECONDS`."""
        if self.refused.seconds_refused(row.topic) > REFUSED_GIVE_UP_SECONDS:
            self.refused.forget(row.topic)  # rows that are committed later have the full time again
            self._rows.drop_topic(row.topic, DROP_REASON)
        else:
            self.refused.add(row.topic, reason)

    def _publish_truncated(self, row: OutboxRow, refused_bytes: int) -> None:
        """Publishes a row with a payload that fits; without a known limit, with half of the refused size.

        It takes the slot of the refused publish, and is written in the next turn of the event loop.
        """
        limit = self._inflight.payload_limit(row.topic)
        max_bytes = refused_bytes // 2 if limit is None else limit
        can_cut = row.category == CUTTABLE_CATEGORY and max_bytes > 0
        truncated = cut_payload(row.payload, max_bytes) if can_cut else None
        if truncated is not None and len(truncated) < refused_bytes:
            self._publish(row, truncated)
        else:
            self._reject(row.id, "larger than the broker takes")

    def _shorten_or_reject(self, row: OutboxRow) -> None:
        """Publishes a message without its inline bytes from now on, or rejects the row.

        A broker with MQTT 3.1.1 cannot refuse a message that is too large: it disconnects.
        """
        can_shorten = row.category == CUTTABLE_CATEGORY and row.id not in self._shortened
        shorter = without_attachment(row.payload) if can_shorten else None
        if shorter is not None:
            log.warning("broker hangs up on a message with its bytes in it; sent without", row=row.id)
            self._shortened[row.id] = shorter
        else:
            self._reject(row.id, f"the broker hung up on it {MAX_HEAD_DISCONNECTS} times in a row")

    def _reject(self, row_id: int, reason: str) -> None:
        log.error("message set aside", row=row_id, reason=reason)
        self._rows.reject(row_id, reason)
        self._shortened.pop(row_id, None)
        self.rejected_count += 1
