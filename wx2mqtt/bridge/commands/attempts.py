"""Gets the files of urls before their commands are tried; nothing of an attempt has begun by then.

One attempt: what WeChat is asked, and what it answers; echoes of it are known for what they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import structlog

from wx2mqtt.bridge.commands.completion import CommandCompletion
from wx2mqtt.bridge.commands.queues import ChatQueue, ChatQueues
from wx2mqtt.bridge.commands.rate_limit import back_off
from wx2mqtt.bridge.commands.resolver import BackendRequest, CommandResolver
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.echo import EchoFilter
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BackendError, BadCommand, OutcomeUnknown, StoreError
from wx2mqtt.external.http import TemporarilyUnavailable, TransferBroken
from wx2mqtt.model import ActionResult, Draft, Recall, Receipt
from wx2mqtt.store.commands import AlreadySettled
from wx2mqtt.store.records import CommandRow

log = structlog.get_logger(__name__)


MAX_CONCURRENT_FETCHES = 8


MAX_TRANSFER_ATTEMPTS = 3  # of a url whose answers break off


class UrlPrefetch:
    """For the lanes of one account."""

    def __init__(self, resolver: CommandResolver, queues: ChatQueues, completion: CommandCompletion) -> None:
        self._resolver = resolver
        self._queues = queues
        self._completion = completion
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_FETCHES)

    async def fetch_first(self, queue: ChatQueue, seconds: float) -> BadCommand | None:
        """Get the file of the first row, in at most so many seconds; returns why it is never to be had."""
        row = queue.rows[0]
        try:
            async with self._slots:
                fetched = await self._resolver.fetch(row, seconds)
        except AlreadySettled:
            await self._completion.finish_already_settled(row)
        except TemporarilyUnavailable as trouble:
            queue.record_fetch_failure(row.id, trouble)
            if isinstance(trouble, TransferBroken) and queue.fetch_failures >= MAX_TRANSFER_ATTEMPTS:
                return trouble
            back_off(queue)
        except BadCommand as bad:
            return bad
        except StoreError as trouble:
            log.error("store does not take a file yet", problem=str(trouble))
            back_off(queue)
        else:
            self._queues.replace_row(fetched)
            queue.backoff = queue.backoff.reset()
        return None


UNCONFIRMED_WARNING_COUNT = (
    3  # messages in a row that WeChat gave no number: perhaps nobody sees them (ilink 10.1.5)
)


AnswerT = TypeVar("AnswerT")


class SendAttempts:
    """Asks WeChat for one account. Never raises but `BackendError` of what certainly delivers nothing."""

    def __init__(self, ctx: AccountContext, resolver: CommandResolver, echoes: EchoFilter) -> None:
        self._journal = ctx.journal
        self._backend = ctx.backend
        self._unconfirmed_in_a_row = 0
        self._resolver = resolver
        self._echoes = echoes

    @property
    def is_muted(self) -> bool:
        """Whether WeChat takes messages and perhaps shows them to nobody."""
        return (
            self._backend.capabilities.has_reply_window
            and self._unconfirmed_in_a_row >= UNCONFIRMED_WARNING_COUNT
        )

    async def recover(self) -> None:
        """What the last life knew of that. Raises `StoreError`."""
        codes = (
            await self._journal.last_result_codes(UNCONFIRMED_WARNING_COUNT)
            if self._backend.capabilities.has_reply_window
            else []
        )
        self._unconfirmed_in_a_row = next((at for at, code in enumerate(codes) if code == "ok"), len(codes))

    async def prepare(self, request: BackendRequest) -> None:
        """What takes its time and delivers nothing: a file is uploaded. Raises `BackendError`."""
        if isinstance(request, Draft) and request.attachment is not None:
            await self._backend.prepare(request)

    async def attempt(
        self, request: BackendRequest, row: CommandRow
    ) -> Receipt | ActionResult | BackendError:
        """Ask once. The key is the same on each attempt of the same message."""
        key = self._resolver.send_key(row)
        if isinstance(request, Recall):
            return await self._outcome_of(self._backend.perform(request, key), row)
        ended = self._echoes.mark_started(request.chat, request.kind)
        message_id = ""
        try:
            outcome = await self._outcome_of(self._backend.send(request, key), row)
            if isinstance(outcome, Receipt):
                message_id = outcome.message_id
                self._unconfirmed_in_a_row = 0 if message_id else self._unconfirmed_in_a_row + 1
        finally:
            self._echoes.mark_finished(request.chat, request.kind, ended, message_id)
        return outcome

    async def _outcome_of(self, request: Awaitable[AnswerT], row: CommandRow) -> AnswerT | BackendError:
        try:
            return await request
        except BackendError as error:
            return error
        except Exception:  # a fault of ours: whether the request was written is not known
            log.exception("send failed", command=row.command_id)
            return OutcomeUnknown()

    def expect_late_echo(self, row: CommandRow) -> None:
        """The echo of an attempt that nobody answered may still come, with a time of about then."""
        chat, seen = self._resolver.chat_of(row), self._resolver.expected_echo(row)
        if chat is not None and seen is not None:
            ended = row.result.time if row.result else now_ms()
            self._echoes.add_unanswered(chat, *seen, row.accepted, ended)
