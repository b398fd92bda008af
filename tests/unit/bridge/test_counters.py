"""The counters of the calls to WeChat: how each call ended and how long it took."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.bridge.counters import BUCKET_BOUNDS_SECONDS, CallStatistics


def test_each_exchange_is_counted_by_how_it_ended_and_how_long_it_took():
    calls = CallStatistics()
    for outcome, seconds in (("200", 0.05), ("200", 0.051), ("no_answer", 35.0), ("200", 61.0)):
        calls.observe("synccheck", outcome, seconds)
    assert calls.outcome_counts == {("synccheck", "200"): 3, ("synccheck", "no_answer"): 1}
    took = calls.latencies["synccheck"]
    assert took.bucket_counts == [1, 1, *[0] * 7, 1, 1]
    assert took.total_seconds == 96.101


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=50))
def test_nothing_is_lost_whatever_it_took(seconds):
    calls = CallStatistics()
    for duration in seconds:
        calls.observe("login", "200", duration)
    assert sum(calls.outcome_counts.values()) == len(seconds)
    counted = calls.latencies["login"].bucket_counts if seconds else []
    assert sum(counted) == len(seconds)
    for edge, count in zip(BUCKET_BOUNDS_SECONDS, counted, strict=False):
        assert sum(counted[: BUCKET_BOUNDS_SECONDS.index(edge) + 1]) >= count


def test_a_server_cannot_make_counters_without_end():
    calls = CallStatistics()
    for status in range(1000):
        calls.observe("login", str(status), 0.1)
    assert len(calls.outcome_counts) < 80
    assert calls.outcome_counts["login", "other_status"] > 900
    assert calls.outcome_counts["login", "404"] == 1
