from typing import Any

import pytest

from wx2mqtt.model import Button
from wx2mqtt.wechat.wecom.protocol.cards import (
    CardTexts,
    Press,
    answered_card,
    card,
    card_texts,
    read_press,
    short_title,
)

LONG = "word " * 40


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("Open the garage?", CardTexts(title="Open the garage?")),
        ("Garage\nOpen it?", CardTexts(title="Garage", body="Open it?")),
        ("Shall I open the garage door now?", CardTexts(title="Shall I open the garage", body="door now?")),
        ("字" * 30, CardTexts(title="字" * 26, body="字" * 4)),
        ("字" * 26 + "😀" * 56, CardTexts(title="字" * 26, body="😀" * 56)),
        ("😀" * 20, CardTexts(title="😀" * 13, body="😀" * 7)),
        ("字" * 26 + "😀" * 57, None),
        (LONG, None),
    ],
)
def test_the_text_of_a_question_is_title_and_body_or_too_long(text, texts):
    assert card_texts(text) == texts


def test_a_card_whose_text_went_before_has_its_begin_as_title():
    assert short_title(LONG) == "word word word word word…"
    assert short_title("short") == "short"
    assert short_title("😀" * 14) == "😀" * 12 + "…"


def test_a_card_asks_with_its_buttons():
    asked: dict[str, Any] = card(
        CardTexts(title="Open?"), [Button(text="Yes", key="y"), Button(text="No", key="n")], "q1"
    )
    assert asked["main_title"] == {"title": "Open?"}
    assert asked["task_id"] == "q1"
    assert [(button["text"], button["key"]) for button in asked["button_list"]] == [("Yes", "y"), ("No", "n")]


def test_the_card_that_replaces_it_shows_the_choice_and_has_an_action():
    shown = answered_card(CardTexts(title="Open?", body="The car is near."), "✓ Yes", "q1")
    assert shown["sub_title_text"] == "The car is near.\n✓ Yes"
    assert shown["card_action"]
    assert shown["task_id"] == "q1"


def test_a_press_names_its_card_and_its_button():
    event = {
        "eventtype": "template_card_event",
        "template_card_event": {"card_type": "button_interaction", "event_key": "y", "task_id": "q1"},
    }
    assert read_press(event) == Press(task_id="q1", key="y")
    assert read_press({"eventtype": "template_card_event", "event_key": "y", "task_id": "q1"}) is None


def test_a_short_body_is_the_description_and_a_longer_one_the_sub_title():
    short: dict[str, Any] = card(CardTexts(title="Open?", body="x" * 30), [], "q1")
    assert short["main_title"] == {"title": "Open?", "desc": "x" * 30}
    long: dict[str, Any] = card(CardTexts(title="Open?", body="x" * 31), [], "q1")
    assert (long["main_title"], long["sub_title_text"]) == ({"title": "Open?"}, "x" * 31)


def test_a_choice_is_shown_whatever_the_body_has():
    shown = answered_card(CardTexts(title="Open?", body="x" * 112), "✓ Yes", "q1")
    assert shown["sub_title_text"] == "x" * 106 + "\n✓ Yes"
