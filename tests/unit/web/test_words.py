"""What the web server says, and in which language."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.web.words import WORDS, say, spoken


@pytest.mark.parametrize("word", WORDS)
def test_both_languages_say_the_same_facts(word):
    english, chinese = (
        {name for _, name, _, _ in string.Formatter().parse(text) if name} for text in WORDS[word]
    )
    assert english == chinese


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("de-DE,de;q=0.9,zh;q=0.5,en;q=0.4", "zh"),
        ("en;q=0.1, zh;q=0.2", "zh"),
        ("ZH-hant", "zh"),
        *((other, "usual") for other in ("", "de", "*", "en;q=0", "zh;q=x", "zhx", ",,;", "zh;level=1")),
    ],
)
def test_the_client_is_answered_in_its_language(header, language):
    for usual in ("en", "zh"):
        assert spoken(header, usual) == (usual if language == "usual" else language)


@given(st.text(max_size=200))
def test_no_wish_of_any_form_breaks_it(header):
    assert spoken(header, "zh") in {"en", "zh"}


def test_a_sentence_has_its_facts():
    assert "12 s" in say("en", "too_often", seconds=12)
    assert "12 秒" in say("zh", "too_often", seconds=12)
