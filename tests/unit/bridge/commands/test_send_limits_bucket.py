"""How fast may be sent (`send`): never faster than the owner said, and never slower than that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.bridge.commands.test_send_limits import PAUSES, wanted
from wx2mqtt.bridge.commands import send_limits
from wx2mqtt.bridge.commands.send_limits import TokenBucket

PER_MINUTE = st.floats(0.5, 600)
BURST = st.integers(1, 20)


class Clock:
    """The clock of the buckets; a test sets it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True, scope="module")
def _clock() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(send_limits, "loop_time", CLOCK)
        yield


def full_bucket(per_minute, burst, now=0.0):
    CLOCK.now = now
    return TokenBucket(per_minute, burst)


def sent(bucket, times):
    """When each of the sends went that were wanted at these times."""
    gone = []
    for time in times:
        CLOCK.now = max(CLOCK.now, time)
        CLOCK.now += bucket.seconds_until_token()
        bucket.take()
        gone.append(CLOCK.now)
    return gone


@given(PER_MINUTE, BURST, PAUSES)
def test_in_no_span_goes_more_than_a_burst_and_what_flowed_in(per_minute, burst, pauses):
    gone = sent(full_bucket(per_minute, burst), wanted(pauses))
    for first in range(len(gone)):
        for last in range(first, len(gone)):
            flowed = (gone[last] - gone[first]) * per_minute / 60
            assert last - first + 1 <= burst + flowed + 1e-6


@given(PER_MINUTE, BURST, st.integers(1, 60))
def test_a_burst_goes_at_once_and_the_rest_in_even_steps(per_minute, burst, more):
    gone = sent(full_bucket(per_minute, burst), [0.0] * (burst + more))
    assert gone[:burst] == [0.0] * burst
    assert gone[-1] == pytest.approx(more * 60 / per_minute)


@given(BURST, PAUSES)
def test_without_a_limit_nobody_waits(burst, pauses):
    times = list(wanted(pauses))
    assert sent(full_bucket(0, burst), times) == times


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
    assert sent(full_bucket(60, burst), [0.0, 0.0]) == [0.0, 1.0]
