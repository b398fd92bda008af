"""Limits of how often something may happen in a minute and in an hour."""

from __future__ import annotations

from wx2mqtt.simulator.wecom.limits import HOUR, MINUTE, Rate


def test_a_minute_takes_its_number_and_goes_on_when_the_first_are_old():
    rate = Rate()
    assert [rate.take(float(n), 3, 0) for n in range(4)] == [True, True, True, False]
    assert not rate.take(MINUTE - 1.5, 3, 0)
    assert rate.take(MINUTE, 3, 0)


def test_an_hour_has_a_limit_of_its_own():
    rate = Rate()
    assert all(rate.take(n * MINUTE, 3, 5) for n in range(5))
    assert not rate.take(10 * MINUTE, 3, 5)
    assert rate.take(HOUR + 1, 3, 5)


def test_what_was_refused_does_not_count_and_zero_is_no_limit():
    rate = Rate()
    assert rate.take(0.0, 1, 0)
    assert not any(rate.take(30.0, 1, 0) for _ in range(9))
    assert rate.take(61.0, 1, 0)
    assert all(rate.take(61.0, 0, 0) for _ in range(100))
