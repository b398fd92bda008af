"""The window towards the broker, and what goes first in it."""

from __future__ import annotations

import pytest

from tests.support.paper_link import PaperLink
from wx2mqtt.bridge.outlet import WINDOW, Outlet
from wx2mqtt.errors import NotConnected
from wx2mqtt.mqtt.link import Publication


def publication(number: int) -> Publication:
    return Publication(topic=f"t/{number}", payload=b"")


def nothing(_error: Exception | None) -> None:
    """Nobody listens."""


async def test_there_is_no_room_without_a_connection():
    assert Outlet(PaperLink()).room == 0


@pytest.mark.parametrize(("maximum", "room"), [(1, 1), (20, 20), (WINDOW, WINDOW), (65535, WINDOW)])
async def test_the_window_is_ours_or_the_brokers_whichever_is_smaller(maximum, room):
    link = PaperLink()
    link.connect(receive_maximum=maximum)
    assert Outlet(link).room == room


async def test_what_is_open_takes_room_until_it_is_answered_in_whatever_way():
    link = PaperLink()
    outlet = Outlet(link)
    link.connect(receive_maximum=10)
    heard: list[Exception | None] = []
    for number in range(4):
        outlet.publish(publication(number), heard.append)
    assert (outlet.room, outlet.open) == (6, 4)
    link.take(link.sent[1])
    link.refuse(link.sent[0])
    assert (outlet.room, outlet.open) == (8, 2)
    link.hang_up()
    assert (outlet.room, outlet.open) == (0, 0)
    assert [type(error).__name__ for error in heard] == [
        "NoneType", "PublishRefused", "NotConnected", "NotConnected",
    ]  # fmt: skip


async def test_what_is_urgent_waits_for_room_and_leaves_none_to_others():
    link = PaperLink()
    outlet = Outlet(link)
    link.connect(receive_maximum=2)
    outlet.publish(publication(1), nothing)
    outlet.publish(publication(2), nothing)
    outlet.publish_first(publication(3), nothing)
    outlet.publish_first(publication(4), nothing)
    assert link.topics == ["t/1", "t/2"]
    link.take(link.sent[0])
    assert link.topics == ["t/1", "t/2", "t/3"]
    assert outlet.room == 0
    link.take(link.sent[1], link.sent[2])
    assert link.topics == ["t/1", "t/2", "t/3", "t/4"]
    assert outlet.room == 1
    assert link.most_open == 2


async def test_what_is_urgent_is_told_when_the_connection_goes_before_its_turn():
    link = PaperLink()
    outlet = Outlet(link)
    link.connect(receive_maximum=1)
    heard: list[Exception | None] = []
    outlet.publish(publication(1), nothing)
    for number in range(2000):
        outlet.publish_first(publication(number), heard.append)
    link.hang_up()
    assert len(heard) == 2000
    assert all(isinstance(error, NotConnected) for error in heard)
    assert outlet.open == 0
    link.connect()
    assert outlet.room == WINDOW


async def test_an_answer_that_comes_at_once_is_counted_as_well():
    link = PaperLink(takes=True)
    outlet = Outlet(link)
    link.connect()
    for number in range(300):
        outlet.publish(publication(number), nothing)
        outlet.publish_first(publication(number), nothing)
    assert (outlet.open, outlet.room) == (0, WINDOW)
