"""The states of a code of the login by scan."""

from __future__ import annotations

import random

import pytest

from wx2mqtt.simulator.wecom.qr_codes import ActionNotPossible, CodeStatus, ScanCode, ScanCodes


def make_code(lifetime: float = 60.0) -> ScanCode:
    return ScanCodes(random.Random(1)).create(source="x", address="http://a", lifetime=lifetime)


def test_a_code_is_scanned_and_confirmed_once():
    code = make_code()
    assert code.content == f"http://a/ai/qc/c?s={code.scode}"
    with pytest.raises(ActionNotPossible, match="cannot confirm a code that is wait"):
        code.confirm("bot")
    code.scan("me")
    with pytest.raises(ActionNotPossible, match="cannot scan a code that is scanned"):
        code.scan("wife")
    code.confirm("bot")
    assert (code.current_status(), code.person, code.bot_id) == (CodeStatus.SUCCESS, "me", "bot")
    with pytest.raises(ActionNotPossible, match="cannot end a code that is success"):
        code.end(CodeStatus.FAILED)


def test_a_code_expires_by_itself_and_by_an_order():
    assert make_code(0.0).current_status() is CodeStatus.EXPIRED
    code = make_code()
    code.end(CodeStatus.EXPIRED)
    assert code.current_status() is CodeStatus.EXPIRED
