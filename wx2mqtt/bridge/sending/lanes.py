"""The commands of one account in memory, a lane for each chat; what is more waits on disk, in its order.

A chat that is stuck fills its own lane only. Knows nothing of sending; `due` is the way to the disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from wx2mqtt.clock import now_ms, steady
from wx2mqtt.model import PersonId
from wx2mqtt.outside.trouble import NotNow
from wx2mqtt.retry import Backoff
from wx2mqtt.store.journal import CommandRow, Reply

PER_CHAT = 50  # commands of one chat
IN_MEMORY = 2000  # commands of all chats from which on no further chat is taken from the disk
CHUNK = 200  # rows read from the disk at a time
EVERYTHING = 10_000  # rows, where the most important one must be known

RANKS = {"high": 0, "normal": 1, "low": 2}

Key = PersonId | str
"""Whose lane it is: a person, or the name on the topic of somebody who is not known yet."""

Due = Callable[[int, Collection[PersonId | None]], Awaitable[list[CommandRow]]]
"""So many unsettled rows in order, but for these persons."""


@dataclass(slots=True)
class Lane:
    """The commands of one chat, oldest first.

    `pause` is a time of the loop's clock, in seconds. `begun` is the row whose attempt is marked already.
    `more`: there is more of this chat on disk, behind these rows. `trouble` is why the file of row `fetching`
    could not be fetched the last time, of `failures` times in a row.
    """

    rows: deque[CommandRow] = field(default_factory=deque)
    backoff: Backoff = field(default_factory=Backoff)
    pause: float = 0.0
    begun: int = 0
    working: bool = False
    more: bool = False
    fetching: int = 0
    trouble: NotNow | None = None
    failures: int = 0

    def fetch_failed(self, row_id: int, trouble: NotNow) -> None:
        """The file of a row could not be fetched."""
        self.failures = self.failures + 1 if self.fetching == row_id else 1
        self.fetching, self.trouble = row_id, trouble


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is, and when its time is over, by the steady clock."""

    lane: Lane
    ends: float


class Lanes:
    """All lanes. `behind` says that chats without a lane have commands on disk.

    `key_of` says whose lane a command belongs to; its answer may change while the command waits. With
    `by_priority` what is more important goes first, and all is in memory.
    """

    def __init__(self, key_of: Callable[[CommandRow], Key], *, by_priority: bool = False) -> None:
        self._key_of = key_of
        self.by_priority = by_priority
        self.behind = True
        self._filling = False
        self._lanes: dict[Key, Lane] = {}
        self._places: dict[int, Place] = {}

    @property
    def waiting(self) -> int:
        """Commands in memory."""
        return len(self._places)

    @property
    def wants(self) -> bool:
        """Whether something is on disk that there is room for."""
        return self.behind and (self.by_priority or self.waiting < IN_MEMORY)

    def all(self) -> list[Lane]:
        """Every lane."""
        return [*self._lanes.values()]

    def idle(self) -> list[Lane]:
        """Lanes that nobody works on."""
        return [lane for lane in self._lanes.values() if lane.rows and not lane.working]

    def replies(self, row: CommandRow) -> tuple[Reply, ...]:
        """Who waits for the result of a command in memory, by now."""
        return self._row(row.id).replies if row.id in self._places else ()

    def current(self, row: CommandRow) -> CommandRow:
        """What is known of a command by now."""
        return self._row(row.id) if row.id in self._places else row

    def add(self, row: CommandRow) -> None:
        """A command that was just accepted, or got another place to answer to."""
        if row.id in self._places:
            self.change(replace(self._row(row.id), replies=row.replies))
        elif (lane := self._lane_of(row)) is not None:
            self._append(lane, row)
        elif not self.by_priority and (self._filling or self.behind):
            self.behind = True  # behind what waits on disk: the order stays
        else:
            self._append(self._new_lane(row), row)

    def change(self, row: CommandRow) -> None:
        """More is known of a command; nothing happens to one that needs nothing any more."""
        if (place := self._places.get(row.id)) is not None:
            lane = place.lane
            lane.rows = deque(row if other.id == row.id else other for other in lane.rows)
            if self.by_priority:
                lane.rows = deque(sorted(lane.rows, key=partial(_rank, lane)))

    def extend(self, row: CommandRow) -> None:
        """A command waits until another time than was said."""
        if (place := self._places.get(row.id)) is not None:
            self._places[row.id] = Place(place.lane, steady() + _life(row, now_ms()))
            self.change(row)

    def fetch_trouble(self, row: CommandRow) -> NotNow | None:
        """Why the file of a command in memory is not there yet, where that was tried."""
        lane = self._places[row.id].lane
        return lane.trouble if lane.fetching == row.id and row.blob is None else None

    def forget(self, row: CommandRow) -> None:
        """A command needs nothing any more."""
        place = self._places.pop(row.id, None)
        if place is not None:
            place.lane.rows = deque(other for other in place.lane.rows if other.id != row.id)

    def sort(self) -> None:
        """Who was named before the first login may be known now: the lane is that person's from here on."""
        for key, lane in list(self._lanes.items()):
            now = self._key_of(lane.rows[0]) if lane.rows else key
            if now != key and now not in self._lanes:
                self._lanes[now] = self._lanes.pop(key)

    def close(self, lane: Lane) -> None:
        """A lane is empty."""
        self._lanes = {key: other for key, other in self._lanes.items() if other is not lane}
        self.behind |= lane.more

    async def fill(self, due: Due) -> None:
        """Take from the disk what there is room for."""
        if self.by_priority:
            await self._fill_whole(due)
            return
        self.behind, self._filling = False, True
        complete, skipped = False, self._persons()
        try:
            while self.waiting < IN_MEMORY and not complete:
                rows = await due(CHUNK, skipped)
                self._take(rows)
                complete = len(rows) < CHUNK
                if not complete:
                    self._expect_more(rows)
                skipped = skipped | self._persons() | {row.person for row in rows}
            complete = complete and None not in skipped  # whom nobody knows yet can only be skipped together
        finally:
            self._filling = False
            self.behind |= not complete

    async def _fill_whole(self, due: Due) -> None:
        self.behind = False
        rows = await due(EVERYTHING, ())
        for row in rows:
            if row.id not in self._places:
                self._append(self._lane_of(row) or self._new_lane(row), row)
        self.behind |= len(rows) == EVERYTHING

    def left(self, row: CommandRow) -> float:
        """Seconds until the time of a command in memory is over.

        By a clock that nobody sets: a machine without a battery starts with a wrong time and jumps by hours
        when it hears the right one, and nothing that waits may expire, or live longer, for that.
        """
        return self._places[row.id].ends - steady()

    def _row(self, row_id: int) -> CommandRow:
        return next(one for one in self._places[row_id].lane.rows if one.id == row_id)

    def _take(self, rows: Iterable[CommandRow]) -> None:
        known = set(self._lanes)
        for row in rows:
            if row.id not in self._places:
                self._append(self._lane_of(row) or self._new_lane(row), row)
        if (
            self.behind
        ):  # something was accepted after these were read, and passed over for whom had no lane yet
            for key in self._lanes.keys() - known:
                self._lanes[key].more = True

    def _expect_more(self, rows: Iterable[CommandRow]) -> None:
        """The reading ended in the middle of what these chats have, perhaps, and goes on without them."""
        for row in rows:
            if (place := self._places.get(row.id)) is not None:
                place.lane.more = True

    def _append(self, lane: Lane, row: CommandRow) -> None:
        if not self.by_priority and (lane.more or len(lane.rows) >= PER_CHAT):
            lane.more = True
            return
        last = lane.rows[-1] if lane.rows else row
        lane.rows.append(row)
        if self.by_priority and _rank(lane, row) < _rank(lane, last):
            lane.rows = deque(sorted(lane.rows, key=partial(_rank, lane)))
        self._places[row.id] = Place(lane, steady() + _life(row, now_ms()))

    def _lane_of(self, row: CommandRow) -> Lane | None:
        key = self._key_of(row)
        if key not in self._lanes:
            self.sort()
        return self._lanes.get(key)

    def _new_lane(self, row: CommandRow) -> Lane:
        return self._lanes.setdefault(self._key_of(row), Lane())

    def _persons(self) -> set[PersonId | None]:
        return {row.person for lane in self._lanes.values() for row in lane.rows} | {
            None if isinstance(key, str) else key for key in self._lanes
        }


def _rank(lane: Lane, row: CommandRow) -> tuple[bool, int, int]:
    """What has begun is brought to its end first: a doubt, or a text of which a part is out."""
    begun = bool(row.unknown or row.parts_sent) or lane.begun == row.id
    return not begun, RANKS.get(row.command.priority, 1), row.id


def _life(row: CommandRow, now: int) -> float:
    """Seconds that a command may wait from now on, by the clock on the wall, which survives a restart.

    A clock that was set back since it was accepted must not lengthen its life (DESIGN 4.2, `ttl`).
    """
    expires = row.accepted if row.expires is None else row.expires
    return min(expires - now, expires - row.accepted) / 1000
