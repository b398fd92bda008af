"""A flood that is held, with a large `hold.max`, costs no more than in proportion when it expires."""

from __future__ import annotations

import asyncio
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

SHUT = ReplyWindow(open=False, remaining=0, reason="quota_used")
# When a flood is accepted, by the system clock, which stands still: it takes long on a busy machine.
NOW = 1_795_000_000_000

COUNT = 2000


class Flood:
    """`count` held commands of one chat, of which one expires each second, from now on."""

    def __init__(self, count: int) -> None:
        self.queue = ChatQueue(PersonId(1), by_priority=True)
        accepted = NOW
        for number in range(1, count + 1):
            expires = accepted + number * 1000
            self.queue.append(
                replace(row(number), accepted=accepted, expires=expires, window_reason="quota_used")
            )
        absent: Any = None
        ctx = context(settings=settings(hold=Hold(max=count)))
        self.holding = WindowWait(ctx, absent, WaitingCommands(absent), absent)
        nothing: Any = SimpleNamespace(
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
        self.policy = NextStepPolicy(ctx, nothing, nothing, nothing, nothing, nothing, questions=nothing)

    def give_up_excess(self, most: int) -> None:
        """So many may be held."""
        self.holding._ctx.settings = settings(hold=Hold(max=most))
        while (row := self.holding.find_excess(self.queue)) is not None:
            self.queue.remove(row.id)

    def end_expired(self) -> None:
        """What has expired ends, as `NextStepPolicy` finds it."""
        while (ended := self.policy.find_expired(self.queue)) is not None:
            self.queue.remove(ended.row.id)
        if self.queue.rows:
            assert self.holding.find_impatient(self.queue, SHUT) is None
            assert self.holding.find_excess(self.queue) is None
            assert self.holding.find_new(self.queue) == []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The time that the queue and the policy read."""
    clock = {"now": 0.0}
    for module in (chat_queue, next_step):
        monkeypatch.setattr(module, "boot_time", lambda: clock["now"])
    monkeypatch.setattr(chat_queue, "now_ms", lambda: NOW)
    return clock


async def test_all_at_once(clock: dict[str, float]) -> None:
    def work(count: int) -> None:
        clock["now"] = 0.0
        flood = Flood(count)
        clock["now"] = 10.0 * count
        flood.end_expired()
        assert not flood.queue.rows

    assert await asyncio.to_thread(is_in_proportion, work, 4 * COUNT)


async def test_one_after_the_other(clock: dict[str, float]) -> None:
    def work(count: int) -> None:
        clock["now"] = 0.0
        flood = Flood(count)
        for second in range(1, count + 1):
            clock["now"] = second + 0.5
            flood.end_expired()
            assert len(flood.queue.rows) == count - second

    assert await asyncio.to_thread(is_in_proportion, work, COUNT)


async def test_what_is_too_much(clock: dict[str, float]) -> None:
    def work(count: int) -> None:
        flood = Flood(count)
        flood.give_up_excess(count // 2)
        assert [row.id for row in flood.queue.waiting] == list(range(count - count // 2 + 1, count + 1))

    assert await asyncio.to_thread(is_in_proportion, work, 2 * COUNT)
