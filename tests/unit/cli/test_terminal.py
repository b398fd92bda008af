"""Output for a terminal is in columns, and no printed text can control the terminal."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.cli.terminal import contacts_progress, draw_qr, format_json, format_table, show_login
from wx2mqtt.model import Json, LoginState


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_columns_of_a_table_are_as_wide_as_their_cells_and_false_is_empty():
    rows: list[Json] = [{"user": "wife", "trusted": True, "removed": False}, {"user": "hanmeimei", "rows": 3}]
    assert format_table(rows, ("user", "trusted", "removed", "rows")).splitlines() == [
        "user       trusted  removed  rows",
        "wife       yes",
        "hanmeimei                    3",
    ]


def test_a_chinese_character_takes_two_columns():
    rows: list[Json] = [{"user": "老婆", "name": "x"}, {"user": "mom", "name": "y"}]
    assert format_table(rows, ("user", "name")).splitlines() == ["user  name", "老婆  x", "mom   y"]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_no_name_moves_the_cursor_or_makes_a_line_of_its_own(names):
    printed = format_table([{"user": name} for name in names], ("user",))
    assert len(printed.split("\n")) == len(names) + 1
    assert all(line.isprintable() for line in printed.split("\n"))


@given(st.text())
def test_printed_json_means_the_same_and_has_no_control_characters(text):
    printed = format_json({"text": text})
    assert json.loads(printed) == {"text": text}
    assert not any(
        character < " " or "\x7f" <= character <= "\x9f" for character in printed if character != "\n"
    )


def test_a_code_is_drawn_on_a_terminal_and_nowhere_else():
    terminal, file = FakeTerminal(), io.StringIO()
    assert draw_qr("https://login.weixin.qq.com/l/abc", terminal)
    assert not draw_qr("https://login.weixin.qq.com/l/abc", file)
    assert terminal.getvalue().count("\n") > 10
    assert "weixin" not in terminal.getvalue()
    assert file.getvalue() == ""


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_bridge_tells_a_person_at_a_terminal_what_to_do(monkeypatch, is_terminal):
    out = FakeTerminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    waiting = LoginStatus(since=1).transition(LoginState.WAITING_FOR_SCAN, "scan \x1b[2Jit\nnow", 1)
    show_login("home", waiting, "https://login.weixin.qq.com/l/abc")
    assert out.getvalue().endswith("home: waiting_for_scan: scan \\x1b[2Jit\\nnow\n" if is_terminal else "")
    assert bool(out.getvalue()) is is_terminal


@pytest.mark.parametrize(("language", "text"), [("en", "contacts: 500"), ("zh", "联系人：500")])
@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_contacts_are_counted_for_a_person_at_a_terminal(monkeypatch, is_terminal, language, text):
    out = FakeTerminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    show = contacts_progress(language)
    show(500)
    show(0)
    assert (text in out.getvalue()) is is_terminal
