"""Citations of the protocol notes lead to a statement, and no document outside of the repository is cited.

A citation is the name of a note and one or more statement numbers: `(webwx 2.12)`, `(ilink 2.1, 2.2)`,
`(mqtt 2.1 to 2.5)`, also where a line ends in the middle.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.rows import every_row

ROOT = Path(__file__).parents[2]
DEVELOPMENT = ROOT / "docs" / "en" / "development"
NOTES = {
    "webwx": DEVELOPMENT / "webwx-protocol.md",
    "ilink": DEVELOPMENT / "ilink-protocol.md",
    "wecom": DEVELOPMENT / "wecom-protocol.md",
    "mqtt": DEVELOPMENT / "mqtt.md",
}
SEARCHED = ("wx2mqtt", "tests", "config", "deploy", "docs")
SUFFIXES = frozenset(
    (".conf", ".css", ".html", ".js", ".json", ".md", ".py", ".service", ".sh", ".toml", ".yaml")
)
WITH_EXAMPLES = {"tests/unit/test_citations.py", "tests/shape.py", "tests/unit/test_shape.py"}
ABSENT_DOCUMENT = re.compile(
    r"\bDESIGN\b|(?<![\w./(-])reference[/](?!\w[\w-]*\.md)\w+|\bmqtt-bridges\b|\bredesign\.md\b|\baesthetics\b"
)

STATEMENT = re.compile(r"^(?:#{2,4} |- \*\*)(\d+(?:\.\d+)*)(?:\*\*)? ", re.MULTILINE)
GAP = r"(?:[ \t]+|[ \t]*\n[ \t]*(?:#[ \t]*|//[ \t]*)?)"
NUMBER = r"\d+(?:\.\d+)*"
RANGE = rf"{NUMBER}(?:(?:{GAP}to{GAP}|[-–]){NUMBER})?"
CITATION = re.compile(
    rf"\((?P<note>webwx|ilink|wecom|mqtt){GAP}"
    rf"(?P<numbers>{RANGE}(?:(?:,(?:{GAP}and)?|{GAP}and|{GAP}or){GAP}{RANGE})*)(?![\w.]*\w)"
)


class Citation(NamedTuple):
    origin: str
    note: str
    number: str


def expanded(part: str) -> list[str]:
    """Returns the numbers of a range within one section, or the two ends of another one."""
    ends = re.findall(NUMBER, part)
    (head, _, start), (other, _, end) = ends[0].rpartition("."), ends[-1].rpartition(".")
    if head != other or len(ends) == 1:
        return list(ends)
    return [f"{head}.{number}" if head else str(number) for number in range(int(start), int(end) + 1)]


def citations_in(path: str, text: str) -> Iterator[Citation]:
    for match in CITATION.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        for part in re.findall(RANGE, match["numbers"]):
            for number in expanded(part):
                yield Citation(f"{path}:{line}", match["note"], number)


@cache
def texts() -> dict[str, str]:
    files = [file for folder in SEARCHED for file in (ROOT / folder).rglob("*") if file.suffix in SUFFIXES]
    files += [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    return {
        file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(files)
        if "node_modules" not in file.parts
    }


def statements(note: str) -> list[str]:
    return STATEMENT.findall(NOTES[note].read_text(encoding="utf-8"))


@pytest.mark.parametrize("note", NOTES)
def test_every_statement_has_a_number_of_its_own(note: str):
    numbers = statements(note)
    assert len(numbers) > 20
    assert [number for number, count in Counter(numbers).items() if count > 1] == []


@pytest.mark.parametrize("note", NOTES)
def test_the_chinese_note_has_the_same_statements_in_the_same_order(note: str):
    chinese = ROOT / "docs" / "zh" / "development" / NOTES[note].name
    assert STATEMENT.findall(chinese.read_text(encoding="utf-8")) == statements(note)


@pytest.mark.parametrize("note", NOTES)
def test_every_citation_leads_to_a_statement(note: str):
    cited = [
        citation
        for path, text in texts().items()
        if path not in WITH_EXAMPLES
        for citation in citations_in(path, text)
        if citation.note == note
    ]
    known = set(statements(note))
    assert len(cited) > 20
    assert [citation for citation in cited if citation.number not in known] == []


def test_no_document_outside_of_the_repository_is_cited():
    lines = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts().items()
        if path not in WITH_EXAMPLES
        for number, line in enumerate(text.splitlines(), 1)
        if ABSENT_DOCUMENT.search(line)
    ]
    assert lines == []


@every_row(
    ("text", "numbers"),
    [
        ("why (webwx 2.12)", ["2.12"]),
        ("why (webwx 2.12, 3)", ["2.12", "3"]),
        ("why (webwx 2.1 to 2.3)", ["2.1", "2.2", "2.3"]),
        ("why (webwx 2.2,\n    # 2.3 and 2.8.1)", ["2.2", "2.3", "2.8.1"]),
        ("why (webwx 2.1-2.2); more", ["2.1", "2.2"]),
        ("no citation: webwx 2.1, (webwx has 3 hosts)", []),
    ],
)
def test_a_citation_names_these_numbers(text: str, numbers: list[str]):
    assert [citation.number for citation in citations_in("file", text)] == numbers
