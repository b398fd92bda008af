"""The commands of one account in memory, a lane for each chat; what is more waits on disk, in its order.

A chat that is stuck fills its own lane only. Knows nothing of sending; `due` is the way to the disk.
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

MAX_COMMANDS_PER_CHAT = 50  # commands of one chat
MAX_COMMANDS_IN_MEMORY = 2000  # commands of all chats from which on no further chat is taken from the disk
READ_BATCH_ROWS = 200  # rows read from the disk at a time
MAX_SCANNED_ROWS = 10_000  # rows, where the most important one must be known

PRIORITY_RANKS = {"high": 0, "normal": 1, "low": 2}

LoadDueCommands = Callable[[int, Collection[PersonId | None]], Awaitable[list[CommandRow]]]
"""So many unsettled rows in order, but for these persons."""


@dataclass(slots=True)
class ChatQueue:
    """The commands of one chat, oldest first.

    `pause` is a time of the loop's clock, in seconds. `begun` is the row whose attempt is marked already.
    `more`: there is more of this chat on disk, behind these rows. `trouble` is why the file of row `fetching`
    could not be fetched the last time, of `failures` times in a row.
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
        """The file of a row could not be fetched."""
        self.fetch_failures = self.fetch_failures + 1 if self.failed_fetch_row_id == row_id else 1
        self.failed_fetch_row_id, self.fetch_error = row_id, error


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Where a command is, and when its time is over, by the steady clock."""

    queue: ChatQueue
    expires_at: float


class ChatQueues:
    """All lanes. `behind` says that chats without a lane have commands on disk.

    The chat of a command may become another while it waits (`CommandResolver.queue_key`). With
    `by_priority` what is more important goes first, and all is in memory.
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
        """Commands in memory."""
        return len(self._positions)

    @property
    def can_load(self) -> bool:
        """Whether something is on disk that there is room for."""
        return self.has_more_on_disk and (self.by_priority or self.waiting_count < MAX_COMMANDS_IN_MEMORY)

    def all_queues(self) -> list[ChatQueue]:
        """Every lane."""
        return [*self._queues.values()]

    def idle_queues(self) -> list[ChatQueue]:
        """Lanes that nobody works on."""
        return [lane for lane in self._queues.values() if lane.rows and not lane.is_active]

    def replies_to(self, row: CommandRow) -> tuple[ReplyTarget, ...]:
        """Who waits for the result of a command in memory, by now."""
        return self._row(row.id).replies if row.id in self._positions else ()

    def current_row(self, row: CommandRow) -> CommandRow:
        """What is known of a command by now."""
        return self._row(row.id) if row.id in self._positions else row

    def add(self, row: CommandRow) -> None:
        """A command that was just accepted, or got another place to answer to."""
        if row.id in self._positions:
            self.replace_row(replace(self._row(row.id), replies=row.replies))
        elif (lane := self._queue_of(row)) is not None:
            self._append(lane, row)
        elif not self.by_priority and (self._loading or self.has_more_on_disk):
            self.has_more_on_disk = True  # behind what waits on disk: the order stays
        else:
            self._append(self._new_queue(row), row)

    def replace_row(self, row: CommandRow) -> None:
        """More is known of a command; nothing happens to one that needs nothing any more."""
        if (place := self._positions.get(row.id)) is not None:
            lane = place.queue
            lane.rows = deque(row if other.id == row.id else other for other in lane.rows)
            if self.by_priority:
                lane.rows = deque(sorted(lane.rows, key=partial(_rank, lane)))

    def reset_expiry(self, row: CommandRow) -> None:
        """A command waits until another time than was said."""
        if (place := self._positions.get(row.id)) is not None:
            self._positions[row.id] = QueuePosition(place.queue, monotonic() + _life(row, now_ms()))
            self.replace_row(row)

    def fetch_error_of(self, row: CommandRow) -> TemporarilyUnavailable | None:
        """Why the file of a command in memory is not there yet, where that was tried."""
        lane = self._positions[row.id].queue
        return lane.fetch_error if lane.failed_fetch_row_id == row.id and row.blob is None else None

    def remove(self, row: CommandRow) -> None:
        """A command needs nothing any more."""
        place = self._positions.pop(row.id, None)
        if place is not None:
            place.queue.rows = deque(other for other in place.queue.rows if other.id != row.id)

    def rekey(self) -> None:
        """Who was named before the first login may be known now: the lane is that person's from here on."""
        for key, lane in list(self._queues.items()):
            now = self._resolver.queue_key(lane.rows[0]) if lane.rows else key
            if now != key and now not in self._queues:
                self._queues[now] = self._queues.pop(key)

    def remove_empty(self, queue: ChatQueue) -> None:
        """A lane is empty."""
        self._queues = {key: other for key, other in self._queues.items() if other is not queue}
        self.has_more_on_disk |= queue.has_more_on_disk

    async def load(self, load_due: LoadDueCommands) -> None:
        """Take from the disk what there is room for."""
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
            complete = complete and None not in skipped  # whom nobody knows yet can only be skipped together
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
        """Seconds until the time of a command in memory is over.

        By a clock that nobody sets: a machine without a battery starts with a wrong time and jumps by hours
        when it hears the right one, and nothing that waits may expire, or live longer, for that.
        """
        return self._positions[row.id].expires_at - monotonic()

    def _row(self, row_id: int) -> CommandRow:
        return next(one for one in self._positions[row_id].queue.rows if one.id == row_id)

    def _append_rows(self, rows: Iterable[CommandRow]) -> None:
        known = set(self._queues)
        for row in rows:
            if row.id not in self._positions:
                self._append(self._queue_of(row) or self._new_queue(row), row)
        if (
            self.has_more_on_disk
        ):  # something was accepted after these were read, and passed over for whom had no lane yet
            for key in self._queues.keys() - known:
                self._queues[key].has_more_on_disk = True

    def _mark_more_on_disk(self, rows: Iterable[CommandRow]) -> None:
        """The reading ended in the middle of what these chats have, perhaps, and goes on without them."""
        for row in rows:
            if (place := self._positions.get(row.id)) is not None:
                place.queue.has_more_on_disk = True

    def _append(self, queue: ChatQueue, row: CommandRow) -> None:
        if not self.by_priority and (queue.has_more_on_disk or len(queue.rows) >= MAX_COMMANDS_PER_CHAT):
            queue.has_more_on_disk = True
            return
        last = queue.rows[-1] if queue.rows else row
        queue.rows.append(row)
        if self.by_priority and _rank(queue, row) < _rank(queue, last):
            queue.rows = deque(sorted(queue.rows, key=partial(_rank, queue)))
        self._positions[row.id] = QueuePosition(queue, monotonic() + _life(row, now_ms()))

    def _queue_of(self, row: CommandRow) -> ChatQueue | None:
        key = self._resolver.queue_key(row)
        if key not in self._queues:
            self.rekey()
        return self._queues.get(key)

    def _new_queue(self, row: CommandRow) -> ChatQueue:
        return self._queues.setdefault(self._resolver.queue_key(row), ChatQueue())

    def _persons(self) -> set[PersonId | None]:
        return {row.person for lane in self._queues.values() for row in lane.rows} | {
            None if isinstance(key, str) else key for key in self._queues
        }


def _rank(queue: ChatQueue, row: CommandRow) -> tuple[bool, int, int]:
    """What has begun is brought to its end first: a doubt, or a text of which a part is out."""
    begun = bool(row.unanswered or row.parts_sent) or queue.started_row_id == row.id
    return not begun, PRIORITY_RANKS.get(row.command.priority, 1), row.id


def _life(row: CommandRow, now: int) -> float:
    """Seconds that a command may wait from now on, by the clock on the wall, which survives a restart.

    A clock that was set back since it was accepted must not lengthen its life (`ttl`).
    """
    expires = row.accepted if row.expires is None else row.expires
    return min(expires - now, expires - row.accepted) / 1000
