"""A request is answered within its time, whatever WeChat does; at a stop nothing new is begun."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.pauseless_loop import run_without_pauses
from tests.unit.bridge.commands_harness import ChangeSignal
from tests.unit.bridge.contexts import context
from tests.unit.bridge.requests.request_harness import FakeActionBackend
from wx2mqtt.bridge.requests.action_runner import ActionRunner
from wx2mqtt.bridge.requests.dispatcher import ACTION_TIMEOUT_SECONDS
from wx2mqtt.bridge.wechat_calls import WeChatCalls
from wx2mqtt.errors import BadCommand, LoggedOut, OutcomeUnknown, Throttled, Unreachable
from wx2mqtt.model import ActionResult, CreateGroup, Handle, LoginState, MarkRead

READ = MarkRead(chat=Handle("@wife"))
CREATE = CreateGroup(members=(Handle("@a"), Handle("@b")))


class FakeRequest:
    """A request with a deadline; `in_doubt` says whether an earlier process has begun it."""

    name = "a"

    def __init__(self, *, in_doubt: bool = False) -> None:
        self.in_doubt = in_doubt
        self.begun_count = 0
        self.deadline = loop_seconds() + ACTION_TIMEOUT_SECONDS

    async def begin(self) -> None:
        self.begun_count += 1


class ActionHarness:
    """An action runner with a fake backend and a login whose state the test sets."""

    def __init__(self) -> None:
        self.wechat = FakeActionBackend(ChangeSignal())
        session: Any = SimpleNamespace(logged_in=True, login=SimpleNamespace(state=LoginState.ONLINE))
        self.reported_logouts: list[LoggedOut] = []
        self.registry: Any = SimpleNamespace(login_id="first")
        ctx = context(backend=self.wechat, registry=self.registry)
        ctx.login_requests.on_logged_out = self.reported_logouts.append  # type: ignore[method-assign, assignment]
        self.session = session
        self.runner = ActionRunner(ctx, WeChatCalls(ctx), session)

    async def run(self, action: Any = READ, request: FakeRequest | None = None) -> str:
        """Runs an action; returns `ok`, or code and message key of the error."""
        try:
            asked: Any = request or FakeRequest()
            login = self.registry.login_id
            await self.runner.run(asked, action, login_id=login)
        except BadCommand as bad:
            return f"{bad.code} {bad.message_key}"
        return "ok"

    def log_in(self, *, now: bool, state: LoginState = LoginState.ONLINE) -> None:
        self.session.logged_in, self.session.login.state = now, state
        self.runner.wake()


def run_scenario(scenario: Coroutine[Any, Any, None]) -> None:
    """Runs a scenario in virtual time; raises if it takes more than an hour of that."""

    async def bounded() -> None:
        async with asyncio.timeout(3600):
            await scenario

    run_without_pauses(bounded())


def loop_seconds() -> float:
    return asyncio.get_running_loop().time()


def new_request() -> Any:
    """Returns a request that is received now."""
    return FakeRequest()


def test_a_call_that_hangs_is_cut_and_may_have_been_done():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.wechat.held = asyncio.Event()
        assert await harness.run() == "no_answer perhaps_done"
        assert loop_seconds() == pytest.approx(ACTION_TIMEOUT_SECONDS)

    run_scenario(scenario())


def test_a_wechat_that_is_away_is_asked_gently_and_given_up_in_time():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.wechat.answer(MarkRead, *[Unreachable()] * 100)
        assert await harness.run() == "no_answer not_done"
        assert loop_seconds() <= ACTION_TIMEOUT_SECONDS
        assert 4 <= len(harness.wechat.done) <= 10

    run_scenario(scenario())


def test_away_after_an_attempt_that_was_never_answered_it_may_still_have_been_done():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.wechat.answer(MarkRead, OutcomeUnknown(), *[Unreachable()] * 100)
        assert await harness.run() == "no_answer perhaps_done"

    run_scenario(scenario())


def test_a_request_that_waits_in_vain_for_its_turn_is_certainly_not_done():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.wechat.held = asyncio.Event()
        second = FakeRequest()
        answers = await asyncio.gather(harness.run(), harness.run(request=second))
        assert list(answers) == ["no_answer perhaps_done", "no_answer not_done"]
        assert second.begun_count == 0, "no begin, so it is in no doubt"
        assert loop_seconds() == pytest.approx(ACTION_TIMEOUT_SECONDS)

    run_scenario(scenario())


def test_what_waits_for_a_turn_is_not_done_in_the_next_login():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.wechat.held = asyncio.Event()
        first, second = asyncio.create_task(harness.run()), asyncio.create_task(harness.run())
        await asyncio.sleep(1)
        harness.registry.login_id = "second"
        harness.wechat.held.set()
        assert [await first, await second] == ["ok", "logged_out not_logged_in"]
        assert harness.wechat.actions == [READ]
        assert harness.reported_logouts == [], "the new login goes on"

    run_scenario(scenario())


def test_what_a_crash_cut_off_may_have_been_done_in_the_login_before():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.log_in(now=False, state=LoginState.STARTING)
        asking = asyncio.create_task(harness.run(request=FakeRequest(in_doubt=True)))
        await asyncio.sleep(1)
        harness.registry.login_id = "second"
        harness.log_in(now=True)
        assert await asking == "no_answer perhaps_done"
        assert harness.wechat.actions == []

    run_scenario(scenario())


@pytest.mark.parametrize(
    ("error", "in_doubt", "answer"),
    [
        (Unreachable, False, "logged_out not_logged_in"),
        (Unreachable, True, "no_answer perhaps_done"),
        (OutcomeUnknown, False, "no_answer perhaps_done"),
    ],
)
def test_what_failed_is_not_tried_again_in_the_next_login(error, in_doubt, answer):
    async def scenario() -> None:
        harness = ActionHarness()
        harness.wechat.answer(MarkRead, error())
        asking = asyncio.create_task(harness.run(request=FakeRequest(in_doubt=in_doubt)))
        await asyncio.sleep(0)
        harness.registry.login_id = "second"
        assert await asking == answer
        assert harness.wechat.actions == [READ]

    run_scenario(scenario())


def test_while_the_login_is_interrupted_nothing_is_tried_and_then_it_is_done():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.wechat.answer(MarkRead, Unreachable())
        asking = asyncio.create_task(harness.run())
        await asyncio.sleep(0)
        harness.log_in(now=False, state=LoginState.INTERRUPTED)
        await asyncio.sleep(3)
        assert harness.wechat.actions == [READ]
        harness.log_in(now=True)
        assert await asking == "ok"
        assert harness.wechat.actions == [READ, READ]

    run_scenario(scenario())


def test_when_the_account_is_online_again_a_request_does_not_wait_for_its_pause():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.wechat.answer(MarkRead, *[Unreachable()] * 4)
        asking = asyncio.create_task(harness.run())
        while len(harness.wechat.done) < 4:  # noqa: ASYNC110 - of virtual time
            await asyncio.sleep(0.01)
        online_at = loop_seconds()
        harness.log_in(now=True)
        assert await asking == "ok"
        assert loop_seconds() == online_at

    run_scenario(scenario())


def test_a_limit_that_the_first_one_meets_holds_for_those_who_wait():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.wechat.answer(MarkRead, Throttled(retry_after=60))
        answers = await asyncio.gather(harness.run(), harness.run(), harness.run())
        assert list(answers) == ["rate_limited too_often"] * 3
        assert len(harness.wechat.done) == 1
        await asyncio.sleep(60)
        assert await harness.run() == "ok"

    run_scenario(scenario())


def test_what_comes_at_the_start_waits_until_it_is_known_whether_the_saved_login_stands():
    async def scenario() -> None:
        harness = ActionHarness()
        for state, answer in (
            (LoginState.ONLINE, "ok"),
            (LoginState.WAITING_FOR_SCAN, "logged_out not_logged_in"),
        ):
            harness.log_in(now=False, state=LoginState.STARTING)
            asking = asyncio.ensure_future(harness.run())
            await asyncio.sleep(3)
            assert not asking.done()
            harness.log_in(now=state is LoginState.ONLINE, state=state)
            assert await asking == answer

    run_scenario(scenario())


def test_what_a_crash_cut_off_is_repeated_where_that_is_harmless():
    async def scenario() -> None:
        harness = ActionHarness()
        assert await harness.run(request=FakeRequest(in_doubt=True)) == "ok"
        assert len(harness.wechat.done) == 1

    run_scenario(scenario())


def test_what_a_crash_cut_off_is_never_repeated_where_it_may_be_twice():
    async def scenario() -> None:
        harness = ActionHarness()
        attempt = FakeRequest(in_doubt=True)
        assert await harness.run(CREATE, attempt) == "no_answer perhaps_done"
        assert harness.wechat.done == []

    run_scenario(scenario())


def test_what_a_crash_cut_off_waits_for_the_login_that_comes_back():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.log_in(now=False, state=LoginState.STARTING)
        asking = asyncio.ensure_future(harness.run(request=FakeRequest(in_doubt=True)))
        await asyncio.sleep(5)
        harness.log_in(now=False, state=LoginState.INTERRUPTED)
        await asyncio.sleep(5)
        assert not asking.done()
        harness.log_in(now=True)
        assert await asking == "ok"

    run_scenario(scenario())


@pytest.mark.parametrize("state", [LoginState.WAITING_FOR_SCAN, LoginState.REFUSED, LoginState.LOGGED_OUT])
def test_a_request_does_not_wait_for_a_login_that_needs_a_person(state):
    async def scenario() -> None:
        harness = ActionHarness()
        harness.log_in(now=False, state=state)
        assert await harness.run(request=FakeRequest(in_doubt=True)) == "no_answer perhaps_done"
        assert loop_seconds() == 0

    run_scenario(scenario())


def test_a_request_waits_for_a_login_no_longer_than_its_timeout():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.log_in(now=False, state=LoginState.STARTING)
        assert await harness.run(request=FakeRequest(in_doubt=True)) == "no_answer perhaps_done"
        assert loop_seconds() == pytest.approx(ACTION_TIMEOUT_SECONDS)

    run_scenario(scenario())


def test_at_a_stop_what_is_under_way_may_end_and_nothing_is_begun():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.wechat.held = held = asyncio.Event()
        under_way = asyncio.ensure_future(harness.run())
        waiting = asyncio.ensure_future(harness.run())
        await asyncio.sleep(1)
        harness.runner.stop()
        late = asyncio.ensure_future(harness.run())
        asyncio.get_running_loop().call_later(1, held.set)
        await harness.runner.drain(2)
        assert loop_seconds() == pytest.approx(2), "no longer than what is under way"
        assert under_way.done()
        assert under_way.result() == "ok"
        await asyncio.sleep(100)
        assert not waiting.done(), "it stays with the broker, unanswered"
        assert not late.done()
        assert len(harness.wechat.done) == 1
        for task in (waiting, late):
            task.cancel()

    run_scenario(scenario())


def test_a_stop_does_not_wait_for_ever():
    async def scenario() -> None:
        harness = ActionHarness()
        harness.wechat.held = asyncio.Event()
        under_way = asyncio.ensure_future(harness.run())
        await asyncio.sleep(1)
        harness.runner.stop()
        await harness.runner.drain(2)
        assert loop_seconds() == pytest.approx(3)
        under_way.cancel()

    run_scenario(scenario())


def test_a_query_has_the_same_timeout_and_errors_as_an_action():
    async def scenario() -> None:
        harness = ActionHarness()

        async def never_answer() -> None:
            await asyncio.sleep(1000)

        async def be_unreachable() -> None:
            raise Unreachable

        async def answer_seven() -> int:
            return 7

        with pytest.raises(BadCommand, match="no_answer"):
            await harness.runner.query(new_request(), never_answer, login_id="first")
        assert loop_seconds() == pytest.approx(ACTION_TIMEOUT_SECONDS)
        with pytest.raises(BadCommand, match="no_answer"):
            await harness.runner.query(new_request(), be_unreachable, login_id="first")
        assert await harness.runner.query(new_request(), answer_seven, login_id="first") == 7
        harness.log_in(now=False)
        with pytest.raises(BadCommand, match="logged_out"):
            await harness.runner.query(new_request(), answer_seven, login_id="first")

    run_scenario(scenario())


def test_the_result_of_an_action_is_returned():
    async def scenario() -> None:
        harness = ActionHarness()
        done = ActionResult(refused_members=(Handle("@a"),))
        harness.wechat.answer(CreateGroup, done)
        request: Any = FakeRequest()
        assert await harness.runner.run(request, CREATE, login_id="first") is done

    run_scenario(scenario())
