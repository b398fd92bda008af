"""The login session with a fake backend in virtual time: what follows from the end of a login."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.bridge.session_harness import (
    QR_CODE,
    WIFE,
    SessionHarness,
    Wait,
    add_login,
    batch,
    logged_in,
    message,
    run_scenario,
)
from wx2mqtt.bridge.login import LoginAttempt
from wx2mqtt.errors import LoggedOut, LoginEnded, LoginRefused, StoreFull, Unreachable
from wx2mqtt.model import LoginState as S
from wx2mqtt.model import Needs


def test_unreachable_at_the_start_is_published_and_the_saved_login_tried_again_ever_more_rarely():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [[Unreachable("no answer")] for _ in range(20)]
        session_harness.backend.logins.append([logged_in(resumed=True)])
        await session_harness.run_for(300)
        assert session_harness.states == ["interrupted"]
        assert 5 <= len(session_harness.backend.resume_flags) <= 14
        await session_harness.run_for(1500)
        assert session_harness.state == S.ONLINE
        assert all(session_harness.backend.resume_flags)

    run_scenario(scenario)


def test_a_request_does_not_wait_for_the_next_try():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [[Unreachable("no answer")] for _ in range(20)]
        await session_harness.run_for(200)
        tries = len(session_harness.backend.resume_flags)
        session_harness.backend.logins.clear()
        session_harness.backend.logins.append([QR_CODE])
        session_harness.ctx.login_requests.request_login()
        await session_harness.run_for(0.5)
        assert session_harness.backend.resume_flags[tries:] == [False]
        assert session_harness.state == S.WAITING_FOR_SCAN

    run_scenario(scenario)


def test_a_logout_does_not_wait_for_the_next_try():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [[Unreachable("no answer")] for _ in range(20)]
        await session_harness.run_for(200)
        async with asyncio.timeout(1):
            await session_harness.ctx.login_requests.request_logout()
        assert session_harness.state == S.LOGGED_OUT
        assert session_harness.backend.logouts == 1

    run_scenario(scenario)


@pytest.mark.parametrize("when", [0.0, 0.001])
def test_a_request_in_the_moment_of_the_login_leaves_the_login_alone(when: float):
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([QR_CODE, Wait(10), logged_in()])
        session_harness.start()
        loop = asyncio.get_running_loop()
        loop.call_at(10 - when, session_harness.ctx.login_requests.request_login)
        loop.call_at(10.0, session_harness.ctx.login_requests.request_login)
        loop.call_at(10.015, session_harness.ctx.login_requests.request_login)
        session_harness.backend.logins.append([QR_CODE])
        await session_harness.run_for(60)
        assert session_harness.state in (S.ONLINE, S.WAITING_FOR_SCAN)

    run_scenario(scenario)


def test_a_request_while_online_changes_nothing():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        await session_harness.run_for(10)
        session_harness.ctx.login_requests.request_login()
        await session_harness.run_for(10)
        assert session_harness.state == S.ONLINE
        assert session_harness.backend.resume_flags == [True]

    run_scenario(scenario)


def test_a_logout_seen_while_running_is_published_and_leads_to_a_code_without_the_saved_login():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.answers.append(LoggedOut("the phone ended the login"))
        session_harness.backend.logins.append([QR_CODE])
        await session_harness.run_for(10)
        gone = session_harness.first_report(S.LOGGED_OUT).login
        assert (gone.needs, gone.reason) == (Needs.RELOGIN, "the phone ended the login")
        assert session_harness.state == S.WAITING_FOR_SCAN
        assert "the phone ended the login" in session_harness.session.login.reason
        assert session_harness.backend.resume_flags == [True, False]
        assert not session_harness.sender.is_online

    run_scenario(scenario)


def test_a_logout_in_the_answer_to_a_send_ends_the_session_as_well():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.logins.append([QR_CODE])
        await session_harness.run_for(10)
        session_harness.ctx.login_requests.on_logged_out(LoggedOut("over"))
        await session_harness.run_for(1)
        assert session_harness.states[-2:] == ["logged_out", "waiting_for_scan"]

    run_scenario(scenario)


def test_a_logout_while_the_people_are_fetched_again_ends_the_session_as_well():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.directory += [*[Unreachable()] * 3, LoggedOut("over")]
        session_harness.backend.logins.append([QR_CODE])
        await session_harness.run_for(600)
        assert session_harness.states[-2:] == ["logged_out", "waiting_for_scan"]

    run_scenario(scenario)


def test_a_refusal_rests_and_is_not_tried_again():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [[QR_CODE, LoginRefused("not this account")], [QR_CODE]]
        await session_harness.run_for(7 * 24 * 3600)
        refused = session_harness.session.login
        assert (refused.state, refused.needs) == (S.REFUSED, Needs.OTHER_BACKEND)
        assert refused.reason == "not this account"
        assert session_harness.backend.resume_flags == [True]

    run_scenario(scenario)


def test_asked_to_log_out_it_rests_until_it_is_asked_to_log_in():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.logins.append([QR_CODE])
        await session_harness.run_for(10)
        await session_harness.ctx.login_requests.request_logout()
        assert (session_harness.state, session_harness.backend.logouts) == (S.LOGGED_OUT, 1)
        await session_harness.run_for(24 * 3600)
        assert session_harness.backend.resume_flags == [True]
        await (
            session_harness.ctx.login_requests.request_logout()
        )  # once more: there is nothing to end, and it returns
        session_harness.ctx.login_requests.request_login_if_idle()
        await session_harness.run_for(1)
        assert session_harness.state == S.WAITING_FOR_SCAN

    run_scenario(scenario)


def test_a_store_that_takes_no_login_is_published_and_the_scan_was_not_for_nothing():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.journal.errors += [StoreFull("no room left")] * 12
        await session_harness.run_for(100)
        assert session_harness.state == S.INTERRUPTED
        assert "no room left" in session_harness.session.login.reason
        await session_harness.run_for(300)
        assert session_harness.state == S.ONLINE
        assert session_harness.backend.resume_flags == [True]
        assert session_harness.journal.cursors[0] == ("login-1", "login-1:0")
        assert session_harness.overdue_spans(200) == []

    run_scenario(scenario)


def test_the_people_of_a_login_that_cannot_be_fetched_are_asked_for_beside_receiving():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.directory += [Unreachable()] * 3
        session_harness.backend.answers.append(batch(1, message("1")))
        await session_harness.run_for(60)
        assert session_harness.state == S.ONLINE
        assert len(session_harness.journal.messages()) == 1
        known = session_harness.registry.by_handle(WIFE.handle)
        assert known is not None
        assert known.remark == "老婆"

    run_scenario(scenario)


def test_after_an_outage_the_people_are_asked_for_at_once():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.directory += [Unreachable()] * 6
        session_harness.backend.answers += [*[Unreachable()] * 5, Wait(1), batch(1, message("1"))]
        await session_harness.run_for(60)
        known = session_harness.registry.by_handle(WIFE.handle)
        assert known is not None
        assert known.remark == "老婆"

    run_scenario(scenario)


async def test_who_is_ended_while_a_conversation_ends_has_ended(monkeypatch):
    """A cancellation in that moment must not get lost: the bridge would never stop."""
    session_harness, slow = SessionHarness(), asyncio.Event()

    async def conversation(_: LoginAttempt) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await slow.wait()

    monkeypatch.setattr(session_harness.session, "_log_in_and_receive", conversation)
    ending = asyncio.create_task(session_harness.session._run_until_request(LoginAttempt()))
    await asyncio.sleep(0)
    session_harness.ctx.login_requests.request_login()
    for _ in range(5):
        await asyncio.sleep(0)
    ending.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    slow.set()
    await asyncio.wait({ending})
    assert ending.cancelled()


def test_after_the_end_of_a_login_its_people_are_not_asked_for_any_more():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.directory += [Unreachable()] * 300
        session_harness.backend.answers += [Wait(60), LoggedOut("over")]
        await session_harness.run_for(120)
        assert session_harness.state != S.ONLINE
        left = len(session_harness.backend.directory)
        await session_harness.run_for(3600)
        assert len(session_harness.backend.directory) == left < 300

    run_scenario(scenario)


def test_after_a_take_over_nothing_is_tried_until_a_person_asks():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [[logged_in(resumed=True)], [QR_CODE]]
        session_harness.backend.answers.append(LoginEnded("another program uses it"))
        await session_harness.run_for(7200)
        assert session_harness.states == ["online", "logged_out"]
        assert session_harness.session.login.needs is Needs.RELOGIN
        assert len(session_harness.backend.resume_flags) == 1
        session_harness.ctx.login_requests.request_login()
        await session_harness.run_for(1)
        assert session_harness.backend.resume_flags[1:] == [False]

    run_scenario(scenario)


def test_credentials_that_are_refused_while_it_is_online_can_be_corrected():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([logged_in(resumed=True)])
        session_harness.backend.answers.append(LoginRefused("wrong secret", is_correctable=True))
        await session_harness.run_for(7200)
        assert session_harness.states == ["online", "interrupted", "refused"]
        assert session_harness.session.login.needs is Needs.RELOGIN
        assert len(session_harness.backend.resume_flags) == 1

    run_scenario(scenario)
