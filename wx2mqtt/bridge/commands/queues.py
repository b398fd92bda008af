"""The queues of the commands in memory, one for each chat; further commands wait in the journal.

- Within a chat the order is that of acceptance, or with `by_priority` the priority.
- A chat to which nothing can be sent fills only its own queue, up to `MAX_COMMANDS_PER_CHAT`. Its further
  commands stay in the journal until the queue is empty.
- The journal is read in order, without the commands of the chats that have a queue. It knows a command by its
  stored recipient; several of these may be one chat, such as a user and the person that it turned out to be.
  So the oldest commands of a chat are read first, whatever waits for others.
- A new command makes a queue for its chat only while the journal has no command of a chat without one.

A `ChatQueue` orders the commands of one chat. `ChatQueues` finds the queue of a command by its row id or its
recipient, and passes the operation on; it does nothing for a command that is in no queue (any more).

A command is *marked* from the commit that marks its attempt in the journal, together with its acceptance or
with the result of the command before it, until the attempt is made or the mark is removed. It stays first,
and it is not given up.

The commands of a bundle (`bundles.py`) stand at the begin of their queue, in the order of their text.

Nothing is sent (`sender.py`) or written here.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import replace

from wx2mqtt.backoff import Backoff
from wx2mqtt.bridge.commands.resolver import ChatKey, CommandResolver
from wx2mqtt.clock import boot_time, now_ms
from wx2mqtt.external.http import TemporarilyUnavailable
from wx2mqtt.model import PersonId, is_own_text
from wx2mqtt.store.records import CommandRow, Recipient, ReplyTarget
from wx2mqtt.values import frozen

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
LoadDueCommands = Callable[[int, Collection[Recipient]], Awaitable[list[CommandRow]]]

# The position of a command in its queue: lower ranks are sent first.
Rank = tuple[bool, int, int, int]


@frozen
class QueuedCommand:
    """A command in its queue. `expires_at` is in seconds of `boot_time`."""

    row: CommandRow
    rank: Rank
    expires_at: float


@frozen
class FetchFailure:
    """The url of row `row_id` could not be fetched `count` times in a row, at last because of `error`."""

    row_id: int
    error: TemporarilyUnavailable
    count: int


def _rank_of(command: QueuedCommand) -> Rank:
    return command.rank


class ChatQueue:
    """The commands of one chat; iterating gives their rows, the next one to send first.

    `paused_until` is a time of the loop's clock, in seconds. `recipients` are those of all commands that came
    for this chat. `has_backlog`: the journal has further commands of this chat, behind these. No command
    expires before `next_expiry`, in seconds of `boot_time`.

    For `bundles.py`: `refused_in_bundle` are the row ids of the commands of a bundle that WeChat refused, and
    `digest_until` is the end of the reply window in which the last digest was begun.
    """

    def __init__(self, key: ChatKey, *, by_priority: bool = False) -> None:
        self.key = key
        self._by_priority = by_priority
        self._commands: list[QueuedCommand] = []  # sorted by rank
        self._by_id: dict[int, QueuedCommand] = {}  # the same by row id
        self._marked_ids: set[int] = set()
        self.backoff = Backoff()
        self.paused_until = 0.0
        self.recipients: set[Recipient] = set()
        self.has_backlog = False
        self.fetch_failure: FetchFailure | None = None
        self.refused_in_bundle: set[int] = set()
        self.digest_until: int | None = None
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
    def first_important(self) -> CommandRow | None:
        """The next command to send that may use the reserve of a reply window; None without one."""
        return next(filter(is_important, self), None)

    def current_row(self, row: CommandRow) -> CommandRow:
        """Returns the current row of a command of this queue."""
        return self._by_id[row.id].row

    def is_current(self, row: CommandRow) -> bool:
        """Returns whether a command is in this queue and its row has not changed."""
        command = self._by_id.get(row.id)
        return command is not None and command.row == row

    def members_of(self, row: CommandRow) -> tuple[CommandRow, ...]:
        """Returns the commands of the bundle of this command, in order; only itself if it is in none."""
        if row.bundle is None:
            return (row,)
        return tuple(member for member in self if member.bundle == row.bundle)

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
        self._insert(row, self._take_out(row).expires_at)

    def reset_expiry(self, row: CommandRow) -> None:
        """Replaces the row of a command whose `expires` changed."""
        self._take_out(row)
        self.append(row)

    def remove(self, row: CommandRow) -> None:
        """Removes a command."""
        self._take_out(row)
        self._marked_ids.discard(row.id)
        self.refused_in_bundle.discard(row.id)

    @property
    def marked(self) -> list[CommandRow]:
        """The commands whose attempts are marked in the journal, but not made yet."""
        return [self._by_id[row_id].row for row_id in self._marked_ids]

    def is_marked(self, row: CommandRow) -> bool:
        """Returns whether a command is `marked`."""
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
        """Returns whether a command is marked, unanswered, in a bundle, or has sent parts."""
        return row.bundle is not None or bool(row.unanswered or row.parts_sent) or self.is_marked(row)

    def record_fetch_failure(self, row: CommandRow, error: TemporarilyUnavailable) -> int:
        """Counts a failure to fetch the url of a command; returns how many there were in a row."""
        previous = self.fetch_failure
        count = previous.count + 1 if previous is not None and previous.row_id == row.id else 1
        self.fetch_failure = FetchFailure(row_id=row.id, error=error, count=count)
        return count

    def _insert(self, row: CommandRow, expires_at: float) -> None:
        command = QueuedCommand(row=row, rank=self._rank(row), expires_at=expires_at)
        insort(self._commands, command, key=_rank_of)
        self._by_id[row.id] = command
        may_end_early = row.unanswered or row.fallback  # `expiry.py` decides
        self.next_expiry = min(self.next_expiry, float("-inf") if may_end_early else expires_at)

    def _take_out(self, row: CommandRow) -> QueuedCommand:
        command = self._by_id.pop(row.id)
        del self._commands[bisect_left(self._commands, command.rank, key=_rank_of)]
        return command

    def _rank(self, row: CommandRow) -> Rank:
        """Begun commands are first, then those of high priority."""
        if not self._by_priority:
            return False, 0, 0, row.id
        priority = PRIORITY_RANKS.get(row.command.priority, 1)
        return not self.is_begun(row), row.bundle_position, priority, row.id


class ChatQueues:
    """The queues of one account, by `CommandResolver.queue_key`, which may change while a command waits.

    With `by_priority` the most important command of a chat is first, and all commands are in memory.
    """

    def __init__(self, resolver: CommandResolver, *, by_priority: bool = False) -> None:
        self._resolver = resolver
        self.by_priority = by_priority
        self._queues: dict[ChatKey, ChatQueue] = {}
        self._new_queues: list[ChatQueue] = []  # those that `take_new_queues` has not returned yet
        self._queues_by_row: dict[int, ChatQueue] = {}  # by row id
        self._all_loaded = False  # the journal has no command of a chat without a queue
        self._left_count = 0  # how often something was left in the journal; `load` compares it

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
            self._leave_in_journal()

    def rekey(self) -> None:
        """Moves queues to their current key: a user of a command may have become a known person."""
        for queue in self.all_queues():
            new_key = self._resolver.queue_key(queue.first) if queue else queue.key
            if new_key != queue.key and new_key not in self._queues:
                self._queues[new_key] = self._queues.pop(queue.key)
                queue.key = new_key

    def rows_of(self, person: PersonId) -> Iterable[CommandRow]:
        """Returns the commands in memory for one person."""
        return self._queues.get(person, ())

    # Commands

    @property
    def chat_count(self) -> int:
        """Number of chats with commands in memory."""
        return len(self._queues)

    @property
    def waiting_count(self) -> int:
        """Number of commands in memory."""
        return len(self._queues_by_row)

    def would_be_first(self, row: CommandRow) -> bool:
        """Returns whether a command that is accepted now has no other of its chat before it."""
        return self._all_loaded and self._queue_of(row) is None

    def add(self, row: CommandRow) -> None:
        """Adds an accepted command; one that is in a queue already gets its new reply targets."""
        if row.id in self._queues_by_row:
            self.replace_row(replace(self.current_row(row), replies=row.replies))
        elif (queue := self._queue_of(row)) is not None:
            self._append(queue, row)
        elif self.by_priority or self._all_loaded:
            self._append(self._add_queue(row), row)
        else:
            self._leave_in_journal()  # it is loaded after the commands before it

    def current_row(self, row: CommandRow) -> CommandRow:
        """Returns the current row of a command in memory, else the row itself."""
        queue = self._queues_by_row.get(row.id)
        return row if queue is None else queue.current_row(row)

    def replies_to(self, row: CommandRow) -> tuple[ReplyTarget, ...]:
        """Returns the current reply targets of a command in memory, else none."""
        queue = self._queues_by_row.get(row.id)
        return () if queue is None else queue.current_row(row).replies

    def replace_row(self, row: CommandRow) -> None:
        """As `ChatQueue.replace_row`."""
        if (queue := self._queues_by_row.get(row.id)) is not None:
            queue.replace_row(row)

    def reset_expiry(self, row: CommandRow) -> None:
        """As `ChatQueue.reset_expiry`."""
        if (queue := self._queues_by_row.get(row.id)) is not None:
            queue.reset_expiry(row)

    def set_marked(self, row: CommandRow) -> None:
        """As `ChatQueue.set_marked`."""
        if (queue := self._queues_by_row.get(row.id)) is not None:
            queue.set_marked(row)

    def set_bundle(self, stored: Iterable[CommandRow]) -> None:
        """Records that these commands are a bundle; a heading of the bridge's own is new."""
        for row in stored:
            if row.id in self._queues_by_row:
                bundle, position = row.bundle, row.bundle_position
                self.replace_row(replace(self.current_row(row), bundle=bundle, bundle_position=position))
            elif is_own_text(row.command_id):
                self.add(row)

    def release_bundle(self, members: Iterable[CommandRow]) -> None:
        """Records that these commands wait on their own again; a heading of the bridge's own is removed."""
        for row in members:
            if is_heading(row):
                self.remove(row)
            else:
                self.replace_row(replace(self.current_row(row), bundle=None, bundle_position=0))

    def remove(self, row: CommandRow) -> None:
        """As `ChatQueue.remove`."""
        if (queue := self._queues_by_row.pop(row.id, None)) is not None:
            queue.remove(row)

    def expires_at(self, row: CommandRow) -> float:
        """Returns `ChatQueue.expires_at` of a command in memory."""
        return self._queues_by_row[row.id].expires_at(row)

    def fetch_error_of(self, row: CommandRow) -> TemporarilyUnavailable | None:
        """Returns why the last fetch of a command's url failed, None if it did not."""
        failure = self._queues_by_row[row.id].fetch_failure
        if failure is None or failure.row_id != row.id or row.blob is not None:
            return None
        return failure.error

    # Loading from the journal

    @property
    def can_load(self) -> bool:
        """Whether the journal may have commands for which there is room in memory."""
        has_room = self.by_priority or self.waiting_count < MAX_COMMANDS_IN_MEMORY
        return has_room and not self._all_loaded

    async def load(self, load_due: LoadDueCommands) -> None:
        """Loads commands from the journal while there is room in memory. Raises `StoreError`."""
        self._all_loaded = False
        left_before = self._left_count
        load = self._load_all if self.by_priority else self._load_chats
        is_complete = await load(load_due)
        self._all_loaded = is_complete and self._left_count == left_before

    async def _load_all(self, load_due: LoadDueCommands) -> bool:
        """Returns whether the journal has no further command."""
        rows = await load_due(MAX_SCANNED_ROWS, ())
        self._append_rows(rows)
        return len(rows) < MAX_SCANNED_ROWS

    async def _load_chats(self, load_due: LoadDueCommands) -> bool:
        """Reads the first commands of the chats without a queue, until each has one or memory is full.

        Returns whether each chat with commands in the journal has a queue now.
        """
        left_before = self._left_count
        while self.waiting_count < MAX_COMMANDS_IN_MEMORY:
            recipients = {recipient for queue in self.all_queues() for recipient in queue.recipients}
            rows = await load_due(READ_BATCH_ROWS, recipients)
            self._append_rows(rows)
            is_last = len(rows) < READ_BATCH_ROWS
            if not is_last or self._left_count != left_before:
                # The next read skips these chats, and the journal may have further commands of them.
                for queue in filter(None, (self._queues_by_row.get(row.id) for row in rows)):
                    queue.has_backlog = True
            if is_last:
                return True
        return False

    def _leave_in_journal(self) -> None:
        """Records that a command of a chat without a queue stays in the journal."""
        self._all_loaded = False
        self._left_count += 1

    def _append_rows(self, rows: Iterable[CommandRow]) -> None:
        for row in rows:
            if row.id not in self._queues_by_row:
                queue = self._queue_of(row)
                self._append(self._add_queue(row) if queue is None else queue, row)

    def _append(self, queue: ChatQueue, row: CommandRow) -> None:
        """Adds a command to a queue, or leaves it in the journal behind the others of its chat."""
        queue.recipients.add(row.recipient)
        if not self.by_priority and (queue.has_backlog or len(queue) >= MAX_COMMANDS_PER_CHAT):
            queue.has_backlog = True
        else:
            queue.append(row)
            self._queues_by_row[row.id] = queue

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
