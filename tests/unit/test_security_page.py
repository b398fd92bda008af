"""The threat model names a test for each measure, and each actor of it meets at least one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/en/development/security.md"


def table(heading: str) -> list[list[str]]:
    """Returns the rows of the table below a heading, without its head."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


MEASURES = table("What is done")


@cache
def functions_of(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


def test_each_measure_names_a_test_that_exists():
    for row in MEASURES:
        assert len(row) == 4, row
        match = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", row[3])
        assert match, row[3]
        assert match[2] in functions_of(ROOT / match[1]), row[3]


def test_each_measure_has_a_test_of_its_own():
    named = [row[3] for row in MEASURES]
    assert sorted(named) == sorted(set(named))


def test_each_actor_meets_a_measure_and_no_other_actor_is_named():
    actors = table("Who")
    assert {len(row) for row in actors} == {2}
    assert {row[0] for row in MEASURES} == {row[0] for row in actors}


def test_what_reads_from_an_entry_exists():
    for row in table("Where"):
        for name in re.findall(r"`([^`]+)`", row[2]):
            assert (ROOT / "wx2mqtt" / name).exists(), name
