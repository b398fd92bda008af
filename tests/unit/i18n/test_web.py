"""The sentences of the web server: both languages with the same facts, all of them used, none missing."""

from __future__ import annotations

import ast
import re
import string
from functools import cache
from pathlib import Path
from string import Formatter

import wx2mqtt.web
from tests.support.page import health_snapshot, login
from tests.support.rows import every_row
from wx2mqtt.bridge.health import active_problems, health_problems
from wx2mqtt.bridge.people import pins
from wx2mqtt.i18n.web import REMEDIES, SERVER_MESSAGES, remedy_for, server_text
from wx2mqtt.i18n.web_page import KIND_NAMES, PAGE_MESSAGES
from wx2mqtt.model import Kind, LoginState, Status
from wx2mqtt.web.html import PageText, tag
from wx2mqtt.web.media_endpoint import STATUS_BY_STATE
from wx2mqtt.web.page.contacts import CHAT_KIND_MARKS, PIN_PROBLEM_MARKS
from wx2mqtt.web.page.page import NOTICES
from wx2mqtt.web.page.sections import LOGIN_STATES, RESULT_STATUSES

WEB = Path(wx2mqtt.web.__file__).parent

CAN_BE = {
    *health_problems(health_snapshot()),
    *(name for state in LoginState for name in active_problems(health_snapshot(login=login(state)))),
    "unresolved_people",
}


def test_the_table_has_every_problem_and_no_other():
    assert set(REMEDIES) == CAN_BE


@every_row("name", REMEDIES)
def test_both_languages_say_what_is_wrong_and_what_to_do(name):
    english, chinese = REMEDIES[name].in_language("en"), REMEDIES[name].in_language("zh")
    for text in english:
        assert re.search("[a-z]", text)
        assert not re.search("[\u4e00-\u9fff]", text)
    for text in chinese:
        assert re.search("[\u4e00-\u9fff]", text)
        assert text.endswith(("。", "？"))


def test_a_problem_of_later_stands_for_itself():
    assert remedy_for("moon_too_near", "zh") == ("moon_too_near", "")


@cache
def trees():
    return {path: ast.parse(path.read_text()) for path in WEB.rglob("*.py")}


def facts(sentence):
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def constants(folder=WEB):
    """Returns every text in the code below a folder."""
    below = (tree for path, tree in trees().items() if folder in path.parents)
    nodes = (node for tree in below for node in ast.walk(tree))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_both_languages_say_the_same_facts():
    for key, (english, chinese) in PAGE_MESSAGES.items():
        assert facts(english) == facts(chinese), key
        assert not re.search("[\u4e00-\u9fff]", english), key
        assert re.search("[\u4e00-\u9fff]", chinese), key


def test_every_sentence_is_said_somewhere():
    assert set(PAGE_MESSAGES) - constants(WEB / "page") == set()


def test_every_key_in_a_table_of_the_page_has_its_sentence():
    keys = {
        *(state.title for state in LOGIN_STATES.values()),
        *(state.login_button for state in LOGIN_STATES.values() if state.login_button),
        *(key for key, _ in RESULT_STATUSES.values()),
        *NOTICES.values(),
        *CHAT_KIND_MARKS.values(),
        *PIN_PROBLEM_MARKS,
    }
    assert keys <= PAGE_MESSAGES.keys()
    assert {f"login_{state}" for state in LoginState if state is not LoginState.ONLINE} <= REMEDIES.keys()
    assert {*LOGIN_STATES} == {*LoginState}
    assert {*RESULT_STATUSES} == {*Status}


def test_every_problem_of_a_pin_has_a_sentence():
    assert {
        pins.REASON_FITS_SEVERAL,
        pins.REASON_HAS_ANOTHER,
        pins.REASON_BELONGS_TO_ANOTHER,
    } == PIN_PROBLEM_MARKS


def test_every_kind_of_message_and_command_has_a_name_on_the_page():
    assert KIND_NAMES.keys() == {*Kind, "recall"}


def test_every_sentence_that_is_said_is_there_with_its_facts():
    found = 0
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or "page_text" not in ast.unparse(node.func).split("."):
                continue
            if len(node.args) != 1 or not isinstance(node.args[0], ast.Constant):
                continue
            word, given = str(node.args[0].value), {keyword.arg for keyword in node.keywords}
            assert word in PAGE_MESSAGES, f"{path.name}:{node.lineno}"
            assert facts(PAGE_MESSAGES[word][0]) == given, f"{path.name}:{node.lineno}"
            found += 1
    assert found > 25


def test_what_others_are_called_is_text_in_a_sentence_too():
    name = tag("bdi", "<b>")
    assert PageText("en").html("in_group", sender=name, chat="& co") == "<bdi>&lt;b&gt;</bdi> in &amp; co"
    assert PageText("zh").html("to_whom", user="<i>") == "发给 &lt;i&gt;"
    assert PageText("en")("to_whom", user="{user}") == "to {user}"


@every_row("word", SERVER_MESSAGES)
def test_both_languages_of_the_server_say_the_same_facts(word):
    english, chinese = (
        {name for _, name, _, _ in string.Formatter().parse(text) if name} for text in SERVER_MESSAGES[word]
    )
    assert english == chinese


def test_a_sentence_has_its_facts():
    assert "12 s" in server_text("en", "too_often", seconds=12)
    assert "12 秒" in server_text("zh", "too_often", seconds=12)


def test_every_sentence_of_the_server_is_used():
    states = {str(state) for state in STATUS_BY_STATE}  # the key of a file that is not there is its state
    assert set(SERVER_MESSAGES) - constants() - states == set()


def test_every_sentence_that_the_server_sends_exists_with_its_facts():
    found = 0
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "text_response":
                continue
            if len(node.args) < 3 or not isinstance(node.args[2], ast.Constant):
                continue
            key, given = str(node.args[2].value), {keyword.arg for keyword in node.keywords}
            assert key in SERVER_MESSAGES, f"{path.name}:{node.lineno}"
            assert facts(SERVER_MESSAGES[key][0]) == given, f"{path.name}:{node.lineno}"
            found += 1
    assert found > 20
