"""The verification code: requested by the state, given by request, and refused at any other time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.bridge.talk import CODE, Talk, Wait, logged_in
from tests.unit.bridge.test_session import run_story
from wx2mqtt.bridge.account_settings import ExpectedAccount
from wx2mqtt.bridge.login_state import required_of_person
from wx2mqtt.bridge.requests.handlers import AccountRequests
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Handle, Needs, Owner
from wx2mqtt.model import LoginState as S
from wx2mqtt.mqtt import commands
from wx2mqtt.wechat.backend import CodeRequired, ConfirmOnPhone, PollFailing, PollRecovered, Scanned

NAMELESS = Owner(handle=Handle("o9cq80me@im.wechat"), nickname="")


def asked(talk: Talk) -> AccountRequests:
    absent: Any = None
    return AccountRequests(talk.ctx, talk.session, talk.inbound, absent, absent)


def test_the_state_asks_for_the_number_and_for_another_one():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append(
            [
                CODE,
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
        await talk.after(60)
        assert [(one.login.state, one.login.needs) for one in talk.shown] == [
            (S.WAITING_FOR_SCAN, Needs.SCAN),
            (S.WAITING_FOR_CONFIRM, Needs.CODE),
            (S.WAITING_FOR_CONFIRM, Needs.CODE),
            (S.WAITING_FOR_CONFIRM, Needs.CONFIRM),
            (S.ONLINE, Needs.NOTHING),
        ]
        assert "that was not the number" in talk.shown[2].login.reason

    run_story(story)


def test_a_number_goes_to_the_gateway_while_it_is_asked_for():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append([CODE, Wait(5), CodeRequired(), Wait(5), logged_in()])
        handlers: dict[str, Any] = dict(asked(talk).handlers())
        await talk.after(1)
        with pytest.raises(BadCommand, match="no_code_asked"):
            await handlers["login"]({"code": "1"})
        await talk.after(6)
        assert (await handlers["login"]({"code": "012345"}))["needs"] == "code"
        assert (await handlers["login"]({"code": 123}))["needs"] == "code"
        assert talk.gateway.given == ["012345", "123"]
        await talk.after(60)
        with pytest.raises(BadCommand, match="no_code_asked"):
            await handlers["login"]({"code": "1"})
        assert len(talk.gateway.given) == 2

    run_story(story)


def test_that_wechat_is_silent_for_a_while_does_not_forget_what_was_asked():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append(
            [CODE, CodeRequired(), Wait(5), PollFailing(reason="x"), Wait(5), PollRecovered(), Wait(99)]
        )
        await talk.after(20)
        assert (talk.state, talk.session.login.needs) == (S.WAITING_FOR_CONFIRM, Needs.CODE)

    run_story(story)


def test_who_has_no_name_is_logged_in_all_the_same():
    async def story(talk: Talk) -> None:
        talk.gateway.capabilities = replace(talk.gateway.capabilities, handles_change_at_login=False)
        talk.gateway.logins.append([CODE, logged_in(owner=NAMELESS)])
        await talk.after(5)
        assert talk.shown[-1].login.reason == "logged in"

    run_story(story)


def test_only_the_account_that_the_file_names_may_log_in():
    async def story(talk: Talk) -> None:
        talk.gateway.logins.append([CODE, logged_in(owner=NAMELESS)])
        await talk.after(5)
        assert talk.state == S.REFUSED
        assert "expect.ilink" in talk.shown[-1].login.reason
        assert "o9cq80" not in talk.shown[-1].login.reason

    run_story(story, expected=ExpectedAccount(ilink="o9cq80other@im.wechat"))
    assert ExpectedAccount(ilink="o9cq80me@im.wechat").mismatched_key(NAMELESS) == ""


@pytest.mark.parametrize("code", ["", " ", "12a", "١٢", "1" * 13, -5, 1.5, True, None, [], {}])
def test_what_is_no_number_is_said_to_be_none(code):
    with pytest.raises(BadCommand, match="bad_value"):
        commands.read_digits({"code": code}, "code")


@pytest.mark.parametrize(
    ("code", "typed"), [("0", "0"), (" 123456\n", "123456"), (7, "7"), ("0" * 12, "0" * 12)]
)
def test_digits_are_taken_as_they_are_typed(code, typed):
    assert commands.read_digits({"code": code}, "code") == typed


def test_each_question_has_its_word():
    assert required_of_person(ConfirmOnPhone()) == ("ask_phone", Needs.CONFIRM)
    assert required_of_person(Scanned()) == ("confirm", Needs.CONFIRM)
    assert required_of_person(CodeRequired()) == ("type_code", Needs.CODE)
    assert required_of_person(CodeRequired(wrong=True)) == ("wrong_code", Needs.CODE)
