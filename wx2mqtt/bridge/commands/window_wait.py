"""Lets commands wait while the reply window of their recipient is closed (iLink).

A reply window is the time after a message of a person in which WeChat lets the bot send a few messages.

1. `sender.py` finds the window closed and calls `WindowWait.begin`: the journal stores that the commands
   wait. Each is announced by `event/held`, and expires after `hold.ttl` unless it has its own ttl.
2. A command with `hold: false` does not wait, and of too many some are given up (`find_impatient`,
   `find_excess`).
3. When the recipient has written, the window opens, and they are sent, the most important one first.
4. If the window takes fewer messages than wait, several texts share one (`combined_messages.py`).
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
from wx2mqtt.store.records import NewPublication
from wx2mqtt.values import frozen

# A reason of the backend, and the only one after which a window opens by itself. After all others the person
# must write.
RATE_LIMITED = "rate_limited"

# A reason of the bridge: the window takes only its last messages, which are reserved for important commands
# (`ilink.reserve`).
RESERVED = "reserved"

# A reason of the bridge: the window takes fewer messages than a file with its caption needs.
TOO_FEW_LEFT = "too_few_left"


@frozen
class WindowReason:
    """What people are told about a closed window."""

    #: The text that says why.
    text_key: str
    #: The text that says what opens it.
    hint_key: str
    #: The code of the result of a command that was not sent.
    code: str = "window_closed"


# Why a window is closed to a command: by `ReplyWindow.reason`, or a reason of the bridge.
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
        """Returns the reply window of the recipient, on a backend with reply windows; None without one."""
        chat = self._resolver.chat_of(command)
        return None if chat is None else self._backend.reply_window(chat)

    def window_closed_to(self, command: AnyCommand) -> ReplyWindow | None:
        """Returns the reply window of the recipient while it is closed to this command, else None.

        An open window is closed to a command if the messages that are left do not suffice for it
        (`TOO_FEW_LEFT`), or are reserved for important ones (`RESERVED`).
        """
        if not self._backend.capabilities.has_reply_window:
            return None
        window = self.window_of(command)
        if window is None or not window.open:
            return window
        left = self.messages_left(command)
        needed = self._resolver.messages_needed(command)
        if needed > 1 and left is not None and left < needed:
            return replace(window, open=False, until=None, reason=TOO_FEW_LEFT)
        if left == 0 and self.reserved(window) > 0 and not is_important(command):
            return replace(window, open=False, until=None, reason=RESERVED)
        return None

    def messages_left(self, command: AnyCommand) -> int | None:
        """Returns how many messages the window takes for commands such as this one; None if unknown."""
        if not self._backend.capabilities.has_reply_window:
            return None
        window = self.window_of(command)
        if window is None or window.remaining is None:
            return None
        if is_important(command):
            return window.remaining
        return window.remaining - self.reserved(window)

    def reserved(self, window: ReplyWindow) -> int:
        """Returns how many of the messages that are left only important commands may use."""
        return min(self._ctx.settings.account.ilink.reserve, window.remaining or 0)

    # The commands that wait for it

    @property
    def count(self) -> int | None:
        """How many commands wait; None for a backend without reply windows."""
        if not self._backend.capabilities.has_reply_window:
            return None
        return sum(queue.waiting.window_count for queue in self._waiting.queues.values())

    def count_of(self, person: PersonId) -> int:
        queue = self._waiting.queues.get(person)
        return 0 if queue is None else queue.waiting.window_count

    def find_new(self, queue: ChatQueue) -> list[CommandRow]:
        """Returns the commands of a chat that are to wait for its window, and do not yet."""
        rows = queue.in_order(queue.waiting.no_window_ids)
        return [row for row in rows if row.command.hold and row.id != queue.begun_id]

    async def begin(self, queue: ChatQueue, rows: Sequence[CommandRow], window: ReplyWindow) -> None:
        """Stores that these commands wait for the window, and announces each of them."""
        rows = [replace(row, window_reason=window.reason, expires=self._expires_at(row)) for row in rows]
        changes = [(row.id, row.window_reason, row.expires or 0) for row in rows]
        notices = [self._held_event(row) for row in rows]
        stored = await retry_until_stored(
            lambda: self._ctx.journal.commands.wait_for_window(changes, notices)
        )
        self._ctx.signals.outbox_changed.emit(stored)
        for row in rows:
            queue.change(row.id, window_reason=row.window_reason, expires=row.expires)
        self._ctx.signals.sending_changed.emit()

    def _held_event(self, row: CommandRow) -> NewPublication:
        user = row.command.user
        hint_key = WINDOW_REASONS[row.window_reason].hint_key
        fields: dict[str, Json] = {
            "command_id": row.command_id,
            "until": rfc3339(row.expires or 0),
            "why": row.window_reason,
            "hint": bridge_text(self._ctx.language, hint_key, user=user),
        }
        return self._results.event_publication("held", user, f"held:{row.command_id}", now_ms(), fields)

    def find_impatient(self, queue: ChatQueue, window: ReplyWindow) -> CommandRow | None:
        """Returns a command with `hold: false`, which does not wait; None if the window opens by itself."""
        if window.reason == RATE_LIMITED:
            return None
        impatient = queue.in_order(queue.waiting.impatient_ids)
        return next((row for row in impatient if _may_end(queue, row)), None)

    def find_excess(self, queue: ChatQueue) -> CommandRow | None:
        """Returns the command to give up if more than `hold.max` wait: the oldest of the lowest priority."""
        not_counted = [
            row for row in queue.waiting.kept_first if row.window_reason and not _may_end(queue, row)
        ]
        if queue.waiting.window_count - len(not_counted) <= self._ctx.settings.account.hold.max:
            return None
        least_important = (queue.rows[row_id] for row_id in queue.waiting.least_important_ids)
        return next(row for row in least_important if _may_end(queue, row))

    def _expires_at(self, row: CommandRow) -> int:
        """Returns when a command that waits expires, in ms: after its own ttl, else after `hold.ttl`."""
        if row.command.ttl is not None and row.expires is not None:
            return row.expires
        return row.accepted + int(self._ctx.settings.account.hold.ttl * 1000)


def _may_end(queue: ChatQueue, row: CommandRow) -> bool:
    """Returns whether a command may be given up: it is in no combined message, and its attempt not begun."""
    return row.leader is None and row.id != queue.begun_id
