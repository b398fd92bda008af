"""The commands of one chat that wait in memory, in the order in which they are sent.

The order is that of acceptance; with `by_priority` the most important one is first. A command *stays first*
if its last attempt got no answer, it is in a combined message, or parts of its long text are sent. One that
is *ending* has its result, and waits for its fallback before that is stored: it is no more in the order.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from operator import attrgetter, itemgetter
from typing import Any

from wx2mqtt.bridge.commands.resolver import ChatKey, has_file, needs_fetch
from wx2mqtt.clock import Backoff, boot_time, now_ms
from wx2mqtt.model import Result, is_own_text
from wx2mqtt.store.command_records import CommandRow, NewCommand, Recipient
from wx2mqtt.values import frozen

# Lower ranks are sent first.
PRIORITY_RANKS = {"high": 0, "normal": 1, "low": 2}


@frozen
class Ending:
    """The commands of one attempt that end with this result, which is that of the leading one."""

    rows: tuple[CommandRow, ...]
    result: Result


class ChatQueue:
    """The commands of one chat. Only this class changes `rows` and `waiting`."""

    def __init__(self, key: ChatKey, *, by_priority: bool = False) -> None:
        self.key = key
        #: All commands, by row id: those that wait and those that are ending.
        self.rows: dict[int, CommandRow] = {}
        #: Those that wait, in the order in which they are sent: that of `_rank`.
        self.waiting: list[CommandRow] = []
        self._rank: Callable[[CommandRow], Any] = _rank_by_priority if by_priority else attrgetter("id")
        #: By row id, of all: when they expire, in seconds of `boot_time`.
        self._expires_at: dict[int, float] = {}
        #: Expiry and row id of those that wait, sorted.
        self._by_expiry: list[tuple[float, int]] = []
        #: The row ids of those that wait and may end before they expire, as a set in order.
        self._may_end_early: dict[int, None] = {}
        #: The row ids of those that do not wait for the reply window.
        self.no_window_ids: set[int] = set()
        #: The row ids of those that must not wait for it (`hold: false`).
        self.impatient_ids: set[int] = set()
        #: Those that wait for it, by `_importance`: the first to give up is first.
        self._by_importance: list[tuple[bool, int, int]] = []
        #: Those that are ending, by row id: each member of an attempt has the ending of all of them.
        self.endings: dict[int, Ending] = {}

        #: The row id of the command that is sent next: the begin of its attempt is stored already; else None.
        self.begun_id: int | None = None
        self.backoff = Backoff()
        #: Nothing is sent before, in seconds of the loop's clock.
        self.paused_until = 0.0
        #: Under which recipients the journal has commands of this chat.
        self.recipients: set[Recipient] = set()
        #: No command expires before, in seconds of `boot_time`.
        self.next_expiry = float("inf")
        #: Set at each change of what the next step of this chat may depend on.
        self.wake = asyncio.Event()
        #: The row ids of commands with a file.
        self.with_file: set[int] = set()
        #: The row ids of those that wait, and whose `url` is not fetched yet.
        self.unfetched: set[int] = set()
        #: Whether a command with a file was ever in this queue; else there is nothing to prepare.
        self.had_file = False

    def is_current(self, row: CommandRow) -> bool:
        """Returns whether a command waits in this queue and its row has not changed."""
        return self.rows.get(row.id) == row and row.id not in self.endings

    def members_of(self, row: CommandRow) -> tuple[CommandRow, ...]:
        """Returns the commands of the combined message of this one, in order; else only itself."""
        if row.leader is None:
            return (row,)
        if (ending := self.endings.get(row.id)) is not None:
            return tuple(self.rows[member.id] for member in ending.rows if member.id in self.rows)
        return tuple(member for member in self.kept_first if member.leader == row.leader)

    @property
    def kept_first(self) -> Iterator[CommandRow]:
        """The commands that stay first, in order (with `by_priority`)."""
        return takewhile(stays_first, self.waiting)

    # Commands that wait for the reply window

    @property
    def window_count(self) -> int:
        """Number of commands that wait for the reply window."""
        return len(self._by_importance)

    @property
    def least_important(self) -> Iterator[CommandRow]:
        """The commands that wait for the window, the least important first, and of these the oldest."""
        return (self.rows[row_id] for *_, row_id in self._by_importance)

    def in_order(self, row_ids: Iterable[int]) -> list[CommandRow]:
        """Returns the commands with these row ids, the next one to send first."""
        return sorted((self.rows[row_id] for row_id in row_ids), key=self._rank)

    # Expiry

    def may_have_ended(self, now: float) -> Iterator[CommandRow]:
        """Yields the commands that may end at `now`, in seconds of `boot_time`. Change nothing meanwhile."""
        for row_id in self._may_end_early:
            yield self.rows[row_id]
        for expires_at, row_id in self._by_expiry:
            if expires_at > now:
                return
            yield self.rows[row_id]

    def set_next_expiry(self, now: float, not_ended: Iterable[float]) -> None:
        """Records that none of `may_have_ended` has ended, and when they do, in seconds of `boot_time`."""
        self._may_end_early.clear()
        following = bisect_right(self._by_expiry, now, key=itemgetter(0))
        times = [*not_ended, *(expires_at for expires_at, _ in self._by_expiry[following : following + 1])]
        self.next_expiry = min(times, default=float("inf"))

    def expires_at(self, row: CommandRow) -> float:
        """Returns when a command expires, in seconds of `boot_time`: the system clock may jump."""
        return self._expires_at[row.id]

    # Changes

    def append(self, row: CommandRow) -> None:
        """Adds a command. It lives no longer than its ttl, also if the system clock was set back since."""
        expires = row.accepted if row.expires is None else row.expires
        seconds = min(expires - now_ms(), expires - row.accepted) / 1000
        self._insert(row, boot_time() + seconds)

    def change(self, row_id: int, **values: Any) -> None:
        """Changes fields of a row by name, and so perhaps its position; without effect if it has left."""
        old = self.rows.get(row_id)
        if old is None:
            return
        row = replace(old, **values)
        if row_id in self.endings:
            self.rows[row_id] = row
            self.wake.set()
            return
        self._take_from_order(old)
        if row.expires == old.expires:
            self._insert(row, self._expires_at[row_id])
        else:
            self.append(row)

    def remove(self, row_id: int) -> None:
        row = self.rows.pop(row_id)
        if self.endings.pop(row_id, None) is None:
            self._take_from_order(row)
        del self._expires_at[row_id]
        self.with_file.discard(row_id)
        if self.begun_id == row_id:
            self.begun_id = None
        self.wake.set()

    def set_ending(self, rows: Sequence[CommandRow], result: Result) -> None:
        """Records that these commands end with this result, that of the first one."""
        ending = Ending(rows=tuple(rows), result=result)
        for row in rows:
            if row.id not in self.endings:
                self._take_from_order(self.rows[row.id])
            self.endings[row.id] = ending

    def _insert(self, row: CommandRow, expires_at: float) -> None:
        self.rows[row.id] = row
        self._expires_at[row.id] = expires_at
        insort(self.waiting, row, key=self._rank)
        insort(self._by_expiry, (expires_at, row.id))
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

    def _take_from_order(self, row: CommandRow) -> None:
        del self.waiting[bisect_left(self.waiting, self._rank(row), key=self._rank)]
        del self._by_expiry[bisect_left(self._by_expiry, (self._expires_at[row.id], row.id))]
        if row.window_reason:
            del self._by_importance[bisect_left(self._by_importance, _importance(row))]
        self._may_end_early.pop(row.id, None)
        self.no_window_ids.discard(row.id)
        self.impatient_ids.discard(row.id)
        self.unfetched.discard(row.id)


def _rank_by_priority(row: CommandRow) -> tuple[bool, int, int, int]:
    """Returns the position of a command in its queue: lower ranks are sent first."""
    priority = PRIORITY_RANKS.get(row.command.priority, 1)
    return not stays_first(row), row.combined_position, priority, row.id


def _importance(row: CommandRow) -> tuple[bool, int, int]:
    """Returns the position of a command among those that may be given up: lower ones go first."""
    return _is_partly_sent(row), -PRIORITY_RANKS.get(row.command.priority, 1), row.id


def stays_first(row: CommandRow) -> bool:
    """Returns whether a command goes before others, for one of the reasons above."""
    return row.leader is not None or _is_partly_sent(row)


def _is_partly_sent(row: CommandRow) -> bool:
    return row.unanswered > 0 or row.parts_sent > 0


def is_heading(row: CommandRow) -> bool:
    """Returns whether a command is the bridge's own heading of a combined message."""
    return row.leader == row.id and is_own_text(row.command_id)


def is_important(row: CommandRow | NewCommand) -> bool:
    """Returns whether a command may use the messages of a reply window that are reserved."""
    return row.command.urgent or row.command.priority == "high"
