"""The one loop that empties the journal towards MQTT: take, publish, await the PUBACK, settle.

Order is kept per topic; a topic that the broker refuses waits while the others go on (DESIGN 4.3). Nothing is
forgotten but what the journal says is settled: after a reconnect all that has no PUBACK goes out again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.outlet import HEAD_DISCONNECTS, WINDOW, Outlet
from wx2mqtt.clock import steady
from wx2mqtt.errors import HungUp, PublishRefused, StoreError
from wx2mqtt.mqtt.link import Publication
from wx2mqtt.mqtt.payloads import cut, without_bytes
from wx2mqtt.store.journal import Journal, Row

log = structlog.get_logger(__name__)

GATHER = 0.005  # seconds in which acknowledgements are gathered for one commit
CHUNK = 200  # rows read from the journal at a time
REFUSED_PAUSE = 300.0  # seconds until a refused topic is tried again (DESIGN 4.3)
REFUSED_TOO_LONG = 7 * 86_400.0  # seconds of nothing but refusals after which rows of a topic are dropped
HUNG_UP_FOR_IT = 10.0  # a broker that hangs up within so many seconds of a refusal may do so because of it

Dropped = Callable[[str, int], None]
"""Told of a topic that was refused for seven days and of how many rows were dropped."""


class Pump:
    """Publishes what waits in one account's journal."""

    def __init__(self, journal: Journal, outlet: Outlet, dropped: Dropped) -> None:
        self._journal = journal
        self._outlet = outlet
        self._dropped = dropped
        outlet.vacant = self._make_use
        self._more = asyncio.Event()
        self._settle = asyncio.Event()
        self._answered = asyncio.Event()
        self._finishing = False
        self._after = 0
        self._exhausted = False  # nothing lies in the journal behind what was read
        self._turn = 0  # counts what makes a read of the journal that is under way useless
        self._open: dict[int, Row] = {}
        self._acknowledged: dict[int, None] = {}
        self._settling: frozenset[int] = frozenset()
        self._refused: dict[str, float] = {}
        self._refused_since: dict[str, float] = {}
        self._ready: deque[Row] = deque()
        self._catch_up: deque[tuple[str, int, int]] = deque()
        self._releasing: dict[str, tuple[int, int]] = {}  # from where on unread, and how many releases
        self._put_by: set[int] = set()
        self._cut: dict[int, int] = {}
        self._chores: deque[Callable[[], Awaitable[None]]] = deque()
        self._bare: set[int] = set()  # messages that go out without the bytes in them
        self._head: Row | None = None
        self._head_disconnects = 0
        self.published = 0
        self.set_aside = 0

    @property
    def refused(self) -> tuple[str, ...]:
        """Topics that the broker does not take."""
        return tuple(self._refused)

    def wake(self) -> None:
        """Something new was committed."""
        self._exhausted = False
        self._more.set()

    def releasing(self, topic: str) -> None:
        """A message of this topic that is held is about to be let go; `released` must follow.

        In between nothing more of the topic is read: it would overtake what is let go.
        """
        begin, count = self._releasing.get(topic, (self._after, 0))
        self._releasing[topic] = min(begin, self._take_catch_up(topic)), count + 1
        self._turn += 1

    def released(self, topic: str, row_id: int | None) -> None:
        """It goes out now, and what waited behind it; None: it was not held any more."""
        begin, count = self._releasing.pop(topic)
        if row_id is not None:
            begin = min(begin, row_id - 1)
        if count > 1:
            self._releasing[topic] = begin, count - 1
        else:
            self._read_again(topic, begin)

    def _take_catch_up(self, topic: str) -> int:
        """From where on the topic is unread."""
        known = next((one for one in self._catch_up if one[0] == topic), None)
        if known is None:
            return self._after
        self._catch_up.remove(known)
        return known[1]

    def _read_again(self, topic: str, begin: int) -> None:
        """What lies behind `begin` was left out of what was read of a topic."""
        begin = min(begin, self._take_catch_up(topic))
        self._turn += 1
        self._exhausted = False
        if begin < self._after:
            self._catch_up.append((topic, begin, self._after))
        self._more.set()

    def _make_use(self) -> None:
        """There is room again, of which the retained topics had their share."""
        self._more.set()

    def connected(self) -> None:
        """A new connection: all that has no PUBACK goes out again, in its old order."""
        self._turn += 1
        self._after = 0
        self._exhausted = False
        self._settling = frozenset(self._acknowledged)
        self._cut.clear()  # this broker may take more
        self._ready.clear()
        self._catch_up.clear()
        self._releasing = {topic: (0, count) for topic, (_, count) in self._releasing.items()}
        self._more.set()

    def disconnected(self) -> None:
        """The connection is gone; what was open has been told so and waits in the journal.

        The next one may allow what this one refused. But mosquitto with `max_queued_messages 0` hangs up
        after each refusal: what was refused just now keeps its pause, or the others would never get a turn.
        """
        since = _clock() - HUNG_UP_FOR_IT
        self._refused = {topic: at for topic, at in self._refused.items() if at > since}
        if self._head is not None and self._head_disconnects >= HEAD_DISCONNECTS:
            self._head_disconnects = 0
            self._relieve(self._head)

    async def run(self) -> None:
        """Publish and settle until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_all())
            tasks.create_task(self._settle_all())

    async def _publish_all(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            await insist(self._publish_waiting)

    async def _settle_all(self) -> None:
        while True:
            await self._settle.wait()
            if len(self._acknowledged) < WINDOW // 2:
                await asyncio.sleep(GATHER)
            self._settle.clear()
            await insist(self._settle_gathered)

    async def finish(self, seconds: float) -> None:
        """At an orderly stop: take no more, and wait for what is open, so that none of it need come again.

        Raises `StoreError`.
        """
        self._finishing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._open:
                    self._answered.clear()
                    await self._answered.wait()
        await self._settle_gathered()

    async def _publish_waiting(self) -> None:
        while (room := self._room) > 0:
            if self._ready:
                self._publish_ready(room)
            elif self._exhausted and not self._catch_up:
                return
            else:
                await self._read_ahead()

    def _publish_ready(self, room: int) -> None:
        for _ in range(min(room, len(self._ready))):
            if not self._ready:
                return  # a publish that ended the connection has emptied it
            row = self._ready.popleft()
            if row.topic not in self._refused and self._is_fresh(row):
                self._publish(row)

    @property
    def _room(self) -> int:
        """How many more may go out now.

        What is acknowledged but not settled counts too: it would be published again after a crash, and that
        should never be more than a window. After a disconnect the first one goes alone: then we know whether
        the broker hangs up on it, and no PUBACK of an innocent one can go down with the connection.
        """
        if self._finishing:
            return 0
        window = 1 if self._head_disconnects else WINDOW
        return min(self._outlet.room, window - len(self._open) - len(self._acknowledged))

    async def _settle_gathered(self) -> None:
        while self._chores:
            await self._chores[0]()
            self._chores.popleft()
        ids = list(self._acknowledged)
        if ids:
            await self._journal.published(ids)
            for row_id in ids:
                self._acknowledged.pop(row_id, None)
            self._more.set()

    async def _read_ahead(self) -> None:
        """The next rows: first of topics that may go again, then what comes after the last one taken."""
        turn, catching_up = self._turn, bool(self._catch_up)
        if catching_up:
            topic, begin, upto = self._catch_up[0]
            rows = await self._journal.waiting_in(topic, begin, upto, CHUNK)
        else:
            rows = await self._next_rows()
        if turn != self._turn:
            self._exhausted = False
            return  # what is to be read is another thing by now
        if catching_up:
            del self._catch_up[0]
            if rows:
                self._catch_up.appendleft((topic, rows[-1].id, upto))
        elif rows:
            self._after = rows[-1].id
        self._ready.extend(rows)

    async def _next_rows(self) -> list[Row]:
        self._exhausted = True  # unless there is a full chunk, or something is committed meanwhile
        try:
            rows = await self._journal.waiting(self._after, CHUNK, [*self._refused, *self._releasing])
        except StoreError:
            self._exhausted = False
            raise
        self._exhausted = self._exhausted and len(rows) < CHUNK
        return rows

    def _is_fresh(self, row: Row) -> bool:
        """Rows were read a moment ago, or by a connection that is gone; what is known since counts."""
        row_id = row.id
        if row_id in self._open or row_id in self._acknowledged:
            return False
        return row_id not in self._settling and row_id not in self._put_by

    def _publish(self, row: Row, smaller: bytes | None = None) -> None:
        self._open[row.id] = row
        if smaller is None and row.id in self._bare:
            smaller = without_bytes(row.payload)
        publication = Publication(
            topic=row.topic,
            payload=row.payload if smaller is None else smaller,
            content_type=row.content_type,
            correlation=row.correlation,
            expiry=row.expiry,
        )
        self._outlet.publish(publication, lambda error: self._done(row, error))

    def _done(self, row: Row, error: Exception | None) -> None:
        del self._open[row.id]
        self._answered.set()
        if error is None:
            self._cut.pop(row.id, None)
            self._bare.discard(row.id)
            self._refused_since.pop(row.topic, None)
            self._acknowledged[row.id] = None
            self.published += 1
            self._head_disconnects = 0
            self._settle.set()
            self._more.set()
        elif isinstance(error, PublishRefused):
            self._refuse(row, error)
            self._more.set()
        elif isinstance(error, HungUp):
            self._count_head(row)

    def _count_head(self, row: Row) -> None:
        """A message that the broker answers by hanging up would hold all others for ever (DESIGN 4.3)."""
        again = self._head is not None and row.id == self._head.id
        self._head_disconnects = self._head_disconnects + 1 if again else 1
        self._head = row

    def _relieve(self, row: Row) -> None:
        """The broker hangs up on this one: with MQTT 3.1.1 that is all it can say of what is too large."""
        bare = without_bytes(row.payload) if row.sort == "message" and row.id not in self._bare else None
        if bare is None:
            self._put_aside(row.id, "the broker hung up on it three times in a row")
        else:
            log.warning("broker hangs up on a message with its bytes in it; sent without", row=row.id)
            self._bare.add(row.id)

    def _refuse(self, row: Row, error: PublishRefused) -> None:
        if error.too_large:
            self._publish_cut(row)
        elif steady() - self._refused_since.setdefault(row.topic, steady()) > REFUSED_TOO_LONG:
            self._drop(row.topic)
        else:
            log.warning("broker refuses topic", topic=row.topic, reason=str(error))
            self._refused[row.topic] = _clock()
            asyncio.get_running_loop().call_later(REFUSED_PAUSE, self._try_again, row.topic)

    def _publish_cut(self, row: Row) -> None:
        """The broker takes less than this; where it does not say how much, the half is tried, and again."""
        before = self._cut.get(row.id, len(row.payload))
        limit = self._outlet.payload_limit(row.topic)
        room = before // 2 if limit is None else limit
        smaller = cut(row.payload, room) if row.sort == "message" and room > 0 else None
        if smaller is not None and len(smaller) < before:
            self._cut[row.id] = len(smaller)
            self._publish(row, smaller)
        else:
            self._put_aside(row.id, "larger than the broker takes")

    def _try_again(self, topic: str) -> None:
        if topic in self._refused:
            del self._refused[topic]
            self._ready = deque(row for row in self._ready if row.topic != topic)  # they are caught up with
            if topic in self._releasing:
                self._releasing[topic] = 0, self._releasing[topic][1]
            else:
                self._read_again(topic, 0)

    def _drop(self, topic: str) -> None:
        del self._refused_since[topic]  # what comes from now on has its own week

        async def chore() -> None:
            count = await self._journal.drop_topic(topic, "refused by the broker for 7 days")
            if count:  # each of its rows that were under way is refused as well
                self._dropped(topic, count)

        self._chores.append(chore)
        self._settle.set()

    def _put_aside(self, row_id: int, why: str) -> None:
        log.error("message set aside", row=row_id, reason=why)
        self._put_by.add(row_id)
        self._bare.discard(row_id)
        self.set_aside += 1

        async def chore() -> None:
            await self._journal.set_aside([row_id], why)
            self._turn += 1
            self._exhausted = False  # its later rows were left out of what was read
            self._ready = deque(row for row in self._ready if row.id != row_id)
            self._put_by.discard(row_id)  # who brings it back finds it waiting

        self._chores.append(chore)
        self._settle.set()


def _clock() -> float:
    return asyncio.get_running_loop().time()
