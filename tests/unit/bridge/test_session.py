"""The session with a scripted WeChat: what follows from the end of a login, with virtual time."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.bridge.talk import (
    CODE,
    WIFE,
    Talk,
    Wait,
    batch,
    logged_in,
    message,
    online,
    run_story,
)
from wx2mqtt.bridge.login import LoginAttempt
from wx2mqtt.errors import LoggedOut, LoginRefused, StoreFull, Unreachable
from wx2mqtt.model import LoginState as S
from wx2mqtt.model import Needs


def test_unreachable_at_the_start_is_published_and_the_saved_login_tried_again_ever_more_rarely():
    async def story(talk: Talk) -> None:
        talk.gateway.logins += [[Unreachable("no answer")] for _ in range(20)]
        talk.gateway.logins.append([logged_in(resumed=True)])
        await talk.after(300)
        assert talk.states == ["interrupted"]
        assert 5 <= len(talk.gateway.asked) <= 14
        await talk.after(1500)
        assert talk.state == S.ONLINE
        assert all(talk.gateway.asked)

    run_story(story)


def test_a_request_does_not_wait_for_the_next_try():
    async def story(talk: Talk) -> None:
        talk.gateway.logins += [[Unreachable("no answer")] for _ in range(20)]
        await talk.after(200)
        tries = len(talk.gateway.asked)
        talk.gateway.logins.clear()
        talk.gateway.logins.append([CODE])
        talk.session.request_login()
        await talk.after(0.5)
        assert talk.gateway.asked[tries:] == [False]
        assert talk.state == S.WAITING_FOR_SCAN

    run_story(story)


def test_a_logout_does_not_wait_for_the_next_try():
    async def story(talk: Talk) -> None:
        talk.gateway.logins += [[Unreachable("no answer")] for _ in range(20)]
        await talk.after(200)
        async with asyncio.timeout(1):
            await talk.session.log_out()
        assert talk.state == S.LOGGED_OUT
        assert talk.gateway.logouts == 1

    run_story(story)


@pytest.mark.parametrize("when", [0.0, 0.001])
def test_a_request_in_the_moment_of_the_login_leaves_the_login_alone(when: float):
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append([CODE, Wait(10), logged_in()])
        talk.start()
        loop = asyncio.get_running_loop()
        loop.call_at(10 - when, talk.session.request_login)
        loop.call_at(10.0, talk.session.request_login)
        loop.call_at(10.015, talk.session.request_login)
        talk.gateway.logins.append([CODE])
        await talk.after(60)
        assert talk.state in (S.ONLINE, S.WAITING_FOR_SCAN)

    run_story(story)


def test_a_request_while_online_changes_nothing():
    async def story(talk: Talk) -> None:
        online(talk)
        await talk.after(10)
        talk.session.request_login()
        await talk.after(10)
        assert talk.state == S.ONLINE
        assert talk.gateway.asked == [True]

    run_story(story)


def test_a_logout_seen_while_running_is_published_and_leads_to_a_code_without_the_saved_login():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.gateway.answers.append(LoggedOut("the phone ended the login"))
        talk.gateway.logins.append([CODE])
        await talk.after(10)
        gone = talk.first(S.LOGGED_OUT).login
        assert (gone.needs, gone.reason) == (Needs.RELOGIN, "the phone ended the login")
        assert talk.state == S.WAITING_FOR_SCAN
        assert "the phone ended the login" in talk.session.login.reason
        assert talk.gateway.asked == [True, False]
        assert not talk.sender.is_online

    run_story(story)


def test_a_logout_in_the_answer_to_a_send_ends_the_session_as_well():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.gateway.logins.append([CODE])
        await talk.after(10)
        talk.ctx.login_requests.on_logged_out(LoggedOut("over"))
        await talk.after(1)
        assert talk.states[-2:] == ["logged_out", "waiting_for_scan"]

    run_story(story)


def test_a_logout_while_the_people_are_fetched_again_ends_the_session_as_well():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.gateway.directory += [*[Unreachable()] * 3, LoggedOut("over")]
        talk.gateway.logins.append([CODE])
        await talk.after(600)
        assert talk.states[-2:] == ["logged_out", "waiting_for_scan"]

    run_story(story)


def test_a_refusal_rests_and_is_not_tried_again():
    async def story(talk: Talk) -> None:
        talk.gateway.logins += [[CODE, LoginRefused("not this account")], [CODE]]
        await talk.after(7 * 24 * 3600)
        refused = talk.session.login
        assert (refused.state, refused.needs) == (S.REFUSED, Needs.OTHER_BACKEND)
        assert refused.reason == "not this account"
        assert talk.gateway.asked == [True]

    run_story(story)


def test_asked_to_log_out_it_rests_until_it_is_asked_to_log_in():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.gateway.logins.append([CODE])
        await talk.after(10)
        await talk.session.log_out()
        assert (talk.state, talk.gateway.logouts) == (S.LOGGED_OUT, 1)
        await talk.after(24 * 3600)
        assert talk.gateway.asked == [True]
        await talk.session.log_out()  # once more: there is nothing to end, and it returns
        talk.ctx.login_requests.request_login_if_idle()
        await talk.after(1)
        assert talk.state == S.WAITING_FOR_SCAN

    run_story(story)


def test_a_store_that_takes_no_login_is_published_and_the_scan_was_not_for_nothing():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.journal.troubles += [StoreFull("no room left")] * 12
        await talk.after(100)
        assert talk.state == S.INTERRUPTED
        assert "no room left" in talk.session.login.reason
        await talk.after(300)
        assert talk.state == S.ONLINE
        assert talk.gateway.asked == [True]
        assert talk.journal.cursors[0] == ("login-1", "login-1:0")
        assert talk.silence(200) == []

    run_story(story)


def test_the_people_of_a_login_that_cannot_be_fetched_are_asked_for_beside_receiving():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.gateway.directory += [Unreachable()] * 3
        talk.gateway.answers.append(batch(1, message("1")))
        await talk.after(60)
        assert talk.state == S.ONLINE
        assert len(talk.journal.messages()) == 1
        known = talk.identity.by_handle(WIFE.handle)
        assert known is not None
        assert known.remark == "老婆"

    run_story(story)


async def test_who_is_ended_while_a_conversation_ends_has_ended(monkeypatch):
    """A cancellation in that moment must not get lost: the bridge would never stop."""
    talk, slow = Talk(), asyncio.Event()

    async def conversation(_: LoginAttempt) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await slow.wait()

    monkeypatch.setattr(talk.session, "_log_in_and_receive", conversation)
    ending = asyncio.create_task(talk.session._run_until_request(LoginAttempt()))
    await asyncio.sleep(0)
    talk.session.request_login()
    for _ in range(5):
        await asyncio.sleep(0)
    ending.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    slow.set()
    await asyncio.wait({ending})
    assert ending.cancelled()


def test_after_the_end_of_a_login_its_people_are_not_asked_for_any_more():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.gateway.directory += [Unreachable()] * 300
        talk.gateway.answers += [Wait(60), LoggedOut("over")]
        await talk.after(120)
        assert talk.state != S.ONLINE
        left = len(talk.gateway.directory)
        await talk.after(3600)
        assert len(talk.gateway.directory) == left < 300

    run_story(story)
