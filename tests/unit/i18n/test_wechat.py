"""The sentences of the backends: each in both languages with the same facts, none missing, none unused."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter

import pytest

import wx2mqtt.wechat
from wx2mqtt.i18n.wechat import (
    COMMON_SENTENCES,
    ILINK_MESSAGES,
    WEBWX_MESSAGES,
    ilink_placeholder,
    ilink_text,
    webwx_text,
)
from wx2mqtt.model import Kind

WECHAT = Path(wx2mqtt.wechat.__file__).parent
CATALOGUES = {"ilink": ILINK_MESSAGES, "webwx": WEBWX_MESSAGES}
SENTENCES = [*COMMON_SENTENCES.items(), *ILINK_MESSAGES.items(), *WEBWX_MESSAGES.items()]
KEY_POSITIONS = {"text": 0, "_rejected": 1, "webwx_text": 1, "ilink_text": 1}


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in WECHAT.rglob("*.py")}


def facts(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def trees_of(backend: str) -> Iterator[tuple[Path, ast.Module]]:
    return ((path, tree) for path, tree in trees().items() if WECHAT / backend in path.parents)


def uses(backend: str) -> Iterator[tuple[str, str, set[str]]]:
    """Yields each use of a sentence: position in the code, key, names of the facts."""
    for path, tree in trees_of(backend):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            position = KEY_POSITIONS.get(name)
            if position is None or len(node.args) <= position:
                continue
            if name == "text" and not (
                isinstance(node.func, ast.Attribute) and is_sentence_lookup(node.func.value)
            ):
                continue
            key = node.args[position]
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield f"{path.name}:{node.lineno}", key.value, {str(keyword.arg) for keyword in node.keywords}


def is_sentence_lookup(owner: ast.expr) -> bool:
    """Returns whether `owner.text` looks a sentence up: XML elements have a `text`, too."""
    return ast.unparse(owner).endswith(("self", "client", "channel"))


def test_every_sentence_stands_in_both_languages_with_the_same_facts() -> None:
    for key, (english, chinese) in SENTENCES:
        assert facts(english) == facts(chinese), key
        assert english.isascii(), key
        assert any("\u4e00" <= sign <= "\u9fff" for sign in chinese), key


@pytest.mark.parametrize(("backend", "fewest"), [("ilink", 20), ("webwx", 20)])
def test_every_key_that_is_used_is_a_sentence_with_all_its_facts(backend: str, fewest: int) -> None:
    found = list(uses(backend))
    assert len(found) > fewest
    for where, key, given in found:
        sentence = CATALOGUES[backend].get(key) or COMMON_SENTENCES.get(key)
        assert sentence is not None, where
        assert facts(sentence[0]) <= given or "None" in given, (
            where
        )  # None: facts that are gathered elsewhere


@pytest.mark.parametrize("backend", CATALOGUES)
def test_no_sentence_is_there_for_nothing(backend: str) -> None:
    nodes = (node for _, tree in trees_of(backend) for node in ast.walk(tree))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
    numbers = {key for key in CATALOGUES[backend] if key.isdecimal()}  # the result code is the key
    assert CATALOGUES[backend].keys() - numbers <= texts


def test_the_language_chooses() -> None:
    assert ilink_text("zh", "rate_limited") == "微信提示操作过于频繁"
    assert ilink_placeholder("zh", Kind.IMAGE) == "[图片]"
    assert ilink_placeholder("en", Kind.FILE, "a.pdf") == "[file] a.pdf"
    assert ilink_placeholder("en", Kind.UNSUPPORTED) == "[a message that a bot is not shown]"


def test_a_sentence_of_a_backend_goes_before_the_common_one_and_the_common_one_is_found() -> None:
    assert webwx_text("en", "no_login") == COMMON_SENTENCES["no_login"][0]
    assert webwx_text("en", "few_members") == WEBWX_MESSAGES["few_members"][0]
