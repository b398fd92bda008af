"""What setup says, in both languages."""

from __future__ import annotations

from string import Formatter

import pytest

from wx2mqtt.setup.words import WORDS, say


@pytest.mark.parametrize("word", WORDS)
def test_both_languages_say_the_same_facts(word):
    english, chinese = ({name for _, name, _, _ in Formatter().parse(text) if name} for text in WORDS[word])
    assert english == chinese


def test_a_sentence_has_its_facts():
    assert say("en", "wrote", path="/x") == "wrote /x"
    assert say("zh", "wrote", path="/x") == "已写入 /x"
