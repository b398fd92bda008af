"""A request that the broker delivers again, after a lost connection or a crash, is not done twice."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.bridge.requests.request_harness import RequestHarness, new_group, open_request_harness
from wx2mqtt.errors import StoreFull
from wx2mqtt.model import ActionResult, CreateGroup, MarkRead
from wx2mqtt.mqtt.broker import Delivery

CREATE = {"action": "create", "members": ["wife", "mom"], "name": "新群"}


@pytest.fixture
async def request_harness(tmp_path):
    async with open_request_harness(tmp_path) as request_harness:
        yield request_harness


async def wait_for_answers(request_harness: RequestHarness, name: str, count: int) -> list[dict[str, object]]:
    return await request_harness.harness.wait_for_bodies(f"wx/bridge/response/{name}", count)


def redeliver(request_harness: RequestHarness, delivery: Delivery) -> Delivery:
    """Reconnects and delivers the same again, as a broker does that got no PUBACK."""
    request_harness.harness.disconnect()
    request_harness.harness.connect(session_present=True)
    request_harness.harness.redeliver(delivery)
    return delivery


async def test_what_was_answered_is_answered_again_and_not_done_again(request_harness):
    request_harness.wechat.answer(CreateGroup, ActionResult(group=new_group()))
    delivery = request_harness.deliver("group", **CREATE)
    first = await request_harness.answer(delivery)
    redeliver(request_harness, delivery)
    *_, last = await wait_for_answers(request_harness, "group", 2)
    assert {**last, "transaction": None} == {**first, "transaction": None}
    assert len(request_harness.wechat.done) == 1


async def test_a_request_that_was_never_started_is_checked_again(request_harness):
    request_harness.session.logged_in = False
    delivery = request_harness.deliver("mark_read", user="wife")
    assert (await request_harness.answer(delivery))["code"] == "logged_out"
    request_harness.session.logged_in = True
    redeliver(request_harness, delivery)
    *_, last = await wait_for_answers(request_harness, "mark_read", 2)
    assert last["status"] == "ok"


async def test_what_is_under_way_is_waited_for(request_harness):
    request_harness.wechat.held = asyncio.Event()
    delivery = request_harness.deliver("group", **CREATE)
    await request_harness.harness.changes.wait_until(lambda: request_harness.wechat.done)
    redeliver(request_harness, delivery)
    request_harness.wechat.held.set()
    await request_harness.harness.wait_for_puback(delivery)
    received = await wait_for_answers(request_harness, "group", 2)
    assert [body["status"] for body in received] == ["ok", "ok"]
    assert len(request_harness.wechat.done) == 1


async def test_the_same_payload_with_another_packet_id_is_another_request(request_harness):
    for _ in range(2):
        delivery = request_harness.harness.deliver('{"user": "wife"}', topic="wx/bridge/request/mark_read")
        await request_harness.harness.wait_for_puback(delivery)
    assert len(request_harness.wechat.done) == 2


async def test_an_answer_that_cannot_be_stored_is_no_reason_to_do_it_again(request_harness, monkeypatch):
    finish, seen_at_each_try = request_harness.harness.journal.requests.finish, []

    async def fail_once(*args):
        seen_at_each_try.append(list(request_harness.harness.broker.acknowledged))
        if len(seen_at_each_try) == 1:
            raise StoreFull
        return await finish(*args)

    monkeypatch.setattr(request_harness.harness.journal.requests, "finish", fail_once)
    assert (await request_harness.ask("mark_read", user="wife"))["status"] == "ok"
    assert seen_at_each_try == [[], []]
    assert len(request_harness.wechat.done) == 1


async def test_nothing_is_done_before_it_is_marked(request_harness, monkeypatch):
    start, seen_at_each_try = request_harness.harness.journal.requests.start, []

    async def fail_once(*args):
        seen_at_each_try.append(len(request_harness.wechat.done))
        if len(seen_at_each_try) == 1:
            raise StoreFull
        return await start(*args)

    monkeypatch.setattr(request_harness.harness.journal.requests, "start", fail_once)
    assert (await request_harness.ask("mark_read", user="wife"))["status"] == "ok"
    assert seen_at_each_try == [0, 0]


async def deliver_to_killed_process(tmp_path, name: str, /, **fields: object) -> Delivery:
    """Delivers a request to a process that is killed after it has asked WeChat and before WeChat answers."""
    async with open_request_harness(tmp_path) as request_harness:
        request_harness.wechat.held = asyncio.Event()
        delivery = request_harness.deliver(name, **fields)
        await request_harness.harness.changes.wait_until(lambda: request_harness.wechat.done)
    return delivery


async def test_after_a_crash_what_is_harmless_is_done_again(tmp_path):
    delivery = await deliver_to_killed_process(tmp_path, "mark_read", user="wife")
    async with open_request_harness(tmp_path) as request_harness:
        request_harness.harness.redeliver(delivery)
        await request_harness.harness.wait_for_puback(delivery)
        (answer,) = await wait_for_answers(request_harness, "mark_read", 1)
        assert answer["status"] == "ok"
        assert [type(action) for action in request_harness.wechat.actions] == [MarkRead]


async def test_after_a_crash_a_group_is_not_made_twice(tmp_path):
    delivery = await deliver_to_killed_process(tmp_path, "group", **CREATE)
    async with open_request_harness(tmp_path) as request_harness:
        request_harness.harness.redeliver(delivery)
        await request_harness.harness.wait_for_puback(delivery)
        (answer,) = await wait_for_answers(request_harness, "group", 1)
        assert answer["code"] == "no_answer"
        assert request_harness.wechat.done == []
    async with open_request_harness(tmp_path) as request_harness:
        request_harness.harness.redeliver(delivery)
        await request_harness.harness.wait_for_puback(delivery)
        assert (await wait_for_answers(request_harness, "group", 1))[0]["code"] == "no_answer", (
            "the answer was kept"
        )


async def test_after_a_crash_nobody_is_taken_out_twice(tmp_path):
    removal = {"user": "family", "action": "remove", "members": ["wife"]}
    delivery = await deliver_to_killed_process(tmp_path, "group", **removal)
    async with open_request_harness(tmp_path) as request_harness:
        request_harness.session.logged_in = False
        request_harness.harness.redeliver(delivery)
        await request_harness.harness.wait_for_puback(delivery)
        assert (await wait_for_answers(request_harness, "group", 1))[0]["code"] == "no_answer", (
            "it may have been done"
        )
