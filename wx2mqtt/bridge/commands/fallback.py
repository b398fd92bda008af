"""Sends urgent commands by apprise when WeChat did not accept them within `after_seconds`, each once.

The state of a fallback is stored with its command:

| state | meaning |
|---|---|
| (empty) | not needed yet |
| `begun` | stored before the alert is sent; after a crash in between it is sent again, and ends `uncertain` |
| `sent`, `failed`, `uncertain` | how it ended |

That WeChat has ended the login is one alert as well, without a command and not stored (`report_login_end`).

An alarm twice is better than none. A command that ends because another account becomes the owner was not
accepted by WeChat either: `deliver_due` sends it before.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import structlog

from wx2mqtt.aio import Signal, retry_until_stored
from wx2mqtt.bridge.account_settings import FallbackRules
from wx2mqtt.bridge.commands.queues import ChatQueues
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.external.alerts import Alert, AlertOutcome, send_alert
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Result, Status
from wx2mqtt.store.commands import AlreadySettled
from wx2mqtt.store.records import CommandRow

log = structlog.get_logger(__name__)

# The stored state of a fallback whose outcome is not known yet; the other states are those of `AlertOutcome`.
FALLBACK_STARTED = "begun"

# Alerts about the end of one and the same login are so far apart: WeChat may take it again and end it again.
LOGIN_ALERT_INTERVAL_SECONDS = 86_400.0

_MESSAGE_KEYS = {
    AlertOutcome.SENT: "fallback_sent",
    AlertOutcome.FAILED: "fallback_failed",
    AlertOutcome.UNCERTAIN: "fallback_uncertain",
}


class FallbackDue(Exception):
    """A command that is about to end must be sent by the fallback before."""


class FallbackDelivery:
    """The fallback of one account. `delivered` is emitted after each delivery, whatever its outcome."""

    def __init__(self, ctx: AccountContext, resolver: CommandResolver, queues: ChatQueues) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self._resolver = resolver
        self._queues = queues
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._deliveries: dict[int, asyncio.Task[str]] = {}
        self._login_alerts: set[asyncio.Task[AlertOutcome]] = set()
        self._alerted_logins: dict[str, float] = {}  # by login id, when on the loop's clock
        self._due_at_end: set[int] = set()  # row ids: `deliver_due` sends these, and its caller settles them
        self.delivered: Signal[[]] = Signal()

    @property
    def _rules(self) -> FallbackRules:
        return self._ctx.settings.fallback

    @property
    def after_seconds(self) -> float:
        """Seconds after its acceptance when the fallback of a command starts."""
        return self._rules.after_seconds

    async def recover(self) -> None:
        """Schedules the waiting urgent commands at the start of the process. Raises `StoreError`."""
        for row in await self._journal.list_urgent():
            self.schedule(row)

    def schedule(self, row: CommandRow) -> None:
        """Starts the timer of an urgent command; the time counts from its acceptance."""
        if not self.is_due(row) or row.id in self._timers or row.id in self._deliveries:
            return
        age = max(0, now_ms() - row.accepted) / 1000
        seconds_left = 0.0 if row.fallback == FALLBACK_STARTED else max(0.0, self.after_seconds - age)
        loop = asyncio.get_running_loop()
        self._timers[row.id] = loop.call_later(seconds_left, self._on_timer, row)

    def stop(self) -> None:
        """Starts no further delivery."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def close(self) -> None:
        """Cancels the deliveries under way; they are repeated at the next start."""
        self.stop()
        for task in (*self._deliveries.values(), *self._login_alerts):
            task.cancel()

    @property
    def deliveries(self) -> tuple[asyncio.Task[str] | asyncio.Task[AlertOutcome], ...]:
        """The deliveries under way."""
        return (*self._deliveries.values(), *self._login_alerts)

    def report_login_end(self, reason: str) -> None:
        """Sends that the login has ended, once for each login, with the address of the page and no code."""
        login_id, now = self._ctx.registry.login_id, loop_time()
        alerted_at = self._alerted_logins.get(login_id, float("-inf"))
        ends_by_itself = self._ctx.backend.capabilities.login_seconds is not None  # others end on the phone
        if not (self._rules.urls and ends_by_itself) or now - alerted_at < LOGIN_ALERT_INTERVAL_SECONDS:
            return
        self._alerted_logins = {login_id: now}
        task = asyncio.get_running_loop().create_task(self._send(login_alert(self._ctx, reason)))
        self._login_alerts.add(task)
        task.add_done_callback(self._login_alerts.discard)

    def replaces_wechat(self, row: CommandRow) -> bool:
        """Returns whether a command ends because the fallback sent it, and not by WeChat as well.

        A command that `deliver_due` sends does not: the reason why it ends is another one.
        """
        is_sent = _has_ended(row.fallback) and not row.command.also_wechat
        return is_sent and row.id not in self._due_at_end

    async def complete_result(self, row: CommandRow, result: Result) -> Result:
        """Returns the result with the state of the fallback, which runs first if WeChat did not accept it."""
        if not row.command.urgent:
            return result
        if timer := self._timers.pop(row.id, None):
            timer.cancel()
        row = self._queues.current_row(row)
        task = self._deliveries.get(row.id)
        if task is None and result.status is not Status.SENT and self.is_due(row):
            task = self._start_delivery(row)
        state = row.fallback if task is None else await asyncio.shield(task)
        return with_fallback(result, state, self._ctx.language)

    async def deliver_due(self) -> None:
        """Sends all waiting urgent commands now; the caller settles them after that. Raises `StoreError`."""
        rows = [row for row in await self._journal.list_urgent() if self.is_due(row)]
        self._due_at_end.update(row.id for row in rows)
        for row in rows:
            if timer := self._timers.pop(row.id, None):
                timer.cancel()
        if rows:
            await asyncio.wait([self._deliveries.get(row.id) or self._start_delivery(row) for row in rows])

    def is_due(self, row: CommandRow) -> bool:
        """Returns whether the fallback is to send this command, and has not yet."""
        return row.command.urgent and bool(self._rules.urls) and not _has_ended(row.fallback)

    def _on_timer(self, row: CommandRow) -> None:
        self._timers.pop(row.id, None)
        self._start_delivery(self._queues.current_row(row))

    def _start_delivery(self, row: CommandRow) -> asyncio.Task[str]:
        task = asyncio.get_running_loop().create_task(self._deliver(row))
        self._deliveries[row.id] = task
        task.add_done_callback(lambda _: self._deliveries.pop(row.id, None))
        return task

    async def _deliver(self, row: CommandRow) -> str:
        """Sends the alert and returns its stored state; empty if the command has its result already."""
        set_state = partial(self._journal.set_fallback_state, row.id)
        try:
            state = await retry_until_stored(lambda: set_state(FALLBACK_STARTED))
            if not _has_ended(state):  # else `row` is older than its delivery
                outcome = await self._send(await self._make_alert(row))
                state = str(AlertOutcome.UNCERTAIN if state == FALLBACK_STARTED else outcome)
                log.info("fallback used", command=row.command_id, outcome=state)
                await retry_until_stored(lambda: set_state(state))
        except AlreadySettled:
            return ""
        self._queues.replace_row(replace(self._queues.current_row(row), fallback=state))
        self.delivered.emit()
        return state

    async def _send(self, alert: Alert) -> AlertOutcome:
        await self._ctx.shared.lease.wait()  # without it another process sends the alert
        return await send_alert(self._rules.urls, alert)

    async def _make_alert(self, row: CommandRow) -> Alert:
        command = row.command
        body = command.text or f"[{command.kind}] {command.name}".rstrip()
        title = bridge_text(self._ctx.language, "fallback_title", account=self._ctx.name, user=command.user)
        return Alert(title=title, body=body, file=await self._resolver.file_of(row))


def login_alert(ctx: AccountContext, reason: str) -> Alert:
    """Returns the alert that the login has ended."""
    page = ctx.settings.home_assistant.url
    message_key = "login_ended" if page else "login_ended_no_page"
    body = bridge_text(ctx.language, message_key, why=reason.removesuffix("."), page=page)
    return Alert(title=bridge_text(ctx.language, "login_ended_title", account=ctx.name), body=body)


def with_fallback(result: Result, state: str, language: Language) -> Result:
    """Returns a result that says how the fallback ended; the result itself while it has not."""
    if not _has_ended(state):
        return result
    sentence = bridge_text(language, _MESSAGE_KEYS[AlertOutcome(state)])
    return replace(result, fallback=state, message=f"{result.message}; {sentence}")


def _has_ended(state: str) -> bool:
    return state not in ("", FALLBACK_STARTED)
