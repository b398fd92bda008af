"""How long to wait before the next try."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.backoff import Backoff

CHANCE = st.floats(0, 1, exclude_max=True)


def test_who_did_not_fail_does_not_wait():
    assert Backoff().wait(0.99) == 0.0
    assert Backoff(failures=7).reset().wait(0.99) == 0.0


@given(st.floats(0.01, 10), st.floats(10, 100), st.integers(1, 10_000), CHANCE)
def test_each_failure_doubles_the_wait_up_to_the_cap(first, cap, failures, chance):
    backoff = Backoff(first=first, cap=cap)
    for _ in range(min(failures, 40)):
        backoff = backoff.after_failure()
    step = min(cap, first * 2 ** (min(failures, 40) - 1))
    assert step / 2 <= backoff.wait(chance) <= step


@given(CHANCE)
def test_two_failures_in_a_row_cost_less_than_two_seconds(chance):
    once = Backoff().after_failure()
    assert once.wait(chance) <= 0.5
    assert once.wait(chance) + once.after_failure().wait(chance) < 2.0


@given(st.integers(0, 10**9), CHANCE)
def test_no_number_of_failures_is_too_much(failures, chance):
    assert Backoff(failures=failures).wait(chance) <= 60.0
