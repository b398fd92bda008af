"""The state machine of a login: its transitions, and what a person must do in each state."""

from __future__ import annotations

import pytest

from tests.support.rows import every_row
from wx2mqtt.bridge.login_state import NEEDS, TRANSITIONS, LoginStatus, required_of_person
from wx2mqtt.model import LoginState as S
from wx2mqtt.model import Needs
from wx2mqtt.wechat.backend import CodeRequired, ConfirmOnPhone, Scanned

NOW = 1_795_600_000_123


def test_every_state_has_a_row_and_a_need():
    assert set(TRANSITIONS) == set(NEEDS) == set(S)
    assert all(S.STOPPED in following for state, following in TRANSITIONS.items() if state is not S.STOPPED)


@every_row(
    ("state", "needs"),
    [
        (S.WAITING_FOR_SCAN, Needs.SCAN),
        (S.WAITING_FOR_CONFIRM, Needs.CONFIRM),
        (S.ONLINE, Needs.NOTHING),
        (S.INTERRUPTED, Needs.NOTHING),
        (S.LOGGED_OUT, Needs.RELOGIN),
        (S.REFUSED, Needs.OTHER_BACKEND),
    ],
)
def test_a_state_says_what_a_person_must_do(state: S, needs: Needs):
    assert LoginStatus(since=1).transition(state, "why", NOW).needs is needs


@every_row("state", list(S))
def test_only_what_stands_in_the_table_follows(state: S):
    for following in S:
        login = LoginStatus(state=state, since=1)
        if following is state or following in TRANSITIONS[state]:
            assert login.transition(following, "", NOW).state is following
        else:
            with pytest.raises(ValueError, match="no way"):
                login.transition(following, "", NOW)


def test_online_is_never_taken_for_a_login_that_begins():
    assert not {S.WAITING_FOR_SCAN, S.WAITING_FOR_CONFIRM, S.REFUSED, S.STARTING} & TRANSITIONS[S.ONLINE]


def test_since_is_when_the_state_began_and_not_when_its_reason_changed():
    online = LoginStatus(since=1).transition(S.ONLINE, "", NOW)
    interrupted = online.transition(S.INTERRUPTED, "503", NOW + 5)
    again = interrupted.transition(S.INTERRUPTED, "no answer", NOW + 10)
    assert (interrupted.since, again.since, again.reason) == (NOW + 5, NOW + 5, "no answer")


def test_the_payload_has_an_expiry_only_while_there_is_a_code():
    waiting = LoginStatus(since=1).transition(S.WAITING_FOR_SCAN, "scan", NOW, qr_expires=NOW + 300_000)
    assert waiting.body("home") == {
        "schema": 1,
        "state": "waiting_for_scan",
        "needs": "scan",
        "reason": "scan",
        "since": "2026-11-25T09:46:40.123Z",
        "account": "home",
        "qr_expires": "2026-11-25T09:51:40.123Z",
    }
    assert "qr_expires" not in waiting.transition(S.ONLINE, "", NOW).body("home")


def reachable(start: S) -> set[S]:
    """Returns every state that can follow sooner or later."""
    found, edge = {start}, [start]
    while edge:
        new = TRANSITIONS[edge.pop()] - found
        found |= new
        edge += new
    return found


def test_every_state_can_come_and_from_each_there_is_a_way_online():
    assert reachable(S.STARTING) == set(S)
    for state in S:
        assert S.ONLINE in reachable(state), state


def test_each_login_step_has_its_message_and_its_need():
    assert required_of_person(ConfirmOnPhone()) == ("ask_phone", Needs.CONFIRM)
    assert required_of_person(Scanned()) == ("confirm", Needs.CONFIRM)
    assert required_of_person(CodeRequired()) == ("type_code", Needs.CODE)
    assert required_of_person(CodeRequired(wrong=True)) == ("wrong_code", Needs.CODE)
