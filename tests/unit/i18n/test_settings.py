"""Every sentence about a configuration has its Chinese, with the facts that it holds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import wx2mqtt.settings
from tests.support.rows import every_row
from wx2mqtt.errors import Problem
from wx2mqtt.i18n.settings import PROBLEM_TEXTS, chinese_sentence, problem_text, sentence_text
from wx2mqtt.wechat.registry import BACKENDS

FOLDER = Path(wx2mqtt.settings.__file__).parent
FACT = "FACT"

PARTS = {
    # sentences that are put together, or that no person reads
    "no key of the configuration has this name; FACT",
    "did you mean FACT?",
    "has no value; FACT, or remove the key for the default",
    "write [] for none",
    "a size such as 25MB, 256kB or 1GiB (or a number of bytes)",
    "a duration such as 30s, 10m, 24h or 7d (or a number of seconds)",
    "FACT is no unit of size; use FACT",
    "FACT is no unit of time; use FACT",
    ", did you mean 'FACT'?",
    "only an existing value can be replaced",
    "no faulty value is in the tree: FACT",
    "is not FACT",
    "' or '",
    " or ",
    "FACT -m pip install --no-deps --only-binary=:all: --require-hashes -r deploy/FACT.lock",
    # parts of the messages of the YAML parser
    "mapping values are not allowed",
    "cannot start any token",
    "expected a single document",
    "could not find expected ':'",
    "expected <block end>",
    "cannot be read",
}
"""Texts without a Chinese one."""


def sentences(path: Path) -> Iterator[str]:
    """Yields the texts of a module with two spaces or more, but for docstrings and descriptions of keys."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    left_out: set[ast.AST] = set()
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            left_out.add(node.value)
        elif isinstance(node, ast.keyword) and node.arg == "description":
            left_out.update(ast.walk(node.value))
        elif isinstance(node, ast.JoinedStr):
            left_out.update(inner for inner in ast.walk(node) if inner is not node)
    for node in nodes:
        if node not in left_out and (text := rendered(node)).count(" ") >= 2:
            yield text


def rendered(node: ast.AST) -> str:
    """Returns a text of the code, with a word for each fact; empty for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else FACT for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


SENTENCES = {
    *(text for path in FOLDER.glob("*.py") if path.name != "writer.py" for text in sentences(path)),
    *(backend.foreign_pin.format(kind=FACT) for backend in BACKENDS.values()),
}


def test_every_sentence_of_the_settings_has_a_chinese_one():
    assert len(SENTENCES) > 90
    assert {text for text in SENTENCES if chinese_sentence(text) == text} == PARTS


@every_row(
    ("english", "chinese"),
    [
        ("must be webwx or ilink, did you mean 'ilink'?", "必须是 webwx 或 ilink，是否想写“ilink”？"),
        ("'10 kb' 'kb' is no unit of size; use B, kB", "“10 kb”“kb”不是大小的单位；可用 B、kB"),
        (
            "is no YAML: found character; indent with spaces, never with tabs",
            "不是有效的 YAML；请用空格缩进，不要用制表符",
        ),
        (
            'YAML reads yes as a truth value and a text belongs here; write "yes" in quotes if it is meant',
            'YAML 把 yes 读作真假值，而此处应是文字；如果就是这段文字，请加引号写作 "yes"',
        ),
        ("a sentence of a later version", "a sentence of a later version"),
    ],
)
def test_facts_stand_in_the_chinese_sentence(english, chinese):
    assert chinese_sentence(english) == chinese


def test_no_sentence_is_taken_for_another_one():
    assert {english: chinese_sentence(english) for english in PROBLEM_TEXTS} == PROBLEM_TEXTS


def test_a_problem_says_where_it_is_in_both_languages():
    problem = Problem("a.yaml", 3, "mqtt.url", "is missing")
    assert problem_text(problem, "en") == str(problem)
    assert problem_text(problem, "zh") == "a.yaml:3：mqtt.url：缺少此项"
    from_environment = Problem("environment", 0, "WX2MQTT_X", "is missing")
    assert problem_text(from_environment, "zh") == "环境变量：WX2MQTT_X：缺少此项"
    assert sentence_text("is missing", "en") == "is missing"
