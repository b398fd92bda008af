"""Each reason code is a sentence, and none holds a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.i18n.broker import REASON_TEXTS
from wx2mqtt.mqtt.reason_codes import reason_text, scrub_reason


@pytest.mark.parametrize("code", sorted(REASON_TEXTS))
def test_every_code_has_a_text(code):
    assert reason_text("en", code).startswith("the broker ")


def test_an_unknown_code_is_given_as_a_number():
    assert reason_text("en", 0xEE) == "the broker answered with code 0xEE"


def test_the_reason_string_follows_in_brackets():
    assert reason_text("en", 0x97, "too many") == "the broker has reached a quota (too many)"


@given(st.text(), st.integers(0, 255))
def test_a_reason_string_stays_short_and_on_one_line(said, code):
    sentence = reason_text("en", code, said)
    assert len(sentence) < 350
    assert sentence.isprintable()


def test_secrets_are_taken_out_of_a_sentence():
    assert scrub_reason("user bob, password geheim", "geheim", None, "") == "user bob, password ***"


def test_a_reason_is_said_in_the_language_of_the_owner():
    assert reason_text("zh", 0x87) == "代理服务器不允许：用户没有权限"
    assert reason_text("zh", 0xEE, "why") == "代理服务器返回代码 0xEE（why）"
