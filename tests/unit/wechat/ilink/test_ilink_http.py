"""WeChat's clock, from local clocks that are wrong, jump, or stop while the machine sleeps."""

from __future__ import annotations

from email.utils import formatdate

from tests.support.rows import every_row
from wx2mqtt.clock import Clock
from wx2mqtt.wechat.ilink.ilink_http import ServerClock

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

    def answer(self, date: float, *, seconds: float = 0.0) -> None:
        """An answer of WeChat with this date comes, `seconds` after its request."""
        requested_at = self.ticks
        self.passes(seconds)
        self.time.update(formatdate(date, usegmt=True), requested_at)


def test_before_the_first_answer_it_is_the_local_clock() -> None:
    machine = Machine()
    assert machine.time.now() == T * 1000
    machine.passes(3)
    assert machine.time.now() == (T + 3) * 1000


def test_an_answer_sets_it_and_from_there_on_it_ticks() -> None:
    machine = Machine()
    machine.answer(T + 100)
    assert machine.time.now() == (T + 100.5) * 1000
    assert machine.time.earliest_now() == (T + 100) * 1000
    machine.wall -= 1_000_000  # somebody set the clock
    machine.ticks += 10
    assert machine.time.now() == (T + 110.5) * 1000


@every_row("ahead", [0.0, 0.3, 0.5, 0.999])
def test_each_answer_narrows_it_and_its_earliest_is_never_ahead(ahead: float) -> None:
    """WeChat's clock is `ahead` of the second in which the first answer came."""
    machine = Machine()
    errors = []
    for number in range(40):
        server_time = machine.wall + 1000 + ahead
        machine.answer(int(server_time), seconds=0.01)
        server_time += 0.01
        assert machine.time.earliest_now() <= server_time * 1000 + 1
        errors.append(abs(machine.time.now() - server_time * 1000))
        machine.passes(0.937 + number / 100)
    assert errors[-1] <= 60


def test_an_answer_that_was_long_in_coming_does_not_widen_it() -> None:
    machine = Machine()
    machine.answer(T)
    machine.answer(T + 35, seconds=35.0)
    assert machine.time.now() == (T + 35.5) * 1000


@every_row("seconds", [-7200, -2, 2, 7200])
def test_an_answer_that_contradicts_it_sets_it_anew(seconds: int) -> None:
    machine = Machine()
    machine.answer(T)
    machine.answer(T + seconds)
    assert machine.time.now() == (T + seconds + 0.5) * 1000


@every_row("date", ["", "x", "Tue, 99 Foo 2023", "Tue, 14 Nov 99999 22:13:00 GMT"])
def test_an_unreadable_date_is_ignored(date: str) -> None:
    machine = Machine()
    machine.time.update(date, machine.ticks)
    assert machine.time.now() == T * 1000


def test_a_time_is_converted_to_the_local_clock_and_always_the_same() -> None:
    machine = Machine()
    machine.answer(T)
    until = int(T * 1000) + 86_400_000
    assert machine.time.to_local(until) == until  # the clocks agree, but for what cannot be measured
    machine.passes(1.3)
    assert machine.time.to_local(until) == until
    machine.wall += 3600  # daylight saving, by somebody who believes in it
    assert abs(machine.time.to_local(until) - until - 3_600_000) <= 500
    local_until = machine.time.to_local(until)
    machine.passes(0.7)
    assert machine.time.to_local(until) == local_until


def test_the_time_since_the_boot_goes_on() -> None:
    assert Clock().boot_time() > 0
