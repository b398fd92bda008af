"""Lets commands wait while the reply window of their recipient is closed (iLink).

1. `sender.py` finds the window closed and calls `begin`: the journal stores that the commands wait. They get
   the ttl `hold.ttl` unless they have their own, and are announced by `event/held`, once each.
2. What has `hold: false`, or is too much, is given up (`find_impatient`, `find_excess`).
3. When the recipient has written, the window opens, and they are sent, the most important one first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.commands.chat_queue import ChatQueue, is_important
from wx2mqtt.bridge.commands.resolver import AnyCommand, CommandResolver
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Json, PersonId, ReplyWindow
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.values import frozen

# The only reason for which a window opens without a message of the recipient.
RATE_LIMITED = "rate_limited"

# The reason for which an open window is closed to commands that are not important: its last messages are
# reserved (`ilink.reserve`).
RESERVED = "reserved"

# The same to a file with a caption: the window takes fewer messages than both need.
TOO_FEW_LEFT = "too_few_left"


@frozen
class WindowReason:
    """Why a window is closed."""

    #: The text that says why.
    text_key: str
    #: The text that says what opens it.
    hint_key: str
    #: The code of the result of a command that was not sent.
    code: str = "window_closed"


# By `ReplyWindow.reason`.
WINDOW_REASONS = {
    "never_wrote": WindowReason(text_key="shut_never_wrote", hint_key="hint_never_wrote"),
    "new_binding": WindowReason(text_key="shut_new_binding", hint_key="hint_new_binding"),
    "too_long_ago": WindowReason(text_key="shut_too_long_ago", hint_key="hint_too_long_ago"),
    "quota_used": WindowReason(text_key="shut_quota_used", hint_key="hint_quota_used", code="quota_used"),
    RESERVED: WindowReason(text_key="shut_reserved", hint_key="hint_reserved", code="quota_used"),
    TOO_FEW_LEFT: WindowReason(text_key="shut_too_few_left", hint_key="hint_too_few_left", code="quota_used"),
    RATE_LIMITED: WindowReason(text_key="shut_rate_limited", hint_key="hint_rate_limited", code=RATE_LIMITED),
}


class WindowWait:
    """The commands of one account that wait for a reply window."""

    def __init__(
        self,
        ctx: AccountContext,
        resolver: CommandResolver,
        waiting: WaitingCommands,
        results: ResultPublications,
    ) -> None:
        self._ctx = ctx
        self._backend = ctx.backend
        self._resolver = resolver
        self._waiting = waiting
        self._results = results

    # The window

    def window_of(self, command: AnyCommand) -> ReplyWindow | None:
        """Returns the reply window of the recipient; None without one."""
        if not self._backend.capabilities.has_reply_window:
            return None
        chat = self._resolver.chat_of(command)
        return None if chat is None else self._backend.reply_window(chat)

    def closed_window(self, command: AnyCommand) -> ReplyWindow | None:
        """Returns the reply window of the recipient while it is closed to this command, else None."""
        window = self.window_of(command)
        if window is None or not window.open:
            return window
        left, needed = self.messages_left(command), self._resolver.messages_needed(command)
        if needed > 1 and left is not None and left < needed:
            return replace(window, open=False, until=None, reason=TOO_FEW_LEFT)
        if is_important(command) or not self.reserved(window) or left:
            return None
        return replace(window, open=False, until=None, reason=RESERVED)

    def messages_left(self, command: AnyCommand) -> int | None:
        """Returns how many messages the window takes for commands such as this one; None if unknown."""
        window = self.window_of(command)
        if window is None or window.remaining is None:
            return None
        return window.remaining - (0 if is_important(command) else self.reserved(window))

    def reserved(self, window: ReplyWindow) -> int:
        """Returns how many of the messages that are left are reserved."""
        return min(self._ctx.settings.account.ilink.reserve, window.remaining or 0)

    # The commands that wait for it

    @property
    def count(self) -> int | None:
        """Number of commands that wait; None for a backend without reply windows."""
        if not self._backend.capabilities.has_reply_window:
            return None
        return sum(queue.window_count for queue in self._waiting.queues())

    def count_of(self, person: PersonId) -> int:
        return self._waiting.window_count_of(person)

    def find_new(self, queue: ChatQueue) -> list[CommandRow]:
        """Returns the commands of a chat that may wait for its window, and do not yet."""
        rows = queue.in_order(queue.no_window_ids)
        return [row for row in rows if row.command.hold and row.id != queue.begun_id]

    async def begin(self, queue: ChatQueue, rows: Sequence[CommandRow], window: ReplyWindow) -> None:
        rows = [replace(row, window_reason=window.reason, expires=self._expires_at(row)) for row in rows]
        changes = [(row.id, row.window_reason, row.expires or 0) for row in rows]
        notices = []
        for row in rows:
            user = row.command.user
            fields: dict[str, Json] = {
                "command_id": row.command_id,
                "until": rfc3339(row.expires or 0),
                "why": window.reason,
                "hint": bridge_text(self._ctx.language, WINDOW_REASONS[window.reason].hint_key, user=user),
            }
            event_id = f"held:{row.command_id}"
            notices.append(self._results.event_publication("held", user, event_id, now_ms(), fields))
        stored = await retry_until_stored(
            lambda: self._ctx.journal.commands.wait_for_window(changes, notices)
        )
        self._ctx.signals.outbox_changed.emit(stored)
        for row in rows:
            if (current := queue.find(row.id)) is not None:  # its replies or its fallback may have changed
                queue.replace_row(replace(current, window_reason=row.window_reason, expires=row.expires))
        self._ctx.signals.sending_changed.emit()

    def find_impatient(self, queue: ChatQueue, window: ReplyWindow) -> CommandRow | None:
        """Returns a command with `hold: false`; None where the window soon opens by itself."""
        if window.reason == RATE_LIMITED:
            return None
        impatient = queue.in_order(queue.impatient_ids)
        return next((row for row in impatient if _may_end(queue, row)), None)

    def find_excess(self, queue: ChatQueue) -> CommandRow | None:
        """Returns a command to give up where too many wait: the oldest of the lowest priority."""
        stay = sum(bool(row.window_reason) and not _may_end(queue, row) for row in queue.kept_first)
        if queue.window_count - stay <= self._ctx.settings.account.hold.max:
            return None
        return next(row for row in queue.least_important if _may_end(queue, row))

    def _expires_at(self, row: CommandRow) -> int:
        """Returns when a command that waits expires, in ms: after its own ttl, else after `hold.ttl`."""
        if row.command.ttl is not None and row.expires is not None:
            return row.expires
        return row.accepted + int(self._ctx.settings.account.hold.ttl * 1000)


def _may_end(queue: ChatQueue, row: CommandRow) -> bool:
    """Returns whether a command may be given up on its own."""
    return row.leader is None and row.id != queue.begun_id
