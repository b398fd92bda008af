"""Reminds a person to write before their reply window closes, so that alarms still arrive.

A reply window is the time after a message of the person in which WeChat lets a bot answer.

1. The reminder is due the time `ilink.remind.before` ahead of the window's end; if that is in quiet hours,
   before them, or after them if enough time is left then (`reminder_time`).
2. Each window has one at most: the reminder's id names the window, and an id is accepted only once.
3. Nobody is reminded to whom nothing was sent in the last seven days.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, tzinfo

from wx2mqtt.aio import retry_until_stored, wait_at_most
from wx2mqtt.bridge.commands.intake import CommandIntake
from wx2mqtt.bridge.commands.own_texts import OwnText, own_id, own_text
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.window_topics import RECHECK_INTERVAL_SECONDS, ReplyWindowTopics
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import ReplyWindow
from wx2mqtt.settings.quiet_hours import quiet_hours_around
from wx2mqtt.settings.schema import Remind
from wx2mqtt.store.person_records import Person
from wx2mqtt.values import frozen

# A reminder ahead of the quiet hours comes this time before they begin, so that the person can answer it.
QUIET_MARGIN_MS = 15 * 60_000

# Somebody to whom nothing was sent for this long needs no open window.
NEEDED_WITHIN_MS = 7 * 86_400_000


def reminder_time(window_end: int, now: int, rules: Remind, zone: tzinfo | None = None) -> int | None:
    """Returns when a person is to be reminded, at `now` or later; None where that is not possible.

    All times are milliseconds since 1970. The quiet hours are those of the time zone `zone`, None for the one
    of this machine. A reminder that is due in quiet hours comes after them if half of its time ahead is left
    then, else before they begin.
    """
    if rules.before is None:
        return None
    before_ms = int(rules.before * 1000)
    due = window_end - before_ms
    quiet = _quiet_hours_around(due, rules, zone)
    if quiet is not None:
        quiet_begin, quiet_end = quiet
        is_late_enough = window_end - quiet_end >= before_ms // 2
        due = quiet_end if is_late_enough else quiet_begin - QUIET_MARGIN_MS
    if due < now:  # the bridge was not running at that time, or the person wrote only later
        quiet = _quiet_hours_around(now, rules, zone)
        due = now
        if quiet is not None:
            _, due = quiet
    return due if due < window_end else None


def _quiet_hours_around(at: int, rules: Remind, zone: tzinfo | None) -> tuple[int, int] | None:
    return None if rules.quiet is None else quiet_hours_around(at, rules.quiet, zone)


@frozen
class DueReminder:
    """A person who is to be reminded of a window, and when."""

    person: Person
    window: ReplyWindow
    command_id: str
    due: int


class Reminders:
    """Reminds the people of one account (`run`)."""

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
        #: The ids of reminders that this process has sent, or found to be not needed.
        self._finished: set[str] = set()

    @property
    def _rules(self) -> Remind:
        return self._ctx.settings.account.ilink.remind

    async def run(self) -> None:
        """Sends each reminder when it is due, until cancelled."""
        while True:
            await self.remind_due()
            await wait_at_most(self.recheck_requested, self._seconds_until_next())
            self.recheck_requested.clear()

    def _seconds_until_next(self) -> float | None:
        """Returns the seconds after which to look again; None if the settings want no reminders."""
        if self._rules.before is None:
            return None
        now = now_ms()
        waits = [max(0.0, (reminder.due - now) / 1000) for reminder in self._planned(now)]
        return min([RECHECK_INTERVAL_SECONDS, *waits])

    async def remind_due(self) -> None:
        """Sends the reminders that are due now."""
        now = now_ms()
        due = [reminder for reminder in self._planned(now) if reminder.due <= now]
        for reminder in due:
            self._finished.add(reminder.command_id)
            await self._remind(reminder)

    def _planned(self, now: int) -> Iterator[DueReminder]:
        """Yields the reminders of all open windows, without those in `_finished`."""
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
