"""The queues of the commands in memory, one for each chat; further commands wait in the journal.

- Within a chat the order is that of acceptance, or with `by_priority` the priority.
- A chat to which nothing can be sent fills only its own queue, up to `MAX_COMMANDS_PER_CHAT`. Its further
  commands stay in the journal until the queue is empty.
- A command of a chat without a queue stays in the journal while other commands before it are there.

Nothing is sent (`sender.py`) or written here.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from wx2mqtt.backoff import Backoff
from wx2mqtt.bridge.commands.resolver import ChatKey, CommandResolver
from wx2mqtt.bridge.outbox_reader import Coverage
from wx2mqtt.clock import boot_time, now_ms
from wx2mqtt.external.http import TemporarilyUnavailable
from wx2mqtt.model import PersonId
from wx2mqtt.store.records import CommandRow, ReplyTarget

# The largest number of commands of one chat in memory.
MAX_COMMANDS_PER_CHAT = 50

# From so many commands in memory on, no further chat is loaded from the journal.
MAX_COMMANDS_IN_MEMORY = 2000

# Rows that are read from the journal at a time.
READ_BATCH_ROWS = 200

# Rows that are read at a time with `by_priority`: all must be known to find the most important one.
MAX_SCANNED_ROWS = 10_000

# Lower ranks are sent first.
PRIORITY_RANKS = {"high": 0, "normal": 1, "low": 2}

# `JournaledCommands.list_due`.
LoadDueCommands = Callable[[int, Collection[PersonId | None]], Awaitable[list[CommandRow]]]

# The position of a command in its queue: lower ranks are sent first.
Rank = tuple[bool, int, int]


@dataclass(slots=True, kw_only=True, eq=False)
class QueuedCommand:
    """A command in memory. `expires_at` is in seconds of `boot_time`."""

    row: CommandRow
    queue: ChatQueue
    rank: Rank
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchFailure:
    """The url of row `row_id` could not be fetched `count` times in a row, at last because of `error`."""

    row_id: int
    error: TemporarilyUnavailable
    count: int


def _rank_of(command: QueuedCommand) -> Rank:
    return command.rank


class ChatQueue:
    """The commands of one chat; iterating gives their rows, the next one to send first.

    `paused_until` is a time of the loop's clock, in seconds. `has_backlog`: the journal has further commands
    of this chat, behind these. No command expires before `next_expiry`, in seconds of `boot_time`.
    """

    def __init__(self, key: ChatKey, *, by_priority: bool = False) -> None:
        self.key = key
        self._by_priority = by_priority
        self._commands: list[QueuedCommand] = []  # sorted by rank
        self._started: QueuedCommand | None = None
        self.backoff = Backoff()
        self.paused_until = 0.0
        self.has_backlog = False
        self.fetch_failure: FetchFailure | None = None
        self.next_expiry = float("inf")

    def __len__(self) -> int:
        return len(self._commands)

    def __iter__(self) -> Iterator[CommandRow]:
        return (command.row for command in self._commands)

    @property
    def first(self) -> CommandRow:
        """The next command to send. Raises `IndexError` when the queue is empty."""
        return self._commands[0].row

    @property
    def started(self) -> CommandRow | None:
        """The command whose attempt is marked in the journal, but not made yet."""
        return None if self._started is None else self._started.row

    def is_started(self, row: CommandRow) -> bool:
        """Returns whether a command is `started`."""
        return self._started is not None and self._started.row.id == row.id

    def clear_started(self) -> None:
        """Records that the marked attempt is being made, or that its mark is removed."""
        command, self._started = self._started, None
        if command is not None:
            self.replace_row(command, command.row)

    def mark_started(self, command: QueuedCommand) -> None:
        """Records that the attempt of a command of this queue is marked in advance."""
        self._started = command
        self.replace_row(command, command.row)

    def append(self, row: CommandRow) -> QueuedCommand:
        """Adds a command and returns its entry."""
        expires_at = boot_time() + _seconds_to_live(row, now_ms())
        command = QueuedCommand(row=row, queue=self, rank=self._rank(row), expires_at=expires_at)
        self._insert(command)
        return command

    def replace_row(self, command: QueuedCommand, row: CommandRow) -> None:
        """Replaces the row of a command of this queue, which may change its position."""
        self._take_out(command)
        command.row, command.rank = row, self._rank(row)
        self._insert(command)

    def remove(self, command: QueuedCommand) -> None:
        """Removes a command of this queue."""
        self._take_out(command)
        if self._started is command:
            self._started = None

    def record_fetch_failure(self, row: CommandRow, error: TemporarilyUnavailable) -> int:
        """Counts a failure to fetch the url of a command; returns how many there were in a row."""
        previous = self.fetch_failure
        count = previous.count + 1 if previous is not None and previous.row_id == row.id else 1
        self.fetch_failure = FetchFailure(row_id=row.id, error=error, count=count)
        return count

    def _insert(self, command: QueuedCommand) -> None:
        insort(self._commands, command, key=_rank_of)
        row = command.row
        may_end_early = row.unanswered or row.fallback  # `expiry.py` decides
        self.next_expiry = min(self.next_expiry, float("-inf") if may_end_early else command.expires_at)

    def _take_out(self, command: QueuedCommand) -> None:
        del self._commands[bisect_left(self._commands, command.rank, key=_rank_of)]

    def _rank(self, row: CommandRow) -> Rank:
        """Started commands are first: with an unanswered attempt, or with sent parts; then by priority."""
        if not self._by_priority:
            return False, 0, row.id
        is_started = bool(row.unanswered or row.parts_sent) or self.is_started(row)
        return not is_started, PRIORITY_RANKS.get(row.command.priority, 1), row.id


class ChatQueues:
    """The queues of one account, by `CommandResolver.queue_key`, which may change while a command waits.

    With `by_priority` the most important command of a chat is first, and all commands are in memory.
    """

    def __init__(self, resolver: CommandResolver, *, by_priority: bool = False) -> None:
        self._resolver = resolver
        self.by_priority = by_priority
        self._queues: dict[ChatKey, ChatQueue] = {}
        self._new_queues: list[ChatQueue] = []  # those that `take_new_queues` has not returned yet
        self._commands: dict[int, QueuedCommand] = {}  # by row id
        self._coverage = Coverage.BEHIND  # of the commands of chats without a queue

    # Queues

    def all_queues(self) -> list[ChatQueue]:
        return [*self._queues.values()]

    def take_new_queues(self) -> list[ChatQueue]:
        """Returns the queues that were added since the last call: nobody sends from them yet."""
        queues, self._new_queues = self._new_queues, []
        return queues

    def remove_empty(self, queue: ChatQueue) -> None:
        """Removes a queue without commands."""
        del self._queues[queue.key]
        if queue.has_backlog:
            self._coverage = Coverage.BEHIND

    def rekey(self) -> None:
        """Moves queues to their current key: a user of a command may have become a known person."""
        for queue in self.all_queues():
            new_key = self._resolver.queue_key(queue.first) if queue else queue.key
            if new_key != queue.key and new_key not in self._queues:
                self._queues[new_key] = self._queues.pop(queue.key)
                queue.key = new_key

    # Commands

    @property
    def waiting_count(self) -> int:
        """Number of commands in memory."""
        return len(self._commands)

    def add(self, row: CommandRow) -> None:
        """Adds an accepted command; one that is in a queue already gets its new reply targets."""
        if row.id in self._commands:
            self.replace_row(replace(self.current_row(row), replies=row.replies))
        elif (queue := self._queue_of(row)) is not None:
            self._append(queue, row)
        elif self.by_priority or self._coverage is Coverage.CAUGHT_UP:
            self._append(self._add_queue(row), row)
        else:
            self._coverage = Coverage.BEHIND  # it is loaded after the commands before it

    def current_row(self, row: CommandRow) -> CommandRow:
        """Returns the current row of a command in memory, else the row itself."""
        command = self._commands.get(row.id)
        return row if command is None else command.row

    def replies_to(self, row: CommandRow) -> tuple[ReplyTarget, ...]:
        """Returns the current reply targets of a command in memory, else none."""
        command = self._commands.get(row.id)
        return () if command is None else command.row.replies

    def replace_row(self, row: CommandRow) -> None:
        """Replaces the row of a command; does nothing for a command that is not in memory."""
        if (command := self._commands.get(row.id)) is not None:
            command.queue.replace_row(command, row)

    def reset_expiry(self, row: CommandRow) -> None:
        """Replaces the row of a command whose `expires` changed."""
        if (command := self._commands.get(row.id)) is not None:
            command.expires_at = boot_time() + _seconds_to_live(row, now_ms())
            command.queue.replace_row(command, row)

    def remove(self, row: CommandRow) -> None:
        """Removes a command; does nothing for a command that is not in memory."""
        if (command := self._commands.pop(row.id, None)) is not None:
            command.queue.remove(command)

    def mark_started(self, row: CommandRow) -> None:
        """Records that the attempt of a command is marked in the journal in advance."""
        if (command := self._commands.get(row.id)) is not None:
            command.queue.mark_started(command)

    def expires_at(self, row: CommandRow) -> float:
        """Returns when a command in memory expires, in seconds of `boot_time`.

        A machine without a clock battery starts with a wrong time that is corrected by hours later: no
        command may expire earlier or later because of that.
        """
        return self._commands[row.id].expires_at

    def fetch_error_of(self, row: CommandRow) -> TemporarilyUnavailable | None:
        """Returns why the last fetch of a command's url failed, None if it did not."""
        failure = self._commands[row.id].queue.fetch_failure
        if failure is None or failure.row_id != row.id or row.blob is not None:
            return None
        return failure.error

    # Loading from the journal

    @property
    def can_load(self) -> bool:
        """Whether the journal may have commands for which there is room in memory."""
        has_room = self.by_priority or self.waiting_count < MAX_COMMANDS_IN_MEMORY
        return has_room and self._coverage is not Coverage.CAUGHT_UP

    async def load(self, load_due: LoadDueCommands) -> None:
        """Loads commands from the journal while there is room in memory. Raises `StoreError`."""
        self._coverage = Coverage.READING
        load = self._load_all if self.by_priority else self._load_chats
        if not await load(load_due):
            self._coverage = Coverage.BEHIND
        elif self._coverage is Coverage.READING:  # nothing was left in the journal by `add` meanwhile
            self._coverage = Coverage.CAUGHT_UP

    async def _load_all(self, load_due: LoadDueCommands) -> bool:
        """Returns whether the journal has no further command."""
        rows = await load_due(MAX_SCANNED_ROWS, ())
        self._append_rows(rows)
        return len(rows) < MAX_SCANNED_ROWS

    async def _load_chats(self, load_due: LoadDueCommands) -> bool:
        """Returns whether each chat with commands in the journal has a queue now."""
        skipped = self._persons()
        while self.waiting_count < MAX_COMMANDS_IN_MEMORY:
            rows = await load_due(READ_BATCH_ROWS, skipped)
            keys_before = set(self._queues)
            self._append_rows(rows)
            if self._coverage is Coverage.BEHIND:  # `add` left a command there, perhaps of these chats
                self._mark_backlog(self._queues[key] for key in self._queues.keys() - keys_before)
            skipped = skipped | self._persons() | {row.person for row in rows}
            if len(rows) < READ_BATCH_ROWS:
                return None not in skipped  # None skips all unknown users at once: some may be left
            commands = map(self._commands.get, (row.id for row in rows))
            self._mark_backlog(command.queue for command in commands if command is not None)
        return False

    @staticmethod
    def _mark_backlog(queues: Iterable[ChatQueue]) -> None:
        """The next read skips these chats, and the journal may have further commands of them."""
        for queue in queues:
            queue.has_backlog = True

    def _append_rows(self, rows: Iterable[CommandRow]) -> None:
        for row in rows:
            if row.id not in self._commands:
                queue = self._queue_of(row)
                self._append(self._add_queue(row) if queue is None else queue, row)

    def _append(self, queue: ChatQueue, row: CommandRow) -> None:
        if not self.by_priority and (queue.has_backlog or len(queue) >= MAX_COMMANDS_PER_CHAT):
            queue.has_backlog = True
        else:
            self._commands[row.id] = queue.append(row)

    def _queue_of(self, row: CommandRow) -> ChatQueue | None:
        key = self._resolver.queue_key(row)
        if key not in self._queues:
            self.rekey()
        return self._queues.get(key)

    def _add_queue(self, row: CommandRow) -> ChatQueue:
        queue = ChatQueue(self._resolver.queue_key(row), by_priority=self.by_priority)
        self._queues[queue.key] = queue
        self._new_queues.append(queue)
        return queue

    def _persons(self) -> set[PersonId | None]:
        """Returns the persons of all queues; None stands for the users that are no known person."""
        persons: set[PersonId | None] = {row.person for queue in self._queues.values() for row in queue}
        return persons | {None if isinstance(key, str) else key for key in self._queues}


def _seconds_to_live(row: CommandRow, now: int) -> float:
    """Returns the seconds until a command expires, by the system clock, which survives a restart.

    They are never more than the ttl, also if the clock was set back since the command was accepted.
    """
    expires = row.accepted if row.expires is None else row.expires
    return min(expires - now, expires - row.accepted) / 1000
