"""The commands that wait in memory, in a queue for each chat; further commands wait in the journal.

A command comes: it is added to the queue of its chat (`add`). The process starts, or a queue was full and is
empty: the journal is read (`load`), in order, without the commands of the chats that have a queue.

So a chat to which nothing can be sent fills only its own queue (`chat_queue.py`), and the oldest commands of
a chat are read first, whatever waits for others. Nothing is sent (`sender.py`) or written here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable
from enum import Enum, auto
from typing import Any

from wx2mqtt.bridge.commands.chat_queue import ChatQueue, is_heading
from wx2mqtt.bridge.commands.resolver import ChatKey, CommandResolver, needs_fetch
from wx2mqtt.clock import loop_time
from wx2mqtt.model import is_own_text
from wx2mqtt.store.command_records import CommandRow, Recipient

# The largest number of commands of one chat in memory; the further ones wait until its queue is empty. Those
# whose file must be fetched first do not count: what stands behind them must not wait for them.
MAX_COMMANDS_PER_CHAT = 50

# From so many commands in memory on, no further chat is loaded from the journal.
MAX_COMMANDS_IN_MEMORY = 2000

# Rows that are read from the journal at a time.
READ_BATCH_ROWS = 200

# Rows that are read at a time with `by_priority`: all must be known to find the most important one.
MAX_SCANNED_ROWS = 10_000

# How often expired commands are looked for in the journal while some may be there and not in memory.
EXPIRY_CHECK_SECONDS = 5.0

# `JournaledCommands.list_due`.
LoadDueCommands = Callable[[int, Collection[Recipient]], Awaitable[list[CommandRow]]]

# `JournaledCommands.list_expired`, with the time.
LoadExpiredCommands = Callable[[int, Collection[int]], Awaitable[list[CommandRow]]]


class LoadState(Enum):
    """What is known of the commands in the journal whose chat has no queue."""

    INCOMPLETE = auto()  # there may be some
    LOADING = auto()  # the journal is being read, and no queue with a backlog was removed since
    COMPLETE = auto()  # there are none


class WaitingCommands:
    """The commands of one account that wait, by chat; with `by_priority` all of them are in memory."""

    def __init__(self, resolver: CommandResolver, *, by_priority: bool = False) -> None:
        self._resolver = resolver
        self.by_priority = by_priority
        #: By chat; only this class changes it.
        self.queues: dict[ChatKey, ChatQueue] = {}
        #: Those from which nobody sends yet; `sender.py` takes them.
        self.new_queues: deque[ChatQueue] = deque()
        #: By row id: the queue in which the command is.
        self._queues_by_row: dict[int, ChatQueue] = {}
        #: Those of chats of which the journal has further commands, behind these.
        self._with_backlog: set[ChatQueue] = set()
        self._load_state = LoadState.INCOMPLETE
        #: While the journal is read: the commands that come for chats without a queue, each with whether its
        #: attempt has begun. The read may have been too early for them. None at other times.
        self._added_while_reading: list[tuple[CommandRow, bool]] | None = None
        #: In seconds of the loop's clock.
        self._expiry_check_at = 0.0

    # Queues

    def remove_empty(self, queue: ChatQueue) -> None:
        del self.queues[queue.key]
        if queue in self._with_backlog:
            self._with_backlog.remove(queue)
            self._load_state = LoadState.INCOMPLETE

    def recheck(self) -> None:
        """Makes all chats look for their next step, under their current key."""
        self.update_keys()
        for queue in self.queues.values():
            queue.wake.set()

    def update_keys(self) -> None:
        """Moves queues to their current key: a user of a command may have become a known person."""
        for queue in [*self.queues.values()]:
            some_row = next(iter(queue.rows.values()), None)
            new_key = queue.key if some_row is None else self._resolver.chat_key(some_row)
            if new_key != queue.key and new_key not in self.queues:
                self.queues[new_key] = self.queues.pop(queue.key)
                queue.key = new_key

    # Commands

    @property
    def count(self) -> int:
        """Number of commands in memory."""
        return len(self._queues_by_row)

    def would_be_first(self, key: ChatKey) -> bool:
        """Returns whether a command that is accepted now has no other of its chat before it."""
        return self._load_state is LoadState.COMPLETE and self._find_queue(key) is None

    def add(self, row: CommandRow, *, is_begun: bool = False) -> None:
        """Adds an accepted command; one that is in a queue already gets its new reply targets.

        It makes a queue for its chat only while no command of a chat without one is in the journal. Else it
        follows when the commands before it are loaded.
        """
        if row.id in self._queues_by_row:
            self.change(row.id, replies=row.replies)
            return
        key = self._resolver.chat_key(row)
        may_be_first = self._load_state is LoadState.COMPLETE or self.by_priority
        if may_be_first or self._find_queue(key) is not None:
            self._append(key, row, is_begun=is_begun)
        elif self._added_while_reading is not None:
            self._added_while_reading.append((row, is_begun))

    def find(self, row_id: int) -> CommandRow | None:
        """Returns the current row of a command; None where it is not in memory."""
        queue = self._queues_by_row.get(row_id)
        return None if queue is None else queue.rows.get(row_id)

    def change(self, row_id: int, **values: Any) -> None:
        """Changes fields of a row by name; without effect where it is not in memory."""
        if (queue := self._queues_by_row.get(row_id)) is not None:
            queue.change(row_id, **values)

    def remove(self, row_id: int) -> None:
        if (queue := self._queues_by_row.pop(row_id, None)) is not None:
            queue.remove(row_id)

    # Combined messages

    def combine(self, stored: Iterable[CommandRow]) -> None:
        """Records that these commands are one message; a heading of the bridge's own is new."""
        for row in stored:
            if row.id in self._queues_by_row:
                self.change(row.id, leader=row.leader, combined_position=row.combined_position)
            elif is_own_text(row.command_id):
                self.add(row)

    def separate(self, members: Iterable[CommandRow]) -> None:
        """Records that these commands wait on their own again; a heading of the bridge's own is removed."""
        for row in members:
            if is_heading(row):
                self.remove(row.id)
            else:
                self.change(row.id, leader=None, combined_position=0)

    # Loading from the journal

    @property
    def has_all(self) -> bool:
        """Whether the journal has no command that is not in memory."""
        return self._load_state is LoadState.COMPLETE and not self._with_backlog

    @property
    def can_load(self) -> bool:
        """Whether the journal may have commands for which there is room in memory."""
        if self._load_state is LoadState.COMPLETE:
            return False
        return self.by_priority or self.count < MAX_COMMANDS_IN_MEMORY

    async def load(self, load_due: LoadDueCommands) -> None:
        """Loads commands from the journal while there is room in memory. Raises `StoreError`."""
        self._load_state = LoadState.LOADING
        if self.by_priority:
            rows = await load_due(MAX_SCANNED_ROWS, ())
            self._append_rows(rows)
            has_all = len(rows) < MAX_SCANNED_ROWS
        else:
            has_all = await self._load_chats(load_due)
        is_complete = has_all and self._load_state is LoadState.LOADING
        self._load_state = LoadState.COMPLETE if is_complete else LoadState.INCOMPLETE

    def seconds_until_expiry_check(self) -> float | None:
        """Returns when to call `load_expired`: in so many seconds, 0 now, None while all are in memory."""
        if self.by_priority or self.has_all:
            return None
        return max(0.0, self._expiry_check_at - loop_time())

    async def load_expired(self, load_expired: LoadExpiredCommands) -> None:
        """Loads commands that have expired in the journal, whatever is before them. Raises `StoreError`.

        So each gets its result in time, however long the commands before it wait. With `by_priority` all
        commands are in memory, and it is not needed.
        """
        for row in await load_expired(READ_BATCH_ROWS, [*self._queues_by_row]):
            key = self._resolver.chat_key(row)
            queue = self._find_queue(key)
            if queue is None and self._load_state is not LoadState.COMPLETE:
                self._append(key, row)
                self._with_backlog.add(self.queues[key])
            elif queue is not None and queue in self._with_backlog and row.id not in self._queues_by_row:
                queue.append(row)
                self._queues_by_row[row.id] = queue
        self._expiry_check_at = loop_time() + EXPIRY_CHECK_SECONDS

    async def _load_chats(self, load_due: LoadDueCommands) -> bool:
        """Reads the first commands of the chats without a queue, until each has one or memory is full.

        Returns whether each chat with commands in the journal has a queue now. The journal knows a command by
        its stored recipient: several of these may be one chat, such as a user who became a known person.
        """
        while self.count < MAX_COMMANDS_IN_MEMORY:
            recipients = {recipient for queue in self.queues.values() for recipient in queue.recipients}
            added = self._added_while_reading = []
            try:
                rows = await load_due(READ_BATCH_ROWS, recipients)
            finally:
                self._added_while_reading = None
            self._append_rows(rows)
            is_last = len(rows) < READ_BATCH_ROWS
            if not is_last:
                # The next read skips these chats, and the journal may have further commands of them.
                queues = (self._queues_by_row.get(row.id) for row in rows)
                self._with_backlog.update(queue for queue in queues if queue is not None)
            self._append_added(added, is_last_read=is_last)
            if is_last:
                return True
        return False

    def _append_added(self, added: Iterable[tuple[CommandRow, bool]], *, is_last_read: bool) -> None:
        """Adds the commands that came during a read to the queues of their chats, behind what was read.

        Of a chat without a queue the journal may have earlier commands, except after the last read.
        """
        has_read_all = is_last_read and self._load_state is LoadState.LOADING
        for row, is_begun in added:
            if row.id in self._queues_by_row:
                continue
            key = self._resolver.chat_key(row)
            if has_read_all or self._find_queue(key) is not None:
                self._append(key, row, is_begun=is_begun)

    def _append_rows(self, rows: Iterable[CommandRow]) -> None:
        for row in rows:
            if row.id not in self._queues_by_row:
                self._append(self._resolver.chat_key(row), row)

    def _append(self, key: ChatKey, row: CommandRow, *, is_begun: bool = False) -> None:
        """Adds a command to the queue of its chat, or leaves it in the journal, behind the others of that."""
        queue = self._find_queue(key)
        if queue is None:
            queue = self.queues[key] = ChatQueue(key, by_priority=self.by_priority)
            self.new_queues.append(queue)
        queue.recipients.add(row.command.user if row.person is None else row.person)
        is_full = len(queue.waiting.rows) - len(queue.waiting.unfetched) >= MAX_COMMANDS_PER_CHAT
        has_backlog = queue in self._with_backlog
        if not self.by_priority and (has_backlog or (is_full and not needs_fetch(row))):
            self._with_backlog.add(queue)
            return
        queue.append(row)
        self._queues_by_row[row.id] = queue
        if is_begun:
            queue.begun_id = row.id

    def _find_queue(self, key: ChatKey) -> ChatQueue | None:
        """Returns the queue of a chat. Where no queue has its key, all queues get their current key first."""
        if key not in self.queues and self.queues:
            self.update_keys()
        return self.queues.get(key)
