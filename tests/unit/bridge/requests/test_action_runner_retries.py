"""A request is answered within its time, whatever WeChat does; at a stop nothing new is begun."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.pauseless_loop import run_without_pauses
from tests.unit.bridge.contexts import context
from tests.unit.bridge.outgoing import News
from tests.unit.bridge.requests.support import WeChat
from wx2mqtt.bridge.requests.action_runner import ActionRunner
from wx2mqtt.bridge.requests.dispatcher import ACTION_TIMEOUT_SECONDS
from wx2mqtt.bridge.wechat_calls import WeChatCalls
from wx2mqtt.errors import BadCommand, LoggedOut, OutcomeUnknown, Throttled, Unreachable
from wx2mqtt.model import ActionResult, CreateGroup, Handle, LoginState, MarkRead

READ = MarkRead(chat=Handle("@wife"))
CREATE = CreateGroup(members=(Handle("@a"), Handle("@b")))


class FakeRequest:
    """Of which the journal says that it is in doubt, or not."""

    name = "a"

    def __init__(self, *, in_doubt: bool = False) -> None:
        self.in_doubt = in_doubt
        self.begun_count = 0
        self.deadline = clock() + ACTION_TIMEOUT_SECONDS

    async def begin(self) -> None:
        self.begun_count += 1


class ActionHarness:
    """A doer, and how the login stands."""

    def __init__(self) -> None:
        self.wechat = WeChat(News())
        session: Any = SimpleNamespace(logged_in=True, login=SimpleNamespace(state=LoginState.ONLINE))
        self.gone: list[LoggedOut] = []
        self.registry: Any = SimpleNamespace(login_id="first")
        ctx = context(backend=self.wechat, registry=self.registry)
        ctx.login_requests.on_logged_out = self.gone.append  # type: ignore[method-assign, assignment]
        self.session = session
        self.doer = ActionRunner(ctx, WeChatCalls(ctx), session)

    async def do(self, action: Any = READ, request: FakeRequest | None = None) -> str:
        """`ok` or the code, and what is said to the person."""
        try:
            asked: Any = request or FakeRequest()
            login = self.registry.login_id
            await self.doer.run(asked, action, login_id=login)
        except BadCommand as bad:
            return f"{bad.code} {bad.message_key}"
        return "ok"

    def log_in(self, *, now: bool, state: LoginState = LoginState.ONLINE) -> None:
        self.session.logged_in, self.session.login.state = now, state
        self.doer.wake()


def play(story: Coroutine[Any, Any, None]) -> None:
    """In no time; raises when it does not end within an hour of it."""

    async def bounded() -> None:
        async with asyncio.timeout(3600):
            await story

    run_without_pauses(bounded())


def clock() -> float:
    return asyncio.get_running_loop().time()


def asked() -> Any:
    """A request that comes now."""
    return FakeRequest()


def test_a_call_that_hangs_is_cut_and_may_have_been_done():
    async def story() -> None:
        harness = ActionHarness()
        harness.wechat.held = asyncio.Event()
        assert await harness.do() == "no_answer perhaps_done"
        assert clock() == pytest.approx(ACTION_TIMEOUT_SECONDS)

    play(story())


def test_a_wechat_that_is_away_is_asked_gently_and_given_up_in_time():
    async def story() -> None:
        harness = ActionHarness()
        harness.wechat.answer(MarkRead, *[Unreachable()] * 100)
        assert await harness.do() == "no_answer not_done"
        assert clock() <= ACTION_TIMEOUT_SECONDS
        assert 4 <= len(harness.wechat.done) <= 10

    play(story())


def test_away_after_an_attempt_that_was_never_answered_it_may_still_have_been_done():
    async def story() -> None:
        harness = ActionHarness()
        harness.wechat.answer(MarkRead, OutcomeUnknown(), *[Unreachable()] * 100)
        assert await harness.do() == "no_answer perhaps_done"

    play(story())


def test_whoever_waits_for_a_turn_in_vain_was_certainly_not_served():
    async def story() -> None:
        harness = ActionHarness()
        harness.wechat.held = asyncio.Event()
        second = FakeRequest()
        answers = await asyncio.gather(harness.do(), harness.do(request=second))
        assert list(answers) == ["no_answer perhaps_done", "no_answer not_done"]
        assert second.begun_count == 0, "no begin, so it is in no doubt"
        assert clock() == pytest.approx(ACTION_TIMEOUT_SECONDS)

    play(story())


def test_what_waits_for_a_turn_is_not_done_in_the_next_login():
    async def story() -> None:
        harness = ActionHarness()
        harness.wechat.held = asyncio.Event()
        first, second = asyncio.create_task(harness.do()), asyncio.create_task(harness.do())
        await asyncio.sleep(1)
        harness.registry.login_id = "second"
        harness.wechat.held.set()
        assert [await first, await second] == ["ok", "logged_out not_logged_in"]
        assert harness.wechat.actions == [READ]
        assert harness.gone == [], "the new login goes on"

    play(story())


def test_what_a_crash_cut_off_may_have_been_done_in_the_login_before():
    async def story() -> None:
        harness = ActionHarness()
        harness.log_in(now=False, state=LoginState.STARTING)
        asking = asyncio.create_task(harness.do(request=FakeRequest(in_doubt=True)))
        await asyncio.sleep(1)
        harness.registry.login_id = "second"
        harness.log_in(now=True)
        assert await asking == "no_answer perhaps_done"
        assert harness.wechat.actions == []

    play(story())


@pytest.mark.parametrize(
    ("error", "in_doubt", "answer"),
    [
        (Unreachable, False, "logged_out not_logged_in"),
        (Unreachable, True, "no_answer perhaps_done"),
        (OutcomeUnknown, False, "no_answer perhaps_done"),
    ],
)
def test_what_failed_is_not_tried_again_in_the_next_login(error, in_doubt, answer):
    async def story() -> None:
        harness = ActionHarness()
        harness.wechat.answer(MarkRead, error())
        asking = asyncio.create_task(harness.do(request=FakeRequest(in_doubt=in_doubt)))
        await asyncio.sleep(0)
        harness.registry.login_id = "second"
        assert await asking == answer
        assert harness.wechat.actions == [READ]

    play(story())


def test_while_the_login_is_interrupted_nothing_is_tried_and_then_it_is_done():
    async def story() -> None:
        harness = ActionHarness()
        harness.wechat.answer(MarkRead, Unreachable())
        asking = asyncio.create_task(harness.do())
        await asyncio.sleep(0)
        harness.log_in(now=False, state=LoginState.INTERRUPTED)
        await asyncio.sleep(3)
        assert harness.wechat.actions == [READ]
        harness.log_in(now=True)
        assert await asking == "ok"
        assert harness.wechat.actions == [READ, READ]

    play(story())


def test_a_limit_that_the_first_one_meets_holds_for_those_who_wait():
    async def story() -> None:
        harness = ActionHarness()
        harness.wechat.answer(MarkRead, Throttled(retry_after=60))
        answers = await asyncio.gather(harness.do(), harness.do(), harness.do())
        assert list(answers) == ["rate_limited too_often"] * 3
        assert len(harness.wechat.done) == 1
        await asyncio.sleep(60)
        assert await harness.do() == "ok"

    play(story())


def test_what_comes_at_the_start_waits_until_it_is_known_whether_the_saved_login_stands():
    async def story() -> None:
        harness = ActionHarness()
        for state, answer in (
            (LoginState.ONLINE, "ok"),
            (LoginState.WAITING_FOR_SCAN, "logged_out not_logged_in"),
        ):
            harness.log_in(now=False, state=LoginState.STARTING)
            asking = asyncio.ensure_future(harness.do())
            await asyncio.sleep(3)
            assert not asking.done()
            harness.log_in(now=state is LoginState.ONLINE, state=state)
            assert await asking == answer

    play(story())


def test_what_a_crash_cut_off_is_repeated_where_that_is_harmless():
    async def story() -> None:
        harness = ActionHarness()
        assert await harness.do(request=FakeRequest(in_doubt=True)) == "ok"
        assert len(harness.wechat.done) == 1

    play(story())


def test_what_a_crash_cut_off_is_never_repeated_where_it_may_be_twice():
    async def story() -> None:
        harness = ActionHarness()
        attempt = FakeRequest(in_doubt=True)
        assert await harness.do(CREATE, attempt) == "no_answer perhaps_done"
        assert harness.wechat.done == []

    play(story())


def test_what_a_crash_cut_off_waits_for_the_login_that_comes_back():
    async def story() -> None:
        harness = ActionHarness()
        harness.log_in(now=False, state=LoginState.STARTING)
        asking = asyncio.ensure_future(harness.do(request=FakeRequest(in_doubt=True)))
        await asyncio.sleep(5)
        harness.log_in(now=False, state=LoginState.INTERRUPTED)
        await asyncio.sleep(5)
        assert not asking.done()
        harness.log_in(now=True)
        assert await asking == "ok"

    play(story())


@pytest.mark.parametrize("state", [LoginState.WAITING_FOR_SCAN, LoginState.REFUSED, LoginState.LOGGED_OUT])
def test_it_does_not_wait_for_a_login_that_needs_a_person(state):
    async def story() -> None:
        harness = ActionHarness()
        harness.log_in(now=False, state=state)
        assert await harness.do(request=FakeRequest(in_doubt=True)) == "no_answer perhaps_done"
        assert clock() == 0

    play(story())


def test_nor_longer_than_a_request_may_take():
    async def story() -> None:
        harness = ActionHarness()
        harness.log_in(now=False, state=LoginState.STARTING)
        assert await harness.do(request=FakeRequest(in_doubt=True)) == "no_answer perhaps_done"
        assert clock() == pytest.approx(ACTION_TIMEOUT_SECONDS)

    play(story())


def test_at_a_stop_what_is_under_way_may_end_and_nothing_is_begun():
    async def story() -> None:
        harness = ActionHarness()
        harness.wechat.held = held = asyncio.Event()
        under_way = asyncio.ensure_future(harness.do())
        waiting = asyncio.ensure_future(harness.do())
        await asyncio.sleep(1)
        harness.doer.stop()
        late = asyncio.ensure_future(harness.do())
        asyncio.get_running_loop().call_later(1, held.set)
        await harness.doer.drain(2)
        assert clock() == pytest.approx(2), "no longer than what is under way"
        assert under_way.done()
        assert under_way.result() == "ok"
        await asyncio.sleep(100)
        assert not waiting.done(), "it stays with the broker, unanswered"
        assert not late.done()
        assert len(harness.wechat.done) == 1
        for task in (waiting, late):
            task.cancel()

    play(story())


def test_a_stop_does_not_wait_for_ever():
    async def story() -> None:
        harness = ActionHarness()
        harness.wechat.held = asyncio.Event()
        under_way = asyncio.ensure_future(harness.do())
        await asyncio.sleep(1)
        harness.doer.stop()
        await harness.doer.drain(2)
        assert clock() == pytest.approx(3)
        under_way.cancel()

    play(story())


def test_what_only_asks_is_bounded_too():
    async def story() -> None:
        harness = ActionHarness()

        async def hang() -> None:
            await asyncio.sleep(1000)

        async def away() -> None:
            raise Unreachable

        async def fine() -> int:
            return 7

        with pytest.raises(BadCommand, match="no_answer"):
            await harness.doer.query(asked(), hang, login_id="first")
        assert clock() == pytest.approx(ACTION_TIMEOUT_SECONDS)
        with pytest.raises(BadCommand, match="no_answer"):
            await harness.doer.query(asked(), away, login_id="first")
        assert await harness.doer.query(asked(), fine, login_id="first") == 7
        harness.log_in(now=False)
        with pytest.raises(BadCommand, match="logged_out"):
            await harness.doer.query(asked(), fine, login_id="first")

    play(story())


def test_done_is_handed_on():
    async def story() -> None:
        harness = ActionHarness()
        done = ActionResult(refused_members=(Handle("@a"),))
        harness.wechat.answer(CreateGroup, done)
        request: Any = FakeRequest()
        assert await harness.doer.run(request, CREATE, login_id="first") is done

    play(story())
