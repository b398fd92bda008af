"""Texts of messages from the fields of other services."""

from __future__ import annotations

import time

from tests.support.rows import every_row
from wx2mqtt.web.senders.service_texts import MAX_MARKDOWN_CHARACTERS, plain_text_of


@every_row(
    "markdown, text",
    [
        ("# Title\n**bold** __too__ `x=1`", "Title\nbold too x=1"),
        ("![](http://x/a.png)", "http://x/a.png"),
        ("[http://x](http://x)", "http://x"),
        ("2 * 3 * 4 a_b_c **", "2 * 3 * 4 a_b_c **"),
        ("#5 is no heading", "#5 is no heading"),
    ],
)
def test_markdown_as_text(markdown, text):
    assert plain_text_of(markdown) == text


def test_markdown_that_is_too_long_for_its_parser_keeps_its_marks():
    assert plain_text_of(f"*a*{'x' * (MAX_MARKDOWN_CHARACTERS - 3)}").startswith("ax")
    text = "[" * 3 * 1024 * 1024  # its parser would take hours
    started_at = time.thread_time()
    assert plain_text_of(text) == text
    assert time.thread_time() - started_at < 1
