"""The outbox keeps publications in order until each is published, rejected or dropped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.store.conftest import Clock
from tests.unit.store.make import event, message, publication, publish_all, record, topics, waiting_ids
from wx2mqtt.model import Json
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.outbox import DiscoveryRecord
from wx2mqtt.store.records import NewPublication, OutboxRow

ANNOUNCED = DiscoveryRecord(
    topics=("homeassistant/device/wx2mqtt_home/config", "ha/device/wx2mqtt_home/config"),
    components={"qr": "image", "to_wife": "notify"},
    ids={"wife": "wife", "老婆": "lao_po_0123ab", "\ud83d": "half"},
)


async def test_the_last_discovery_record_of_each_account_is_stored(
    database: Database, journal: Journal, work: Journal
) -> None:
    assert await journal.discovery.load() == DiscoveryRecord()
    await journal.discovery.save(DiscoveryRecord(topics=("a",)))
    await journal.discovery.save(ANNOUNCED)
    stored = await journal.discovery.load()
    assert (stored.topics, stored.components) == (ANNOUNCED.topics, ANNOUNCED.components)
    assert stored.ids["老婆"] == "lao_po_0123ab"
    for other in (work, Journal(database, "never opened")):
        assert await other.discovery.load() == DiscoveryRecord()


async def _record(journal: Journal, *users: str) -> list[int]:
    """Records one message for each user; returns the ids of their rows."""
    await record(journal, *(message(f"{n}-{user}", user=user) for n, user in enumerate(users)))
    return await waiting_ids(journal)


async def test_a_publication_is_read_as_it_was_added(journal: Journal, clock: Clock) -> None:
    fields: dict[str, Any] = {
        "topic": "a/b",
        "payload": bytes(range(256)),
        "category": "response",
        "content_type": "text/plain",
        "correlation": b"\0\xff",
        "expiry": 60,
    }
    await journal.outbox.add([NewPublication(**fields)])
    (row,) = await journal.outbox.list_waiting(0, 10)
    assert row == OutboxRow(id=row.id, created=clock.now, user="", **fields)


async def test_rows_come_in_pages(journal: Journal) -> None:
    ids = await _record(journal, *["wife"] * 7)
    pages, after = [], 0
    while rows := await journal.outbox.list_waiting(after, 3):
        pages.append([row.id for row in rows])
        after = rows[-1].id
    assert pages == [ids[:3], ids[3:6], ids[6:]]


async def test_rows_of_other_topics_are_listed_without_the_topics_to_skip(journal: Journal) -> None:
    first, second, _, fourth = await _record(journal, "wife", "bob", "wife", "eve")
    rows = await journal.outbox.list_waiting(0, 10, {"wx/in/wife"})
    assert [row.id for row in rows] == [second, fourth]
    assert (await journal.outbox.list_waiting(0, 10, []))[0].id == first


async def test_the_rows_of_a_topic_are_listed_up_to_a_given_row(journal: Journal) -> None:
    a, b, c, d = await _record(journal, "wife", "bob", "wife", "wife")
    assert [row.id for row in await journal.outbox.list_waiting_in_topic("wx/in/wife", 0, c, 10)] == [a, c]
    assert [row.id for row in await journal.outbox.list_waiting_in_topic("wx/in/wife", 0, d, 1)] == [a]
    assert [row.id for row in await journal.outbox.list_waiting_in_topic("wx/in/wife", a, d, 1)] == [c]
    assert [row.id for row in await journal.outbox.list_waiting_in_topic("wx/in/bob", 0, d, 10)] == [b]


async def test_a_published_row_does_not_wait_and_is_not_rejected_any_more(journal: Journal) -> None:
    a, b, c = await _record(journal, "wife", "bob", "eve")
    await journal.outbox.mark_published([a, c])
    assert await waiting_ids(journal) == [b]
    await journal.outbox.mark_published([a, 999_999])
    await journal.outbox.mark_rejected([a], "too large")
    assert await waiting_ids(journal) == [b]
    assert await journal.outbox.list_rejected() == []


async def test_rows_of_another_account_cannot_be_changed(journal: Journal, work: Journal) -> None:
    ids = await _record(journal, "wife")
    await work.outbox.mark_published(ids)
    await work.outbox.mark_rejected(ids, "no")
    assert await work.outbox.drop_topic("wx/in/wife", "no") == 0
    assert await waiting_ids(journal) == ids


async def test_a_rejected_row_does_not_wait_and_can_be_requeued_or_acknowledged_late(
    journal: Journal,
) -> None:
    a, b = await _record(journal, "wife", "bob")
    await journal.outbox.mark_rejected([a], "too large")
    assert await waiting_ids(journal) == [b]
    ((row, reason),) = await journal.outbox.list_rejected()
    assert (row.id, row.topic, reason) == (a, "wx/in/wife", "too large")
    assert await journal.outbox.requeue_rejected([a, b]) == 1
    assert await waiting_ids(journal) == [a, b]
    await journal.outbox.mark_rejected([a], "connection lost")
    await journal.outbox.mark_published([a])
    assert await journal.outbox.list_rejected() == []
    assert await waiting_ids(journal) == [b]


async def test_dropped_rows_of_a_topic_stay_counted(journal: Journal) -> None:
    _, b, _ = await _record(journal, "wife", "bob", "wife")
    assert await journal.outbox.drop_topic("wx/in/wife", "refused") == 2
    assert await journal.outbox.drop_topic("wx/in/wife", "refused") == 0
    assert await waiting_ids(journal) == [b]
    assert (await journal.stats()).dropped == 2


async def test_expired_rows_count_as_no_loss_and_are_pruned_like_published_ones(
    journal: Journal, clock: Clock
) -> None:
    """The id of a row is never given again: the publisher continues after the last one that it has read."""
    await journal.outbox.add([publication("a"), publication("b"), publication("c")])
    a, b, c = await waiting_ids(journal)
    await journal.outbox.mark_published([b])
    for _ in range(2):
        await journal.outbox.drop_expired([a, b])
        assert await waiting_ids(journal) == [c]
    stats = await journal.stats()
    assert (stats.dropped, stats.set_aside) == (0, 0)
    await journal.outbox.mark_published([c])
    clock.now += 10 * 86_400_000
    assert (await journal.retention.prune(clock.now, 0, 0)).publications == 3
    await journal.outbox.add([publication()])
    assert [row.id for row in await journal.outbox.list_waiting(c, 10)] == [c + 1]


@pytest.mark.parametrize("count", [0, 1, 200])
async def test_many_are_published_at_once(journal: Journal, count: int) -> None:
    await journal.outbox.add([publication(f"t/{number}") for number in range(count)])
    assert await topics(journal) == [f"t/{number}" for number in range(count)]
    await publish_all(journal)
    assert await waiting_ids(journal) == []


async def test_the_private_fields_of_an_event_are_found_by_its_name_and_id(journal: Journal) -> None:
    await record(journal, event("7", ticket="v2"), message("8"), event("9"))
    assert await journal.history.private_event_fields("recall", "7") == {"ticket": "v2"}
    assert await journal.history.private_event_fields("recall", "9") == {}
    for name, key in (("friend_request", "7"), ("recall", "8"), ("recall", "\ud800"), ("text", "8")):
        assert await journal.history.private_event_fields(name, key) is None


async def test_the_author_of_a_message_is_found_by_its_key(journal: Journal) -> None:
    senders: list[Json] = [{"user": "wife", "name": "老婆"}, {"name": "三姨"}]
    for number, sender in enumerate(senders):
        received = message(f"m{number}")
        await record(journal, replace(received, body={**received.body, "sender": sender}))
    await record(journal, message("m2"), event("e1"))
    assert [await journal.history.message_author(key) for key in ("m0", "m1", "m2", "e1", "x", "\ud800")] == [
        "wife",
        *[""] * 5,
    ]
