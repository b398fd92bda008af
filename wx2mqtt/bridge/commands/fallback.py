"""Sends urgent commands another way when WeChat did not accept them in time (`fallback.after`), each once.

    "fire" cannot be sent for a minute  ->  the account `office`, or a service as Telegram, sends it instead

Here a command goes from stage to stage (`fallback_states.py` has the table). `fallback_queue.py` says which
ones the next alert is for, `fallback_alerts.py` what it says, `fallback_ways.py` which ways it takes.

The result of a command waits for its alert, and the chat goes on meanwhile (`ChatQueue.set_ending`). An alarm
twice is better than none. The end of a login is reported as an alert, too (`report_login_end`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence

import structlog

from wx2mqtt.aio import ChangeNotifier, Signal, retry_until_stored
from wx2mqtt.bridge.commands.fallback_alerts import command_alert, login_end_alert, summary_alert
from wx2mqtt.bridge.commands.fallback_queue import AlertQueue
from wx2mqtt.bridge.commands.fallback_states import (
    FALLBACK_STARTED,
    Stage,
    UrgentCommand,
    has_ended,
    with_fallback,
)
from wx2mqtt.bridge.commands.fallback_ways import FallbackWays
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import is_surely_sent
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.model import Result
from wx2mqtt.store.command_records import CommandRow

log = structlog.get_logger(__name__)

# The least time between two alerts about the same login, which WeChat may take and end several times.
LOGIN_ALERT_INTERVAL_SECONDS = 86_400.0

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
        #: By row id: the commands that may need the fallback, until their results are stored.
        self._commands: dict[int, UrgentCommand] = {}
        #: Those in the stage `DUE`.
        self._due = AlertQueue()
        #: Runs while the limit of alerts per minute is used up.
        self._limit_timer: asyncio.TimerHandle | None = None
        self._is_stopped = False
        #: The login whose end was reported last, and when by the clock of the event loop.
        self._reported_login: tuple[str, float] | None = None
        #: Notified when an alert has ended, also when it was cancelled.
        self._alert_ended = ChangeNotifier()
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

    # A command, from its acceptance to its result

    def schedule(self, row: CommandRow) -> None:
        """Starts the timer of an urgent command; the time counts from its acceptance.

        If the fallback knows the command already, its row in the queue is brought up to date.
        """
        if row.id in self._commands:
            self._update_in_queue(row.id)
            return
        if not self.is_wanted(row):
            return
        age = max(0, now_ms() - row.accepted) / 1000
        seconds_left = max(0.0, self.after_seconds - age)
        if row.fallback == FALLBACK_STARTED:  # a process before this one has begun the alert
            seconds_left = 0.0
        timer = asyncio.get_running_loop().call_later(seconds_left, self._on_timer, row)
        self._commands[row.id] = UrgentCommand(stage=Stage.SCHEDULED, timer=timer)

    def is_wanted(self, row: CommandRow) -> bool:
        """Returns whether the fallback is to send this command if WeChat does not take it."""
        if not row.command.urgent or not self._ways.has_any or has_ended(row.fallback):
            return False
        known = self._commands.get(row.id)
        return known is None or known.row_state is None

    def is_pending(self, row_id: int) -> bool:
        """Returns whether a command waits for its alert, or the alert is being sent."""
        known = self._commands.get(row_id)
        return known is not None and known.stage in (Stage.DUE, Stage.SENDING)

    def replaces_wechat(self, row: CommandRow) -> bool:
        """Returns whether a command ends because the fallback has sent it, and WeChat needs not.

        Commands of `deliver_due` end for another reason, which their result says.
        """
        if not has_ended(row.fallback) or row.command.also_wechat:
            return False
        known = self._commands.get(row.id)
        return known is None or not known.ends_with_owner

    def start_or_withdraw_alert(self, row: CommandRow, result: Result) -> bool:
        """Makes the alert of an urgent command due that ends with this result, or lets it have none.

        Returns whether the command waits for an alert now: that of one that WeChat took after all may be
        being sent already. If WeChat gave it no id, perhaps nobody sees it, as with a muted account.
        """
        row = self._waiting.find(row.id) or row
        if is_surely_sent(result) or not self.is_wanted(row):
            self._withdraw(row.id)
        elif not self.is_pending(row.id):
            self._make_due(row)
        return self.is_pending(row.id)

    def complete_result(self, row: CommandRow, result: Result) -> Result:
        """Returns the result of an urgent command that ends now, with the outcome of its fallback."""
        self._commands.pop(row.id, None)
        current = self._waiting.find(row.id) or row
        return with_fallback(result, current.fallback, self._ctx.language)

    async def deliver_due(self) -> None:
        """Sends all waiting urgent commands now; the caller finishes them after that. Raises `StoreError`."""
        rows = [row for row in await self._journal.commands.list_urgent() if self.is_wanted(row)]
        for row in rows:
            if not self.is_pending(row.id):
                self._make_due(row)
            self._commands[row.id].ends_with_owner = True
        seen_count = self._alert_ended.count
        while any(self.is_pending(row.id) for row in rows):
            seen_count = await self._alert_ended.wait(seen_count)

    def update_queues(self) -> None:
        """Brings the rows in the queues up to date that were read from the journal before their alert."""
        for row_id in self._commands:
            self._update_in_queue(row_id)

    def _update_in_queue(self, row_id: int) -> None:
        state = self._commands[row_id].row_state
        row = self._waiting.find(row_id)
        if state is not None and row is not None and row.fallback != state:
            self._waiting.change(row_id, fallback=state)

    def _on_timer(self, row: CommandRow) -> None:
        self._make_due(self._waiting.find(row.id) or row)

    def _make_due(self, row: CommandRow) -> None:
        self._withdraw(row.id)
        self._commands[row.id] = UrgentCommand(stage=Stage.DUE)
        self._due.add(row)
        # Not at once, but in the next turn of the loop: many that come due together become one summary.
        asyncio.get_running_loop().call_soon(self._start_alerts)

    def _withdraw(self, row_id: int) -> None:
        """Lets a command have no alert; one that is being sent goes on."""
        known = self._commands.get(row_id)
        if known is None or known.stage not in (Stage.SCHEDULED, Stage.DUE):
            return
        if known.timer is not None:
            known.timer.cancel()
        self._due.discard(row_id)
        del self._commands[row_id]

    # Alerts

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
            for row in rows:
                self._commands[row.id].stage = Stage.SENDING
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
            for row in rows:  # one that has its result already is not in `before`
                self._commands[row.id].row_state = before.get(row.id, "")
            open_rows = [row for row in rows if row.id in before and not has_ended(before[row.id])]
            if open_rows:
                await self._send_alert(open_rows, before)
            self.update_queues()
        finally:
            for row in rows:
                self._end_alert_of(row.id)
            self._alert_ended.notify()
        self.delivered.emit()

    async def _send_alert(self, rows: Sequence[CommandRow], before: Mapping[int, str]) -> None:
        account, language = self._ctx.name, self._ctx.language
        if len(rows) == 1:
            attachment = await self._resolver.attachment_of(rows[0])
            alert = command_alert(rows[0], attachment, account, language)
        else:
            alert = summary_alert(rows, account, language)
        end = await self._ways.send(alert)
        log.info(
            "fallback used",
            commands=len(rows),
            command=rows[0].command_id,
            outcome=str(end.outcome),
            other=end.account or None,
        )
        states = {row.id: end.after(before[row.id]).state for row in rows}
        stored = await self._store_states(states)
        for row_id in stored:
            self._commands[row_id].row_state = states[row_id]

    def _end_alert_of(self, row_id: int) -> None:
        known = self._commands[row_id]
        known.stage = Stage.ENDED
        if known.row_state is None:  # the process stops: the begin of the alert is perhaps not stored
            del self._commands[row_id]

    async def _store_states(self, states: Mapping[int, str]) -> Mapping[int, str]:
        """Stores states by row id; returns those before, without those of commands that have their result."""
        return await retry_until_stored(lambda: self._journal.commands.set_fallback_states(states))

    # The end of a login, and of the process

    def report_login_end(self, reason: str) -> None:
        """Sends that the login has ended, once for each login in `LOGIN_ALERT_INTERVAL_SECONDS`.

        Only logins that end by themselves are reported: others are ended by a person, on the phone.
        """
        ctx = self._ctx
        login_id, now = ctx.registry.login_id, loop_time()
        if not self._ways.has_any or ctx.backend.capabilities.login_seconds is None:
            return
        if self._reported_login is not None:
            reported_id, reported_at = self._reported_login
            if reported_id == login_id and now - reported_at < LOGIN_ALERT_INTERVAL_SECONDS:
                return
        self._reported_login = (login_id, now)
        alert = login_end_alert(reason, ctx.settings.page_url, ctx.name, ctx.language)
        self._start(self._ways.send(alert))

    def stop(self) -> None:
        """Starts no further alert."""
        self._is_stopped = True
        for row_id in [*self._commands]:
            self._withdraw(row_id)
        if self._limit_timer is not None:
            self._limit_timer.cancel()

    def close(self) -> None:
        """Cancels the alerts that are being sent; they are repeated at the next start."""
        self.stop()
        for task in self.deliveries:
            task.cancel()
