"""How the doctor's findings are shown."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from wx2mqtt.diagnostics.check_report import (
    CheckReport,
    CheckResult,
    CheckStatus,
    report_lines,
    report_summary,
    report_table,
)


def chart(language="en", **more) -> CheckReport:
    found = CheckReport(language, **more)
    found.ok("tcp", "broker:1883", "tcp_ok", ms=3)
    found.warning("packet", "broker:1883", "packet_small", "packet_cure", size=1000)
    found.failed(
        "publish", "wx/in/#", "publish_refused", "publish_cure", why="[bold]no\x1b[2J\nno", rule="wx/in/#"
    )
    found.not_known("clock", "", "clock_unknown", "clock_cure")
    return found


def drawn(found: CheckReport, width=100) -> str:
    written = io.StringIO()
    Console(file=written, width=width, force_terminal=True, color_system="truecolor").print(
        report_table(found)
    )
    return written.getvalue()


def test_each_row_is_a_line_and_its_cure_the_next_one():
    said = list(report_lines(chart()))
    assert said[0] == "✓ ok: connection broker:1883: established after 3 ms"
    assert said[1].startswith("! warning: packet limit broker:1883: 1000 bytes")
    assert said[2].startswith("  → raise it")
    assert said[5] == "? not known: clock: no host reported its time"
    assert said[-1] == "failed: 1"


def test_what_a_broker_says_moves_no_cursor_and_is_no_markup():
    plain, shown = "\n".join(report_lines(chart())), drawn(chart())
    assert "\x1b" not in plain
    assert "\\x1b[2J" in plain
    assert "\x1b[2J" not in shown
    assert "[bold]no" in shown


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_table_shows_every_row_with_its_cure_in_any_width(width):
    shown = "".join(drawn(chart(), width).split())
    for piece in ("✓", "connection", "✗", "wx/in/#", "→", "clock"):
        assert piece in shown


def test_without_failures_all_is_well():
    found = CheckReport("zh")
    found.ok("clock", "", "clock_ok")
    assert (found.is_passed, report_summary(found)) == (True, "没有失败的项目")
    assert not chart().is_passed


def test_each_result_is_reported_at_once_and_has_a_body_for_json():
    told: list[CheckResult] = []
    chart(on_result=told.append)
    assert [row.status for row in told] == [*CheckStatus]
    assert told[0].body() == {
        "check": "tcp",
        "subject": "broker:1883",
        "verdict": "ok",
        "found": "established after 3 ms",
    }
    assert "cure" in told[1].body()
