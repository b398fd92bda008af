"""One request at WeChat: when it may begin, how often it is tried, what its end is called."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.requests.support import Room, open_room
from wx2mqtt.errors import (
    LoggedOut,
    LoginRefused,
    OutcomeUnknown,
    ProtocolViolation,
    Rejected,
    Throttled,
    Unreachable,
)
from wx2mqtt.model import ActionResult, Draft, LoginState, MarkRead, RemoveMembers, SetRemark


@pytest.fixture
async def room(tmp_path):
    async with open_room(tmp_path) as room:
        yield room


async def mark_read(room: Room) -> dict[str, Any]:
    return await room.ask("mark_read", user="wife")


@pytest.mark.parametrize(
    "state", [LoginState.INTERRUPTED, LoginState.WAITING_FOR_SCAN, LoginState.LOGGED_OUT]
)
async def test_without_a_login_it_is_said_at_once(room, state):
    room.session.logged_in, room.session.login.state = False, state
    answer = await mark_read(room)
    assert (answer["status"], answer["code"]) == ("error", "logged_out")
    assert room.wechat.done == []


async def test_a_login_that_wechat_ends_is_reported_to_the_session(room):
    gone = LoggedOut("over")
    room.wechat.answer(MarkRead, gone)
    assert (await mark_read(room))["code"] == "logged_out"
    assert room.logged_out == [gone]


async def test_too_often_says_how_long_and_wechat_is_not_asked_before(room):
    room.wechat.answer(MarkRead, Throttled("slow down", retry_after=90.04))
    answer = await mark_read(room)
    assert (answer["code"], answer["retry_after"]) == ("rate_limited", 90.0)
    again = await mark_read(room)
    assert again["code"] == "rate_limited"
    assert 80 < again["retry_after"] <= 90
    assert len(room.wechat.done) == 1, "not asked again"
    other = await room.ask("set_remark", user="wife", remark="x")
    assert other["code"] == "rate_limited", "it is the account that WeChat throttles"
    assert len(room.wechat.done) == 1


async def test_a_throttling_that_a_request_meets_holds_back_the_commands(room, pass_time):
    room.wechat.answer(MarkRead, Throttled("slow down", retry_after=90))
    assert (await mark_read(room))["code"] == "rate_limited"
    room.house.say(text="late", id="a", ttl=0.05)
    late = await room.house.result("a")
    assert (late["status"], late["code"]) == ("expired", "rate_limited")
    assert 80 < late["retry_after"] <= 90
    room.house.say(text="later", id="b")
    assert room.wechat.sent == []
    pass_time(91)
    room.house.sender.recheck()
    assert (await room.house.result("b"))["status"] == "sent"
    assert room.wechat.sent == ["later"]


async def test_a_throttling_that_a_command_meets_holds_back_the_requests(room):
    room.wechat.answer(Draft, Throttled("slow down", retry_after=90))
    room.house.say(text="hello", id="a")
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not room.house.calls.throttled_seconds:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)
    answer = await mark_read(room)
    assert answer["code"] == "rate_limited"
    assert 80 < answer["retry_after"] <= 90
    members = await room.ask("group", user="family")
    assert members["code"] == "rate_limited"
    assert room.wechat.done == []


async def test_afterwards_it_may_be_asked_again(room):
    room.wechat.answer(MarkRead, Throttled("slow down", retry_after=0.001))
    assert (await mark_read(room))["code"] == "rate_limited"
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while (answer := await mark_read(room))["status"] == "error":
            assert answer["code"] == "rate_limited"


async def test_what_wechat_refuses_has_its_code_and_says_why(room):
    room.wechat.answer(SetRemark, Rejected("no such person"))
    answer = await room.ask("set_remark", user="mom", remark="x")
    assert answer["code"] == "refused_by_wechat"
    assert "no such person" in answer["error"]
    assert room.saved == [], "the directory says what is so"


async def test_a_login_that_is_refused_is_no_answer(room):
    room.wechat.answer(MarkRead, LoginRefused())
    assert (await mark_read(room))["code"] == "no_answer"


@pytest.mark.parametrize("trouble", [Unreachable(), ProtocolViolation()])
async def test_what_was_certainly_not_done_is_tried_again(room, trouble):
    room.wechat.answer(MarkRead, trouble, trouble, ActionResult())
    assert (await mark_read(room))["status"] == "ok"
    assert len(room.wechat.done) == 3
    assert len({key for _, key in room.wechat.done}) == 1, "the same key at each attempt"


async def test_what_nobody_answered_is_tried_once_more_where_that_is_harmless(room):
    room.wechat.answer(MarkRead, OutcomeUnknown(), ActionResult())
    assert (await mark_read(room))["status"] == "ok"
    room.wechat.answer(MarkRead, OutcomeUnknown(), OutcomeUnknown(), ActionResult())
    answer = await mark_read(room)
    assert answer["code"] == "no_answer"
    assert "may be done or not" in answer["error"]


async def test_what_nobody_answered_is_not_tried_again_where_that_may_be_twice(room):
    room.wechat.answer(RemoveMembers, OutcomeUnknown())
    answer = await room.ask("group", user="family", action="remove", members=["wife"])
    assert answer["code"] == "no_answer"
    assert len(room.wechat.done) == 1


async def test_a_fault_of_ours_is_an_unknown_outcome(room):
    room.wechat.answer(MarkRead, ZeroDivisionError(), ZeroDivisionError())
    assert (await mark_read(room))["code"] == "no_answer"


async def test_requests_of_one_sort_go_one_by_one_and_those_of_another_beside_them(room):
    room.wechat.held = asyncio.Event()
    first = [room.deliver("mark_read", user=user) for user in ("wife", "mom", "lilei")]
    await room.house.news.until(lambda: len(room.wechat.done) == 1)
    other = room.deliver("set_remark", user="wife", remark="x")
    await room.house.news.until(lambda: len(room.wechat.done) == 2)
    room.wechat.held.set()
    for delivery in (*first, other):
        assert (await room.answer(delivery))["status"] == "ok"
    assert [one.chat for one in room.wechat.actions if isinstance(one, MarkRead)] == [
        "@wife",
        "@mom",
        "@lilei",
    ]
    assert room.wechat.at_most == 2
