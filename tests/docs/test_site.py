"""The site's pages hold no link out of the documentation, and a link to an anchor that is not there is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT
from tests.docs.site import SECTIONS, broken_anchors, prepared, search_language
from tests.support.rows import every_row

DOCS = ROOT / "docs" / "en"


@every_row(
    ("text", "expected"),
    [
        ("[topics](topics.md#topics)", "[topics](topics.md#topics)"),
        ("[login](../reference/login.md)", "[login](../reference/login.md)"),
        ("[web](https://example.org/)", "[web](https://example.org/)"),
        ("[rights](../../../deploy/mosquitto/README.md#who)", "rights (`deploy/mosquitto/README.md`)"),
        ("[中文](../../zh/README.md)", "[中文](../../zh/index.html)"),
        ("[zh](../../zh/limits.md#文件)", "[zh](../../zh/limits.html#文件)"),
        ("![phone](../../../deploy/phone.png)", "![phone](../pictures/phone.png)"),
        ('<img src="../../../deploy/phone.png" width="1">', '<img src="../pictures/phone.png" width="1">'),
    ],
)
def test_a_link_out_of_the_pages_becomes_a_path_and_a_picture_is_copied(text, expected):
    copied: set[Path] = set()
    assert prepared(text, DOCS / "reference" / "page.md", DOCS, copied) == expected
    assert {path.name for path in copied} == set(re.findall(r"pictures/([\w.]+)", expected))


@pytest.mark.parametrize("docs", [DOCS, DOCS.with_name("zh")], ids=lambda docs: docs.name)
def test_every_picture_of_the_pages_exists(docs):
    for page in docs.rglob("*.md"):
        copied: set[Path] = set()
        prepared(page.read_text(encoding="utf-8"), page, docs, copied)
        assert [path for path in copied if not path.exists()] == []


def test_a_link_to_an_anchor_that_is_not_there_is_found(tmp_path):
    (tmp_path / "index.html").write_text(
        '<h2 id="备份">备份</h2><a href="#%E5%A4%87%E4%BB%BD">1</a><a href="b.html#two">2</a><a href="c.html">3</a>'
        '<a href="#一">4</a><a href="https://example.org/#one">5</a><a href="b.html#one">6</a>',
        encoding="utf-8",
    )
    (tmp_path / "b.html").write_text('<p id="one"></p>', encoding="utf-8")
    assert list(broken_anchors(tmp_path)) == [
        "index.html: b.html#two",
        "index.html: c.html",
        "index.html: #一",
    ]


def test_the_language_of_the_search_is_read_from_its_index(tmp_path):
    (tmp_path / "search.json").write_text('{"config": {"lang": ["zh"]}, "items": []}')
    assert search_language(tmp_path) == "zh"


def test_the_navigation_names_every_page_once_and_its_sections_have_chinese_titles():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r"^ +- (\S+\.md)$", settings, re.MULTILINE)
    assert sorted(named) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
    assert re.findall(r"^  - ([A-Z]\w+):$", settings, re.MULTILINE) == list(SECTIONS)


def test_the_settings_of_the_site_have_the_lines_that_a_language_replaces():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for line in ("docs_dir: docs/en", "site_dir: site/en", "language: en"):
        assert settings.count(line) == 1
