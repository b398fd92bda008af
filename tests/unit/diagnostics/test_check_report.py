"""The doctor's results as lines, as a table and as JSON."""

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


def sample_report(language="en", **more) -> CheckReport:
    report = CheckReport(language, **more)
    report.ok("tcp", "broker:1883", "tcp_ok", ms=3)
    report.warning("packet", "broker:1883", "packet_small", "packet_cure", size=1000)
    report.failed(
        "publish", "wx/in/#", "publish_refused", "publish_cure", why="[bold]no\x1b[2J\nno", rule="wx/in/#"
    )
    report.not_known("clock", "", "clock_unknown", "clock_cure")
    return report


def rendered_table(report: CheckReport, width=100) -> str:
    written = io.StringIO()
    Console(file=written, width=width, force_terminal=True, color_system="truecolor").print(
        report_table(report)
    )
    return written.getvalue()


def test_each_row_is_a_line_and_its_cure_the_next_one():
    lines = list(report_lines(sample_report()))
    assert lines[0] == "✓ ok: connection broker:1883: established after 3 ms"
    assert lines[1].startswith("! warning: packet limit broker:1883: 1000 bytes")
    assert lines[2].startswith("  → raise it")
    assert lines[5] == "? not known: clock: no host reported its time"
    assert lines[-1] == "failed: 1"


def test_what_a_broker_says_moves_no_cursor_and_is_no_markup():
    plain, shown = "\n".join(report_lines(sample_report())), rendered_table(sample_report())
    assert "\x1b" not in plain
    assert "\\x1b[2J" in plain
    assert "\x1b[2J" not in shown
    assert "[bold]no" in shown


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_table_shows_every_row_with_its_cure_in_any_width(width):
    shown = "".join(rendered_table(sample_report(), width).split())
    for piece in ("✓", "connection", "✗", "wx/in/#", "→", "clock"):
        assert piece in shown


def test_without_failures_all_is_well():
    report = CheckReport("zh")
    report.ok("clock", "", "clock_ok")
    assert (report.is_passed, report_summary(report)) == (True, "没有失败的项目")
    assert not sample_report().is_passed


def test_each_result_is_reported_at_once_and_has_a_body_for_json():
    reported: list[CheckResult] = []
    sample_report(on_result=reported.append)
    assert [row.status for row in reported] == [*CheckStatus]
    assert reported[0].body() == {
        "check": "tcp",
        "subject": "broker:1883",
        "verdict": "ok",
        "found": "established after 3 ms",
    }
    assert "cure" in reported[1].body()
