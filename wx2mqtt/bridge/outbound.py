"""MQTT to WeChat, first half: what comes from the broker is put on disk, then acknowledged, in order.

PUBACK after COMMIT is the whole promise (DESIGN 4.2).
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from wx2mqtt.bridge.insist import insist
from wx2mqtt.bridge.judge import COMMANDS, Judge
from wx2mqtt.bridge.loading import Loading, Turn, Turns
from wx2mqtt.bridge.outlet import Outlet
from wx2mqtt.bridge.results import Results
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Status
from wx2mqtt.mqtt.commands import read_request
from wx2mqtt.mqtt.link import Connected, Delivery, Link, Publication
from wx2mqtt.mqtt.topics import Incoming, OutText, RequestTo, Topics
from wx2mqtt.store.journal import Accepted, CommandRow, Journal, NewCommand

GATHERED = 100  # deliveries accepted in one commit
IN_HAND = 64 << 20  # bytes of deliveries that are not on the disk, from which on the broker keeps the rest


@dataclass(slots=True)
class Slot:
    """A delivery on its way to its PUBACK; PUBACKs keep the order of receipt (MQTT 5, 4.6)."""

    delivery: Delivery
    done: bool = False

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.delivery.payload)


Answer = Callable[[str, Delivery, int], Awaitable[None]]
"""Carries a request out and commits its answer; never raises but `StoreError`. Told the session, too."""


class Outbound:
    """Accepts what people send to one account."""

    def __init__(
        self,
        *,
        topics: Topics,
        journal: Journal,
        link: Link,
        outlet: Outlet,
        judge: Judge,
        loading: Loading,
        results: Results,
        answer: Answer,
        accepted: Callable[[CommandRow], None],
        published: Callable[[], None],
    ) -> None:
        self._topics = topics
        self._journal = journal
        self._link = link
        self._outlet = outlet
        self._judge = judge
        self._loading = loading
        self._turns = Turns()
        self._results = results
        self._answer = answer
        self._accepted = accepted
        self._published = published
        self._waiting: deque[Slot] = deque()
        self._unacknowledged: deque[Slot] = deque()
        self._more = asyncio.Event()
        self._clearing: Counter[str] = Counter()
        self._hears_itself = False
        self._session = 0
        self._session_is_new = False
        self._in_hand = 0
        self.commands = 0
        self.refused: Counter[tuple[str, str]] = Counter()  # results without an attempt, by status and code

    def begin_session(self) -> None:
        """The broker keeps nothing of us: equal packet ids mean other messages from now on."""
        self._session, self._session_is_new = secrets.randbits(52), True  # no clock: it may be set back
        self._clearing.clear()

    async def keep_session(self) -> None:
        """Write down which session it is, before anything of it is accepted. Raises `StoreError`."""
        if self._session_is_new:
            await self._journal.set_session(self._session)
            self._session_is_new = False

    def connected(self, connection: Connected, session: int) -> None:
        """A connection stands; `session` is the number of the broker's session known at the start."""
        self._unacknowledged.clear()
        self._hears_itself = connection.protocol != "5"  # 3.1.1 has no No Local
        self._session = self._session or session
        if not self._session:  # it knows us, and our store is new
            self.begin_session()

    def delivered(self, delivery: Delivery) -> None:
        """A message came in; called by the link on the loop."""
        slot = Slot(delivery)
        self._weigh(slot.size)
        self._unacknowledged.append(slot)
        self._waiting.append(slot)
        self._more.set()

    async def take(self, delivery: Delivery, incoming: OutText) -> None:
        """Accept a command that no broker delivered, nor will again. Raises `StoreError`."""
        new = self._judge.command(delivery, incoming, self._session)
        await self._commit([replace(new, delivery=None)])

    async def run(self) -> None:
        """Accept what comes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._more.wait()
                self._more.clear()
                while self._waiting:
                    await self._accept_gathered(tasks)

    async def _accept_gathered(self, tasks: asyncio.TaskGroup) -> None:
        slots = [self._waiting.popleft() for _ in range(min(GATHERED, len(self._waiting)))]
        at_once: list[tuple[Slot, NewCommand]] = []
        gathered = asyncio.Event()
        for slot in slots:
            match self._asked(slot.delivery):
                case None:
                    self._finish(slot)
                case RequestTo(name) if name not in COMMANDS:
                    tasks.create_task(self._carry_out(name, slot))
                case incoming:
                    new = await self._command(slot.delivery, incoming)
                    if self._loading.is_needed(new) or self._turns.must_wait(new):
                        turn = self._turns.take(new, gathered)
                        tasks.create_task(self._accept_later(slot, new, turn, self._session))
                    else:
                        at_once.append((slot, new))
        if at_once:
            await insist(lambda: self._commit([new for _, new in at_once]))
            for slot, _ in at_once:
                self._finish(slot)
        gathered.set()

    async def _accept_later(self, slot: Slot, new: NewCommand, turn: Turn, session: int) -> None:
        """Its bytes first; what does not depend on it passes meanwhile."""
        with self._turns.until_over(turn):
            new = await self._loading.complete(new, slot.delivery, session)
            new = _without_data(new)
            self._lighten(slot)  # it may wait long for its acknowledgement
            await turn.comes()
            await insist(lambda: self._commit([new]))
        self._finish(slot)

    def _asked(self, delivery: Delivery) -> Incoming | None:
        """What a delivery asks for; nothing, where it is our own clearing that comes back."""
        if not delivery.payload and self._clearing[delivery.topic]:
            self._clearing[delivery.topic] -= 1
            return None
        return self._topics.parse(delivery.topic)

    async def _command(self, delivery: Delivery, incoming: Incoming) -> NewCommand:
        if delivery.retain:
            self.clear(delivery.topic)
        if not isinstance(incoming, RequestTo):
            return self._judge.command(delivery, incoming, self._session)
        chat = await self._chat_of_message(delivery) if incoming.name == "recall" else ""
        return self._judge.request(incoming.name, delivery, self._session, chat)

    async def _chat_of_message(self, delivery: Delivery) -> str:
        """To whom the message went that a request names; empty when nobody knows."""
        try:
            message_id = read_request(delivery.payload).get("message_id")
        except BadCommand:
            return ""
        known = await insist(lambda: self._journal.whose(str(message_id)))
        return known[0] if known else ""

    def clear(self, topic: str) -> None:
        """Take a retained command out of the broker's store, so that it does not come at every start.

        What fails is tried again when the retained command comes again.
        """
        hears_itself = self._hears_itself

        def cleared(error: Exception | None) -> None:
            if error is not None and hears_itself:
                self._clearing[topic] -= 1

        self._clearing[topic] += hears_itself
        self._outlet.publish_first(Publication(topic=topic, payload=b"", retain=True), cleared)

    async def _commit(self, new: list[NewCommand]) -> None:
        await self.keep_session()
        self.commands += len(new)
        stored = [_without_data(one) for one in new]
        for given, accepted in zip(stored, await self._journal.accept(stored), strict=True):
            await self._accept_one(given, accepted)
            await self._loading.accepted(given, accepted)
        self._published()

    async def _accept_one(self, new: NewCommand, accepted: Accepted) -> None:
        row = accepted.row
        self._count_refused(new, accepted)
        match accepted.outcome:
            case "new" | "repeat" if row is not None and row.state == "waiting":
                self._accepted(row)
            case "repeat" if row is not None and row.result is not None:
                await self._journal.publish(self._results.publications(row.result, new.replies))
            case "reused":
                await self._journal.publish(self._judge.reused(new).publications)
            case _:
                pass  # settled at once, or the same delivery again

    def _count_refused(self, new: NewCommand, accepted: Accepted) -> None:
        if accepted.outcome == "reused":
            self.refused[str(Status.REJECTED), "id_reused"] += 1
        elif accepted.outcome == "new" and new.result is not None:
            self.refused[str(new.result.status), new.result.code] += 1

    async def _carry_out(self, name: str, slot: Slot) -> None:
        await insist(self.keep_session)
        await insist(lambda: self._answer(name, slot.delivery, self._session))
        self._published()
        self._finish(slot)

    def _weigh(self, change: int) -> None:
        """A hundred large files at once would not fit into the memory of a small machine."""
        before, self._in_hand = self._in_hand, self._in_hand + change
        if (before > IN_HAND) != (self._in_hand > IN_HAND):
            self._link.pause(paused=self._in_hand > IN_HAND)

    def _lighten(self, slot: Slot) -> None:
        self._weigh(-slot.size)
        slot.delivery = replace(slot.delivery, payload=b"")

    def _finish(self, slot: Slot) -> None:
        self._lighten(slot)
        slot.done = True
        while self._unacknowledged and self._unacknowledged[0].done:
            self._link.acknowledge(self._unacknowledged.popleft().delivery)


def _without_data(new: NewCommand) -> NewCommand:
    """The bytes of a command are in its file."""
    return replace(new, command=replace(new.command, data="")) if new.command.data else new
