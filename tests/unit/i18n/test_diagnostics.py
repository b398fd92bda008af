"""The doctor's sentences: both languages, the same facts, one for each thing that is written down."""

from __future__ import annotations

import ast
from pathlib import Path
from string import Formatter

import wx2mqtt.diagnostics
from wx2mqtt.diagnostics.check_report import CheckStatus
from wx2mqtt.i18n.broker import BROKER_MESSAGES
from wx2mqtt.i18n.diagnostics import DIAGNOSTICS_MESSAGES, diagnostics_text

FOLDER = Path(wx2mqtt.diagnostics.__file__).parent
TREES = {path.name: ast.parse(path.read_text()) for path in FOLDER.glob("*.py") if path.name != "words.py"}
REPORT_ROWS = {"ok", "warning", "failed", "not_known"}


def facts(sentence):
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def texts():
    nodes = (node for tree in TREES.values() for node in ast.walk(tree))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def either(argument):
    """Returns the keys that an argument may be: its own, or one for each branch of an expression."""
    branches = [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]
    return [branch.value for branch in branches if isinstance(branch, ast.Constant)]


def report_rows():
    """Yields every row that a report gets: position in the code, check, keys of sentences, names of facts."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr not in REPORT_ROWS or len(node.args) < 3:
                continue
            given = [argument.value if isinstance(argument, ast.Constant) else None for argument in node.args]
            words = [word for argument in node.args[2:] for word in either(argument)]
            if node.func.attr != "ok" and len(node.args) == 3:
                words += [f"{word}_cure" for word in words]
            yield f"{name}:{node.lineno}", given[0], words, {keyword.arg for keyword in node.keywords}


def test_both_languages_say_the_same_facts():
    for english, chinese in [*DIAGNOSTICS_MESSAGES.values(), *BROKER_MESSAGES.values()]:
        assert facts(english) == facts(chinese), english


def test_every_row_has_a_title_and_its_sentences():
    found = list(report_rows())
    assert len(found) > 50
    for where, check, words, named in found:
        assert check is None or f"check_{check}" in DIAGNOSTICS_MESSAGES, where
        for word in words:
            assert word in DIAGNOSTICS_MESSAGES, where
            if None not in named:
                assert facts(DIAGNOSTICS_MESSAGES[word][0]) <= named, where


def test_every_verdict_has_a_word():
    assert {str(verdict) for verdict in CheckStatus} <= DIAGNOSTICS_MESSAGES.keys()


def test_no_sentence_is_there_for_nothing():
    used = texts()
    made = {
        word for word in DIAGNOSTICS_MESSAGES if word.startswith(("check_", "host_"))
    }  # with a name in them
    assert {word.removeprefix("check_") for word in made if word.startswith("check_")} <= {
        check for _, check, *_ in report_rows()
    } | {"retained"}
    assert DIAGNOSTICS_MESSAGES.keys() - made <= used | {
        word for _, _, words, _ in report_rows() for word in words
    }


def test_a_sentence_has_its_facts():
    assert diagnostics_text("en", "tcp_ok", ms=3) == "established after 3 ms"
    assert diagnostics_text("zh", "tcp_ok", ms=3) == "3 毫秒内建立"
