"""The publisher: order per topic, PUBACKs, refusals, releases, and rows that the broker does not accept."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.fake_broker import FakeBroker, SentPublication
from tests.unit.bridge.contexts import context
from tests.unit.store.conftest import Clock
from tests.unit.store.make import message
from wx2mqtt.bridge import inflight, outbox_rows, publisher
from wx2mqtt.bridge.inflight import (
    MAX_HEAD_DISCONNECTS,
    MAX_UNACKED_PUBLISHES,
    InflightWindow,
)
from wx2mqtt.bridge.outbox_rows import MAX_REPEATED_MESSAGES
from wx2mqtt.bridge.publisher import REFUSED_GIVE_UP_SECONDS, Publisher
from wx2mqtt.clock import boot_time, now_ms
from wx2mqtt.errors import StoreFull
from wx2mqtt.model import Cursor, Json
from wx2mqtt.mqtt.broker import Publication
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.mapped_files import MAX_PUBACK_RECORDS, PubackLog
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import NewPublication, OutboxBatch, OutboxRow
from wx2mqtt.store.sqlite_database import SqliteDatabase

WEEK = 7 * 86_400_000


HOOKED_OPERATIONS = (
    "list_waiting",
    "list_waiting_in_topic",
    "mark_published",
    "mark_rejected",
    "drop_topic",
    "drop_expired",
)


class HookedJournal(Journal):
    """A journal that reports each operation to the test.

    A coroutine in `before` runs before an operation, one in `before_return` after it and before the caller
    continues. A function in `after` runs after an operation that has found something. An operation fails once
    for each entry in `failing_operations`.
    """

    def __init__(self, database: Database, broker: FakeBroker, clock: Clock) -> None:
        super().__init__(database, "home", clock)
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}
        self.after: dict[str, Callable[[], None]] = {}
        self.before_return: dict[str, Callable[[], Awaitable[None]]] = {}
        self.failing_operations: list[str] = []
        self.done = 0
        self._link = broker
        self._read = self.outbox.list_waiting
        for name in HOOKED_OPERATIONS:
            setattr(self.outbox, name, partial(self._do, name, getattr(self.outbox, name)))

    async def nothing_waits(self) -> bool:
        """Returns whether the outbox is empty; this read is not reported."""
        return not await self._read(0, 1)

    def more_than(self, done: int) -> bool:
        """Returns whether there were more operations than `done`."""
        return self.done > done

    async def _do(self, name: str, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        if name in self.failing_operations:
            self.failing_operations.remove(name)
            raise StoreFull
        if name in self.before:
            await self.before.pop(name)()
        done = await work(*arguments)
        if name in self.before_return:
            await self.before_return.pop(name)()
        if name in self.after and done != []:
            self.after.pop(name)()
        self.done += 1
        self._link.notify()
        return done


QUOTA_EXCEEDED = 0x97


class AnyTopics(Topics):
    """Topics that may all be published, since most tests name theirs `a` and `b`."""

    def may_publish(self, topic: str) -> bool:
        return True


class PublisherHarness:
    """A publisher between a real journal and a fake broker."""

    topics: Topics = AnyTopics("wx")

    def __init__(self, database: Database, puback_log: PubackLog) -> None:
        self.broker = FakeBroker()
        self.clock = Clock(now_ms())
        self.journal = HookedJournal(database, self.broker, self.clock)
        self.inflight = InflightWindow(self.broker)
        ctx = context(journal=self.journal)
        ctx.topics = self.topics
        ctx.puback_log = puback_log
        self._own_events = ctx.own_events
        self.publisher = Publisher(ctx, self.inflight)
        self._number = 0

    def connect(self, **more: Any) -> None:
        self.broker.connect(**more)
        self.publisher.on_connected()

    def take_dropped(self) -> list[tuple[str, int]]:
        """Returns the topics that were given up since the last call, each with the number of its rows."""
        events = [json.loads(self._own_events.get_nowait().payload) for _ in range(self._own_events.qsize())]
        return [(event["topic"], event["count"]) for event in events]

    def disconnect(self) -> None:
        self.broker.disconnect()
        self.publisher.on_disconnected()

    async def publish(self, *topics: str, payload: bytes | None = None, **more: Any) -> None:
        """Commits one row for each topic, with its number as payload."""
        rows = []
        for topic in topics:
            self._number += 1
            body = f"{self._number}".encode() if payload is None else payload
            values = {"category": "state", "content_type": "application/json", **more}
            rows.append(NewPublication(topic=topic, payload=body, **values))
        await self.journal.outbox.add(rows)
        self.publisher.outbox.expect_rows()

    async def record_message(self, key: str, text: str) -> None:
        """Commits a message from WeChat."""
        await self.journal.received.record([message(key, text=text)], NO_CHANGES, Cursor(key), "login")
        self.publisher.outbox.expect_rows()

    async def wait_until(self, holds: Callable[[], Awaitable[Any]]) -> Any:
        """Returns the first true answer of the journal; asks again after each operation."""
        while True:
            seen = self.journal.done
            if found := await holds():
                return found
            await self.broker.wait_until(partial(self.journal.more_than, seen))

    async def wait_until_published(self) -> None:
        """Waits until all rows of the journal are published."""
        await self.wait_until(self.journal.nothing_waits)

    async def count_dropped(self) -> int:
        return (await self.journal.stats()).dropped

    def hold_marks(self) -> tuple[asyncio.Event, asyncio.Event]:
        """Stops the next commit of PUBACKs: the first event says that it waits, the second lets it continue."""
        held, release = asyncio.Event(), asyncio.Event()

        async def hold_commit() -> None:
            held.set()
            await release.wait()

        self.journal.before["mark_published"] = hold_commit
        return held, release

    async def wait_for_rejected(self) -> tuple[OutboxRow, str]:
        """Returns the one row that was rejected, and the reason."""
        ((row, why),) = await self.wait_until(self.journal.outbox.list_rejected)
        return row, why

    async def wait_for_numbers(self, count: int) -> list[int]:
        """Returns the numbers of the rows that were published, once there are at least `count`."""
        return [int(publication.payload) for publication in await self.broker.wait_for_publications(count)]

    async def record_held(self, key: str, user: str) -> None:
        """Commits a message that waits for its file."""
        text = message(key, user=user)
        picture = replace(
            text, waits_for_file=True, kind="image", body={**text.body, "image": {"state": "pending"}}
        )
        await self.journal.received.record([picture], NO_CHANGES, Cursor(key), "login")
        self.publisher.outbox.expect_rows()

    async def record_messages(self, *keys: str, user: str) -> None:
        """Commits messages from WeChat in one chat."""
        rows = [message(key, user=user) for key in keys]
        await self.journal.received.record(rows, NO_CHANGES, Cursor(keys[-1]), "login")
        self.publisher.outbox.expect_rows()

    async def release(self, key: str, user: str, **patch: Any) -> None:
        self.publisher.outbox.start_release(f"wx/in/{user}")
        row = await self.journal.media.release_message(key, patch)
        assert row is not None
        self.publisher.outbox.finish_release(f"wx/in/{user}", row)

    async def ids_behind(self, first: int, count: int) -> list[str]:
        """Returns the ids of `count` messages that were published after the `first` publications."""
        sent = (await self.broker.wait_for_publications(first + count))[first:]
        return [json.loads(publication.payload)["id"].removeprefix("id-") for publication in sent]

    async def wait_for_ids(self, count: int) -> list[str]:
        """Returns the ids of the messages that were published, once there are at least `count`."""
        return [
            json.loads(publication.payload)["id"].removeprefix("id-")
            for publication in await self.broker.wait_for_publications(count)
        ]


@asynccontextmanager
async def open_publisher_harness(
    folder: Path, puback_log: PubackLog | None = None
) -> AsyncIterator[PublisherHarness]:
    database = await SqliteDatabase.open(folder / "wx2mqtt.db")
    harness = PublisherHarness(database, puback_log or PubackLog())
    await harness.journal.open()
    running = asyncio.create_task(harness.publisher.run())
    try:
        yield harness
        assert not running.done(), running.exception()
    finally:
        running.cancel()
        await asyncio.wait({running})
        await database.close()


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[PublisherHarness]:
    async with open_publisher_harness(tmp_path) as harness:
        yield harness


def numbers_on(sent: list[SentPublication], topic: str) -> list[int]:
    return [int(publication.payload) for publication in sent if publication.topic == topic]


def without_repeats(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


async def test_what_is_committed_goes_out_in_its_order_and_is_settled(harness: PublisherHarness):
    harness.connect()
    await harness.publish("a", "b", "a", "c", "a")
    assert await harness.wait_for_numbers(5) == [1, 2, 3, 4, 5]
    harness.broker.send_puback(*reversed(harness.broker.sent))
    await harness.wait_until_published()
    assert harness.publisher._ctx.counters.published == 5
    assert len(harness.broker.sent) == 5


async def test_a_publication_goes_out_with_all_that_belongs_to_it(harness: PublisherHarness):
    harness.connect()
    await harness.publish("t", payload=b"{}", correlation=b"\0c", expiry=60, content_type="text/plain")
    (sent,) = await harness.broker.wait_for_publications(1)
    publication = sent.publication
    assert (publication.topic, publication.payload, publication.retain) == ("t", b"{}", False)
    assert (publication.correlation, publication.expiry) == (b"\0c", 60)
    assert publication.content_type == "text/plain"


async def test_what_waited_goes_out_with_what_is_left_of_its_expiry(harness: PublisherHarness):
    harness.clock.now -= 45_500
    await harness.publish("t", expiry=60)
    harness.clock.now += 3_600_000  # the time of day was put back since
    await harness.publish("t", expiry=60)
    harness.connect()
    waited, put_back = (sent.publication.expiry for sent in await harness.broker.wait_for_publications(2))
    assert waited is not None
    assert 1 <= waited <= 15
    assert put_back == 60


async def test_what_waited_for_longer_than_its_expiry_is_dropped_and_nothing_else(harness: PublisherHarness):
    harness.clock.now -= 61_000
    await harness.publish("a", "b", "a")  # 1 to 3
    await harness.publish("t", "t", expiry=60)  # 4 and 5
    harness.clock.now += 61_000
    await harness.publish("t", expiry=60)  # 6
    await harness.publish("a")  # 7
    harness.broker.acknowledges_at_once = True
    harness.connect()
    assert await harness.wait_for_numbers(5) == [1, 2, 3, 6, 7]
    await harness.wait_until_published()
    assert len(harness.broker.sent) == 5
    stats = await harness.journal.stats()
    assert (stats.dropped, stats.set_aside) == (0, 0)  # neither is a loss that somebody must hear of


async def test_what_the_broker_did_not_acknowledge_is_not_published_again_when_it_is_too_old(
    harness: PublisherHarness, monkeypatch: pytest.MonkeyPatch
):
    harness.connect()
    await harness.publish("t", expiry=60)
    await harness.publish("a")
    await harness.broker.wait_for_publications(2)
    monkeypatch.setattr(publisher, "now_ms", lambda: harness.clock.now + 60_000)
    harness.broker.acknowledges_at_once = True
    harness.disconnect()
    harness.connect()
    assert await harness.wait_for_numbers(3) == [1, 2, 2]
    await harness.wait_until_published()


async def test_more_expired_rows_than_memory_holds_keep_nothing_back(
    harness: PublisherHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_rows, "READ_BATCH_ROWS", 7)
    harness.clock.now -= 61_000
    await harness.publish(*["t"] * 100, expiry=60)
    await harness.publish("a")
    harness.broker.acknowledges_at_once = True
    harness.connect()
    assert await harness.wait_for_numbers(1) == [101]
    await harness.wait_until_published()


async def test_nothing_goes_out_before_there_is_a_connection(harness: PublisherHarness):
    await harness.publish("a")
    harness.connect()
    assert await harness.wait_for_numbers(1) == [1]


async def test_never_more_is_open_than_the_broker_allows(harness: PublisherHarness):
    harness.connect(receive_maximum=3)
    await harness.publish(*["a"] * 30)
    for count in range(3, 31):
        await harness.broker.wait_for_publications(count)
        harness.broker.send_puback(harness.broker.unacknowledged[0])
    assert harness.broker.most_unacknowledged == 3
    harness.broker.send_puback()
    await harness.wait_until_published()
    assert numbers_on(harness.broker.sent, "a") == list(range(1, 31))


async def test_never_more_is_open_or_unsettled_than_the_window(harness: PublisherHarness):
    """A crash repeats what the broker has and the journal does not know of, which is at most one window."""
    held, release = harness.hold_marks()
    harness.broker.acknowledges_at_once = True
    harness.connect()
    await harness.publish(*["a"] * (3 * MAX_UNACKED_PUBLISHES))
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await held.wait()
    await harness.broker.wait_for_publications(MAX_UNACKED_PUBLISHES)
    await harness.journal.stats()
    assert len(harness.broker.sent) == MAX_UNACKED_PUBLISHES
    release.set()
    await harness.wait_until_published()
    assert numbers_on(harness.broker.sent, "a") == list(range(1, 3 * MAX_UNACKED_PUBLISHES + 1))


async def messages_wait_for_marks(harness: PublisherHarness) -> None:
    """Asserts that at most 20 messages are published before PUBACKs are stored, and all of them in the end."""
    keys = [str(number) for number in range(3 * MAX_REPEATED_MESSAGES)]
    held, release = harness.hold_marks()
    harness.connect()
    await harness.record_messages(*keys, user="wife")
    await harness.broker.wait_for_publications(MAX_REPEATED_MESSAGES)
    harness.broker.acknowledges_at_once = True
    harness.broker.send_puback()
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await held.wait()
    await harness.journal.stats()
    assert len(harness.broker.sent) == MAX_REPEATED_MESSAGES == 20  # acknowledged, and not marked yet
    release.set()
    await harness.wait_until_published()
    assert await harness.wait_for_ids(len(keys)) == keys


async def test_never_more_messages_would_repeat_after_a_kill_than_may(harness: PublisherHarness):
    """A kill repeats what the broker may have and the journal does not know of: at most 20, however wide
    the window of publishes in flight is.
    """
    await messages_wait_for_marks(harness)


async def test_logged_pubacks_let_messages_go_on_while_the_marks_are_being_stored(tmp_path: Path):
    """A kill would repeat only open messages, at most 20; those that are acknowledged are in the PUBACK log."""
    keys = [str(number) for number in range(2 * MAX_PUBACK_RECORDS)]
    async with open_publisher_harness(tmp_path, PubackLog(tmp_path / "pubacks", "stream")) as harness:
        held, release = harness.hold_marks()
        harness.connect()
        await harness.record_messages(*keys, user="wife")
        await harness.broker.wait_for_publications(MAX_REPEATED_MESSAGES)
        await harness.journal.stats()
        assert len(harness.broker.sent) == MAX_REPEATED_MESSAGES
        harness.broker.acknowledges_at_once = True
        harness.broker.send_puback()
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await held.wait()
        await harness.broker.wait_for_publications(MAX_PUBACK_RECORDS)
        await harness.journal.stats()
        assert len(harness.broker.sent) == MAX_PUBACK_RECORDS  # a power cut would repeat these
        assert harness.broker.most_unacknowledged <= MAX_REPEATED_MESSAGES
        release.set()
        await harness.wait_until_published()
        assert await harness.wait_for_ids(len(keys)) == keys


async def test_after_a_kill_only_messages_without_a_logged_puback_come_again(tmp_path: Path):
    never = asyncio.Event()
    path = tmp_path / "pubacks"
    keys = [str(number) for number in range(5)]
    async with open_publisher_harness(tmp_path, PubackLog(path, "stream")) as harness:

        async def never_commit() -> None:
            await never.wait()

        harness.journal.before["mark_published"] = never_commit
        harness.connect()
        await harness.record_messages(*keys, user="wife")
        await harness.broker.wait_for_publications(len(keys))
        harness.broker.send_puback(*harness.broker.unacknowledged[1:4])
    async with open_publisher_harness(tmp_path, PubackLog(path, "stream")) as harness:
        harness.broker.acknowledges_at_once = True
        harness.connect()
        await harness.wait_until_published()
        assert await harness.wait_for_ids(2) == ["0", "4"]
        assert len(harness.broker.sent) == 2
    assert not PubackLog(path, "stream").earlier


async def test_a_puback_of_a_row_that_the_disk_has_lost_does_not_count_for_a_later_row(tmp_path: Path):
    """Some disks lose reported commits in a power cut; the ids of the lost rows are used again."""
    path = tmp_path / "pubacks"
    async with open_publisher_harness(tmp_path) as harness:
        await harness.record_messages("a", "b", user="wife")
        rows = await harness.journal.outbox.list_waiting(0, 10)
    log = PubackLog(path, "stream")
    log.add(rows[0].id, rows[0].created)
    log.add(rows[1].id, rows[1].created - 5000)
    log.add(rows[1].id + 1, rows[1].created)
    async with open_publisher_harness(tmp_path, PubackLog(path, "stream")) as harness:
        harness.broker.acknowledges_at_once = True
        harness.connect()
        await harness.wait_until_published()
        assert await harness.wait_for_ids(1) == ["b"]
        assert len(harness.broker.sent) == 1


async def test_a_log_that_fails_makes_messages_wait_for_the_marks_again(tmp_path: Path):
    async with open_publisher_harness(
        tmp_path, PubackLog(tmp_path / "missing" / "pubacks", "stream")
    ) as harness:
        await messages_wait_for_marks(harness)


async def test_an_answer_wakes_nobody_while_the_next_message_waits_for_marks(
    harness: PublisherHarness, monkeypatch: pytest.MonkeyPatch
):
    """In a burst this is true for most answers, and each would cost a turn of the publishing loop."""
    monkeypatch.setattr(outbox_rows, "ACK_GATHER_SECONDS", 1000 * MAX_WAIT_SECONDS)
    looked = 0
    publish_waiting = harness.publisher._publish_waiting

    async def count_calls() -> None:
        nonlocal looked
        looked += 1
        await publish_waiting()

    monkeypatch.setattr(harness.publisher, "_publish_waiting", count_calls)
    harness.connect()
    await harness.record_messages(*map(str, range(2 * MAX_REPEATED_MESSAGES)), user="wife")
    await harness.broker.wait_for_publications(MAX_REPEATED_MESSAGES)
    before = looked
    for publication in tuple(harness.broker.unacknowledged)[:-1]:
        harness.broker.send_puback(publication)
        for _ in range(3):
            await asyncio.sleep(0)
    assert (before > 0, looked - before) == (True, 0)
    harness.broker.acknowledges_at_once = True
    harness.broker.send_puback()
    await harness.wait_until_published()
    assert await harness.wait_for_ids(2 * MAX_REPEATED_MESSAGES) == list(
        map(str, range(2 * MAX_REPEATED_MESSAGES))
    )


async def test_a_whole_window_of_messages_is_marked_with_one_commit_as_soon_as_it_is_acknowledged(
    harness: PublisherHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_rows, "ACK_GATHER_SECONDS", 1000 * MAX_WAIT_SECONDS)
    marked: list[int] = []
    mark_published = harness.journal.outbox.mark_published

    async def count_calls(ids: list[int]) -> Any:
        marked.append(len(ids))
        return await mark_published(ids)

    monkeypatch.setattr(harness.journal.outbox, "mark_published", count_calls)
    harness.connect()
    await harness.record_messages(*map(str, range(3 * MAX_REPEATED_MESSAGES)), user="wife")
    for window in range(1, 4):
        await harness.broker.wait_for_publications(window * MAX_REPEATED_MESSAGES)
        for publication in tuple(harness.broker.unacknowledged):
            harness.broker.send_puback(publication)
            await asyncio.sleep(0)
    await harness.wait_until_published()
    assert marked == [MAX_REPEATED_MESSAGES] * 3


async def test_what_is_acknowledged_during_a_commit_waits_for_the_rest_of_its_window(
    harness: PublisherHarness, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_rows, "ACK_GATHER_SECONDS", 1000 * MAX_WAIT_SECONDS)
    held, release, marked = asyncio.Event(), asyncio.Event(), list[int]()
    mark_published = harness.journal.outbox.mark_published

    async def count_calls(ids: list[int]) -> Any:
        marked.append(len(ids))
        held.set()
        await release.wait()
        return await mark_published(ids)

    monkeypatch.setattr(harness.journal.outbox, "mark_published", count_calls)
    harness.broker.acknowledges_at_once = True
    harness.connect()
    await harness.record_messages(*map(str, range(MAX_REPEATED_MESSAGES - 1)), user="wife")
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await held.wait()
    await harness.record_messages("during", user="wife")
    await harness.broker.wait_for_publications(MAX_REPEATED_MESSAGES)
    release.set()
    await harness.wait_until(lambda: harness.journal.outbox.list_waiting(0, 100))
    await harness.record_messages(*(f"b{number}" for number in range(MAX_REPEATED_MESSAGES - 1)), user="wife")
    await harness.wait_until_published()
    assert marked == [MAX_REPEATED_MESSAGES - 1, MAX_REPEATED_MESSAGES]


async def test_results_do_not_count_among_the_messages_that_may_repeat(harness: PublisherHarness):
    harness.connect()
    await harness.record_messages(*[f"m{number}" for number in range(10)], user="wife")
    await harness.publish(*["a"] * 60)
    assert len(await harness.broker.wait_for_publications(70)) == 70


async def test_after_a_reconnect_all_that_was_not_acknowledged_goes_out_again_in_order(
    harness: PublisherHarness,
):
    harness.connect()
    await harness.publish("a", "b", "a", "b", "a")
    await harness.broker.wait_for_publications(5)
    harness.broker.send_puback(harness.broker.sent[0], harness.broker.sent[3])
    harness.disconnect()
    harness.broker.acknowledges_at_once = True
    harness.connect()
    await harness.wait_until_published()
    assert numbers_on(harness.broker.sent[5:], "a") == [3, 5]
    assert numbers_on(harness.broker.sent[5:], "b") == [2]
    assert harness.publisher._ctx.counters.published == 5


async def test_what_is_settled_while_a_new_connection_begins_is_not_published_again(
    harness: PublisherHarness, monkeypatch
):
    monkeypatch.setattr(inflight, "REFUSAL_DISCONNECT_SECONDS", 0.0)
    release = asyncio.Event()

    async def hold_commit() -> None:
        await release.wait()

    harness.journal.before["mark_published"] = hold_commit
    harness.connect()
    await harness.publish("a", "b")
    first, second = await harness.broker.wait_for_publications(2)
    harness.broker.refuse(first)
    harness.broker.send_puback(second)
    harness.disconnect()
    harness.connect(receive_maximum=1)
    await harness.broker.wait_for_publications(3)  # both were read, and the second one waits for room
    release.set()
    settled = harness.journal.done
    await harness.broker.wait_until(lambda: harness.journal.done > settled)
    harness.broker.acknowledges_at_once = True
    harness.broker.send_puback()
    await harness.wait_until_published()
    assert harness.broker.topics == ["a", "b", "a"]


async def test_a_refused_topic_waits_and_the_others_go_on(harness: PublisherHarness):
    harness.connect()
    await harness.publish("a", "b")
    first, second = await harness.broker.wait_for_publications(2)
    harness.broker.refuse(first)
    harness.broker.send_puback(second)
    await harness.publish("a", "b", "a", "b")
    assert await harness.wait_for_numbers(4) == [1, 2, 4, 6]
    assert tuple(harness.publisher.refused.paused) == ("a",)
    harness.broker.send_puback()
    await harness.journal.outbox.drop_topic("a", "for the test")
    await harness.wait_until_published()
    assert harness.take_dropped() == []


@pytest.mark.parametrize("category", ["result", "response"])
async def test_what_is_refused_on_a_response_topic_is_given_up(harness: PublisherHarness, category: str):
    """Whoever may publish can name any number of topics that the broker refuses."""
    harness.connect()
    await harness.publish("their/topic", "wx/result/wife", category=category)
    first, second = await harness.broker.wait_for_publications(2)
    harness.broker.refuse(first)
    harness.broker.refuse(second)
    await harness.publish("their/topic", category=category)
    assert await harness.wait_for_numbers(3) == [1, 2, 3]
    assert tuple(harness.publisher.refused.paused) == ("wx/result/wife",)
    harness.broker.send_puback()
    await harness.journal.outbox.drop_topic("wx/result/wife", "for the test")
    await harness.wait_until_published()


async def test_what_a_response_topic_cannot_get_now_waits(harness: PublisherHarness):
    harness.connect()
    await harness.publish("their/topic", category="result")
    harness.broker.refuse(*await harness.broker.wait_for_publications(1), code=QUOTA_EXCEEDED)
    await harness.publish("wx/in/wife")
    assert await harness.wait_for_numbers(2) == [1, 2]
    assert tuple(harness.publisher.refused.paused) == ("their/topic",)
    harness.broker.send_puback()
    await harness.journal.outbox.drop_topic("their/topic", "for the test")
    await harness.wait_until_published()


async def test_a_topic_that_is_taken_again_catches_up_in_order(harness: PublisherHarness, monkeypatch):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.02)
    harness.connect()
    await harness.publish(*["a", "b"] * 3)
    sent = list(await harness.broker.wait_for_publications(6))
    harness.broker.refuse(*sent[0::2])
    harness.broker.acknowledges_at_once = True
    harness.broker.send_puback()
    await harness.publish("b", "a", "b", "a")
    await harness.wait_until_published()
    assert numbers_on(harness.broker.sent[6:], "a") == [1, 3, 5, 8, 10]
    assert numbers_on(harness.broker.sent, "b") == [2, 4, 6, 7, 9]
    assert tuple(harness.publisher.refused.paused) == ()


async def test_a_topic_that_is_refused_again_and_again_still_catches_up_in_order(
    harness: PublisherHarness, monkeypatch
):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.01)
    harness.connect(receive_maximum=1)
    await harness.publish(*["a"] * 5)
    for count in range(1, 4):
        await harness.broker.wait_for_publications(count)
        harness.broker.refuse(harness.broker.unacknowledged[0])
        await harness.publish("a")
    harness.broker.acknowledges_at_once = True
    await harness.broker.wait_for_publications(4)
    harness.broker.send_puback(*harness.broker.unacknowledged)
    await harness.wait_until_published()
    assert numbers_on(harness.broker.sent, "a") == [1, 1, 1, 1, *range(2, 9)]


async def test_a_reconnect_tries_at_once_what_was_refused_long_before(harness: PublisherHarness, monkeypatch):
    monkeypatch.setattr(inflight, "REFUSAL_DISCONNECT_SECONDS", 0.0)
    harness.connect()
    await harness.publish("a")
    await harness.broker.wait_for_publications(1)
    harness.broker.refuse(harness.broker.sent[0])
    harness.disconnect()
    harness.broker.acknowledges_at_once = True
    harness.connect()
    await harness.wait_until_published()
    assert tuple(harness.publisher.refused.paused) == ()


async def test_a_broker_that_hangs_up_after_each_refusal_gets_all_the_others(harness: PublisherHarness):
    """mosquitto disconnects so with `max_queued_messages 0`; once the other rows were rejected for it."""
    await harness.publish("forbidden", "a", "b", "a")
    for attempt in range(4):
        harness.connect()
        await harness.broker.wait_until(lambda: harness.broker.unacknowledged)
        first = harness.broker.unacknowledged[0]
        if first.topic != "forbidden":
            break
        assert attempt == 0
        harness.broker.refuse(first)
        harness.disconnect()
    harness.broker.acknowledges_at_once = True
    harness.broker.send_puback()
    await harness.broker.wait_until(
        lambda: harness.broker.topics[-3:] == ["a", "b", "a"] and not harness.broker.unacknowledged
    )
    assert harness.broker.topics.count("forbidden") == 1
    assert tuple(harness.publisher.refused.paused) == ("forbidden",)
    assert harness.publisher.rejected_count == 0


async def test_a_topic_that_may_go_again_while_the_next_rows_are_read_is_not_passed_over(
    harness: PublisherHarness,
):
    harness.connect()
    await harness.publish("a")
    await harness.broker.wait_for_publications(1)
    harness.broker.refuse(harness.broker.sent[0])
    await harness.publish("b")
    await harness.broker.wait_for_publications(2)
    harness.journal.after["list_waiting"] = lambda: harness.publisher.refused.retry(
        "a"
    )  # the read passed over `a`
    harness.broker.acknowledges_at_once = True
    await harness.publish("a", "b", "a")
    harness.broker.send_puback()
    await harness.wait_until_published()
    assert numbers_on(harness.broker.sent[2:], "a") == [1, 3, 5]


@pytest.mark.parametrize("statement", ["list_waiting", "list_waiting_in_topic"])
async def test_a_connection_that_begins_while_rows_are_read_begins_anew(
    harness: PublisherHarness, statement: str, monkeypatch
):
    monkeypatch.setattr(inflight, "REFUSAL_DISCONNECT_SECONDS", 0.0)
    begun = asyncio.Event()

    def reconnect() -> None:
        harness.disconnect()
        harness.broker.acknowledges_at_once = True
        harness.connect()
        begun.set()

    harness.connect(receive_maximum=2)
    await harness.publish("a", "b", "a", "a")
    first, second = await harness.broker.wait_for_publications(2)
    harness.broker.refuse(first)
    harness.journal.after[statement] = reconnect
    if statement == "list_waiting_in_topic":
        harness.publisher.refused.retry("a")
    harness.broker.send_puback(second)
    await harness.publish("b")
    await harness.wait_until_published()
    assert begun.is_set()
    assert without_repeats(numbers_on(harness.broker.sent, "a")) == [1, 3, 4]


async def test_a_store_that_fails_delays_and_passes_nothing_over(harness: PublisherHarness, monkeypatch):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.01)
    harness.journal.failing_operations += ["list_waiting", "list_waiting_in_topic", "mark_published"]
    harness.connect()
    await harness.publish("a", "a", "b")
    sent = list(await harness.broker.wait_for_publications(3))
    harness.broker.acknowledges_at_once = True
    harness.broker.refuse(*sent[:2])
    harness.broker.send_puback()
    await harness.wait_until_published()
    assert numbers_on(harness.broker.sent[3:], "a") == [1, 2]
    assert numbers_on(harness.broker.sent, "b") == [3]
    assert harness.journal.failing_operations == []


async def test_a_read_that_fails_is_tried_again_though_nothing_new_comes(harness: PublisherHarness):
    await harness.publish("a", "b")
    harness.journal.failing_operations += ["list_waiting", "list_waiting"]
    harness.broker.acknowledges_at_once = True
    harness.connect()
    await harness.wait_until_published()
    assert harness.broker.topics == ["a", "b"]


@pytest.mark.parametrize("limit", [700, None], ids=["a limit that is said", "a limit that is not said"])
async def test_a_message_that_is_too_large_is_cut_and_its_chat_goes_on(
    harness: PublisherHarness, limit: int | None
):
    harness.connect(packet_limit=limit)
    await harness.record_message("1", "长" * 3000)
    await harness.record_message("2", "short")
    large, small = await harness.broker.wait_for_publications(2)
    for _ in range(10):
        harness.broker.refuse(large, too_large=True)
        await harness.broker.wait_until(lambda: len(harness.broker.unacknowledged) == 2)
        large = harness.broker.unacknowledged[-1]
        if len(large.payload) <= 700:
            break
    body = json.loads(large.payload)
    whole = json.loads(harness.broker.sent[0].payload)
    assert len(large.payload) <= 700
    assert body["truncated"] is True
    assert whole["text"].startswith(body["text"])
    assert len(body["text"]) > 50
    assert (body["id"], body["seq"], body["user"]) == (whole["id"], whole["seq"], whole["user"])
    harness.broker.send_puback(large, small)
    await harness.wait_until_published()


async def test_what_was_cut_is_cut_anew_for_the_next_connection(harness: PublisherHarness):
    await harness.record_message("1", "x" * 3000)
    for count in (1, 3):
        harness.connect(packet_limit=1000)
        await harness.broker.wait_for_publications(count)
        harness.broker.refuse(harness.broker.unacknowledged[0], too_large=True)
        await harness.broker.wait_for_publications(count + 1)
        harness.disconnect()
    assert harness.publisher.rejected_count == 0
    harness.broker.acknowledges_at_once = True
    harness.connect()
    await harness.wait_until_published()
    assert len(harness.broker.sent[-1].payload) == len(harness.broker.sent[0].payload)


async def test_a_broker_that_refuses_everything_as_too_large_ends_in_setting_aside(harness: PublisherHarness):
    harness.connect(packet_limit=700)
    await harness.record_message("1", "x" * 3000)
    await harness.broker.wait_for_publications(1)
    while not harness.publisher.rejected_count:
        harness.broker.refuse(harness.broker.unacknowledged[0], too_large=True)
        assert len(harness.broker.sent) < 20
    row, why = await harness.wait_for_rejected()
    assert why == "larger than the broker takes"
    assert row.user == "wife"


@pytest.mark.parametrize("sort", ["result", "response", "event"])
async def test_what_cannot_be_cut_is_set_aside_and_its_topic_goes_on(harness: PublisherHarness, sort: str):
    harness.connect(packet_limit=1000)
    await harness.publish("a", payload=b"x" * 2000, category=sort)
    await harness.publish("a")
    large, small = await harness.broker.wait_for_publications(2)
    harness.broker.refuse(large, too_large=True)
    harness.broker.send_puback(small)
    await harness.wait_until_published()
    row, why = await harness.wait_for_rejected()
    assert (row.topic, why) == ("a", "larger than the broker takes")
    assert harness.publisher.rejected_count == 1
    assert tuple(harness.publisher.refused.paused) == ()


async def test_what_was_set_aside_and_is_brought_back_is_published(harness: PublisherHarness):
    harness.connect()
    await harness.publish("a", payload=b"1" * 2000)
    harness.broker.refuse(*await harness.broker.wait_for_publications(1), too_large=True)
    row, _ = await harness.wait_for_rejected()
    assert await harness.journal.outbox.requeue_rejected([row.id]) == 1
    harness.publisher.on_connected()
    await harness.broker.wait_for_publications(2)
    harness.broker.send_puback()
    await harness.wait_until_published()


async def test_a_message_on_which_the_broker_hangs_up_three_times_is_set_aside_and_the_others_go(
    harness: PublisherHarness,
):
    await harness.publish("a", "poison", "a", "a")

    async def publish_until_disconnect() -> bool:
        """Connects and acknowledges; disconnects at the row on the topic poison, and returns False then."""
        harness.connect()
        seen = len(harness.broker.sent)
        while True:
            await harness.broker.wait_until(lambda: harness.broker.unacknowledged)
            oldest = harness.broker.unacknowledged[0]
            if oldest.topic == "poison":
                harness.disconnect()
                return False
            harness.broker.send_puback(oldest)
            if len(numbers_on(harness.broker.sent[seen:], "a")) and int(oldest.payload) == 4:
                return True

    for _ in range(MAX_HEAD_DISCONNECTS):
        assert not await publish_until_disconnect()
    assert await publish_until_disconnect()
    await harness.wait_until_published()
    row, why = await harness.wait_for_rejected()
    assert (row.topic, why) == ("poison", "the broker hung up on it 3 times in a row")
    assert without_repeats(numbers_on(harness.broker.sent, "a")) == [1, 3, 4]
    assert harness.publisher.rejected_count == 1


async def test_a_message_on_which_the_broker_hangs_up_first_loses_the_bytes_in_it(harness: PublisherHarness):
    """With MQTT 3.1.1 a broker cannot say that a message is too large; once such a message was rejected."""
    shown: dict[str, Json] = {"state": "ready", "sha256": "c1f0", "data": "QUJD" * 1000}
    picture = message("1", text="[图片]")
    picture = replace(picture, kind="image", body={**picture.body, "kind": "image", "image": shown})
    await harness.journal.received.record([picture], NO_CHANGES, Cursor("1"), "login")
    harness.publisher.outbox.expect_rows()
    for count in range(1, MAX_HEAD_DISCONNECTS + 1):
        harness.connect()
        await harness.broker.wait_for_publications(count)
        harness.disconnect()
    harness.connect()
    (*_, whole, bare) = await harness.broker.wait_for_publications(MAX_HEAD_DISCONNECTS + 1)
    body = json.loads(whole.payload)
    assert json.loads(bare.payload) == {
        **body,
        "image": {"state": "ready", "sha256": "c1f0"},
        "truncated": True,
    }
    harness.broker.send_puback()
    await harness.wait_until_published()
    assert harness.publisher.rejected_count == 0


async def test_a_message_on_which_the_broker_hangs_up_also_without_its_bytes_is_set_aside(
    harness: PublisherHarness,
):
    picture = message("1", text="[图片]")
    shown: dict[str, Json] = {"state": "ready", "data": "QUJD"}
    picture = replace(picture, kind="image", body={**picture.body, "kind": "image", "image": shown})
    await harness.journal.received.record([picture], NO_CHANGES, Cursor("1"), "login")
    harness.publisher.outbox.expect_rows()
    for count in range(1, 2 * MAX_HEAD_DISCONNECTS + 1):
        harness.connect()
        await harness.broker.wait_for_publications(count)
        harness.disconnect()
    row, why = await harness.wait_for_rejected()
    assert (row.topic, why) == ("wx/in/wife", "the broker hung up on it 3 times in a row")


async def test_after_a_disconnect_the_first_one_goes_alone_so_that_no_innocent_one_is_taken_for_it(
    harness: PublisherHarness,
):
    """A broker that disconnects at the second row may lose the PUBACK of the first one with the connection."""
    await harness.publish("a", "poison", "b")
    for _ in range(5):
        harness.connect()
        await harness.broker.wait_until(lambda: harness.broker.unacknowledged)
        if len(harness.broker.unacknowledged) == 1 and harness.broker.unacknowledged[0].topic == "a":
            harness.broker.send_puback()
            await harness.broker.wait_until(lambda: harness.broker.unacknowledged)
        if harness.broker.unacknowledged[0].topic == "b":
            break
        harness.disconnect()
        await harness.journal.stats()
    harness.broker.send_puback()
    await harness.wait_until_published()
    row, _ = await harness.wait_for_rejected()
    assert row.topic == "poison"


async def test_disconnects_with_progress_between_set_nothing_aside(harness: PublisherHarness):
    await harness.publish(*["a"] * 12)
    for _ in range(10):
        harness.connect()
        await harness.broker.wait_until(lambda: harness.broker.unacknowledged)
        harness.broker.send_puback(harness.broker.unacknowledged[0])
        await harness.broker.wait_until(lambda: harness.broker.unacknowledged)
        harness.disconnect()
    harness.broker.acknowledges_at_once = True
    harness.connect()
    await harness.wait_until_published()
    assert harness.publisher.rejected_count == 0
    assert without_repeats(numbers_on(harness.broker.sent, "a")) == list(range(1, 13))


async def test_connections_that_cannot_be_made_set_nothing_aside(harness: PublisherHarness):
    await harness.publish("a")
    harness.connect()
    await harness.broker.wait_for_publications(1)
    harness.disconnect()
    for _ in range(10):
        harness.publisher.on_disconnected()
    harness.broker.acknowledges_at_once = True
    harness.connect()
    await harness.wait_until_published()
    assert harness.publisher.rejected_count == 0


async def test_a_topic_that_was_refused_for_a_week_is_dropped_with_an_event(
    harness: PublisherHarness, monkeypatch
):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.01)
    await harness.publish("a", "a")
    harness.connect()
    sent = list(await harness.broker.wait_for_publications(2))
    harness.broker.refuse(*sent)
    later = boot_time() + REFUSED_GIVE_UP_SECONDS + 1
    monkeypatch.setattr(inflight, "boot_time", lambda: later)
    await harness.publish("b", "a")
    await harness.broker.wait_until(lambda: len(harness.broker.unacknowledged) > 1)
    for publication in list(harness.broker.unacknowledged):
        harness.broker.refuse(publication) if publication.topic == "a" else harness.broker.send_puback(
            publication
        )
    await harness.wait_until(harness.count_dropped)
    harness.broker.acknowledges_at_once = True
    harness.broker.send_puback()
    await harness.wait_until_published()
    assert harness.take_dropped() == [("a", 3)]


async def test_a_topic_that_was_taken_between_begins_its_week_anew(harness: PublisherHarness, monkeypatch):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.01)
    await harness.publish("a", "a")
    harness.connect()
    sent = list(await harness.broker.wait_for_publications(2))
    harness.broker.refuse(sent[0])
    harness.broker.send_puback(sent[1])
    later = boot_time() + REFUSED_GIVE_UP_SECONDS + 1
    monkeypatch.setattr(inflight, "boot_time", lambda: later)
    harness.broker.refuse((await harness.broker.wait_for_publications(3))[2])
    await harness.broker.wait_for_publications(4)
    harness.broker.send_puback()
    await harness.wait_until_published()
    assert not harness.take_dropped()


async def test_what_is_old_because_the_broker_was_away_or_the_clock_was_wrong_is_not_dropped(
    harness: PublisherHarness,
):
    harness.clock.now -= 100 * WEEK
    await harness.publish("a", "a")
    harness.connect()
    await harness.broker.wait_for_publications(2)
    harness.broker.refuse(harness.broker.sent[0])
    assert tuple(harness.publisher.refused.paused) == ("a",)
    assert len(await harness.journal.outbox.list_waiting(0, 10)) == 2


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_the_broker_does_each_topic_keeps_its_order_and_nothing_is_lost(
    harness: PublisherHarness, monkeypatch, seed: int
):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.002)
    rng = random.Random(seed)
    window = rng.choice([1, 3, 100])
    committed: dict[str, list[int]] = defaultdict(list)
    number = 0
    for _ in range(150):
        match rng.choice(["publish", "take", "take", "refuse", "flap", "breathe"]):
            case "publish":
                topics = [rng.choice("abc") for _ in range(rng.randint(1, 6))]
                for topic in topics:
                    number += 1
                    committed[topic].append(number)
                await harness.publish(*topics)
            case "take" if harness.broker.unacknowledged:
                harness.broker.send_puback(rng.choice(harness.broker.unacknowledged))
            case "refuse" if harness.broker.unacknowledged:
                harness.broker.refuse(rng.choice(harness.broker.unacknowledged))
            case "flap" if rng.random() < 0.3:
                if harness.broker.connection is not None:
                    harness.disconnect()
                else:
                    harness.connect(receive_maximum=window)
            case _:
                await harness.journal.stats()
    harness.disconnect()
    harness.broker.acknowledges_at_once = True
    harness.connect(receive_maximum=window)
    await harness.wait_until_published()
    assert harness.broker.most_unacknowledged <= window
    aside = {int(row.payload) for row, _ in await harness.journal.outbox.list_rejected()}
    for topic, numbers in committed.items():
        sent = numbers_on(harness.broker.sent, topic)
        assert without_repeats(sent) == [number for number in numbers if number in sent]
        assert set(sent) | aside == set(numbers) | aside


async def test_what_waits_goes_out_when_the_retained_topics_have_made_room(harness: PublisherHarness):
    harness.broker.connect(receive_maximum=1)
    harness.inflight.publish_first(Publication(topic="wx/last", payload=b"0", retain=True), lambda _: None)
    harness.publisher.on_connected()
    await harness.publish("a")
    await harness.journal.stats()
    await harness.broker.wait_for_publications(1)
    harness.broker.send_puback()
    assert await harness.wait_for_numbers(2) == [0, 1]


async def test_a_disconnect_after_a_retained_topic_rejects_no_message(
    harness: PublisherHarness,
):
    await harness.publish("a", "b")
    for _ in range(10):
        harness.broker.connect()
        harness.inflight.publish_first(
            Publication(topic="wx/contacts", payload=b"", retain=True), lambda _: None
        )
        harness.publisher.on_connected()
        await harness.broker.wait_until(lambda: harness.broker.unacknowledged)
        harness.disconnect()
    assert harness.publisher.rejected_count == 0


# messages that wait for their files


async def test_only_the_chat_of_a_held_message_waits_and_keeps_its_order(harness: PublisherHarness):
    harness.connect()
    harness.broker.acknowledges_at_once = True
    await harness.record_messages("1", user="wife")
    await harness.record_held("2", "wife")
    await harness.record_messages("3", "4", user="wife")
    await harness.record_messages("5", user="mom")
    assert await harness.wait_for_ids(2) == ["1", "5"]
    await harness.release("2", "wife", state="ready")
    assert await harness.wait_for_ids(5) == ["1", "5", "2", "3", "4"]
    await harness.record_messages("6", user="wife")
    assert await harness.wait_for_ids(6) == ["1", "5", "2", "3", "4", "6"]
    await harness.wait_until_published()
    assert len(harness.broker.sent) == 6


async def test_what_is_known_by_then_stands_in_the_message(harness: PublisherHarness):
    harness.connect()
    await harness.record_held("1", "wife")
    await harness.release("1", "wife", state="ready", data="QUJD")
    (sent,) = await harness.broker.wait_for_publications(1)
    assert json.loads(sent.payload)["image"] == {"state": "ready", "data": "QUJD"}


async def test_a_chat_goes_on_up_to_the_next_message_that_is_held(harness: PublisherHarness):
    harness.connect()
    harness.broker.acknowledges_at_once = True
    for held, later in (("1", "2"), ("3", "4"), ("5", "6")):
        await harness.record_held(held, "wife")
        await harness.record_messages(later, user="wife")
    await harness.record_messages("x", user="mom")
    assert await harness.wait_for_ids(1) == ["x"]
    await harness.release("1", "wife")
    assert await harness.wait_for_ids(3) == ["x", "1", "2"]
    await harness.release("5", "wife")
    await harness.record_messages("y", user="mom")
    assert await harness.wait_for_ids(4) == ["x", "1", "2", "y"]
    await harness.release("3", "wife")
    assert await harness.wait_for_ids(8) == ["x", "1", "2", "y", "3", "4", "5", "6"]
    await harness.wait_until_published()
    assert len(harness.broker.sent) == 8


async def test_what_is_held_stays_so_over_a_reconnect(harness: PublisherHarness):
    harness.connect()
    await harness.record_held("1", "wife")
    await harness.record_messages("2", user="wife")
    await harness.record_messages("3", user="mom")
    assert await harness.wait_for_ids(1) == ["3"]
    harness.disconnect()
    harness.broker.acknowledges_at_once = True
    harness.connect()
    assert await harness.wait_for_ids(2) == ["3", "3"]
    await harness.release("1", "wife")
    assert (await harness.wait_for_ids(4))[2:] == ["1", "2"]


async def test_what_was_released_while_the_broker_was_away_goes_out_in_its_order(harness: PublisherHarness):
    await harness.record_held("1", "wife")
    await harness.record_messages("2", user="wife")
    await harness.release("1", "wife")
    harness.broker.acknowledges_at_once = True
    harness.connect()
    assert await harness.wait_for_ids(2) == ["1", "2"]


async def test_what_is_read_while_a_message_is_released_is_not_left_out(harness: PublisherHarness):
    """The message is still held when the read begins, and no longer when it returns."""
    await harness.record_held("1", "wife")
    await harness.record_messages("2", user="wife")
    await harness.record_messages("3", user="mom")
    harness.journal.before_return["list_waiting"] = lambda: harness.release("1", "wife")
    harness.broker.acknowledges_at_once = True
    harness.connect()
    ids = await harness.wait_for_ids(3)
    assert [message_id for message_id in ids if message_id != "3"] == ["1", "2"]
    await harness.wait_until_published()
    assert len(harness.broker.sent) == 3


async def test_nothing_overtakes_a_message_between_its_release_and_the_report_of_it(
    harness: PublisherHarness,
):
    harness.connect()
    harness.broker.acknowledges_at_once = True
    await harness.record_held("1", "wife")
    await harness.record_held("2", "wife")
    await harness.record_messages("3", user="wife")
    harness.publisher.outbox.start_release("wx/in/wife")
    harness.publisher.outbox.start_release("wx/in/wife")
    second = await harness.journal.media.release_message("2", {})
    harness.publisher.outbox.finish_release("wx/in/wife", second)
    first = await harness.journal.media.release_message("1", {})
    await harness.record_messages("4", user="wife")
    await harness.record_messages("5", user="mom")
    assert await harness.wait_for_ids(1) == ["5"]
    harness.publisher.outbox.finish_release("wx/in/wife", first)
    assert await harness.wait_for_ids(5) == ["5", "1", "2", "3", "4"]
    await harness.wait_until_published()


async def test_the_end_of_a_message_that_was_not_held_any_more_lets_its_chat_go_on(harness: PublisherHarness):
    harness.connect()
    harness.broker.acknowledges_at_once = True
    harness.publisher.outbox.start_release("wx/in/wife")
    await harness.record_messages("1", user="wife")
    await harness.record_messages("2", user="mom")
    assert await harness.wait_for_ids(1) == ["2"]
    harness.publisher.outbox.finish_release(
        "wx/in/wife", await harness.journal.media.release_message("nobody knows it", {})
    )
    assert await harness.wait_for_ids(2) == ["2", "1"]


@pytest.mark.parametrize("end", ["reconnect", "refusal"])
async def test_a_release_that_lasts_over_other_trouble_loses_nothing(
    harness: PublisherHarness, monkeypatch, end: str
):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.05)
    harness.connect()
    await harness.record_messages("1", user="wife")
    await harness.record_held("2", "wife")
    await harness.record_messages("3", user="wife")
    (first,) = await harness.broker.wait_for_publications(1)
    harness.publisher.outbox.start_release("wx/in/wife")
    if end == "reconnect":
        harness.disconnect()
        harness.connect()
    else:
        harness.broker.refuse(first)
        await harness.broker.wait_until(lambda: harness.publisher.refused.paused)
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while harness.publisher.refused.paused:  # noqa: ASYNC110 - there is no event for the end of a pause
                await asyncio.sleep(0.01)
    harness.broker.acknowledges_at_once = True
    harness.publisher.outbox.finish_release(
        "wx/in/wife", await harness.journal.media.release_message("2", {})
    )
    assert await harness.wait_for_ids(4) == ["1", "1", "2", "3"]


async def test_a_refused_chat_stays_refused_when_its_message_is_released(
    harness: PublisherHarness, monkeypatch
):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.05)
    harness.connect()
    await harness.record_messages("1", user="wife")
    await harness.record_held("2", "wife")
    await harness.record_messages("3", user="wife")
    (refused,) = await harness.broker.wait_for_publications(1)
    harness.broker.refuse(refused)
    await harness.release("2", "wife")
    harness.broker.acknowledges_at_once = True
    assert await harness.wait_for_ids(4) == ["1", "1", "2", "3"]


async def test_many_chats_with_many_held_messages_all_come_out_once_and_in_order(harness: PublisherHarness):
    rng = random.Random(7)
    harness.connect()
    harness.broker.acknowledges_at_once = True
    order: dict[str, list[str]] = defaultdict(list)
    held: list[tuple[str, str]] = []
    for number in range(300):
        user, key = rng.choice(["wife", "mom", "bob"]), f"{number}"
        order[user].append(key)
        if rng.random() < 0.4:
            await harness.record_held(key, user)
            held.append((key, user))
        else:
            await harness.record_messages(key, user=user)
        while held and rng.random() < 0.45:
            await harness.release(*held.pop(rng.randrange(len(held))))
    rng.shuffle(held)
    await asyncio.gather(*(harness.release(*message) for message in held))
    await harness.broker.wait_for_publications(300)
    await harness.wait_until_published()
    for user, keys in order.items():
        came = [publication for publication in harness.broker.sent if publication.topic == f"wx/in/{user}"]
        assert [json.loads(publication.payload)["id"] for publication in came] == [
            f"id-{key}" for key in keys
        ]


# what was just committed, handed over in memory


async def commit_rows(harness: PublisherHarness, *topics: str, payload: bytes = b"0") -> OutboxBatch:
    """Commits one row for each topic without a report to the publisher."""
    rows = [
        NewPublication(topic=topic, payload=payload, category="state", content_type="") for topic in topics
    ]
    return await harness.journal.outbox.add(rows)


async def connect_and_catch_up(harness: PublisherHarness) -> None:
    """Connects and waits until the publisher knows all rows of the journal."""
    harness.broker.acknowledges_at_once = True
    harness.connect()
    harness.publisher.add(await commit_rows(harness, "begin"))
    await harness.wait_until_published()
    await harness.broker.wait_until(lambda: harness.publisher.outbox.is_exhausted)


async def test_what_was_just_committed_goes_out_without_a_look_into_the_journal(harness: PublisherHarness):
    await connect_and_catch_up(harness)
    harness.journal.failing_operations = ["list_waiting", "list_waiting_in_topic"]  # which a look would meet
    for number in range(5):
        harness.publisher.add(await commit_rows(harness, "a", "b", payload=str(number).encode()))
    sent = (await harness.broker.wait_for_publications(11))[1:]
    assert [(publication.topic, publication.payload) for publication in sent] == [
        (topic, str(number).encode()) for number in range(5) for topic in ("a", "b")
    ]
    await harness.wait_until_published()
    assert harness.journal.failing_operations == ["list_waiting", "list_waiting_in_topic"]


async def test_rows_of_several_commits_are_left_to_the_one_write_of_the_turn(harness: PublisherHarness):
    """Once the results of ten chats took ten writes."""
    await connect_and_catch_up(harness)
    harness.broker.counts_at_flush.clear()
    batches = [await commit_rows(harness, "a", "b"), await commit_rows(harness, "c")]
    for batch in batches:
        harness.publisher.add(batch)
    assert harness.broker.topics[1:] == ["a", "b", "c"]
    assert harness.broker.counts_at_flush == []


async def test_what_has_no_free_slot_is_published_when_there_is_one(harness: PublisherHarness):
    await connect_and_catch_up(harness)
    harness.broker.acknowledges_at_once = False
    harness.publisher.add(
        await commit_rows(harness, *(f"{number}" for number in range(MAX_UNACKED_PUBLISHES + 5)))
    )
    assert len(harness.broker.sent) == 1 + MAX_UNACKED_PUBLISHES
    harness.broker.send_puback(*harness.broker.unacknowledged[:5])
    await harness.broker.wait_for_publications(1 + MAX_UNACKED_PUBLISHES)
    harness.broker.acknowledges_at_once = True
    harness.broker.send_puback()
    await harness.wait_until_published()
    assert harness.broker.topics[1:] == [f"{number}" for number in range(MAX_UNACKED_PUBLISHES + 5)]


async def test_messages_and_their_events_go_out_as_they_were_committed(harness: PublisherHarness):
    await connect_and_catch_up(harness)
    harness.journal.failing_operations = ["list_waiting"]
    recorded = await harness.journal.received.record(
        [message("1"), message("2")], NO_CHANGES, Cursor("2"), "login"
    )
    harness.publisher.add(recorded.outbox)
    sent = (await harness.broker.wait_for_publications(3))[1:]
    stored = await harness.journal.outbox.list_rejected()
    assert stored == []
    assert [json.loads(publication.payload)["seq"] for publication in sent] == [1, 2]
    assert harness.journal.failing_operations == ["list_waiting"]


async def test_a_batch_that_nobody_handed_over_is_found_in_the_journal_when_the_next_one_comes(
    harness: PublisherHarness,
):
    """The task that has committed it may be cancelled before it hands the batch over."""
    await connect_and_catch_up(harness)
    await commit_rows(harness, "a", payload=b"1")
    harness.publisher.add(await commit_rows(harness, "a", payload=b"2"))
    assert [publication.payload for publication in (await harness.broker.wait_for_publications(3))[1:]] == [
        b"1",
        b"2",
    ]
    await harness.wait_until_published()


async def test_batches_that_come_in_the_wrong_order_go_out_in_that_of_their_commits(
    harness: PublisherHarness,
):
    await connect_and_catch_up(harness)
    first, second = (
        await commit_rows(harness, "a", payload=b"1"),
        await commit_rows(harness, "a", payload=b"2"),
    )
    harness.publisher.add(second)
    harness.publisher.add(first)
    await harness.wait_until_published()
    assert [publication.payload for publication in harness.broker.sent[1:]] == [b"1", b"2"]


async def test_more_than_memory_should_hold_waits_in_the_journal(harness: PublisherHarness, monkeypatch):
    monkeypatch.setattr(outbox_rows, "MAX_ROWS_IN_MEMORY", 3)
    await connect_and_catch_up(harness)
    harness.broker.acknowledges_at_once = False
    assert harness.broker.connection is not None
    harness.broker.connection = replace(harness.broker.connection, receive_maximum=1)
    for number in range(9):
        harness.publisher.add(await commit_rows(harness, "a", payload=str(number).encode()))
    await harness.broker.wait_for_publications(2)
    assert len(harness.publisher.outbox.rows) <= 3
    harness.broker.acknowledges_at_once = True
    harness.broker.send_puback()
    await harness.wait_until_published()
    assert [int(publication.payload) for publication in harness.broker.sent[1:]] == [*range(9)]


async def test_what_is_committed_behind_a_held_message_waits_with_it(harness: PublisherHarness):
    await connect_and_catch_up(harness)
    picture = replace(message("1", user="wife"), waits_for_file=True, kind="image")
    batch = [message("0", user="wife"), picture, message("2", user="wife"), message("3", user="mom")]
    recorded = await harness.journal.received.record(batch, NO_CHANGES, Cursor("3"), "login")
    harness.publisher.add(recorded.outbox)
    assert (await harness.ids_behind(1, 2)) == ["0", "3"]
    recorded = await harness.journal.received.record(
        [message("4", user="wife")], NO_CHANGES, Cursor("4"), "login"
    )
    harness.publisher.add(recorded.outbox)
    await harness.release("1", "wife")
    assert (await harness.ids_behind(1, 5)) == ["0", "3", "1", "2", "4"]
    await harness.wait_until_published()


async def test_a_refused_topic_is_not_handed_over_and_catches_up(harness: PublisherHarness, monkeypatch):
    await connect_and_catch_up(harness)
    harness.broker.acknowledges_at_once = False
    harness.publisher.add(await commit_rows(harness, "a", payload=b"1"))
    harness.broker.refuse((await harness.broker.wait_for_publications(2))[1])
    harness.publisher.add(await commit_rows(harness, "a", "b", payload=b"2"))
    await harness.broker.wait_for_publications(3)
    harness.broker.acknowledges_at_once = True
    harness.broker.send_puback()
    harness.publisher.refused.retry("a")
    await harness.wait_until_published()
    assert [(publication.topic, publication.payload) for publication in harness.broker.sent[2:]] == [
        ("b", b"2"),
        ("a", b"1"),
        ("a", b"2"),
    ]


class StrictPublisherHarness(PublisherHarness):
    topics = Topics("wx")


async def test_a_row_goes_to_a_topic_of_the_bridge_or_not_at_all(tmp_path: Path, monkeypatch):
    """Rows of a restored backup may name any topic; they would be published with the rights of the bridge."""
    monkeypatch.setattr(sys.modules[__name__], "PublisherHarness", StrictPublisherHarness)
    async with open_publisher_harness(tmp_path) as harness:
        harness.connect()
        foreign = [
            "zigbee2mqtt/front_door/set",
            "wx/out/wife",
            "wx/bridge/state",
            "homeassistant/lock/x/config",
        ]
        await harness.publish(*foreign, category="message")
        await harness.publish("wx/bridge/request/logout", category="result")
        await harness.publish("homeassistant/lock/x/config", "other/in/wife", category="response")
        await harness.publish("wx/in/wife", category="message")
        await harness.publish("answers/of/mine", category="result")
        await harness.broker.wait_until(lambda: len(harness.broker.sent) == 2)
        assert harness.broker.topics == ["wx/in/wife", "answers/of/mine"]
        harness.broker.send_puback()
        await harness.wait_until_published()
        aside = [(row.topic, why) for row, why in await harness.journal.outbox.list_rejected(10)]
        assert aside == [(topic, "its topic is not one of the bridge's") for topic in foreign]
