"""Requests to log in and out, and sends that find the login ended, at every awkward moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from itertools import pairwise

import pytest

from tests.support.pauseless_loop import run_without_pauses
from tests.support.rows import every_row
from tests.unit.bridge.session_harness import (
    CODE,
    WIFE,
    FakeGateway,
    SessionHarness,
    Wait,
    batch,
    code,
    logged_in,
    message,
)
from wx2mqtt.bridge.login_state import TRANSITIONS
from wx2mqtt.errors import LoggedOut, LoginRefused, ProtocolViolation, Throttled, Unreachable
from wx2mqtt.model import Contact, Needs
from wx2mqtt.model import LoginState as S
from wx2mqtt.wechat.backend import ConfirmOnPhone, OnProgress, Scanned

LONG = Wait(10**9)


class LongBook(FakeGateway):
    """An account with an address book that takes two minutes."""

    async def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        await asyncio.sleep(120)
        yield (WIFE,)


class SlowLogout(FakeGateway):
    """WeChat takes five seconds for a logout."""

    async def logout(self) -> None:
        await asyncio.sleep(5)
        await super().logout()


def run_story(story: Callable[[SessionHarness], Awaitable[None]], gateway: FakeGateway | None = None) -> None:
    async def whole() -> None:
        session_harness = SessionHarness(gateway=gateway or FakeGateway())
        await story(session_harness)
        await session_harness.after(0)  # what went wrong in the session is raised
        await session_harness.end()

    run_without_pauses(whole())


@every_row(
    ("steps", "state"),
    [
        ([LONG], S.STARTING),
        ([CODE, LONG], S.WAITING_FOR_SCAN),
        ([CODE, Scanned(), LONG], S.WAITING_FOR_CONFIRM),
        ([ConfirmOnPhone(), LONG], S.WAITING_FOR_CONFIRM),
        ([CODE, Scanned(), logged_in()], S.WAITING_FOR_CONFIRM),  # fetching the people
        ([Unreachable("no answer")], S.INTERRUPTED),
        ([LoginRefused("not you")], S.REFUSED),
    ],
)
def test_whenever_a_logout_is_asked_for_it_rests_and_the_request_is_answered(steps, state):
    async def story(session_harness: SessionHarness) -> None:
        session_harness.gateway.logins.append(steps)
        await session_harness.after(30)
        assert session_harness.state == state
        async with asyncio.timeout(1):
            await session_harness.ctx.login_requests.request_logout()
        assert session_harness.session.login.needs in (Needs.RELOGIN, Needs.OTHER_BACKEND)
        assert not session_harness.sender.is_online
        tries = len(session_harness.gateway.asked)
        await session_harness.after(24 * 3600)
        assert len(session_harness.gateway.asked) == tries

    run_story(story, LongBook())


def test_a_login_that_was_confirmed_is_not_thrown_away_for_a_new_code():
    async def story(session_harness: SessionHarness) -> None:
        session_harness.gateway.logins.append([CODE, Scanned(), logged_in()])
        await session_harness.after(30)
        session_harness.ctx.login_requests.request_login()  # somebody finds that it takes long
        await session_harness.after(60)
        session_harness.ctx.login_requests.request_login()
        await session_harness.after(60)
        assert session_harness.state == S.ONLINE
        assert session_harness.gateway.asked == [True]

    run_story(story, LongBook())


def test_asking_twice_gives_one_new_code():
    async def story(session_harness: SessionHarness) -> None:
        session_harness.gateway.logins += [[code(1), LONG], [code(2), LONG], [code(3), LONG]]
        await session_harness.after(10)
        session_harness.ctx.login_requests.request_login()
        session_harness.ctx.login_requests.request_login()
        await session_harness.after(10)
        assert [one.url for one in session_harness.shown if one.url] == [code(1).url, code(2).url]

    run_story(story)


def test_asking_for_two_logouts_at_once_ends_one_login_and_answers_both():
    async def story(session_harness: SessionHarness) -> None:
        session_harness.gateway.logins.append([CODE, logged_in()])
        await session_harness.after(10)
        async with asyncio.timeout(1):
            await asyncio.gather(
                session_harness.ctx.login_requests.request_logout(),
                session_harness.ctx.login_requests.request_logout(),
            )
        assert (session_harness.state, session_harness.gateway.logouts) == (S.LOGGED_OUT, 1)

    run_story(story)


def test_all_that_is_asked_for_during_a_logout_is_done_in_its_order():
    async def story(session_harness: SessionHarness) -> None:
        session_harness.gateway.logins += [[CODE, logged_in()], [code(2), LONG], [code(3), LONG]]
        await session_harness.after(10)
        logouts = [asyncio.create_task(session_harness.ctx.login_requests.request_logout())]
        await session_harness.after(1)
        session_harness.ctx.login_requests.request_login()
        logouts.append(asyncio.create_task(session_harness.ctx.login_requests.request_logout()))
        await session_harness.after(1)
        session_harness.ctx.login_requests.request_login()
        await session_harness.after(60)
        await asyncio.gather(*logouts)
        assert session_harness.states[-1] == "waiting_for_scan"

    run_story(story, SlowLogout())


def test_a_login_that_is_asked_for_right_behind_a_logout_follows_it():
    async def story(session_harness: SessionHarness) -> None:
        session_harness.gateway.logins += [[CODE, logged_in()], [code(2), LONG]]
        await session_harness.after(10)
        out = asyncio.create_task(session_harness.ctx.login_requests.request_logout())
        asyncio.get_running_loop().call_soon(session_harness.ctx.login_requests.request_login)
        await session_harness.after(10)
        await out
        assert session_harness.gateway.logouts == 1
        assert session_harness.states[-2:] == ["logged_out", "waiting_for_scan"]

    run_story(story)


def test_a_logout_that_is_asked_for_right_behind_a_login_wins():
    async def story(session_harness: SessionHarness) -> None:
        session_harness.gateway.logins += [[code(1), LONG], [code(2), LONG]]
        await session_harness.after(10)
        session_harness.ctx.login_requests.request_login()
        async with asyncio.timeout(1):
            await session_harness.ctx.login_requests.request_logout()
        await session_harness.after(3600)
        assert session_harness.state == S.LOGGED_OUT

    run_story(story)


def test_a_logout_right_after_a_refusal_and_a_new_request_stops_nothing():
    """The new code has not come yet: the state is still `refused`."""

    async def story(session_harness: SessionHarness) -> None:
        session_harness.gateway.logins += [[CODE, LoginRefused("not you")], [LONG]]
        await session_harness.after(10)
        assert session_harness.state == S.REFUSED
        session_harness.ctx.login_requests.request_login()
        await session_harness.after(1)
        async with asyncio.timeout(1):
            await session_harness.ctx.login_requests.request_logout()
        assert session_harness.state == S.LOGGED_OUT

    run_story(story)


def test_a_refusal_without_any_code_after_a_logout_stops_nothing():
    async def story(session_harness: SessionHarness) -> None:
        session_harness.gateway.logins += [[CODE, logged_in()], [LoginRefused("not you any more")]]
        session_harness.gateway.answers.append(LoggedOut("over"))
        await session_harness.after(60)
        assert (session_harness.state, session_harness.session.login.reason) == (
            S.REFUSED,
            "not you any more",
        )

    run_story(story)


@pytest.mark.parametrize("trouble", [Unreachable("503"), ProtocolViolation(), Throttled(retry_after=60)])
def test_a_send_learns_of_the_logout_while_receiving_fails(trouble: Exception):
    async def story(session_harness: SessionHarness) -> None:
        session_harness.gateway.logins += [[CODE, logged_in()], [code(2), LONG]]
        session_harness.gateway.answers += [trouble] * 1000
        await session_harness.after(100)
        assert session_harness.state == S.INTERRUPTED
        session_harness.ctx.login_requests.on_logged_out(LoggedOut("the phone ended it"))
        await session_harness.after(1)
        assert session_harness.states[-2:] == ["logged_out", "waiting_for_scan"]
        assert "the phone ended it" in session_harness.session.login.reason
        assert session_harness.gateway.asked == [True, False]

    run_story(story)


def test_a_send_and_the_poll_learn_of_one_logout_at_once():
    async def story(session_harness: SessionHarness) -> None:
        session_harness.gateway.logins += [[CODE, logged_in()], [code(2), LONG], [code(3), LONG]]
        session_harness.gateway.answers += [Wait(5), LoggedOut("over")]
        session_harness.start()
        asyncio.get_running_loop().call_at(
            5, session_harness.ctx.login_requests.on_logged_out, LoggedOut("over")
        )
        await session_harness.after(60)
        assert session_harness.states.count("logged_out") == 1
        assert len(session_harness.gateway.asked) == 2

    run_story(story)


def test_a_send_that_learns_of_it_late_does_not_end_the_next_login():
    async def story(session_harness: SessionHarness) -> None:
        session_harness.gateway.logins += [[CODE, logged_in()], [code(2), Wait(10), logged_in("login-2")]]
        session_harness.gateway.answers += [Wait(5), LoggedOut("over")]
        await session_harness.after(8)
        session_harness.ctx.login_requests.on_logged_out(LoggedOut("over"))
        await session_harness.after(60)
        assert session_harness.state == S.ONLINE
        assert len(session_harness.gateway.asked) == 2

    run_story(story)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_asked_for_whenever_the_session_goes_on_and_every_logout_is_answered(seed: int):
    dice = random.Random(seed)

    def login() -> list[object]:
        step = dice.choice(
            [Scanned(), Unreachable("x"), LoginRefused("no"), LONG, logged_in(f"l{dice.random()}")]
        )
        return [code(dice.randrange(10**6)), Wait(dice.random() * 20), step, logged_in(f"l{dice.random()}")]

    def answer() -> object:
        kinds = [Wait(dice.random() * 30), Unreachable(poll_timed_out=dice.random() < 0.3), LoggedOut("over")]
        return dice.choice(
            [*kinds, ProtocolViolation(), batch(dice.randrange(10**6), message(str(dice.random())))]
        )

    async def story(session_harness: SessionHarness) -> None:
        logouts = []
        for _ in range(80):
            session_harness.gateway.logins.append(login())  # type: ignore[arg-type]
            session_harness.gateway.answers.append(answer())  # type: ignore[arg-type]
            match dice.randrange(5):
                case 0:
                    session_harness.ctx.login_requests.request_login()
                case 1:
                    logouts.append(asyncio.create_task(session_harness.ctx.login_requests.request_logout()))
                case 2:
                    session_harness.ctx.login_requests.on_logged_out(LoggedOut("answer to a send"))
                case 3:
                    session_harness.ctx.login_requests.request_login_if_idle()
                case _:
                    pass
            await session_harness.after(dice.choice([0, 0.001, dice.random() * 10, dice.random() * 500]))
        await session_harness.after(3600)
        assert all(one.done() for one in logouts)
        states = [one.login.state for one in session_harness.shown]
        for before, after in pairwise(states):
            assert before is after or after in TRANSITIONS[before]
        assert session_harness.sender.is_online is (
            session_harness.state in (S.ONLINE, S.INTERRUPTED) and session_harness.session.logged_in
        )

    run_story(story)
