"""The window towards the broker, and what goes first in it."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support.paper_link import PaperLink
from wx2mqtt.bridge.inflight import MAX_UNACKED_PUBLISHES, InflightWindow
from wx2mqtt.errors import ConnectionDropped, NotConnected
from wx2mqtt.mqtt.broker import Publication


def publication(number: int) -> Publication:
    return Publication(topic=f"t/{number}", payload=b"")


def nothing(_error: Exception | None) -> None:
    """Nobody listens."""


async def test_there_is_no_room_without_a_connection():
    assert InflightWindow(PaperLink()).free_slots == 0


@pytest.mark.parametrize(
    ("maximum", "room"),
    [(1, 1), (20, 20), (MAX_UNACKED_PUBLISHES, MAX_UNACKED_PUBLISHES), (65535, MAX_UNACKED_PUBLISHES)],
)
async def test_the_window_is_ours_or_the_brokers_whichever_is_smaller(maximum, room):
    link = PaperLink()
    link.connect(receive_maximum=maximum)
    assert InflightWindow(link).free_slots == room


async def test_what_is_open_takes_room_until_it_is_answered_in_whatever_way():
    link = PaperLink()
    outlet = InflightWindow(link)
    link.connect(receive_maximum=10)
    heard: list[Exception | None] = []
    for number in range(4):
        outlet.publish(publication(number), heard.append)
    assert (outlet.free_slots, outlet.unacknowledged_count) == (6, 4)
    link.take(link.sent[1])
    link.refuse(link.sent[0])
    assert (outlet.free_slots, outlet.unacknowledged_count) == (8, 2)
    link.hang_up()
    assert (outlet.free_slots, outlet.unacknowledged_count) == (0, 0)
    assert [type(error).__name__ for error in heard] == [
        "NoneType", "PublishRefused", "ConnectionDropped", "NotConnected",
    ]  # fmt: skip


async def test_what_is_urgent_waits_for_room_and_leaves_none_to_others():
    link = PaperLink()
    outlet = InflightWindow(link)
    link.connect(receive_maximum=2)
    outlet.publish(publication(1), nothing)
    outlet.publish(publication(2), nothing)
    outlet.publish_first(publication(3), nothing)
    outlet.publish_first(publication(4), nothing)
    assert link.topics == ["t/1", "t/2"]
    link.take(link.sent[0])
    assert link.topics == ["t/1", "t/2", "t/3"]
    assert outlet.free_slots == 0
    link.take(link.sent[1], link.sent[2])
    assert link.topics == ["t/1", "t/2", "t/3", "t/4"]
    assert outlet.free_slots == 1
    assert link.most_open == 2


async def test_what_is_urgent_is_told_when_the_connection_goes_before_its_turn():
    link = PaperLink()
    outlet = InflightWindow(link)
    link.connect(receive_maximum=1)
    heard: list[Exception | None] = []
    outlet.publish(publication(1), nothing)
    for number in range(2000):
        outlet.publish_first(publication(number), heard.append)
    link.hang_up()
    assert len(heard) == 2000
    assert all(isinstance(error, NotConnected) for error in heard)
    assert outlet.unacknowledged_count == 0
    link.connect()
    assert outlet.free_slots == 1
    outlet.publish(publication(1), nothing)
    link.take()
    assert outlet.free_slots == MAX_UNACKED_PUBLISHES


async def test_an_answer_that_comes_at_once_is_counted_as_well():
    link = PaperLink(takes=True)
    outlet = InflightWindow(link)
    link.connect()
    for number in range(300):
        outlet.publish(publication(number), nothing)
        outlet.publish_first(publication(number), nothing)
    assert (outlet.unacknowledged_count, outlet.free_slots) == (0, MAX_UNACKED_PUBLISHES)


async def test_whoever_waits_for_room_is_told_when_what_is_urgent_has_made_some():
    """Else a broker that takes one at a time would get the retained topics and nothing more."""
    link = PaperLink()
    outlet = InflightWindow(link)
    told: list[int] = []
    outlet.capacity.connect(lambda: told.append(outlet.free_slots))
    link.connect(receive_maximum=1)
    outlet.publish_first(publication(1), nothing)
    outlet.publish_first(publication(2), nothing)
    assert (outlet.free_slots, told) == (0, [])
    link.take(link.sent[0])
    assert (outlet.free_slots, told) == (0, [])
    link.take(link.sent[1])
    assert (outlet.free_slots, told) == (1, [1])


async def test_only_the_oldest_is_told_that_the_broker_hung_up_on_it():
    link = PaperLink()
    outlet = InflightWindow(link)
    heard: list[tuple[int, Exception | None]] = []

    def hear(number: int, error: Exception | None) -> None:
        heard.append((number, error))

    for _ in range(2):
        link.connect()
        heard.clear()
        for number in (1, 2, 3):
            outlet.publish_first(publication(number), partial(hear, number))
        link.hang_up()
        assert [number for number, error in heard if isinstance(error, ConnectionDropped)] == [1]
        assert [number for number, _ in heard] == [1, 2, 3]
    outlet.publish(publication(4), partial(hear, 4))
    assert type(heard[-1][1]) is NotConnected, "it was never sent"


async def test_after_a_broker_hung_up_twice_all_that_was_open_goes_one_by_one():
    """Then we know on which one it hangs up: its answers to the others may go down with the connection."""
    link = PaperLink()
    outlet = InflightWindow(link)

    def connect() -> None:
        link.connect()
        for number in range(5):
            outlet.publish_first(publication(number), nothing)

    connect()
    assert len(link.open) == 5
    link.hang_up()
    connect()
    assert len(link.open) == 1
    link.take()
    assert len(link.open) == 4, "it was no fault of the first one"
    link.hang_up()
    connect()
    for _ in range(4):
        assert len(link.open) == 1
        link.take()
    assert len(link.open) == 1
    link.take()
    assert outlet.free_slots == MAX_UNACKED_PUBLISHES
