"""The Chinese sentences of the product have full-width punctuation and the words of the glossary."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import wx2mqtt
from tests.support.chinese import OTHER_WORDS, half_width_signs, is_chinese
from tests.support.rows import every_row

PACKAGE = Path(wx2mqtt.__file__).parent
DEPLOY = PACKAGE.parent / "deploy"
FOREIGN = ("wechat/webwx/protocol", "simulator")
"""Modules whose Chinese is what WeChat and people say."""


@cache
def chinese_texts() -> dict[str, str]:
    """Returns the Chinese texts of the product by their positions."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(FOREIGN):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and is_chinese(node.value):
                found[f"{name}:{node.lineno}:{node.col_offset}"] = node.value
    return found


def test_no_text_has_a_half_width_sign():
    assert len(chinese_texts()) > 800
    assert {where: text for where, text in chinese_texts().items() if half_width_signs(text)} == {}


def test_no_text_has_a_word_outside_of_the_glossary():
    assert {where: text for where, text in chinese_texts().items() if OTHER_WORDS.search(text)} == {}


@every_row("path", sorted(DEPLOY.rglob("*.yaml")))
def test_no_file_for_other_programs_has_either(path):
    text = path.read_text(encoding="utf-8")
    assert half_width_signs(text) == []
    assert OTHER_WORDS.findall(text) == []


@every_row(
    ("text", "expected"),
    [
        ("好,的\n好，的\n[好](a.md)\n用 pip,git\n(好)", ["好,的", "(好)"]),
        ("存储已满({limit})；请调大", ["存储已满({limit})；请调大"]),
        ("“{user}”是谁;请指定", ["“{user}”是谁;请指定"]),
        ("{why};请重试", ["{why};请重试"]),
        ("本机上的 {host}:{port}", []),
        ("存储已满（{limit}）；请调大", []),
        ('要作为文字发送请用 {{"text": "…"}}', []),
        ("the address (地址) of the file", []),
    ],
)
def test_a_half_width_sign_is_found(text, expected):
    assert half_width_signs(text) == expected
