"""What setup and the demo say, in both languages."""

from __future__ import annotations

from string import Formatter

from wx2mqtt.i18n.setup import DEMO_MESSAGES, SETUP_MESSAGES, demo_text, setup_text


def test_both_languages_say_the_same_facts():
    for messages in [*SETUP_MESSAGES.values(), *DEMO_MESSAGES.values()]:
        english, chinese = ({name for _, name, _, _ in Formatter().parse(text) if name} for text in messages)
        assert english == chinese, messages


def test_a_sentence_has_its_facts():
    assert setup_text("en", "wrote", path="/x") == "wrote /x"
    assert setup_text("zh", "wrote", path="/x") == "已写入 /x"
    assert demo_text("zh", "local") == "数据都不会离开本机。"
