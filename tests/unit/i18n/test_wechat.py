"""The backend's sentences: each in both languages, saying the same, and one for every word that is used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import wx2mqtt.wechat.ilink
from wx2mqtt.i18n.wechat import COMMON_SENTENCES, ILINK_MESSAGES, ilink_placeholder, ilink_text
from wx2mqtt.model import Kind

PACKAGE = Path(wx2mqtt.wechat.ilink.__file__).parent
TREES = {
    path.name: ast.parse(path.read_text()) for path in PACKAGE.glob("*.py") if path.name != "__init__.py"
}


def facts(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def uses() -> Iterator[tuple[str, str, set[str]]]:
    """Where a word is said, and with which facts."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            place = {"text": 0, "_rejected": 1}.get(node.func.attr)
            if place is None or len(node.args) <= place:
                continue
            word = node.args[place]
            if isinstance(word, ast.Constant) and isinstance(word.value, str):
                yield f"{name}:{node.lineno}", word.value, {str(one.arg) for one in node.keywords}


@pytest.mark.parametrize("key", ILINK_MESSAGES)
def test_every_sentence_stands_in_both_languages_with_the_same_facts(key: str) -> None:
    english, chinese = ILINK_MESSAGES[key]
    assert facts(english) == facts(chinese)
    assert english.isascii()
    assert any("\u4e00" <= sign <= "\u9fff" for sign in chinese)


def test_every_word_that_is_used_is_a_sentence_with_all_its_facts() -> None:
    found = list(uses())
    assert len(found) > 20
    for where, word, told in found:
        sentence = ILINK_MESSAGES.get(word) or COMMON_SENTENCES.get(word)
        assert sentence is not None, where
        assert facts(sentence[0]) <= told or "None" in told, where  # None: facts that are gathered elsewhere


def test_no_sentence_is_there_for_nothing() -> None:
    nodes = (node for tree in TREES.values() for node in ast.walk(tree))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
    assert ILINK_MESSAGES.keys() <= texts


def test_the_language_chooses() -> None:
    assert ilink_text("zh", "rate_limited") == "微信提示操作过于频繁"
    assert ilink_placeholder("zh", Kind.IMAGE) == "[图片]"
    assert ilink_placeholder("en", Kind.FILE, "a.pdf") == "[file] a.pdf"
    assert ilink_placeholder("en", Kind.UNSUPPORTED) == "[a message that a bot is not shown]"
