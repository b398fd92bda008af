"""The encoding of names and texts (webwx 3.3, 3.4)."""

from __future__ import annotations

import html
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.simulator import messages


@every_row(
    ("written", "sent"),
    [
        ("", ""),
        ("&lt;", "&amp;lt;"),
        ("a<b>\"'&", "a&lt;b&gt;&quot;&#39;&amp;"),
        ("😄", '<span class="emoji emoji1f604"></span>'),
        ("🇨🇳", '<span class="emoji emoji1f1e81f1f3"></span>'),
        ("#\u20e3", '<span class="emoji emoji2320e3"></span>'),
        ("👍🏽", "👍🏽"),
        ("👨\u200d👩", "👨\u200d👩"),
        ("☀\ufe0f", "☀\ufe0f"),
        ("🥰", "🥰"),
    ],
)
def test_names_are_escaped_and_old_emoji_are_spans(written: str, sent: str):
    assert messages.encode_name(written) == sent


def test_lines_of_a_text_are_broken_as_wechat_does():
    assert messages.encode_text("a\r\nb\n<br/>") == "a<br/>b<br/>&lt;br/&gt;"


def _undo(content: str) -> str:
    """Undoes the layers of encoding in the order of the protocol."""
    content = content.replace("<br/>", "\n")

    def character(match: re.Match[str]) -> str:
        digits = match[1]
        cuts = {6: 2, 10: 5}.get(len(digits), len(digits))
        return "".join(chr(int(part, 16)) for part in (digits[:cuts], digits[cuts:]) if part)

    return html.unescape(re.sub(r'<span class="emoji emoji([0-9a-f]+)"></span>', character, content))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_nothing_of_a_text_is_lost(written: str):
    assert _undo(messages.encode_text(written)) == written.replace("\r\n", "\n")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_is_raw_utf_8(written: str):
    sent = messages.dump_json({"a": written})
    assert json.loads(sent) == {"a": written}
    assert not re.search(rb"\\u(?!00[01])", sent.replace(b"\\\\", b""))


def test_a_lone_surrogate_becomes_bytes_that_are_no_utf_8():
    with pytest.raises(UnicodeDecodeError):
        messages.dump_json("\ud83d").decode()


def test_pinyin_has_question_marks_for_what_is_no_letter():
    assert messages.pinyin("Han 梅🌸 7") == "Han??7"
