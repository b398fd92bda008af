"""Sends urgent commands by apprise when WeChat did not accept them within `after_seconds`, each once.

1. The timer of a command ends, or the command ends without WeChat: it is *due* (`alert_queue.py`).
2. An alert goes out for it, or one summary for many. A few alerts go out at a time.
3. Its queue ends it, with the outcome in its result. It does not wait for that in its turn: the chat goes on
   (`must_wait_for`, `ChatQueue.set_ending`).

The state of a fallback is stored with its command:

| state | meaning |
|---|---|
| (empty) | not needed yet |
| `begun` | stored before the alert is sent; after a crash in between it is sent again, and ends `uncertain` |
| `sent`, `failed`, `uncertain` | how it ended |
| the same and a number, as in `sent 17` | how the summary of so many commands ended |

That WeChat has ended the login is one alert as well, without a command and not stored (`report_login_end`).

An alarm twice is better than none. A command that ends because another account becomes the owner was not
accepted by WeChat either: `deliver_due` sends it before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from wx2mqtt.aio import ChangeNotifier, Signal, retry_until_stored
from wx2mqtt.bridge.commands.alert_queue import AlertQueue, alert_text, summary_lines
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.external.alerts import Alert, AlertOutcome, send_alert
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Result, Status
from wx2mqtt.settings.schema import Fallback
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

# The stored state of a fallback whose outcome is not known yet; the other states are those of `AlertOutcome`.
FALLBACK_STARTED = "begun"

# Alerts about the end of one and the same login are so far apart: WeChat may take it again and end it again.
LOGIN_ALERT_INTERVAL_SECONDS = 86_400.0

# The largest number of alerts on their way; each takes at most `ALERT_TIMEOUT_SECONDS`.
MAX_CONCURRENT_ALERTS = 4

_MESSAGE_KEYS = {
    AlertOutcome.SENT: "fallback_sent",
    AlertOutcome.FAILED: "fallback_failed",
    AlertOutcome.UNCERTAIN: "fallback_uncertain",
}


@frozen(kw_only=False)
class FallbackState:
    """How a fallback stands, as it is stored."""

    outcome: str
    #: The number of commands of its summary.
    summarized: int | None = None

    @classmethod
    def parse(cls, text: str) -> FallbackState:
        outcome, _, count = text.partition(" ")
        return cls(outcome, int(count) if count else None)

    @property
    def has_ended(self) -> bool:
        return self.outcome not in ("", FALLBACK_STARTED)

    def __str__(self) -> str:
        return self.outcome if self.summarized is None else f"{self.outcome} {self.summarized}"


class FallbackDue(Exception):
    """A command that is about to end must be sent by the fallback before."""


class FallbackDelivery:
    """The fallback of one account. `delivered` is emitted after each alert, whatever its outcome."""

    def __init__(self, ctx: AccountContext, resolver: CommandResolver, waiting: WaitingCommands) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self._resolver = resolver
        self._waiting = waiting
        self._timers: dict[int, asyncio.TimerHandle] = {}  # by row id
        self._due = AlertQueue()
        self._alerts: set[asyncio.Task[None]] = set()
        self._running: set[int] = set()  # row ids
        self._ended: dict[int, str] = {}  # states by row id, empty where the command had its result already
        self._limit_timer: asyncio.TimerHandle | None = None
        self._is_stopped = False
        self._login_alerts: set[asyncio.Task[AlertOutcome]] = set()
        self._alerted_logins: dict[str, float] = {}  # by login id, when on the loop's clock
        self._due_at_end: set[int] = set()  # row ids: `deliver_due` sends these, and its caller finishes them
        self._progress = ChangeNotifier()
        self.delivered: Signal[[]] = Signal()

    @property
    def _rules(self) -> Fallback:
        return self._ctx.settings.account.fallback

    @property
    def after_seconds(self) -> float:
        """Seconds after its acceptance when the fallback of a command starts."""
        return self._rules.after

    async def recover(self) -> None:
        """Schedules the waiting urgent commands at the start of the process. Raises `StoreError`."""
        for row in await self._journal.commands.list_urgent():
            self.schedule(row)

    def schedule(self, row: CommandRow) -> None:
        """Starts the timer of an urgent command; the time counts from its acceptance.

        A row that is older than the end of its fallback is brought up to date in its queue.
        """
        if row.id in self._ended:
            self._store_in_queue(row.id)
        if not self.is_due(row) or row.id in self._timers or self.is_pending(row.id):
            return
        age = max(0, now_ms() - row.accepted) / 1000
        seconds_left = 0.0 if row.fallback == FALLBACK_STARTED else max(0.0, self.after_seconds - age)
        loop = asyncio.get_running_loop()
        self._timers[row.id] = loop.call_later(seconds_left, self._on_timer, row)

    def update_queues(self) -> None:
        """Brings rows up to date that were read from the journal before their fallback ended."""
        for row_id in self._ended:
            self._store_in_queue(row_id)

    def stop(self) -> None:
        """Starts no further alert."""
        self._is_stopped = True
        for timer in (*self._timers.values(), *filter(None, [self._limit_timer])):
            timer.cancel()
        self._timers.clear()
        self._due.clear()

    def close(self) -> None:
        """Cancels the alerts under way; they are repeated at the next start."""
        self.stop()
        for task in self.deliveries:
            task.cancel()

    @property
    def deliveries(self) -> tuple[asyncio.Task[None] | asyncio.Task[AlertOutcome], ...]:
        """The alerts under way."""
        return (*self._alerts, *self._login_alerts)

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

    # What becomes of a command

    def is_due(self, row: CommandRow) -> bool:
        """Returns whether the fallback is to send this command, and has not yet."""
        is_open = row.id not in self._ended and not FallbackState.parse(row.fallback).has_ended
        return row.command.urgent and bool(self._rules.urls) and is_open

    def is_pending(self, row_id: int) -> bool:
        """Returns whether a command waits for its alert, or the alert is on its way."""
        return row_id in self._due or row_id in self._running

    def replaces_wechat(self, row: CommandRow) -> bool:
        """Returns whether a command ends because the fallback sent it, and not by WeChat as well.

        A command that `deliver_due` sends does not: the reason why it ends is another one.
        """
        is_sent = FallbackState.parse(row.fallback).has_ended and not row.command.also_wechat
        return is_sent and row.id not in self._due_at_end

    def must_wait_for(self, row: CommandRow, result: Result) -> bool:
        """Returns whether a command that ends with this result waits for its fallback, which is due now.

        Where WeChat has taken it after all, it waits only for an alert that is on its way.
        """
        if not row.command.urgent:
            return False
        row = self._waiting.find(row.id) or row
        self._stop_timer(row)
        if result.status is Status.SENT:
            self._due.discard(row.id)
        elif self.is_due(row) and not self.is_pending(row.id):
            self._add_due(row)
        return self.is_pending(row.id)

    def complete_result(self, row: CommandRow, result: Result) -> Result:
        """Returns the result of a command that ends now, with the outcome of its fallback."""
        if not row.command.urgent:
            return result
        self._ended.pop(row.id, None)
        current = self._waiting.find(row.id) or row
        return with_fallback(result, current.fallback, self._ctx.language)

    async def deliver_due(self) -> None:
        """Sends all waiting urgent commands now; the caller finishes them after that. Raises `StoreError`."""
        rows = [row for row in await self._journal.commands.list_urgent() if self.is_due(row)]
        self._due_at_end.update(row.id for row in rows)
        for row in rows:
            self._stop_timer(row)
            if not self.is_pending(row.id):
                self._add_due(row)
        seen_count = self._progress.count
        while any(self.is_pending(row.id) for row in rows):
            seen_count = await self._progress.wait(seen_count)

    # Alerts

    def _stop_timer(self, row: CommandRow) -> None:
        timer = self._timers.pop(row.id, None)
        if timer is not None:
            timer.cancel()

    def _on_timer(self, row: CommandRow) -> None:
        self._timers.pop(row.id, None)
        self._add_due(self._waiting.find(row.id) or row)

    def _add_due(self, row: CommandRow) -> None:
        self._due.add(row)
        # Those that come due at the same time are counted together: many of them become one summary.
        asyncio.get_running_loop().call_soon(self._start_alerts)

    def _start_alerts(self) -> None:
        """Starts as many alerts as may go out now."""
        while len(self._due) and len(self._alerts) < MAX_CONCURRENT_ALERTS and not self._is_stopped:
            loop = asyncio.get_running_loop()
            seconds = self._due.seconds_until_allowed(loop_time())
            if seconds > 0:
                if self._limit_timer is not None:
                    self._limit_timer.cancel()
                self._limit_timer = loop.call_later(seconds, self._start_alerts)
                return
            rows = self._due.take(loop_time())
            self._running.update(row.id for row in rows)
            task = loop.create_task(self._deliver(rows))
            self._alerts.add(task)
            task.add_done_callback(self._alerts.discard)

    async def _deliver(self, rows: Sequence[CommandRow]) -> None:
        """Sends the alert for these commands, a summary for several, and stores its begin and its outcome."""
        try:
            before = await self._store_states({row.id: FALLBACK_STARTED for row in rows})
            self._ended |= {row.id: before.get(row.id, "") for row in rows}
            # A row may be older than the end of its fallback, or of its command
            current = [row for row in rows if before.get(row.id, "gone") in ("", FALLBACK_STARTED)]
            if current:
                await self._send_alert(current, before)
            self.update_queues()
        finally:
            self._running.difference_update(row.id for row in rows)
            self._progress.notify()
            asyncio.get_running_loop().call_soon(self._start_alerts)
        self.delivered.emit()

    async def _send_alert(self, rows: Sequence[CommandRow], before: Mapping[int, str]) -> None:
        """Sends the alert, and stores its outcome; `before` are the states of the commands."""
        if len(rows) > 1:
            alert = summary_alert(self._ctx, rows)
        else:
            (row,) = rows
            user = row.command.user
            title = bridge_text(self._ctx.language, "fallback_title", account=self._ctx.name, user=user)
            alert = Alert(title=title, body=alert_text(row), file=await self._resolver.file_of(row))
        outcome = await self._send(alert)
        log.info("fallback used", commands=len(rows), command=rows[0].command_id, outcome=str(outcome))
        summarized = len(rows) if len(rows) > 1 else None
        states = {}
        for row in rows:
            is_repeated = before[row.id] == FALLBACK_STARTED  # by an earlier process, with an unknown outcome
            known = AlertOutcome.UNCERTAIN if is_repeated else outcome
            states[row.id] = str(FallbackState(str(known), summarized))
        stored = await self._store_states(states)
        self._ended |= {row_id: state for row_id, state in states.items() if row_id in stored}

    async def _store_states(self, states: Mapping[int, str]) -> Mapping[int, str]:
        """Stores states by row id; returns those before, without those of commands that have their result."""
        return await retry_until_stored(lambda: self._journal.commands.set_fallback_states(states))

    def _store_in_queue(self, row_id: int) -> None:
        row = self._waiting.find(row_id)
        if row is not None and row.fallback != self._ended[row_id]:
            self._waiting.replace_row(replace(row, fallback=self._ended[row_id]))

    async def _send(self, alert: Alert) -> AlertOutcome:
        await self._ctx.shared.lease.wait()  # without it another process sends the alert
        urls = tuple(url.get_secret_value() for url in self._rules.urls)
        return await send_alert(urls, alert)


def summary_alert(ctx: AccountContext, rows: Sequence[CommandRow]) -> Alert:
    """Returns one alert for many commands: how many they are, and the first and the last of them."""
    lines = summary_lines(rows)
    title = bridge_text(ctx.language, "fallback_summary_title", account=ctx.name, count=len(rows))
    if len(lines) < len(rows):
        lines.append(bridge_text(ctx.language, "fallback_summary_rest", count=len(rows) - len(lines)))
    return Alert(title=title, body="\n".join(lines))


def login_alert(ctx: AccountContext, reason: str) -> Alert:
    """Returns the alert that the login has ended."""
    page = ctx.settings.page_url
    message_key = "login_ended" if page else "login_ended_no_page"
    body = bridge_text(ctx.language, message_key, why=reason.removesuffix("."), page=page)
    return Alert(title=bridge_text(ctx.language, "login_ended_title", account=ctx.name), body=body)


def with_fallback(result: Result, state_text: str, language: Language) -> Result:
    """Returns a result that says how the fallback ended; the result itself while it has not."""
    state = FallbackState.parse(state_text)
    if not state.has_ended:
        return result
    message = f"{result.message}; {bridge_text(language, _MESSAGE_KEYS[AlertOutcome(state.outcome)])}"
    if state.summarized is not None:
        message += "; " + bridge_text(language, "fallback_summarized", count=state.summarized)
    return replace(result, fallback=state.outcome, summarized=state.summarized, message=message)
