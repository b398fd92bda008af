"""Sends a command of another account as its fallback: as a command of this one, without a result topic.

    `home` asks to tell zhangsan "fire"  ->  a command `<id>~fallback`  ->  its result is the answer to `home`

A command that would have to wait fails at once, since `home`, the account that asks, has other ways. It has
one attempt. After a crash `home` asks again, and gets the result of the same command: nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from itertools import count

import structlog

from wx2mqtt.aio import ChangeNotifier, retry_until_stored
from wx2mqtt.bridge.commands.intake import CommandIntake
from wx2mqtt.bridge.commands.outcomes import ResultWait
from wx2mqtt.bridge.commands.results import final_result, is_surely_sent
from wx2mqtt.bridge.commands.sender import CommandSender
from wx2mqtt.bridge.commands.validation import CommandValidator
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.fallback_accounts import START_WAIT_SECONDS, FallbackMessage
from wx2mqtt.bridge.login_session import LoginSession
from wx2mqtt.errors import BadCommand
from wx2mqtt.external.alerts import ALERT_TIMEOUT_SECONDS, AlertOutcome
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Command, LoginState, Result, Status
from wx2mqtt.store.command_records import CommandRow, NewCommand
from wx2mqtt.store.records import OutboxBatch

log = structlog.get_logger(__name__)

# The attempt of such a command begins within this time; with a file after its upload.
TEXT_WAIT_SECONDS = 10.0
FILE_WAIT_SECONDS = ALERT_TIMEOUT_SECONDS

_FINGERPRINT_SEPARATOR = "\0"


class FallbackReceiver:
    """What other accounts ask of this one (`FallbackTarget`)."""

    def __init__(
        self,
        ctx: AccountContext,
        session: LoginSession,
        validator: CommandValidator,
        sender: CommandSender,
        intake: CommandIntake,
    ) -> None:
        self._ctx = ctx
        self._session = session
        self._validator = validator
        self._sender = sender
        self._intake = intake
        #: The ids of the commands that are being sent.
        self._ids_in_use: set[str] = set()
        self._login_changed = ChangeNotifier()
        self._stopped = asyncio.Event()

    async def deliver(self, user: str, message: FallbackMessage) -> AlertOutcome:
        """Sends a message and returns what became of it; takes about half a minute at most. Never raises.

        1. If the same was asked before a crash, the result of that command is the answer.
        2. If this account cannot send now, it fails at once. A login that is being resumed is waited for.
        3. The command is stored and sent, and its result awaited. If that takes too long, it is given up.
        """
        with self._ctx.in_log():
            try:
                return await self._deliver(user, message)
            except Exception:  # a bug here must not stop the account that asks: it has other ways
                log.exception("fallback for another account failed")
                return AlertOutcome.UNCERTAIN

    def on_login_changed(self) -> None:
        self._login_changed.notify()

    def on_answered(self, batch: OutboxBatch) -> None:
        """Publishes the answer to a question of this account that another one has sent (`FallbackTarget`)."""
        self._ctx.signals.outbox_changed.emit(batch)

    def stop(self) -> None:
        """Gives up what still waits; the attempts under way have ended."""
        self._stopped.set()
        self._login_changed.notify()

    async def _deliver(self, user: str, message: FallbackMessage) -> AlertOutcome:
        """Tries the ids `<id>~fallback`, `<id>~fallback-2`, … until one is free, or has this very message."""
        for number in count(1):
            suffix = "" if number == 1 else f"-{number}"
            command_id = f"{message.command_id}~fallback{suffix}"
            if command_id in self._ids_in_use:
                continue  # it is being sent for another account
            self._ids_in_use.add(command_id)
            try:
                outcome = await self._deliver_as(command_id, user, message)
            finally:
                self._ids_in_use.remove(command_id)
            if outcome is not None:
                return outcome
        raise AssertionError

    async def _deliver_as(self, command_id: str, user: str, message: FallbackMessage) -> AlertOutcome | None:
        """Sends the message as the command with this id; None where the id is used up."""
        fingerprint = _fingerprint_of(user, message)
        with self._sender.outcomes.awaiting(command_id) as finished:
            row = await retry_until_stored(lambda: self._ctx.journal.commands.get(command_id))
            was_asked_before = row is not None
            if row is None:
                if not await self._can_send():
                    log.info("asked as a fallback, and cannot send now", by=message.account)
                    return AlertOutcome.FAILED
                new = await self._new_command(command_id, fingerprint, user, message)
                accepted = await retry_until_stored(lambda: self._intake.accept_fallback(new))
                row = accepted.row
                assert row is not None
            if row.fingerprint != fingerprint:
                return None  # another command has this id
            wait = ResultWait(seconds=ALERT_TIMEOUT_SECONDS, interrupt=self._stopped)
            result = row.result or await wait.result_of(finished) or await self._give_up(row)
        if was_asked_before and result.status is Status.EXPIRED:
            return None  # its time was over before it was sent
        return _outcome_of(result)

    async def _can_send(self) -> bool:
        """Returns whether the account can send now; whether it can to this chat is found out later."""
        calls, session, stopped = self._sender.calls, self._session, self._stopped
        await self._login_changed.wait_until(
            lambda: calls.may_send or stopped.is_set() or session.login.state is not LoginState.STARTING,
            START_WAIT_SECONDS,
        )
        is_throttled = calls.throttled_seconds > TEXT_WAIT_SECONDS
        return calls.may_send_now and not is_throttled and not stopped.is_set()

    async def _new_command(
        self, command_id: str, fingerprint: str, user: str, message: FallbackMessage
    ) -> NewCommand:
        """Returns the command: it neither waits for a window nor has a fallback of its own."""
        command = Command(
            user=user,
            id=command_id,
            kind=message.kind,
            text=message.text,
            name=message.name,
            markdown=message.markdown and self._ctx.backend.capabilities.has_markdown,
            ttl=TEXT_WAIT_SECONDS if message.blob is None else FILE_WAIT_SECONDS,
            hold=False,
            priority="high",
        )
        if message.question is not None:
            command = replace(
                command,
                buttons=message.question.buttons,
                buttons_for=message.question.buttons_for,
                buttons_from=message.question.buttons_from,
                asked_by=message.question.asked_by,
            )
        return await self._validator.validate_fallback(command, message.account, fingerprint, message.blob)

    async def _give_up(self, row: CommandRow) -> Result:
        """Ends a command that was not sent in time; one that WeChat may have is in doubt, and ends later."""
        current = await retry_until_stored(lambda: self._ctx.journal.commands.get(row.command_id)) or row
        if current.result is not None:
            return current.result
        sentence = bridge_text(self._ctx.language, "fallback_too_late")
        result = final_result(current, Status.FAILED, "expired", sentence)
        in_doubt = final_result(current, Status.UNCERTAIN, "no_answer", sentence)
        if current.unanswered:
            return in_doubt
        try:
            await retry_until_stored(lambda: self._ctx.journal.commands.drop(row.command_id, result, ()))
        except BadCommand:
            return in_doubt
        self._sender.remove(current, result)
        return result


def _fingerprint_of(user: str, message: FallbackMessage) -> str:
    parts = (message.account, message.fingerprint, user)
    return hashlib.sha256(_FINGERPRINT_SEPARATOR.join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _outcome_of(result: Result) -> AlertOutcome:
    """Returns what a result means for the account that asks."""
    if is_surely_sent(result):
        return AlertOutcome.SENT
    if result.status in (Status.SENT, Status.UNCERTAIN):
        return AlertOutcome.UNCERTAIN
    return AlertOutcome.FAILED
