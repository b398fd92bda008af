"""Every problem that the bridge can name stands in the table, with its cure, in both languages.

The sentences of the page: each in both languages, saying the same, and each of them said.

What the web server says, and in which language.
"""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wx2mqtt.web.page
from tests.support.page import login, seen
from wx2mqtt.bridge.health import health_problems, is_healthy
from wx2mqtt.bridge.people import pins
from wx2mqtt.i18n.web import (
    PAGE_MESSAGES,
    REMEDIES,
    SERVER_MESSAGES,
    preferred_language,
    remedy_for,
    server_text,
)
from wx2mqtt.model import ChatKind, Kind, LoginState, Status
from wx2mqtt.web.html import PageText, tag
from wx2mqtt.web.page.page import NOTICE_KEYS

CAN_BE = {
    *health_problems(seen()),
    *(name for state in LoginState for name in is_healthy(seen(login=login(state)))),
    "unresolved_people",
}


def test_the_table_has_every_problem_and_no_other():
    assert set(REMEDIES) - {"login_online"} == CAN_BE


@pytest.mark.parametrize("name", REMEDIES)
def test_both_languages_say_what_is_wrong_and_what_to_do(name):
    english, chinese = REMEDIES[name].in_language("en"), REMEDIES[name].in_language("zh")
    for text in english:
        assert re.search("[a-z]", text)
        assert not re.search("[\u4e00-\u9fff]", text)
    for text in chinese:
        assert re.search("[\u4e00-\u9fff]", text)
        assert text.endswith(("。", "?"))


def test_a_problem_of_later_stands_for_itself():
    assert remedy_for("moon_too_near", "zh") == ("moon_too_near", "")


FOLDER = Path(wx2mqtt.web.page.__file__).parent


TREES = {path: ast.parse(path.read_text()) for path in FOLDER.rglob("*.py") if path.name != "words.py"}


NAMED = {
    *(f"state_{state}" for state in LoginState),
    *(f"status_{status}" for status in (*Status, "waiting", "sending")),
    *(f"kind_{kind}" for kind in (*Kind, "recall")),
    *(f"is_{kind}" for kind in ChatKind if kind is not ChatKind.FRIEND),
    *(f"said_{what}" for what in NOTICE_KEYS),
    *(pins.REASON_FITS_SEVERAL, pins.REASON_HAS_ANOTHER, pins.REASON_BELONGS_TO_ANOTHER),
}
"""Sentences that are found by a name which is put together."""


def facts(sentence):
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def constants():
    """Every text in the code of the page."""
    nodes = (node for tree in TREES.values() for node in ast.walk(tree))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("word", PAGE_MESSAGES)
def test_both_languages_say_the_same_facts(word):
    english, chinese = PAGE_MESSAGES[word]
    assert facts(english) == facts(chinese)
    assert not re.search("[\u4e00-\u9fff]", english)
    assert re.search("[\u4e00-\u9fff]", chinese)


def test_every_sentence_is_said_somewhere():
    assert set(PAGE_MESSAGES) - constants() - NAMED == set()


def test_every_name_that_is_put_together_has_its_sentence():
    assert NAMED - set(PAGE_MESSAGES) == set()


def test_every_sentence_that_is_said_is_there_with_its_facts():
    found = 0
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or "page_text" not in ast.unparse(node.func).split("."):
                continue
            if len(node.args) != 1 or not isinstance(node.args[0], ast.Constant):
                continue
            word, given = str(node.args[0].value), {one.arg for one in node.keywords}
            assert word in PAGE_MESSAGES, f"{path.name}:{node.lineno}"
            assert facts(PAGE_MESSAGES[word][0]) == given, f"{path.name}:{node.lineno}"
            found += 1
    assert found > 25


def test_what_others_are_called_is_text_in_a_sentence_too():
    name = tag("bdi", "<b>")
    assert PageText("en").html("in_group", sender=name, chat="& co") == "<bdi>&lt;b&gt;</bdi> in &amp; co"
    assert PageText("zh").html("to_whom", user="<i>") == "发给 &lt;i&gt;"
    assert PageText("en")("to_whom", user="{user}") == "to {user}"


@pytest.mark.parametrize("word", SERVER_MESSAGES)
def test_both_languages_say_the_same_facts_words(word):
    english, chinese = (
        {name for _, name, _, _ in string.Formatter().parse(text) if name} for text in SERVER_MESSAGES[word]
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
        assert preferred_language(header, usual) == (usual if language == "usual" else language)


@given(st.text(max_size=200))
def test_no_wish_of_any_form_breaks_it(header):
    assert preferred_language(header, "zh") in {"en", "zh"}


def test_a_sentence_has_its_facts():
    assert "12 s" in server_text("en", "too_often", seconds=12)
    assert "12 秒" in server_text("zh", "too_often", seconds=12)
