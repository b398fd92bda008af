"""The page on the architecture says what the code is: the files that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {language: ROOT / "docs" / language / "development" / "architecture.md" for language in ("en", "zh")}
BACKENDS = ("webwx", "ilink")
NAMED = re.compile(
    r"`((?:(?:[\w.-]+|<backend>)/)+(?:[\w@*-]*\.[\w.]+|Dockerfile|Makefile)?|\w+\.py|Makefile)`"
)
"""A path in backticks: of a folder with its slash, of a file with its suffix; a topic has neither."""


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


def test_the_map_has_a_file_of_every_package_and_both_languages_the_same() -> None:
    english, chinese = ([row[1] for row in rows_of_map(page.read_text("utf-8"))] for page in PAGES.values())
    assert english == chinese
    packages = {path.parent.name for path in (ROOT / "wx2mqtt").glob("*/__init__.py")}
    assert packages - {name.strip("`").partition("/")[0] for name in english} == set()


def test_a_file_that_is_gone_is_noticed() -> None:
    text = "`errors.py`, `gone.py`, `wechat/<backend>/gone.py`, `mqtt/gone.py`, `config/wx2mqtt.yaml`"
    assert missing_in(text) == ["gone.py", "mqtt/gone.py", "wechat/ilink/gone.py", "wechat/webwx/gone.py"]
