"""The life of a QR code (webwx 2.1 to 2.5)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.simulator.login import OPEN, Act, CannotDo, Code, Codes, State


def a_code(*, push: bool = False, lifetime: float = 60) -> Code:
    return Codes(random.Random(1)).new(desktop=False, lifetime=lifetime, push=push)


def test_scan_confirm_use():
    code = a_code()
    for act, state in ((Act.SCAN, State.SCANNED), (Act.CONFIRM, State.CONFIRMED), (Act.USE, State.USED)):
        code.do(act)
        assert code.look() is state


@pytest.mark.parametrize("acts", [[Act.CONFIRM], [Act.USE], [Act.SCAN, Act.SCAN], [Act.EXPIRE, Act.SCAN]])
def test_what_cannot_be_is_refused_and_changes_nothing(acts: list[Act]):
    code = a_code()
    for act in acts[:-1]:
        code.do(act)
    before = code.state
    with pytest.raises(CannotDo, match=f"cannot {acts[-1]} a code that is {before}"):
        code.do(acts[-1])
    assert code.state is before


def test_a_push_code_is_confirmed_without_a_scan():
    code = a_code(push=True)
    code.do(Act.CONFIRM)
    assert code.look() is State.CONFIRMED


def test_a_cancelled_code_can_be_scanned_again():
    code = a_code()
    for act in (Act.SCAN, Act.CANCEL, Act.SCAN):
        code.do(act)
    assert code.look() is State.SCANNED


def test_a_code_expires_by_itself_while_it_is_open():
    code = a_code(lifetime=0)
    assert code.look() is State.EXPIRED
    assert code.left() == 0


@given(st.lists(st.sampled_from([*Act])))
def test_a_used_or_expired_code_never_lives_again(acts: list[Act]):
    code = a_code()
    ended = False
    for act in acts:
        try:
            code.do(act)
        except CannotDo:
            continue
        assert not ended
        ended = code.state in (State.USED, State.EXPIRED)
    assert (code.state in OPEN) or ended or code.state is State.CANCELLED


def test_codes_are_found_and_the_newest_is_last():
    codes = Codes(random.Random(1))
    assert codes.newest() is None
    first, second = [codes.new(desktop=False, lifetime=60) for _ in range(2)]
    assert codes.find(first.uuid) is first
    assert codes.find("none") is None
    assert codes.newest() is second
    assert [*codes] == [first, second]
    assert all(len(code.uuid) == 12 and code.uuid.endswith("==") for code in codes)
