"""Decides which texts go out together in one message.

    ten texts wait for a person, and iLink's reply window takes one more message: as many of them as fit are
    one *combined message*, a paragraph each, in the order in which they would go out one by one

A combined message is one attempt with the key of its leading command: its commands are repeated and end
together. After WeChat refused one they are sent one by one, since the cause may be one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from wx2mqtt.bridge.commands.chat_queue import ChatQueue, is_important, stays_first
from wx2mqtt.bridge.commands.own_texts import OwnText, own_text
from wx2mqtt.bridge.commands.resolver import BackendRequest, is_simple
from wx2mqtt.bridge.commands.window_wait import WindowWait
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import COMBINED_TEXT_SEPARATOR, Draft, combined_text
from wx2mqtt.store.command_records import CommandRow, NewCommand
from wx2mqtt.values import frozen


@frozen
class AttemptPlan:
    #: The leading one first.
    rows: tuple[CommandRow, ...]
    #: The bridge's own text before them, in a combined message that is new.
    heading: NewCommand | None = None


class CombinedMessages:
    """Plans the attempts of one account.

    - The last message of the window, apart from its reserve, carries as many of the waiting texts as fit.
    - A digest: if more texts that waited for the window come free than half of what it takes, each message
      carries as many as fit. The bridge's own heading stands before the first.

    Files are never combined, nor is a long text that goes out in parts. An important text that can go alone
    does.
    """

    def __init__(self, ctx: AccountContext, window_wait: WindowWait) -> None:
        self._ctx = ctx
        self._capabilities = ctx.backend.capabilities
        self._window_wait = window_wait
        self._max_characters = ctx.backend.capabilities.part_limit or 0  # of a message
        # By chat: the commands of messages that WeChat refused, and the end of the reply window in which the
        # last digest was begun
        self._refused: WeakKeyDictionary[ChatQueue, set[int]] = WeakKeyDictionary()
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
        self._refused[queue] = refused & {row.id for row in queue}

    def _last_message(self, queue: ChatQueue, row: CommandRow) -> AttemptPlan | None:
        """Returns the plan of the last message that the window takes for commands such as this one."""
        if self._window_wait.messages_left(row) != 1:
            return None
        rows = self._combinable(queue)
        if is_important(row):
            rows.sort(key=is_important, reverse=True)  # stable: the others take the room that is left
            if not all(map(is_important, rows[:2])):
                return None  # it can go alone
        return _plan_of(rows, self._max_characters)

    def _digest(self, queue: ChatQueue, row: CommandRow) -> AttemptPlan | None:
        """Returns the plan of a digest, if many texts waited for the window or their digest has begun."""
        window = self._window_wait.window_of(row)
        if window is None or not row.window_reason:
            return None
        texts = [row for row in self._combinable(queue) if row.window_reason]
        if texts[0] != row:  # only important ones may go
            texts.sort(key=is_important, reverse=True)
        count = sum(map(is_important, texts)) if is_important(row) else len(texts)
        is_begun = window.until is not None and self._digest_until.get(queue) == window.until
        if is_begun and count > 1:
            return _plan_of(texts, self._max_characters)
        quota = self._capabilities.reply_quota
        if not quota or count <= quota // 2:
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
        return [row for row in queue if self._is_combinable(queue, row)]

    def _is_combinable(self, queue: ChatQueue, row: CommandRow) -> bool:
        """Returns whether a command may be in a new combined message: a text without an attempt so far.

        The fallback of another account's command has one attempt only, and goes alone.
        """
        is_begun = stays_first(row) or row.id == queue.begun_id or row.id in self._refused.get(queue, ())
        return not is_begun and is_simple(row) and not row.fallback_of


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
    """Returns the rows by combined message, in the order of its text; a row that is in none stands alone."""
    by_leader: dict[int, list[CommandRow]] = {}
    for row in sorted(rows, key=lambda row: row.combined_position):
        by_leader.setdefault(row.id if row.leader is None else row.leader, []).append(row)
    return [*by_leader.values()]


def with_texts_of(request: BackendRequest, members: Sequence[CommandRow]) -> BackendRequest:
    """Returns the request of the leading command with the texts of all commands of its message."""
    if len(members) < 2 or not isinstance(request, Draft):
        return request
    return replace(request, text=combined_text(row.command.text for row in members))
