"""Links and anchors lead somewhere, tables are those of the code, and the pages keep their form."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.markdown import ROOT, anchor, anchors, blocks, links, pages
from tests.docs.tables import TABLE, TABLES, page_with_tables, said
from tests.docs.tables import pages as pages_with_tables
from wx2mqtt.i18n.codes import CODE_HELP
from wx2mqtt.i18n.diagnostics import DIAGNOSTICS_MESSAGES
from wx2mqtt.i18n.reference import REFERENCE_TEXTS
from wx2mqtt.mqtt.payloads import REQUEST_CODES

ENGLISH = ROOT / "docs" / "en"
MAX_README_LINES = 150
MAX_README_CHARACTERS = 140


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def pairs() -> list[tuple[Path, Path]]:
    """Returns each page with its Chinese one, where there is one."""
    found = []
    for path in pages():
        if path.is_relative_to(ENGLISH):
            chinese = ROOT / "docs" / "zh" / path.relative_to(ENGLISH)
        else:
            chinese = path.with_name(f"{path.stem}.zh.md")
        if chinese.exists():
            found.append((path, chinese))
    return found


@pytest.mark.parametrize("path", pages(), ids=name_of)
def test_every_link_and_every_anchor_leads_somewhere(path):
    broken = []
    for target in links(path):
        if re.match(r"(https?|mailto):", target):
            continue
        file, _, fragment = unquote(target).partition("#")
        goal = (path.parent / file).resolve() if file else path
        if not goal.exists() or (fragment and fragment not in anchors(goal)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("path", pages_with_tables(), ids=name_of)
def test_the_tables_of_a_page_are_those_of_the_code(path):
    assert page_with_tables(path) == path.read_text(encoding="utf-8"), "run make docs"


def test_every_table_stands_on_an_english_page():
    names = [match[2] for path in ENGLISH.rglob("*.md") for match in TABLE.finditer(path.read_text("utf-8"))]
    assert sorted(names) == sorted(TABLES)


def test_every_code_has_cause_and_cure_and_no_other():
    assert CODE_HELP.keys() == REQUEST_CODES


def test_every_cure_of_the_doctor_has_a_row():
    cures = [key for key in DIAGNOSTICS_MESSAGES if key.endswith("_cure")]
    assert len(TABLES["doctor"]("en").splitlines()) == len(cures) + 2


def test_every_chinese_text_of_the_reference_is_used(monkeypatch):
    used: set[str] = set()

    def recorded(english, language):
        used.add(english)
        return said(english, language)

    monkeypatch.setattr("tests.docs.tables.said", recorded)
    for made in TABLES.values():
        made("zh")
    assert used - {""} == set(REFERENCE_TEXTS)


def test_the_readme_has_two_screens():
    for path in ROOT.glob("README*.md"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) < MAX_README_LINES
        assert [line for line in lines if len(line) > MAX_README_CHARACTERS] == []


def test_the_index_names_every_page():
    index = ENGLISH / "README.md"
    named = {(ENGLISH / target).resolve() for target in links(index)}
    assert {path for path in ENGLISH.rglob("*.md") if path.name != "README.md"} - named == set()


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: name_of(pair[1]))
def test_a_chinese_page_has_the_headings_commands_and_tables_of_the_english_one(pair):
    english, chinese = (form(path) for path in pair)
    assert chinese == english


def form(path: Path) -> dict[str, object]:
    """Returns what both languages of a page must have in common."""
    text = path.read_text(encoding="utf-8")
    return {
        "headings": [len(level) for level in re.findall(r"^(#+) ", text, re.MULTILINE)],
        "blocks": [(block.language, commands(block.text)) for block in blocks(path)],
        "tables": [line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("|")],
    }


def commands(text: str) -> list[str]:
    """Returns the first words of each line of a block: what people type, without their own sentences.

    A configuration for Chinese readers also says `language: zh`.
    """
    words = [word[0] for line in text.splitlines() if (word := re.findall(r"^\s*[\w./-]+", line))]
    return [word for word in words if word != "language"]


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("What it promises", "what-it-promises"),
        ("wx2mqtt setup", "wx2mqtt-setup"),
        ("备份与恢复", "备份与恢复"),
        ("消息（JSON）", "消息json"),
        ("`wx/in`: a [message](m.md)", "wxin-a-message"),
    ],
)
def test_anchors_are_made_as_on_github_in_both_languages(heading, expected):
    assert anchor(heading) == expected


def test_a_second_heading_of_the_same_name_has_an_anchor_of_its_own(tmp_path):
    (page := tmp_path / "page.md").write_text("# One\n\n## One\n\n```sh\n# One\n```\n")
    assert anchors(page) == {"one", "one-1"}
