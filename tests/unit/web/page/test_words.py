"""The sentences of the page: each in both languages, saying the same, and each of them said."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

import wx2mqtt.web.page
from wx2mqtt.bridge.people import pinning
from wx2mqtt.model import ChatKind, Kind, LoginState, Status
from wx2mqtt.web.html import tag
from wx2mqtt.web.page.page import SAID
from wx2mqtt.web.page.words import WORDS, Say

FOLDER = Path(wx2mqtt.web.page.__file__).parent
TREES = {path: ast.parse(path.read_text()) for path in FOLDER.rglob("*.py") if path.name != "words.py"}

NAMED = {
    *(f"state_{state}" for state in LoginState),
    *(f"status_{status}" for status in (*Status, "waiting", "sending")),
    *(f"kind_{kind}" for kind in (*Kind, "recall")),
    *(f"is_{kind}" for kind in ChatKind if kind is not ChatKind.FRIEND),
    *(f"said_{what}" for what in SAID),
    *(pinning.FITS_SEVERAL, pinning.HAS_ANOTHER, pinning.BELONGS_TO_ANOTHER),
}
"""Sentences that are found by a name which is put together."""


def facts(sentence):
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def constants():
    """Every text in the code of the page."""
    nodes = (node for tree in TREES.values() for node in ast.walk(tree))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("word", WORDS)
def test_both_languages_say_the_same_facts(word):
    english, chinese = WORDS[word]
    assert facts(english) == facts(chinese)
    assert not re.search("[\u4e00-\u9fff]", english)
    assert re.search("[\u4e00-\u9fff]", chinese)


def test_every_sentence_is_said_somewhere():
    assert set(WORDS) - constants() - NAMED == set()


def test_every_name_that_is_put_together_has_its_sentence():
    assert NAMED - set(WORDS) == set()


def test_every_sentence_that_is_said_is_there_with_its_facts():
    found = 0
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or "say" not in ast.unparse(node.func).split("."):
                continue
            if len(node.args) != 1 or not isinstance(node.args[0], ast.Constant):
                continue
            word, given = str(node.args[0].value), {one.arg for one in node.keywords}
            assert word in WORDS, f"{path.name}:{node.lineno}"
            assert facts(WORDS[word][0]) == given, f"{path.name}:{node.lineno}"
            found += 1
    assert found > 25


def test_what_others_are_called_is_text_in_a_sentence_too():
    name = tag("bdi", "<b>")
    assert Say("en").html("in_group", sender=name, chat="& co") == "<bdi>&lt;b&gt;</bdi> in &amp; co"
    assert Say("zh").html("to_whom", user="<i>") == "发给 &lt;i&gt;"
    assert Say("en")("to_whom", user="{user}") == "to {user}"
