"""The token bucket lets commands go exactly as fast as the owner's rate limit (`send`) allows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.bridge.commands import send_limits
from wx2mqtt.bridge.commands.send_limits import TokenBucket

PER_MINUTE = st.floats(0.5, 600)
BURST = st.integers(1, 20)
PAUSES = st.lists(st.floats(0, 120), min_size=1, max_size=60)


def times_of(pauses):
    total = 0.0
    for pause in pauses:
        total += pause
        yield total


class FakeClock:
    """The clock of the buckets, which a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = FakeClock()


@pytest.fixture(autouse=True, scope="module")
def _fake_clock() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(send_limits, "loop_time", CLOCK)
        yield


def full_bucket(per_minute, burst, now=0.0):
    CLOCK.now = now
    return TokenBucket(per_minute, burst)


def send_times(bucket, times):
    """Returns when each command was sent that was to be sent at these times."""
    sent_times = []
    for time in times:
        CLOCK.now = max(CLOCK.now, time)
        CLOCK.now += bucket.seconds_until_token()
        bucket.take()
        sent_times.append(CLOCK.now)
    return sent_times


@given(PER_MINUTE, BURST, PAUSES)
def test_in_no_span_goes_more_than_a_burst_and_what_flowed_in(per_minute, burst, pauses):
    sent_times = send_times(full_bucket(per_minute, burst), times_of(pauses))
    for first in range(len(sent_times)):
        for last in range(first, len(sent_times)):
            refilled = (sent_times[last] - sent_times[first]) * per_minute / 60
            assert last - first + 1 <= burst + refilled + 1e-6


@given(PER_MINUTE, BURST, st.integers(1, 60))
def test_a_burst_goes_at_once_and_the_rest_in_even_steps(per_minute, burst, more):
    sent_times = send_times(full_bucket(per_minute, burst), [0.0] * (burst + more))
    assert sent_times[:burst] == [0.0] * burst
    assert sent_times[-1] == pytest.approx(more * 60 / per_minute)


@given(BURST, PAUSES)
def test_without_a_limit_nobody_waits(burst, pauses):
    times = list(times_of(pauses))
    assert send_times(full_bucket(0, burst), times) == times


@given(PER_MINUTE, BURST, st.floats(0, 1e6))
def test_a_clock_that_jumps_back_gives_nothing_and_takes_nothing(per_minute, burst, back):
    bucket = full_bucket(per_minute, burst, 1000.0)
    bucket.take()
    tokens, seconds = bucket.tokens, bucket.seconds_until_token()
    CLOCK.now = 1000.0 - back
    assert bucket.seconds_until_token() == seconds
    bucket.take()
    assert bucket.tokens == max(0.0, tokens - 1)


@given(PER_MINUTE, BURST, PER_MINUTE, BURST, st.integers(0, 30))
def test_new_limits_give_no_new_burst(per_minute, burst, other, larger, taken):
    bucket = full_bucket(per_minute, burst)
    for _ in range(taken):
        bucket.take()
    tokens = bucket.tokens
    bucket.resize(other, larger)
    assert bucket.tokens <= min(tokens, larger)
    assert (bucket.per_minute, bucket.burst) == (other, larger)


@given(PER_MINUTE, BURST, st.integers(0, 30))
def test_what_is_put_back_is_there_again_and_never_more_than_a_burst(per_minute, burst, taken):
    bucket = full_bucket(per_minute, burst)
    for _ in range(taken):
        bucket.take()
    bucket.put_back(taken)
    assert bucket.tokens == burst


@pytest.mark.parametrize("burst", [0, -3])
def test_a_burst_of_none_would_never_send(burst):
    assert send_times(full_bucket(60, burst), [0.0, 0.0]) == [0.0, 1.0]
