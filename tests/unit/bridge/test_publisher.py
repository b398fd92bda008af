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
from tests.support.paper_link import PaperLink, Sent
from tests.unit.bridge.contexts import context
from tests.unit.store.conftest import Clock
from tests.unit.store.make import message
from wx2mqtt.bridge import inflight, outbox_reader, published_rows, publisher
from wx2mqtt.bridge.inflight import (
    MAX_HEAD_DISCONNECTS,
    MAX_UNACKED_PUBLISHES,
    InflightWindow,
)
from wx2mqtt.bridge.published_rows import MAX_REPEATED_MESSAGES
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


WATCHED = (
    "list_waiting",
    "list_waiting_in_topic",
    "mark_published",
    "mark_rejected",
    "drop_topic",
    "drop_expired",
)


class Watched(Journal):
    """A journal that tells when something was done; the test may act `before` it, or `after` it found
    something; `then`, before whoever asked for it knows.
    """

    def __init__(self, database: Database, link: PaperLink, clock: Clock) -> None:
        super().__init__(database, "home", clock)
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}
        self.after: dict[str, Callable[[], None]] = {}
        self.then: dict[str, Callable[[], Awaitable[None]]] = {}
        self.troubles: list[str] = []
        self.done = 0
        self._link = link
        self._read = self.outbox.list_waiting
        for name in WATCHED:
            setattr(self.outbox, name, partial(self._do, name, getattr(self.outbox, name)))

    async def nothing_waits(self) -> bool:
        """Looks past what is watched."""
        return not await self._read(0, 1)

    def more_than(self, done: int) -> bool:
        """Whether anything was done since so much was."""
        return self.done > done

    async def _do(self, name: str, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        if name in self.troubles:
            self.troubles.remove(name)
            raise StoreFull
        if name in self.before:
            await self.before.pop(name)()
        done = await work(*arguments)
        if name in self.then:
            await self.then.pop(name)()
        if name in self.after and done != []:
            self.after.pop(name)()
        self.done += 1
        self._link.tell()
        return done


QUOTA_EXCEEDED = 0x97


class AnyTopics(Topics):
    """Most tests name their topics `a` and `b`."""

    def may_publish(self, topic: str) -> bool:
        return True


class Works:
    """A publisher between a real journal and a broker on paper."""

    topics: Topics = AnyTopics("wx")

    def __init__(self, database: Database, puback_log: PubackLog) -> None:
        self.link = PaperLink()
        self.clock = Clock(now_ms())
        self.journal = Watched(database, self.link, self.clock)
        self.inflight = InflightWindow(self.link)
        ctx = context(journal=self.journal)
        ctx.topics = self.topics
        ctx.puback_log = puback_log
        self._own_events = ctx.own_events
        self.publisher = Publisher(ctx, self.inflight)
        self._number = 0

    def connect(self, **more: Any) -> None:
        self.link.connect(**more)
        self.publisher.on_connected()

    def dropped(self) -> list[tuple[str, int]]:
        """The topics that were given up since the last call, each with how many rows that were."""
        events = [json.loads(self._own_events.get_nowait().payload) for _ in range(self._own_events.qsize())]
        return [(event["topic"], event["count"]) for event in events]

    def hang_up(self) -> None:
        self.link.hang_up()
        self.publisher.on_disconnected()

    async def publish(self, *topics: str, payload: bytes | None = None, **more: Any) -> None:
        """Commit one row for each topic, numbered in their order."""
        rows = []
        for topic in topics:
            self._number += 1
            body = f"{self._number}".encode() if payload is None else payload
            values = {"category": "state", "content_type": "application/json", **more}
            rows.append(NewPublication(topic=topic, payload=body, **values))
        await self.journal.outbox.add(rows)
        self.publisher.wake()

    async def message(self, key: str, text: str) -> None:
        """Commit a message from WeChat."""
        await self.journal.received.record([message(key, text=text)], NO_CHANGES, Cursor(key), "login")
        self.publisher.wake()

    async def until(self, holds: Callable[[], Awaitable[Any]]) -> Any:
        """What the journal says at last; asked again whenever something was done to it."""
        while True:
            seen = self.journal.done
            if found := await holds():
                return found
            await self.link.until(partial(self.journal.more_than, seen))

    async def all_settled(self) -> None:
        """Until nothing waits in the journal."""
        await self.until(self.journal.nothing_waits)

    async def count_dropped(self) -> int:
        return (await self.journal.stats()).dropped

    def hold_marks(self) -> tuple[asyncio.Event, asyncio.Event]:
        """Stop the next commit of marks: the first event says that it waits, the second lets it go on."""
        held, let_go = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            held.set()
            await let_go.wait()

        self.journal.before["mark_published"] = hold
        return held, let_go

    async def one_aside(self) -> tuple[OutboxRow, str]:
        """The one row that was set aside, and why."""
        ((row, why),) = await self.until(self.journal.outbox.list_rejected)
        return row, why

    async def numbers(self, count: int) -> list[int]:
        """The numbers of what was published, once there is so much."""
        return [int(one.payload) for one in await self.link.came(count)]

    async def held(self, key: str, user: str) -> None:
        """Commit a message that is held."""
        text = message(key, user=user)
        picture = replace(text, held=True, kind="image", body={**text.body, "image": {"state": "pending"}})
        await self.journal.received.record([picture], NO_CHANGES, Cursor(key), "login")
        self.publisher.wake()

    async def said(self, *keys: str, user: str) -> None:
        """Commit messages from WeChat in one chat."""
        rows = [message(key, user=user) for key in keys]
        await self.journal.received.record(rows, NO_CHANGES, Cursor(keys[-1]), "login")
        self.publisher.wake()

    async def release(self, key: str, user: str, **patch: Any) -> None:
        self.publisher.start_release(f"wx/in/{user}")
        row = await self.journal.media.release_message(key, patch)
        assert row is not None
        self.publisher.finish_release(f"wx/in/{user}", row)

    async def ids_behind(self, first: int, count: int) -> list[str]:
        """The ids of `count` messages that were published behind the `first` publications."""
        sent = (await self.link.came(first + count))[first:]
        return [json.loads(one.payload)["id"].removeprefix("id-") for one in sent]

    async def ids(self, count: int) -> list[str]:
        """The ids of the messages that were published, once there are so many."""
        return [json.loads(one.payload)["id"].removeprefix("id-") for one in await self.link.came(count)]


@asynccontextmanager
async def working(folder: Path, puback_log: PubackLog | None = None) -> AsyncIterator[Works]:
    database = await SqliteDatabase.open(folder / "wx2mqtt.db")
    works = Works(database, puback_log or PubackLog())
    await works.journal.open()
    running = asyncio.create_task(works.publisher.run())
    try:
        yield works
        assert not running.done(), running.exception()
    finally:
        running.cancel()
        await asyncio.wait({running})
        await database.close()


@pytest.fixture
async def works(tmp_path: Path) -> AsyncIterator[Works]:
    async with working(tmp_path) as works:
        yield works


def on(sent: list[Sent], topic: str) -> list[int]:
    return [int(one.payload) for one in sent if one.topic == topic]


def first_of(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


async def test_what_is_committed_goes_out_in_its_order_and_is_settled(works: Works):
    works.connect()
    await works.publish("a", "b", "a", "c", "a")
    assert await works.numbers(5) == [1, 2, 3, 4, 5]
    works.link.take(*reversed(works.link.sent))
    await works.all_settled()
    assert works.publisher._ctx.counters.published == 5
    assert len(works.link.sent) == 5


async def test_a_publication_goes_out_with_all_that_belongs_to_it(works: Works):
    works.connect()
    await works.publish("t", payload=b"{}", correlation=b"\0c", expiry=60, content_type="text/plain")
    (sent,) = await works.link.came(1)
    publication = sent.publication
    assert (publication.topic, publication.payload, publication.retain) == ("t", b"{}", False)
    assert (publication.correlation, publication.expiry) == (b"\0c", 60)
    assert publication.content_type == "text/plain"


async def test_what_waited_goes_out_with_what_is_left_of_its_expiry(works: Works):
    works.clock.now -= 45_500
    await works.publish("t", expiry=60)
    works.clock.now += 3_600_000  # the time of day was put back since
    await works.publish("t", expiry=60)
    works.connect()
    waited, put_back = (sent.publication.expiry for sent in await works.link.came(2))
    assert waited is not None
    assert 1 <= waited <= 15
    assert put_back == 60


async def test_what_waited_for_longer_than_its_expiry_is_dropped_and_nothing_else(works: Works):
    works.clock.now -= 61_000
    await works.publish("a", "b", "a")  # 1 to 3
    await works.publish("t", "t", expiry=60)  # 4 and 5
    works.clock.now += 61_000
    await works.publish("t", expiry=60)  # 6
    await works.publish("a")  # 7
    works.link.takes = True
    works.connect()
    assert await works.numbers(5) == [1, 2, 3, 6, 7]
    await works.all_settled()
    assert len(works.link.sent) == 5
    stats = await works.journal.stats()
    assert (stats.dropped, stats.set_aside) == (0, 0)  # neither is a loss that somebody must hear of


async def test_what_the_broker_did_not_acknowledge_is_not_published_again_when_it_is_too_old(
    works: Works, monkeypatch: pytest.MonkeyPatch
):
    works.connect()
    await works.publish("t", expiry=60)
    await works.publish("a")
    await works.link.came(2)
    monkeypatch.setattr(publisher, "now_ms", lambda: works.clock.now + 60_000)
    works.link.takes = True
    works.hang_up()
    works.connect()
    assert await works.numbers(3) == [1, 2, 2]
    await works.all_settled()


async def test_more_expired_rows_than_memory_holds_keep_nothing_back(
    works: Works, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_reader, "READ_BATCH_ROWS", 7)
    works.clock.now -= 61_000
    await works.publish(*["t"] * 100, expiry=60)
    await works.publish("a")
    works.link.takes = True
    works.connect()
    assert await works.numbers(1) == [101]
    await works.all_settled()


async def test_nothing_goes_out_before_there_is_a_connection(works: Works):
    await works.publish("a")
    works.connect()
    assert await works.numbers(1) == [1]


async def test_never_more_is_open_than_the_broker_allows(works: Works):
    works.connect(receive_maximum=3)
    await works.publish(*["a"] * 30)
    for count in range(3, 31):
        await works.link.came(count)
        works.link.take(works.link.open[0])
    assert works.link.most_open == 3
    works.link.take()
    await works.all_settled()
    assert on(works.link.sent, "a") == list(range(1, 31))


async def test_never_more_is_open_or_unsettled_than_the_window(works: Works):
    """What the broker has and the journal does not know comes again after a crash: at most a window of it."""
    held, let_go = works.hold_marks()
    works.link.takes = True
    works.connect()
    await works.publish(*["a"] * (3 * MAX_UNACKED_PUBLISHES))
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await held.wait()
    await works.link.came(MAX_UNACKED_PUBLISHES)
    await works.journal.stats()
    assert len(works.link.sent) == MAX_UNACKED_PUBLISHES
    let_go.set()
    await works.all_settled()
    assert on(works.link.sent, "a") == list(range(1, 3 * MAX_UNACKED_PUBLISHES + 1))


async def messages_wait_for_marks(works: Works) -> None:
    """At most 20 messages go out before the commit of marks, and all of them in the end."""
    keys = [str(number) for number in range(3 * MAX_REPEATED_MESSAGES)]
    held, let_go = works.hold_marks()
    works.connect()
    await works.said(*keys, user="wife")
    await works.link.came(MAX_REPEATED_MESSAGES)
    works.link.takes = True
    works.link.take()
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await held.wait()
    await works.journal.stats()
    assert len(works.link.sent) == MAX_REPEATED_MESSAGES == 20  # acknowledged, and not marked yet
    let_go.set()
    await works.all_settled()
    assert await works.ids(len(keys)) == keys


async def test_never_more_messages_would_repeat_after_a_kill_than_may(works: Works):
    """A kill repeats what the broker may have and the journal does not know of: at most 20, however wide
    the window of publishes in flight is.
    """
    await messages_wait_for_marks(works)


async def test_logged_pubacks_let_messages_go_on_while_the_marks_are_being_stored(tmp_path: Path):
    """A kill would repeat what is open, of messages at most 20; what is acknowledged stands in the log."""
    keys = [str(number) for number in range(2 * MAX_PUBACK_RECORDS)]
    async with working(tmp_path, PubackLog(tmp_path / "pubacks", "stream")) as works:
        held, let_go = works.hold_marks()
        works.connect()
        await works.said(*keys, user="wife")
        await works.link.came(MAX_REPEATED_MESSAGES)
        await works.journal.stats()
        assert len(works.link.sent) == MAX_REPEATED_MESSAGES
        works.link.takes = True
        works.link.take()
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await held.wait()
        await works.link.came(MAX_PUBACK_RECORDS)
        await works.journal.stats()
        assert len(works.link.sent) == MAX_PUBACK_RECORDS  # a power cut would repeat these
        assert works.link.most_open <= MAX_REPEATED_MESSAGES
        let_go.set()
        await works.all_settled()
        assert await works.ids(len(keys)) == keys


async def test_after_a_kill_only_messages_without_a_logged_puback_come_again(tmp_path: Path):
    never = asyncio.Event()
    path = tmp_path / "pubacks"
    keys = [str(number) for number in range(5)]
    async with working(tmp_path, PubackLog(path, "stream")) as works:

        async def killed() -> None:
            await never.wait()

        works.journal.before["mark_published"] = killed
        works.connect()
        await works.said(*keys, user="wife")
        await works.link.came(len(keys))
        works.link.take(*works.link.open[1:4])
    async with working(tmp_path, PubackLog(path, "stream")) as works:
        works.link.takes = True
        works.connect()
        await works.all_settled()
        assert await works.ids(2) == ["0", "4"]
        assert len(works.link.sent) == 2
    assert not PubackLog(path, "stream").earlier


async def test_a_puback_of_a_row_that_the_disk_has_lost_does_not_count_for_a_later_row(tmp_path: Path):
    """In a power cut, some disks lose commits that they had reported as written; the ids are given again."""
    path = tmp_path / "pubacks"
    async with working(tmp_path) as works:
        await works.said("a", "b", user="wife")
        rows = await works.journal.outbox.list_waiting(0, 10)
    log = PubackLog(path, "stream")
    log.add(rows[0].id, rows[0].created)
    log.add(rows[1].id, rows[1].created - 5000)
    log.add(rows[1].id + 1, rows[1].created)
    async with working(tmp_path, PubackLog(path, "stream")) as works:
        works.link.takes = True
        works.connect()
        await works.all_settled()
        assert await works.ids(1) == ["b"]
        assert len(works.link.sent) == 1


async def test_a_log_that_fails_makes_messages_wait_for_the_marks_again(tmp_path: Path):
    async with working(tmp_path, PubackLog(tmp_path / "missing" / "pubacks", "stream")) as works:
        await messages_wait_for_marks(works)


async def test_an_answer_wakes_nobody_while_the_next_message_waits_for_marks(
    works: Works, monkeypatch: pytest.MonkeyPatch
):
    """In a burst that is so at most answers, and each would cost a turn of the publishing loop."""
    monkeypatch.setattr(published_rows, "ACK_GATHER_SECONDS", 1000 * MAX_WAIT_SECONDS)
    looked = 0
    publish_waiting = works.publisher._publish_waiting

    async def counted() -> None:
        nonlocal looked
        looked += 1
        await publish_waiting()

    monkeypatch.setattr(works.publisher, "_publish_waiting", counted)
    works.connect()
    await works.said(*map(str, range(2 * MAX_REPEATED_MESSAGES)), user="wife")
    await works.link.came(MAX_REPEATED_MESSAGES)
    before = looked
    for one in tuple(works.link.open)[:-1]:
        works.link.take(one)
        for _ in range(3):
            await asyncio.sleep(0)
    assert (before > 0, looked - before) == (True, 0)
    works.link.takes = True
    works.link.take()
    await works.all_settled()
    assert await works.ids(2 * MAX_REPEATED_MESSAGES) == list(map(str, range(2 * MAX_REPEATED_MESSAGES)))


async def test_a_whole_window_of_messages_is_marked_with_one_commit_as_soon_as_it_is_acknowledged(
    works: Works, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(published_rows, "ACK_GATHER_SECONDS", 1000 * MAX_WAIT_SECONDS)
    marked: list[int] = []
    mark_published = works.journal.outbox.mark_published

    async def counted(ids: list[int]) -> Any:
        marked.append(len(ids))
        return await mark_published(ids)

    monkeypatch.setattr(works.journal.outbox, "mark_published", counted)
    works.connect()
    await works.said(*map(str, range(3 * MAX_REPEATED_MESSAGES)), user="wife")
    for window in range(1, 4):
        await works.link.came(window * MAX_REPEATED_MESSAGES)
        for one in tuple(works.link.open):
            works.link.take(one)
            await asyncio.sleep(0)
    await works.all_settled()
    assert marked == [MAX_REPEATED_MESSAGES] * 3


async def test_what_is_acknowledged_during_a_commit_waits_for_the_rest_of_its_window(
    works: Works, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(published_rows, "ACK_GATHER_SECONDS", 1000 * MAX_WAIT_SECONDS)
    held, let_go, marked = asyncio.Event(), asyncio.Event(), list[int]()
    mark_published = works.journal.outbox.mark_published

    async def counted(ids: list[int]) -> Any:
        marked.append(len(ids))
        held.set()
        await let_go.wait()
        return await mark_published(ids)

    monkeypatch.setattr(works.journal.outbox, "mark_published", counted)
    works.link.takes = True
    works.connect()
    await works.said(*map(str, range(MAX_REPEATED_MESSAGES - 1)), user="wife")
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await held.wait()
    await works.said("during", user="wife")
    await works.link.came(MAX_REPEATED_MESSAGES)
    let_go.set()
    await works.until(lambda: works.journal.outbox.list_waiting(0, 100))
    await works.said(*(f"b{number}" for number in range(MAX_REPEATED_MESSAGES - 1)), user="wife")
    await works.all_settled()
    assert marked == [MAX_REPEATED_MESSAGES - 1, MAX_REPEATED_MESSAGES]


async def test_results_do_not_count_among_the_messages_that_may_repeat(works: Works):
    works.connect()
    await works.said(*[f"m{number}" for number in range(10)], user="wife")
    await works.publish(*["a"] * 60)
    assert len(await works.link.came(70)) == 70


async def test_after_a_reconnect_all_that_was_not_acknowledged_goes_out_again_in_order(works: Works):
    works.connect()
    await works.publish("a", "b", "a", "b", "a")
    await works.link.came(5)
    works.link.take(works.link.sent[0], works.link.sent[3])
    works.hang_up()
    works.link.takes = True
    works.connect()
    await works.all_settled()
    assert on(works.link.sent[5:], "a") == [3, 5]
    assert on(works.link.sent[5:], "b") == [2]
    assert works.publisher._ctx.counters.published == 5


async def test_what_is_settled_while_a_new_connection_begins_is_not_published_again(
    works: Works, monkeypatch
):
    monkeypatch.setattr(inflight, "REFUSAL_DISCONNECT_SECONDS", 0.0)
    let_go = asyncio.Event()

    async def hold() -> None:
        await let_go.wait()

    works.journal.before["mark_published"] = hold
    works.connect()
    await works.publish("a", "b")
    first, second = await works.link.came(2)
    works.link.refuse(first)
    works.link.take(second)
    works.hang_up()
    works.connect(receive_maximum=1)
    await works.link.came(3)  # both were read, and the second one waits for room
    let_go.set()
    settled = works.journal.done
    await works.link.until(lambda: works.journal.done > settled)
    works.link.takes = True
    works.link.take()
    await works.all_settled()
    assert works.link.topics == ["a", "b", "a"]


async def test_a_refused_topic_waits_and_the_others_go_on(works: Works):
    works.connect()
    await works.publish("a", "b")
    first, second = await works.link.came(2)
    works.link.refuse(first)
    works.link.take(second)
    await works.publish("a", "b", "a", "b")
    assert await works.numbers(4) == [1, 2, 4, 6]
    assert works.publisher.refused_topics == ("a",)
    works.link.take()
    await works.journal.outbox.drop_topic("a", "for the test")
    await works.all_settled()
    assert works.dropped() == []


@pytest.mark.parametrize("category", ["result", "response"])
async def test_what_is_refused_on_a_response_topic_is_given_up(works: Works, category: str):
    """Whoever may publish can name any number of topics that the broker refuses."""
    works.connect()
    await works.publish("their/topic", "wx/result/wife", category=category)
    first, second = await works.link.came(2)
    works.link.refuse(first)
    works.link.refuse(second)
    await works.publish("their/topic", category=category)
    assert await works.numbers(3) == [1, 2, 3]
    assert works.publisher.refused_topics == ("wx/result/wife",)
    works.link.take()
    await works.journal.outbox.drop_topic("wx/result/wife", "for the test")
    await works.all_settled()


async def test_what_a_response_topic_cannot_get_now_waits(works: Works):
    works.connect()
    await works.publish("their/topic", category="result")
    works.link.refuse(*await works.link.came(1), code=QUOTA_EXCEEDED)
    await works.publish("wx/in/wife")
    assert await works.numbers(2) == [1, 2]
    assert works.publisher.refused_topics == ("their/topic",)
    works.link.take()
    await works.journal.outbox.drop_topic("their/topic", "for the test")
    await works.all_settled()


async def test_a_topic_that_is_taken_again_catches_up_in_order(works: Works, monkeypatch):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.02)
    works.connect()
    await works.publish(*["a", "b"] * 3)
    sent = list(await works.link.came(6))
    works.link.refuse(*sent[0::2])
    works.link.takes = True
    works.link.take()
    await works.publish("b", "a", "b", "a")
    await works.all_settled()
    assert on(works.link.sent[6:], "a") == [1, 3, 5, 8, 10]
    assert on(works.link.sent, "b") == [2, 4, 6, 7, 9]
    assert works.publisher.refused_topics == ()


async def test_a_topic_that_is_refused_again_and_again_still_catches_up_in_order(works: Works, monkeypatch):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.01)
    works.connect(receive_maximum=1)
    await works.publish(*["a"] * 5)
    for count in range(1, 4):
        await works.link.came(count)
        works.link.refuse(works.link.open[0])
        await works.publish("a")
    works.link.takes = True
    await works.link.came(4)
    works.link.take(*works.link.open)
    await works.all_settled()
    assert on(works.link.sent, "a") == [1, 1, 1, 1, *range(2, 9)]


async def test_a_reconnect_tries_at_once_what_was_refused_long_before(works: Works, monkeypatch):
    monkeypatch.setattr(inflight, "REFUSAL_DISCONNECT_SECONDS", 0.0)
    works.connect()
    await works.publish("a")
    await works.link.came(1)
    works.link.refuse(works.link.sent[0])
    works.hang_up()
    works.link.takes = True
    works.connect()
    await works.all_settled()
    assert works.publisher.refused_topics == ()


async def test_a_broker_that_hangs_up_after_each_refusal_gets_all_the_others(works: Works):
    """As mosquitto does with `max_queued_messages 0`; once the innocent ones were set aside for it."""
    await works.publish("forbidden", "a", "b", "a")
    for life in range(4):
        works.connect()
        await works.link.until(lambda: works.link.open)
        first = works.link.open[0]
        if first.topic != "forbidden":
            break
        assert life == 0
        works.link.refuse(first)
        works.hang_up()
    works.link.takes = True
    works.link.take()
    await works.link.until(lambda: works.link.topics[-3:] == ["a", "b", "a"] and not works.link.open)
    assert works.link.topics.count("forbidden") == 1
    assert works.publisher.refused_topics == ("forbidden",)
    assert works.publisher.rejected_count == 0


async def test_a_topic_that_may_go_again_while_the_next_rows_are_read_is_not_passed_over(works: Works):
    works.connect()
    await works.publish("a")
    await works.link.came(1)
    works.link.refuse(works.link.sent[0])
    await works.publish("b")
    await works.link.came(2)
    works.journal.after["list_waiting"] = lambda: works.publisher._refused.retry(
        "a"
    )  # the read passed over `a`
    works.link.takes = True
    await works.publish("a", "b", "a")
    works.link.take()
    await works.all_settled()
    assert on(works.link.sent[2:], "a") == [1, 3, 5]


@pytest.mark.parametrize("statement", ["list_waiting", "list_waiting_in_topic"])
async def test_a_connection_that_begins_while_rows_are_read_begins_anew(
    works: Works, statement: str, monkeypatch
):
    monkeypatch.setattr(inflight, "REFUSAL_DISCONNECT_SECONDS", 0.0)
    begun = asyncio.Event()

    def anew() -> None:
        works.hang_up()
        works.link.takes = True
        works.connect()
        begun.set()

    works.connect(receive_maximum=2)
    await works.publish("a", "b", "a", "a")
    first, second = await works.link.came(2)
    works.link.refuse(first)
    works.journal.after[statement] = anew
    if statement == "list_waiting_in_topic":
        works.publisher._refused.retry("a")
    works.link.take(second)
    await works.publish("b")
    await works.all_settled()
    assert begun.is_set()
    assert first_of(on(works.link.sent, "a")) == [1, 3, 4]


async def test_a_store_that_fails_delays_and_passes_nothing_over(works: Works, monkeypatch):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.01)
    works.journal.troubles += ["list_waiting", "list_waiting_in_topic", "mark_published"]
    works.connect()
    await works.publish("a", "a", "b")
    sent = list(await works.link.came(3))
    works.link.takes = True
    works.link.refuse(*sent[:2])
    works.link.take()
    await works.all_settled()
    assert on(works.link.sent[3:], "a") == [1, 2]
    assert on(works.link.sent, "b") == [3]
    assert works.journal.troubles == []


async def test_a_read_that_fails_is_tried_again_though_nothing_new_comes(works: Works):
    await works.publish("a", "b")
    works.journal.troubles += ["list_waiting", "list_waiting"]
    works.link.takes = True
    works.connect()
    await works.all_settled()
    assert works.link.topics == ["a", "b"]


@pytest.mark.parametrize("limit", [700, None], ids=["a limit that is said", "a limit that is not said"])
async def test_a_message_that_is_too_large_is_cut_and_its_chat_goes_on(works: Works, limit: int | None):
    works.connect(packet_limit=limit)
    await works.message("1", "长" * 3000)
    await works.message("2", "short")
    large, small = await works.link.came(2)
    for _ in range(10):
        works.link.refuse(large, too_large=True)
        await works.link.until(lambda: len(works.link.open) == 2)
        large = works.link.open[-1]
        if len(large.payload) <= 700:
            break
    body = json.loads(large.payload)
    whole = json.loads(works.link.sent[0].payload)
    assert len(large.payload) <= 700
    assert body["truncated"] is True
    assert whole["text"].startswith(body["text"])
    assert len(body["text"]) > 50
    assert (body["id"], body["seq"], body["user"]) == (whole["id"], whole["seq"], whole["user"])
    works.link.take(large, small)
    await works.all_settled()


async def test_what_was_cut_is_cut_anew_for_the_next_connection(works: Works):
    await works.message("1", "x" * 3000)
    for count in (1, 3):
        works.connect(packet_limit=1000)
        await works.link.came(count)
        works.link.refuse(works.link.open[0], too_large=True)
        await works.link.came(count + 1)
        works.hang_up()
    assert works.publisher.rejected_count == 0
    works.link.takes = True
    works.connect()
    await works.all_settled()
    assert len(works.link.sent[-1].payload) == len(works.link.sent[0].payload)


async def test_a_broker_that_refuses_everything_as_too_large_ends_in_setting_aside(works: Works):
    works.connect(packet_limit=700)
    await works.message("1", "x" * 3000)
    await works.link.came(1)
    while not works.publisher.rejected_count:
        works.link.refuse(works.link.open[0], too_large=True)
        assert len(works.link.sent) < 20
    row, why = await works.one_aside()
    assert why == "larger than the broker takes"
    assert row.user == "wife"


@pytest.mark.parametrize("sort", ["result", "response", "event"])
async def test_what_cannot_be_cut_is_set_aside_and_its_topic_goes_on(works: Works, sort: str):
    works.connect(packet_limit=1000)
    await works.publish("a", payload=b"x" * 2000, category=sort)
    await works.publish("a")
    large, small = await works.link.came(2)
    works.link.refuse(large, too_large=True)
    works.link.take(small)
    await works.all_settled()
    row, why = await works.one_aside()
    assert (row.topic, why) == ("a", "larger than the broker takes")
    assert works.publisher.rejected_count == 1
    assert works.publisher.refused_topics == ()


async def test_what_was_set_aside_and_is_brought_back_is_published(works: Works):
    works.connect()
    await works.publish("a", payload=b"1" * 2000)
    works.link.refuse(*await works.link.came(1), too_large=True)
    row, _ = await works.one_aside()
    assert await works.journal.outbox.requeue_rejected([row.id]) == 1
    works.publisher.on_connected()
    await works.link.came(2)
    works.link.take()
    await works.all_settled()


async def test_a_message_on_which_the_broker_hangs_up_three_times_is_set_aside_and_the_others_go(
    works: Works,
):
    await works.publish("a", "poison", "a", "a")

    async def serve() -> bool:
        """A broker that dies of the poison; true when all is well."""
        works.connect()
        seen = len(works.link.sent)
        while True:
            await works.link.until(lambda: works.link.open)
            one = works.link.open[0]
            if one.topic == "poison":
                works.hang_up()
                return False
            works.link.take(one)
            if len(on(works.link.sent[seen:], "a")) and int(one.payload) == 4:
                return True

    for _ in range(MAX_HEAD_DISCONNECTS):
        assert not await serve()
    assert await serve()
    await works.all_settled()
    row, why = await works.one_aside()
    assert (row.topic, why) == ("poison", "the broker hung up on it 3 times in a row")
    assert first_of(on(works.link.sent, "a")) == [1, 3, 4]
    assert works.publisher.rejected_count == 1


async def test_a_message_on_which_the_broker_hangs_up_first_loses_the_bytes_in_it(works: Works):
    """With MQTT 3.1.1 a broker cannot say that a message is too large; once it was set aside for that."""
    shown: dict[str, Json] = {"state": "ready", "sha256": "c1f0", "data": "QUJD" * 1000}
    picture = message("1", text="[图片]")
    picture = replace(picture, kind="image", body={**picture.body, "kind": "image", "image": shown})
    await works.journal.received.record([picture], NO_CHANGES, Cursor("1"), "login")
    works.publisher.wake()
    for count in range(1, MAX_HEAD_DISCONNECTS + 1):
        works.connect()
        await works.link.came(count)
        works.hang_up()
    works.connect()
    (*_, whole, bare) = await works.link.came(MAX_HEAD_DISCONNECTS + 1)
    body = json.loads(whole.payload)
    assert json.loads(bare.payload) == {
        **body,
        "image": {"state": "ready", "sha256": "c1f0"},
        "truncated": True,
    }
    works.link.take()
    await works.all_settled()
    assert works.publisher.rejected_count == 0


async def test_a_message_on_which_the_broker_hangs_up_also_without_its_bytes_is_set_aside(works: Works):
    picture = message("1", text="[图片]")
    shown: dict[str, Json] = {"state": "ready", "data": "QUJD"}
    picture = replace(picture, kind="image", body={**picture.body, "kind": "image", "image": shown})
    await works.journal.received.record([picture], NO_CHANGES, Cursor("1"), "login")
    works.publisher.wake()
    for count in range(1, 2 * MAX_HEAD_DISCONNECTS + 1):
        works.connect()
        await works.link.came(count)
        works.hang_up()
    row, why = await works.one_aside()
    assert (row.topic, why) == ("wx/in/wife", "the broker hung up on it 3 times in a row")


async def test_after_a_disconnect_the_first_one_goes_alone_so_that_no_innocent_one_is_taken_for_it(
    works: Works,
):
    """A broker that hangs up on the second one takes the PUBACK of the first down with it."""
    await works.publish("a", "poison", "b")
    for _ in range(5):
        works.connect()
        await works.link.until(lambda: works.link.open)
        if len(works.link.open) == 1 and works.link.open[0].topic == "a":
            works.link.take()
            await works.link.until(lambda: works.link.open)
        if works.link.open[0].topic == "b":
            break
        works.hang_up()
        await works.journal.stats()
    works.link.take()
    await works.all_settled()
    row, _ = await works.one_aside()
    assert row.topic == "poison"


async def test_disconnects_with_progress_between_set_nothing_aside(works: Works):
    await works.publish(*["a"] * 12)
    for _ in range(10):
        works.connect()
        await works.link.until(lambda: works.link.open)
        works.link.take(works.link.open[0])
        await works.link.until(lambda: works.link.open)
        works.hang_up()
    works.link.takes = True
    works.connect()
    await works.all_settled()
    assert works.publisher.rejected_count == 0
    assert first_of(on(works.link.sent, "a")) == list(range(1, 13))


async def test_connections_that_cannot_be_made_set_nothing_aside(works: Works):
    await works.publish("a")
    works.connect()
    await works.link.came(1)
    works.hang_up()
    for _ in range(10):
        works.publisher.on_disconnected()
    works.link.takes = True
    works.connect()
    await works.all_settled()
    assert works.publisher.rejected_count == 0


async def test_a_topic_that_was_refused_for_a_week_is_dropped_with_an_event(works: Works, monkeypatch):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.01)
    await works.publish("a", "a")
    works.connect()
    sent = list(await works.link.came(2))
    works.link.refuse(*sent)
    later = boot_time() + REFUSED_GIVE_UP_SECONDS + 1
    monkeypatch.setattr(inflight, "boot_time", lambda: later)
    await works.publish("b", "a")
    await works.link.until(lambda: len(works.link.open) > 1)
    for one in list(works.link.open):
        works.link.refuse(one) if one.topic == "a" else works.link.take(one)
    await works.until(works.count_dropped)
    works.link.takes = True
    works.link.take()
    await works.all_settled()
    assert works.dropped() == [("a", 3)]


async def test_a_topic_that_was_taken_between_begins_its_week_anew(works: Works, monkeypatch):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.01)
    await works.publish("a", "a")
    works.connect()
    sent = list(await works.link.came(2))
    works.link.refuse(sent[0])
    works.link.take(sent[1])
    later = boot_time() + REFUSED_GIVE_UP_SECONDS + 1
    monkeypatch.setattr(inflight, "boot_time", lambda: later)
    works.link.refuse((await works.link.came(3))[2])
    await works.link.came(4)
    works.link.take()
    await works.all_settled()
    assert not works.dropped()


async def test_what_is_old_because_the_broker_was_away_or_the_clock_was_wrong_is_not_dropped(works: Works):
    works.clock.now -= 100 * WEEK
    await works.publish("a", "a")
    works.connect()
    await works.link.came(2)
    works.link.refuse(works.link.sent[0])
    assert works.publisher.refused_topics == ("a",)
    assert len(await works.journal.outbox.list_waiting(0, 10)) == 2


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_the_broker_does_each_topic_keeps_its_order_and_nothing_is_lost(
    works: Works, monkeypatch, seed: int
):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.002)
    dice = random.Random(seed)
    window = dice.choice([1, 3, 100])
    committed: dict[str, list[int]] = defaultdict(list)
    number = 0
    for _ in range(150):
        match dice.choice(["publish", "take", "take", "refuse", "flap", "breathe"]):
            case "publish":
                topics = [dice.choice("abc") for _ in range(dice.randint(1, 6))]
                for topic in topics:
                    number += 1
                    committed[topic].append(number)
                await works.publish(*topics)
            case "take" if works.link.open:
                works.link.take(dice.choice(works.link.open))
            case "refuse" if works.link.open:
                works.link.refuse(dice.choice(works.link.open))
            case "flap" if dice.random() < 0.3:
                if works.link.connection is not None:
                    works.hang_up()
                else:
                    works.connect(receive_maximum=window)
            case _:
                await works.journal.stats()
    works.hang_up()
    works.link.takes = True
    works.connect(receive_maximum=window)
    await works.all_settled()
    assert works.link.most_open <= window
    aside = {int(row.payload) for row, _ in await works.journal.outbox.list_rejected()}
    for topic, numbers in committed.items():
        sent = on(works.link.sent, topic)
        assert first_of(sent) == [one for one in numbers if one in sent]
        assert set(sent) | aside == set(numbers) | aside


async def test_what_waits_goes_out_when_the_retained_topics_have_made_room(works: Works):
    works.link.connect(receive_maximum=1)
    works.inflight.publish_first(Publication(topic="wx/last", payload=b"0", retain=True), lambda _: None)
    works.publisher.on_connected()
    await works.publish("a")
    await works.journal.stats()
    await works.link.came(1)
    works.link.take()
    assert await works.numbers(2) == [0, 1]


async def test_a_retained_topic_on_which_the_broker_hangs_up_is_no_fault_of_a_message(works: Works):
    await works.publish("a", "b")
    for _ in range(10):
        works.link.connect()
        works.inflight.publish_first(
            Publication(topic="wx/contacts", payload=b"", retain=True), lambda _: None
        )
        works.publisher.on_connected()
        await works.link.until(lambda: works.link.open)
        works.hang_up()
    assert works.publisher.rejected_count == 0


# messages that wait for their bytes


async def test_only_the_chat_of_a_held_message_waits_and_keeps_its_order(works: Works):
    works.connect()
    works.link.takes = True
    await works.said("1", user="wife")
    await works.held("2", "wife")
    await works.said("3", "4", user="wife")
    await works.said("5", user="mom")
    assert await works.ids(2) == ["1", "5"]
    await works.release("2", "wife", state="ready")
    assert await works.ids(5) == ["1", "5", "2", "3", "4"]
    await works.said("6", user="wife")
    assert await works.ids(6) == ["1", "5", "2", "3", "4", "6"]
    await works.all_settled()
    assert len(works.link.sent) == 6


async def test_what_is_known_by_then_stands_in_the_message(works: Works):
    works.connect()
    await works.held("1", "wife")
    await works.release("1", "wife", state="ready", data="QUJD")
    (sent,) = await works.link.came(1)
    assert json.loads(sent.payload)["image"] == {"state": "ready", "data": "QUJD"}


async def test_a_chat_goes_on_up_to_the_next_message_that_is_held(works: Works):
    works.connect()
    works.link.takes = True
    for held, said in (("1", "2"), ("3", "4"), ("5", "6")):
        await works.held(held, "wife")
        await works.said(said, user="wife")
    await works.said("x", user="mom")
    assert await works.ids(1) == ["x"]
    await works.release("1", "wife")
    assert await works.ids(3) == ["x", "1", "2"]
    await works.release("5", "wife")
    await works.said("y", user="mom")
    assert await works.ids(4) == ["x", "1", "2", "y"]
    await works.release("3", "wife")
    assert await works.ids(8) == ["x", "1", "2", "y", "3", "4", "5", "6"]
    await works.all_settled()
    assert len(works.link.sent) == 8


async def test_what_is_held_stays_so_over_a_reconnect(works: Works):
    works.connect()
    await works.held("1", "wife")
    await works.said("2", user="wife")
    await works.said("3", user="mom")
    assert await works.ids(1) == ["3"]
    works.hang_up()
    works.link.takes = True
    works.connect()
    assert await works.ids(2) == ["3", "3"]
    await works.release("1", "wife")
    assert (await works.ids(4))[2:] == ["1", "2"]


async def test_what_was_released_while_the_broker_was_away_goes_out_in_its_order(works: Works):
    await works.held("1", "wife")
    await works.said("2", user="wife")
    await works.release("1", "wife")
    works.link.takes = True
    works.connect()
    assert await works.ids(2) == ["1", "2"]


async def test_what_is_read_while_a_message_is_released_is_not_left_out(works: Works):
    """It was still held for the read, and is not any more when the read returns."""
    await works.held("1", "wife")
    await works.said("2", user="wife")
    await works.said("3", user="mom")
    works.journal.then["list_waiting"] = lambda: works.release("1", "wife")
    works.link.takes = True
    works.connect()
    ids = await works.ids(3)
    assert [one for one in ids if one != "3"] == ["1", "2"]
    await works.all_settled()
    assert len(works.link.sent) == 3


async def test_nothing_overtakes_a_message_between_its_release_and_the_word_of_it(works: Works):
    works.connect()
    works.link.takes = True
    await works.held("1", "wife")
    await works.held("2", "wife")
    await works.said("3", user="wife")
    works.publisher.start_release("wx/in/wife")
    works.publisher.start_release("wx/in/wife")
    second = await works.journal.media.release_message("2", {})
    works.publisher.finish_release("wx/in/wife", second)
    first = await works.journal.media.release_message("1", {})
    await works.said("4", user="wife")
    await works.said("5", user="mom")
    assert await works.ids(1) == ["5"]
    works.publisher.finish_release("wx/in/wife", first)
    assert await works.ids(5) == ["5", "1", "2", "3", "4"]
    await works.all_settled()


async def test_the_end_of_a_message_that_was_not_held_any_more_lets_its_chat_go_on(works: Works):
    works.connect()
    works.link.takes = True
    works.publisher.start_release("wx/in/wife")
    await works.said("1", user="wife")
    await works.said("2", user="mom")
    assert await works.ids(1) == ["2"]
    works.publisher.finish_release(
        "wx/in/wife", await works.journal.media.release_message("nobody knows it", {})
    )
    assert await works.ids(2) == ["2", "1"]


@pytest.mark.parametrize("end", ["reconnect", "refusal"])
async def test_a_release_that_lasts_over_other_trouble_loses_nothing(works: Works, monkeypatch, end: str):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.05)
    works.connect()
    await works.said("1", user="wife")
    await works.held("2", "wife")
    await works.said("3", user="wife")
    (first,) = await works.link.came(1)
    works.publisher.start_release("wx/in/wife")
    if end == "reconnect":
        works.hang_up()
        works.connect()
    else:
        works.link.refuse(first)
        await works.link.until(lambda: works.publisher.refused_topics)
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while works.publisher.refused_topics:  # noqa: ASYNC110 - there is no event for the end of a pause
                await asyncio.sleep(0.01)
    works.link.takes = True
    works.publisher.finish_release("wx/in/wife", await works.journal.media.release_message("2", {}))
    assert await works.ids(4) == ["1", "1", "2", "3"]


async def test_a_refused_chat_stays_refused_when_its_message_is_released(works: Works, monkeypatch):
    monkeypatch.setattr(inflight, "REFUSED_RETRY_SECONDS", 0.05)
    works.connect()
    await works.said("1", user="wife")
    await works.held("2", "wife")
    await works.said("3", user="wife")
    (refused,) = await works.link.came(1)
    works.link.refuse(refused)
    await works.release("2", "wife")
    works.link.takes = True
    assert await works.ids(4) == ["1", "1", "2", "3"]


async def test_many_chats_with_many_held_messages_all_come_out_once_and_in_order(works: Works):
    dice = random.Random(7)
    works.connect()
    works.link.takes = True
    order: dict[str, list[str]] = defaultdict(list)
    held: list[tuple[str, str]] = []
    for number in range(300):
        user, key = dice.choice(["wife", "mom", "bob"]), f"{number}"
        order[user].append(key)
        if dice.random() < 0.4:
            await works.held(key, user)
            held.append((key, user))
        else:
            await works.said(key, user=user)
        while held and dice.random() < 0.45:
            await works.release(*held.pop(dice.randrange(len(held))))
    dice.shuffle(held)
    await asyncio.gather(*(works.release(*one) for one in held))
    await works.link.came(300)
    await works.all_settled()
    for user, keys in order.items():
        came = [one for one in works.link.sent if one.topic == f"wx/in/{user}"]
        assert [json.loads(one.payload)["id"] for one in came] == [f"id-{key}" for key in keys]


# what was just committed, handed over in memory


async def commit(works: Works, *topics: str, payload: bytes = b"0") -> OutboxBatch:
    """Commit one row for each topic; nobody is told."""
    rows = [
        NewPublication(topic=topic, payload=payload, category="state", content_type="") for topic in topics
    ]
    return await works.journal.outbox.add(rows)


async def caught_up(works: Works) -> None:
    """Until the publisher knows all that is in the journal."""
    works.link.takes = True
    works.connect()
    works.publisher.add(await commit(works, "begin"))
    await works.all_settled()
    await works.link.until(lambda: works.publisher._outbox.is_exhausted)


async def test_what_was_just_committed_goes_out_without_a_look_into_the_journal(works: Works):
    await caught_up(works)
    works.journal.troubles = ["list_waiting", "list_waiting_in_topic"]  # which a look would meet
    for number in range(5):
        works.publisher.add(await commit(works, "a", "b", payload=str(number).encode()))
    sent = (await works.link.came(11))[1:]
    assert [(one.topic, one.payload) for one in sent] == [
        (topic, str(number).encode()) for number in range(5) for topic in ("a", "b")
    ]
    await works.all_settled()
    assert works.journal.troubles == ["list_waiting", "list_waiting_in_topic"]


async def test_rows_of_several_commits_are_left_to_the_one_write_of_the_turn(works: Works):
    """Results of ten chats took ten writes."""
    await caught_up(works)
    works.link.flushed.clear()
    batches = [await commit(works, "a", "b"), await commit(works, "c")]
    for batch in batches:
        works.publisher.add(batch)
    assert works.link.topics[1:] == ["a", "b", "c"]
    assert works.link.flushed == []


async def test_what_has_no_free_slot_is_published_when_there_is_one(works: Works):
    await caught_up(works)
    works.link.takes = False
    works.publisher.add(await commit(works, *(f"{number}" for number in range(MAX_UNACKED_PUBLISHES + 5))))
    assert len(works.link.sent) == 1 + MAX_UNACKED_PUBLISHES
    works.link.take(*works.link.open[:5])
    await works.link.came(1 + MAX_UNACKED_PUBLISHES)
    works.link.takes = True
    works.link.take()
    await works.all_settled()
    assert works.link.topics[1:] == [f"{number}" for number in range(MAX_UNACKED_PUBLISHES + 5)]


async def test_messages_and_their_events_go_out_as_they_were_committed(works: Works):
    await caught_up(works)
    works.journal.troubles = ["list_waiting"]
    recorded = await works.journal.received.record(
        [message("1"), message("2")], NO_CHANGES, Cursor("2"), "login"
    )
    works.publisher.add(recorded.outbox)
    sent = (await works.link.came(3))[1:]
    stored = await works.journal.outbox.list_rejected()
    assert stored == []
    assert [json.loads(one.payload)["seq"] for one in sent] == [1, 2]
    assert works.journal.troubles == ["list_waiting"]


async def test_a_batch_that_nobody_handed_over_is_found_in_the_journal_when_the_next_one_comes(works: Works):
    """Its task was cancelled between commit and hand-over."""
    await caught_up(works)
    await commit(works, "a", payload=b"1")
    works.publisher.add(await commit(works, "a", payload=b"2"))
    assert [one.payload for one in (await works.link.came(3))[1:]] == [b"1", b"2"]
    await works.all_settled()


async def test_batches_that_come_in_the_wrong_order_go_out_in_that_of_their_commits(works: Works):
    await caught_up(works)
    first, second = await commit(works, "a", payload=b"1"), await commit(works, "a", payload=b"2")
    works.publisher.add(second)
    works.publisher.add(first)
    await works.all_settled()
    assert [one.payload for one in works.link.sent[1:]] == [b"1", b"2"]


async def test_more_than_memory_should_hold_waits_in_the_journal(works: Works, monkeypatch):
    monkeypatch.setattr(outbox_reader, "MAX_ROWS_IN_MEMORY", 3)
    await caught_up(works)
    works.link.takes = False
    assert works.link.connection is not None
    works.link.connection = replace(works.link.connection, receive_maximum=1)
    for number in range(9):
        works.publisher.add(await commit(works, "a", payload=str(number).encode()))
    await works.link.came(2)
    assert len(works.publisher._outbox.rows) <= 3
    works.link.takes = True
    works.link.take()
    await works.all_settled()
    assert [int(one.payload) for one in works.link.sent[1:]] == [*range(9)]


async def test_what_is_committed_behind_a_held_message_waits_with_it(works: Works):
    await caught_up(works)
    picture = replace(message("1", user="wife"), held=True, kind="image")
    batch = [message("0", user="wife"), picture, message("2", user="wife"), message("3", user="mom")]
    recorded = await works.journal.received.record(batch, NO_CHANGES, Cursor("3"), "login")
    works.publisher.add(recorded.outbox)
    assert (await works.ids_behind(1, 2)) == ["0", "3"]
    recorded = await works.journal.received.record(
        [message("4", user="wife")], NO_CHANGES, Cursor("4"), "login"
    )
    works.publisher.add(recorded.outbox)
    await works.release("1", "wife")
    assert (await works.ids_behind(1, 5)) == ["0", "3", "1", "2", "4"]
    await works.all_settled()


async def test_a_refused_topic_is_not_handed_over_and_catches_up(works: Works, monkeypatch):
    await caught_up(works)
    works.link.takes = False
    works.publisher.add(await commit(works, "a", payload=b"1"))
    works.link.refuse((await works.link.came(2))[1])
    works.publisher.add(await commit(works, "a", "b", payload=b"2"))
    await works.link.came(3)
    works.link.takes = True
    works.link.take()
    works.publisher._refused.retry("a")
    await works.all_settled()
    assert [(one.topic, one.payload) for one in works.link.sent[2:]] == [
        ("b", b"2"),
        ("a", b"1"),
        ("a", b"2"),
    ]


class StrictWorks(Works):
    topics = Topics("wx")


async def test_a_row_goes_to_a_topic_of_the_bridge_or_not_at_all(tmp_path: Path, monkeypatch):
    """Rows of a restored backup may name any topic; they would be published with the rights of the bridge."""
    monkeypatch.setattr(sys.modules[__name__], "Works", StrictWorks)
    async with working(tmp_path) as works:
        works.connect()
        foreign = [
            "zigbee2mqtt/front_door/set",
            "wx/out/wife",
            "wx/bridge/state",
            "homeassistant/lock/x/config",
        ]
        await works.publish(*foreign, category="message")
        await works.publish("wx/bridge/request/logout", category="result")
        await works.publish("homeassistant/lock/x/config", "other/in/wife", category="response")
        await works.publish("wx/in/wife", category="message")
        await works.publish("answers/of/mine", category="result")
        await works.link.until(lambda: len(works.link.sent) == 2)
        assert works.link.topics == ["wx/in/wife", "answers/of/mine"]
        works.link.take()
        await works.all_settled()
        aside = [(row.topic, why) for row, why in await works.journal.outbox.list_rejected(10)]
        assert aside == [(topic, "its topic is not one of the bridge's") for topic in foreign]
