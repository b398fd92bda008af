"""A drip is told from a slow line."""

from __future__ import annotations

from wx2mqtt.external.url_fetch import MinimumRate

PACE = MinimumRate(window_seconds=10.0, min_bytes=1000).start(0.0)


def test_a_window_with_too_little_ends_when_it_began():
    pace = PACE
    for second in range(1, 10):
        pace = pace.received(99, float(second))
    assert pace.deadline == 10.0


def test_enough_begins_another_window():
    assert PACE.received(600, 1.0).received(400, 7.0).deadline == 17.0


def test_what_the_disk_takes_does_not_count():
    assert PACE.received(10, 1.0).extended(30.0).deadline == 40.0
