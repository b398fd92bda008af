"""What WeChat takes only after the person wrote waits for that: held, told of once, the most important first.

Decides and writes down; who settles and sends is the sender. Where a backend has no window nothing is ever
held, and nothing is asked.
"""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.commands.queues import PRIORITY_RANKS, ChatQueue, ChatQueues
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Json, ReplyWindow
from wx2mqtt.store.records import CommandRow, NewPublication

RATE_LIMITED = "rate_limited"  # the only window that opens by itself
HOLD_REASONS = {
    "never_wrote": "shut_never_wrote",
    "new_binding": "shut_new_binding",
    "too_long_ago": "shut_too_long_ago",
    "quota_used": "shut_quota_used",
    RATE_LIMITED: "shut_rate_limited",
}
"""Sentences that say what shuts a window."""

_HINTS = {
    "never_wrote": "hint_never_wrote",
    "new_binding": "hint_new_binding",
    "too_long_ago": "hint_too_long_ago",
    "quota_used": "hint_quota_used",
    RATE_LIMITED: "hint_rate_limited",
}
_CODES = {"quota_used": "quota_used", RATE_LIMITED: RATE_LIMITED}


def error_code_of(window: ReplyWindow) -> str:
    """What the result of a command says that could not be sent in a shut window."""
    return _CODES.get(window.reason, "window_closed")


class HoldQueue:
    """Knows what is held for one account."""

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

    def closed_window(self, row: CommandRow) -> ReplyWindow | None:
        """The window to whom a command is for, while it is shut."""
        if not self._backend.capabilities.has_reply_window:
            return None
        chat = self._resolver.chat_of(row)
        window = None if chat is None else self._backend.reply_window(chat)
        return None if window is None or window.open else window

    @property
    def max_commands(self) -> int:
        """Commands that may wait for one person."""
        return self._ctx.settings.hold.max_commands

    @property
    def held_count(self) -> int:
        """Commands that are held now."""
        return sum(bool(row.held_reason) for lane in self._queues.all_queues() for row in lane.rows)

    async def hold(self, queue: ChatQueue, window: ReplyWindow) -> bool:
        """Write down that these wait, and tell it, where that is news. Whether there was any."""
        fresh = [
            row
            for row in queue.rows
            if not row.held_reason and row.command.hold and row.id != queue.started_row_id
        ]
        if not fresh:
            return False
        held = [replace(row, held_reason=window.reason, expires=self._expires_at(row)) for row in fresh]
        marks = [(row.id, row.held_reason, row.expires or 0) for row in held]
        notices = [self._notification(row, window) for row in held]
        stored = await retry_until_stored(lambda: self._journal.mark_held(marks, notices))
        self._ctx.signals.outbox_changed.emit(stored)
        for row in held:
            self._queues.reset_expiry(replace(row, replies=self._queues.current_row(row).replies))
        return True

    def find_unholdable(self, queue: ChatQueue, window: ReplyWindow) -> CommandRow | None:
        """One that does not want to wait for the person."""
        if window.reason == RATE_LIMITED:
            return None
        return next(
            (row for row in queue.rows if not row.command.hold and row.id != queue.started_row_id), None
        )

    def find_excess(self, queue: ChatQueue) -> CommandRow | None:
        """Which one gives way where more wait than may: the oldest of the least important."""
        held = [row for row in queue.rows if row.held_reason and row.id != queue.started_row_id]
        if len(held) <= self.max_commands:
            return None
        return min(held, key=_gives_way)

    def _expires_at(self, row: CommandRow) -> int:
        """Milliseconds since 1970; a time of its own counts, else that of the owner for all that wait."""
        if row.command.ttl is not None and row.expires is not None:
            return row.expires
        return row.accepted + int(self._ctx.settings.hold.ttl * 1000)

    def _notification(self, row: CommandRow, window: ReplyWindow) -> NewPublication:
        fields: dict[str, Json] = {
            "command_id": row.command_id,
            "until": rfc3339(row.expires or 0),
            "why": window.reason,
            "hint": bridge_text(self._ctx.language, _HINTS[window.reason], user=row.command.user),
        }
        return self._results.event_publication(
            "held", row.command.user, f"held:{row.command_id}", now_ms(), fields
        )


def _gives_way(row: CommandRow) -> tuple[bool, int, int]:
    begun = bool(row.unanswered or row.parts_sent)
    return begun, -PRIORITY_RANKS.get(row.command.priority, 1), row.id
