"""What is stored reaches the broker, in the order of each topic, whatever the broker and the store do."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import WIFE
from wx2mqtt.bridge import outbox_rows
from wx2mqtt.bridge.inflight import (
    MAX_UNACKED_PUBLISHES,
    REFUSAL_DISCONNECT_SECONDS,
    REFUSED_RETRY_SECONDS,
)
from wx2mqtt.bridge.outbox_rows import MAX_REPEATED_MESSAGES, READ_BATCH_ROWS
from wx2mqtt.bridge.publisher import REFUSED_GIVE_UP_SECONDS
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Kind, MediaRef
from wx2mqtt.mqtt.broker import Publication
from wx2mqtt.store.mapped_files import MAX_PUBACK_RECORDS, PubackLog
from wx2mqtt.store.records import NewPublication

A, B = "wx/event/a", "wx/event/b"
QUOTA_EXCEEDED = 0x97


class Numbers:
    """Publishes rows whose payload is their number."""

    def __init__(self, bridge: BridgedAccount) -> None:
        self.bridge = bridge
        self._last = 0

    async def publish(self, *topics: str, **more: Any) -> None:
        for topic in topics:
            self._last += 1
            await self.bridge.publish(topic, payload=b"%d" % self._last, **more)
        await self.bridge.pass_time(0.1)

    def on(self, *topics: str) -> list[int]:
        """Returns the numbers on these topics in the order in which they came."""
        return [int(sent.payload) for sent in self.bridge.broker.sent if sent.topic in (topics or (A, B))]


@pytest.fixture
def numbers(bridge: BridgedAccount) -> Numbers:
    return Numbers(bridge)


def unacknowledged(bridge: BridgedAccount, *topics: str) -> list[Any]:
    return [sent for sent in bridge.broker.unacknowledged if sent.topic in (topics or (A, B))]


def deliver_messages(bridge: BridgedAccount, count: int, first: int = 0) -> None:
    bridge.backend.deliver(*(bridge.backend.message(WIFE, f"{first + number}") for number in range(count)))


def message_numbers(bridge: BridgedAccount) -> list[int]:
    return [int(body["text"]) for body in bridge.published("wx/in/老婆")]


def without_repeats(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


async def reconnect(bridge: BridgedAccount, **grants: Any) -> None:
    bridge.broker.disconnect()
    await bridge.broker.connect(**grants)
    await bridge.pass_time(1)


# The order, and the end


async def test_what_is_committed_is_published_once_in_its_order(bridge: BridgedAccount, numbers: Numbers):
    bridge.broker.holds_pubacks = True
    published = bridge.account.counters.published
    await numbers.publish(A, B, A, B, A)
    assert numbers.on() == [1, 2, 3, 4, 5]
    bridge.broker.send_puback(*reversed(bridge.broker.unacknowledged))
    await bridge.wait_until_published()
    await reconnect(bridge)
    assert numbers.on() == [1, 2, 3, 4, 5]
    assert bridge.account.counters.published == published + 5


async def test_a_publication_has_all_that_belongs_to_it(bridge: BridgedAccount):
    await bridge.publish(A, payload=b"x", correlation=b"\0c", expiry=60, content_type="text/plain")
    await bridge.pass_time(0.1)
    (sent,) = bridge.sent(A)
    assert sent.publication == Publication(
        topic=A, payload=b"x", correlation=b"\0c", expiry=60, content_type="text/plain"
    )


async def test_what_is_just_committed_is_published_without_a_read_and_with_one_write(bridge: BridgedAccount):
    """Once the results of ten chats took ten writes."""
    await bridge.publish(A)
    await bridge.wait_until_published()
    bridge.fail_store("read")  # which a read would meet
    bridge.broker.counts_at_flush.clear()
    sent = len(bridge.broker.sent)
    for _ in range(3):
        await bridge.publish(A, B)
    assert (bridge.broker.topics[sent:], bridge.broker.counts_at_flush) == ([A, B] * 3, [])
    with pytest.raises(StoreError):
        await bridge.rows("SELECT 1")
    bridge.backend.write(WIFE)
    await bridge.wait_until(lambda: bridge.sent("wx/last"))
    assert bridge.broker.topics[sent + 6 :] == ["wx/in/老婆", "wx/last"]
    assert bridge.broker.counts_at_flush == [sent + 8]


@pytest.mark.parametrize("handed_over", [(1,), (1, 0)], ids=["a batch is lost", "in the wrong order"])
async def test_batches_that_are_not_handed_over_in_order_are_published_in_order(
    bridge: BridgedAccount, handed_over: tuple[int, ...]
):
    """The task that has committed a batch may be cancelled before it hands it over."""
    ctx = bridge.account.ctx
    rows = [
        NewPublication(topic=A, payload=payload, category="event", content_type="")
        for payload in (b"1", b"2")
    ]
    batches = [await ctx.journal.outbox.add([row]) for row in rows]
    for number in handed_over:
        ctx.signals.outbox_changed.emit(batches[number])
    await bridge.wait_until_published()
    assert [sent.payload for sent in bridge.sent(A)] == [b"1", b"2"]


async def test_what_does_not_fit_into_memory_waits_in_the_store(
    bridge: BridgedAccount, numbers: Numbers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_rows, "MAX_ROWS_IN_MEMORY", 3)
    bridge.broker.holds_pubacks = True
    await numbers.publish(*[A] * (2 * MAX_UNACKED_PUBLISHES))
    assert len(bridge.account.components.publisher.outbox.rows) <= 3
    bridge.broker.holds_pubacks = False
    bridge.broker.send_puback()
    await bridge.wait_until_published()
    assert numbers.on() == [*range(1, 2 * MAX_UNACKED_PUBLISHES + 1)]


# Expiry


async def test_a_late_publication_has_the_rest_of_its_expiry(bridge: BridgedAccount):
    bridge.broker.disconnect()
    await bridge.publish(A, expiry=60)
    await bridge.pass_time(45.5)
    bridge.set_clock(3600)
    await bridge.publish(A, expiry=60)
    bridge.set_clock(-3600)
    await bridge.broker.connect()
    await bridge.pass_time(1)
    waited, of_later = (sent.publication.expiry for sent in bridge.sent(A))
    assert waited in (14, 15)
    assert of_later == 60, "the time of day was put back since"


async def test_what_is_older_than_its_expiry_is_dropped_and_nothing_else(
    bridge: BridgedAccount, numbers: Numbers
):
    bridge.broker.holds_pubacks = True
    await numbers.publish(A, expiry=60)  # the broker does not acknowledge it
    bridge.broker.disconnect()
    await numbers.publish(B)
    await numbers.publish(*[A] * (READ_BATCH_ROWS + 10), expiry=60)
    await bridge.pass_time(61)
    await numbers.publish(A, expiry=60)
    bridge.broker.holds_pubacks = False
    await bridge.broker.connect()
    await bridge.wait_until_published()
    assert numbers.on() == [1, 2, READ_BATCH_ROWS + 13]
    queues: Any = (await bridge.account.health())["queues"]
    assert (queues["dropped"], queues["set_aside"]) == (0, 0), "neither is a loss that somebody must hear of"


# How much is open, and what a kill repeats


async def test_no_more_is_open_than_the_broker_allows(bridge: BridgedAccount, numbers: Numbers):
    bridge.broker.holds_pubacks = True
    bridge.broker.disconnect()
    bridge.broker.most_unacknowledged = 0
    await bridge.broker.connect(receive_maximum=3)
    await numbers.publish(*[A] * 30)
    while bridge.broker.unacknowledged:
        bridge.broker.send_puback(bridge.broker.unacknowledged[0])
        await bridge.pass_time(0.1)
    assert bridge.broker.most_unacknowledged == 3
    assert numbers.on() == list(range(1, 31))


async def test_no_more_is_open_or_unsettled_than_the_window(bridge: BridgedAccount, numbers: Numbers):
    """A crash repeats what the broker has and the store does not know of."""
    bridge.broker.holds_pubacks = True
    await numbers.publish(*[A] * (3 * MAX_UNACKED_PUBLISHES))
    assert len(numbers.on()) == MAX_UNACKED_PUBLISHES
    held = bridge.hold_store("published")
    bridge.broker.holds_pubacks = False
    bridge.broker.send_puback()
    await bridge.pass_time(1)
    assert len(numbers.on()) == MAX_UNACKED_PUBLISHES
    held.set_result(None)
    await bridge.wait_until_published()
    assert numbers.on() == list(range(1, 3 * MAX_UNACKED_PUBLISHES + 1))


async def use_puback_log(bridge: BridgedAccount, path: Path) -> None:
    await bridge.kill()
    bridge.puback_path = path
    await bridge.restart()


@pytest.mark.parametrize("path", [None, Path("missing/pubacks")], ids=["no log", "a log that fails"])
async def test_a_kill_repeats_at_most_20_messages(bridge: BridgedAccount, store_folder: Path, path):
    """However wide the window is; results do not count among them."""
    if path is not None:
        await use_puback_log(bridge, store_folder / path)
    bridge.broker.holds_pubacks = True
    held = bridge.hold_store("published")
    deliver_messages(bridge, 60)
    await bridge.next("wx/in/老婆")
    bridge.broker.holds_pubacks = False
    bridge.broker.send_puback()
    await bridge.pass_time(1)
    assert len(message_numbers(bridge)) == MAX_REPEATED_MESSAGES == 20
    held.set_result(None)
    await bridge.wait_until_published()
    assert message_numbers(bridge) == list(range(60))


async def test_results_do_not_count_among_the_messages_that_may_repeat(
    bridge: BridgedAccount, numbers: Numbers
):
    bridge.broker.holds_pubacks = True
    deliver_messages(bridge, 10)
    await bridge.next("wx/in/老婆")
    await numbers.publish(*[A] * 60)
    assert (len(message_numbers(bridge)), len(numbers.on())) == (10, 60)


async def test_logged_pubacks_let_messages_go_on_before_the_store_knows_them(
    bridge: BridgedAccount, store_folder: Path
):
    await use_puback_log(bridge, store_folder / "pubacks")
    await bridge.pass_time(2)
    bridge.broker.most_unacknowledged = 0
    bridge.broker.holds_pubacks = True
    held = bridge.hold_store("published")
    deliver_messages(bridge, 2 * MAX_PUBACK_RECORDS)
    await bridge.next("wx/in/老婆")
    assert len(message_numbers(bridge)) == MAX_REPEATED_MESSAGES
    bridge.broker.holds_pubacks = False
    bridge.broker.send_puback()
    await bridge.pass_time(1)
    assert MAX_PUBACK_RECORDS - 5 <= len(message_numbers(bridge)) <= MAX_PUBACK_RECORDS
    assert bridge.broker.most_unacknowledged <= MAX_REPEATED_MESSAGES + 1, "with the topic `last`"
    held.set_result(None)
    await bridge.wait_until_published()
    assert message_numbers(bridge) == list(range(2 * MAX_PUBACK_RECORDS))


async def test_after_a_kill_only_messages_without_a_logged_puback_come_again(
    bridge: BridgedAccount, store_folder: Path
):
    log = store_folder / "pubacks"
    await use_puback_log(bridge, log)
    bridge.broker.holds_pubacks = True
    bridge.hold_store("published")
    deliver_messages(bridge, 5)
    await bridge.next("wx/in/老婆")
    bridge.broker.send_puback(*unacknowledged(bridge, "wx/in/老婆")[1:4])
    await bridge.pass_time(1)
    await bridge.kill()
    await bridge.restart()
    await bridge.wait_until_published()
    assert message_numbers(bridge) == [0, 4]
    assert not PubackLog(log, bridge.account.ctx.journal.stream).earlier


async def test_a_puback_of_a_row_that_the_disk_has_lost_does_not_count_for_a_later_row(
    bridge: BridgedAccount, store_folder: Path
):
    """Some disks lose reported commits in a power cut; the ids of the lost rows are used again."""
    bridge.broker.holds_pubacks = True
    deliver_messages(bridge, 2)
    await bridge.next("wx/in/老婆")
    await bridge.kill()
    first, second = await bridge.account.ctx.journal.outbox.list_waiting(0, 10)
    log = PubackLog(store_folder / "pubacks", bridge.account.ctx.journal.stream)
    log.add(first.id, first.created)
    log.add(second.id, second.created - 5000)
    log.add(second.id + 1, second.created)
    bridge.puback_path = store_folder / "pubacks"
    await bridge.restart()
    await bridge.wait_until_published()
    assert message_numbers(bridge) == [1]


async def test_one_commit_stores_the_pubacks_of_a_whole_window_of_messages(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_rows, "ACK_GATHER_SECONDS", 3600.0)
    bridge.broker.holds_pubacks = True
    await bridge.pass_time(1)
    before = bridge.store_jobs["published"]
    deliver_messages(bridge, 3 * MAX_REPEATED_MESSAGES)
    for window in range(1, 4):
        await bridge.pass_time(0.1)
        assert len(message_numbers(bridge)) == window * MAX_REPEATED_MESSAGES
        for sent in tuple(bridge.broker.unacknowledged):
            bridge.broker.send_puback(sent)
            await bridge.pass_time(0)
    await bridge.pass_time(0.1)
    assert bridge.store_jobs["published"] - before == 3
    half = MAX_UNACKED_PUBLISHES // 2
    for number in range(half):
        await bridge.publish(A)
        assert bridge.store_jobs["published"] - before == 3
        bridge.broker.send_puback(*unacknowledged(bridge, A))
        if number < half - 1:
            await bridge.pass_time(0.1)
    await bridge.pass_time(0.1)
    assert bridge.store_jobs["published"] - before == 4, "half a window of others"


async def test_what_is_acknowledged_during_a_commit_waits_for_the_rest_of_its_window(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox_rows, "ACK_GATHER_SECONDS", 3600.0)
    before = bridge.store_jobs["published"]
    held = bridge.hold_store("published")
    deliver_messages(bridge, MAX_REPEATED_MESSAGES - 1)
    await bridge.pass_time(0.1)
    deliver_messages(bridge, 1, first=MAX_REPEATED_MESSAGES - 1)
    await bridge.pass_time(0.1)
    held.set_result(None)
    await bridge.pass_time(0.1)
    deliver_messages(bridge, MAX_REPEATED_MESSAGES - 1, first=MAX_REPEATED_MESSAGES)
    await bridge.wait_until_published()
    assert bridge.store_jobs["published"] - before == 2


# Connections that end


async def test_after_a_disconnect_all_that_was_not_acknowledged_is_published_again_in_order(
    bridge: BridgedAccount, numbers: Numbers
):
    bridge.broker.holds_pubacks = True
    await numbers.publish(A, B, A, B, A)
    first, _, _, fourth, _ = unacknowledged(bridge)
    bridge.broker.send_puback(first, fourth)
    bridge.broker.holds_pubacks = False
    await reconnect(bridge)
    await bridge.wait_until_published()
    assert (numbers.on(A), numbers.on(B)) == ([1, 3, 5, 3, 5], [2, 4, 2])


async def test_what_is_settled_while_a_connection_begins_is_not_published_again(
    bridge: BridgedAccount, numbers: Numbers
):
    bridge.broker.holds_pubacks = True
    await numbers.publish(A, B)
    _, second = unacknowledged(bridge)
    held = bridge.hold_store("published")
    bridge.broker.send_puback(second)
    await bridge.pass_time(0.1)
    bridge.broker.holds_pubacks = False
    read = bridge.hold_store("read")
    bridge.broker.disconnect()
    await bridge.broker.connect(receive_maximum=1)
    await bridge.pass_time(0.1)
    held.set_result(None)
    read.set_result(None)
    await bridge.wait_until_published()
    assert numbers.on() == [1, 2, 1]


async def test_a_connection_that_begins_while_rows_are_read_begins_anew(
    bridge: BridgedAccount, numbers: Numbers
):
    bridge.broker.disconnect()
    await numbers.publish(A, B, A)
    read = bridge.hold_store("read")
    bridge.broker.holds_pubacks = True
    await bridge.broker.connect()
    await bridge.pass_time(0.1)
    await reconnect(bridge)
    read.set_result(None)
    await bridge.pass_time(1)
    bridge.broker.holds_pubacks = False
    bridge.broker.send_puback()
    await bridge.wait_until_published()
    assert (without_repeats(numbers.on(A)), without_repeats(numbers.on(B))) == ([1, 3], [2])


async def test_a_store_that_fails_delays_and_loses_nothing(bridge: BridgedAccount, numbers: Numbers):
    bridge.broker.disconnect()
    await numbers.publish(A, A, B)
    bridge.fail_store("read", "read", "published", "published")
    await bridge.broker.connect()
    await bridge.pass_time(30)
    await bridge.wait_until_published()
    assert numbers.on() == [1, 2, 3]


# Topics that the broker refuses


async def test_a_refused_topic_waits_and_the_others_go_on(bridge: BridgedAccount, numbers: Numbers):
    bridge.broker.refusals = {A}
    await numbers.publish(A, B, A, B)
    assert (numbers.on(A), numbers.on(B)) == ([1], [2, 4])
    assert "broker_refuses_topics" in (await bridge.account.health())["problems"]  # type: ignore[operator]
    await bridge.pass_time(REFUSED_RETRY_SECONDS)
    await numbers.publish(A, B)
    assert (numbers.on(A), numbers.on(B)) == ([1, 1], [2, 4, 6]), "it is refused again"
    bridge.broker.refusals = set()
    bridge.fail_store("read")
    await bridge.pass_time(REFUSED_RETRY_SECONDS)
    await bridge.wait_until_published()
    assert numbers.on(A) == [1, 1, 1, 3, 5]
    await numbers.publish(A, B)
    assert (numbers.on(A)[-1], numbers.on(B)[-1]) == (7, 8)
    health: Any = await bridge.account.health()
    assert health["broker"]["refused_topics"] == []


async def test_a_topic_whose_pause_ends_while_rows_are_read_is_not_left_out(
    bridge: BridgedAccount, numbers: Numbers
):
    bridge.broker.refusals = {A}
    await numbers.publish(A)
    await bridge.pass_time(REFUSED_RETRY_SECONDS - 1)
    bridge.broker.refusals = set()
    bridge.broker.disconnect()
    await numbers.publish(A, B, A)
    read = bridge.hold_store("read")
    await bridge.broker.connect()
    await bridge.pass_time(3)
    read.set_result(None)
    await bridge.wait_until_published()
    assert numbers.on(A) == [1, 1, 2, 4]


@pytest.mark.parametrize(
    ("seconds", "attempts"), [(0, 1), (REFUSAL_DISCONNECT_SECONDS + 1, 2)], ids=["at once", "long before"]
)
async def test_a_new_connection_tries_what_was_refused_only_long_before(
    bridge: BridgedAccount, numbers: Numbers, seconds: float, attempts: int
):
    """mosquitto with `max_queued_messages 0` hangs up after each refusal; others were rejected for it once."""
    bridge.broker.refusals = {A, "wx/last"}
    await numbers.publish(A)
    bridge.backend.write(WIFE)
    await bridge.pass_time(seconds)
    bridge.broker.holds_pubacks = True
    await numbers.publish(B)
    bridge.broker.holds_pubacks = False
    await reconnect(bridge)
    assert (len(numbers.on(A)), len(bridge.sent("wx/last"))) == (attempts, attempts)
    assert numbers.on(B) == [2, 2]
    assert bridge.account.components.publisher.rejected_count == 0


@pytest.mark.parametrize("category", ["result", "response"])
async def test_what_is_refused_on_a_response_topic_is_given_up(
    bridge: BridgedAccount, numbers: Numbers, category: str
):
    """Whoever may publish can name any number of topics that the broker refuses."""
    bridge.broker.refusals = {"their/topic", "wx/result/wife"}
    await numbers.publish("their/topic", "wx/result/wife", "their/topic", category=category)
    await bridge.pass_time(1)
    assert numbers.on("their/topic", "wx/result/wife") == [1, 2, 3]
    health: Any = await bridge.account.health()
    assert (health["broker"]["refused_topics"], health["queues"]["to_mqtt"]["depth"]) == (
        ["wx/result/wife"],
        1,
    )


async def test_what_a_response_topic_cannot_get_now_waits(bridge: BridgedAccount, numbers: Numbers):
    bridge.broker.holds_pubacks = True
    await numbers.publish("their/topic", category="result")
    bridge.broker.refuse(*unacknowledged(bridge, "their/topic"), code=QUOTA_EXCEEDED)
    bridge.broker.holds_pubacks = False
    await numbers.publish("their/topic", category="result")
    assert numbers.on("their/topic") == [1]
    await bridge.pass_time(REFUSED_RETRY_SECONDS + 1)
    assert numbers.on("their/topic") == [1, 1, 2]


async def test_a_topic_that_was_refused_for_a_week_is_dropped_with_an_event(
    bridge: BridgedAccount, numbers: Numbers
):
    bridge.set_clock(-100 * REFUSED_GIVE_UP_SECONDS)
    await numbers.publish(A)
    bridge.set_clock(100 * REFUSED_GIVE_UP_SECONDS)
    bridge.broker.refusals = {A}
    await numbers.publish(A)
    await bridge.pass_time(1)
    assert bridge.published("wx/event/dropped") == [], "it is old, since the clock was wrong"
    bridge.skip_time(REFUSED_GIVE_UP_SECONDS - 300)
    await bridge.pass_time(1)
    bridge.broker.refusals = set()
    await bridge.pass_time(REFUSED_RETRY_SECONDS)
    assert numbers.on(A)[-1] == 2, "it is taken between, so that its week begins anew"
    bridge.broker.refusals = {A}
    await numbers.publish(A, A)
    bridge.skip_time(REFUSED_GIVE_UP_SECONDS + 1)
    event = await bridge.event("dropped")
    assert (event["topic"], event["count"]) == (A, 2)
    bridge.broker.refusals = set()
    await numbers.publish(A)
    await bridge.wait_until_published()
    assert numbers.on(A)[-1] == 5


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_the_broker_does_each_topic_keeps_its_order_and_nothing_is_lost(
    bridge: BridgedAccount, numbers: Numbers, seed: int
):
    rng, broker = random.Random(seed), bridge.broker
    window = rng.choice([1, 3, 100])
    broker.holds_pubacks = True
    committed: dict[str, list[int]] = defaultdict(list)
    number = 0
    for _ in range(150):
        answerable = unacknowledged(bridge)
        match rng.choice(["publish", "take", "take", "refuse", "flap", "wait"]):
            case "publish":
                for topic in [rng.choice([A, B]) for _ in range(rng.randint(1, 6))]:
                    number += 1
                    committed[topic].append(number)
                    await numbers.publish(topic)
            case "take" if answerable:
                broker.send_puback(rng.choice(answerable))
            case "refuse" if answerable:
                broker.refuse(rng.choice(answerable))
            case "flap" if rng.random() < 0.3:
                if broker.connection is not None:
                    broker.disconnect()
                else:
                    await broker.connect(receive_maximum=window)
            case _:
                broker.send_puback(*(sent for sent in broker.unacknowledged if sent not in answerable))
                await bridge.pass_time(rng.choice([0, 1, REFUSED_RETRY_SECONDS]))
    if broker.connection is not None:
        broker.disconnect()
    broker.holds_pubacks = False
    await broker.connect(receive_maximum=100)
    await bridge.wait_until_published()
    aside = {int(row.payload) for row, _ in await bridge.account.ctx.journal.outbox.list_rejected()}
    for topic, expected in committed.items():
        sent = numbers.on(topic)
        assert without_repeats(sent) == [number for number in expected if number in sent]
        assert set(sent) | aside == set(expected) | aside


# What the broker takes in no form


@pytest.mark.parametrize("limit", [1000, None], ids=["a limit that is said", "a limit that is not said"])
async def test_a_message_that_is_too_large_is_cut_and_its_chat_goes_on(
    bridge: BridgedAccount, limit: int | None
):
    await reconnect(bridge, packet_limit=limit)
    bridge.broker.holds_pubacks = True
    bridge.backend.write(WIFE, "长" * 3000)
    bridge.backend.write(WIFE, "short")
    await bridge.pass_time(0.1)
    large, small = unacknowledged(bridge, "wx/in/老婆")
    for _ in range(10):
        bridge.broker.refuse(large, too_large=True)
        _, large = unacknowledged(bridge, "wx/in/老婆")
        if len(large.payload) <= 1000:
            break
    whole, body = bridge.published("wx/in/老婆")[0], json.loads(large.payload)
    assert len(large.payload) <= 1000
    assert (body["truncated"], whole["text"].startswith(body["text"])) == (True, True)
    assert len(body["text"]) > 50
    assert (body["id"], body["seq"], body["user"]) == (whole["id"], whole["seq"], whole["user"])
    bridge.broker.disconnect()
    bridge.broker.holds_pubacks = False
    await bridge.broker.connect(packet_limit=None)
    await bridge.wait_until_published()
    assert bridge.published("wx/in/老婆")[-2] == whole, "another connection may take it whole"
    assert small.payload == bridge.sent("wx/in/老婆")[-1].payload


async def rejected(bridge: BridgedAccount) -> list[tuple[str, str]]:
    await bridge.wait_until_published()
    rows = await bridge.account.ctx.journal.outbox.list_rejected()
    assert bridge.account.components.publisher.rejected_count == len(rows)
    return [(row.topic, why) for row, why in rows]


@pytest.mark.parametrize("category", ["result", "response", "event"])
async def test_what_cannot_be_cut_is_set_aside_and_its_topic_goes_on(
    bridge: BridgedAccount, numbers: Numbers, category: str
):
    await reconnect(bridge, packet_limit=1000)
    bridge.broker.holds_pubacks = True
    await bridge.publish(A, payload=b"1" * 2000, category=category)
    await numbers.publish(A)
    large, _ = unacknowledged(bridge)
    bridge.broker.refuse(large, too_large=True)
    bridge.broker.holds_pubacks = False
    bridge.broker.send_puback()
    assert await rejected(bridge) == [(A, "larger than the broker takes")]
    assert (await bridge.account.health())["problems"] == ["messages_set_aside"]
    outbox = bridge.account.ctx.journal.outbox
    ((row, _),) = await outbox.list_rejected()
    assert await outbox.requeue_rejected([row.id]) == 1
    await reconnect(bridge)
    await bridge.wait_until_published()
    assert bridge.sent(A)[-1].payload == large.payload


async def hang_up(bridge: BridgedAccount, poison: str) -> bool:
    """Acknowledges what comes, and hangs up on the topic `poison`; returns whether it came."""
    bridge.broker.holds_pubacks = True
    if bridge.broker.connection is None:
        await bridge.broker.connect()
    for _ in range(100):
        await bridge.pass_time(0.1)
        if not bridge.broker.unacknowledged:
            return False
        oldest = bridge.broker.unacknowledged[0]
        if oldest.topic == poison:
            bridge.broker.disconnect()
            return True
        bridge.broker.send_puback(oldest)
    raise AssertionError("there is no end")


HUNG_UP = "the broker hung up on it 3 times in a row"


async def test_what_the_broker_hangs_up_on_three_times_is_set_aside_and_nothing_else(
    bridge: BridgedAccount, numbers: Numbers
):
    bridge.broker.disconnect()
    await numbers.publish(A, B, A, A)
    assert [await hang_up(bridge, B) for _ in range(4)] == [True, True, True, False]
    assert await rejected(bridge) == [(B, HUNG_UP)]
    assert without_repeats(numbers.on(A)) == [1, 3, 4]


async def test_a_message_on_which_the_broker_hangs_up_loses_the_bytes_in_it_first(open_bridge: OpenBridge):
    """With MQTT 3.1.1 a broker cannot say that a message is too large; once such a message was rejected."""
    bridge = await open_bridge(media={"inline_below": 1000})
    bridge.backend.files["1"] = b"GIF89a"
    bridge.broker.disconnect()
    bridge.backend.write(WIFE, "[图片]", **picture("1"))
    await bridge.pass_time(1)
    assert [await hang_up(bridge, "wx/in/老婆") for _ in range(7)] == [True] * 6 + [False]
    first, *_, last = bridge.published("wx/in/老婆")
    data = first["image"].pop("data")
    assert (last, data) == ({**first, "truncated": True}, "R0lGODlh")
    assert await rejected(bridge) == [("wx/in/老婆", HUNG_UP)]


def picture(name: str) -> dict[str, Any]:
    return {"kind": Kind.IMAGE, "media": MediaRef(locator={"id": name})}


async def test_disconnects_with_progress_or_without_a_connection_set_nothing_aside(
    bridge: BridgedAccount, numbers: Numbers
):
    bridge.broker.disconnect()
    await numbers.publish(*[A] * 12)
    for _ in range(10):
        bridge.broker.holds_pubacks = False
        await bridge.broker.connect()
        bridge.broker.holds_pubacks = True
        await bridge.pass_time(0.1)
        for sent in unacknowledged(bridge)[:1]:
            bridge.broker.send_puback(sent)
        await bridge.pass_time(0.1)
        for _ in range(3):
            bridge.broker.disconnect()
    bridge.broker.holds_pubacks = False
    await bridge.broker.connect()
    assert await rejected(bridge) == []
    assert without_repeats(numbers.on(A)) == list(range(1, 13))


async def test_a_row_of_a_foreign_topic_is_published_nowhere(open_bridge: OpenBridge):
    """Rows of a restored backup may name any topic; they would be published with the rights of the bridge."""
    foreign = ["zigbee2mqtt/front_door/set", "wx/out/wife", "wx/bridge/state", "homeassistant/lock/x/config"]
    bridge = await open_bridge(base_topics=("wx", "other"))
    sent = len(bridge.broker.sent)
    await bridge.publish(*foreign, category="message")
    await bridge.publish("wx/bridge/request/logout", category="result")
    await bridge.publish("homeassistant/lock/x/config", "other/in/wife", category="response")
    await bridge.publish("wx/in/wife", category="message")
    await bridge.publish("answers/of/mine", category="result")
    assert await rejected(bridge) == [(topic, "its topic is not one of the bridge's") for topic in foreign]
    published = [topic for topic in bridge.broker.topics[sent:] if not topic.startswith("wx/bridge/")]
    assert published == ["wx/in/wife", "answers/of/mine"]
