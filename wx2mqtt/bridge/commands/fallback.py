"""Sends urgent commands by apprise when WeChat did not accept them within `after_seconds`, each once.

1. The timer of a command ends, or the command ends without WeChat: it is *due*.
2. An alert goes out for it, or one summary for many (`AlertQueue`).
3. Its queue ends it, with the outcome in its result. The chat goes on meanwhile (`ChatQueue.set_ending`).

An alarm twice is better than none. The end of the login is one alert as well (`report_login_end`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace

import structlog

from wx2mqtt.aio import ChangeNotifier, Signal, retry_until_stored
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.external.alerts import Alert, AlertOutcome, send_alert
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Result, Status
from wx2mqtt.settings.schema import Fallback
from wx2mqtt.store.command_records import CommandRow, Recipient

log = structlog.get_logger(__name__)

# The state of the fallback of a command, as it is stored: empty before it is needed, then this, from before
# the alert is sent (after a crash it is sent again, and ends `uncertain`), then the outcome. Of a summary the
# outcome has the number of its commands: `failed 17`.
FALLBACK_STARTED = "begun"

# Alerts about the end of one and the same login are so far apart: WeChat may take it again and end it again.
LOGIN_ALERT_INTERVAL_SECONDS = 86_400.0

# The largest number of alerts on their way; each takes at most `ALERT_TIMEOUT_SECONDS`.
MAX_CONCURRENT_ALERTS = 4

# A text message may cost money, and a phone that does not stop ringing is put away.
MAX_ALERTS_PER_MINUTE = 10
PERIOD_SECONDS = 60.0

# Of a summary: some services cut longer texts. It names each command by the beginning of its text.
MAX_SUMMARY_CHARACTERS = 1000
SUMMARY_LINE_CHARACTERS = 100

_MESSAGE_KEYS = {
    AlertOutcome.SENT: "fallback_sent",
    AlertOutcome.FAILED: "fallback_failed",
    AlertOutcome.UNCERTAIN: "fallback_uncertain",
}


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
        if not (self._rules.urls and ends_by_itself) or now - alerted_at < LOGIN_ALERT_INTERVAL_SECONDS:
            return
        self._alerted_logins = {ctx.registry.login_id: now}
        page = ctx.settings.page_url
        message_key = "login_ended" if page else "login_ended_no_page"
        body = bridge_text(ctx.language, message_key, why=reason.removesuffix("."), page=page)
        title = bridge_text(ctx.language, "login_ended_title", account=ctx.name)
        self._start(self._send(Alert(title=title, body=body)))

    # What becomes of a command

    def is_due(self, row: CommandRow) -> bool:
        """Returns whether the fallback is to send this command, and has not yet."""
        is_open = row.id not in self._ended and not _has_ended(row.fallback)
        return row.command.urgent and bool(self._rules.urls) and is_open

    def is_pending(self, row_id: int) -> bool:
        """Returns whether a command waits for its alert, or the alert is on its way."""
        return row_id in self._due or row_id in self._running

    def replaces_wechat(self, row: CommandRow) -> bool:
        """Returns whether a command ends because the fallback sent it, and not by WeChat as well.

        A command that `deliver_due` sends does not: the reason why it ends is another one.
        """
        is_sent = _has_ended(row.fallback) and not row.command.also_wechat
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
                outcome = await self._send(await self._alert_of(current))
                first_id = current[0].command_id
                log.info("fallback used", commands=len(current), command=first_id, outcome=str(outcome))
                states = {}
                for row in current:
                    is_repeated = before[row.id] == FALLBACK_STARTED  # an earlier process may have sent it
                    state = AlertOutcome.UNCERTAIN if is_repeated else outcome
                    states[row.id] = str(state) if len(current) == 1 else f"{state} {len(current)}"
                stored = await self._store_states(states)
                self._ended |= {row_id: state for row_id, state in states.items() if row_id in stored}
            self.update_queues()
        finally:
            self._running.difference_update(row.id for row in rows)
            self._progress.notify()
        self.delivered.emit()

    async def _alert_of(self, rows: Sequence[CommandRow]) -> Alert:
        """Returns the alert for a command, or a summary: how many they are, and the first and the last."""
        ctx = self._ctx
        if len(rows) == 1:
            title = bridge_text(ctx.language, "fallback_title", account=ctx.name, user=rows[0].command.user)
            return Alert(title=title, body=alert_text(rows[0]), file=await self._resolver.file_of(rows[0]))
        lines = summary_lines(rows)
        if len(lines) < len(rows):
            lines.append(bridge_text(ctx.language, "fallback_summary_rest", count=len(rows) - len(lines)))
        title = bridge_text(ctx.language, "fallback_summary_title", account=ctx.name, count=len(rows))
        return Alert(title=title, body="\n".join(lines))

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


def _has_ended(state: str) -> bool:
    return state not in ("", FALLBACK_STARTED)


def with_fallback(result: Result, state: str, language: Language) -> Result:
    """Returns a result that says how the fallback ended; the result itself while it has not."""
    if not _has_ended(state):
        return result
    outcome, _, count = state.partition(" ")
    message = f"{result.message}; {bridge_text(language, _MESSAGE_KEYS[AlertOutcome(outcome)])}"
    if not count:
        return replace(result, fallback=outcome, message=message)
    message += "; " + bridge_text(language, "fallback_summarized", count=int(count))
    return replace(result, fallback=outcome, summarized=int(count), message=message)


class AlertQueue:
    """The urgent commands of one account that are due and not begun. `now` is in seconds.

        5 commands come due at once: one alert each. 20 come due at once: one summary of them all, since they
        are more than a minute allows.

    Alerts go to each chat in turn, and in a chat the oldest first.
    """

    def __init__(self) -> None:
        self._by_chat: OrderedDict[Recipient, deque[CommandRow]] = OrderedDict()  # the next chat first
        self._ids: set[int] = set()
        self._alerted_at: deque[float] = deque()  # within the last minute, summaries among them

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, row_id: int) -> bool:
        return row_id in self._ids

    def add(self, row: CommandRow) -> None:
        self._ids.add(row.id)
        self._by_chat.setdefault(row.recipient, deque()).append(row)

    def discard(self, row_id: int) -> None:
        self._ids.discard(row_id)

    def seconds_until_allowed(self, now: float) -> float:
        """Returns the seconds until the limit of a minute allows another alert; 0 if it does."""
        while self._alerted_at and self._alerted_at[0] <= now - PERIOD_SECONDS:
            self._alerted_at.popleft()
        if len(self._alerted_at) < MAX_ALERTS_PER_MINUTE:
            return 0.0
        return self._alerted_at[0] + PERIOD_SECONDS - now

    def take(self, now: float) -> Sequence[CommandRow]:
        """Removes and returns the commands of an alert that is allowed now, several for a summary."""
        allowed_count = MAX_ALERTS_PER_MINUTE - len(self._alerted_at)
        self._alerted_at.append(now)
        if len(self) > allowed_count:
            return [*self._take_all()]
        return [next(self._take_all())]

    def _take_all(self) -> Iterator[CommandRow]:
        """Removes commands one by one, from each chat in turn."""
        while self._by_chat:
            chat, rows = self._by_chat.popitem(last=False)
            row = rows.popleft()
            if rows:
                self._by_chat[chat] = rows
            if row.id in self._ids:
                self._ids.remove(row.id)
                yield row


def summary_lines(rows: Sequence[CommandRow]) -> list[str]:
    """Returns lines that name as many of these commands as a summary has room for.

    They come by turns from the beginning and from the end, so that neither a flood before an alarm nor one
    behind it hides it.
    """
    lines: list[str] = []
    room = MAX_SUMMARY_CHARACTERS
    for number in range(len(rows)):
        row = rows[number // 2] if number % 2 == 0 else rows[-1 - number // 2]
        text = f"{row.command.user}: {alert_text(row)}"
        line = " ".join(text[: 2 * SUMMARY_LINE_CHARACTERS].split())  # it may be large
        if len(line) > SUMMARY_LINE_CHARACTERS:
            line = f"{line[: SUMMARY_LINE_CHARACTERS - 1]}…"
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    return lines


def alert_text(row: CommandRow) -> str:
    """Returns the text of a command; of a file what it is."""
    return row.command.text or f"[{row.command.kind}] {row.command.name}".rstrip()
