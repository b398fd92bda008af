"""One request at WeChat: when it may begin, how often it is tried, what its end is called."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.requests.request_harness import RequestHarness, open_request_harness
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
async def request_harness(tmp_path):
    async with open_request_harness(tmp_path) as request_harness:
        yield request_harness


async def mark_read(request_harness: RequestHarness) -> dict[str, Any]:
    return await request_harness.ask("mark_read", user="wife")


@pytest.mark.parametrize(
    "state", [LoginState.INTERRUPTED, LoginState.WAITING_FOR_SCAN, LoginState.LOGGED_OUT]
)
async def test_without_a_login_it_is_said_at_once(request_harness, state):
    request_harness.session.logged_in, request_harness.session.login.state = False, state
    answer = await mark_read(request_harness)
    assert (answer["status"], answer["code"]) == ("error", "logged_out")
    assert request_harness.wechat.done == []


async def test_a_login_that_wechat_ends_is_reported_to_the_session(request_harness):
    gone = LoggedOut("over")
    request_harness.wechat.answer(MarkRead, gone)
    assert (await mark_read(request_harness))["code"] == "logged_out"
    assert request_harness.logged_out == [gone]


async def test_too_often_says_how_long_and_wechat_is_not_asked_before(request_harness):
    request_harness.wechat.answer(MarkRead, Throttled("slow down", retry_after=90.04))
    answer = await mark_read(request_harness)
    assert (answer["code"], answer["retry_after"]) == ("rate_limited", 90.0)
    again = await mark_read(request_harness)
    assert again["code"] == "rate_limited"
    assert 80 < again["retry_after"] <= 90
    assert len(request_harness.wechat.done) == 1, "not asked again"
    other = await request_harness.ask("set_remark", user="wife", remark="x")
    assert other["code"] == "rate_limited", "it is the account that FakeActionBackend throttles"
    assert len(request_harness.wechat.done) == 1


async def test_a_throttling_that_a_request_meets_holds_back_the_commands(request_harness, pass_time):
    request_harness.wechat.answer(MarkRead, Throttled("slow down", retry_after=90))
    assert (await mark_read(request_harness))["code"] == "rate_limited"
    request_harness.harness.deliver_command(text="late", id="a", ttl=0.05)
    late = await request_harness.harness.result("a")
    assert (late["status"], late["code"]) == ("expired", "rate_limited")
    assert 80 < late["retry_after"] <= 90
    request_harness.harness.deliver_command(text="later", id="b")
    assert request_harness.wechat.sent == []
    pass_time(91)
    request_harness.harness.sender.recheck()
    assert (await request_harness.harness.result("b"))["status"] == "sent"
    assert request_harness.wechat.sent == ["later"]


async def test_a_throttling_that_a_command_meets_holds_back_the_requests(request_harness):
    request_harness.wechat.answer(Draft, Throttled("slow down", retry_after=90))
    request_harness.harness.deliver_command(text="hello", id="a")
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not request_harness.harness.calls.throttled_seconds:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)
    answer = await mark_read(request_harness)
    assert answer["code"] == "rate_limited"
    assert 80 < answer["retry_after"] <= 90
    members = await request_harness.ask("group", user="family")
    assert members["code"] == "rate_limited"
    assert request_harness.wechat.done == []


async def test_after_a_throttling_wechat_is_asked_again(request_harness):
    request_harness.wechat.answer(MarkRead, Throttled("slow down", retry_after=0.001))
    assert (await mark_read(request_harness))["code"] == "rate_limited"
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while (answer := await mark_read(request_harness))["status"] == "error":
            assert answer["code"] == "rate_limited"


async def test_what_wechat_refuses_has_its_code_and_says_why(request_harness):
    request_harness.wechat.answer(SetRemark, Rejected("no such person"))
    answer = await request_harness.ask("set_remark", user="mom", remark="x")
    assert answer["code"] == "refused_by_wechat"
    assert "no such person" in answer["error"]
    assert request_harness.saved == [], "the directory says what is so"


async def test_a_login_that_is_refused_is_no_answer(request_harness):
    request_harness.wechat.answer(MarkRead, LoginRefused())
    assert (await mark_read(request_harness))["code"] == "no_answer"


@pytest.mark.parametrize("error", [Unreachable(), ProtocolViolation()])
async def test_what_was_certainly_not_done_is_tried_again(request_harness, error):
    request_harness.wechat.answer(MarkRead, error, error, ActionResult())
    assert (await mark_read(request_harness))["status"] == "ok"
    assert len(request_harness.wechat.done) == 3
    assert len({key for _, key in request_harness.wechat.done}) == 1, "the same key at each attempt"


async def test_what_nobody_answered_is_tried_once_more_where_that_is_harmless(request_harness):
    request_harness.wechat.answer(MarkRead, OutcomeUnknown(), ActionResult())
    assert (await mark_read(request_harness))["status"] == "ok"
    request_harness.wechat.answer(MarkRead, OutcomeUnknown(), OutcomeUnknown(), ActionResult())
    answer = await mark_read(request_harness)
    assert answer["code"] == "no_answer"
    assert "may be done or not" in answer["error"]


async def test_what_nobody_answered_is_not_tried_again_where_that_may_be_twice(request_harness):
    request_harness.wechat.answer(RemoveMembers, OutcomeUnknown())
    answer = await request_harness.ask("group", user="family", action="remove", members=["wife"])
    assert answer["code"] == "no_answer"
    assert len(request_harness.wechat.done) == 1


async def test_a_bug_in_an_action_is_an_unknown_outcome(request_harness):
    request_harness.wechat.answer(MarkRead, ZeroDivisionError(), ZeroDivisionError())
    assert (await mark_read(request_harness))["code"] == "no_answer"


async def test_requests_of_one_sort_go_one_by_one_and_those_of_another_beside_them(request_harness):
    request_harness.wechat.held = asyncio.Event()
    first = [request_harness.deliver("mark_read", user=user) for user in ("wife", "mom", "lilei")]
    await request_harness.harness.changes.wait_until(lambda: len(request_harness.wechat.done) == 1)
    other = request_harness.deliver("set_remark", user="wife", remark="x")
    await request_harness.harness.changes.wait_until(lambda: len(request_harness.wechat.done) == 2)
    request_harness.wechat.held.set()
    for delivery in (*first, other):
        assert (await request_harness.answer(delivery))["status"] == "ok"
    assert [action.chat for action in request_harness.wechat.actions if isinstance(action, MarkRead)] == [
        "@wife",
        "@mom",
        "@lilei",
    ]
    assert request_harness.wechat.at_most == 2
