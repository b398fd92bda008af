"""The states of a login QR code (webwx 2.1 to 2.5)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.simulator.qr_codes import (
    OPEN_STATES,
    ActionNotPossible,
    CodeAction,
    CodeState,
    LoginQrCode,
    LoginQrCodes,
)


def a_code(*, push: bool = False, lifetime: float = 60) -> LoginQrCode:
    return LoginQrCodes(random.Random(1)).create(desktop=False, lifetime=lifetime, push=push)


def test_scan_confirm_use():
    code = a_code()
    for act, state in (
        (CodeAction.SCAN, CodeState.SCANNED),
        (CodeAction.CONFIRM, CodeState.CONFIRMED),
        (CodeAction.USE, CodeState.USED),
    ):
        code.apply(act)
        assert code.current_state() is state


@every_row(
    "acts",
    [
        [CodeAction.CONFIRM],
        [CodeAction.USE],
        [CodeAction.SCAN, CodeAction.SCAN],
        [CodeAction.EXPIRE, CodeAction.SCAN],
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(acts: list[CodeAction]):
    code = a_code()
    for act in acts[:-1]:
        code.apply(act)
    before = code.state
    with pytest.raises(ActionNotPossible, match=f"cannot {acts[-1]} a code that is {before}"):
        code.apply(acts[-1])
    assert code.state is before


def test_a_push_code_is_confirmed_without_a_scan():
    code = a_code(push=True)
    code.apply(CodeAction.CONFIRM)
    assert code.current_state() is CodeState.CONFIRMED


def test_a_cancelled_code_can_be_scanned_again():
    code = a_code()
    for act in (CodeAction.SCAN, CodeAction.CANCEL, CodeAction.SCAN):
        code.apply(act)
    assert code.current_state() is CodeState.SCANNED


def test_a_code_expires_by_itself_while_it_is_open():
    code = a_code(lifetime=0)
    assert code.current_state() is CodeState.EXPIRED
    assert code.seconds_left() == 0


@given(st.lists(st.sampled_from([*CodeAction])))
def test_a_used_or_expired_code_never_lives_again(acts: list[CodeAction]):
    code = a_code()
    ended = False
    for act in acts:
        try:
            code.apply(act)
        except ActionNotPossible:
            continue
        assert not ended
        ended = code.state in (CodeState.USED, CodeState.EXPIRED)
    assert (code.state in OPEN_STATES) or ended or code.state is CodeState.CANCELLED


def test_codes_are_found_and_the_newest_is_last():
    codes = LoginQrCodes(random.Random(1))
    assert codes.newest() is None
    first, second = [codes.create(desktop=False, lifetime=60) for _ in range(2)]
    assert codes.find(first.uuid) is first
    assert codes.find("none") is None
    assert codes.newest() is second
    assert [*codes] == [first, second]
    assert all(len(code.uuid) == 12 and code.uuid.endswith("==") for code in codes)
