"""The page on the architecture says what the code is: the files that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wx2mqtt.wechat.registry import BACKENDS as BACKEND_TABLE

ROOT = Path(__file__).parents[2]
PAGES = {language: ROOT / "docs" / language / "development" / "architecture.md" for language in ("en", "zh")}
BACKENDS = tuple(BACKEND_TABLE)
NAMED = re.compile(
    r"`((?:(?:[\w.-]+|<backend>)/)+(?:[\w@*-]*\.[\w.]+|Dockerfile|Makefile)?|\w+\.py|Makefile)`"
)
"""A path in backticks: of a folder with its slash, of a file with its suffix; a topic has neither."""


CODE_NAME = re.compile(r"[A-Za-z_][\w.]*(?:/[\w/]+)?")
"""A name of the code or a topic; not a command, whose words have blanks or hyphens."""


def files_of(name: str) -> list[Path]:
    """Returns the files that a path of the page means, also with `*` or `<backend>`; those of a folder are all below it."""
    paths = [
        path
        for backend in BACKENDS
        for root in (ROOT / "wx2mqtt", ROOT)
        for path in root.glob(name.replace("<backend>", backend))
    ]
    return [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.*"))]


def missing_in(text: str) -> list[str]:
    """Returns the paths, also with `*`, that a text names and that are neither in the package nor in the project."""
    paths = {name.replace("<backend>", backend) for name in NAMED.findall(text) for backend in BACKENDS}
    return sorted(
        path for path in paths if not any(any(root.glob(path)) for root in (ROOT / "wx2mqtt", ROOT))
    )


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_file_that_the_page_names_exists(page) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(NAMED.findall(text)) > 100
    assert missing_in(text) == []


def rows_of_map(text: str) -> list[list[str]]:
    """Returns the cells of each row of the first table, without its head."""
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_each_row_of_the_map_is_a_file_and_what_stands_there(page) -> None:
    rows = rows_of_map(page.read_text(encoding="utf-8"))
    assert len(rows) > 100
    assert rows[0][0]
    assert [row for row in rows if len(row) != 3 or not NAMED.fullmatch(row[1]) or not row[2]] == []


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_what_a_row_of_the_map_names_is_in_its_files(page) -> None:
    assert [missing for row in rows_of_map(page.read_text("utf-8")) for missing in missing_names(row)] == []


def missing_names(row: list[str]) -> list[str]:
    """Returns the names in a row that none of its files has, with the first of these."""
    spans = re.findall(r"`([^`]+)`", " ".join(row[1:]))
    paths = [span for span in spans if NAMED.fullmatch(f"`{span}`")]
    text = "".join(file.read_text("utf-8", errors="ignore") for path in paths for file in files_of(path))
    names = [span for span in spans if span not in paths and CODE_NAME.fullmatch(span)]
    return [f"{paths[0]}: {name}" for name in names if name not in text]


def test_a_name_that_is_gone_is_noticed() -> None:
    row = ["", "`limits.py`", "`MAX_TOPIC_NAME_BYTES`, `Gone` and `wx2mqtt check`; `names.py` has `gone_too`"]
    assert missing_names(row) == ["limits.py: Gone", "limits.py: gone_too"]


def test_the_map_has_every_module_of_every_backend() -> None:
    rows = rows_of_map(PAGES["en"].read_text("utf-8"))
    named = {file for row in rows for name in NAMED.findall(" ".join(row)) for file in files_of(name)}
    modules = {
        file
        for backend in BACKENDS
        for file in (ROOT / "wx2mqtt" / "wechat" / backend).rglob("*.py")
        if file.name != "__init__.py"
    }
    assert sorted(str(file) for file in modules - named) == []


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_the_page_says_what_backend_stands_for(page) -> None:
    (sentence,) = re.findall(r"`<backend>` (?:is|是) (.*?)[.。]", page.read_text("utf-8"))
    assert sorted(re.findall(r"`(\w+)`", sentence)) == sorted(BACKENDS)


def test_the_map_has_a_file_of_every_package_and_both_languages_the_same() -> None:
    english, chinese = ([row[1] for row in rows_of_map(page.read_text("utf-8"))] for page in PAGES.values())
    assert english == chinese
    packages = {path.parent.name for path in (ROOT / "wx2mqtt").glob("*/__init__.py")}
    assert packages - {name.strip("`").partition("/")[0] for name in english} == set()


def test_a_file_that_is_gone_is_noticed() -> None:
    text = "`errors.py`, `gone.py`, `wechat/<backend>/gone.py`, `mqtt/gone.py`, `config/wx2mqtt.yaml`"
    assert missing_in(text) == [
        "gone.py",
        "mqtt/gone.py",
        "wechat/ilink/gone.py",
        "wechat/webwx/gone.py",
        "wechat/wecom/gone.py",
    ]
