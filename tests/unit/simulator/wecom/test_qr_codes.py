"""The states of a code of the login by scan."""

from __future__ import annotations

import random

import pytest

from wx2mqtt.simulator.wecom.qr_codes import ActionNotPossible, CodeStatus, ScanCode, ScanCodes


def code(lifetime: float = 60.0) -> ScanCode:
    return ScanCodes(random.Random(1)).create(source="x", address="http://a", lifetime=lifetime)


def test_a_code_is_scanned_and_confirmed_once():
    one = code()
    assert one.content == f"http://a/ai/qc/c?s={one.scode}"
    with pytest.raises(ActionNotPossible, match="cannot confirm a code that is wait"):
        one.confirm("bot")
    one.scan("me")
    with pytest.raises(ActionNotPossible, match="cannot scan a code that is scanned"):
        one.scan("wife")
    one.confirm("bot")
    assert (one.current_status(), one.person, one.bot_id) == (CodeStatus.SUCCESS, "me", "bot")
    with pytest.raises(ActionNotPossible, match="cannot end a code that is success"):
        one.end(CodeStatus.FAILED)


def test_a_code_expires_by_itself_and_by_an_order():
    assert code(0.0).current_status() is CodeStatus.EXPIRED
    one = code()
    one.end(CodeStatus.EXPIRED)
    assert one.current_status() is CodeStatus.EXPIRED
