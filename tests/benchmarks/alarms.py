"""Counts the alarms of a month that arrive at a person who seldom writes to the bot, with and without combined messages.

The sender, its journal, iLink's reply window and the rules of the reminder are the real ones; WeChat and the clock are
not. The days of each run are drawn from the same seed. With reminders the person answers `ANSWERED_SHARE` of them, each
within the hour.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta, timezone
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from tests.benchmarks.measures import Row
from tests.unit.bridge.sender_harness import ILinkSenderHarness, open_sender_harness
from wx2mqtt import clock
from wx2mqtt.bridge.commands import chat_queue, next_step, own_texts, results, send_attempts, window_wait
from wx2mqtt.bridge.commands.chat_queue import stays_first
from wx2mqtt.bridge.commands.own_texts import OwnText, own_text
from wx2mqtt.bridge.reminder import reminder_time
from wx2mqtt.model import Status
from wx2mqtt.settings.schema import ILink, Remind
from wx2mqtt.store.command_records import NewCommand

SEED = 12
DAYS = 30
ALARMS_A_DAY = 100
ALARM_CHARACTERS = 80
DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600
ANSWERED_SHARE = 0.7
REMINDERS = Remind(before=2 * HOUR_SECONDS)

_CLOCKED: tuple[ModuleType, ...] = (send_attempts, chat_queue, next_step, own_texts, results, window_wait)


@dataclass
class ShiftedClock:
    """The clocks of the sender, which are `ahead` seconds in front of the real ones."""

    ahead: float = 0.0

    def now_ms(self) -> int:
        return clock.now_ms() + int(self.ahead * 1000)

    def boot_time(self) -> float:
        return clock.boot_time() + self.ahead

    @contextmanager
    def installed(self) -> Iterator[None]:
        with ExitStack() as stack:
            for module in _CLOCKED:
                for name in ("now_ms", "boot_time"):
                    if hasattr(module, name):
                        stack.enter_context(patch.object(module, name, getattr(self, name)))
            yield


@dataclass(frozen=True)
class Month:
    """The seconds, from the first day on, at which alarms come and at which the person writes."""

    alarms: tuple[float, ...]
    writes: tuple[float, ...]

    @classmethod
    def drawn(cls, days_between_writes: int) -> Month:
        """Returns the month of a person who writes once in so many days, at a random time."""
        rng = random.Random(SEED)
        alarms = sorted(rng.uniform(0, DAYS * DAY_SECONDS) for _ in range(DAYS * ALARMS_A_DAY))
        writes = (
            rng.uniform(day, day + days_between_writes) * DAY_SECONDS
            for day in range(0, DAYS, days_between_writes)
        )
        return cls(alarms=tuple(alarms), writes=tuple(sorted(writes)))


async def alarms(folder: Path) -> list[Row]:
    """Returns the rows of all runs."""
    rows = []
    runs = (
        (1, "once a day", (("one by one", False, False), ("bundled", True, False))),
        (
            3,
            "every three days",
            (("one by one", False, False), ("bundled", True, False), ("bundled, with reminders", True, True)),
        ),
    )
    for days, who, variants in runs:
        month = Month.drawn(days)
        for variant, is_bundled, is_reminded in variants:
            store = folder / f"{days}-{is_bundled}-{is_reminded}"
            store.mkdir()
            ilink = ILink(bundle=is_bundled, remind=REMINDERS if is_reminded else Remind())
            outcome = await _outcome_of(store, month, ilink)
            share = f"{len(outcome.delays):,} of {len(month.alarms):,}"
            rows.append(Row(f"{ALARMS_A_DAY} alarms a day, {who}, {variant}: arrived", share, ""))
            hours = f"{statistics.median(outcome.delays) / HOUR_SECONDS:.1f}"
            rows.append(Row("  hours until then, median", hours, ""))
            if is_reminded:
                answers = f"{outcome.reminded} ({outcome.answered})"
                rows.append(Row("  reminders (answered)", answers, ""))
    return rows


@dataclass
class Outcome:
    """The seconds after which each alarm arrived, and how many reminders were sent and answered."""

    delays: list[float]
    reminded: int = 0
    answered: int = 0


async def _outcome_of(folder: Path, month: Month, ilink: ILink) -> Outcome:
    """Runs the alarms of a month; returns their outcome."""
    shifted_clock = ShiftedClock()
    begins = timezone(
        -timedelta(milliseconds=shifted_clock.now_ms() % (DAY_SECONDS * 1000))
    )  # a month from midnight on
    outcome = Outcome(delays=[])
    events = [*((at, "alarm") for at in month.alarms), *((at, "write") for at in month.writes)]
    heapq.heapify(events)
    rng = random.Random(SEED)
    async with open_sender_harness(folder, "wife") as base_harness:
        harness = ILinkSenderHarness(base_harness)
        harness.ilink = ilink
        with shifted_clock.installed():
            async with harness.running():
                number = 0
                while events:
                    at, event = heapq.heappop(events)
                    shifted_clock.ahead = at
                    harness.now = shifted_clock.now_ms()
                    match event:
                        case "alarm":
                            number += 1
                            await harness.accept(_alarm(harness, number, harness.now))
                        case "remind":
                            if await _remind(harness, ilink.remind, begins):
                                outcome.reminded += 1
                                if rng.random() < ANSWERED_SHARE:
                                    outcome.answered += 1
                                    heapq.heappush(events, (at + rng.uniform(0, HOUR_SECONDS), "write"))
                        case _:
                            harness.receive_message()
                            if (due := _next_reminder(harness, ilink.remind, begins)) is not None:
                                heapq.heappush(events, (at + (due - harness.now) / 1000, "remind"))
                    harness.sender.recheck()
                    while _is_busy(harness, shifted_clock):  # noqa: ASYNC110 - there is no event for it
                        await asyncio.sleep(0)
        commands = await harness.journal.commands.list_newest(limit=2 * len(month.alarms))
    sent = [row for row in commands if row.replies and row.result and row.result.status is Status.SENT]
    outcome.delays = [(row.result.time - row.accepted) / 1000 for row in sent if row.result]
    return outcome


def _next_reminder(harness: ILinkSenderHarness, rules: Remind, zone: timezone) -> int | None:
    window = harness.chat.reply_window(harness.now)
    return None if window.until is None else reminder_time(window.until, harness.now, rules, zone)


async def _remind(harness: ILinkSenderHarness, rules: Remind, zone: timezone) -> bool:
    """Sends the reminder that is due, unless the window is shut or the person has written since."""
    due = _next_reminder(harness, rules, zone)
    if due is None or due > harness.now or not harness.chat.is_open(harness.now):
        return False
    person = harness.address_book.registry.by_topic_name("wife")
    assert person is not None
    await harness.accept(own_text(OwnText.REMINDER, "wife", person.id, "Write anything.", ttl=HOUR_SECONDS))
    return True


def _alarm(harness: ILinkSenderHarness, number: int, now: int) -> NewCommand:
    return harness.command("wife", f"Alarm {number}: ".ljust(ALARM_CHARACTERS, "x"), accepted=now)


def _is_busy(harness: ILinkSenderHarness, shifted_clock: ShiftedClock) -> bool:
    """Returns whether the sender still works before the next event."""
    waits, policy = harness.sender.window_wait, harness.sender._policy
    for queue in harness.sender.waiting.queues.values():
        if queue.waiting.rows and (
            stays_first(queue.waiting.rows[0]) or waits.window_closed_to(policy.next_row(queue)) is None
        ):
            return True
        if any(
            not row.window_reason or queue.expires_at(row) <= shifted_clock.boot_time()
            for row in queue.waiting.rows
        ):
            return True
    return False
