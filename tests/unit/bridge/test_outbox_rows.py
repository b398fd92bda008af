"""The rows of the outbox in memory: which are read next, and which are published but not stored yet."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.contexts import context
from wx2mqtt.bridge import outbox_rows
from wx2mqtt.bridge.inflight import MAX_UNACKED_PUBLISHES
from wx2mqtt.bridge.outbox_rows import MAX_REPEATED_MESSAGES, OutboxReader, PublishedRows
from wx2mqtt.errors import StoreFull
from wx2mqtt.store.records import OutboxBatch, OutboxRow


def outbox_row(row_id: int, topic: str = "a", category: str = "state") -> OutboxRow:
    return OutboxRow(
        id=row_id,
        topic=topic,
        payload=b"x",
        category=category,
        created=row_id * 1000,
        content_type="",
        correlation=None,
        expiry=None,
        user="",
    )


class FakeOutbox:
    """The outbox of a journal: the rows that wait, and what is stored of the others."""

    def __init__(self, *rows: OutboxRow) -> None:
        self.rows = list(rows)
        self.reads = 0
        self.published: list[int] = []
        self.rejected: list[tuple[int, str]] = []
        self.errors: list[Exception] = []

    def add(self, *rows: OutboxRow) -> OutboxBatch:
        """Commits rows, and returns them as a commit hands them over."""
        after_id = self.rows[-1].id if self.rows else 0
        self.rows += rows
        return OutboxBatch(rows=rows, after_id=after_id, last_id=rows[-1].id)

    async def list_waiting(
        self, after_id: int, limit: int, skipped_topics: Collection[str]
    ) -> list[OutboxRow]:
        self.reads += 1
        found = [row for row in self.rows if row.id > after_id and row.topic not in skipped_topics]
        return found[:limit]

    async def list_waiting_in_topic(
        self, topic: str, after_id: int, last_id: int, limit: int
    ) -> list[OutboxRow]:
        self.reads += 1
        return [row for row in self.rows if row.topic == topic and after_id < row.id <= last_id][:limit]

    async def mark_published(self, row_ids: list[int]) -> None:
        if self.errors:
            raise self.errors.pop()
        self.published += row_ids

    async def mark_rejected(self, row_ids: list[int], reason: str) -> None:
        self.rejected += [(row_id, reason) for row_id in row_ids]


def reader_of(outbox: FakeOutbox, refused_topics: Collection[str] = ()) -> OutboxReader:
    journal: Any = SimpleNamespace(outbox=outbox)
    return OutboxReader(journal, refused_topics)


async def read_all(reader: OutboxReader) -> None:
    while not reader.is_exhausted:
        await reader.read()


def ids(reader: OutboxReader) -> list[int]:
    return [row.id for row in reader.rows]


# reading


async def test_rows_of_a_commit_are_handed_over_without_a_read_once_the_journal_is_read():
    outbox = FakeOutbox(outbox_row(1))
    reader = reader_of(outbox)
    await read_all(reader)
    reads = outbox.reads
    reader.add(outbox.add(outbox_row(2), outbox_row(3, "b")))
    assert (ids(reader), reader.is_exhausted, outbox.reads) == ([1, 2, 3], True, reads)


async def test_a_batch_that_does_not_follow_the_last_known_row_is_read_from_the_journal():
    outbox = FakeOutbox()
    reader = reader_of(outbox)
    await read_all(reader)
    outbox.add(outbox_row(1))  # its batch got lost
    reader.add(outbox.add(outbox_row(2)))
    assert (ids(reader), reader.is_exhausted) == ([], False)
    await read_all(reader)
    assert ids(reader) == [1, 2]


async def test_rows_that_memory_should_not_hold_stay_in_the_journal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox_rows, "MAX_ROWS_IN_MEMORY", 2)
    outbox = FakeOutbox()
    reader = reader_of(outbox)
    await read_all(reader)
    reader.add(outbox.add(outbox_row(1), outbox_row(2)))
    reader.add(outbox.add(outbox_row(3)))
    assert (ids(reader), reader.is_exhausted) == ([1, 2], False)


async def test_a_refused_topic_is_not_read_until_it_may_go_again_and_then_from_its_beginning():
    outbox, refused = FakeOutbox(outbox_row(1), outbox_row(2, "b"), outbox_row(3)), {"a"}
    reader = reader_of(outbox, refused)
    await read_all(reader)
    reader.add(outbox.add(outbox_row(4), outbox_row(5, "b")))
    await read_all(reader)
    assert ids(reader) == [2, 5]
    refused.clear()
    reader.reread_topic("a")
    await read_all(reader)
    assert ids(reader) == [2, 5, 1, 3, 4]


async def test_while_a_message_is_released_no_later_row_of_its_topic_overtakes_it():
    outbox = FakeOutbox()
    reader = reader_of(outbox)
    await read_all(reader)
    reader.start_release("a")
    released, later = outbox_row(1), outbox_row(2)
    outbox.rows = [released]
    reader.add(outbox.add(later, outbox_row(3, "b")))
    await read_all(reader)
    assert [row.topic for row in reader.rows] == ["b"]
    reader.finish_release("a", released.id)
    await read_all(reader)
    assert ids(reader) == [3, 1, 2]


async def test_a_read_that_began_before_a_connection_is_repeated():
    outbox = FakeOutbox(outbox_row(1))
    reader = reader_of(outbox)
    list_waiting = outbox.list_waiting

    async def restart_meanwhile(*arguments: Any) -> list[OutboxRow]:
        rows = await list_waiting(*arguments)
        outbox.list_waiting = list_waiting  # type: ignore[method-assign]
        reader.restart()
        return rows

    outbox.list_waiting = restart_meanwhile  # type: ignore[method-assign, assignment]
    await reader.read()
    assert (ids(reader), reader.is_exhausted) == ([], False)
    await read_all(reader)
    assert ids(reader) == [1]


# rows that are published


def published_rows(outbox: FakeOutbox) -> PublishedRows:
    return PublishedRows(context(journal=SimpleNamespace(outbox=outbox)), reader_of(outbox))


async def test_a_row_is_handled_from_its_publication_until_the_journal_says_so():
    outbox, row = FakeOutbox(), outbox_row(1)
    published = published_rows(outbox)
    handled = [published.has_handled(1)]
    published.add(row)
    handled.append(published.has_handled(1))
    published.acknowledge(row)
    handled.append(published.has_handled(1))
    await published.store()
    handled.append(published.has_handled(1))
    assert (handled, outbox.published) == ([False, True, True, False], [1])


async def test_a_row_that_the_broker_did_not_take_may_be_published_again():
    published = published_rows(FakeOutbox())
    published.add(outbox_row(1))
    published.remove(outbox_row(1))
    assert not published.has_handled(1)


async def test_a_message_waits_while_a_kill_would_repeat_too_many_others_and_a_result_does_not():
    outbox = FakeOutbox()
    published = published_rows(outbox)
    messages = [outbox_row(number, category="message") for number in range(1, MAX_REPEATED_MESSAGES + 1)]
    for row in messages:
        assert not published.must_wait(row)
        published.add(row)
    assert published.must_wait(outbox_row(100, category="message"))
    assert published.must_wait(outbox_row(100, category="plain"))
    assert not published.must_wait(outbox_row(100, category="result"))
    published.acknowledge(messages[0])
    assert published.must_wait(outbox_row(100, category="message")), "without a log a kill repeats it, too"
    await published.store()
    assert not published.must_wait(outbox_row(100, category="message"))


async def test_a_rejected_row_is_stored_at_once_with_its_reason_and_leaves_the_memory():
    outbox = FakeOutbox(outbox_row(1), outbox_row(2))
    reader = reader_of(outbox)
    published = PublishedRows(context(journal=SimpleNamespace(outbox=outbox)), reader)
    await read_all(reader)
    published.reject(1, "too large")
    assert published.has_handled(1)
    await published.store_due()
    assert (outbox.rejected, ids(reader)) == ([(1, "too large")], [2])
    assert not published.has_handled(1), "the owner may put it back into the queue"


async def test_a_store_that_fails_loses_no_puback():
    outbox, row = FakeOutbox(), outbox_row(1)
    published = published_rows(outbox)
    published.add(row)
    published.acknowledge(row)
    outbox.errors.append(StoreFull())
    with pytest.raises(StoreFull):
        await published.store()
    assert published.has_handled(1)
    await published.store()
    assert outbox.published == [1]


async def test_half_a_window_of_pubacks_is_stored_without_a_pause(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox_rows, "ACK_GATHER_SECONDS", 3600.0)
    outbox = FakeOutbox()
    published = published_rows(outbox)
    for number in range(1, MAX_UNACKED_PUBLISHES // 2 + 1):
        row = outbox_row(number)
        published.add(row)
        published.acknowledge(row)
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await published.store_due()
    assert len(outbox.published) == MAX_UNACKED_PUBLISHES // 2
