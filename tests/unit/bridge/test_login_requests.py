"""Requests to log in and out, and sends that find the login ended, in every state of a login."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from itertools import pairwise

import pytest

from tests.support.pauseless_loop import run_without_pauses
from tests.support.rows import every_row
from tests.unit.bridge.session_harness import (
    QR_CODE,
    WIFE,
    FakeBackend,
    SessionHarness,
    Wait,
    batch,
    logged_in,
    message,
    qr_code,
)
from wx2mqtt.bridge.login_state import TRANSITIONS
from wx2mqtt.errors import (
    BadCommand,
    LoggedOut,
    LoginPostponed,
    LoginRefused,
    ProtocolViolation,
    Throttled,
    Unreachable,
)
from wx2mqtt.model import Contact, Needs
from wx2mqtt.model import LoginState as S
from wx2mqtt.wechat.backend import ConfirmOnPhone, OnProgress, Scanned

NEVER_ENDS = Wait(10**9)


class SlowContactsBackend(FakeBackend):
    """A backend whose contacts take two minutes."""

    async def list_contacts(self, on_progress: OnProgress) -> AsyncGenerator[tuple[Contact, ...], None]:
        await asyncio.sleep(120)
        yield (WIFE,)


class SlowLogoutBackend(FakeBackend):
    """A backend whose logout takes five seconds."""

    async def logout(self) -> None:
        await asyncio.sleep(5)
        await super().logout()


def run_scenario(
    scenario: Callable[[SessionHarness], Awaitable[None]], backend: FakeBackend | None = None
) -> None:
    async def run_with_harness() -> None:
        session_harness = SessionHarness(backend=backend or FakeBackend())
        await scenario(session_harness)
        await session_harness.run_for(0)  # what went wrong in the session is raised
        await session_harness.stop()

    run_without_pauses(run_with_harness())


@every_row(
    ("steps", "state"),
    [
        ([NEVER_ENDS], S.STARTING),
        ([QR_CODE, NEVER_ENDS], S.WAITING_FOR_SCAN),
        ([QR_CODE, Scanned(), NEVER_ENDS], S.WAITING_FOR_CONFIRM),
        ([ConfirmOnPhone(), NEVER_ENDS], S.WAITING_FOR_CONFIRM),
        ([QR_CODE, Scanned(), logged_in()], S.WAITING_FOR_CONFIRM),  # fetching the people
        ([Unreachable("no answer")], S.INTERRUPTED),
        ([LoginRefused("not you")], S.REFUSED),
    ],
)
def test_whenever_a_logout_is_asked_for_it_rests_and_the_request_is_answered(steps, state):
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append(steps)
        await session_harness.run_for(30)
        assert session_harness.state == state
        async with asyncio.timeout(1):
            await session_harness.ctx.login_requests.request_logout()
        assert session_harness.session.login.needs in (Needs.RELOGIN, Needs.OTHER_BACKEND)
        assert not session_harness.sender.is_online
        tries = len(session_harness.backend.resume_flags)
        await session_harness.run_for(24 * 3600)
        assert len(session_harness.backend.resume_flags) == tries

    run_scenario(scenario, SlowContactsBackend())


def test_a_login_that_was_confirmed_is_not_thrown_away_for_a_new_code():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([QR_CODE, Scanned(), logged_in()])
        await session_harness.run_for(30)
        session_harness.ctx.login_requests.request_login()  # somebody finds that it takes long
        await session_harness.run_for(60)
        session_harness.ctx.login_requests.request_login()
        await session_harness.run_for(60)
        assert session_harness.state == S.ONLINE
        assert session_harness.backend.resume_flags == [True]

    run_scenario(scenario, SlowContactsBackend())


POSTPONED = LoginPostponed("45009", retry_after=3600)


@pytest.mark.parametrize("is_accepted", [False, True], ids=["at the login", "while receiving"])
def test_a_login_that_wechat_has_postponed_is_tried_when_somebody_asks_but_not_again_within_ten_seconds(
    is_accepted: bool,
):
    async def scenario(session_harness: SessionHarness) -> None:
        backend, requests = session_harness.backend, session_harness.ctx.login_requests

        def tries() -> int:
            return len(backend.cursors if is_accepted else backend.resume_flags)

        if is_accepted:
            backend.logins.append([logged_in(resumed=True)])
            backend.answers += [POSTPONED] * 3 + [batch(1)]
        else:
            backend.logins += [[POSTPONED]] * 3 + [[logged_in(resumed=True)]]
        await session_harness.run_for(60)
        assert (session_harness.state, tries()) == (S.INTERRUPTED, 1)
        requests.request_login()
        await session_harness.run_for(4)
        assert tries() == 2
        for new_owner in (False, True):
            with pytest.raises(BadCommand) as caught:
                requests.request_login(new_owner=new_owner)
            assert (caught.value.code, caught.value.facts) == ("rate_limited", {"retry_after": 6.0})
        await session_harness.run_for(6)
        assert tries() == 2
        requests.request_login()
        await session_harness.run_for(10)
        requests.request_login()
        await session_harness.run_for(1)
        assert session_harness.state == S.ONLINE
        tries_until_online = tries()
        for _ in range(2):
            requests.request_login()  # it is online: this has no effect, however often it comes
        await session_harness.run_for(3600)
        assert tries() == tries_until_online

    run_scenario(scenario)


@every_row(
    ("steps", "resume_flags"),
    [
        ([Unreachable("no answer")], [True, True]),
        ([QR_CODE, NEVER_ENDS], [True, True]),
        ([LoginRefused("wrong secret", is_correctable=True)], [True, False]),
        ([logged_in(resumed=True)], [True, True]),
    ],
)
def test_other_credentials_log_in_at_once_whatever_the_session_does(steps, resume_flags):
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [steps, [logged_in(resumed=True)]]
        session_harness.start()
        await session_harness.run_for(0.1)
        session_harness.ctx.login_requests.on_credentials_changed()
        await session_harness.run_for(0.1)
        assert session_harness.state == S.ONLINE
        assert session_harness.backend.resume_flags == resume_flags

    run_scenario(scenario)


def test_a_pause_that_wechat_demands_is_not_ended_by_a_request():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([logged_in(resumed=True)])
        session_harness.backend.answers += [Throttled("too often", retry_after=60), batch(1)]
        await session_harness.run_for(10)
        session_harness.ctx.login_requests.request_login()
        await session_harness.run_for(10)
        assert session_harness.state == S.INTERRUPTED

    run_scenario(scenario)


def test_asking_twice_gives_one_new_code():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [
            [qr_code(1), NEVER_ENDS],
            [qr_code(2), NEVER_ENDS],
            [qr_code(3), NEVER_ENDS],
        ]
        await session_harness.run_for(10)
        session_harness.ctx.login_requests.request_login()
        session_harness.ctx.login_requests.request_login()
        await session_harness.run_for(10)
        assert [report.url for report in session_harness.reports if report.url] == [
            qr_code(1).url,
            qr_code(2).url,
        ]

    run_scenario(scenario)


def test_asking_for_two_logouts_at_once_ends_one_login_and_answers_both():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([QR_CODE, logged_in()])
        await session_harness.run_for(10)
        async with asyncio.timeout(1):
            await asyncio.gather(
                session_harness.ctx.login_requests.request_logout(),
                session_harness.ctx.login_requests.request_logout(),
            )
        assert (session_harness.state, session_harness.backend.logouts) == (S.LOGGED_OUT, 1)

    run_scenario(scenario)


def test_all_that_is_asked_for_during_a_logout_is_done_in_its_order():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [
            [QR_CODE, logged_in()],
            [qr_code(2), NEVER_ENDS],
            [qr_code(3), NEVER_ENDS],
        ]
        await session_harness.run_for(10)
        logouts = [asyncio.create_task(session_harness.ctx.login_requests.request_logout())]
        await session_harness.run_for(1)
        session_harness.ctx.login_requests.request_login()
        logouts.append(asyncio.create_task(session_harness.ctx.login_requests.request_logout()))
        await session_harness.run_for(1)
        session_harness.ctx.login_requests.request_login()
        await session_harness.run_for(60)
        await asyncio.gather(*logouts)
        assert session_harness.states[-1] == "waiting_for_scan"

    run_scenario(scenario, SlowLogoutBackend())


def test_a_login_that_is_asked_for_right_behind_a_logout_follows_it():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [[QR_CODE, logged_in()], [qr_code(2), NEVER_ENDS]]
        await session_harness.run_for(10)
        out = asyncio.create_task(session_harness.ctx.login_requests.request_logout())
        asyncio.get_running_loop().call_soon(session_harness.ctx.login_requests.request_login)
        await session_harness.run_for(10)
        await out
        assert session_harness.backend.logouts == 1
        assert session_harness.states[-2:] == ["logged_out", "waiting_for_scan"]

    run_scenario(scenario)


def test_a_logout_that_is_asked_for_right_behind_a_login_wins():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [[qr_code(1), NEVER_ENDS], [qr_code(2), NEVER_ENDS]]
        await session_harness.run_for(10)
        session_harness.ctx.login_requests.request_login()
        async with asyncio.timeout(1):
            await session_harness.ctx.login_requests.request_logout()
        await session_harness.run_for(3600)
        assert session_harness.state == S.LOGGED_OUT

    run_scenario(scenario)


def test_a_logout_right_after_a_refusal_and_a_new_request_stops_nothing():
    """The new QR code has not arrived yet, so the state is still `refused`."""

    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [[QR_CODE, LoginRefused("not you")], [NEVER_ENDS]]
        await session_harness.run_for(10)
        assert session_harness.state == S.REFUSED
        session_harness.ctx.login_requests.request_login()
        await session_harness.run_for(1)
        async with asyncio.timeout(1):
            await session_harness.ctx.login_requests.request_logout()
        assert session_harness.state == S.LOGGED_OUT

    run_scenario(scenario)


def test_a_refusal_without_any_code_after_a_logout_stops_nothing():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [[QR_CODE, logged_in()], [LoginRefused("not you any more")]]
        session_harness.backend.answers.append(LoggedOut("over"))
        await session_harness.run_for(60)
        assert (session_harness.state, session_harness.session.login.reason) == (
            S.REFUSED,
            "not you any more",
        )

    run_scenario(scenario)


@pytest.mark.parametrize("error", [Unreachable("503"), ProtocolViolation(), Throttled(retry_after=60)])
def test_a_send_learns_of_the_logout_while_receiving_fails(error: Exception):
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [[QR_CODE, logged_in()], [qr_code(2), NEVER_ENDS]]
        session_harness.backend.answers += [error] * 1000
        await session_harness.run_for(100)
        assert session_harness.state == S.INTERRUPTED
        session_harness.ctx.login_requests.on_logged_out(LoggedOut("the phone ended it"))
        await session_harness.run_for(1)
        assert session_harness.states[-2:] == ["logged_out", "waiting_for_scan"]
        assert "the phone ended it" in session_harness.session.login.reason
        assert session_harness.backend.resume_flags == [True, False]

    run_scenario(scenario)


def test_a_send_and_the_poll_learn_of_one_logout_at_once():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [
            [QR_CODE, logged_in()],
            [qr_code(2), NEVER_ENDS],
            [qr_code(3), NEVER_ENDS],
        ]
        session_harness.backend.answers += [Wait(5), LoggedOut("over")]
        session_harness.start()
        asyncio.get_running_loop().call_at(
            5, session_harness.ctx.login_requests.on_logged_out, LoggedOut("over")
        )
        await session_harness.run_for(60)
        assert session_harness.states.count("logged_out") == 1
        assert len(session_harness.backend.resume_flags) == 2

    run_scenario(scenario)


def test_a_send_that_learns_of_it_late_does_not_end_the_next_login():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [
            [QR_CODE, logged_in()],
            [qr_code(2), Wait(10), logged_in("login-2")],
        ]
        session_harness.backend.answers += [Wait(5), LoggedOut("over")]
        await session_harness.run_for(8)
        session_harness.ctx.login_requests.on_logged_out(LoggedOut("over"))
        await session_harness.run_for(60)
        assert session_harness.state == S.ONLINE
        assert len(session_harness.backend.resume_flags) == 2

    run_scenario(scenario)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_asked_for_whenever_the_session_goes_on_and_every_logout_is_answered(seed: int):
    rng = random.Random(seed)

    def login() -> list[object]:
        step = rng.choice(
            [Scanned(), Unreachable("x"), LoginRefused("no"), NEVER_ENDS, logged_in(f"l{rng.random()}")]
        )
        return [
            qr_code(rng.randrange(10**6)),
            Wait(rng.random() * 20),
            step,
            logged_in(f"l{rng.random()}"),
        ]

    def answer() -> object:
        kinds = [Wait(rng.random() * 30), Unreachable(poll_timed_out=rng.random() < 0.3), LoggedOut("over")]
        return rng.choice(
            [*kinds, ProtocolViolation(), batch(rng.randrange(10**6), message(str(rng.random())))]
        )

    async def scenario(session_harness: SessionHarness) -> None:
        logouts = []
        for _ in range(80):
            session_harness.backend.logins.append(login())  # type: ignore[arg-type]
            session_harness.backend.answers.append(answer())  # type: ignore[arg-type]
            match rng.randrange(5):
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
            await session_harness.run_for(rng.choice([0, 0.001, rng.random() * 10, rng.random() * 500]))
        await session_harness.run_for(3600)
        assert all(logout.done() for logout in logouts)
        states = [report.login.state for report in session_harness.reports]
        for before, after in pairwise(states):
            assert before is after or after in TRANSITIONS[before]
        assert session_harness.sender.is_online is (
            session_harness.state in (S.ONLINE, S.INTERRUPTED) and session_harness.session.logged_in
        )

    run_scenario(scenario)
