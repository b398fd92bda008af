"""What setup says, in both languages."""

from __future__ import annotations

from string import Formatter

import pytest

from wx2mqtt.i18n.setup import SETUP_MESSAGES, setup_text


@pytest.mark.parametrize("word", SETUP_MESSAGES)
def test_both_languages_say_the_same_facts(word):
    english, chinese = (
        {name for _, name, _, _ in Formatter().parse(text) if name} for text in SETUP_MESSAGES[word]
    )
    assert english == chinese


def test_a_sentence_has_its_facts():
    assert setup_text("en", "wrote", path="/x") == "wrote /x"
    assert setup_text("zh", "wrote", path="/x") == "已写入 /x"
