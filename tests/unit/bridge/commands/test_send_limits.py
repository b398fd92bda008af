"""How fast may be sent (`send`): never faster than the owner said, and never slower than that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.bridge.commands.send_limits import TokenBucket

PER_MINUTE = st.floats(0.5, 600)
BURST = st.integers(1, 20)
PAUSES = st.lists(st.floats(0, 120), min_size=1, max_size=60)


def sent(bucket, times):
    """When each of the sends went that were wanted at these times."""
    gone, now = [], 0.0
    for wanted in times:
        now = max(now, wanted)
        now += bucket.seconds_until_token(now)
        bucket = bucket.consume(now)
        gone.append(now)
    return gone


def wanted(pauses):
    total = 0.0
    for pause in pauses:
        total += pause
        yield total


@given(PER_MINUTE, BURST, PAUSES)
def test_in_no_span_goes_more_than_a_burst_and_what_flowed_in(per_minute, burst, pauses):
    gone = sent(TokenBucket.full(per_minute, burst, 0.0), wanted(pauses))
    for first in range(len(gone)):
        for last in range(first, len(gone)):
            flowed = (gone[last] - gone[first]) * per_minute / 60
            assert last - first + 1 <= burst + flowed + 1e-6


@given(PER_MINUTE, BURST, st.integers(1, 60))
def test_a_burst_goes_at_once_and_the_rest_in_even_steps(per_minute, burst, more):
    gone = sent(TokenBucket.full(per_minute, burst, 0.0), [0.0] * (burst + more))
    assert gone[:burst] == [0.0] * burst
    assert gone[-1] == pytest.approx(more * 60 / per_minute)


@given(BURST, PAUSES)
def test_without_a_limit_nobody_waits(burst, pauses):
    times = list(wanted(pauses))
    assert sent(TokenBucket.full(0, burst, 0.0), times) == times


@given(PER_MINUTE, BURST, st.floats(0, 1e6))
def test_a_clock_that_jumps_back_gives_nothing_and_takes_nothing(per_minute, burst, back):
    bucket = TokenBucket.full(per_minute, burst, 1000.0).consume(1000.0)
    assert bucket.seconds_until_token(1000.0 - back) == bucket.seconds_until_token(1000.0)
    assert bucket.consume(1000.0 - back).tokens == max(0.0, bucket.tokens - 1)


@given(PER_MINUTE, BURST, PER_MINUTE, BURST, st.integers(0, 30))
def test_new_limits_give_no_new_burst(per_minute, burst, other, larger, taken):
    bucket = TokenBucket.full(per_minute, burst, 0.0)
    for _ in range(taken):
        bucket = bucket.consume(0.0)
    resized = bucket.resized(other, larger, 0.0)
    assert resized.tokens <= min(bucket.tokens, larger)
    assert (resized.per_minute, resized.burst) == (other, larger)


@pytest.mark.parametrize("burst", [0, -3])
def test_a_burst_of_none_would_never_send(burst):
    assert sent(TokenBucket.full(60, burst, 0.0), [0.0, 0.0]) == [0.0, 1.0]
