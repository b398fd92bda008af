"""WeChat's clock, from local clocks that are wrong, jump, or stop while the machine sleeps."""

from __future__ import annotations

from email.utils import formatdate

from tests.support.rows import every_row
from wx2mqtt.clock import Clock
from wx2mqtt.wechat.ilink.ilink_http import ServerClock

START = 1_790_000_000.0


class ServerClockHarness:
    """A server clock above a wall clock, which a test may set, and the time since the boot, which only grows."""

    def __init__(self) -> None:
        self.wall = START
        self.boot_seconds = 5.0
        self.time = ServerClock(Clock(wall=lambda: self.wall, boot_time=lambda: self.boot_seconds))

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.boot_seconds += seconds

    def receive_answer(self, date: float, *, seconds: float = 0.0) -> None:
        """Receives an answer of WeChat with this date, `seconds` after its request."""
        requested_at = self.boot_seconds
        self.advance(seconds)
        self.time.update(formatdate(date, usegmt=True), requested_at)


def test_before_the_first_answer_it_is_the_local_clock() -> None:
    harness = ServerClockHarness()
    assert harness.time.now() == START * 1000
    harness.advance(3)
    assert harness.time.now() == (START + 3) * 1000


def test_an_answer_sets_it_and_from_there_on_it_ticks() -> None:
    harness = ServerClockHarness()
    harness.receive_answer(START + 100)
    assert harness.time.now() == (START + 100.5) * 1000
    assert harness.time.earliest_now() == (START + 100) * 1000
    harness.wall -= 1_000_000  # somebody set the clock
    harness.boot_seconds += 10
    assert harness.time.now() == (START + 110.5) * 1000


@every_row("ahead", [0.0, 0.3, 0.5, 0.999])
def test_each_answer_narrows_it_and_its_earliest_is_never_ahead(ahead: float) -> None:
    """WeChat's clock is `ahead` of the second in which the first answer came."""
    harness = ServerClockHarness()
    errors = []
    for number in range(40):
        server_time = harness.wall + 1000 + ahead
        harness.receive_answer(int(server_time), seconds=0.01)
        server_time += 0.01
        assert harness.time.earliest_now() <= server_time * 1000 + 1
        errors.append(abs(harness.time.now() - server_time * 1000))
        harness.advance(0.937 + number / 100)
    assert errors[-1] <= 60


def test_an_answer_that_was_long_in_coming_does_not_widen_it() -> None:
    harness = ServerClockHarness()
    harness.receive_answer(START)
    harness.receive_answer(START + 35, seconds=35.0)
    assert harness.time.now() == (START + 35.5) * 1000


@every_row("seconds", [-7200, -2, 2, 7200])
def test_an_answer_that_contradicts_it_sets_it_anew(seconds: int) -> None:
    harness = ServerClockHarness()
    harness.receive_answer(START)
    harness.receive_answer(START + seconds)
    assert harness.time.now() == (START + seconds + 0.5) * 1000


@every_row("date", ["", "x", "Tue, 99 Foo 2023", "Tue, 14 Nov 99999 22:13:00 GMT"])
def test_an_unreadable_date_is_ignored(date: str) -> None:
    harness = ServerClockHarness()
    harness.time.update(date, harness.boot_seconds)
    assert harness.time.now() == START * 1000


def test_a_time_is_converted_to_the_local_clock_and_always_the_same() -> None:
    harness = ServerClockHarness()
    harness.receive_answer(START)
    until = int(START * 1000) + 86_400_000
    assert harness.time.to_local(until) == until  # the clocks agree, but for what cannot be measured
    harness.advance(1.3)
    assert harness.time.to_local(until) == until
    harness.wall += 3600  # somebody sets the clock for daylight saving time
    assert abs(harness.time.to_local(until) - until - 3_600_000) <= 500
    local_until = harness.time.to_local(until)
    harness.advance(0.7)
    assert harness.time.to_local(until) == local_until


def test_the_time_since_the_boot_goes_on() -> None:
    assert Clock().boot_time() > 0
