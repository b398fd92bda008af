"""Texts in markdown: a renderer shows them as they were written."""

from __future__ import annotations

import html
import re
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.support.cost import is_in_proportion, repeated
from wx2mqtt.bridge.text_split import split_text
from wx2mqtt.wechat.wecom.protocol.markdown import (
    MAX_TEXT_BYTES,
    escaped,
    markdown_size_in_bytes,
    size_in_bytes,
)


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("hello", "hello"),
        ("*a* _b_ `c`", "\\*a\\* \\_b\\_ \\`c\\`"),
        ("# no heading", "\\# no heading"),
        ("a # b > c - d", "a # b > c - d"),
        ("> no quote\n- no list", "\\> no quote  \n\\- no list"),
        ("1. no list\n21.5 °C", "1\\. no list  \n21.5 °C"),
        ("  1. a\n # b", "\u00a0\u00a01\\. a  \n\u00a0\\# b"),
        ("a & b &amp; c", "a & b \\&amp; c"),
        ("C:\\temp", "C:\\\\temp"),
        ("[x](http://y)", "\\[x\\](http://y)"),
        ("https://a/b_c_d?e=_f_ g_h", "https://a/b_c_d?e=\\_f\\_ g\\_h"),
        ("one\n\ntwo", "one\n\ntwo"),
        ("one\r\n\n\ntwo", "one  \n\u00a0  \n\u00a0  \ntwo"),
        ("    code?\n\ttab", "\u00a0\u00a0\u00a0\u00a0code?  \n\u00a0\u00a0\u00a0\u00a0tab"),
        ("\n \nblank around \t\n\n", "blank around"),
        (" \n ", ""),
    ],
)
def test_signs_of_markdown_are_escaped_where_they_mean_something(text, markdown):
    assert escaped(text) == markdown


def test_the_size_is_that_of_what_is_sent():
    assert size_in_bytes("*好") == 5
    assert markdown_size_in_bytes("*好") == 4
    assert size_in_bytes("a" + " " * 99) == 100


# Whatever a text has, a renderer shows it, and nothing but paragraphs and line breaks.

RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def shown(markdown: str) -> str:
    """Returns what a reader sees."""
    page = RENDERER.render(markdown)
    assert not re.search(r"<(?!/?p>|br />)", page), page
    page = page.replace("</p>\n<p>", "\n\n").replace("<br />\n", "\n")
    return html.unescape(re.sub(r"</?p>", "", page))


def as_seen(text: str) -> str:
    """Returns a text without what nobody sees: other line ends, blanks around lines, any blank around paragraphs."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ").split("\n")
    paragraphs = "\n".join(line.strip(" \t") for line in lines).split("\n\n")
    return "\n\n".join(paragraph.strip() for paragraph in paragraphs).strip()


PIECES = st.sampled_from(
    [
        *"ab*_`[]()<>#+-.!|~&=\\1:@家。\n\t ",
        *(
            "&amp;",
            "&#42;",
            "1. ",
            "12) ",
            "  ",
            "    ",
            "\n\n",
            "\n\n\n",
            "\r\n",
            "***",
            "---",
            "===",
            "```",
        ),
        *(
            "~~~",
            "~~",
            "| a |",
            "|--|",
            ":-:",
            "[x]: y",
            "<b>",
            "<!--",
            "<a@b.c>",
            "![i](u)",
            "https://x/a_b",
        ),
        *("http://x/_y_*z*", "- [ ] ", "> ", "# ", "\u00a0", "＊", "\u3000"),
    ]
)
TEXTS = st.lists(PIECES, min_size=1, max_size=40).map("".join)


@given(TEXTS)
@example("\u3000")
@example("a\n\n\u3000b\n\n\u3000")
def test_a_text_is_shown_as_it_was_written(text):
    assert as_seen(shown(escaped(text))) == as_seen(text)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=40))
def test_any_text_of_one_line_is_shown_as_it_was_written(text):
    assert shown(escaped(text)).strip() == text.strip()


@given(TEXTS, st.integers(min_value=60, max_value=200))
def test_its_parts_fit_as_they_are_sent(text, limit):
    for part in split_text(text, limit, size_in_bytes):
        assert len(escaped(part).encode()) <= limit


def test_a_long_text_is_split_into_parts_that_are_nearly_full():
    text = "*门* is _open_: https://home/door_1\n" * 2000
    parts = split_text(text, MAX_TEXT_BYTES, size_in_bytes)
    sizes = [len(escaped(part).encode()) for part in parts]
    assert len(parts) == -(-sum(sizes) // MAX_TEXT_BYTES)
    assert max(sizes) <= MAX_TEXT_BYTES


@pytest.mark.parametrize("part", ["*", "a_", "://", "&amp;", "1.", "\n", " \n", "\t", "#", "a\n\n\n", "家"])
def test_the_cost_is_in_proportion(part):
    def work(size: int) -> None:
        escaped(repeated(part, size))

    assert is_in_proportion(work, 200_000)


@pytest.mark.parametrize("line", ["+x\n", " y\n"])
def test_a_long_text_whose_every_line_is_changed_takes_no_memory_for_each_match(line):
    text = line * 33_000
    tracemalloc.start()
    try:
        escaped(text)
        assert tracemalloc.get_traced_memory()[1] < 25 * len(text)  # it was 51
    finally:
        tracemalloc.stop()
