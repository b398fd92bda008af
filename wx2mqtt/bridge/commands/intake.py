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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.attachments import Attachments
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.sender import CommandSender
from wx2mqtt.bridge.commands.validation import CommandValidator, asks_for_file
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.journaled import delivery_mark
from wx2mqtt.bridge.requests.dispatcher import COMMAND_REQUESTS, RequestDispatcher
from wx2mqtt.bridge.retained_commands import RetainedCommands
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Command, Status
from wx2mqtt.mqtt.broker import Connected, Delivery
from wx2mqtt.mqtt.commands import read_request
from wx2mqtt.mqtt.topics import ParsedTopic, RequestTopic, TextTopic
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.records import AcceptOutcome, AcceptResult, NewCommand

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


class CommandIntake:
    """Accepts what people send to one account."""

    def __init__(
        self,
        ctx: AccountContext,
        *,
        validator: CommandValidator,
        attachment_intake: AttachmentIntake,
        retained_commands: RetainedCommands,
        sender: CommandSender,
        requests: RequestDispatcher,
        results: ResultPublications,
    ) -> None:
        self._ctx = ctx
        self._topics = ctx.topics
        self._journal = ctx.journal
        self._broker = ctx.broker
        self._validator = validator
        self._attachment_intake = attachment_intake
        self._retained_commands = retained_commands
        self._sender = sender
        self._requests = requests
        self._results = results
        self._accept_order = AcceptOrder()
        self._queue: deque[PendingDelivery] = deque()
        self._unacknowledged: deque[PendingDelivery] = deque()
        self._wake_event = asyncio.Event()
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
        self._retained_commands.on_session_start()

    async def store_session(self) -> None:
        """Write down which session it is, before anything of it is accepted. Raises `StoreError`."""
        if self._session_is_new:
            await self._journal.set_broker_session(self._session)
            self._session_is_new = False

    def on_connected(self, connection: Connected, session: int) -> None:
        """A connection stands; `session` is the number of the broker's session known at the start."""
        self._unacknowledged.clear()
        self._retained_commands.on_connected(connection)
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
        if self._retained_commands.is_own_clear(delivery):
            return None
        return self._topics.parse(delivery.topic)

    async def _to_command(self, delivery: Delivery, incoming: ParsedTopic) -> NewCommand:
        if delivery.retain:
            self._retained_commands.clear(delivery.topic)
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

    async def _commit(self, new: list[NewCommand]) -> None:
        await self.store_session()
        self.command_count += len(new)
        stored = [_without_data(one) for one in new]
        results = await self._journal.accept(stored)
        for accepted in results:
            self._ctx.signals.outbox_changed.emit(accepted.outbox)
        for given, accepted in zip(stored, results, strict=True):
            await self._accept_one(given, accepted)
            await self._attachment_intake.on_accepted(given, accepted)

    async def _accept_one(self, new: NewCommand, accepted: AcceptResult) -> None:
        row = accepted.row
        self._count_refused(new, accepted)
        match accepted.outcome:
            case "new" | "repeat" if row is not None and row.state == "waiting":
                self._sender.add(row)
            case "repeat" if row is not None and row.result is not None:
                await self._ctx.publish(self._results.publications(row.result, new.replies))
            case "reused":
                await self._ctx.publish(self._validator.reject_reused_id(new).publications)
            case _:
                pass  # settled at once, or the same delivery again

    def _count_refused(self, new: NewCommand, accepted: AcceptResult) -> None:
        if accepted.outcome == "reused":
            self.refused_counts[str(Status.REJECTED), "id_reused"] += 1
        elif accepted.outcome == "new" and new.result is not None:
            self.refused_counts[str(new.result.status), new.result.code] += 1

    async def _answer_request(self, name: str, slot: PendingDelivery) -> None:
        await retry_until_stored(self.store_session)
        await retry_until_stored(lambda: self._requests.dispatch(name, slot.delivery, self._session))
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
