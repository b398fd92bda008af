"""Commands that come over HTTP, from the programs of `web.senders`.

    POST /send/wife "home at six"  ->  validate  ->  one commit, with deliveries of the broker  ->  202

The command is the same as from MQTT: one validator, one journal, one result. Only what is refused differs:
the caller is told so, and nothing is stored or published. Tokens, rates and forms of requests are in
`web/senders/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace

from wx2mqtt.bridge.commands.intake import CommandIntake
from wx2mqtt.bridge.commands.outcomes import CommandOutcomes, ResultWait
from wx2mqtt.bridge.commands.validation import CommandValidator
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand, Wx2MqttError
from wx2mqtt.i18n.bridge import bridge_text, rejection_text
from wx2mqtt.model import Blob, Command, Json, Result, Status
from wx2mqtt.mqtt.payloads import result_body
from wx2mqtt.store.command_records import AcceptOutcome, CommandRow, NewCommand
from wx2mqtt.values import frozen

# So long a webhook with the same content is a repetition: monitors report again what is not resolved.
REPETITION_SECONDS = 600


class CallRefused(Wx2MqttError):
    """The call became no command; `code` is that of a result, the message a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@frozen
class AcceptedCall:
    """A command that is stored."""

    command_id: str
    #: The number of its row in the journal.
    row_id: int
    #: In milliseconds.
    time: int
    #: As on `result/<user>`; None where there is none yet.
    result: Mapping[str, Json] | None


class CommandCalls:
    """The calls of one account: the commands of programs, each with an answer."""

    def __init__(
        self,
        ctx: AccountContext,
        validator: CommandValidator,
        intake: CommandIntake,
        outcomes: CommandOutcomes,
    ) -> None:
        self._ctx = ctx
        self._validator = validator
        self._attachment_intake = intake.attachment_intake
        self._attachments = intake.attachment_intake.attachments
        self._intake = intake
        self._outcomes = outcomes
        #: Without it two equal webhooks at once would both be the first.
        self._webhook_lock = asyncio.Lock()

    def check_upload(self, kind: str, size: int) -> None:
        """Refuses the file of a call for its size, before it comes. Raises `CallRefused`."""
        try:
            self._attachments.check_upload(kind, size)
        except BadCommand as bad:
            raise self._refusal_of(bad) from None

    async def store_upload(self, kind: str, chunks: AsyncGenerator[bytes, None]) -> Blob:
        """Stores the file of a call; who makes no command of it calls `release`. Raises `CallRefused`."""
        try:
            return await self._attachments.store_upload(kind, chunks)
        except BadCommand as bad:
            raise self._refusal_of(bad) from None

    def _refusal_of(self, bad: BadCommand) -> CallRefused:
        return CallRefused(bad.code, rejection_text(self._ctx.language, bad))

    async def release(self, upload: Blob) -> None:
        """Deletes the file of a call that became no command."""
        await self._attachments.release(upload, never_referenced=True)

    async def accept(
        self,
        user: str,
        fields: Mapping[str, Json],
        sender: str,
        upload: Blob | None,
        wait: ResultWait | None = None,
        content: str = "",
    ) -> AcceptedCall:
        """Accepts a command; with `wait` waits for its result.

        `content` is a hash of what a webhook reported, else empty. What a sender repeats is not accepted
        again: the answer is that of the first command (`_find_first`).
        Raises `CallRefused`, and `StoreError` where the store does not take it: nothing is stored then.
        """
        if not content:
            new = await self._validator.validate_fields(user, fields, sender=sender, upload=upload)
            return await self._accept(new, wait)
        async with self._webhook_lock:
            new = await self._validator.validate_fields(user, fields, sender=sender, upload=upload)
            command = replace(new.command, content=content)
            first = await self._find_first(command)
            return first or await self._accept(replace(new, command=command), wait)

    async def _find_first(self, command: Command) -> AcceptedCall | None:
        """Returns the command of which this one is a repetition, None where it is none.

        One that ended in anything but `sent`, by WeChat or by the fallback, does not count.
        """
        since = now_ms() - REPETITION_SECONDS * 1000
        rows = await self._ctx.journal.commands.list_with_content(command.sender, command.content, since)
        for row in rows:
            is_lost = row.result is not None and not _has_arrived(row.result)
            if row.command.user == command.user and not is_lost:
                return self._accepted_call(row, row.result)
        return None

    async def _accept(self, new: NewCommand, wait: ResultWait | None) -> AcceptedCall:
        new = await self._attachment_intake.complete_call(new)
        if new.result is not None:
            raise CallRefused(new.result.code, new.result.message)
        with self._outcomes.awaiting(new.command_id) as finished:
            accepted = await self._intake.accept_call(new)
            row = accepted.row
            if accepted.outcome is AcceptOutcome.REUSED or row is None:
                raise CallRefused("id_reused", bridge_text(self._ctx.language, "id_reused"))
            result = row.result
            if result is None and wait is not None:
                result = await wait.result_of(finished)
        return self._accepted_call(row, result)

    def _accepted_call(self, row: CommandRow, result: Result | None) -> AcceptedCall:
        return AcceptedCall(
            command_id=row.command_id,
            row_id=row.id,
            time=row.accepted,
            result=None if result is None else result_body(result, self._ctx.name),
        )

    async def count_unfinished(self, sender: str) -> int:
        """Returns how many commands of a sender have no result yet. Raises `StoreError`."""
        return await self._ctx.journal.commands.count_waiting_of(sender)


def _has_arrived(result: Result) -> bool:
    return result.status is Status.SENT or result.fallback == str(Status.SENT)
