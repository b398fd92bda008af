"""Links and anchors lead somewhere, tables are those of the code, and the pages keep their form."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from tests.docs.code_help import CODE_HELP
from tests.docs.markdown import ROOT, Block, anchor, anchors, blocks, links, pages, prose
from tests.docs.table_texts import TABLE_TEXTS
from tests.docs.tables import TABLE, TABLES, page_with_tables, translated
from tests.docs.tables import pages as pages_with_tables
from tests.support.chinese import OTHER_WORDS, half_width_signs
from tests.support.rows import every_row
from wx2mqtt.i18n.diagnostics import DIAGNOSTICS_MESSAGES
from wx2mqtt.i18n.reference import REFERENCE_TEXTS
from wx2mqtt.mqtt.payloads import REQUEST_CODES

ENGLISH = ROOT / "docs" / "en"
CHINESE = ROOT / "docs" / "zh"

MAX_README_LINES = 150
MAX_README_CHARACTERS = 140


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def pairs() -> list[tuple[Path, Path]]:
    """Returns each page with its Chinese one; some pages beside the files of the repository have none."""
    found = []
    for path in pages():
        if path.is_relative_to(ENGLISH):
            chinese = CHINESE / path.relative_to(ENGLISH)
        else:
            chinese = path.with_name(f"{path.stem}.zh.md")
        if chinese.exists():
            found.append((path, chinese))
    return found


def test_every_link_and_every_anchor_leads_somewhere():
    assert [
        (name_of(path), target) for path in pages() for target in links(path) if is_broken(path, target)
    ] == []


def is_broken(path: Path, target: str) -> bool:
    """Returns whether a link of a page leads nowhere in this repository."""
    if re.match(r"(https?|mailto):", target):
        return False
    file, _, fragment = unquote(target).partition("#")
    target_path = (path.parent / file).resolve() if file else path
    return not target_path.exists() or bool(fragment and fragment not in anchors(target_path))


@pytest.mark.parametrize("path", pages_with_tables(), ids=name_of)
def test_the_tables_of_a_page_are_those_of_the_code(path):
    assert page_with_tables(path) == path.read_text(encoding="utf-8"), "run make docs"


def test_every_table_is_on_an_english_page():
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
        return translated(english, language)

    monkeypatch.setattr("tests.docs.tables.translated", recorded)
    for make_table in TABLES.values():
        make_table("zh")
    assert used - {""} == TABLE_TEXTS.keys() | REFERENCE_TEXTS.keys()


def test_the_readme_is_at_most_two_screens_long():
    for path in ROOT.glob("README*.md"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) < MAX_README_LINES
        assert [line for line in lines if len(line) > MAX_README_CHARACTERS] == []


def names_of_pages(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.md")}


@pytest.mark.parametrize("folder", [ENGLISH, CHINESE], ids=lambda folder: folder.name)
def test_the_index_names_every_page(folder):
    index = folder / "README.md"
    named = {(folder / target).resolve() for target in links(index)}
    assert {path for path in folder.rglob("*.md") if path.name != "README.md"} - named == set()


def test_every_english_page_has_a_chinese_one_and_no_other():
    assert names_of_pages(CHINESE) == names_of_pages(ENGLISH)
    assert [path.name for path in ROOT.glob("README*.md")] == ["README.md", "README.zh.md"]


def test_the_two_languages_of_a_start_page_link_to_each_other():
    for english, chinese in (
        (ROOT / "README.md", ROOT / "README.zh.md"),
        (ENGLISH / "README.md", CHINESE / "README.md"),
    ):
        for page, other in ((english, chinese), (chinese, english)):
            assert other in {(page.parent / target).resolve() for target in links(page)}


def test_a_chinese_page_has_the_headings_commands_and_tables_of_the_english_one():
    for english, chinese in pairs():
        assert structure(chinese) == structure(english), name_of(chinese)


def test_a_chinese_page_has_full_width_signs():
    for _, path in pairs():
        assert half_width_signs(TABLE.sub("", prose(path))) == [], name_of(path)


def test_a_chinese_page_has_the_words_of_the_glossary():
    """A page may quote a word of WeChat's: “您”."""
    for _, path in pairs():
        assert OTHER_WORDS.findall(prose(path).replace("“您”", "")) == [], name_of(path)


def test_bold_text_is_shown_bold():
    for path in pages():
        assert bold_marks_shown(path.read_text(encoding="utf-8")) == [], name_of(path)


def bold_marks_shown(text: str) -> list[str]:
    """Returns the lines that show `**`: beside a Chinese character, a sign inside of the bold text keeps it
    from working.
    """
    page = MarkdownIt().enable("table").render(text)
    page = re.sub(r"<(code|pre)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    return [line for line in page.splitlines() if "**" in line]


def test_bold_text_that_does_not_work_is_found():
    assert bold_marks_shown("**好。** 好\n\n`**`") == []
    assert bold_marks_shown("**好。**好") == ["<p>**好。**好</p>"]


def test_a_chinese_page_leads_to_chinese_pages():
    """Only the switch of the language leads to an English page that has a Chinese one."""
    all_english = {path for path, _ in pairs()}
    for english_page, chinese in pairs():
        page_targets = {
            (chinese.parent / unquote(target).partition("#")[0]).resolve() for target in links(chinese)
        }
        assert page_targets & all_english <= {english_page}, name_of(chinese)


def test_a_chinese_page_for_developers_has_the_code_of_the_english_one():
    for english, chinese in pairs():
        if english.parent == ENGLISH / "development":
            assert code_spans(chinese) == code_spans(english), name_of(chinese)


def code_spans(path: Path) -> set[str]:
    """Returns the code inside of the sentences and tables of a page."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"^( *)```.*?^ *```\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text))


def structure(path: Path) -> dict[str, object]:
    """Returns what both languages of a page must have in common."""
    text = path.read_text(encoding="utf-8")
    return {
        "headings": [len(level) for level in re.findall(r"^(#+) ", text, re.MULTILINE)],
        "blocks": [(block.language, commands(block)) for block in blocks(path)],
        "tables": [line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("|")],
    }


def commands(block: Block) -> list[str]:
    """Returns the first words of each line of a block: what people type, without their own sentences.

    A configuration for Chinese readers also says `language: zh`. A block of text shows what is printed, in the
    language of the page: of it the lines count.
    """
    if block.language == "text":
        return ["" for _ in block.text.splitlines()]
    words = [word[0] for line in block.text.splitlines() if (word := re.findall(r"^\s*[\w./-]+", line))]
    return [word for word in words if word != "language"]


@every_row(
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
