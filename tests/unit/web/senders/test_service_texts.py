"""Texts of messages from the fields of other services."""

from __future__ import annotations

import time

import pytest

from tests.support.rows import every_row
from wx2mqtt.bounded_json import JsonDecimal
from wx2mqtt.errors import BadCommand
from wx2mqtt.web.senders.service_texts import (
    MAX_MARKDOWN_CHARACTERS,
    joined_text,
    object_value,
    plain_text_of,
    required_text,
    text_value,
)


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


@every_row(
    "lines, links, text",
    [
        (("Backup", "done\n"), ("https://nas/",), "Backup\ndone\nhttps://nas/"),
        (("", "  ", "done"), (), "done"),
        (("see https://nas/ now",), ("https://nas/", "https://b/", "https://b/", ""), "see https://nas/ now\nhttps://b/"),
        (("see https://nas/x",), ("https://nas/",), "see https://nas/x\nhttps://nas/"),
        ((), (), ""),
    ],
)  # fmt: skip
def test_a_text_is_its_lines_and_then_each_link_that_is_not_in_them(lines, links, text):
    assert joined_text(*lines, links=links) == text


@every_row(
    "value, text",
    [("done", "done"), (None, ""), (5, "5"), (JsonDecimal("1.50"), "1.50"), ("", "")],
)
def test_a_number_is_taken_as_its_text(value, text):
    assert text_value({"message": value}, "message") == text


@every_row("value", [True, [], {}, ["x"]])
def test_what_is_neither_a_text_nor_a_number_is_refused_with_its_key(value):
    with pytest.raises(BadCommand) as caught:
        text_value({"message": value}, "message")
    assert (caught.value.code, caught.value.facts["key"]) == ("bad_command", "message")


def test_an_object_may_be_missing_and_is_nothing_else():
    assert object_value({}, "extras") == object_value({"extras": None}, "extras") == {}
    assert object_value({"extras": {"a": 1}}, "extras") == {"a": 1}
    with pytest.raises(BadCommand):
        object_value({"extras": "a"}, "extras")


def test_a_blank_text_is_empty():
    assert required_text(" a ") == " a "
    with pytest.raises(BadCommand) as caught:
        required_text(" \n")
    assert caught.value.code == "empty"
