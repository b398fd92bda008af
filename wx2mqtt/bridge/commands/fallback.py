"""Another way for what must not wait: urgent commands that WeChat has not taken in time go out by apprise.

Once, with a mark on the disk before: whoever dies in between sends it again and says `uncertain`, since an
alarm twice is better than none.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from wx2mqtt.aio import Signal, retry_until_stored
from wx2mqtt.bridge.account_settings import FallbackRules
from wx2mqtt.bridge.commands.queues import ChatQueues
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import now_ms
from wx2mqtt.external.alerts import Alert, AlertOutcome, send_alert
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Result, Status
from wx2mqtt.store.commands import AlreadySettled
from wx2mqtt.store.records import CommandRow

log = structlog.get_logger(__name__)

FALLBACK_STARTED = "begun"
_SAID = {
    "sent": "fallback_sent",
    "failed": "fallback_failed",
    "uncertain": "fallback_uncertain",
}


class FallbackDelivery:
    """The fallback of one account. `delivered` is emitted when a command has gone out by it."""

    def __init__(self, ctx: AccountContext, resolver: CommandResolver, queues: ChatQueues) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self._resolver = resolver
        self._queues = queues
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._deliveries: dict[int, asyncio.Task[str]] = {}
        self.delivered: Signal[[]] = Signal()

    @property
    def _rules(self) -> FallbackRules:
        return self._ctx.settings.fallback

    @property
    def after_seconds(self) -> float:
        """Seconds that WeChat may take."""
        return self._rules.after_seconds

    async def recover(self) -> None:
        """At start: what waits is watched again, and what was under way is sent again."""
        for row in await self._journal.list_urgent():
            self.schedule(row)

    def schedule(self, row: CommandRow) -> None:
        """A command was accepted: its time counts from then."""
        if not self._is_applicable(row) or row.id in self._timers or row.id in self._deliveries:
            return
        age = max(0, now_ms() - row.accepted) / 1000
        left = 0.0 if row.fallback == FALLBACK_STARTED else max(0.0, self.after_seconds - age)
        loop = asyncio.get_running_loop()
        self._timers[row.id] = loop.call_later(left, self._on_timer, row)

    def stop(self) -> None:
        """Begin none any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def close(self) -> None:
        """Leave what is under way; its mark says so at the next start."""
        self.stop()
        for task in self._deliveries.values():
            task.cancel()

    @property
    def deliveries(self) -> tuple[asyncio.Task[str], ...]:
        """Those that something is sent for just now."""
        return tuple(self._deliveries.values())

    @staticmethod
    def replaces_wechat(row: CommandRow) -> bool:
        """Whether a command went the other way and is not wanted on WeChat any more."""
        return row.fallback not in ("", FALLBACK_STARTED) and not row.command.also_wechat

    async def complete_result(self, row: CommandRow, result: Result) -> Result:
        """The result as it is to be told: what WeChat did not take goes the other way first."""
        if timer := self._timers.pop(row.id, None):
            timer.cancel()
        row = self._queues.current_row(row)
        task = self._deliveries.get(row.id)
        if task is None and result.status is not Status.SENT and self._is_applicable(row):
            task = self._start_delivery(row)
        state = row.fallback if task is None else await asyncio.shield(task)
        if state in ("", FALLBACK_STARTED):
            return result
        sentence = bridge_text(self._ctx.language, _SAID[state])
        return replace(result, fallback=state, message=f"{result.message}; {sentence}")

    def _is_applicable(self, row: CommandRow) -> bool:
        """Whether a command may go there, and has not yet."""
        return row.command.urgent and bool(self._rules.urls) and row.fallback in ("", FALLBACK_STARTED)

    def _on_timer(self, row: CommandRow) -> None:
        self._timers.pop(row.id, None)
        self._start_delivery(self._queues.current_row(row))

    def _start_delivery(self, row: CommandRow) -> asyncio.Task[str]:
        task = asyncio.get_running_loop().create_task(self._deliver(row))
        self._deliveries[row.id] = task
        task.add_done_callback(lambda _: self._deliveries.pop(row.id, None))
        return task

    async def _deliver(self, row: CommandRow) -> str:
        """What became of it; empty where the command had its result already."""
        try:
            await retry_until_stored(lambda: self._journal.set_fallback_state(row.id, FALLBACK_STARTED))
            outcome = await send_alert(self._rules.urls, self._make_alert(row))
            state = AlertOutcome.UNCERTAIN if row.fallback == FALLBACK_STARTED else outcome
            log.info("fallback used", command=row.command_id, outcome=str(state))
            await retry_until_stored(lambda: self._journal.set_fallback_state(row.id, str(state)))
        except AlreadySettled:
            return ""
        self._queues.replace_row(replace(self._queues.current_row(row), fallback=str(state)))
        self.delivered.emit()
        return str(state)

    def _make_alert(self, row: CommandRow) -> Alert:
        command = row.command
        body = command.text or f"[{command.kind}] {command.name}".rstrip()
        title = bridge_text(self._ctx.language, "fallback_title", account=self._ctx.name, user=command.user)
        return Alert(title=title, body=body, file=self._resolver.file_of(row))
