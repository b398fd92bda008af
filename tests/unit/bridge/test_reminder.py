"""When a person is reminded that their reply window closes, at the limits of each rule."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.rows import every_row
from tests.unit.bridge.commands_harness import CommandsHarness
from tests.unit.bridge.contexts import changed
from wx2mqtt.bridge import reminder
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.reminder import NEEDED_WITHIN_MS, Reminders, reminder_time
from wx2mqtt.clock import now_ms
from wx2mqtt.model import ReplyWindow
from wx2mqtt.settings.schema import ILink, Remind

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000
NIGHT = "22:00-07:00"
AFTERNOON = "13:00-15:00"


def berlin_ms(text: str) -> int:
    """Returns a time in Berlin in milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1000)


def reminder_time_of(end: str, *, now: str = "", quiet: str | None = NIGHT, hours: float = 2) -> str:
    """Returns when the reminder of a window is due that ends at `end`, both as times in Berlin."""
    rules = Remind(before=hours * 3600, quiet=quiet)
    known = berlin_ms(now) if now else berlin_ms(end) - 24 * HOUR
    due = reminder_time(berlin_ms(end), known, rules, BERLIN)
    return "" if due is None else f"{datetime.fromtimestamp(due / 1000, BERLIN):%Y-%m-%dT%H:%M}"


@every_row(
    ("end", "due"),
    [
        ("2026-05-10T18:00", "2026-05-10T16:00"),
        # It would come in quiet hours: before they begin, unless half of the notice is left after them.
        ("2026-05-10T03:00", "2026-05-09T21:45"),
        ("2026-05-10T07:59", "2026-05-09T21:45"),
        ("2026-05-10T08:00", "2026-05-10T07:00"),
        ("2026-05-10T09:00", "2026-05-10T07:00"),
        ("2026-05-10T09:01", "2026-05-10T07:01"),
        # The window ends in quiet hours and the reminder comes before them by itself.
        ("2026-05-10T23:59", "2026-05-10T21:59"),
        ("2026-05-11T00:00", "2026-05-10T21:45"),
    ],
)
def test_a_reminder_comes_outside_of_quiet_hours_over_midnight(end: str, due: str):
    assert reminder_time_of(end) == due


@pytest.mark.parametrize(
    ("end", "due"),
    [("2026-05-10T15:30", "2026-05-10T12:45"), ("2026-05-10T16:00", "2026-05-10T15:00")],
)
def test_quiet_hours_may_lie_within_a_day(end: str, due: str):
    assert reminder_time_of(end, quiet=AFTERNOON) == due


@every_row(
    ("end", "due"),
    [
        # The night of the change to summer time has an hour less, that of the change back one more.
        ("2026-03-29T05:30", "2026-03-28T21:45"),
        ("2026-03-29T08:00", "2026-03-29T07:00"),
        ("2026-03-29T22:30", "2026-03-29T20:30"),
        ("2026-10-25T02:30", "2026-10-24T21:45"),
        ("2026-10-25T08:30", "2026-10-25T07:00"),
    ],
)
def test_quiet_hours_are_in_local_time_when_summer_time_begins_or_ends(end: str, due: str):
    assert reminder_time_of(end) == due


def test_without_quiet_hours_it_comes_at_night_too():
    assert reminder_time_of("2026-05-10T03:00", quiet=None) == "2026-05-10T01:00"


@every_row(
    ("now", "due"),
    [
        ("2026-05-10T20:00", "2026-05-10T21:45"),
        ("2026-05-10T21:50", "2026-05-10T21:50"),
        ("2026-05-10T22:00", ""),
        ("2026-05-11T02:59", ""),
    ],
)
def test_what_was_missed_comes_late_but_neither_in_quiet_hours_nor_after_the_end(now: str, due: str):
    assert reminder_time_of("2026-05-11T03:00", now=now) == due


def test_what_was_missed_in_quiet_hours_comes_after_them():
    assert reminder_time_of("2026-05-10T08:00", now="2026-05-10T06:30") == "2026-05-10T07:00"
    assert reminder_time_of("2026-05-10T07:30", now="2026-05-10T06:30") == "2026-05-10T07:00"


@pytest.mark.parametrize(("now", "due"), [("17:59", "2026-05-10T17:59"), ("18:00", ""), ("18:01", "")])
def test_at_the_last_moment_of_the_window_it_is_too_late(now: str, due: str):
    assert reminder_time_of("2026-05-10T18:00", now=f"2026-05-10T{now}") == due


def test_reminders_are_off_without_a_notice():
    assert reminder_time(berlin_ms("2026-05-10T18:00"), 0, Remind(), BERLIN) is None


# The reminders of an account


class Clock:
    """The clock of the reminders, which the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = now_ms()
        monkeypatch.setattr(reminder, "now_ms", lambda: self.now)


class ReminderHarness:
    """The reminders of an account whose chat with wife has a reply window."""

    def __init__(self, harness: CommandsHarness, clock: Clock, **rules: Any) -> None:
        self.harness = harness
        self.clock = clock
        self.windows = SimpleNamespace(forecasts={})
        reminders = Remind(**{"before": 7200.0, "quiet": None, **rules})
        harness.ctx.settings = changed(harness.ctx.settings, ilink=ILink(remind=reminders))
        self.reminders = self.restart()

    def restart(self) -> Reminders:
        """Creates the reminders again, as a start of the process does."""
        windows: Any = self.windows
        results = ResultPublications(self.harness.ctx.name, self.harness.ctx.topics)
        self.reminders = Reminders(self.harness.ctx, windows, self.harness.intake, results)
        return self.reminders

    def receive_message(self, hours_left: float = 24.0) -> None:
        """Receives a message from wife that opens her window for so long."""
        now = self.clock.now
        window = ReplyWindow(open=True, until=now + int(hours_left * HOUR), remaining=9, opened=now)
        self.windows.forecasts = {"wife": SimpleNamespace(window=window)}

    async def wait_for_sent_texts(self) -> list[str]:
        """Returns the texts of the bridge that were sent, once all that it has accepted is sent."""
        last = f"after-{self.clock.now}"
        self.harness.deliver_command(text="last", id=last)
        await self.harness.result(last)
        return [text for text in self.harness.wechat.texts() if text != "last"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def send_first_command(harness: CommandsHarness) -> None:
    """Sends wife a command, so that she is reminded at all."""
    harness.deliver_command(text="last", id="first")
    await harness.result("first")


async def test_one_reminder_comes_in_a_window_and_says_until_when(harness: CommandsHarness, clock: Clock):
    await send_first_command(harness)
    reminder_harness = ReminderHarness(harness, clock)
    reminder_harness.receive_message()
    clock.now += 22 * HOUR - 1
    await reminder_harness.reminders.remind_due()
    assert await reminder_harness.wait_for_sent_texts() == []
    clock.now += 1
    for _ in range(2):
        await reminder_harness.reminders.remind_due()
    (text,) = await reminder_harness.wait_for_sent_texts()
    assert "for example 1" in text
    (event,) = await harness.wait_for_bodies("wx/event/reminded")
    assert (event["user"], event["until"][-1]) == ("wife", "Z")
    assert reminder_harness.reminders._ctx.counters.reminders == 1
    assert not [body for body in harness.bodies_on("wx/result/wife") if body["id"].startswith("wx2mqtt-")]


async def test_after_a_restart_the_window_has_had_its_reminder(harness: CommandsHarness, clock: Clock):
    await send_first_command(harness)
    reminder_harness = ReminderHarness(harness, clock)
    reminder_harness.receive_message(hours_left=1.0)
    await reminder_harness.reminders.remind_due()
    await reminder_harness.restart().remind_due()
    assert len(await reminder_harness.wait_for_sent_texts()) == 1
    assert reminder_harness.reminders._ctx.counters.reminders == 1


async def test_each_window_has_a_reminder_of_its_own(harness: CommandsHarness, clock: Clock):
    await send_first_command(harness)
    reminder_harness = ReminderHarness(harness, clock, text="write!")
    for _ in range(2):
        reminder_harness.receive_message(hours_left=1.0)
        await reminder_harness.reminders.remind_due()
        clock.now += 1000
    assert await reminder_harness.wait_for_sent_texts() == ["write!", "write!"]


@pytest.mark.parametrize(("unused_ms", "count"), [(NEEDED_WITHIN_MS - HOUR, 1), (NEEDED_WITHIN_MS + HOUR, 0)])
async def test_nobody_is_reminded_to_whom_nothing_was_sent_in_seven_days(
    harness: CommandsHarness, clock: Clock, unused_ms: int, count: int
):
    await send_first_command(harness)
    clock.now += unused_ms
    reminder_harness = ReminderHarness(harness, clock, text="write!")
    reminder_harness.receive_message(hours_left=1.0)
    await reminder_harness.reminders.remind_due()
    assert await reminder_harness.wait_for_sent_texts() == ["write!"] * count
    assert reminder_harness.reminders._ctx.counters.reminders == count


async def test_the_bridge_own_texts_are_nothing_that_was_sent_to_them(harness: CommandsHarness, clock: Clock):
    await send_first_command(harness)
    reminder_harness = ReminderHarness(harness, clock, text="write!")
    reminder_harness.receive_message(hours_left=1.0)
    await reminder_harness.reminders.remind_due()
    clock.now += NEEDED_WITHIN_MS + HOUR
    reminder_harness.receive_message(hours_left=1.0)
    await reminder_harness.reminders.remind_due()
    assert reminder_harness.reminders._ctx.counters.reminders == 1


@pytest.mark.parametrize(
    "window",
    [
        ReplyWindow(open=False, remaining=0, reason="quota_used"),
        ReplyWindow(open=False, remaining=3, reason="rate_limited", until=now_ms() + HOUR),
    ],
)
async def test_a_closed_window_has_no_reminder(harness: CommandsHarness, clock: Clock, window: ReplyWindow):
    await send_first_command(harness)
    reminder_harness = ReminderHarness(harness, clock)
    reminder_harness.windows.forecasts = {"wife": SimpleNamespace(window=window)}
    await reminder_harness.reminders.remind_due()
    assert await reminder_harness.wait_for_sent_texts() == []
