"""A server that sends byte by byte is given up, a slow connection is not."""

from __future__ import annotations

from wx2mqtt.external.url_fetch import MinimumRate

RATE = MinimumRate(window_seconds=10.0, min_bytes=1000).start(0.0)


def test_a_window_with_too_little_ends_when_it_began():
    rate = RATE
    for second in range(1, 10):
        rate = rate.received(99, float(second))
    assert rate.deadline == 10.0


def test_enough_begins_another_window():
    assert RATE.received(600, 1.0).received(400, 7.0).deadline == 17.0


def test_what_the_disk_takes_does_not_count():
    assert RATE.received(10, 1.0).extended(30.0).deadline == 40.0
