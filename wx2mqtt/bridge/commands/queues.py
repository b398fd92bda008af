"""The queues of the commands in memory, one for each chat; further commands wait in the journal.

A chat to which nothing can be sent fills only its own queue. The order within a chat is the order of
acceptance, or with `by_priority` the priority. Sends nothing (`sender.py`) and writes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from wx2mqtt.backoff import Backoff
from wx2mqtt.bridge.commands.resolver import ChatKey, CommandResolver
from wx2mqtt.clock import monotonic, now_ms
from wx2mqtt.external.http import TemporarilyUnavailable
from wx2mqtt.model import PersonId
from wx2mqtt.store.records import CommandRow, ReplyTarget

MAX_COMMANDS_PER_CHAT = 50
"""The largest number of commands of one chat in memory."""

MAX_COMMANDS_IN_MEMORY = 2000
"""From so many commands in memory on, no further chat is loaded from the journal."""

READ_BATCH_ROWS = 200
"""Rows that are read from the journal at a time."""

MAX_SCANNED_ROWS = 10_000
"""Rows that are read at a time with `by_priority`: all must be known to find the most important one."""

PRIORITY_RANKS = {"high": 0, "normal": 1, "low": 2}
"""Lower ranks are sent first."""

LoadDueCommands = Callable[[int, Collection[PersonId | None]], Awaitable[list[CommandRow]]]
"""`JournaledCommands.list_due`."""


@dataclass(slots=True)
class ChatQueue:
    """The commands of one chat, the next one first.

    `paused_until` is a time of the loop's clock, in seconds. `started_row_id` is the row whose attempt is
    marked in the journal in advance, 0 if none. `is_active` while a task sends from the queue.
    `has_more_on_disk`: the journal has further commands of this chat, behind these. `fetch_error` is the last
    of `fetch_failures` failures in a row to fetch the url of row `failed_fetch_row_id`.
    """

    rows: deque[CommandRow] = field(default_factory=deque)
    backoff: Backoff = field(default_factory=Backoff)
    paused_until: float = 0.0
    started_row_id: int = 0
    is_active: bool = False
    has_more_on_disk: bool = False
    failed_fetch_row_id: int = 0
    fetch_error: TemporarilyUnavailable | None = None
    fetch_failures: int = 0

    def record_fetch_failure(self, row_id: int, error: TemporarilyUnavailable) -> None:
        """Counts a failure to fetch the url of a row."""
        self.fetch_failures = self.fetch_failures + 1 if self.failed_fetch_row_id == row_id else 1
        self.failed_fetch_row_id, self.fetch_error = row_id, error


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """The queue of a command, and when it expires, in seconds of the monotonic clock."""

    queue: ChatQueue
    expires_at: float


class ChatQueues:
    """The queues of one account, by `CommandResolver.queue_key`, which may change while a command waits.

    `has_more_on_disk`: the journal has commands of chats without a queue. With `by_priority` the most
    important command of a chat is first, and all commands are in memory.
    """

    def __init__(self, resolver: CommandResolver, *, by_priority: bool = False) -> None:
        self._resolver = resolver
        self.by_priority = by_priority
        self.has_more_on_disk = True
        self._loading = False
        self._queues: dict[ChatKey, ChatQueue] = {}
        self._positions: dict[int, QueuePosition] = {}

    @property
    def waiting_count(self) -> int:
        """Number of commands in memory."""
        return len(self._positions)

    @property
    def can_load(self) -> bool:
        """Whether the journal has commands for which there is room in memory."""
        return self.has_more_on_disk and (self.by_priority or self.waiting_count < MAX_COMMANDS_IN_MEMORY)

    def all_queues(self) -> list[ChatQueue]:
        return [*self._queues.values()]

    def idle_queues(self) -> list[ChatQueue]:
        """Returns the queues with commands that no task sends from."""
        return [queue for queue in self._queues.values() if queue.rows and not queue.is_active]

    def replies_to(self, row: CommandRow) -> tuple[ReplyTarget, ...]:
        """Returns the current reply targets of a command in memory, else none."""
        return self._row(row.id).replies if row.id in self._positions else ()

    def current_row(self, row: CommandRow) -> CommandRow:
        """Returns the current row of a command in memory, else the row itself."""
        return self._row(row.id) if row.id in self._positions else row

    def add(self, row: CommandRow) -> None:
        """Adds an accepted command; one that is in a queue already gets its new reply targets."""
        if row.id in self._positions:
            self.replace_row(replace(self._row(row.id), replies=row.replies))
        elif (queue := self._queue_of(row)) is not None:
            self._append(queue, row)
        elif not self.by_priority and (self._loading or self.has_more_on_disk):
            self.has_more_on_disk = True  # it is loaded after the commands before it
        else:
            self._append(self._new_queue(row), row)

    def replace_row(self, row: CommandRow) -> None:
        """Replaces the row of a command; does nothing for a command that is not in memory."""
        if (position := self._positions.get(row.id)) is not None:
            queue = position.queue
            queue.rows = deque(row if other.id == row.id else other for other in queue.rows)
            if self.by_priority:
                queue.rows = deque(sorted(queue.rows, key=partial(_rank, queue)))

    def reset_expiry(self, row: CommandRow) -> None:
        """Replaces the row of a command whose `expires` changed."""
        if (position := self._positions.get(row.id)) is not None:
            self._positions[row.id] = QueuePosition(
                position.queue, monotonic() + _seconds_to_live(row, now_ms())
            )
            self.replace_row(row)

    def fetch_error_of(self, row: CommandRow) -> TemporarilyUnavailable | None:
        """Returns why the last fetch of a command's url failed, None if it did not."""
        queue = self._positions[row.id].queue
        return queue.fetch_error if queue.failed_fetch_row_id == row.id and row.blob is None else None

    def remove(self, row: CommandRow) -> None:
        """Removes a command; does nothing for a command that is not in memory."""
        position = self._positions.pop(row.id, None)
        if position is not None:
            position.queue.rows = deque(other for other in position.queue.rows if other.id != row.id)

    def rekey(self) -> None:
        """Moves queues to their current key: a user of a command may have become a known person."""
        for key, queue in list(self._queues.items()):
            new_key = self._resolver.queue_key(queue.rows[0]) if queue.rows else key
            if new_key != key and new_key not in self._queues:
                self._queues[new_key] = self._queues.pop(key)

    def remove_empty(self, queue: ChatQueue) -> None:
        """Removes a queue without commands."""
        self._queues = {key: other for key, other in self._queues.items() if other is not queue}
        self.has_more_on_disk |= queue.has_more_on_disk

    async def load(self, load_due: LoadDueCommands) -> None:
        """Loads commands from the journal while there is room in memory. Raises `StoreError`."""
        if self.by_priority:
            await self._load_all(load_due)
            return
        self.has_more_on_disk, self._loading = False, True
        complete, skipped = False, self._persons()
        try:
            while self.waiting_count < MAX_COMMANDS_IN_MEMORY and not complete:
                rows = await load_due(READ_BATCH_ROWS, skipped)
                self._append_rows(rows)
                complete = len(rows) < READ_BATCH_ROWS
                if not complete:
                    self._mark_more_on_disk(rows)
                skipped = skipped | self._persons() | {row.person for row in rows}
            # None skips all unknown users at once, so some of their commands may be left.
            complete = complete and None not in skipped
        finally:
            self._loading = False
            self.has_more_on_disk |= not complete

    async def _load_all(self, load_due: LoadDueCommands) -> None:
        self.has_more_on_disk = False
        rows = await load_due(MAX_SCANNED_ROWS, ())
        for row in rows:
            if row.id not in self._positions:
                self._append(self._queue_of(row) or self._new_queue(row), row)
        self.has_more_on_disk |= len(rows) == MAX_SCANNED_ROWS

    def seconds_left(self, row: CommandRow) -> float:
        """Returns the seconds until a command in memory expires, by the monotonic clock.

        A machine without a clock battery starts with a wrong time that is corrected by hours later: no
        command may expire earlier or later because of that.
        """
        return self._positions[row.id].expires_at - monotonic()

    def _row(self, row_id: int) -> CommandRow:
        return next(row for row in self._positions[row_id].queue.rows if row.id == row_id)

    def _append_rows(self, rows: Iterable[CommandRow]) -> None:
        keys_before = set(self._queues)
        for row in rows:
            if row.id not in self._positions:
                self._append(self._queue_of(row) or self._new_queue(row), row)
        if self.has_more_on_disk:  # `add` left a command of a chat without a queue in the journal meanwhile
            for key in self._queues.keys() - keys_before:
                self._queues[key].has_more_on_disk = True

    def _mark_more_on_disk(self, rows: Iterable[CommandRow]) -> None:
        """The next batch skips these chats, and this one may not have all of their commands."""
        for row in rows:
            if (position := self._positions.get(row.id)) is not None:
                position.queue.has_more_on_disk = True

    def _append(self, queue: ChatQueue, row: CommandRow) -> None:
        if not self.by_priority and (queue.has_more_on_disk or len(queue.rows) >= MAX_COMMANDS_PER_CHAT):
            queue.has_more_on_disk = True
            return
        last = queue.rows[-1] if queue.rows else row
        queue.rows.append(row)
        if self.by_priority and _rank(queue, row) < _rank(queue, last):
            queue.rows = deque(sorted(queue.rows, key=partial(_rank, queue)))
        self._positions[row.id] = QueuePosition(queue, monotonic() + _seconds_to_live(row, now_ms()))

    def _queue_of(self, row: CommandRow) -> ChatQueue | None:
        key = self._resolver.queue_key(row)
        if key not in self._queues:
            self.rekey()
        return self._queues.get(key)

    def _new_queue(self, row: CommandRow) -> ChatQueue:
        return self._queues.setdefault(self._resolver.queue_key(row), ChatQueue())

    def _persons(self) -> set[PersonId | None]:
        return {row.person for queue in self._queues.values() for row in queue.rows} | {
            None if isinstance(key, str) else key for key in self._queues
        }


def _rank(queue: ChatQueue, row: CommandRow) -> tuple[bool, int, int]:
    """Started commands are first: those with an unanswered attempt, or with sent parts; then by priority."""
    is_started = bool(row.unanswered or row.parts_sent) or queue.started_row_id == row.id
    return not is_started, PRIORITY_RANKS.get(row.command.priority, 1), row.id


def _seconds_to_live(row: CommandRow, now: int) -> float:
    """Returns the seconds until a command expires, by the system clock, which survives a restart.

    They are never more than the ttl, also if the clock was set back since the command was accepted.
    """
    expires = row.accepted if row.expires is None else row.expires
    return min(expires - now, expires - row.accepted) / 1000
