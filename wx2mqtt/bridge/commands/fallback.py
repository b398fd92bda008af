"""Sends urgent commands another way when WeChat did not accept them within `after_seconds`, each once.

1. The timer of a command ends, or the command ends without WeChat: it is *due*.
2. An alert goes out for it, or one summary for many (`AlertQueue`), by other accounts or apprise
   (`FallbackWays`).
3. Its queue ends it, with the outcome in its result. The chat goes on meanwhile (`ChatQueue.set_ending`).

An alarm twice is better than none. The end of the login is one alert as well (`report_login_end`).
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace

import structlog

from wx2mqtt.aio import ChangeNotifier, Signal, retry_until_stored
from wx2mqtt.bridge.commands.alert_queue import AlertQueue, alert_text, summary_lines
from wx2mqtt.bridge.commands.fallback_states import FALLBACK_STARTED, FallbackEnd, has_ended, with_fallback
from wx2mqtt.bridge.commands.fallback_ways import FallbackAlert, FallbackWays
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.fallback_accounts import FallbackQuestion
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.external.alerts import AlertOutcome
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import AskingCommand, Result, Status
from wx2mqtt.store.command_records import CommandRow

log = structlog.get_logger(__name__)

# Alerts about the end of one and the same login are so far apart: WeChat may take it again and end it again.
LOGIN_ALERT_INTERVAL_SECONDS = 86_400.0

# Random bytes of the id of such an alert.
LOGIN_ALERT_ID_BYTES = 8

# The code of what WeChat took without giving it an id.
UNCONFIRMED = "unconfirmed"

# The largest number of alerts on their way; at each account, and at all services together, one takes half a
# minute at most.
MAX_CONCURRENT_ALERTS = 4


class FallbackDue(Exception):
    """A command that is about to end must be sent by the fallback before."""


class FallbackDelivery:
    """The fallback of one account. `delivered` is emitted after each alert, whatever its outcome."""

    def __init__(self, ctx: AccountContext, resolver: CommandResolver, waiting: WaitingCommands) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self._resolver = resolver
        self._waiting = waiting
        self._ways = FallbackWays(ctx)
        self._timers: dict[int, asyncio.TimerHandle] = {}  # by row id
        self._due = AlertQueue()
        self._running: set[int] = set()  # row ids
        self._ended: dict[int, str] = {}  # states by row id, empty where the command had its result already
        self._limit_timer: asyncio.TimerHandle | None = None
        self._is_stopped = False
        self._alerted_logins: dict[str, float] = {}  # by login id, when on the loop's clock
        self._due_at_end: set[int] = set()  # row ids: `deliver_due` sends these, and its caller finishes them
        self._progress = ChangeNotifier()
        #: The alerts under way.
        self.deliveries: set[asyncio.Task[object]] = set()
        self.delivered: Signal[[]] = Signal()

    @property
    def after_seconds(self) -> float:
        """Seconds after its acceptance when the fallback of a command starts."""
        return self._ctx.settings.account.fallback.after

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
        self._due = AlertQueue()

    def close(self) -> None:
        """Cancels the alerts under way; they are repeated at the next start."""
        self.stop()
        for task in self.deliveries:
            task.cancel()

    def report_login_end(self, reason: str) -> None:
        """Sends that the login has ended, once for each login, with the address of the page and no code."""
        ctx, now = self._ctx, loop_time()
        alerted_at = self._alerted_logins.get(ctx.registry.login_id, float("-inf"))
        ends_by_itself = ctx.backend.capabilities.login_seconds is not None  # others end on the phone
        if not (self._ways.has_any and ends_by_itself) or now - alerted_at < LOGIN_ALERT_INTERVAL_SECONDS:
            return
        self._alerted_logins = {ctx.registry.login_id: now}
        page = ctx.settings.page_url
        message_key = "login_ended" if page else "login_ended_no_page"
        body = bridge_text(ctx.language, message_key, why=reason.removesuffix("."), page=page)
        title = bridge_text(ctx.language, "login_ended_title", account=ctx.name)
        occasion = f"login-{secrets.token_hex(LOGIN_ALERT_ID_BYTES)}"
        alert = FallbackAlert(
            command_id=occasion, fingerprint=occasion, title=title, body=body, text=f"{title}\n{body}"
        )
        self._start(self._ways.send(alert))

    # What becomes of a command

    def is_due(self, row: CommandRow) -> bool:
        """Returns whether the fallback is to send this command, and has not yet."""
        is_open = row.id not in self._ended and not has_ended(row.fallback)
        return row.command.urgent and self._ways.has_any and is_open

    def is_pending(self, row_id: int) -> bool:
        """Returns whether a command waits for its alert, or the alert is on its way."""
        return row_id in self._due or row_id in self._running

    def replaces_wechat(self, row: CommandRow) -> bool:
        """Returns whether a command ends because the fallback sent it, and not by WeChat as well.

        A command that `deliver_due` sends does not: the reason why it ends is another one.
        """
        is_sent = has_ended(row.fallback) and not row.command.also_wechat
        return is_sent and row.id not in self._due_at_end

    def must_wait_for(self, row: CommandRow, result: Result) -> bool:
        """Returns whether a command that ends with this result waits for its fallback, which is due now.

        Where WeChat has taken it after all, it waits only for an alert that is on its way. What WeChat took
        and gave no id, as from an account that it has muted, may not be seen: that is due, too.
        """
        if not row.command.urgent:
            return False
        row = self._waiting.find(row.id) or row
        self._stop_timer(row)
        if result.status is Status.SENT and result.code != UNCONFIRMED:
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
        while len(self._due) and len(self.deliveries) < MAX_CONCURRENT_ALERTS and not self._is_stopped:
            seconds = self._due.seconds_until_allowed(loop_time())
            if seconds > 0:
                if self._limit_timer is not None:
                    self._limit_timer.cancel()
                self._limit_timer = asyncio.get_running_loop().call_later(seconds, self._start_alerts)
                return
            rows = self._due.take(loop_time())
            self._running.update(row.id for row in rows)
            self._start(self._deliver(rows))

    def _start(self, delivery: Coroutine[object, object, object]) -> None:
        task = asyncio.get_running_loop().create_task(delivery)
        self.deliveries.add(task)
        task.add_done_callback(self._on_delivered)

    def _on_delivered(self, task: asyncio.Task[object]) -> None:
        self.deliveries.discard(task)
        self._start_alerts()

    async def _deliver(self, rows: Sequence[CommandRow]) -> None:
        """Sends the alert for these commands, a summary for several, and stores its begin and its outcome."""
        try:
            before = await self._store_states({row.id: FALLBACK_STARTED for row in rows})
            self._ended |= {row.id: before.get(row.id, "") for row in rows}
            # A row may be older than the end of its fallback, or of its command
            current = [row for row in rows if before.get(row.id, "gone") in ("", FALLBACK_STARTED)]
            if current:
                end = await self._ways.send(await self._alert_of(current))
                first_id = current[0].command_id
                log.info(
                    "fallback used",
                    commands=len(current),
                    command=first_id,
                    outcome=str(end.outcome),
                    other=end.account or None,
                )
                states = {row.id: _end_of(end, before[row.id]).state for row in current}
                stored = await self._store_states(states)
                self._ended |= {row_id: state for row_id, state in states.items() if row_id in stored}
            self.update_queues()
        finally:
            self._running.difference_update(row.id for row in rows)
            self._progress.notify()
        self.delivered.emit()

    async def _alert_of(self, rows: Sequence[CommandRow]) -> FallbackAlert:
        """Returns the alert for a command, or a summary: how many they are, and the first and the last."""
        ctx, first = self._ctx, rows[0]
        if len(rows) == 1:
            title = bridge_text(ctx.language, "fallback_title", account=ctx.name, user=first.command.user)
            attachment = await self._resolver.attachment_of(first)
            return FallbackAlert(
                command_id=first.command_id,
                fingerprint=_fingerprint_of(first),
                title=title,
                body=alert_text(first),
                text=first.command.text if attachment is not None else alert_text(first),
                kind=first.command.kind,
                attachment=attachment,
                markdown=first.command.markdown,
                question=_question_of(first, ctx.name),
            )
        lines = summary_lines(rows)
        if len(lines) < len(rows):
            lines.append(bridge_text(ctx.language, "fallback_summary_rest", count=len(rows) - len(lines)))
        title = bridge_text(ctx.language, "fallback_summary_title", account=ctx.name, count=len(rows))
        body = "\n".join(lines)
        return FallbackAlert(
            command_id=first.command_id,
            fingerprint=_fingerprint_of(first),
            title=title,
            body=body,
            text=f"{title}\n{body}",
            count=len(rows),
        )

    async def _store_states(self, states: Mapping[int, str]) -> Mapping[int, str]:
        """Stores states by row id; returns those before, without those of commands that have their result."""
        return await retry_until_stored(lambda: self._journal.commands.set_fallback_states(states))

    def _store_in_queue(self, row_id: int) -> None:
        row = self._waiting.find(row_id)
        if row is not None and row.fallback != self._ended[row_id]:
            self._waiting.replace_row(replace(row, fallback=self._ended[row_id]))


def _fingerprint_of(row: CommandRow) -> str:
    """Returns what tells a command from every other one, also from a later one with the same id."""
    return hashlib.sha256(f"{row.id} {row.accepted} {row.key} {row.fingerprint}".encode()).hexdigest()


def _question_of(row: CommandRow, account: str) -> FallbackQuestion | None:
    """Returns what goes along with the fallback of a command with buttons; None without any."""
    command = row.command
    if not command.buttons:
        return None
    return FallbackQuestion(
        asked_by=AskingCommand(account=account, row_id=row.id, command_id=row.command_id, user=command.user),
        buttons=command.buttons,
        buttons_for=command.buttons_for,
        buttons_from=command.buttons_from,
    )


def _end_of(end: FallbackEnd, state_before: str) -> FallbackEnd:
    """Returns how the fallback of a command ended; services may have its alert from an earlier process."""
    if end.asked_services and state_before == FALLBACK_STARTED:
        return replace(end, outcome=AlertOutcome.UNCERTAIN)
    return end
