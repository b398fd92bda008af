"""WeChat's clock, from local clocks that are wrong, jump, or stop while the machine sleeps."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from wx2mqtt.clock import Clock
from wx2mqtt.wechat.ilink.transport import MEAN_ROUNDING_MS, ServerClock

T = 1_790_000_000.0


class Machine:
    """A clock on the wall, and one that ticks on."""

    def __init__(self) -> None:
        self.wall = T
        self.ticks = 5.0
        self.time = ServerClock(Clock(wall=lambda: self.wall, boot_time=lambda: self.ticks))

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.ticks += seconds


def test_before_the_first_answer_it_is_the_local_clock() -> None:
    machine = Machine()
    assert machine.time.now() == T * 1000
    machine.passes(3)
    assert machine.time.now() == (T + 3) * 1000


def test_an_answer_sets_it_and_from_there_on_it_ticks() -> None:
    machine = Machine()
    machine.time.update(formatdate(T + 100, usegmt=True))
    assert machine.time.now() == (T + 100) * 1000 + MEAN_ROUNDING_MS
    machine.wall -= 1_000_000  # somebody set the clock
    machine.ticks += 10
    assert machine.time.now() == (T + 110) * 1000 + MEAN_ROUNDING_MS


def test_whole_seconds_that_waver_do_not_move_it() -> None:
    machine = Machine()
    machine.time.update(formatdate(T, usegmt=True))
    before = machine.time.now()
    machine.time.update(formatdate(T + 1, usegmt=True))
    assert machine.time.now() == before
    machine.time.update(formatdate(T + 60, usegmt=True))
    assert machine.time.now() == (T + 60) * 1000 + MEAN_ROUNDING_MS


@pytest.mark.parametrize("date", ["", "x", "Tue, 99 Foo 2023", "Tue, 14 Nov 99999 22:13:00 GMT"])
def test_an_unreadable_date_is_ignored(date: str) -> None:
    machine = Machine()
    machine.time.update(date)
    assert machine.time.now() == T * 1000


def test_a_time_is_converted_to_the_local_clock_and_always_the_same() -> None:
    machine = Machine()
    machine.time.update(formatdate(T, usegmt=True))
    until = int(T * 1000) + 86_400_000
    assert machine.time.to_local(until) == until  # the clocks agree, but for what cannot be measured
    machine.passes(1.3)
    assert machine.time.to_local(until) == until
    machine.wall += 3600  # daylight saving, by somebody who believes in it
    assert abs(machine.time.to_local(until) - until - 3_600_000) <= MEAN_ROUNDING_MS
    local_until = machine.time.to_local(until)
    machine.passes(0.7)
    assert machine.time.to_local(until) == local_until


def test_the_time_since_the_boot_goes_on() -> None:
    assert Clock().boot_time() > 0
