"""Makes single attempts to send a message or to recall one, and tells the echo filter of each.

`sender.py` decides when an attempt is made and what follows from its outcome. A file is fetched and uploaded
before (`file_preparation.py`).
"""

from __future__ import annotations

from wx2mqtt.bridge.commands.combined_messages import by_message
from wx2mqtt.bridge.commands.resolver import BackendRequest, CommandResolver
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.echo import EchoFilter
from wx2mqtt.bridge.wechat_calls import WeChatCalls
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BackendError, OutcomeUnknown
from wx2mqtt.model import ActionResult, Draft, Kind, Receipt, combined_text
from wx2mqtt.store.command_records import CommandRow

# After so many messages in a row without a message id the recipients may not see them (ilink 10.1.5).
UNCONFIRMED_WARNING_COUNT = 3

# No login delivers the echo of a sent message later than this.
ECHO_DEADLINE_MS = 86_400_000


class SendAttempts:
    """Makes the attempts of one account."""

    def __init__(
        self, ctx: AccountContext, calls: WeChatCalls, resolver: CommandResolver, echoes: EchoFilter
    ) -> None:
        self._journal = ctx.journal
        self._has_reply_window = ctx.backend.capabilities.has_reply_window
        self._calls = calls
        self._resolver = resolver
        self._echoes = echoes
        self._unconfirmed_in_a_row = 0

    async def attempt(
        self, request: BackendRequest, row: CommandRow
    ) -> Receipt | ActionResult | BackendError:
        """Makes one attempt at a command and returns its outcome; errors are returned, not raised.

        All attempts of the same message have the same key, by which WeChat drops duplicates.
        """
        key = self._resolver.send_key(row)
        if not isinstance(request, Draft):
            return await self._calls.perform(request, key)
        started_at = now_ms()
        ended = self._echoes.mark_started(request.chat, request.kind)
        message_id = ""
        try:
            outcome = await self._calls.send(request, key)
            if isinstance(outcome, Receipt):
                message_id = outcome.message_id or ""
                self._unconfirmed_in_a_row = self._unconfirmed_in_a_row + 1 if is_unconfirmed(outcome) else 0
            if isinstance(outcome, OutcomeUnknown) or is_unconfirmed(outcome):
                size = row.blob.size if row.blob else None
                self._echoes.add_unanswered(
                    request.chat, request.kind, request.text, started_at, now_ms(), size=size
                )
        finally:
            self._echoes.mark_finished(request.chat, request.kind, ended, message_id)
        return outcome

    @property
    def is_muted(self) -> bool:
        """Whether WeChat accepts messages that the recipients may not see."""
        return self._has_reply_window and self._unconfirmed_in_a_row >= UNCONFIRMED_WARNING_COUNT

    # At the start of the process

    async def recover(self) -> None:
        """Expects the echoes of the previous process, and restores `is_muted`. Raises `StoreError`."""
        unanswered = await self._journal.commands.list_unanswered(now_ms() - ECHO_DEADLINE_MS)
        for members in by_message(unanswered):
            row = members[0]
            chat = self._resolver.chat_of(row)
            echo = self._resolver.expected_echo(row)
            if len(members) > 1:
                echo = Kind.TEXT, combined_text(member.command.text for member in members)
            if chat is None or echo is None:
                continue
            # When an attempt was made is not stored: it was between acceptance and result
            ended = row.result.time if row.result else now_ms()
            size = row.blob.size if row.blob else None
            # `unanswered` lacks the last attempt of an uncertain command. A part that was sent took one, too
            for _ in range(row.attempts - row.parts_sent):
                self._echoes.add_unanswered(chat, *echo, row.accepted, ended, size=size)
        if not self._has_reply_window:
            return
        codes = await self._journal.commands.last_result_codes(UNCONFIRMED_WARNING_COUNT)
        unconfirmed = (index for index, code in enumerate(codes) if code == "ok")
        self._unconfirmed_in_a_row = next(unconfirmed, len(codes))


def is_unconfirmed(outcome: Receipt | ActionResult | BackendError) -> bool:
    """Returns whether WeChat took a message without the id that it otherwise gives."""
    return isinstance(outcome, Receipt) and outcome.message_id == ""
