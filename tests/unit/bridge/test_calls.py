"""What was asked of WeChat, counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.bridge.calls import EDGES, Calls


def test_each_exchange_is_counted_by_how_it_ended_and_how_long_it_took():
    calls = Calls()
    for outcome, seconds in (("200", 0.05), ("200", 0.051), ("no_answer", 35.0), ("200", 61.0)):
        calls.observe("synccheck", outcome, seconds)
    assert calls.ended == {("synccheck", "200"): 3, ("synccheck", "no_answer"): 1}
    took = calls.took["synccheck"]
    assert took.counts == [1, 1, *[0] * 7, 1, 1]
    assert took.seconds == 96.101


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=50))
def test_nothing_is_lost_whatever_it_took(seconds):
    calls = Calls()
    for one in seconds:
        calls.observe("login", "200", one)
    assert sum(calls.ended.values()) == len(seconds)
    counted = calls.took["login"].counts if seconds else []
    assert sum(counted) == len(seconds)
    for edge, count in zip(EDGES, counted, strict=False):
        assert sum(counted[: EDGES.index(edge) + 1]) >= count


def test_a_server_cannot_make_counters_without_end():
    calls = Calls()
    for status in range(1000):
        calls.observe("login", str(status), 0.1)
    assert len(calls.ended) < 80
    assert calls.ended["login", "other_status"] > 900
    assert calls.ended["login", "404"] == 1
