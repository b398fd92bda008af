"""The texts of an alert of the fallback: one command, or a summary of many that names as many as fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.bridge.rows import row_of
from wx2mqtt.bridge.commands.fallback_alerts import MAX_SUMMARY_CHARACTERS, alert_text, summary_lines
from wx2mqtt.i18n import Language


def test_a_summary_names_the_first_and_the_last_and_stays_short() -> None:
    rows = [row_of(number, "wife", f"text {number} " + "long " * 50) for number in range(3000)]
    lines = summary_lines(rows, "en")
    assert lines[0].startswith("wife: text 0 ")
    assert lines[1].startswith("wife: text 2999 ")
    assert len("\n".join(lines)) <= MAX_SUMMARY_CHARACTERS
    assert summary_lines(rows[:2], "en")[1].startswith("wife: text 1 ")
    assert len(summary_lines(rows[:3], "en")) == 3


def test_a_text_of_several_lines_is_one_of_a_summary() -> None:
    assert summary_lines([row_of(1, "wife", "a\n\tb"), row_of(2, "mom", "c")], "en") == [
        "wife: a b",
        "mom: c",
    ]


@pytest.mark.parametrize(("language", "text"), [("en", "[image] door.jpg"), ("zh", "[图片] door.jpg")])
def test_a_picture_without_a_text_is_named_in_the_language_of_the_bridge(
    language: Language, text: str
) -> None:
    row = row_of(1, "wife", "")
    picture = replace(row, command=replace(row.command, kind="image", name="door.jpg"))
    assert alert_text(picture, language) == text
    recall = replace(row, command=replace(row.command, kind="recall"))
    assert alert_text(recall, language) == "[recall]"
    assert summary_lines([picture], language) == [f"wife: {text}"]
