"""The commands of one chat that wait in memory, in the order in which they are sent.

The order is that of acceptance, or with `by_priority` the priority. A command that is *begun* stays first:

- marked: its attempt is marked in the journal, but not made yet. It is not given up meanwhile.
- unanswered: its last attempt got no answer.
- in a bundle (`bundles.py`), whose commands stand in the order of their text.
- a long text of which parts are sent.

A command that is *ending* has its result already, and waits for its fallback before that is stored. It is in
the queue and no more in the order.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from operator import itemgetter

from wx2mqtt.backoff import Backoff
from wx2mqtt.bridge.commands.resolver import ChatKey, has_file, needs_fetch
from wx2mqtt.clock import boot_time, now_ms
from wx2mqtt.model import Result, is_own_text
from wx2mqtt.store.command_records import CommandRow, Recipient
from wx2mqtt.values import frozen

# Lower ranks are sent first.
PRIORITY_RANKS = {"high": 0, "normal": 1, "low": 2}

# The position of a command in its queue: lower ranks are sent first.
Rank = tuple[bool, int, int, int]


@frozen
class QueuedCommand:
    """A command in its queue. `expires_at` is in seconds of `boot_time`."""

    row: CommandRow
    rank: Rank
    expires_at: float


def _rank_of(command: QueuedCommand) -> Rank:
    return command.rank


@frozen
class Ending:
    """The commands of one attempt that end with this result, which is that of the leading one."""

    rows: tuple[CommandRow, ...]
    result: Result


class ChatQueue:
    """The commands of one chat; iterating gives the rows of those that wait, the next one to send first.

    `len` counts those that end as well.

    `paused_until` is a time of the loop's clock, in seconds. `recipients` are those of all commands that came
    for this chat. `has_backlog`: the journal has further commands of this chat, behind these. No command
    expires before `next_expiry`, in seconds of `boot_time`. `wake` is set at each change of what the next
    step of this chat may depend on. `with_file` are the row ids of commands with a file, `unfetched` of those
    whose `url` is not fetched yet.
    """

    def __init__(self, key: ChatKey, *, by_priority: bool = False) -> None:
        self.key = key
        self._by_priority = by_priority
        self._commands: list[QueuedCommand] = []  # those that wait, sorted by rank
        self._by_expiry: list[tuple[float, int]] = []  # the same: expiry and row id, sorted
        self._may_end_early: dict[int, None] = {}  # of these the row ids that `expiry.py` has to look at
        self._by_importance: list[tuple[bool, int, int]] = []  # the held ones, the first to give up first
        self._not_held_ids: set[int] = set()  # of these
        self._never_held_ids: set[int] = set()  # of these, with `hold: false`
        self._by_id: dict[int, QueuedCommand] = {}  # the same by row id, and those that end
        self._endings: dict[int, Ending] = {}  # by the row id of each command
        self._marked_ids: set[int] = set()
        self.backoff = Backoff()
        self.paused_until = 0.0
        self.recipients: set[Recipient] = set()
        self.has_backlog = False
        self.next_expiry = float("inf")
        self.wake = asyncio.Event()
        self.with_file: set[int] = set()
        self.unfetched: set[int] = set()

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
        """Number of commands that wait, without those that end."""
        return len(self._commands)

    @property
    def any_row(self) -> CommandRow:
        """Any command of this queue, which is not empty."""
        return next(iter(self._by_id.values())).row

    def find(self, row_id: int) -> CommandRow | None:
        """Returns the current row of a command; None where this queue does not have it."""
        command = self._by_id.get(row_id)
        return None if command is None else command.row

    def current_row(self, row: CommandRow) -> CommandRow:
        """Returns the current row of a command of this queue."""
        return self._by_id[row.id].row

    def is_current(self, row: CommandRow) -> bool:
        """Returns whether a command waits in this queue and its row has not changed."""
        command = self._by_id.get(row.id)
        return command is not None and command.row == row and row.id not in self._endings

    def members_of(self, row: CommandRow) -> tuple[CommandRow, ...]:
        """Returns the commands of the bundle of this command, in order; only itself if it is in none."""
        if row.bundle is None:
            return (row,)
        if (ending := self._endings.get(row.id)) is not None:
            return tuple(self._by_id[member.id].row for member in ending.rows if member.id in self._by_id)
        return tuple(member for member in self.begun if member.bundle == row.bundle)

    @property
    def held_count(self) -> int:
        """Number of held commands that wait."""
        return len(self._commands) - len(self._not_held_ids)

    @property
    def held(self) -> Iterator[CommandRow]:
        """The held commands that wait, the least important first, and of these the oldest."""
        return (self._by_id[row_id].row for *_, row_id in self._by_importance)

    @property
    def begun(self) -> Iterator[CommandRow]:
        """The commands that are begun, in order (with `by_priority`)."""
        return takewhile(self.is_begun, self)

    @property
    def not_held(self) -> list[CommandRow]:
        """The commands that wait and are not held, in order."""
        return self._ordered(self._not_held_ids)

    @property
    def never_held(self) -> list[CommandRow]:
        """The commands that wait and must not be held, in order."""
        return self._ordered(self._never_held_ids)

    def _ordered(self, row_ids: Iterable[int]) -> list[CommandRow]:
        commands = sorted((self._by_id[row_id] for row_id in row_ids), key=_rank_of)
        return [command.row for command in commands]

    def may_have_ended(self, now: float) -> Iterator[CommandRow]:
        """Returns the commands that may end at `now`, in seconds of `boot_time`, the earliest expiry first.

        Change nothing meanwhile.
        """
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
        """Returns when a command of this queue expires, in seconds of `boot_time`.

        A machine without a clock battery starts with a wrong time that is corrected by hours later: no
        command may expire earlier or later because of that.
        """
        return self._by_id[row.id].expires_at

    def append(self, row: CommandRow) -> None:
        """Adds a command."""
        self._insert(row, boot_time() + _seconds_to_live(row, now_ms()))

    def replace_row(self, row: CommandRow) -> None:
        """Replaces the row of a command, which may change its position."""
        if row.id in self._endings:
            self._by_id[row.id] = replace(self._by_id[row.id], row=row)
            self.wake.set()
        else:
            self._insert(row, self._take_out(row).expires_at)

    @property
    def endings(self) -> list[Ending]:
        """The commands that end."""
        return [ending for row_id, ending in self._endings.items() if row_id == ending.rows[0].id]

    def set_ending(self, rows: Sequence[CommandRow], result: Result) -> None:
        """Records that these commands end with this result, that of the first one."""
        ending = Ending(rows=tuple(rows), result=result)
        for row in rows:
            if row.id not in self._endings:
                self._take_from_order(self._by_id[row.id])
                self.unfetched.discard(row.id)
            self._endings[row.id] = ending

    def reset_expiry(self, row: CommandRow) -> None:
        """Replaces the row of a command whose `expires` changed."""
        self._take_out(row)
        self.append(row)

    def remove(self, row: CommandRow) -> None:
        """Removes a command."""
        self._take_out(row)
        self._marked_ids.discard(row.id)
        self._endings.pop(row.id, None)

    @property
    def marked(self) -> list[CommandRow]:
        """The marked commands."""
        return [self._by_id[row_id].row for row_id in self._marked_ids]

    def is_marked(self, row: CommandRow) -> bool:
        """Returns whether a command is marked."""
        return row.id in self._marked_ids

    def set_marked(self, row: CommandRow) -> None:
        """Records that the attempt of a command is marked in advance."""
        self._marked_ids.add(row.id)
        self.replace_row(self.current_row(row))

    def clear_marked(self, row: CommandRow) -> None:
        """Records that the marked attempt of a command is being made, or that its mark is removed."""
        if self.is_marked(row):
            self._marked_ids.discard(row.id)
            self.replace_row(self.current_row(row))

    def is_begun(self, row: CommandRow) -> bool:
        """Returns whether a command stays first, for one of the reasons above."""
        return row.bundle is not None or bool(row.unanswered or row.parts_sent) or self.is_marked(row)

    def _insert(self, row: CommandRow, expires_at: float) -> None:
        command = QueuedCommand(row=row, rank=self._rank(row), expires_at=expires_at)
        insort(self._commands, command, key=_rank_of)
        insort(self._by_expiry, (expires_at, row.id))
        self._by_id[row.id] = command
        if has_file(row):
            self.with_file.add(row.id)
        if needs_fetch(row):
            self.unfetched.add(row.id)
        may_end_early = row.unanswered or row.fallback  # `expiry.py` decides
        if may_end_early:
            self._may_end_early[row.id] = None
        if row.held_reason:
            insort(self._by_importance, _importance(row))
        else:
            self._not_held_ids.add(row.id)
        if not row.command.hold:
            self._never_held_ids.add(row.id)
        self.next_expiry = min(self.next_expiry, float("-inf") if may_end_early else expires_at)
        self.wake.set()

    def _take_out(self, row: CommandRow) -> QueuedCommand:
        self.wake.set()
        command = self._by_id.pop(row.id)
        self.with_file.discard(row.id)
        self.unfetched.discard(row.id)
        if row.id not in self._endings:
            self._take_from_order(command)
        return command

    def _take_from_order(self, command: QueuedCommand) -> None:
        row_id = command.row.id
        del self._commands[bisect_left(self._commands, command.rank, key=_rank_of)]
        del self._by_expiry[bisect_left(self._by_expiry, (command.expires_at, row_id))]
        if command.row.held_reason:
            del self._by_importance[bisect_left(self._by_importance, _importance(command.row))]
        self._may_end_early.pop(row_id, None)
        self._not_held_ids.discard(row_id)
        self._never_held_ids.discard(row_id)

    def _rank(self, row: CommandRow) -> Rank:
        """Begun commands are first, then those of high priority."""
        if not self._by_priority:
            return False, 0, 0, row.id
        priority = PRIORITY_RANKS.get(row.command.priority, 1)
        return not self.is_begun(row), row.bundle_position, priority, row.id


def _importance(row: CommandRow) -> tuple[bool, int, int]:
    is_begun = bool(row.unanswered or row.parts_sent)
    return is_begun, -PRIORITY_RANKS.get(row.command.priority, 1), row.id


def is_heading(row: CommandRow) -> bool:
    """Returns whether a command is the bridge's own heading of a bundle."""
    return row.bundle == row.id and is_own_text(row.command_id)


def is_important(row: CommandRow) -> bool:
    """Returns whether a command may use the messages of a reply window that are reserved."""
    return row.command.urgent or row.command.priority == "high"


def _seconds_to_live(row: CommandRow, now: int) -> float:
    """Returns the seconds until a command expires, by the system clock, which survives a restart.

    They are never more than the ttl, also if the clock was set back since the command was accepted.
    """
    expires = row.accepted if row.expires is None else row.expires
    return min(expires - now, expires - row.accepted) / 1000
