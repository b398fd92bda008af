"""The actions that each state of a bot QR code allows (ilink 3.2)."""

from __future__ import annotations

import random

import pytest

from wx2mqtt.simulator.ilink.qr_codes import ActionNotPossible, BotQrCodes, CodeStatus, Credentials

CREDENTIALS = Credentials(bot_token="a:b", ilink_bot_id="a", ilink_user_id="c")


@pytest.fixture
def codes():
    return BotQrCodes(random.Random(1))


@pytest.fixture
def code(codes):
    return codes.create((), lifetime=60, address="http://x")


def scan(code, number=""):
    code.scan("me", number=number, max_tries=3, redirect="")


def test_a_handle_is_32_hex_characters_and_leads_to_its_code(codes, code):
    assert len(code.handle) == 32
    assert codes.find(code.handle) is codes.newest() is code
    assert codes.find("x") is None


def test_scan_confirm_and_no_second_time(code):
    scan(code)
    assert (code.status, code.person) == (CodeStatus.SCANED, "me")
    code.confirm(CREDENTIALS)
    assert code.status is CodeStatus.CONFIRMED
    for act in (scan, lambda c: c.confirm(CREDENTIALS), lambda c: c.expire()):
        with pytest.raises(ActionNotPossible):
            act(code)


def test_who_is_bound_already_gets_no_credentials(code):
    scan(code)
    code.confirm(None)
    assert (code.status, code.credentials) == (CodeStatus.BINDED_REDIRECT, None)


def test_nobody_confirms_what_was_not_scanned(code):
    with pytest.raises(ActionNotPossible):
        code.confirm(CREDENTIALS)


def test_the_right_number_leads_on_and_is_wanted_once(code):
    scan(code, "123456")
    code.verify("1")
    assert (code.status, code.wrong_numbers) == (CodeStatus.NEED_VERIFYCODE, 1)
    code.verify("123456")
    assert (code.status, code.number) == (CodeStatus.SCANED, "")
    code.verify("1")
    assert code.status is CodeStatus.SCANED


def test_the_third_wrong_number_is_the_end(code):
    scan(code, "123456")
    for _ in range(3):
        code.verify("1")
    assert code.status is CodeStatus.VERIFY_CODE_BLOCKED
    code.verify("123456")
    assert code.status is CodeStatus.VERIFY_CODE_BLOCKED


def test_an_empty_number_is_a_wrong_one(code):
    scan(code, "123456")
    code.verify("")
    assert code.wrong_numbers == 1


def test_it_expires_by_itself(codes):
    code = codes.create((), lifetime=0, address="")
    assert code.current_status() is CodeStatus.EXPIRED
    with pytest.raises(ActionNotPossible):
        scan(code)


def test_what_is_confirmed_does_not_expire(codes):
    code = codes.create((), lifetime=60, address="")
    scan(code)
    code.confirm(CREDENTIALS)
    code._end = 0
    assert code.current_status() is CodeStatus.CONFIRMED
