"""What expires of a flood of held commands costs time in proportion to their number (with a large `hold.max`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.cost import is_in_proportion
from tests.unit.bridge.commands.test_waiting_commands import row
from tests.unit.bridge.contexts import context, settings
from wx2mqtt.bridge.commands import chat_queue, next_step
from wx2mqtt.bridge.commands.chat_queue import ChatQueue
from wx2mqtt.bridge.commands.next_step import NextStepPolicy
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.commands.window_wait import WindowWait
from wx2mqtt.model import PersonId, ReplyWindow
from wx2mqtt.settings.schema import Hold

CLOSED_WINDOW = ReplyWindow(open=False, remaining=0, reason="quota_used")
# When a flood is accepted; the system clock stands still, since accepting takes long on a busy machine.
ACCEPTED_MS = 1_795_000_000_000


class HeldFlood:
    """`count` commands of one chat that wait for the reply window; from now on one of them expires each second."""

    def __init__(self, count: int) -> None:
        self.queue = ChatQueue(PersonId(1), by_priority=True)
        accepted = ACCEPTED_MS
        for number in range(1, count + 1):
            expires = accepted + number * 1000
            self.queue.append(
                replace(row(number), accepted=accepted, expires=expires, window_reason="quota_used")
            )
        absent: Any = None
        ctx = context(settings=settings(hold=Hold(max=count)))
        self.window_wait = WindowWait(ctx, absent, WaitingCommands(absent), absent)
        absent_parts: Any = SimpleNamespace(
            replaces_wechat=lambda _: False,
            error_of=lambda *_: None,
            is_proven=lambda _: False,
            window_closed_to=lambda _: None,
            throttled_seconds=0.0,
            bucket=SimpleNamespace(seconds_until_token=lambda: 0.0),
            chat_limit_seconds=lambda _: 0.0,
            online=True,
            stopping=False,
        )
        self.policy = NextStepPolicy(
            ctx, absent_parts, absent_parts, absent_parts, absent_parts, absent_parts, questions=absent_parts
        )

    def give_up_excess(self, most: int) -> None:
        """Gives up commands until at most so many are held."""
        self.window_wait._ctx.settings = settings(hold=Hold(max=most))
        while (row := self.window_wait.find_excess(self.queue)) is not None:
            self.queue.remove(row.id)

    def end_expired(self) -> None:
        """Ends the commands that `NextStepPolicy` finds expired."""
        while (ended := self.policy.find_expired(self.queue)) is not None:
            self.queue.remove(ended.row.id)
        if self.queue.rows:
            assert self.window_wait.find_impatient(self.queue, CLOSED_WINDOW) is None
            assert self.window_wait.find_excess(self.queue) is None
            assert self.window_wait.find_new(self.queue) == []


Clock = dict[str, float]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replaces the clock that the queue and the policy read; `now` is in seconds."""
    clock = {"now": 0.0}
    for module in (chat_queue, next_step):
        monkeypatch.setattr(module, "boot_time", lambda: clock["now"])
    monkeypatch.setattr(chat_queue, "now_ms", lambda: ACCEPTED_MS)
    return clock


def expire_all_at_once(flood: HeldFlood, clock: Clock, count: int) -> None:
    clock["now"] = 10.0 * count
    flood.end_expired()
    assert not flood.queue.rows


def expire_one_by_one(flood: HeldFlood, clock: Clock, count: int) -> None:
    for second in range(1, count + 1):
        clock["now"] = second + 0.5
        flood.end_expired()
        assert len(flood.queue.rows) == count - second


def give_up_excess(flood: HeldFlood, _: Clock, count: int) -> None:
    flood.give_up_excess(count // 2)
    assert [row.id for row in flood.queue.waiting.rows] == list(range(count - count // 2 + 1, count + 1))


@pytest.mark.parametrize(
    ("end", "count"), [(expire_all_at_once, 8000), (expire_one_by_one, 2000), (give_up_excess, 4000)]
)
async def test_the_end_of_held_commands_costs_time_in_proportion_to_their_number(
    clock: Clock, end: Callable[[HeldFlood, Clock, int], None], count: int
) -> None:
    def end_all(count: int) -> None:
        clock["now"] = 0.0
        end(HeldFlood(count), clock, count)

    assert await asyncio.to_thread(is_in_proportion, end_all, count)
