"""Reminds a person to write before their reply window closes, so that alarms still arrive.

1. The reminder is due so long before the end as the settings say (`Remind`, `ilink.remind`); not in quiet
   hours, but before them, or after them if enough time is left then (`reminder_time`).
2. There is one in each window at most: its id names the window, and a stored command is not accepted again.
3. Nobody is reminded to whom nothing was sent in the last seven days.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo

from wx2mqtt.aio import retry_until_stored, wait_at_most
from wx2mqtt.bridge.commands.intake import CommandIntake
from wx2mqtt.bridge.commands.own_texts import OwnText, own_id, own_text
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.window_topics import RECHECK_INTERVAL_SECONDS, ReplyWindowTopics
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import ReplyWindow
from wx2mqtt.settings.formats import parse_quiet_hours
from wx2mqtt.settings.schema import Remind
from wx2mqtt.store.person_records import Person
from wx2mqtt.values import frozen

# A reminder before the quiet hours comes so long before they begin, so that the person can answer it.
QUIET_MARGIN_MS = 15 * 60_000

# Who got nothing for so long needs no open window.
NEEDED_WITHIN_MS = 7 * 86_400_000


def reminder_time(window_end: int, now: int, rules: Remind, zone: tzinfo | None = None) -> int | None:
    """Returns when a person is to be reminded, at `now` or later; None where that is not possible.

    All times are milliseconds since 1970; the hours are those of `zone`, None: of this machine. A reminder
    that is due in quiet hours comes after them if half of its notice is left then, else before they begin.
    """
    if rules.before is None:
        return None
    notice = int(rules.before * 1000)
    due = window_end - notice
    if span := _quiet_span(due, rules, zone):
        begin, end = span
        due = end if window_end - end >= notice // 2 else begin - QUIET_MARGIN_MS
    if due < now:  # the bridge was not running, or the person wrote later than that
        span = _quiet_span(now, rules, zone)
        due = span[1] if span else now
    return due if due < window_end else None


def _quiet_span(at: int, rules: Remind, zone: tzinfo | None) -> tuple[int, int] | None:
    """Returns begin and end of the quiet hours, by the clock on the wall, in which a time lies; else None."""
    if rules.quiet is None:
        return None
    first, last = parse_quiet_hours(rules.quiet)
    today = datetime.fromtimestamp(at / 1000, zone).date()
    for day in (today - timedelta(days=1), today):
        last_day = day + timedelta(days=1) if last <= first else day
        begin = int(datetime.combine(day, first, zone).timestamp() * 1000)
        end = int(datetime.combine(last_day, last, zone).timestamp() * 1000)
        if begin <= at < end:
            return begin, end
    return None


@frozen
class DueReminder:
    """A person who is to be reminded of a window, and when."""

    person: Person
    window: ReplyWindow
    command_id: str
    due: int


class Reminders:
    def __init__(
        self,
        ctx: AccountContext,
        windows: ReplyWindowTopics,
        intake: CommandIntake,
        results: ResultPublications,
        zone: tzinfo | None = None,
    ) -> None:
        self._ctx = ctx
        self._windows = windows
        self._intake = intake
        self._results = results
        self._zone = zone
        #: Set when a window, or a setting, has changed.
        self.recheck_requested = asyncio.Event()
        self._finished: set[str] = set()  # the ids of windows that need no further look

    @property
    def _rules(self) -> Remind:
        return self._ctx.settings.account.ilink.remind

    async def run(self) -> None:
        while True:
            await self.remind_due()
            seconds = None
            if self._rules.before is not None:
                now = now_ms()
                waits = [max(0.0, (reminder.due - now) / 1000) for reminder in self._planned(now)]
                seconds = min([RECHECK_INTERVAL_SECONDS, *waits])
            await wait_at_most(self.recheck_requested, seconds)
            self.recheck_requested.clear()

    async def remind_due(self) -> None:
        now = now_ms()
        for reminder in [reminder for reminder in self._planned(now) if reminder.due <= now]:
            self._finished.add(reminder.command_id)
            await self._remind(reminder)

    def _planned(self, now: int) -> Iterator[DueReminder]:
        """Yields the reminders of all open windows that had none in this run of the process."""
        for user, forecast in self._windows.forecasts.items():
            window, person = forecast.window, self._ctx.registry.by_topic_name(user)
            if person is None or not window.open or window.until is None or window.opened is None:
                continue
            command_id = own_id(OwnText.REMINDER, f"{person.id}-{window.opened}")
            due = reminder_time(window.until, now, self._rules, self._zone)
            if due is not None and command_id not in self._finished:
                yield DueReminder(person=person, window=window, command_id=command_id, due=due)

    async def _remind(self, reminder: DueReminder) -> None:
        """Sends a reminder, unless there was one in this window or nobody needs the window."""
        ctx, person, now = self._ctx, reminder.person, now_ms()
        closes = reminder.window.until
        assert closes is not None
        last = await retry_until_stored(
            lambda: ctx.journal.commands.last_command_for(person.id, person.topic_name)
        )
        if last is None or now - last > NEEDED_WITHIN_MS:
            return
        if await retry_until_stored(lambda: ctx.journal.commands.get(reminder.command_id)) is not None:
            return
        event = self._results.event_publication(
            "reminded", person.topic_name, reminder.command_id, now, {"until": rfc3339(closes)}
        )
        await retry_until_stored(lambda: ctx.publish([event]))
        at = datetime.fromtimestamp(closes / 1000, self._zone)
        text = self._rules.text or bridge_text(ctx.language, "reminder", time=f"{at:%H:%M}")
        own = own_text(
            OwnText.REMINDER,
            person.topic_name,
            person.id,
            text,
            ttl=(closes - now) / 1000,
            command_id=reminder.command_id,
        )
        await retry_until_stored(lambda: self._intake.accept_own_text(own))
        self._ctx.counters.reminders += 1
        ctx.signals.health_changed.emit()
