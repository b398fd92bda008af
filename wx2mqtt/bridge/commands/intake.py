"""MQTT to WeChat, before the commit: the file of a command goes onto the disk, off the loop, others go on.

What follows it in the same chat, or has the same id, is accepted after it (`AcceptOrder`).

MQTT to WeChat, first half: what comes from the broker is put on disk, then acknowledged, in order.

A command is acknowledged to the broker only after it is committed to disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import unicodedata
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.attachments import Attachments
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.validation import COMMAND_REQUESTS, CommandValidator, asks_for_file
from wx2mqtt.bridge.inflight import InflightWindow
from wx2mqtt.bridge.journaled import delivery_mark
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Command, Status
from wx2mqtt.mqtt.broker import BrokerClient, Connected, Delivery, Publication
from wx2mqtt.mqtt.commands import read_request
from wx2mqtt.mqtt.topics import ParsedTopic, RequestTopic, TextTopic, Topics
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.records import AcceptOutcome, AcceptResult, CommandRow, NewCommand

MAX_CONCURRENT_FILE_WRITES = 4  # files that are written at the same time


AcceptKey = tuple[str, object]


class AttachmentIntake:
    """Completes what the judge made of a delivery; never raises but for what the journal raises."""

    def __init__(self, validator: CommandValidator, attachments: Attachments, journal: Journal) -> None:
        self._validator = validator
        self._attachments = attachments
        self._journal = journal
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_FILE_WRITES)

    def is_needed(self, new: NewCommand) -> bool:
        """Whether there is something to do that must not hold the loop."""
        return new.delivery is None or (new.result is None and asks_for_file(new.command))

    async def complete(self, new: NewCommand, delivery: Delivery, session: int) -> NewCommand:
        """The row as it is to be accepted: with its file, or refused."""
        if new.delivery is None:
            new = replace(new, delivery=await asyncio.to_thread(delivery_mark, delivery, session))
        if new.result is not None or not asks_for_file(new.command):
            return new
        try:
            async with self._slots:
                blob = await self._attachments.store(new.command, delivery.payload)
        except Exception as trouble:  # noqa: BLE001 - a fault of ours refuses this one
            content = await asyncio.to_thread(_checksum, new.command, delivery.payload)
            return await self._with_stored_fingerprint(self._validator.reject(new, trouble, content))
        return self._validator.with_file(new, blob)

    async def on_accepted(self, new: NewCommand, accepted: AcceptResult) -> None:
        """Let go of a file that no row of its own needs: the command repeats another, or was refused."""
        if new.blob is not None and accepted.outcome is not AcceptOutcome.NEW:
            await self._attachments.release(new.blob)

    async def _with_stored_fingerprint(self, new: NewCommand) -> NewCommand:
        """Who repeats a command by path may have taken the file away since; it is a repeat all the same."""
        known = (
            await self._journal.get_command(new.command_id) if new.command.path and new.command.id else None
        )
        if known is not None and _asked(known.command) == _asked(new.command):
            return replace(new, fingerprint=known.fingerprint)
        return new


@dataclass(eq=False)
class AcceptTicket:
    """A command that is not accepted yet, and those that must be before it."""

    keys: frozenset[AcceptKey]
    earlier: list[asyncio.Event]
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        """Wait for all earlier ones."""
        for one in self.earlier:
            await one.wait()


class AcceptOrder:
    """Keeps the order of acceptance within a chat, and of commands with the same id."""

    def __init__(self) -> None:
        self._tickets: dict[AcceptTicket, None] = {}

    def must_wait(self, new: NewCommand) -> bool:
        """Whether an earlier one of the same chat or id is still being completed."""
        return any(turn.keys & _keys(new) for turn in self._tickets)

    def enqueue(self, new: NewCommand, batch_finished: asyncio.Event) -> AcceptTicket:
        """A place behind all earlier ones that concern it; `gathered` are those accepted at once."""
        keys = _keys(new)
        earlier = [turn.finished for turn in self._tickets if turn.keys & keys]
        turn = AcceptTicket(keys, [batch_finished, *earlier])
        self._tickets[turn] = None
        return turn

    @contextmanager
    def finish_after(self, ticket: AcceptTicket) -> Iterator[None]:
        """Whatever happens, those behind it get their turn."""
        try:
            yield
        finally:
            del self._tickets[ticket]
            ticket.finished.set()


def _keys(new: NewCommand) -> frozenset[AcceptKey]:
    user = unicodedata.normalize("NFC", new.command.user)
    return frozenset({("user", user), ("person", new.person or user), ("id", new.command_id)})


def _asked(command: Command) -> tuple[str, ...]:
    return command.user, command.kind, command.path, command.name


def _checksum(command: Command, payload: bytes) -> str:
    content = command.data.encode() if command.data else b"" if command.path else payload
    return hashlib.sha256(content).hexdigest() if content else ""


MAX_ACCEPT_BATCH = 100  # deliveries accepted in one commit


MAX_PENDING_BYTES = (
    64 << 20
)  # bytes of deliveries that are not on the disk, from which on the broker keeps the rest


@dataclass(slots=True)
class PendingDelivery:
    """A delivery on its way to its PUBACK; PUBACKs keep the order of receipt (MQTT 5, 4.6)."""

    delivery: Delivery
    done: bool = False

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.delivery.payload)


AnswerRequest = Callable[[str, Delivery, int], Awaitable[None]]
"""Carries a request out and commits its answer; never raises but `StoreError`. Told the session, too."""


class CommandIntake:
    """Accepts what people send to one account."""

    def __init__(
        self,
        *,
        topics: Topics,
        journal: Journal,
        broker: BrokerClient,
        inflight: InflightWindow,
        validator: CommandValidator,
        attachment_intake: AttachmentIntake,
        results: ResultPublications,
        answer: AnswerRequest,
        accepted: Callable[[CommandRow], None],
        published: Callable[[], None],
    ) -> None:
        self._topics = topics
        self._journal = journal
        self._broker = broker
        self._inflight = inflight
        self._validator = validator
        self._attachment_intake = attachment_intake
        self._accept_order = AcceptOrder()
        self._results = results
        self._answer = answer
        self._accepted = accepted
        self._published = published
        self._queue: deque[PendingDelivery] = deque()
        self._unacknowledged: deque[PendingDelivery] = deque()
        self._wake_event = asyncio.Event()
        self._pending_clears: Counter[str] = Counter()
        self._receives_own_publishes = False
        self._session = 0
        self._session_is_new = False
        self._bytes_in_memory = 0
        self.command_count = 0
        self.refused_counts: Counter[tuple[str, str]] = (
            Counter()
        )  # results without an attempt, by status and code

    def start_session(self) -> None:
        """The broker keeps nothing of us: equal packet ids mean other messages from now on."""
        self._session, self._session_is_new = secrets.randbits(52), True  # no clock: it may be set back
        self._pending_clears.clear()

    async def store_session(self) -> None:
        """Write down which session it is, before anything of it is accepted. Raises `StoreError`."""
        if self._session_is_new:
            await self._journal.set_broker_session(self._session)
            self._session_is_new = False

    def on_connected(self, connection: Connected, session: int) -> None:
        """A connection stands; `session` is the number of the broker's session known at the start."""
        self._unacknowledged.clear()
        self._receives_own_publishes = connection.protocol != "5"  # 3.1.1 has no No Local
        self._session = self._session or session
        if not self._session:  # it knows us, and our store is new
            self.start_session()

    def on_delivery(self, delivery: Delivery) -> None:
        """A message came in; called by the link on the loop."""
        slot = PendingDelivery(delivery)
        self._track_memory(slot.size)
        self._unacknowledged.append(slot)
        self._queue.append(slot)
        self._wake_event.set()

    async def accept(self, delivery: Delivery, incoming: TextTopic) -> None:
        """Accept a command that no broker delivered, nor will again. Raises `StoreError`."""
        new = self._validator.validate_command(delivery, incoming, self._session)
        await self._commit([replace(new, delivery=None)])

    async def run(self) -> None:
        """Accept what comes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._wake_event.wait()
                self._wake_event.clear()
                while self._queue:
                    await self._accept_batch(tasks)

    async def _accept_batch(self, tasks: asyncio.TaskGroup) -> None:
        slots = [self._queue.popleft() for _ in range(min(MAX_ACCEPT_BATCH, len(self._queue)))]
        at_once: list[tuple[PendingDelivery, NewCommand]] = []
        gathered = asyncio.Event()
        for slot in slots:
            match self._parse_topic(slot.delivery):
                case None:
                    self._acknowledge(slot)
                case RequestTopic(name) if name not in COMMAND_REQUESTS:
                    tasks.create_task(self._answer_request(name, slot))
                case incoming:
                    new = await self._to_command(slot.delivery, incoming)
                    if self._attachment_intake.is_needed(new) or self._accept_order.must_wait(new):
                        turn = self._accept_order.enqueue(new, gathered)
                        tasks.create_task(self._accept_later(slot, new, turn, self._session))
                    else:
                        at_once.append((slot, new))
        if at_once:
            await retry_until_stored(lambda: self._commit([new for _, new in at_once]))
            for slot, _ in at_once:
                self._acknowledge(slot)
        gathered.set()

    async def _accept_later(
        self, slot: PendingDelivery, new: NewCommand, ticket: AcceptTicket, session: int
    ) -> None:
        """Its bytes first; what does not depend on it passes meanwhile."""
        with self._accept_order.finish_after(ticket):
            new = await self._attachment_intake.complete(new, slot.delivery, session)
            new = _without_data(new)
            self._release_payload(slot)  # it may wait long for its acknowledgement
            await ticket.wait()
            await retry_until_stored(lambda: self._commit([new]))
        self._acknowledge(slot)

    def _parse_topic(self, delivery: Delivery) -> ParsedTopic | None:
        """What a delivery asks for; nothing, where it is our own clearing that comes back."""
        if not delivery.payload and self._pending_clears[delivery.topic]:
            self._pending_clears[delivery.topic] -= 1
            return None
        return self._topics.parse(delivery.topic)

    async def _to_command(self, delivery: Delivery, incoming: ParsedTopic) -> NewCommand:
        if delivery.retain:
            self.clear_retained(delivery.topic)
        if not isinstance(incoming, RequestTopic):
            return self._validator.validate_command(delivery, incoming, self._session)
        chat = await self._chat_of(delivery) if incoming.name == "recall" else ""
        return self._validator.validate_request(incoming.name, delivery, self._session, chat)

    async def _chat_of(self, delivery: Delivery) -> str:
        """To whom the message went that a request names; empty when nobody knows."""
        try:
            message_id = read_request(delivery.payload).get("message_id")
        except BadCommand:
            return ""
        known = await retry_until_stored(lambda: self._journal.sent_message_target(str(message_id)))
        return known[0] if known else ""

    def clear_retained(self, topic: str) -> None:
        """Take a retained command out of the broker's store, so that it does not come at every start.

        What fails is tried again when the retained command comes again.
        """
        hears_itself = self._receives_own_publishes

        def cleared(error: Exception | None) -> None:
            if error is not None and hears_itself:
                self._pending_clears[topic] -= 1

        self._pending_clears[topic] += hears_itself
        self._inflight.publish_first(Publication(topic=topic, payload=b"", retain=True), cleared)

    async def _commit(self, new: list[NewCommand]) -> None:
        await self.store_session()
        self.command_count += len(new)
        stored = [_without_data(one) for one in new]
        for given, accepted in zip(stored, await self._journal.accept(stored), strict=True):
            await self._accept_one(given, accepted)
            await self._attachment_intake.on_accepted(given, accepted)
        self._published()

    async def _accept_one(self, new: NewCommand, accepted: AcceptResult) -> None:
        row = accepted.row
        self._count_refused(new, accepted)
        match accepted.outcome:
            case "new" | "repeat" if row is not None and row.state == "waiting":
                self._accepted(row)
            case "repeat" if row is not None and row.result is not None:
                await self._journal.enqueue(self._results.publications(row.result, new.replies))
            case "reused":
                await self._journal.enqueue(self._validator.reject_reused_id(new).publications)
            case _:
                pass  # settled at once, or the same delivery again

    def _count_refused(self, new: NewCommand, accepted: AcceptResult) -> None:
        if accepted.outcome == "reused":
            self.refused_counts[str(Status.REJECTED), "id_reused"] += 1
        elif accepted.outcome == "new" and new.result is not None:
            self.refused_counts[str(new.result.status), new.result.code] += 1

    async def _answer_request(self, name: str, slot: PendingDelivery) -> None:
        await retry_until_stored(self.store_session)
        await retry_until_stored(lambda: self._answer(name, slot.delivery, self._session))
        self._published()
        self._acknowledge(slot)

    def _track_memory(self, change: int) -> None:
        """A hundred large files at once would not fit into the memory of a small machine."""
        before, self._bytes_in_memory = self._bytes_in_memory, self._bytes_in_memory + change
        if (before > MAX_PENDING_BYTES) != (self._bytes_in_memory > MAX_PENDING_BYTES):
            self._broker.set_paused(paused=self._bytes_in_memory > MAX_PENDING_BYTES)

    def _release_payload(self, slot: PendingDelivery) -> None:
        self._track_memory(-slot.size)
        slot.delivery = replace(slot.delivery, payload=b"")

    def _acknowledge(self, slot: PendingDelivery) -> None:
        self._release_payload(slot)
        slot.done = True
        while self._unacknowledged and self._unacknowledged[0].done:
            self._broker.acknowledge(self._unacknowledged.popleft().delivery)


def _without_data(new: NewCommand) -> NewCommand:
    """The bytes of a command are in its file."""
    return replace(new, command=replace(new.command, data="")) if new.command.data else new
