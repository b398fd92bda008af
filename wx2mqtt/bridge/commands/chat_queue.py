"""The commands of one chat in memory.

A command *waits* until the result of its attempt is known (`WaitingOrder`: in the order of sending). From
then on it is *ending*, until its fallback has ended and the result is stored (`Ending`).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
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
    """The commands of one chat, and what the next attempt waits for. Only it changes them."""

    def __init__(self, key: ChatKey, *, by_priority: bool = False) -> None:
        self.key = key
        #: All commands, by row id: those that wait and those that are ending.
        self.rows: dict[int, CommandRow] = {}
        self.waiting = WaitingOrder(_rank_by_priority if by_priority else attrgetter("id"))
        #: By row id: each member of an attempt has the ending of all of them.
        self.endings: dict[int, Ending] = {}
        #: By row id, of all: when they expire, in seconds of `boot_time`.
        self._expires_at: dict[int, float] = {}
        #: No command expires before, in seconds of `boot_time`.
        self.next_expiry = float("inf")
        #: The row id of the command that is sent next: the begin of its attempt is stored already; else None.
        self.begun_id: int | None = None
        self.backoff = Backoff()
        #: Nothing is sent before, in seconds of the loop's clock.
        self.paused_until = 0.0
        #: Whether a command with a file was ever in this queue; else there is nothing to prepare.
        self.had_file = False
        #: Under which recipients the journal has commands of this chat.
        self.recipients: set[Recipient] = set()
        #: Set at each change of what the next step of this chat may depend on.
        self.wake = asyncio.Event()

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
        self.waiting.remove(old, self._expires_at[row_id])
        if row.expires == old.expires:
            self._insert(row, self._expires_at[row_id])
        else:
            self.append(row)

    def remove(self, row_id: int) -> None:
        row, expires_at = self.rows.pop(row_id), self._expires_at.pop(row_id)
        if self.endings.pop(row_id, None) is None:
            self.waiting.remove(row, expires_at)
        if self.begun_id == row_id:
            self.begun_id = None
        self.wake.set()

    def set_ending(self, rows: Sequence[CommandRow], result: Result) -> None:
        """Records that these commands end with this result, that of the first one."""
        ending = Ending(rows=tuple(rows), result=result)
        for row in rows:
            if row.id not in self.endings:
                self.waiting.remove(self.rows[row.id], self._expires_at[row.id])
            self.endings[row.id] = ending

    def end_pause(self) -> None:
        """Lets commands be sent at once after a failure; the next pause is a short one again."""
        self.backoff = self.backoff.reset()
        self.paused_until = 0.0
        self.wake.set()

    def _insert(self, row: CommandRow, expires_at: float) -> None:
        self.rows[row.id] = row
        self._expires_at[row.id] = expires_at
        self.waiting.add(row, expires_at)
        self.had_file |= has_file(row)
        may_end_now = row.id in self.waiting.may_end_early
        self.next_expiry = min(self.next_expiry, float("-inf") if may_end_now else expires_at)
        self.wake.set()

    # Questions

    def is_current(self, row: CommandRow) -> bool:
        """Returns whether a command waits in this queue and its row has not changed."""
        return self.rows.get(row.id) == row and row.id not in self.endings

    def members_of(self, row: CommandRow) -> tuple[CommandRow, ...]:
        """Returns the commands of the combined message of this one, in order; else only itself."""
        if row.leader is None:
            return (row,)
        if (ending := self.endings.get(row.id)) is not None:
            return tuple(self.rows[member.id] for member in ending.rows if member.id in self.rows)
        return tuple(member for member in self.waiting.kept_first if member.leader == row.leader)

    def expires_at(self, row: CommandRow) -> float:
        """Returns when a command expires, in seconds of `boot_time`: the system clock may jump."""
        return self._expires_at[row.id]

    def in_order(self, row_ids: Iterable[int]) -> list[CommandRow]:
        """Returns the commands with these row ids, the next one to send first."""
        return sorted((self.rows[row_id] for row_id in row_ids), key=self.waiting.rank)

    def may_have_ended(self, now: float) -> Iterator[CommandRow]:
        """Yields the commands that may end at `now`, in seconds of `boot_time`. Change nothing meanwhile."""
        return (self.rows[row_id] for row_id in self.waiting.ids_that_may_end(now))

    def set_next_expiry(self, now: float, not_ended: Iterable[float]) -> None:
        """Records that none of `may_have_ended` has ended, and when they do, in seconds of `boot_time`."""
        self.waiting.may_end_early.clear()
        self.next_expiry = min([*not_ended, self.waiting.first_expiry_after(now)])


@dataclass
class WaitingOrder:
    """The commands that wait, in the order in which they are sent: that of `rank`.

    The others are parts of it: which of them may expire, wait for the reply window, or have a file. `add` and
    `remove` keep all of them; a row that changes is removed and added again.
    """

    rank: Callable[[CommandRow], Any]
    rows: list[CommandRow] = field(default_factory=list)
    #: The row ids of those that may end before they expire, as a set in order.
    may_end_early: dict[int, None] = field(default_factory=dict)
    #: The row ids of those that do not wait for the reply window.
    no_window_ids: set[int] = field(default_factory=set)
    #: The row ids of those that must not wait for it (`hold: false`).
    impatient_ids: set[int] = field(default_factory=set)
    #: The row ids of those whose `url` is not fetched yet.
    unfetched: set[int] = field(default_factory=set)
    #: When each expires, in seconds of `boot_time`, and its row id; sorted.
    _by_expiry: list[tuple[float, int]] = field(default_factory=list)
    #: Those that wait for the reply window, by `_importance`: the first to give up is first.
    _by_importance: list[tuple[bool, int, int]] = field(default_factory=list)

    def add(self, row: CommandRow, expires_at: float) -> None:
        insort(self.rows, row, key=self.rank)
        insort(self._by_expiry, (expires_at, row.id))
        if row.unanswered or row.fallback:  # `next_step.py` decides
            self.may_end_early[row.id] = None
        if row.window_reason:
            insort(self._by_importance, _importance(row))
        else:
            self.no_window_ids.add(row.id)
        if not row.command.hold:
            self.impatient_ids.add(row.id)
        if row.command.url and needs_fetch(row):
            self.unfetched.add(row.id)

    def remove(self, row: CommandRow, expires_at: float) -> None:
        del self.rows[bisect_left(self.rows, self.rank(row), key=self.rank)]
        del self._by_expiry[bisect_left(self._by_expiry, (expires_at, row.id))]
        self.may_end_early.pop(row.id, None)
        if row.window_reason:
            del self._by_importance[bisect_left(self._by_importance, _importance(row))]
        self.no_window_ids.discard(row.id)
        self.impatient_ids.discard(row.id)
        self.unfetched.discard(row.id)

    @property
    def kept_first(self) -> Iterator[CommandRow]:
        """The commands that stay first, in order (with priorities)."""
        return takewhile(stays_first, self.rows)

    # Expiry

    def ids_that_may_end(self, now: float) -> Iterator[int]:
        """Yields row ids: of those that may end early, then of those that expire until `now`."""
        yield from self.may_end_early
        for expires_at, row_id in self._by_expiry:
            if expires_at > now:
                return
            yield row_id

    def first_expiry_after(self, now: float) -> float:
        following = bisect_right(self._by_expiry, now, key=itemgetter(0))
        return self._by_expiry[following][0] if following < len(self._by_expiry) else float("inf")

    # The reply window

    @property
    def window_count(self) -> int:
        """Number of commands that wait for the reply window."""
        return len(self._by_importance)

    @property
    def least_important_ids(self) -> Iterator[int]:
        """The row ids of those that wait for the window, the least important first, of these the oldest."""
        return (row_id for *_, row_id in self._by_importance)


# The order of commands


def _rank_by_priority(row: CommandRow) -> tuple[bool, int, int, int]:
    """Returns the position of a command where important ones go first: lower ranks are sent first."""
    priority = PRIORITY_RANKS.get(row.command.priority, 1)
    return not stays_first(row), row.combined_position, priority, row.id


def _importance(row: CommandRow) -> tuple[bool, int, int]:
    """Returns the position of a command among those that may be given up: lower ones go first."""
    return _is_partly_sent(row), -PRIORITY_RANKS.get(row.command.priority, 1), row.id


def stays_first(row: CommandRow) -> bool:
    """Returns whether a command goes before more important ones: an attempt was made, or it is combined."""
    return row.leader is not None or _is_partly_sent(row)


def _is_partly_sent(row: CommandRow) -> bool:
    return row.unanswered > 0 or row.parts_sent > 0


def is_heading(row: CommandRow) -> bool:
    """Returns whether a command is the bridge's own heading of a combined message."""
    return row.leader == row.id and is_own_text(row.command_id)


def is_important(row: CommandRow | NewCommand) -> bool:
    """Returns whether a command may use the messages of a reply window that are reserved."""
    return row.command.urgent or row.command.priority == "high"
