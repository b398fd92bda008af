"""The sentences for people: each in both languages, saying the same, and one for every code that is made."""

from __future__ import annotations

from string import Formatter

import pytest

from wx2mqtt.errors import BadCommand
from wx2mqtt.words import WORDS, explain, say


def facts(sentence):
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("key", WORDS)
def test_every_sentence_stands_in_both_languages_with_the_same_facts(key):
    english, chinese = WORDS[key]
    assert facts(english) == facts(chinese)
    assert english.isascii() or "…" in english
    assert any("\u4e00" <= sign <= "\u9fff" for sign in chinese)


def test_the_language_chooses_the_sentence_and_facts_fill_it():
    assert say("en", "removed_user", user="wife") == "'wife' is no longer a contact"
    assert say("zh", "removed_user", user="老婆") == "“老婆”已不是联系人"


@pytest.mark.parametrize("user", ["{user}", "{0}", "%s", "{", "}"])
def test_what_strangers_chose_is_put_in_as_it_is(user):
    assert user in say("en", "removed_user", user=user)


def test_what_was_expected_is_said_in_the_language_too():
    bad = BadCommand("bad_command", "bad_value", key="ttl", expected="a number of seconds above 0")
    assert explain("en", bad) == "'ttl' must be a number of seconds above 0"
    assert explain("zh", bad) == "“ttl”必须是大于 0 的秒数"
