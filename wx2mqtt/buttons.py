"""The buttons of questions: how they are shown as lines, and which one somebody means. Pure.

`{"text": "Lock the door?", "buttons": ["Yes", "No"]}`  ->  the text, then the lines "1 Yes" and "2 No"
"1", "１", "yes", " YES "                                ->  the button Yes
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from wx2mqtt.model import Button

# The limits of a card (wecom 5.8), which hold in a command on every backend.
MAX_BUTTONS = 6
MAX_BUTTON_CHARACTERS = 10
MAX_BUTTON_KEY_CHARACTERS = 128

# A longer message cannot be the number or the text of a button, whatever `answer_form` removes from it.
MAX_ANSWER_CHARACTERS = 64


def answer_form(text: str) -> str:
    """Returns the form in which answers are compared: in NFC, without case, width and blanks around it."""
    narrow = "".join(map(_without_width, text)).strip()
    folded = unicodedata.normalize("NFC", narrow).casefold()
    return unicodedata.normalize("NFC", folded)


def _without_width(character: str) -> str:
    if unicodedata.decomposition(character).startswith(("<wide>", "<narrow>")):
        return unicodedata.normalize("NFKC", character)
    return character


def find_button(buttons: Sequence[Button], words: str) -> Button | None:
    """Returns the button with this number or text; `words` is as `answer_form` returns it."""
    for number, button in enumerate(buttons, 1):
        if words in (str(number), answer_form(button.text)):
            return button
    return None


def button_lines(buttons: Sequence[Button]) -> str:
    """Returns a numbered line for each button."""
    return "\n".join(f"{number} {button.text}" for number, button in enumerate(buttons, 1))


def text_with_buttons(text: str, buttons: Sequence[Button]) -> str:
    """Returns a text as it is sent where there are no cards: it ends in a line for each button."""
    return f"{text}\n{button_lines(buttons)}" if buttons else text
