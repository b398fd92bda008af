"""Which button somebody means, whatever keyboard they have, and how buttons are shown as lines."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.buttons import answer_form, find_button, text_with_buttons
from wx2mqtt.model import Button

BUTTONS = (Button(text="Yes", key="yes"), Button(text="Später", key="later"), Button(text="不要", key="no"))


def meant(text: str) -> str:
    button = find_button(BUTTONS, answer_form(text))
    return "" if button is None else button.key


@every_row(
    ("text", "key"),
    [
        ("1", "yes"),
        (" 3\n", "no"),
        ("２", "later"),
        ("yes", "yes"),
        ("ＹＥＳ", "yes"),
        ("\u3000Yes ", "yes"),
        (unicodedata.normalize("NFD", "später"), "later"),
        ("SPÄTER", "later"),
        ("不要", "no"),
        ("0", ""),
        ("4", ""),
        ("01", ""),
        ("1.", ""),
        ("yes!", ""),
        ("Yes 1", ""),
        ("①", ""),
        ("", ""),
    ],
)
def test_a_button_is_meant_by_its_number_or_its_text(text: str, key: str) -> None:
    assert meant(text) == key


@given(st.text())
def test_what_does_not_count_is_taken_away_once(text: str) -> None:
    assert answer_form(answer_form(text)) == answer_form(text)


@given(st.text(min_size=1, max_size=10))
def test_a_text_means_its_own_button_however_it_is_composed(text: str) -> None:
    if form := answer_form(text):
        buttons = (Button(text=text, key="it"),)
        assert find_button(buttons, form) is buttons[0]
        assert find_button(buttons, answer_form(unicodedata.normalize("NFD", text))) is buttons[0]


def test_a_text_ends_in_a_line_for_each_button() -> None:
    assert text_with_buttons("Lock?\nNobody is at home.", BUTTONS) == (
        "Lock?\nNobody is at home.\n1 Yes\n2 Später\n3 不要"
    )
    assert text_with_buttons("Lock?", ()) == "Lock?"
