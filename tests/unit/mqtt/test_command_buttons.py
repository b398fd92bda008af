"""The keys of a question: what is refused, in words that say which button is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.rows import every_row
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.limits import MAX_TTL_SECONDS
from wx2mqtt.model import Button, Command
from wx2mqtt.mqtt.commands import read_command


def read(**fields: Any) -> Command:
    return read_command("wife", json.dumps({"text": "Lock?", **fields}).encode(), "")


def refusal(**fields: Any) -> str:
    with pytest.raises(BadCommand) as caught:
        read(**fields)
    assert caught.value.code == "bad_command"
    assert rejection_text("zh", caught.value)
    return rejection_text("en", caught.value)


def test_a_button_is_a_text_or_a_text_with_a_key() -> None:
    command = read(buttons=["Yes", {"text": "No", "key": "leave it"}, {"text": "开"}])
    assert command.buttons == (
        Button(text="Yes", key="Yes"),
        Button(text="No", key="leave it"),
        Button(text="开", key="开"),
    )
    assert (command.buttons_for, command.buttons_from) == (86_400.0, "trusted")


def test_how_long_and_from_whom_an_answer_counts() -> None:
    command = read(buttons=["Yes"], buttons_for=0.5, buttons_from="anyone")
    assert (command.buttons_for, command.buttons_from) == (0.5, "anyone")
    assert read(buttons=["Yes"], buttons_for=10**12).buttons_for == MAX_TTL_SECONDS


@every_row("buttons", [[], ["a"] * 7, "Yes", None, {}, 1, True, {"text": "Yes"}])
def test_there_are_one_to_six(buttons: Any) -> None:
    assert "a list of 1 to 6" in refusal(buttons=buttons)


@every_row("button", [1, None, [], {"text": "Yes", "kee": "y"}, True])
def test_each_has_a_known_form(button: Any) -> None:
    assert "button 2 must be a text, or an object" in refusal(buttons=["Yes", button])


@every_row(
    "text",
    ["", " ", "\u3000", "12345678901", "a\nb", "a\u2028b", "\x00", "1", "12", "２", " 3 ", "\ud800", 7],
)
def test_a_text_can_be_shown_and_is_no_number(text: Any) -> None:
    assert "the text of button 2 must have 1 to 10 characters" in refusal(buttons=["Yes", {"text": text}])


@every_row("key", ["", "  ", "x" * 129, "\ud800", 1, None, ["a"]])
def test_a_key_is_a_text(key: Any) -> None:
    assert "the key of button 1 must be a text of 1 to 128" in refusal(buttons=[{"text": "Yes", "key": key}])


def test_a_key_may_be_long_and_a_text_of_ten_characters() -> None:
    assert read(buttons=[{"text": "十个字十个字十个字好", "key": "x" * 128}]).buttons[0].key == "x" * 128


@every_row("second", ["yes", "ＹＥＳ", " Yes"])
def test_texts_differ_by_more_than_case_and_width(second: str) -> None:
    assert "buttons 1 and 3 have the same text" in refusal(buttons=["Yes", "No", second])


def test_keys_differ_too() -> None:
    buttons = [{"text": "Yes", "key": "é"}, {"text": "No", "key": "E\u0301"}]
    assert "buttons 1 and 2 have the same key" in refusal(buttons=buttons)


@every_row("seconds", [0, -1, True, "60", None])
def test_the_time_is_a_number_above_zero(seconds: Any) -> None:
    assert "'buttons_for' must be a number of seconds above 0" in refusal(
        buttons=["Yes"], buttons_for=seconds
    )


@every_row("who", ["", "everybody", None, 1, ["trusted"]])
def test_answers_are_of_the_trusted_or_of_anyone(who: Any) -> None:
    assert "'buttons_from' must be trusted or anyone" in refusal(buttons=["Yes"], buttons_from=who)


@every_row("key", ["buttons_for", "buttons_from"])
def test_options_need_buttons(key: str) -> None:
    assert refusal(**{key: 60}) == f"'{key}' needs 'buttons'"


@every_row(
    "fields",
    [
        {"kind": "image", "path": "/a.jpg", "text": ""},
        {"kind": "file", "data": "aGk=", "text": ""},
        {"kind": "recall", "message_id": "7", "text": ""},
    ],
)
def test_only_a_text_asks(fields: dict[str, Any]) -> None:
    assert "'buttons' goes with a text, not with kind" in refusal(buttons=["Yes"], **fields)
