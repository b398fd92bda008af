"""A login with a fake backend: QR codes, the phone, the verification code, and the states meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.rows import every_row
from tests.unit.bridge.session_harness import (
    OWNER,
    QR_CODE,
    SessionHarness,
    Wait,
    logged_in,
    qr_code,
    run_scenario,
)
from wx2mqtt.bridge.account_owner import mismatched_key
from wx2mqtt.bridge.login import MAX_QR_CODES
from wx2mqtt.bridge.login_state import required_of_person
from wx2mqtt.bridge.requests.account_requests import AccountRequests
from wx2mqtt.errors import BadCommand, Unreachable
from wx2mqtt.model import Handle, Needs, Owner
from wx2mqtt.model import LoginState as S
from wx2mqtt.mqtt import commands
from wx2mqtt.settings.schema import Expect
from wx2mqtt.wechat.backend import (
    CodeRequired,
    ConfirmOnPhone,
    LoginStep,
    PollFailing,
    PollRecovered,
    QrExpired,
    Scanned,
)

NAMELESS = Owner(handle=Handle("o9cq80me@im.wechat"), nickname="")


def asked(session_harness: SessionHarness) -> AccountRequests:
    absent: Any = None
    return AccountRequests(
        session_harness.ctx, session_harness.session, session_harness.inbound, absent, absent
    )


def test_the_state_asks_for_the_number_and_for_another_one():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append(
            [
                QR_CODE,
                Wait(5),
                CodeRequired(),
                Wait(5),
                CodeRequired(wrong=True),
                Wait(5),
                Scanned(),
                Wait(5),
                logged_in(),
            ]
        )
        await session_harness.run_for(60)
        assert [(report.login.state, report.login.needs) for report in session_harness.reports] == [
            (S.WAITING_FOR_SCAN, Needs.SCAN),
            (S.WAITING_FOR_CONFIRM, Needs.CODE),
            (S.WAITING_FOR_CONFIRM, Needs.CODE),
            (S.WAITING_FOR_CONFIRM, Needs.CONFIRM),
            (S.ONLINE, Needs.NOTHING),
        ]
        assert "that was not the number" in session_harness.reports[2].login.reason

    run_scenario(scenario)


def test_a_number_goes_to_the_gateway_while_it_is_asked_for():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([QR_CODE, Wait(5), CodeRequired(), Wait(5), logged_in()])
        handlers: dict[str, Any] = dict(asked(session_harness).handlers())
        await session_harness.run_for(1)
        with pytest.raises(BadCommand, match="no_code_asked"):
            await handlers["login"]({"code": "1"})
        await session_harness.run_for(6)
        assert (await handlers["login"]({"code": "012345"}))["needs"] == "code"
        assert (await handlers["login"]({"code": 123}))["needs"] == "code"
        assert session_harness.backend.entered_codes == ["012345", "123"]
        await session_harness.run_for(60)
        with pytest.raises(BadCommand, match="no_code_asked"):
            await handlers["login"]({"code": "1"})
        assert len(session_harness.backend.entered_codes) == 2

    run_scenario(scenario)


def test_after_failed_polls_the_state_still_asks_for_the_verification_code():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append(
            [QR_CODE, CodeRequired(), Wait(5), PollFailing(reason="x"), Wait(5), PollRecovered(), Wait(99)]
        )
        await session_harness.run_for(20)
        assert (session_harness.state, session_harness.session.login.needs) == (
            S.WAITING_FOR_CONFIRM,
            Needs.CODE,
        )

    run_scenario(scenario)


def test_an_owner_without_a_name_is_logged_in():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.capabilities = replace(
            session_harness.backend.capabilities, handles_change_at_login=False
        )
        session_harness.backend.logins.append([QR_CODE, logged_in(owner=NAMELESS)])
        await session_harness.run_for(5)
        assert session_harness.reports[-1].login.reason == "logged in"

    run_scenario(scenario)


def test_only_the_account_that_the_file_names_may_log_in():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([QR_CODE, logged_in(owner=NAMELESS)])
        await session_harness.run_for(5)
        assert session_harness.state == S.REFUSED
        assert "expect.ilink" in session_harness.reports[-1].login.reason
        assert "o9cq80" not in session_harness.reports[-1].login.reason

    run_scenario(scenario, expected=Expect(ilink="o9cq80other@im.wechat"))
    assert mismatched_key(Expect(ilink="o9cq80me@im.wechat"), NAMELESS) == ""


@every_row("code", ["", " ", "12a", "١٢", "1" * 13, -5, 1.5, True, None, [], {}])
def test_what_is_no_number_is_said_to_be_none(code):
    with pytest.raises(BadCommand, match="bad_value"):
        commands.read_digits({"code": code}, "code")


@every_row(("code", "typed"), [("0", "0"), (" 123456\n", "123456"), (7, "7"), ("0" * 12, "0" * 12)])
def test_digits_are_taken_as_they_are_typed(code, typed):
    assert commands.read_digits({"code": code}, "code") == typed


def test_each_login_step_has_its_message_and_its_need():
    assert required_of_person(ConfirmOnPhone()) == ("ask_phone", Needs.CONFIRM)
    assert required_of_person(Scanned()) == ("confirm", Needs.CONFIRM)
    assert required_of_person(CodeRequired()) == ("type_code", Needs.CODE)
    assert required_of_person(CodeRequired(wrong=True)) == ("wrong_code", Needs.CODE)


def test_a_scan_leads_online():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([QR_CODE, Wait(10), Scanned(), Wait(3), logged_in()])
        await session_harness.run_for(60)
        assert session_harness.states == ["waiting_for_scan", "waiting_for_confirm", "online"]
        assert session_harness.reports[0].url == QR_CODE.url
        assert not any(report.url for report in session_harness.reports[1:])
        assert [report.login.needs for report in session_harness.reports] == [
            Needs.SCAN,
            Needs.CONFIRM,
            Needs.NOTHING,
        ]
        assert session_harness.backend.resume_flags == [True]
        assert session_harness.sender.is_online

    run_scenario(scenario)


def test_a_code_that_is_over_is_taken_away_at_once():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([QR_CODE, Wait(10), QrExpired(), Wait(30), qr_code(2)])
        await session_harness.run_for(20)
        assert session_harness.reports[-1].url == ""
        assert session_harness.reports[-1].login.qr_expires is None
        await session_harness.run_for(30)
        assert session_harness.reports[-1].url == qr_code(2).url
        assert session_harness.state == S.WAITING_FOR_SCAN

    run_scenario(scenario)


def test_after_the_tenth_code_none_is_asked_for():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append(
            [step for n in range(30) for step in (qr_code(n), Wait(300), QrExpired())]
        )
        await session_harness.run_for(24 * 3600)
        assert len({report.url for report in session_harness.reports if report.url}) == MAX_QR_CODES
        assert session_harness.state == S.LOGGED_OUT

    run_scenario(scenario)


def test_a_code_that_cannot_be_polled_stays_while_the_state_says_interrupted():
    async def scenario(session_harness: SessionHarness) -> None:
        silence: list[LoginStep | Wait] = [PollFailing(reason="no answer"), Wait(60), PollRecovered()]
        session_harness.backend.logins.append([QR_CODE, Wait(10), *silence, Wait(30), logged_in()])
        await session_harness.run_for(20)
        assert session_harness.state == S.INTERRUPTED
        assert session_harness.reports[-1].url == QR_CODE.url
        assert session_harness.reports[-1].login.qr_expires == session_harness.reports[0].login.qr_expires
        await session_harness.run_for(60)
        assert session_harness.states == ["waiting_for_scan", "interrupted", "waiting_for_scan"]
        assert session_harness.reports[-1].url == QR_CODE.url
        await session_harness.run_for(60)
        assert session_harness.state == S.ONLINE

    run_scenario(scenario)


def test_ten_codes_are_shown_and_then_it_rests_until_somebody_asks():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([step for n in range(30) for step in (qr_code(n), Wait(300))])
        await session_harness.run_for(24 * 3600)
        codes = [report for report in session_harness.reports if report.url]
        assert len(codes) == MAX_QR_CODES
        assert session_harness.state == S.LOGGED_OUT
        assert session_harness.session.login.needs is Needs.RELOGIN
        assert session_harness.backend.resume_flags == [True]
        assert session_harness.overdue_spans(24 * 3600) == []  # who rests is not stuck
        session_harness.backend.logins.append([QR_CODE])
        session_harness.ctx.login_requests.request_login()
        await session_harness.run_for(1)
        assert session_harness.state == S.WAITING_FOR_SCAN
        assert session_harness.backend.resume_flags == [True, False]

    run_scenario(scenario)


def test_a_request_while_a_code_is_shown_gives_a_new_one_and_ten_more():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([step for n in range(9) for step in (qr_code(n), Wait(300))])
        await session_harness.run_for(8.5 * 300)
        session_harness.backend.logins.append(
            [step for n in range(10, 40) for step in (qr_code(n), Wait(300))]
        )
        session_harness.ctx.login_requests.request_login()
        await session_harness.run_for(24 * 3600)
        assert sum(bool(report.url) for report in session_harness.reports) == 9 + MAX_QR_CODES

    run_scenario(scenario)


def test_a_person_may_take_her_time_to_confirm_and_nothing_counts_as_stuck():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([QR_CODE, Wait(5), Scanned(), Wait(295), logged_in()])
        await session_harness.run_for(301)
        assert session_harness.state == S.ONLINE
        assert session_harness.overdue_spans(301) == []

    run_scenario(scenario)


def test_a_phone_that_is_asked_may_take_its_time_too():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([ConfirmOnPhone(), Wait(299), logged_in()])
        await session_harness.run_for(300)
        assert session_harness.states == ["waiting_for_confirm", "online"]
        assert session_harness.overdue_spans(300) == []

    run_scenario(scenario)


def test_the_phone_is_asked_once_even_when_the_line_breaks_behind_its_answer():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [[ConfirmOnPhone(), Wait(5), Unreachable()], [QR_CODE]]
        await session_harness.run_for(120)
        assert session_harness.backend.resume_flags == [True, False]
        assert session_harness.states == ["waiting_for_confirm", "interrupted", "waiting_for_scan"]

    run_scenario(scenario)


def test_another_account_is_logged_out_again_and_its_number_is_not_published():
    async def scenario(session_harness: SessionHarness) -> None:
        stranger = Owner(handle=OWNER.handle, nickname="Eve", uin="666")
        session_harness.backend.logins.append([QR_CODE, logged_in(owner=stranger)])
        await session_harness.run_for(60)
        login = session_harness.session.login
        assert (login.state, login.needs) == (S.REFUSED, Needs.RELOGIN)
        assert "Eve" in login.reason
        assert session_harness.backend.logouts == 1
        for number in ("666", "211722515"):
            assert number not in str(login.body("home"))

    run_scenario(scenario, expected=Expect(uin="211722515"))


def test_a_code_that_comes_in_the_same_millisecond_is_shown_as_well():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append([qr_code(1), qr_code(2)])
        await session_harness.run_for(1)
        assert [report.url for report in session_harness.reports] == [qr_code(1).url, qr_code(2).url]

    run_scenario(scenario)


def test_a_new_state_is_logged_and_a_new_code_in_the_same_state_is_not():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins.append(
            [qr_code(1), Wait(10), qr_code(2), Wait(10), Scanned(), Wait(3), logged_in()]
        )
        await session_harness.run_for(60)

    with capture_logs() as logs:
        run_scenario(scenario)
    logged = [each["state"] for each in logs if each["event"] == "login"]
    assert logged == ["waiting_for_scan", "waiting_for_confirm", "online"]
