"""Lets commands wait while the reply window of their recipient is closed, and combines their texts (iLink).

A reply window is the time after a message of a person in which WeChat lets the bot send a few messages.

1. `sender.py` finds the window closed and calls `WindowWait.begin`: the journal stores that the commands
   wait. Each is announced by `event/held`, and expires after `hold.ttl` unless it has its own ttl.
2. A command with `hold: false` does not wait, and of too many some are given up (`find_impatient`,
   `find_excess`).
3. When the recipient has written, the window opens, and they are sent, the most important one first.
4. If the window takes fewer messages than wait, several texts share one (`CombinedMessages`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.commands.chat_queue import ChatQueue, is_important, stays_first
from wx2mqtt.bridge.commands.own_texts import OwnText, own_text
from wx2mqtt.bridge.commands.resolver import AnyCommand, BackendRequest, CommandResolver, is_simple
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import COMBINED_TEXT_SEPARATOR, Draft, Json, PersonId, ReplyWindow, combined_text
from wx2mqtt.store.command_records import CommandRow, NewCommand
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
        has_only_reserved = self.reserved(window) > 0 and not left
        if has_only_reserved and not is_important(command):
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
        return sum(queue.window_count for queue in self._waiting.queues.values())

    def count_of(self, person: PersonId) -> int:
        return self._waiting.window_count_of(person)

    def find_new(self, queue: ChatQueue) -> list[CommandRow]:
        """Returns the commands of a chat that are to wait for its window, and do not yet."""
        rows = queue.in_order(queue.no_window_ids)
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
            current = queue.rows.get(row.id)  # other fields may have changed during the commit
            if current is not None:
                queue.replace_row(replace(current, window_reason=row.window_reason, expires=row.expires))
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
        impatient = queue.in_order(queue.impatient_ids)
        return next((row for row in impatient if _may_end(queue, row)), None)

    def find_excess(self, queue: ChatQueue) -> CommandRow | None:
        """Returns the command to give up if more than `hold.max` wait: the oldest of the lowest priority."""
        not_counted = [row for row in queue.kept_first if row.window_reason and not _may_end(queue, row)]
        if queue.window_count - len(not_counted) <= self._ctx.settings.account.hold.max:
            return None
        return next(row for row in queue.least_important if _may_end(queue, row))

    def _expires_at(self, row: CommandRow) -> int:
        """Returns when a command that waits expires, in ms: after its own ttl, else after `hold.ttl`."""
        if row.command.ttl is not None and row.expires is not None:
            return row.expires
        return row.accepted + int(self._ctx.settings.account.hold.ttl * 1000)


def _may_end(queue: ChatQueue, row: CommandRow) -> bool:
    """Returns whether a command may be given up: it is in no combined message, and its attempt not begun."""
    return row.leader is None and row.id != queue.begun_id


@frozen
class AttemptPlan:
    """The commands that one attempt sends."""

    #: The leading one first.
    rows: tuple[CommandRow, ...]
    #: The bridge's own text before them, in a combined message that is new.
    heading: NewCommand | None = None


class CombinedMessages:
    """Plans the attempts of one account: which texts go out together.

    A combined message has a paragraph for each text, in the order in which they would go out one by one. It
    is one attempt: its commands are repeated and end together. After WeChat refused a combined message, its
    commands are sent one by one, since the cause may be one of them.

    Texts are combined in two cases, each message with as many as fit:

    - The window takes only one more message, apart from its reserve (`_last_message`).
    - The texts that waited for the window need more than half of the messages that it takes. Then the first
      message begins with a heading of the bridge, and all of them are a *digest* (`_digest`).

    Files are never combined, nor is a long text that goes out in parts. An important text goes alone if it
    can.
    """

    def __init__(self, ctx: AccountContext, window_wait: WindowWait) -> None:
        self._ctx = ctx
        self._capabilities = ctx.backend.capabilities
        self._window_wait = window_wait
        #: The longest message.
        self._max_characters = ctx.backend.capabilities.part_limit or 0
        #: By chat: the row ids of commands that were in a combined message which WeChat refused.
        self._refused: WeakKeyDictionary[ChatQueue, set[int]] = WeakKeyDictionary()
        #: By chat: the end of the reply window in which its last digest was begun.
        self._digest_until: WeakKeyDictionary[ChatQueue, int | None] = WeakKeyDictionary()

    def plan(self, queue: ChatQueue, row: CommandRow) -> AttemptPlan:
        """Returns what the next attempt sends, if it sends the command `row`: alone or with others."""
        if row.leader is not None:
            return AttemptPlan(rows=queue.members_of(row))
        alone = AttemptPlan(rows=(row,))
        if not self._capabilities.has_reply_window or not self._ctx.settings.account.ilink.bundle:
            return alone
        if not self._is_combinable(queue, row):
            return alone
        return self._digest(queue, row) or self._last_message(queue, row) or alone

    def on_refused(self, queue: ChatQueue, members: Iterable[CommandRow]) -> None:
        """Records that WeChat refused a combined message: its commands are sent one by one."""
        refused = self._refused.get(queue, set()) | {member.id for member in members}
        self._refused[queue] = refused & {row.id for row in queue.waiting}

    def _last_message(self, queue: ChatQueue, row: CommandRow) -> AttemptPlan | None:
        """Returns the plan of the last message that the window takes for commands such as this one."""
        if self._window_wait.messages_left(row) != 1:
            return None
        rows = self._combinable(queue)
        if is_important(row):
            rows = _important_first(rows)  # the others take the room that is left
            if not all(is_important(text) for text in rows[:2]):
                return None  # it is the only important one, and goes alone
        return _plan_of(rows, self._max_characters)

    def _digest(self, queue: ChatQueue, row: CommandRow) -> AttemptPlan | None:
        """Returns the plan of a digest, if many texts waited for the window or their digest has begun."""
        window = self._window_wait.window_of(row)
        if window is None or not row.window_reason:
            return None
        texts = [text for text in self._combinable(queue) if text.window_reason]
        if texts[0] != row:  # an important one goes before older ones
            texts = _important_first(texts)
        # An important text is not delayed for the sake of others: then only the important ones count.
        counted = [text for text in texts if is_important(text)] if is_important(row) else texts
        is_begun = window.until is not None and self._digest_until.get(queue) == window.until
        if is_begun and len(counted) > 1:
            return _plan_of(texts, self._max_characters)
        quota = self._capabilities.reply_quota
        if not quota or len(counted) <= quota // 2:
            return None
        heading = own_text(
            OwnText.DIGEST,
            row.command.user,
            row.person,
            bridge_text(self._ctx.language, "digest_heading", count=len(texts)),
            ttl=self._ctx.settings.account.hold.ttl,
            priority="high" if is_important(row) else "normal",
        )
        room = self._max_characters - len(heading.command.text) - len(COMBINED_TEXT_SEPARATOR)
        plan = _plan_of(texts, room)
        if plan is None:
            return None
        self._digest_until[queue] = window.until
        return replace(plan, heading=heading)

    def _combinable(self, queue: ChatQueue) -> list[CommandRow]:
        return [row for row in queue.waiting if self._is_combinable(queue, row)]

    def _is_combinable(self, queue: ChatQueue, row: CommandRow) -> bool:
        """Returns whether a command may be in a new combined message: a text without an attempt so far.

        A command that this account sends as the fallback of another one has only one attempt: it goes alone.
        """
        if stays_first(row) or row.id == queue.begun_id or row.id in self._refused.get(queue, ()):
            return False
        return is_simple(row) and not row.fallback_of


def _important_first(rows: Iterable[CommandRow]) -> list[CommandRow]:
    """Returns the rows with the important ones before the others; otherwise in their order."""
    return sorted(rows, key=is_important, reverse=True)


def _plan_of(rows: Iterable[CommandRow], max_characters: int) -> AttemptPlan | None:
    """Returns the plan of the first commands whose texts fit together; None for a single one."""
    fitting: list[CommandRow] = []
    room = max_characters + len(COMBINED_TEXT_SEPARATOR)
    for row in rows:
        room -= len(row.command.text) + len(COMBINED_TEXT_SEPARATOR)
        if room < 0:
            break
        fitting.append(row)
    return AttemptPlan(rows=tuple(fitting)) if len(fitting) > 1 else None


def by_message(rows: Iterable[CommandRow]) -> list[list[CommandRow]]:
    """Returns the rows of each combined message, in the order of its text; other rows are alone in a list."""
    by_leader: dict[int, list[CommandRow]] = {}
    for row in sorted(rows, key=lambda row: row.combined_position):
        leader = row.id if row.leader is None else row.leader
        by_leader.setdefault(leader, []).append(row)
    return [*by_leader.values()]


def with_texts_of(request: BackendRequest, members: Sequence[CommandRow]) -> BackendRequest:
    """Returns the request of the leading command with the texts of all commands of its message."""
    if not isinstance(request, Draft):
        return request
    return replace(request, text=combined_text(row.command.text for row in members))
