"""Plans which waiting texts of a chat share one message, so that a reply window suffices for them (iLink).

    seven texts wait, and the window takes ten messages  ->  one message with a heading and seven paragraphs

A combined message has a paragraph for each text, in the order in which they would go out one by one. It is
one attempt: its commands are repeated and end together. After WeChat refused a combined message, its commands
are sent one by one, since the cause may be one of them.

Texts are combined in two cases, each message with as many as fit:

- The window takes only one more message, apart from its reserve (`_last_message`).
- More texts waited for the window than half of the messages that it takes: six of ten. Their messages are a
  *digest*. The first one begins with a heading of the bridge, the others have none (`_digest`).

Files are never combined, nor is a long text that goes out in parts. An important text goes alone if it can.
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
    """The commands that one attempt sends."""

    #: The leading one first.
    rows: tuple[CommandRow, ...]
    #: The bridge's own text before them, in the first message of a digest.
    heading: NewCommand | None = None


class CombinedMessages:
    """Says for each attempt of one account which commands it sends (`plan`)."""

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
        self._refused[queue] = refused & {row.id for row in queue.waiting.rows}

    def _last_message(self, queue: ChatQueue, row: CommandRow) -> AttemptPlan | None:
        """Returns the plan of the last message that the window takes for commands such as this one.

        None where it takes more messages, or where no other text may share this one.
        """
        if self._window_wait.messages_left(row) != 1:
            return None
        rows = self._combinable(queue)
        if is_important(row):
            rows = _important_first(rows)  # the others take the room that is left
            if not all(is_important(text) for text in rows[:2]):
                return None  # it is the only important one, and goes alone
        return _plan_of(rows, self._max_characters)

    def _digest(self, queue: ChatQueue, row: CommandRow) -> AttemptPlan | None:
        """Returns the plan of a message of a digest, which `row` is in; None where it is in none.

        A digest begins, with a heading, when there are more texts than half of the messages of a window. It
        goes on, without one, while at least two are left. An important text is not delayed for the sake of
        others: for it only the important ones are counted.
        """
        window = self._window_wait.window_of(row)
        if window is None or not row.window_reason:
            return None
        texts = self._texts_that_waited(queue, row)
        count = sum(map(is_important, texts)) if is_important(row) else len(texts)
        if window.until is not None and self._digest_until.get(queue) == window.until:
            return _plan_of(texts, self._max_characters) if count > 1 else None
        quota = self._capabilities.reply_quota
        if not quota or count <= quota // 2:
            return None
        plan = self._plan_with_heading(texts)
        if plan is not None:
            self._digest_until[queue] = window.until
        return plan

    def _texts_that_waited(self, queue: ChatQueue, row: CommandRow) -> list[CommandRow]:
        """Returns the texts that waited for the window, in the order in which they are sent: `row` first."""
        texts = [text for text in self._combinable(queue) if text.window_reason]
        is_overtaking = row != texts[0]  # only an important one does (`next_step.py`)
        return _important_first(texts) if is_overtaking else texts

    def _plan_with_heading(self, texts: Sequence[CommandRow]) -> AttemptPlan | None:
        first = texts[0]
        heading = own_text(
            OwnText.DIGEST,
            first.command.user,
            first.person,
            bridge_text(self._ctx.language, "digest_heading", count=len(texts)),
            ttl=self._ctx.settings.account.hold.ttl,
            priority="high" if is_important(first) else "normal",
        )
        room = self._max_characters - len(heading.command.text) - len(COMBINED_TEXT_SEPARATOR)
        plan = _plan_of(texts, room)
        return None if plan is None else replace(plan, heading=heading)

    def _combinable(self, queue: ChatQueue) -> list[CommandRow]:
        return [row for row in queue.waiting.rows if self._is_combinable(queue, row)]

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
