"""Markdown as people read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.simulator.wecom.shown_text import shown_text

MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("hello", "hello"),
        ("# Title", "Title"),
        ("### Title ###", "Title"),
        ("#no title", "#no title"),
        ("a **bold** and *italic* and ~~gone~~", "a bold and italic and gone"),
        ("***both***", "both"),
        ("snake_case_name and __bold__", "snake_case_name and bold"),
        ("5 * 3 * 2", "5 * 3 * 2"),
        ("> quoted", "｜quoted"),
        ("- one\n* two\n+ three", "• one\n• two\n• three"),
        ("1. one\n2. two", "1. one\n2. two"),
        ("[name](https://a.example)", "name (https://a.example)"),
        ("![picture](https://a.example/p.png)", "picture (https://a.example/p.png)"),
        ("<https://a.example>", "https://a.example"),
        ("<b>x</b>", "x"),
        ("`a * b`", "a * b"),
        ("```\n# a\n*b*\n```\nafter", "# a\n*b*\nafter"),
        ("---", "———"),
        ("Title\n===", "Title"),
        ("a | b\n--|--\n1 | 2\n\nc", "a | b\n1 | 2\n\nc"),
        ("1. a\n2. b", "1. a\n2. b"),
        ("&lt;b&gt; &#9728; &nothing;", "<b> ☀ &nothing;"),
        ("one\ntwo", "one\ntwo"),
        ("one\n\n\ntwo", "one\n\n\ntwo"),
        ("one\n\n- a\n- b\n\ntwo", "one\n\n• a\n• b\n\ntwo"),
        ("> a\n> b\n\nc", "｜a\n｜b\n\nc"),
        ("<div>\nx\n</div>", "\nx\n"),
        ("a <font color='info'>b</font>", "a b"),
        ("  two spaces", "two spaces"),
    ],
)
def test_marks_are_not_shown(markdown: str, shown: str):
    assert shown_text(markdown) == shown


@pytest.mark.parametrize("mark", MARKS)
def test_an_escaped_mark_is_shown(mark: str):
    assert shown_text(f"\\{mark}a\\{mark} \\{mark}\\{mark}b") == f"{mark}a{mark} {mark}{mark}b"


@given(st.text(st.sampled_from(MARKS + "ab 1灯"), min_size=1, max_size=30))
def test_a_line_whose_marks_are_escaped_is_read_as_it_was_written(text: str):
    escaped = "x" + "".join(f"\\{character}" if character in MARKS else character for character in text) + "x"
    assert shown_text(escaped) == f"x{text}x"


@given(st.text(st.sampled_from(MARKS + "ab \n灯"), min_size=1, max_size=60))
def test_any_text_can_be_shown(text: str):
    shown_text(text)
