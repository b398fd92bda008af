"""What is wrong with a card, and what people see of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.wecom_client import button_card
from wx2mqtt.simulator.wecom.cards import CardButton, Option, read_card
from wx2mqtt.simulator.wecom.codes import Refused

ACTION = {"type": 1, "url": "https://a.example"}
OPTIONS = [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}]
SUBMIT = {"text": "Send", "key": "go"}

GOOD: dict[str, dict[str, Any]] = {
    "button_interaction": button_card("t1", "Yes", "No"),
    "vote_interaction": {
        "card_type": "vote_interaction",
        "main_title": {"title": "Which?"},
        "checkbox": {"question_key": "q", "option_list": OPTIONS, "mode": 0},
        "submit_button": SUBMIT,
        "task_id": "t1",
    },
    "multiple_interaction": {
        "card_type": "multiple_interaction",
        "main_title": {"title": "Which?"},
        "select_list": [{"question_key": "q", "option_list": OPTIONS}],
        "submit_button": SUBMIT,
        "task_id": "t1",
    },
    "text_notice": {
        "card_type": "text_notice",
        "main_title": {"title": "Power"},
        "emphasis_content": {"title": "230 V", "desc": "now"},
        "card_action": ACTION,
    },
    "news_notice": {
        "card_type": "news_notice",
        "main_title": {"title": "News"},
        "card_image": {"url": "https://a.example/p.jpg", "aspect_ratio": 1.5},
        "card_action": ACTION,
    },
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_card_is_taken_without_a_remark(kind: str):
    card = read_card(GOOD[kind])
    assert (card.card_type, card.oddities) == (kind, [])


def test_a_card_shows_its_parts():
    rows = [{"keyname": "room", "value": "hall"}]
    card = read_card(button_card("t1", "Yes", "No", sub_title_text="since 8", horizontal_content_list=rows))
    assert (card.title, card.body) == ("Lights?", "in the hall\nsince 8\nroom: hall")
    assert card.buttons == (CardButton(text="Yes", key="yes"), CardButton(text="No", key="no"))
    vote = read_card(GOOD["vote_interaction"])
    assert vote.options == (Option(question="q", key="a", text="A"), Option(question="q", key="b", text="B"))
    assert read_card(GOOD["text_notice"]).body == "230 V"


@pytest.mark.parametrize(
    ("kind", "change", "problem"),
    [
        ("button_interaction", {"card_type": "dance"}, "card_type is not one of"),
        ("button_interaction", {"task_id": None}, "task_id of a card is no text"),
        ("button_interaction", {"task_id": "a b"}, "task_id has characters other than"),
        ("button_interaction", {"task_id": "a" * 129}, "task_id of a card is longer than 128 bytes"),
        ("button_interaction", {"button_list": []}, "button_list has not 1 to 6 entries"),
        ("button_interaction", {"button_list": GOOD["button_interaction"]["button_list"] * 4}, "1 to 6"),
        ("button_interaction", {"button_list": [{"text": "Yes"}]}, "a button has no key"),
        ("button_interaction", {"button_list": [{"text": " ", "key": "y"}]}, "text of a card is no text"),
        ("button_interaction", {"button_list": [{"text": "Y", "key": "y" * 1025}]}, "longer than 1024 bytes"),
        ("button_interaction", {"button_list": [{"text": "Y", "key": "y", "style": 5}]}, "is not 1 to 4"),
        ("button_interaction", {"main_title": {"desc": "x"}}, "main_title.title of a card is no text"),
        ("button_interaction", {"main_title": "x"}, "main_title is no object"),
        ("vote_interaction", {"submit_button": {}}, "text of a card is no text"),
        ("vote_interaction", {"checkbox": {"question_key": "q"}}, "option_list has not 1 to 20"),
        ("multiple_interaction", {"select_list": []}, "select_list has not 1 to 3 entries"),
        ("text_notice", {"card_action": None}, "a notice has no card_action"),
        ("text_notice", {"main_title": {}}, "neither main_title.title nor sub_title_text"),
        ("news_notice", {"card_image": None}, "neither card_image nor image_text_area"),
    ],
)
def test_a_wrong_card_is_refused(kind: str, change: dict[str, Any], problem: str):
    fields = {name: value for name, value in {**GOOD[kind], **change}.items() if value is not None}
    with pytest.raises(Refused) as refused:
        read_card(fields)
    assert problem in refused.value.problem


@pytest.mark.parametrize(
    ("change", "oddity"),
    [
        ({"main_title": {"title": "T" * 27}}, "main_title.title is longer than 26 characters"),
        ({"main_title": {"title": "T", "desc": "d" * 31}}, "main_title.desc is longer than 30 characters"),
        ({"sub_title_text": "s" * 113}, "sub_title_text is longer than 112 characters"),
        (
            {"button_list": [{"text": "B" * 11, "key": "b"}]},
            "the text of a button is longer than 10 characters",
        ),
        (
            {"button_list": [{"text": "B", "key": "b"}, {"text": "C", "key": "b"}]},
            "two buttons have the same key",
        ),
        ({"weather": "rain"}, "template_card.weather is not known"),
    ],
)
def test_what_the_documents_only_advise_is_odd(change: dict[str, Any], oddity: str):
    assert read_card({**GOOD["button_interaction"], **change}).oddities == [oddity]


def test_an_update_needs_an_action():
    with pytest.raises(Refused) as refused:
        read_card(GOOD["button_interaction"], is_update=True)
    assert refused.value.errcode == 42045
    assert read_card({**GOOD["button_interaction"], "card_action": ACTION}, is_update=True).task_id == "t1"


def test_a_card_that_is_no_object_is_refused():
    with pytest.raises(Refused):
        read_card([])
