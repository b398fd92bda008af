"""The simulated WeChat without HTTP: injected messages reach the active login."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wx2mqtt.simulator.message_injection import CannotSend, MessageOrder, inject, inject_raw
from wx2mqtt.simulator.qr_codes import CodeAction
from wx2mqtt.simulator.session import SimulatedSession
from wx2mqtt.simulator.wechat import WeChat


@pytest.fixture
def wechat() -> WeChat:
    return WeChat(seed=1)


def log_in(wechat: WeChat) -> SimulatedSession:
    code = wechat.codes.create(desktop=False, lifetime=60)
    code.apply(CodeAction.SCAN)
    code.apply(CodeAction.CONFIRM)
    return wechat.log_in(code, base_host="wx.qq.com", desktop=False)


def messages(session: SimulatedSession) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in session.log.slice_after(0, 10_000).messages]


def test_a_ticket_that_comes_again_gets_the_same_login(wechat: WeChat):
    session = log_in(wechat)
    [code] = wechat.codes
    assert wechat.log_in(code, base_host="wx.qq.com", desktop=False) is session


def test_ids_are_above_what_a_double_can_hold_and_rise(wechat: WeChat):
    session = log_in(wechat)
    ids = inject(wechat, MessageOrder(sender="wife", to="me", text="{n}", count=100))
    assert [message["MsgId"] for message in messages(session)] == ids
    numbers = [int(message_id) for message_id in ids]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 2**53
    assert numbers[-1] < 2**63


def test_a_count_numbers_its_texts_and_one_alone_keeps_its_braces(wechat: WeChat):
    session = log_in(wechat)
    inject(wechat, MessageOrder(sender="wife", to="me", text="n{n}", count=2))
    inject(wechat, MessageOrder(sender="wife", to="me", text="n{n}"))
    assert [message["Content"] for message in messages(session)] == ["n1", "n2", "n{n}"]


def test_the_recent_chats_follow_the_first_init_only(wechat: WeChat):
    session = log_in(wechat)
    assert wechat.start_session(session) == 0
    assert session.log.head == 3
    assert wechat.start_session(session) == 3
    assert session.log.head == 3


def test_an_unknown_kind_reaches_nobody(wechat: WeChat):
    log_in(wechat)
    with pytest.raises(ValueError, match="no kind is named"):
        inject(wechat, MessageOrder(sender="wife", to="me", kind="strange"))
    assert wechat.phone.count == 0


def test_raw_entries_need_somebody_who_is_logged_in(wechat: WeChat):
    with pytest.raises(CannotSend):
        inject_raw(wechat, {"AddMsgList": []})


def test_the_rate_is_counted_over_a_minute(wechat: WeChat):
    assert [wechat.sends.is_exhausted(2) for _ in range(3)] == [False, False, True]
    assert not wechat.sends.is_exhausted(0)


def test_the_same_seed_gives_the_same_secrets():
    assert log_in(WeChat(seed=5)).sid == log_in(WeChat(seed=5)).sid
    assert log_in(WeChat()).sid != log_in(WeChat()).sid
