"""The window of unacknowledged publications, and the urgent ones that go first."""

from __future__ import annotations

import pytest

from tests.support.fake_broker import FakeBroker
from wx2mqtt.bridge.inflight import MAX_UNACKED_PUBLISHES, InflightWindow
from wx2mqtt.errors import NotConnected
from wx2mqtt.mqtt.broker import Publication


def publication(number: int) -> Publication:
    return Publication(topic=f"t/{number}", payload=b"")


def ignore_error(_error: Exception | None) -> None:
    """Ignores the outcome of a publication."""


@pytest.mark.parametrize(
    ("maximum", "room"),
    [(1, 1), (20, 20), (MAX_UNACKED_PUBLISHES, MAX_UNACKED_PUBLISHES), (65535, MAX_UNACKED_PUBLISHES)],
)
async def test_the_window_is_that_of_the_bridge_or_of_the_broker_whichever_is_smaller(maximum, room):
    broker = FakeBroker()
    window = InflightWindow(broker)
    assert window.free_slots == 0, "without a connection"
    broker.connect(receive_maximum=maximum)
    assert window.free_slots == room


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


async def test_what_is_urgent_fails_when_the_connection_goes_before_its_turn():
    """It is many: no answer may call the next publication by recursion."""
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
    window.publish(publication(1), ignore_error)
    broker.send_puback()
    assert window.free_slots == MAX_UNACKED_PUBLISHES
