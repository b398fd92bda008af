"""The commands of one chat that wait in memory, in the order in which they are sent.

The order is that of acceptance; with `by_priority` the most important one is first. A command *stays first*
if its last attempt got no answer, it is in a combined message, or parts of its long text are sent. One that
is *ending* has its result, and waits for its fallback before that is stored: it is no more in the order.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from operator import attrgetter, itemgetter

from wx2mqtt.bridge.commands.resolver import ChatKey, has_file, needs_fetch
from wx2mqtt.clock import Backoff, boot_time, now_ms
from wx2mqtt.model import Result, is_own_text
from wx2mqtt.store.command_records import CommandRow, NewCommand, Recipient
from wx2mqtt.values import frozen

# Lower ranks are sent first.
PRIORITY_RANKS = {"high": 0, "normal": 1, "low": 2}

# The position of a command in its queue: lower ranks are sent first.
Rank = tuple[bool, int, int, int]


@frozen
class QueuedCommand:
    row: CommandRow
    rank: Rank
    #: In seconds of `boot_time`.
    expires_at: float


_rank_of = attrgetter("rank")


@frozen
class Ending:
    """The commands of one attempt that end with this result, which is that of the leading one."""

    rows: tuple[CommandRow, ...]
    result: Result


class ChatQueue:
    """The commands of one chat. `len` counts all; iterating gives those that wait, the next one first."""

    def __init__(self, key: ChatKey, *, by_priority: bool = False) -> None:
        self.key = key
        self._by_priority = by_priority
        # Those that wait, sorted by rank, and sorted by expiry
        self._commands: list[QueuedCommand] = []
        self._by_expiry: list[tuple[float, int]] = []
        # Of these, by row id: those that may end before they expire
        self._may_end_early: dict[int, None] = {}
        #: The row ids of those that do not wait for the reply window, and that must not (`hold: false`).
        self.no_window_ids: set[int] = set()
        self.impatient_ids: set[int] = set()
        # Of these, those that wait for the reply window: the first to give up is first
        self._by_importance: list[tuple[bool, int, int]] = []
        # By row id: those that wait and those that are ending
        self._by_id: dict[int, QueuedCommand] = {}
        #: Those that are ending, by row id: each member of an attempt has the ending of all of them.
        self.endings: dict[int, Ending] = {}

        #: The row id of the command whose attempt has begun in the journal, and is not made yet. It is sent
        #: next.
        self.begun_id: int | None = None
        self.backoff = Backoff()
        #: A time of the loop's clock, before which nothing is sent.
        self.paused_until = 0.0
        #: Those of all commands that came for this chat.
        self.recipients: set[Recipient] = set()
        #: The journal has further commands of this chat, behind these.
        self.has_backlog = False
        #: No command expires before, in seconds of `boot_time`.
        self.next_expiry = float("inf")
        #: Is set at each change of what the next step of this chat may depend on.
        self.wake = asyncio.Event()
        #: The row ids of commands with a file, and of those whose `url` is not fetched yet.
        self.with_file: set[int] = set()
        self.unfetched: set[int] = set()
        #: Whether a command with a file was ever in this queue; else there is nothing to prepare.
        self.had_file = False

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[CommandRow]:
        return (command.row for command in self._commands)

    @property
    def first(self) -> CommandRow:
        """The next command to send. Raises `IndexError` when none waits."""
        return self._commands[0].row

    @property
    def waiting_count(self) -> int:
        """Number of commands that wait, without those that are ending."""
        return len(self._commands)

    @property
    def any_row(self) -> CommandRow:
        """Any command of this queue, which is not empty."""
        return next(iter(self._by_id.values())).row

    def find(self, row_id: int) -> CommandRow | None:
        """Returns the current row of a command; None where this queue does not have it."""
        command = self._by_id.get(row_id)
        return None if command is None else command.row

    def is_current(self, row: CommandRow) -> bool:
        """Returns whether a command waits in this queue and its row has not changed."""
        return self.find(row.id) == row and row.id not in self.endings

    def members_of(self, row: CommandRow) -> tuple[CommandRow, ...]:
        """Returns the commands of the combined message of this one, in order; else only itself."""
        if row.leader is None:
            return (row,)
        if (ending := self.endings.get(row.id)) is not None:
            return tuple(self._by_id[member.id].row for member in ending.rows if member.id in self._by_id)
        return tuple(member for member in self.kept_first if member.leader == row.leader)

    @property
    def kept_first(self) -> Iterator[CommandRow]:
        """The commands that stay first, in order (with `by_priority`)."""
        return takewhile(stays_first, self)

    # Commands that wait for the reply window

    @property
    def window_count(self) -> int:
        """Number of commands that wait for the reply window."""
        return len(self._by_importance)

    @property
    def least_important(self) -> Iterator[CommandRow]:
        """The commands that wait for the window, the least important first, and of these the oldest."""
        return (self._by_id[row_id].row for *_, row_id in self._by_importance)

    def in_order(self, row_ids: Iterable[int]) -> list[CommandRow]:
        """Returns the commands with these row ids, the next one to send first."""
        commands = sorted((self._by_id[row_id] for row_id in row_ids), key=_rank_of)
        return [command.row for command in commands]

    # Expiry

    def may_have_ended(self, now: float) -> Iterator[CommandRow]:
        """Yields the commands that may end at `now`, in seconds of `boot_time`. Change nothing meanwhile."""
        for row_id in self._may_end_early:
            yield self._by_id[row_id].row
        for expires_at, row_id in self._by_expiry:
            if expires_at > now:
                return
            yield self._by_id[row_id].row

    def set_next_expiry(self, now: float, not_ended: Iterable[float]) -> None:
        """Records that none of `may_have_ended` has ended, and when they do, in seconds of `boot_time`."""
        self._may_end_early.clear()
        following = bisect_right(self._by_expiry, now, key=itemgetter(0))
        times = [*not_ended, *(expires_at for expires_at, _ in self._by_expiry[following : following + 1])]
        self.next_expiry = min(times, default=float("inf"))

    def expires_at(self, row: CommandRow) -> float:
        """Returns when a command expires, in seconds of `boot_time`: the system clock may jump."""
        return self._by_id[row.id].expires_at

    # Changes

    def append(self, row: CommandRow) -> None:
        """Adds a command. It lives no longer than its ttl, also if the system clock was set back since."""
        expires = row.accepted if row.expires is None else row.expires
        seconds = min(expires - now_ms(), expires - row.accepted) / 1000
        self._insert(row, boot_time() + seconds)

    def replace_row(self, row: CommandRow) -> None:
        """Replaces the row of a command, which may change its position and its expiry."""
        if row.id in self.endings:
            self._by_id[row.id] = replace(self._by_id[row.id], row=row)
            self.wake.set()
            return
        old = self._take_out(row.id)
        if row.expires == old.row.expires:
            self._insert(row, old.expires_at)
        else:
            self.append(row)

    def remove(self, row_id: int) -> None:
        self._take_out(row_id)
        self.endings.pop(row_id, None)
        if self.begun_id == row_id:
            self.begun_id = None

    def set_ending(self, rows: Sequence[CommandRow], result: Result) -> None:
        """Records that these commands end with this result, that of the first one."""
        ending = Ending(rows=tuple(rows), result=result)
        for row in rows:
            if row.id not in self.endings:
                self._take_from_order(self._by_id[row.id])
                self.unfetched.discard(row.id)
            self.endings[row.id] = ending

    def _insert(self, row: CommandRow, expires_at: float) -> None:
        rank: Rank = (False, 0, 0, row.id)
        if self._by_priority:
            priority = PRIORITY_RANKS.get(row.command.priority, 1)
            rank = not stays_first(row), row.combined_position, priority, row.id
        command = QueuedCommand(row=row, rank=rank, expires_at=expires_at)
        insort(self._commands, command, key=_rank_of)
        insort(self._by_expiry, (expires_at, row.id))
        self._by_id[row.id] = command
        if has_file(row):
            self.had_file = True
            self.with_file.add(row.id)
            if needs_fetch(row):
                self.unfetched.add(row.id)
        may_end_early = row.unanswered or row.fallback  # `next_step.py` decides
        if may_end_early:
            self._may_end_early[row.id] = None
        if row.window_reason:
            insort(self._by_importance, _importance(row))
        else:
            self.no_window_ids.add(row.id)
        if not row.command.hold:
            self.impatient_ids.add(row.id)
        self.next_expiry = min(self.next_expiry, float("-inf") if may_end_early else expires_at)
        self.wake.set()

    def _take_out(self, row_id: int) -> QueuedCommand:
        self.wake.set()
        command = self._by_id.pop(row_id)
        self.with_file.discard(row_id)
        self.unfetched.discard(row_id)
        if row_id not in self.endings:
            self._take_from_order(command)
        return command

    def _take_from_order(self, command: QueuedCommand) -> None:
        row_id = command.row.id
        del self._commands[bisect_left(self._commands, command.rank, key=_rank_of)]
        del self._by_expiry[bisect_left(self._by_expiry, (command.expires_at, row_id))]
        if command.row.window_reason:
            del self._by_importance[bisect_left(self._by_importance, _importance(command.row))]
        self._may_end_early.pop(row_id, None)
        self.no_window_ids.discard(row_id)
        self.impatient_ids.discard(row_id)


def _importance(row: CommandRow) -> tuple[bool, int, int]:
    is_begun = bool(row.unanswered or row.parts_sent)
    return is_begun, -PRIORITY_RANKS.get(row.command.priority, 1), row.id


def stays_first(row: CommandRow) -> bool:
    """Returns whether a command goes before others, for one of the reasons above."""
    return row.leader is not None or bool(row.unanswered or row.parts_sent)


def is_heading(row: CommandRow) -> bool:
    """Returns whether a command is the bridge's own heading of a combined message."""
    return row.leader == row.id and is_own_text(row.command_id)


def is_important(row: CommandRow | NewCommand) -> bool:
    """Returns whether a command may use the messages of a reply window that are reserved."""
    return row.command.urgent or row.command.priority == "high"
