"""When a person is reminded that their reply window closes, at the limits of each rule."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.support.rows import every_row
from wx2mqtt.bridge.reminder import reminder_time
from wx2mqtt.settings.schema import Remind

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000
NIGHT = "22:00-07:00"
AFTERNOON = "13:00-15:00"


def berlin_ms(text: str) -> int:
    """Returns a time in Berlin in milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1000)


def reminder_time_of(end: str, *, now: str = "", quiet: str | None = NIGHT, hours: float = 2) -> str:
    """Returns when the reminder of a window is due that ends at `end`, both as times in Berlin."""
    rules = Remind(before=hours * 3600, quiet=quiet)
    known = berlin_ms(now) if now else berlin_ms(end) - 24 * HOUR
    due = reminder_time(berlin_ms(end), known, rules, BERLIN)
    return "" if due is None else f"{datetime.fromtimestamp(due / 1000, BERLIN):%Y-%m-%dT%H:%M}"


@every_row(
    ("end", "due"),
    [
        ("2026-05-10T18:00", "2026-05-10T16:00"),
        # It would come in quiet hours: before they begin, unless half of the notice is left after them.
        ("2026-05-10T03:00", "2026-05-09T21:45"),
        ("2026-05-10T07:59", "2026-05-09T21:45"),
        ("2026-05-10T08:00", "2026-05-10T07:00"),
        ("2026-05-10T09:00", "2026-05-10T07:00"),
        ("2026-05-10T09:01", "2026-05-10T07:01"),
        # The window ends in quiet hours and the reminder comes before them by itself.
        ("2026-05-10T23:59", "2026-05-10T21:59"),
        ("2026-05-11T00:00", "2026-05-10T21:45"),
    ],
)
def test_a_reminder_comes_outside_of_quiet_hours_over_midnight(end: str, due: str):
    assert reminder_time_of(end) == due


@pytest.mark.parametrize(
    ("end", "due"),
    [("2026-05-10T15:30", "2026-05-10T12:45"), ("2026-05-10T16:00", "2026-05-10T15:00")],
)
def test_quiet_hours_may_lie_within_a_day(end: str, due: str):
    assert reminder_time_of(end, quiet=AFTERNOON) == due


@every_row(
    ("end", "due"),
    [
        # The night of the change to summer time has an hour less, that of the change back one more.
        ("2026-03-29T05:30", "2026-03-28T21:45"),
        ("2026-03-29T08:00", "2026-03-29T07:00"),
        ("2026-03-29T22:30", "2026-03-29T20:30"),
        ("2026-10-25T02:30", "2026-10-24T21:45"),
        ("2026-10-25T08:30", "2026-10-25T07:00"),
    ],
)
def test_quiet_hours_are_in_local_time_when_summer_time_begins_or_ends(end: str, due: str):
    assert reminder_time_of(end) == due


def test_without_quiet_hours_it_comes_at_night_too():
    assert reminder_time_of("2026-05-10T03:00", quiet=None) == "2026-05-10T01:00"


@every_row(
    ("now", "due"),
    [
        ("2026-05-10T20:00", "2026-05-10T21:45"),
        ("2026-05-10T21:50", "2026-05-10T21:50"),
        ("2026-05-10T22:00", ""),
        ("2026-05-11T02:59", ""),
    ],
)
def test_what_was_missed_comes_late_but_neither_in_quiet_hours_nor_after_the_end(now: str, due: str):
    assert reminder_time_of("2026-05-11T03:00", now=now) == due


def test_what_was_missed_in_quiet_hours_comes_after_them():
    assert reminder_time_of("2026-05-10T08:00", now="2026-05-10T06:30") == "2026-05-10T07:00"
    assert reminder_time_of("2026-05-10T07:30", now="2026-05-10T06:30") == "2026-05-10T07:00"


@pytest.mark.parametrize(("now", "due"), [("17:59", "2026-05-10T17:59"), ("18:00", ""), ("18:01", "")])
def test_at_the_last_moment_of_the_window_it_is_too_late(now: str, due: str):
    assert reminder_time_of("2026-05-10T18:00", now=f"2026-05-10T{now}") == due


def test_reminders_are_off_without_a_notice():
    assert reminder_time(berlin_ms("2026-05-10T18:00"), 0, Remind(), BERLIN) is None
