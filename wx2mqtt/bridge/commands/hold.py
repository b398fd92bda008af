"""Holds commands while the reply window of their recipient is closed: WeChat takes them when the recipient
has written again.

1. `sender.py` finds the window closed and calls `hold`: the commands are marked in the journal, get the ttl
   `hold.ttl` unless they have their own, and are announced by `event/held`, once each.
2. What has `hold: false`, or is too much, is given up by `expiry.py` (`find_unholdable`, `find_excess`).
3. When the window opens, `sender.py` sends them, the most important one first, or several in one message
   (`bundles.py`).

The last messages of an open window are reserved (`ilink.reserve`): to a command that is not important it is
then closed, with the reason `RESERVED`.

A backend without reply windows has no closed window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.commands.chat_queue import ChatQueue, is_important
from wx2mqtt.bridge.commands.queues import ChatQueues
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Json, PersonId, ReplyWindow
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.records import NewPublication
from wx2mqtt.values import frozen

# The only reason for which a window opens without a message of the recipient.
RATE_LIMITED = "rate_limited"

# The reason for which an open window is closed to commands that are not important.
RESERVED = "reserved"


@frozen
class HoldReason:
    """What a closed window means: the keys of two texts, and the code of a result.

    `text_key` says why it is closed, `hint_key` what opens it; `code` is that of a command that was not sent.
    """

    text_key: str
    hint_key: str
    code: str = "window_closed"


# By `ReplyWindow.reason`.
HOLD_REASONS = {
    "never_wrote": HoldReason(text_key="shut_never_wrote", hint_key="hint_never_wrote"),
    "new_binding": HoldReason(text_key="shut_new_binding", hint_key="hint_new_binding"),
    "too_long_ago": HoldReason(text_key="shut_too_long_ago", hint_key="hint_too_long_ago"),
    "quota_used": HoldReason(text_key="shut_quota_used", hint_key="hint_quota_used", code="quota_used"),
    RESERVED: HoldReason(text_key="shut_reserved", hint_key="hint_reserved", code="quota_used"),
    RATE_LIMITED: HoldReason(text_key="shut_rate_limited", hint_key="hint_rate_limited", code=RATE_LIMITED),
}


class HoldQueue:
    """The held commands of one account."""

    def __init__(
        self,
        ctx: AccountContext,
        resolver: CommandResolver,
        queues: ChatQueues,
        results: ResultPublications,
    ) -> None:
        self._ctx = ctx
        self._journal = ctx.journal
        self._backend = ctx.backend
        self._resolver = resolver
        self._queues = queues
        self._results = results

    def window_of(self, row: CommandRow) -> ReplyWindow | None:
        """Returns the reply window of the recipient; None without one."""
        if not self._backend.capabilities.has_reply_window:
            return None
        chat = self._resolver.chat_of(row)
        return None if chat is None else self._backend.reply_window(chat)

    def closed_window(self, row: CommandRow) -> ReplyWindow | None:
        """Returns the reply window of the recipient while it is closed to this command, else None."""
        window = self.window_of(row)
        if window is None or not window.open:
            return window
        if is_important(row) or not self.reserved(window) or self.messages_left(row):
            return None
        return replace(window, open=False, until=None, reason=RESERVED)

    def messages_left(self, row: CommandRow) -> int | None:
        """Returns how many messages the window takes for commands such as this one; None if unknown."""
        window = self.window_of(row)
        if window is None or window.remaining is None:
            return None
        return window.remaining - (0 if is_important(row) else self.reserved(window))

    def reserved(self, window: ReplyWindow) -> int:
        """Returns how many of the messages that are left are reserved."""
        return min(self._ctx.settings.account.ilink.reserve, window.remaining or 0)

    def is_reserved(self, row: CommandRow) -> bool:
        """Returns whether the rest of the window is reserved, and not for this command."""
        window = self.closed_window(row)
        return window is not None and window.reason == RESERVED

    @property
    def max_commands(self) -> int:
        """The largest number of held commands of one chat."""
        return self._ctx.settings.account.hold.max

    @property
    def held_count(self) -> int:
        """Number of held commands."""
        return sum(queue.held_count for queue in self._queues.all_queues())

    def held_count_of(self, person: PersonId) -> int:
        """Returns the number of held commands for one person."""
        return self._queues.held_count_of(person)

    def find_not_held(self, queue: ChatQueue) -> list[CommandRow]:
        """Returns the commands of a queue that may be held and are not held yet."""
        return [row for row in queue.not_held if row.command.hold and not queue.is_marked(row)]

    async def hold(self, rows: Sequence[CommandRow], window: ReplyWindow) -> None:
        """Holds these commands until the window opens."""
        held = [replace(row, held_reason=window.reason, expires=self._expires_at(row)) for row in rows]
        marks = [(row.id, row.held_reason, row.expires or 0) for row in held]
        notices = [self._notification(row, window) for row in held]
        stored = await retry_until_stored(lambda: self._journal.commands.hold(marks, notices))
        self._ctx.signals.outbox_changed.emit(stored)
        for row in held:
            self._queues.reset_expiry(replace(row, replies=self._queues.current_row(row).replies))
        self._ctx.signals.sending_changed.emit()

    def find_unholdable(self, queue: ChatQueue, window: ReplyWindow) -> CommandRow | None:
        """Returns a command with `hold: false`; None where the window soon opens by itself."""
        if window.reason == RATE_LIMITED:
            return None
        return next((row for row in queue.never_held if _may_end(queue, row)), None)

    def find_excess(self, queue: ChatQueue) -> CommandRow | None:
        """Returns a command to give up where too many are held: the oldest of the lowest priority."""
        stay = sum(bool(row.held_reason) and not _may_end(queue, row) for row in queue.begun)
        if queue.held_count - stay <= self.max_commands:
            return None
        return next(row for row in queue.held if _may_end(queue, row))

    def _expires_at(self, row: CommandRow) -> int:
        """Returns when a held command expires, in ms: after its own ttl, else after `hold.ttl`."""
        if row.command.ttl is not None and row.expires is not None:
            return row.expires
        return row.accepted + int(self._ctx.settings.account.hold.ttl * 1000)

    def _notification(self, row: CommandRow, window: ReplyWindow) -> NewPublication:
        fields: dict[str, Json] = {
            "command_id": row.command_id,
            "until": rfc3339(row.expires or 0),
            "why": window.reason,
            "hint": bridge_text(
                self._ctx.language, HOLD_REASONS[window.reason].hint_key, user=row.command.user
            ),
        }
        return self._results.event_publication(
            "held", row.command.user, f"held:{row.command_id}", now_ms(), fields
        )


def _may_end(queue: ChatQueue, row: CommandRow) -> bool:
    """Returns whether a command may be given up on its own."""
    return row.bundle is None and not queue.is_marked(row)
