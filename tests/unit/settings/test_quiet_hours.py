"""Quiet hours as people write them. What a reminder makes of them is in `tests/unit/bridge/test_reminder.py`."""

from __future__ import annotations

from datetime import time

import pytest

from tests.support.rows import every_row
from wx2mqtt.settings.quiet_hours import parse_quiet_hours


@pytest.mark.parametrize(
    ("written", "span"),
    [
        ("22:00-07:00", (time(22, 0), time(7, 0))),
        ("00:00-23:59", (time(0, 0), time(23, 59))),
        ("13:30-15:05", (time(13, 30), time(15, 5))),
    ],
)
def test_quiet_hours_are_two_times_of_the_day(written, span):
    assert parse_quiet_hours(written) == span


@every_row(
    "written",
    ["", "22-7", "22:00", "24:00-07:00", "22:60-07:00", "22:00-22:00", "22:00 - 07:00", "٢2:00-07:00"],
)
def test_other_quiet_hours_are_refused(written):
    with pytest.raises(ValueError, match="22:00-07:00"):
        parse_quiet_hours(written)
