"""A drip is told from a slow line."""

from __future__ import annotations

from wx2mqtt.outside.pace import Pace

PACE = Pace(window=10.0, least=1000).begin(0.0)


def test_a_window_with_too_little_ends_when_it_began():
    pace = PACE
    for second in range(1, 10):
        pace = pace.after(99, float(second))
    assert pace.next_look == 10.0


def test_enough_begins_another_window():
    assert PACE.after(600, 1.0).after(400, 7.0).next_look == 17.0


def test_what_the_disk_takes_does_not_count():
    assert PACE.after(10, 1.0).rested(30.0).next_look == 40.0
