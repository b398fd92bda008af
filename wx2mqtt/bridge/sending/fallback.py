"""Another way for what must not wait: urgent commands that WeChat has not taken in time go out by apprise.

Once, with a mark on the disk before: whoever dies in between sends it again and says `uncertain`, since an
alarm twice is better than none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.sending.errands import Errands
from wx2mqtt.bridge.sending.lanes import Lanes
from wx2mqtt.clock import now_ms
from wx2mqtt.model import Result, Status
from wx2mqtt.outside.alarm import Alarm, Outcome, raise_alarm
from wx2mqtt.store.journal import AlreadySettled, CommandRow, Journal
from wx2mqtt.words import Language, say

log = structlog.get_logger(__name__)

BEGUN = "begun"
_SAID = {
    "sent": "fallback_sent",
    "failed": "fallback_failed",
    "uncertain": "fallback_uncertain",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackRules:
    """Where to, and after how many seconds. The addresses are secrets."""

    after: float = 30.0
    urls: tuple[str, ...] = field(default=(), repr=False)


class Fallback:
    """The other way of one account. `changed` is called when one has been gone to its end."""

    def __init__(
        self,
        *,
        account: str,
        journal: Journal,
        errands: Errands,
        lanes: Lanes,
        rules: Callable[[], FallbackRules],
        language: Callable[[], Language],
        changed: Callable[[], None],
    ) -> None:
        self._account = account
        self._journal = journal
        self._errands = errands
        self._lanes = lanes
        self._changed = changed
        self._waiting: dict[int, asyncio.TimerHandle] = {}
        self._under_way: dict[int, asyncio.Task[str]] = {}
        self._rules = rules
        self._language = language

    @property
    def after(self) -> float:
        """Seconds that WeChat may take."""
        return self._rules().after

    async def recover(self) -> None:
        """At start: what waits is watched again, and what was under way is sent again."""
        for row in await self._journal.urgent():
            self.watch(row)

    def watch(self, row: CommandRow) -> None:
        """A command was accepted: its time counts from then."""
        if not self._may(row) or row.id in self._waiting or row.id in self._under_way:
            return
        age = max(0, now_ms() - row.accepted) / 1000
        left = 0.0 if row.fallback == BEGUN else max(0.0, self.after - age)
        loop = asyncio.get_running_loop()
        self._waiting[row.id] = loop.call_later(left, self._start, row)

    def stop(self) -> None:
        """Begin none any more."""
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    def close(self) -> None:
        """Leave what is under way; its mark says so at the next start."""
        self.stop()
        for task in self._under_way.values():
            task.cancel()

    @property
    def under_way(self) -> tuple[asyncio.Task[str], ...]:
        """Those that something is sent for just now."""
        return tuple(self._under_way.values())

    @staticmethod
    def is_over(row: CommandRow) -> bool:
        """Whether a command went the other way and is not wanted on WeChat any more."""
        return row.fallback not in ("", BEGUN) and not row.command.also_wechat

    async def before_end(self, row: CommandRow, result: Result) -> Result:
        """The result as it is to be told: what WeChat did not take goes the other way first."""
        if timer := self._waiting.pop(row.id, None):
            timer.cancel()
        row = self._lanes.current(row)
        task = self._under_way.get(row.id)
        if task is None and result.status is not Status.SENT and self._may(row):
            task = self._begin(row)
        state = row.fallback if task is None else await asyncio.shield(task)
        if state in ("", BEGUN):
            return result
        sentence = say(self._language(), _SAID[state])
        return replace(result, fallback=state, message=f"{result.message}; {sentence}")

    def _may(self, row: CommandRow) -> bool:
        """Whether a command may go there, and has not yet."""
        return row.command.urgent and bool(self._rules().urls) and row.fallback in ("", BEGUN)

    def _start(self, row: CommandRow) -> None:
        self._waiting.pop(row.id, None)
        self._begin(self._lanes.current(row))

    def _begin(self, row: CommandRow) -> asyncio.Task[str]:
        task = asyncio.get_running_loop().create_task(self._go(row))
        self._under_way[row.id] = task
        task.add_done_callback(lambda _: self._under_way.pop(row.id, None))
        return task

    async def _go(self, row: CommandRow) -> str:
        """What became of it; empty where the command had its result already."""
        try:
            await insist(lambda: self._journal.fallback(row.id, BEGUN))
            outcome = await raise_alarm(self._rules().urls, self._alarm(row))
            state = Outcome.UNCERTAIN if row.fallback == BEGUN else outcome
            log.info("fallback used", command=row.command_id, outcome=str(state))
            await insist(lambda: self._journal.fallback(row.id, str(state)))
        except AlreadySettled:
            return ""
        self._lanes.change(replace(self._lanes.current(row), fallback=str(state)))
        self._changed()
        return str(state)

    def _alarm(self, row: CommandRow) -> Alarm:
        command = row.command
        body = command.text or f"[{command.kind}] {command.name}".rstrip()
        title = say(self._language(), "fallback_title", account=self._account, user=command.user)
        return Alarm(title=title, body=body, file=self._errands.file(row))
