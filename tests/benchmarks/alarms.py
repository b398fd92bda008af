"""Alarms of a month to a bot's person, who writes now and then: how many arrive, with and without bundling.

The sender, its journal and iLink's reply window are the real ones; WeChat and the clock are not. The days of each
run are drawn from the same seed.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from tests.benchmarks.measures import Row
from tests.unit.bridge.sender_support import BotRoom, room
from wx2mqtt import clock
from wx2mqtt.bridge.account_settings import ReplyWindowRules
from wx2mqtt.bridge.commands import attempts, expiry, hold, own_texts, queues, results
from wx2mqtt.model import Status
from wx2mqtt.store.records import NewCommand

SEED = 12
DAYS = 30
ALARMS_A_DAY = 100
ALARM_CHARACTERS = 80
DAY_SECONDS = 86_400

_CLOCKED: tuple[ModuleType, ...] = (attempts, expiry, hold, own_texts, queues, results)


@dataclass
class TurnedClock:
    """The clocks of the sender, which stand `ahead` seconds before the real ones."""

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
        dice = random.Random(SEED)
        alarms = sorted(dice.uniform(0, DAYS * DAY_SECONDS) for _ in range(DAYS * ALARMS_A_DAY))
        writes = (
            dice.uniform(day, day + days_between_writes) * DAY_SECONDS
            for day in range(0, DAYS, days_between_writes)
        )
        return cls(alarms=tuple(alarms), writes=tuple(sorted(writes)))


async def alarms(folder: Path) -> list[Row]:
    """See the module."""
    rows = []
    for days, who in ((1, "once a day"), (3, "every three days")):
        month = Month.drawn(days)
        for is_bundled in (False, True):
            store = folder / f"{days}-{is_bundled}"
            store.mkdir()
            arrived, delays = await _outcome_of(store, month, is_bundled=is_bundled)
            how = "bundled" if is_bundled else "one by one"
            share = f"{arrived:,} of {len(month.alarms):,}"
            rows.append(Row(f"{ALARMS_A_DAY} alarms a day, {who}, {how}: arrived", share, ""))
            rows.append(Row("  hours until then, median", f"{statistics.median(delays) / 3600:.1f}", ""))
    return rows


async def _outcome_of(folder: Path, month: Month, *, is_bundled: bool) -> tuple[int, list[float]]:
    """Returns how many alarms of a month arrived, and after how many seconds each."""
    turned = TurnedClock()
    events: Mapping[float, int] = {
        **{at: number for number, at in enumerate(month.alarms, 1)},
        **dict.fromkeys(month.writes, 0),
    }
    async with room(folder, "wife") as made:
        here = BotRoom(made)
        here.reply_window = ReplyWindowRules(bundle=is_bundled)
        with turned.installed():
            async with here.running():
                for at, number in sorted(events.items()):
                    turned.ahead = at
                    here.now = turned.now_ms()
                    if number:
                        await here.accept(_alarm(here, number, turned.now_ms()))
                    else:
                        here.writes()
                    here.sender.recheck()
                    while _is_busy(here, turned):  # noqa: ASYNC110 - there is no event for it
                        await asyncio.sleep(0)
        commands = await here.journal.list_commands(limit=2 * len(month.alarms))
    sent = [row for row in commands if row.replies and row.result and row.result.status is Status.SENT]
    return len(sent), [(row.result.time - row.accepted) / 1000 for row in sent if row.result]


def _alarm(here: BotRoom, number: int, now: int) -> NewCommand:
    return here.command("wife", f"Alarm {number}: ".ljust(ALARM_CHARACTERS, "x"), accepted=now)


def _is_busy(here: BotRoom, turned: TurnedClock) -> bool:
    """Whether the sender still does something before the next event."""
    held = here.sender.hold_queue
    for queue in here.sender._queues.all_queues():
        if queue and (queue.is_begun(queue.first) or held.closed_window(held.next_row(queue)) is None):
            return True
        if any(not row.held_reason or queue.expires_at(row) <= turned.boot_time() for row in queue):
            return True
    return False
