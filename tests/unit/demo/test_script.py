"""The conversation of the demo exists for every backend, and its lines are in columns."""

from __future__ import annotations

import pytest

from wx2mqtt.demo import script
from wx2mqtt.demo.script import CONVERSATIONS, WHERE_COLUMNS, WHO_COLUMNS
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.setup import demo_text, text_width
from wx2mqtt.model import Json
from wx2mqtt.wechat.registry import BACKENDS


def test_every_backend_has_a_conversation() -> None:
    assert CONVERSATIONS.keys() == BACKENDS.keys()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("backend", CONVERSATIONS)
def test_the_sender_on_the_phone_has_a_name_that_fits_into_its_column(
    backend: str, language: Language
) -> None:
    assert text_width(demo_text(language, CONVERSATIONS[backend].sender)) <= WHERE_COLUMNS


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("who", ["bridge", "wechat", "you", "phone"])
def test_the_texts_of_all_lines_begin_in_the_same_column(
    capsys: pytest.CaptureFixture[str], who: str, language: Language
) -> None:
    script._print_line(language, who, "wx/in/me", "text")
    before, _, _ = capsys.readouterr().out.partition("text")
    assert text_width(before) == WHO_COLUMNS + len(" →  ") + WHERE_COLUMNS + len("  ")


def test_of_a_message_only_the_keys_are_printed_that_the_conversation_is_about() -> None:
    body: dict[str, Json] = {
        "schema": 1,
        "text": "开灯 ☀",
        "kind": "text",
        "seq": 1,
        "time": "2026-11-25T08:00:00.000Z",
    }
    assert script._shown(body) == '{"seq": 1, "kind": "text", "text": "开灯 ☀"}'
