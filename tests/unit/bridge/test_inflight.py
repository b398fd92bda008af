"""The window of unacknowledged publications, and the urgent ones that go first."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support.fake_broker import FakeBroker
from wx2mqtt.bridge.inflight import MAX_UNACKED_PUBLISHES, InflightWindow
from wx2mqtt.errors import ConnectionDropped, NotConnected
from wx2mqtt.mqtt.broker import Publication


def publication(number: int) -> Publication:
    return Publication(topic=f"t/{number}", payload=b"")


def ignore_error(_error: Exception | None) -> None:
    """Ignores the outcome of a publication."""


async def test_there_is_no_room_without_a_connection():
    assert InflightWindow(FakeBroker()).free_slots == 0


@pytest.mark.parametrize(
    ("maximum", "room"),
    [(1, 1), (20, 20), (MAX_UNACKED_PUBLISHES, MAX_UNACKED_PUBLISHES), (65535, MAX_UNACKED_PUBLISHES)],
)
async def test_the_window_is_that_of_the_bridge_or_of_the_broker_whichever_is_smaller(maximum, room):
    broker = FakeBroker()
    broker.connect(receive_maximum=maximum)
    assert InflightWindow(broker).free_slots == room


async def test_an_open_publication_takes_a_slot_until_it_is_answered_in_any_way():
    broker = FakeBroker()
    window = InflightWindow(broker)
    broker.connect(receive_maximum=10)
    errors: list[Exception | None] = []
    for number in range(4):
        window.publish(publication(number), errors.append)
    assert window.free_slots == 6
    broker.send_puback(broker.sent[1])
    broker.refuse(broker.sent[0])
    assert window.free_slots == 8
    broker.disconnect()
    assert window.free_slots == 0
    assert [type(error).__name__ for error in errors] == [
        "NoneType", "PublishRefused", "ConnectionDropped", "NotConnected",
    ]  # fmt: skip
    broker.connect(receive_maximum=10)
    window.publish(publication(4), errors.append)
    broker.send_puback()
    assert window.free_slots == 10


async def test_what_is_urgent_waits_for_room_and_leaves_none_to_others():
    broker = FakeBroker()
    window = InflightWindow(broker)
    broker.connect(receive_maximum=2)
    window.publish(publication(1), ignore_error)
    window.publish(publication(2), ignore_error)
    window.publish_first(publication(3), ignore_error)
    window.publish_first(publication(4), ignore_error)
    assert broker.topics == ["t/1", "t/2"]
    broker.send_puback(broker.sent[0])
    assert broker.topics == ["t/1", "t/2", "t/3"]
    assert window.free_slots == 0
    broker.send_puback(broker.sent[1], broker.sent[2])
    assert broker.topics == ["t/1", "t/2", "t/3", "t/4"]
    assert window.free_slots == 1
    assert broker.most_unacknowledged == 2


async def test_what_is_urgent_fails_when_the_connection_goes_before_its_turn():
    broker = FakeBroker()
    window = InflightWindow(broker)
    broker.connect(receive_maximum=1)
    errors: list[Exception | None] = []
    window.publish(publication(1), ignore_error)
    for number in range(2000):
        window.publish_first(publication(number), errors.append)
    broker.disconnect()
    assert len(errors) == 2000
    assert all(isinstance(error, NotConnected) for error in errors)
    broker.connect()
    assert window.free_slots == 1
    window.publish(publication(1), ignore_error)
    broker.send_puback()
    assert window.free_slots == MAX_UNACKED_PUBLISHES


async def test_an_answer_that_comes_at_once_is_counted_as_well():
    broker = FakeBroker(acknowledges_at_once=True)
    window = InflightWindow(broker)
    broker.connect()
    for number in range(300):
        window.publish(publication(number), ignore_error)
        window.publish_first(publication(number), ignore_error)
    assert window.free_slots == MAX_UNACKED_PUBLISHES


async def test_capacity_is_emitted_when_what_is_urgent_has_made_some():
    """Otherwise a broker that accepts one publication at a time would get only the retained topics."""
    broker = FakeBroker()
    window = InflightWindow(broker)
    notified: list[int] = []
    window.capacity.connect(lambda: notified.append(window.free_slots))
    broker.connect(receive_maximum=1)
    window.publish_first(publication(1), ignore_error)
    window.publish_first(publication(2), ignore_error)
    assert (window.free_slots, notified) == (0, [])
    broker.send_puback(broker.sent[0])
    assert (window.free_slots, notified) == (0, [])
    broker.send_puback(broker.sent[1])
    assert (window.free_slots, notified) == (1, [1])


async def test_only_the_oldest_gets_the_error_that_the_broker_disconnected_on_it():
    broker = FakeBroker()
    window = InflightWindow(broker)
    errors: list[tuple[int, Exception | None]] = []

    def record_error(number: int, error: Exception | None) -> None:
        errors.append((number, error))

    for _ in range(2):
        broker.connect()
        errors.clear()
        for number in (1, 2, 3):
            window.publish_first(publication(number), partial(record_error, number))
        broker.disconnect()
        assert [number for number, error in errors if isinstance(error, ConnectionDropped)] == [1]
        assert [number for number, _ in errors] == [1, 2, 3]
    window.publish(publication(4), partial(record_error, 4))
    assert type(errors[-1][1]) is NotConnected, "it was never sent"


async def test_after_a_broker_hung_up_twice_all_that_was_open_goes_one_by_one():
    """Only so the publication at which the broker disconnects is known: PUBACKs of others may be lost with it."""
    broker = FakeBroker()
    window = InflightWindow(broker)

    def connect() -> None:
        broker.connect()
        for number in range(5):
            window.publish_first(publication(number), ignore_error)

    connect()
    assert len(broker.unacknowledged) == 5
    broker.disconnect()
    connect()
    assert len(broker.unacknowledged) == 1
    broker.send_puback()
    assert len(broker.unacknowledged) == 4, "it was no fault of the first one"
    broker.disconnect()
    connect()
    for _ in range(4):
        assert len(broker.unacknowledged) == 1
        broker.send_puback()
    assert len(broker.unacknowledged) == 1
    broker.send_puback()
    assert window.free_slots == MAX_UNACKED_PUBLISHES
