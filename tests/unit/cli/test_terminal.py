"""What stands on the terminal: in columns, and obeyed by nobody."""

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


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_a_table_is_as_wide_as_its_cells_and_says_yes_and_nothing():
    rows: list[Json] = [{"user": "wife", "trusted": True, "removed": False}, {"user": "hanmeimei", "rows": 3}]
    assert format_table(rows, ("user", "trusted", "removed", "rows")).splitlines() == [
        "user       trusted  removed  rows",
        "wife       yes",
        "hanmeimei                    3",
    ]


def test_chinese_takes_two_columns():
    rows: list[Json] = [{"user": "老婆", "name": "x"}, {"user": "mom", "name": "y"}]
    assert format_table(rows, ("user", "name")).splitlines() == ["user  name", "老婆  x", "mom   y"]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_no_name_moves_the_cursor_or_makes_a_line(names):
    shown = format_table([{"user": name} for name in names], ("user",))
    assert len(shown.split("\n")) == len(names) + 1
    assert all(line.isprintable() for line in shown.split("\n"))


@given(st.text())
def test_json_is_read_as_it_was_and_holds_nothing_that_a_terminal_obeys(text):
    shown = format_json({"text": text})
    assert json.loads(shown) == {"text": text}
    assert not any(sign < " " or "\x7f" <= sign <= "\x9f" for sign in shown if sign != "\n")


def test_a_code_is_drawn_on_a_terminal_and_nowhere_else():
    screen, file = Screen(), io.StringIO()
    assert draw_qr("https://login.weixin.qq.com/l/abc", screen)
    assert not draw_qr("https://login.weixin.qq.com/l/abc", file)
    assert screen.getvalue().count("\n") > 10
    assert "weixin" not in screen.getvalue()
    assert file.getvalue() == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_the_bridge_tells_a_person_at_a_terminal_what_to_do(monkeypatch, terminal):
    out = Screen() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    waiting = LoginStatus(since=1).transition(LoginState.WAITING_FOR_SCAN, "scan \x1b[2Jit\nnow", 1)
    show_login("home", waiting, "https://login.weixin.qq.com/l/abc")
    assert out.getvalue().endswith("home: waiting_for_scan: scan \\x1b[2Jit\\nnow\n" if terminal else "")
    assert bool(out.getvalue()) is terminal


@pytest.mark.parametrize(("language", "text"), [("en", "contacts: 500"), ("zh", "联系人：500")])
@pytest.mark.parametrize("terminal", [True, False])
def test_the_contacts_are_counted_for_a_person_at_a_terminal(monkeypatch, terminal, language, text):
    out = Screen() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    show = contacts_progress(language)
    show(500)
    show(0)
    assert (text in out.getvalue()) is terminal
