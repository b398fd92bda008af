"""The session with a scripted WeChat: states of the login, retries and receiving, with virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from tests.support.hurry import hurry
from tests.unit.bridge.talk import CODE, OWNER, WIFE, Talk, Wait, batch, code, logged_in, message
from wx2mqtt.bridge.account_settings import ExpectedAccount
from wx2mqtt.bridge.session import MAX_QR_CODES
from wx2mqtt.errors import LoggedOut, LoginRefused, ProtocolViolation, StoreFull, Throttled, Unreachable
from wx2mqtt.model import LoginState as S
from wx2mqtt.model import Needs, Owner
from wx2mqtt.wechat.backend import ConfirmOnPhone, LoginStep, PollFailing, PollRecovered, QrExpired, Scanned

Story = Callable[[Talk], Awaitable[None]]


def run_story(story: Story, **made: object) -> None:
    """Run a story with a talk made in its loop."""

    async def whole() -> None:
        talk = Talk(**made)  # type: ignore[arg-type]
        await story(talk)
        await talk.end()

    hurry(whole())


def online(talk: Talk) -> None:
    """The first login needs a scan and stands at once."""
    talk.gateway.logins.append([CODE, Scanned(), logged_in()])


def test_a_scan_leads_online():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append([CODE, Wait(10), Scanned(), Wait(3), logged_in()])
        await talk.after(60)
        assert talk.states == ["waiting_for_scan", "waiting_for_confirm", "online"]
        assert talk.shown[0].url == CODE.url
        assert not any(one.url for one in talk.shown[1:])
        assert [one.login.needs for one in talk.shown] == [Needs.SCAN, Needs.CONFIRM, Needs.NOTHING]
        assert talk.gateway.asked == [True]
        assert talk.sender.is_online

    run_story(story)


def test_a_code_that_is_over_is_taken_away_at_once():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append([CODE, Wait(10), QrExpired(), Wait(30), code(2)])
        await talk.after(20)
        assert talk.shown[-1].url == ""
        assert talk.shown[-1].login.qr_expires is None
        await talk.after(30)
        assert talk.shown[-1].url == code(2).url
        assert talk.state == S.WAITING_FOR_SCAN

    run_story(story)


def test_after_the_tenth_code_none_is_asked_for():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append([step for n in range(30) for step in (code(n), Wait(300), QrExpired())])
        await talk.after(24 * 3600)
        assert len({one.url for one in talk.shown if one.url}) == MAX_QR_CODES
        assert talk.state == S.LOGGED_OUT

    run_story(story)


def test_a_code_that_cannot_be_polled_stays_while_the_state_says_interrupted():
    async def story(talk: Talk) -> None:
        silence: list[LoginStep | Wait] = [PollFailing(reason="no answer"), Wait(60), PollRecovered()]
        talk.gateway.logins.append([CODE, Wait(10), *silence, Wait(30), logged_in()])
        await talk.after(20)
        assert talk.state == S.INTERRUPTED
        assert talk.shown[-1].url == CODE.url
        assert talk.shown[-1].login.qr_expires == talk.shown[0].login.qr_expires
        await talk.after(60)
        assert talk.states == ["waiting_for_scan", "interrupted", "waiting_for_scan"]
        assert talk.shown[-1].url == CODE.url
        await talk.after(60)
        assert talk.state == S.ONLINE

    run_story(story)


def test_ten_codes_are_shown_and_then_it_rests_until_somebody_asks():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append([step for n in range(30) for step in (code(n), Wait(300))])
        await talk.after(24 * 3600)
        codes = [one for one in talk.shown if one.url]
        assert len(codes) == MAX_QR_CODES
        assert talk.state == S.LOGGED_OUT
        assert talk.session.login.needs is Needs.RELOGIN
        assert talk.gateway.asked == [True]
        assert talk.silence(24 * 3600) == []  # who rests is not stuck
        talk.gateway.logins.append([CODE])
        talk.session.request_login()
        await talk.after(1)
        assert talk.state == S.WAITING_FOR_SCAN
        assert talk.gateway.asked == [True, False]

    run_story(story)


def test_a_request_while_a_code_is_shown_gives_a_new_one_and_ten_more():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append([step for n in range(9) for step in (code(n), Wait(300))])
        await talk.after(8.5 * 300)
        talk.gateway.logins.append([step for n in range(10, 40) for step in (code(n), Wait(300))])
        talk.session.request_login()
        await talk.after(24 * 3600)
        assert sum(bool(one.url) for one in talk.shown) == 9 + MAX_QR_CODES

    run_story(story)


def test_a_person_may_take_her_time_to_confirm_and_nothing_counts_as_stuck():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append([CODE, Wait(5), Scanned(), Wait(295), logged_in()])
        await talk.after(301)
        assert talk.state == S.ONLINE
        assert talk.silence(301) == []

    run_story(story)


def test_a_phone_that_is_asked_may_take_its_time_too():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append([ConfirmOnPhone(), Wait(299), logged_in()])
        await talk.after(300)
        assert talk.states == ["waiting_for_confirm", "online"]
        assert talk.silence(300) == []

    run_story(story)


def test_the_phone_is_asked_once_even_when_the_line_breaks_behind_its_answer():
    async def story(talk: Talk) -> None:
        talk.gateway.logins += [[ConfirmOnPhone(), Wait(5), Unreachable()], [CODE]]
        await talk.after(120)
        assert talk.gateway.asked == [True, False]
        assert talk.states == ["waiting_for_confirm", "interrupted", "waiting_for_scan"]

    run_story(story)


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
        talk.session.handle_logged_out(LoggedOut("over"))
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


def test_another_account_is_logged_out_again_and_its_number_is_not_published():
    async def story(talk: Talk) -> None:
        stranger = Owner(handle=OWNER.handle, nickname="Eve", uin="666")
        talk.gateway.logins.append([CODE, logged_in(owner=stranger)])
        await talk.after(60)
        login = talk.session.login
        assert (login.state, login.needs) == (S.REFUSED, Needs.RELOGIN)
        assert "Eve" in login.reason
        assert talk.gateway.logouts == 1
        for number in ("666", "211722515"):
            assert number not in str(login.body("home"))

    run_story(story, expected=ExpectedAccount(uin="211722515"))


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
        talk.session.request_login_if_idle()
        await talk.after(1)
        assert talk.state == S.WAITING_FOR_SCAN

    run_story(story)


@pytest.mark.parametrize(
    "trouble",
    [
        Unreachable("503"),
        ProtocolViolation(),
        Throttled("too often", retry_after=5),
        Unreachable(poll_timed_out=True),
    ],
    ids=repr,
)
def test_answers_that_fail_are_published_within_45_seconds_and_an_answer_ends_it(trouble: Exception):
    async def story(talk: Talk) -> None:
        online(talk)
        takes = 35.0 if getattr(trouble, "hung", False) else 0.05
        for _ in range(8):
            talk.gateway.answers += [Wait(takes), trouble]
        talk.gateway.answers.append(batch(1, message("1")))
        await talk.after(30)
        await talk.after(900)
        interrupted = talk.first(S.INTERRUPTED)
        assert interrupted.at <= 45
        assert interrupted.login.needs is Needs.NOTHING
        assert talk.state == S.ONLINE
        assert [one.id for one in talk.journal.messages()] == ["1"]
        assert talk.silence(930) == [] or talk.silence(930)[0][0] > 120

    run_story(story)


def test_one_answer_that_fails_is_no_news():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.gateway.answers += [Unreachable("503"), batch(1, message("1"))]
        await talk.after(20)
        assert "interrupted" not in talk.states

    run_story(story)


def test_a_store_that_takes_nothing_is_published_and_the_same_cursor_is_received_again():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.gateway.answers += [Wait(5), *[batch(1, message("1"))] * 3]
        await talk.after(3)
        talk.journal.troubles += [StoreFull("no room left"), StoreFull("no room left")]
        await talk.after(60)
        assert "no room left" in talk.first(S.INTERRUPTED).login.reason
        assert talk.gateway.cursors == ["login-1:0", "login-1:0", "login-1:0", "login-1:1"]
        assert [one.id for one in talk.journal.messages()] == ["1"]
        assert talk.state == S.ONLINE

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


def test_nothing_is_received_while_the_store_is_full():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.quota.size = talk.quota.limit
        talk.gateway.answers.append(batch(1, message("1")))
        await talk.after(300)
        assert talk.state == S.INTERRUPTED
        assert "5 MB" in talk.session.login.reason
        assert talk.gateway.cursors == []
        assert talk.silence(300) == []
        talk.quota.size = 0
        await talk.after(30)
        assert talk.state == S.ONLINE
        assert [one.id for one in talk.journal.messages()] == ["1"]

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


def test_what_is_fetched_beside_receiving_does_not_vouch_for_receiving():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.gateway.directory += [Unreachable()] * 300
        talk.gateway.answers.append(Wait(10**9))  # receiving hangs, against its word
        await talk.after(3600)
        assert talk.silence(3600) != []

    run_story(story)


def test_a_batch_that_takes_long_vouches_for_receiving_with_each_of_its_messages():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.gateway.answers.append(Wait(10**9))
        talk.session.on_message_processed()  # before the login this says nothing
        assert talk.beats == []
        for _ in range(60):
            await talk.after(60)
            talk.session.on_message_processed()
        assert talk.silence(3600) == []

    run_story(story)


def test_a_resumed_login_keeps_its_cursor_and_a_new_one_begins_anew():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.gateway.answers += [batch(1, message("1")), LoggedOut("over")]
        talk.gateway.logins.append([CODE, logged_in("login-2")])
        await talk.after(60)
        assert talk.gateway.cursors == ["login-1:0", "login-1:1", "login-2:0"]
        assert talk.journal.cursors[0] == ("login-1", "login-1:0")

    run_story(story)


def test_a_batch_that_is_being_stored_when_the_login_ends_is_published_all_the_same():
    async def story(talk: Talk) -> None:
        online(talk)
        talk.gateway.answers += [Wait(5), batch(1, message("1"))]
        talk.journal.meanwhile = lambda: talk.session.handle_logged_out(LoggedOut("over"))
        await talk.after(60)
        assert "logged_out" in talk.states
        assert [one.id for one in talk.journal.messages()] == ["1"]
        assert [one.messages for one in talk.stored if one.messages] == [1]

    run_story(story)


def test_a_code_that_comes_in_the_same_millisecond_is_shown_as_well():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append([code(1), code(2)])
        await talk.after(1)
        assert [one.url for one in talk.shown] == [code(1).url, code(2).url]

    run_story(story)


async def test_who_is_ended_while_a_conversation_ends_has_ended():
    """A cancellation in that moment must not get lost: the bridge would never stop."""
    talk, slow = Talk(), asyncio.Event()

    async def conversation() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await slow.wait()

    ending = asyncio.create_task(talk.session._run_until_interrupted(conversation()))
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


def test_a_new_state_is_logged_and_a_new_code_in_the_same_state_is_not():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append([code(1), Wait(10), code(2), Wait(10), Scanned(), Wait(3), logged_in()])
        await talk.after(60)

    with capture_logs() as logs:
        run_story(story)
    logged = [each["state"] for each in logs if each["event"] == "login"]
    assert logged == ["waiting_for_scan", "waiting_for_confirm", "online"]


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
