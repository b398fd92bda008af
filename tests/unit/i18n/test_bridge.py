"""The bridge's sentences: each in both languages with the same facts, and one for every code that is raised."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from string import Formatter

import pytest

import wx2mqtt
from tests.support.rows import every_row
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n.bridge import BRIDGE_MESSAGES, bridge_text, rejection_text
from wx2mqtt.mqtt.payloads import REQUEST_CODES

PACKAGE = Path(wx2mqtt.__file__).parent
CATALOGUES = PACKAGE / "i18n"


@cache
def trees():
    """Yields the parsed modules of the program without its catalogues."""
    files = (path for path in PACKAGE.rglob("*.py") if CATALOGUES not in path.parents)
    return {path: ast.parse(path.read_text()) for path in files}


def facts(sentence):
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def calls(*names):
    """Yields the calls of these functions: position in the code, arguments (None unless a text), keywords."""
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in names:
                continue
            given = [argument.value if isinstance(argument, ast.Constant) else None for argument in node.args]
            yield (
                f"{path.name}:{node.lineno}",
                given,
                {keyword.arg: keyword.value for keyword in node.keywords},
            )


def texts():
    """Returns every text in the program."""
    nodes = (node for tree in trees().values() for node in ast.walk(tree))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_sentence_stands_in_both_languages_with_the_same_facts():
    for key, (english, chinese) in BRIDGE_MESSAGES.items():
        assert facts(english) == facts(chinese), key
        assert english.isascii() or "…" in english, key
        assert any("\u4e00" <= sign <= "\u9fff" for sign in chinese), key


def test_a_refusal_can_be_encoded_whatever_it_quotes():
    bad = BadCommand("bad_command", "unknown_kind", kind="\ud800" * 1000, known="text")
    rejection_text("en", bad).encode()
    assert "'??" in rejection_text("en", bad)


def test_the_language_chooses_the_sentence_and_facts_fill_it():
    assert bridge_text("en", "removed_user", user="wife") == "'wife' is no longer a contact"
    assert bridge_text("zh", "removed_user", user="老婆") == "“老婆”已不是联系人"


@every_row("user", ["{user}", "{0}", "%s", "{", "}"])
def test_what_strangers_chose_is_put_in_as_it_is(user):
    assert user in bridge_text("en", "removed_user", user=user)


def test_what_was_expected_is_said_in_the_language_too():
    bad = BadCommand("bad_command", "bad_value", key="ttl", expected="a number of seconds above 0")
    assert rejection_text("en", bad) == "'ttl' must be a number of seconds above 0"
    assert rejection_text("zh", bad) == "“ttl”必须是大于 0 的秒数"


def test_every_refusal_has_a_documented_code_and_a_sentence_with_all_its_facts():
    found = [(where, *given[:2], named) for where, given, named in calls("BadCommand") if given]
    assert len(found) > 20
    for where, code, word, named in found:
        assert code is None or code in REQUEST_CODES, where
        assert word is None or word in BRIDGE_MESSAGES, where
        if word is not None and None not in named:
            assert facts(BRIDGE_MESSAGES[word][0]) == named.keys() - {"command_id"}, where


def test_every_sentence_that_is_said_exists_and_has_all_its_facts():
    found = [
        (where, given[1], named)
        for where, given, named in calls("bridge_text")
        if len(given) > 1 and given[1]
    ]
    assert len(found) > 20
    for where, word, named in found:
        assert word in BRIDGE_MESSAGES, where
        assert facts(BRIDGE_MESSAGES[word][0]) == named.keys(), where


def test_what_is_expected_is_said_in_both_languages():
    expected = {given[1] for _, given, _ in calls("_bad_value")}
    for _, _, named in calls("BadCommand"):
        if isinstance(value := named.get("expected"), ast.Constant):
            expected.add(value.value)
    assert len(expected) > 5
    assert expected <= BRIDGE_MESSAGES.keys()


def test_no_sentence_is_there_for_nothing():
    assert BRIDGE_MESSAGES.keys() <= texts()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_word_without_a_sentence_would_be_noticed(language):
    with pytest.raises(KeyError):
        bridge_text(language, "no such word")
