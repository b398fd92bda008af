"""A request that the broker delivers again, after a lost connection or a crash, is not done twice."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.bridge.requests.support import Room, new_group, open_room
from wx2mqtt.errors import StoreFull
from wx2mqtt.model import ActionResult, CreateGroup, MarkRead
from wx2mqtt.mqtt.broker import Delivery

CREATE = {"action": "create", "members": ["wife", "mom"], "name": "新群"}


@pytest.fixture
async def room(tmp_path):
    async with open_room(tmp_path) as room:
        yield room


async def answers(room: Room, name: str, count: int) -> list[dict[str, object]]:
    return await room.house.hear(f"wx/bridge/response/{name}", count)


def again(room: Room, delivery: Delivery) -> Delivery:
    """The broker has a new connection and delivers what it got no acknowledgement of."""
    room.house.disconnect()
    room.house.connect(session_present=True)
    room.house.again(delivery)
    return delivery


async def test_what_was_answered_is_answered_again_and_not_done_again(room):
    room.wechat.answer(CreateGroup, ActionResult(group=new_group()))
    delivery = room.deliver("group", **CREATE)
    first = await room.answer(delivery)
    again(room, delivery)
    *_, last = await answers(room, "group", 2)
    assert {**last, "transaction": None} == {**first, "transaction": None}
    assert len(room.wechat.done) == 1


async def test_a_request_that_was_never_started_is_checked_again(room):
    room.session.logged_in = False
    delivery = room.deliver("mark_read", user="wife")
    assert (await room.answer(delivery))["code"] == "logged_out"
    room.session.logged_in = True
    again(room, delivery)
    *_, last = await answers(room, "mark_read", 2)
    assert last["status"] == "ok"


async def test_what_is_under_way_is_waited_for(room):
    room.wechat.held = asyncio.Event()
    delivery = room.deliver("group", **CREATE)
    await room.house.news.until(lambda: room.wechat.done)
    again(room, delivery)
    room.wechat.held.set()
    await room.house.acknowledged(delivery)
    heard = await answers(room, "group", 2)
    assert [one["status"] for one in heard] == ["ok", "ok"]
    assert len(room.wechat.done) == 1


async def test_the_same_words_in_another_packet_are_another_request(room):
    for _ in range(2):
        delivery = room.house.deliver('{"user": "wife"}', topic="wx/bridge/request/mark_read")
        await room.house.acknowledged(delivery)
    assert len(room.wechat.done) == 2


async def test_an_answer_that_cannot_be_stored_is_no_reason_to_do_it_again(room, monkeypatch):
    deed_end, tries = room.house.journal.requests.finish, []

    async def full_at_first(*args):
        tries.append(list(room.house.broker.acknowledged))
        if len(tries) == 1:
            raise StoreFull
        return await deed_end(*args)

    monkeypatch.setattr(room.house.journal.requests, "finish", full_at_first)
    assert (await room.ask("mark_read", user="wife"))["status"] == "ok"
    assert tries == [[], []]
    assert len(room.wechat.done) == 1


async def test_nothing_is_done_before_it_is_marked(room, monkeypatch):
    deed_begin, tries = room.house.journal.requests.start, []

    async def full_at_first(*args):
        tries.append(len(room.wechat.done))
        if len(tries) == 1:
            raise StoreFull
        return await deed_begin(*args)

    monkeypatch.setattr(room.house.journal.requests, "start", full_at_first)
    assert (await room.ask("mark_read", user="wife"))["status"] == "ok"
    assert tries == [0, 0]


async def killed(tmp_path, name: str, /, **fields: object) -> Delivery:
    """A life that was asked, asked WeChat, and ended before there was an answer."""
    async with open_room(tmp_path) as room:
        room.wechat.held = asyncio.Event()
        delivery = room.deliver(name, **fields)
        await room.house.news.until(lambda: room.wechat.done)
    return delivery


async def test_after_a_crash_what_is_harmless_is_done_again(tmp_path):
    delivery = await killed(tmp_path, "mark_read", user="wife")
    async with open_room(tmp_path) as room:
        room.house.again(delivery)
        await room.house.acknowledged(delivery)
        (answer,) = await answers(room, "mark_read", 1)
        assert answer["status"] == "ok"
        assert [type(one) for one in room.wechat.actions] == [MarkRead]


async def test_after_a_crash_a_group_is_not_made_twice(tmp_path):
    delivery = await killed(tmp_path, "group", **CREATE)
    async with open_room(tmp_path) as room:
        room.house.again(delivery)
        await room.house.acknowledged(delivery)
        (answer,) = await answers(room, "group", 1)
        assert answer["code"] == "no_answer"
        assert room.wechat.done == []
    async with open_room(tmp_path) as room:
        room.house.again(delivery)
        await room.house.acknowledged(delivery)
        assert (await answers(room, "group", 1))[0]["code"] == "no_answer", "the answer was kept"


async def test_after_a_crash_nobody_is_taken_out_twice(tmp_path):
    gone = {"user": "family", "action": "remove", "members": ["wife"]}
    delivery = await killed(tmp_path, "group", **gone)
    async with open_room(tmp_path) as room:
        room.session.logged_in = False
        room.house.again(delivery)
        await room.house.acknowledged(delivery)
        assert (await answers(room, "group", 1))[0]["code"] == "no_answer", "it may have been done"
