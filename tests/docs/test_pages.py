"""Links and anchors lead somewhere, tables are those of the code, and the pages keep their form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer
from markdown_it import MarkdownIt

from tests.docs.code_help import CODE_HELP
from tests.docs.markdown import ROOT, Block, anchor, anchors, blocks, links, pages, prose
from tests.docs.table_texts import TABLE_TEXTS
from tests.docs.tables import TABLE, TABLES, page_with_tables, translated
from tests.docs.tables import pages as pages_with_tables
from tests.support.chinese import OTHER_WORDS, half_width_signs
from tests.support.rows import every_row
from wx2mqtt.cli.main import app
from wx2mqtt.i18n.diagnostics import DIAGNOSTICS_MESSAGES
from wx2mqtt.i18n.reference import REFERENCE_TEXTS
from wx2mqtt.i18n.setup import HELP_TEXTS
from wx2mqtt.mqtt.payloads import REQUEST_CODES
from wx2mqtt.mqtt.topics import TOPIC_TABLE

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


def test_every_path_that_a_page_names_is_in_the_repository_or_made_by_it():
    assert [(name_of(path), word) for path in pages() for word in missing_paths(path)] == []


def missing_paths(path: Path) -> Iterator[str]:
    """Yields the paths from the top of the repository, in spans of code, at which nothing is.

    What git ignores is made here: by `make`, or by a script of `deploy`.
    """
    for word in {word for span in code_spans(path) for word in span.split()}:
        folder, slash, _ = word.partition("/")
        name = word.partition("::")[0].rstrip("/")
        if not (folder and slash) or not (ROOT / folder).is_dir() or is_ignored_by_git(name):
            continue
        if not any(ROOT.glob(re.sub(r"<\w+>|…", "*", name))):
            yield word


def is_ignored_by_git(name: str) -> bool:
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    return any(f"{name}/".startswith(f"{line.strip('/')}/") for line in lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`docs/en/README.md`, `deploy/`, `tests/x.py`", ["tests/x.py"]),
        ("`make -C deploy/gone`", ["deploy/gone"]),
        ("`wx2mqtt/wechat/<backend>/protocol/`, `tests/unit/test_names.py::test_it`", []),
        ("`deploy/docker/secrets/web`, `.cache/fuzz`, `wx/in/me`", []),
    ],
)
def test_a_path_that_is_not_there_is_noticed(text, expected, tmp_path):
    (page := tmp_path / "page.md").write_text(text, encoding="utf-8")
    assert list(missing_paths(page)) == expected


def test_every_topic_that_a_page_names_exists():
    """Of the base topic `wx`, and of accounts whose base is `wx/<account>`."""
    assert [
        (name_of(path), topic)
        for path in pages()
        for topic in re.findall(r"(?<![\w/.-])wx/[\w<>+/-]*#?", path.read_text(encoding="utf-8"))
        if not is_topic(topic)
    ] == []


def is_topic(topic: str) -> bool:
    """Returns whether the bridge knows a topic, a filter or the beginning of a topic."""
    levels = topic.rstrip("/").split("/")[1:]
    if levels[:1] and levels[0] in {"<account>", "office", "work"}:
        levels = levels[1:]
    return any(fits(levels, topic.pattern.split("/")) for topic in TOPIC_TABLE)


def fits(levels: list[str], pattern: list[str]) -> bool:
    """Returns whether the levels fit a row of the table; below `out/<user>` are files, too."""
    is_file = levels[2:3] in (["image"], ["video"], ["file"]) and pattern == ["out", "<user>"]
    return (is_file or len(levels) <= len(pattern) or "#" in levels) and all(
        level in {name, "+", "#"} or name.startswith("<")
        for level, name in zip(levels, pattern, strict=False)
    )


@every_row(
    ("topic", "expected"),
    [
        ("wx/in/wife", True),
        ("wx/out/#", True),
        ("wx/+/+", True),
        ("wx/login", True),
        ("wx/out/me/file/a", True),
        ("wx/office/in/zhangsan", True),
        ("wx/reply/me", False),
        ("wx/in/me/image", False),
        ("wx/bridge/healthy", False),
    ],
)
def test_a_topic_that_does_not_exist_is_noticed(topic, expected):
    assert is_topic(topic) is expected


@every_row("docs", [ENGLISH, CHINESE])
def test_the_reference_has_every_command_and_option_of_the_help(docs):
    page = (docs / "reference" / "command-line.md").read_text(encoding="utf-8")
    _, *parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    for name, options in options_of_help(typer.main.get_command(app), "wx2mqtt"):
        assert [option for option in options if f"`{option}`" not in sections[name]] == [], name


def options_of_help(command: Any, name: str) -> Iterator[tuple[str, set[str]]]:
    """Yields each command that has an option beside --help, with those options."""
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    if options := options - {"--help"}:
        yield name, options
    for key, inner in getattr(command, "commands", {}).items():
        yield from options_of_help(inner, f"{name} {key}")


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
    assert used - {""} - HELP_TEXTS.keys() == TABLE_TEXTS.keys() | REFERENCE_TEXTS.keys()


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


def test_a_chinese_page_has_the_headings_blocks_and_tables_of_the_english_one():
    for english, chinese in pairs():
        assert structure(chinese) == structure(english), name_of(chinese)


def test_a_chinese_page_has_full_width_signs():
    for _, path in pairs():
        assert half_width_signs(TABLE.sub("", prose(path))) == [], name_of(path)


def test_a_chinese_page_has_the_words_of_the_glossary():
    for _, path in pairs():
        assert OTHER_WORDS.findall(prose(path)) == [], name_of(path)


def test_a_chinese_page_has_no_english_sentence():
    """What is quoted of a program in English stands in a span or a block of code."""
    for _, path in pairs():
        assert english_sentences(prose(path)) == [], name_of(path)


def english_sentences(text: str) -> list[str]:
    """Returns each five English words in a row, but for targets of links and HTML."""
    shown = re.sub(r"\]\([^)]*\)|<[^>]*>", "]", text)
    return re.findall(r"[A-Za-z]+(?: [a-z]+){4,}", shown)


@every_row(
    ("text", "expected"),
    [
        ("红包 | Red packet received on the phone", ["Red packet received on the phone"]),
        ("请用 Home Assistant 的 `run it as it stands` <a b c d e f>[一](a%20b)", []),
    ],
)
def test_an_english_sentence_is_noticed(text, expected):
    assert english_sentences(re.sub(r"`[^`]*`", "``", text)) == expected


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
    """Returns what both languages of a page must have in common, beside the code of its blocks."""
    text = path.read_text(encoding="utf-8")
    return {
        "headings": [len(level) for level in re.findall(r"^(#+) ", text, re.MULTILINE)],
        "blocks": [(block.language, len(code_lines(block))) for block in blocks(path)],
        "tables": [line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("|")],
    }


def code_lines(block: Block) -> list[str]:
    """Returns the lines of a block without the choice of a language, which is that of the page."""
    text = re.sub(r' ARGS="--language zh"|^language: (en|zh).*\n', "", block.text, flags=re.MULTILINE)
    return unquote(text).splitlines()


def code_words(line: str) -> list[str]:
    """Returns the words of a line of code; in a shell's JSON each text is one."""
    json_without_quotes = re.sub(r"([\'\"])(\{.*\})\1", r"\2", line.replace('\\"', '"'))
    return CODE_WORD.findall(json_without_quotes)


def test_a_block_has_the_same_code_in_both_languages():
    """A block of text shows what is printed, in the language of the page: of it the lines count."""
    assert [
        f"{chinese.name}: {line}"
        for english_page, chinese_page in pairs()
        for english, chinese in zip(blocks(english_page), blocks(chinese_page), strict=True)
        if english.language != "text"
        for original, line in zip(code_lines(english), code_lines(chinese), strict=True)
        if not is_translated(original, line)
    ] == []


CHINESE_SIGN = re.compile(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]")
CODE_WORD = re.compile(
    r"""
    "(?:[^"\\]|\\.)*" | \'[^\']*\'
    | (?:^|(?<=\s))(?:\#|//)\ .*  # a comment
    | [\w./$@:<>%{}+*=-]+ | \S
    """,
    re.VERBOSE,
)


def is_translated(original: str, line: str) -> bool:
    """Returns whether a line of code is the English one, but for comments and texts, which are Chinese."""
    words, original_words = code_words(line), code_words(original)
    if len(words) == len(original_words):
        both = zip(words, original_words, strict=True)
        return all(word == other or CHINESE_SIGN.search(word) for word, other in both)
    text = CHINESE_SIGN.search(line)  # one without quotation marks, up to the end of the line
    return text is not None and not re.search(r"[\'\"]", line) and original.startswith(line[: text.start()])


@every_row(
    ("original", "line", "expected"),
    [
        ("pub -q 1 -m 'Hello'  # now", "pub -q 1 -m '你好'  # 现在", True),
        ("pub -q 1 -m 'Hello'", "pub -q 0 -m '你好'", False),
        ("pub -q 1 -m 'Hello' -r", "pub -q 1 -m '你好'", False),
        ("pub -m Hello", "pub -m Hi", False),
        (
            '-m "{\\"text\\": \\"Hello there\\", \\"ttl\\": 5}"',
            '-m "{\\"text\\": \\"你好\\", \\"ttl\\": 6}"',
            False,
        ),
        ("Description=Tells that it failed", "Description=通知失败", True),
        ("Description=Tells that it failed", "Name=通知失败", False),
    ],
)
def test_a_translated_line_is_told_from_other_code(original, line, expected):
    assert is_translated(original, line) is expected


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
