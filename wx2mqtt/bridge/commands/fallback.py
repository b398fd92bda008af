"""Sends urgent commands another way when WeChat did not accept them in time (`fallback.after`), each once.

    "fire" cannot be sent for a minute  ->  the account `office`, or a service as Telegram, sends it instead

1. A command is *due* when its timer ends, or when it ends without having reached WeChat.
2. An alert goes out for it, or one summary for many (`AlertQueue`), by other accounts or apprise
   (`FallbackWays`).
3. Its queue ends it, with the outcome in its result. The chat goes on meanwhile (`ChatQueue.set_ending`).

An alarm twice is better than none. That the login has ended is reported as an alert, too
(`report_login_end`).
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace

import structlog

from wx2mqtt.aio import ChangeNotifier, Signal, retry_until_stored
from wx2mqtt.bridge.commands.fallback_alerts import AlertQueue, alert_text, summary_lines
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

# The least time between two alerts about the same login, which WeChat may take and end several times.
LOGIN_ALERT_INTERVAL_SECONDS = 86_400.0

# The random bytes in the id of an alert about the login.
LOGIN_ALERT_ID_BYTES = 8

# The code of the result of a message that WeChat took without giving it an id.
UNCONFIRMED = "unconfirmed"

# How many alerts are sent at the same time. One takes half a minute at most at each account, and at all
# services together.
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
        # Commands are named by the ids of their rows. Each is in one of the first three, in this order.
        #: The timers of commands that are not due yet.
        self._timers: dict[int, asyncio.TimerHandle] = {}
        #: The commands that wait for their alert.
        self._due = AlertQueue()
        #: The commands whose alert is being sent.
        self._running: set[int] = set()
        #: The state (`fallback_states.py`) of each command whose alert has begun: until the alert has ended,
        #: the one before it. Such a command gets no further alert. Removed with the command's result.
        self._states: dict[int, str] = {}
        #: The commands that `deliver_due` sends, and its caller finishes.
        self._due_at_end: set[int] = set()
        #: Runs while the limit of alerts per minute is used up.
        self._limit_timer: asyncio.TimerHandle | None = None
        self._is_stopped = False
        #: The login whose end was reported last, and when by the clock of the event loop.
        self._alerted_login: tuple[str, float] | None = None
        #: Notified when an alert has ended.
        self._progress = ChangeNotifier()
        #: The alerts that are being sent.
        self.deliveries: set[asyncio.Task[object]] = set()
        self.delivered: Signal[[]] = Signal()

    @property
    def after_seconds(self) -> float:
        """How many seconds after its acceptance the fallback of a command starts."""
        return self._ctx.settings.account.fallback.after

    async def recover(self) -> None:
        """Schedules the waiting urgent commands at the start of the process. Raises `StoreError`."""
        for row in await self._journal.commands.list_urgent():
            self.schedule(row)

    def schedule(self, row: CommandRow) -> None:
        """Starts the timer of an urgent command; the time counts from its acceptance.

        If the alert of the command has begun already, its row in the queue is brought up to date.
        """
        if row.id in self._states:
            self._update_in_queue(row.id)
        if not self.is_wanted(row) or row.id in self._timers or self.is_pending(row.id):
            return
        age = max(0, now_ms() - row.accepted) / 1000
        seconds_left = max(0.0, self.after_seconds - age)
        if row.fallback == FALLBACK_STARTED:  # a process before this one has begun the alert
            seconds_left = 0.0
        loop = asyncio.get_running_loop()
        self._timers[row.id] = loop.call_later(seconds_left, self._on_timer, row)

    def update_queues(self) -> None:
        """Brings the rows in the queues up to date that were read from the journal before their alert."""
        for row_id in self._states:
            self._update_in_queue(row_id)

    def stop(self) -> None:
        """Starts no further alert."""
        self._is_stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._limit_timer is not None:
            self._limit_timer.cancel()
        self._due = AlertQueue()

    def close(self) -> None:
        """Cancels the alerts that are being sent; they are repeated at the next start."""
        self.stop()
        for task in self.deliveries:
            task.cancel()

    def report_login_end(self, reason: str) -> None:
        """Sends that the login has ended, once for each login, with the address of the page and no QR code.

        Only logins that end by themselves are reported: others are ended by a person, on the phone.
        """
        ctx = self._ctx
        if not self._ways.has_any or ctx.backend.capabilities.login_seconds is None:
            return
        if self._was_reported(ctx.registry.login_id):
            return
        self._alerted_login = (ctx.registry.login_id, loop_time())
        page = ctx.settings.page_url
        message_key = "login_ended" if page else "login_ended_no_page"
        body = bridge_text(ctx.language, message_key, why=reason.removesuffix("."), page=page)
        title = bridge_text(ctx.language, "login_ended_title", account=ctx.name)
        occasion = f"login-{secrets.token_hex(LOGIN_ALERT_ID_BYTES)}"
        alert = FallbackAlert(
            command_id=occasion, fingerprint=occasion, title=title, body=body, text=f"{title}\n{body}"
        )
        self._start(self._ways.send(alert))

    def _was_reported(self, login_id: str) -> bool:
        """Returns whether the end of this login was reported in the last `LOGIN_ALERT_INTERVAL_SECONDS`."""
        if self._alerted_login is None:
            return False
        alerted_id, alerted_at = self._alerted_login
        return alerted_id == login_id and loop_time() - alerted_at < LOGIN_ALERT_INTERVAL_SECONDS

    # What becomes of a command

    def is_wanted(self, row: CommandRow) -> bool:
        """Returns whether the fallback is to send this command if WeChat does not take it."""
        is_begun = row.id in self._states or has_ended(row.fallback)
        return row.command.urgent and self._ways.has_any and not is_begun

    def is_pending(self, row_id: int) -> bool:
        """Returns whether a command waits for its alert, or the alert is being sent."""
        return row_id in self._due or row_id in self._running

    def replaces_wechat(self, row: CommandRow) -> bool:
        """Returns whether a command ends because the fallback has sent it, and WeChat needs not.

        Commands of `deliver_due` end for another reason, which their result says.
        """
        is_replaced = has_ended(row.fallback) and not row.command.also_wechat
        return is_replaced and row.id not in self._due_at_end

    def must_wait_for(self, row: CommandRow, result: Result) -> bool:
        """Returns whether a command that ends with this result waits for its alert, which is due now.

        A command that WeChat took after all waits only for an alert that is being sent already. If WeChat
        gave it no id, perhaps nobody sees it, as with a muted account: then its alert is due, too.
        """
        if not row.command.urgent:
            return False
        row = self._waiting.find(row.id) or row
        self._stop_timer(row)
        if result.status is Status.SENT and result.code != UNCONFIRMED:
            self._due.discard(row.id)
        elif self.is_wanted(row) and not self.is_pending(row.id):
            self._add_due(row)
        return self.is_pending(row.id)

    def complete_result(self, row: CommandRow, result: Result) -> Result:
        """Returns the result of a command that ends now, with the outcome of its fallback."""
        if not row.command.urgent:
            return result
        self._states.pop(row.id, None)
        current = self._waiting.find(row.id) or row
        return with_fallback(result, current.fallback, self._ctx.language)

    async def deliver_due(self) -> None:
        """Sends all waiting urgent commands now; the caller finishes them after that. Raises `StoreError`."""
        rows = [row for row in await self._journal.commands.list_urgent() if self.is_wanted(row)]
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
        # Not at once, but in the next turn of the loop: many that come due together become one summary.
        asyncio.get_running_loop().call_soon(self._start_alerts)

    def _start_alerts(self) -> None:
        """Starts as many alerts as the limits allow; a timer continues when the limit per minute does."""
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
            self._states |= {row.id: before.get(row.id, "") for row in rows}
            # Commands that have their result are not in `before`, and a fallback may have ended already.
            open_rows = [row for row in rows if row.id in before and not has_ended(before[row.id])]
            if open_rows:
                is_single = len(open_rows) == 1
                alert = await self._alert_of(open_rows[0]) if is_single else self._summary_of(open_rows)
                end = await self._ways.send(alert)
                log.info(
                    "fallback used",
                    commands=len(open_rows),
                    command=open_rows[0].command_id,
                    outcome=str(end.outcome),
                    other=end.account or None,
                )
                states = {row.id: _end_of(end, before[row.id]).state for row in open_rows}
                stored = await self._store_states(states)
                self._states |= {row_id: state for row_id, state in states.items() if row_id in stored}
            self.update_queues()
        finally:
            self._running.difference_update(row.id for row in rows)
            self._progress.notify()
        self.delivered.emit()

    async def _alert_of(self, row: CommandRow) -> FallbackAlert:
        ctx, command = self._ctx, row.command
        title = bridge_text(ctx.language, "fallback_title", account=ctx.name, user=command.user)
        attachment = await self._resolver.attachment_of(row)
        return FallbackAlert(
            command_id=row.command_id,
            fingerprint=_fingerprint_of(row),
            title=title,
            body=alert_text(row, ctx.language),
            text=alert_text(row, ctx.language) if attachment is None else command.text,
            kind=command.kind,
            attachment=attachment,
            markdown=command.markdown,
            question=_question_of(row, ctx.name),
        )

    def _summary_of(self, rows: Sequence[CommandRow]) -> FallbackAlert:
        """Returns one alert for several commands: how many they are, and the first and the last of them."""
        ctx = self._ctx
        lines = summary_lines(rows, ctx.language)
        if len(lines) < len(rows):
            lines.append(bridge_text(ctx.language, "fallback_summary_rest", count=len(rows) - len(lines)))
        title = bridge_text(ctx.language, "fallback_summary_title", account=ctx.name, count=len(rows))
        body = "\n".join(lines)
        return FallbackAlert(
            command_id=rows[0].command_id,
            fingerprint=_fingerprint_of(rows[0]),
            title=title,
            body=body,
            text=f"{title}\n{body}",
            count=len(rows),
        )

    async def _store_states(self, states: Mapping[int, str]) -> Mapping[int, str]:
        """Stores states by row id; returns those before, without those of commands that have their result."""
        return await retry_until_stored(lambda: self._journal.commands.set_fallback_states(states))

    def _update_in_queue(self, row_id: int) -> None:
        row = self._waiting.find(row_id)
        if row is not None and row.fallback != self._states[row_id]:
            self._waiting.replace_row(replace(row, fallback=self._states[row_id]))


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
    """Returns how the fallback of one command ended.

    If an earlier process had begun its alert, the services may have got it twice, or then and not now.
    """
    if end.asked_services and state_before == FALLBACK_STARTED:
        return replace(end, outcome=AlertOutcome.UNCERTAIN)
    return end
