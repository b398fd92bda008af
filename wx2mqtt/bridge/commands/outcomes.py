"""What follows from the results of commands: counts, lines of the log, and to whom nothing was sent.

    the last command for wife was not sent      ->  a line of the log; wife is *failing* (`failing_users`)
    a later one is sent, or a day is over       ->  she is not any more

Who waits for a result gets it here, too (`awaiting`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from wx2mqtt.aio import cancel_and_wait
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import now_ms
from wx2mqtt.limits import MAX_FACT_CHARACTERS
from wx2mqtt.model import Result, Status, is_own_text
from wx2mqtt.store.journal_retention import DAY_MS
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

# Users that are remembered as failing; of more, those that failed last. Anybody may publish to any name.
MAX_FAILING_USERS = 1000

# A publisher must not fill the disk with the log: so many lines in a period, then one with the rest's number.
MAX_LOG_LINES = 30
LOG_PERIOD_SECONDS = 60.0


class CommandOutcomes:
    """How the commands of one account ended. `record` is called once for each, after its result is stored.

    `failing_users` is the problem `COMMANDS_FAILED` of the health. Texts of the bridge's own and fallbacks of
    other accounts' commands are counted and logged, and make nobody failing. How many commands were not sent
    (`failed_today`) is counted from rows, by `store/journal_retention.py`.
    """

    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx
        #: By command id: those who wait for its result (`awaiting`).
        self._waiters: dict[str, list[asyncio.Future[Result]]] = {}
        self._failure_log = FailureLog(ctx.name)
        #: When the last command of a user was not sent, in ms; who failed last is last.
        self._failed_at: dict[str, int] = {}
        #: Whether `failing_users` has added those who were failing when the bridge started.
        self._is_loaded = False
        #: Until then: users to whom something was sent since the start, who are not failing any more.
        self._sent_to: set[str] = set()

    def record(self, kind: str, result: Result, *, is_fallback: bool = False) -> None:
        """Records that a command of this kind has ended.

        `is_fallback` says that it was the fallback of another account's command.
        """
        is_sent = result.status is Status.SENT
        self._ctx.counters.results[str(result.status), result.code] += 1
        if is_sent:
            self._ctx.counters.sent[kind] += 1
        else:
            self._failure_log.write(result)
        for waiter in self._waiters.get(result.id, ()):
            if not waiter.done():
                waiter.set_result(result)
        if is_sent and self._is_loaded and not self._failed_at:
            return  # nobody is failing
        if is_fallback or is_own_text(result.id):
            return
        if is_sent:
            self._end_failing(shortened(result.user))
        else:
            self._begin_failing(shortened(result.user))

    @contextmanager
    def awaiting(self, command_id: str) -> Iterator[asyncio.Future[Result]]:
        """Yields what gets the result of a command; begin the block before the command is stored."""
        finished: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(command_id, [])
        waiters.append(finished)
        try:
            yield finished
        finally:
            waiters.remove(finished)
            if not waiters:
                self._waiters.pop(command_id, None)

    async def failing_users(self) -> tuple[str, ...]:
        """Returns those to whom the last command of this day was not sent. Raises `StoreError`, at first."""
        if not self._is_loaded:
            stored = await self._ctx.journal.commands.list_failing_users(now_ms() - DAY_MS, MAX_FAILING_USERS)
            loaded = {shortened(user): failed_at for user, failed_at in stored if user not in self._sent_to}
            self._failed_at = {**loaded, **self._failed_at}
            self._is_loaded = True
            self._sent_to.clear()
        day_ago = now_ms() - DAY_MS
        self._failed_at = {user: time for user, time in self._failed_at.items() if time > day_ago}
        return tuple(self._failed_at)

    def _begin_failing(self, user: str) -> None:
        is_first = not self._failed_at
        self._failed_at.pop(user, None)  # so that it is the last one when it is added
        self._failed_at[user] = now_ms()
        if len(self._failed_at) > MAX_FAILING_USERS:
            del self._failed_at[next(iter(self._failed_at))]
        if is_first:
            self._ctx.signals.health_changed.emit()

    def _end_failing(self, user: str) -> None:
        if not self._is_loaded:
            self._sent_to.add(user)
        was_failing = self._failed_at.pop(user, None) is not None
        if was_failing and not self._failed_at:
            self._ctx.signals.health_changed.emit()

    def close(self) -> None:
        """Writes to the log what it still has to say; nothing may be recorded afterwards."""
        self._failure_log.end_period()


@frozen
class ResultWait:
    """How long somebody waits for the result of a command (`CommandOutcomes.awaiting`)."""

    seconds: float
    #: Ends the wait when it is set.
    interrupt: asyncio.Event

    async def result_of(self, finished: asyncio.Future[Result]) -> Result | None:
        """Returns the result; None when the wait is over before."""
        interrupted = asyncio.create_task(self.interrupt.wait())
        waits: list[asyncio.Future[Any]] = [finished, interrupted]
        try:
            await asyncio.wait(waits, timeout=self.seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait([interrupted])
        return finished.result() if finished.done() else None


class FailureLog:
    """Writes a line for each command that was not sent; of too many in a period only their number."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def write(self, result: Result) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOG_PERIOD_SECONDS, self.end_period)
        self._count += 1
        if self._count <= MAX_LOG_LINES:
            log.warning(
                "a command was not sent",
                account=self._account,
                id=result.id,
                user=shortened(result.user),
                status=str(result.status),
                code=result.code,
                reason=result.message,
                **({"sender": result.sender} if result.sender else {}),
            )

    def end_period(self) -> None:
        """Writes how many commands have no line, if any. The next command begins a period."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        left_out = self._count - MAX_LOG_LINES
        self._count = 0
        if left_out > 0:
            log.warning(
                "more commands were not sent; their lines are left out",
                account=self._account,
                count=left_out,
                see="wx2mqtt journal list",
            )


def shortened(user: str) -> str:
    """Returns a user; of one that no person can have the beginning: a topic may have 65,535 bytes."""
    return user if len(user) <= MAX_FACT_CHARACTERS else f"{user[:MAX_FACT_CHARACTERS]}…"
