"""From a delivery of the broker to an accepted command: validates it, stores it, then acknowledges it.

    out/wife "home at six"   ->  one commit  ->  PUBACK  ->  `sender.py` does everything that follows

Deliveries are committed in batches, in the order of receipt, together with the commands that came over HTTP
(*calls*). A command with a file is completed beside them. Both is in `acceptance.py`. Requests that are no
commands go to `requests/dispatcher.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from wx2mqtt.aio import retry_until_stored, yield_after_long_work
from wx2mqtt.bridge.commands.acceptance import (
    Acceptance,
    AcceptOrder,
    AcceptTicket,
    AttachmentIntake,
    Pending,
    PendingCall,
    PendingDelivery,
)
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.sender import CommandSender
from wx2mqtt.bridge.commands.validation import CommandValidator
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.requests.dispatcher import COMMAND_REQUESTS, RequestDispatcher
from wx2mqtt.bridge.retained_commands import RetainedCommands
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.limits import MAX_PENDING_BYTES
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import Connected, Delivery
from wx2mqtt.mqtt.topics import RequestTopic
from wx2mqtt.store.command_records import AcceptOutcome, AcceptResult, NewCommand

# The largest number of deliveries that are accepted in one commit.
MAX_ACCEPT_BATCH = 100

# A call that nobody has begun to store by then is refused: its client would soon give up.
CALL_TIMEOUT_SECONDS = 30.0

# The length of a random session id; it fits into an integer of SQLite.
SESSION_ID_BITS = 52


class CommandIntake:
    """Accepts the commands of one account and dispatches its requests; PUBACKs go out in order."""

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
        self.attachment_intake = attachment_intake
        self._retained_commands = retained_commands
        self._sender = sender
        self._acceptance = Acceptance(ctx.journal, sender)
        self._requests = requests
        self._results = results
        self._accept_order = AcceptOrder()
        #: What came and is in no batch yet, in the order of receipt.
        self._queue: deque[Pending] = deque()
        self._wake_event = asyncio.Event()
        self._open_calls: set[PendingCall] = set()
        #: The deliveries that need a PUBACK, in the order in which the broker must get them.
        self._unacknowledged: deque[PendingDelivery] = deque()
        #: The id of the session of the broker, 0 before the first connection.
        self._session = 0
        self._session_is_new = False
        #: Of all deliveries that are not finished, or not acknowledged.
        self._bytes_in_memory = 0

    def start_session(self) -> None:
        """The broker started a new session: the packet ids of the old one are reused from now on."""
        self._session = secrets.randbits(SESSION_ID_BITS)  # not from the clock: that may be set back
        self._session_is_new = True
        self._retained_commands.on_session_start()

    async def store_session(self) -> None:
        """Stores the id of a new session, before any of its deliveries is accepted. Raises `StoreError`."""
        if self._session_is_new:
            await self._journal.set_broker_session(self._session)
            self._session_is_new = False

    def on_connected(self, connection: Connected, session: int) -> None:
        """The broker is connected; `session` is the session id that was stored at the start, 0 if none."""
        for pending in self._unacknowledged:
            pending.needs_puback = False
            if pending.is_finished:
                self._track_memory(-pending.held_bytes)
        self._unacknowledged.clear()
        self._retained_commands.on_connected(connection)
        self._session = self._session or session
        if not self._session:  # the broker resumed a session that this store does not know
            self.start_session()

    def on_delivery(self, delivery: Delivery) -> None:
        """Queues a delivery; the MQTT connection calls this on the loop."""
        pending = PendingDelivery(delivery, delivery.held_bytes, needs_puback=delivery.mid > 0)
        self._track_memory(pending.held_bytes)
        if pending.needs_puback:
            self._unacknowledged.append(pending)
        self._queue.append(pending)
        self._wake_event.set()

    async def accept(self, user: str, fields: Mapping[str, Json]) -> None:
        """Accepts a command that did not come from the broker. Raises `StoreError`."""
        await self._commit([await self._validator.validate_fields(user, fields)])

    async def accept_own_text(self, new: NewCommand, picture: bytes = b"") -> None:
        """Accepts a text or a picture of the bridge's own (`own_texts.py`). Raises `StoreError`."""
        if picture:
            try:
                new = replace(new, blob=await self.attachment_intake.attachments.store(new.command, picture))
            except BadCommand as error:  # the store is full
                new = self._validator.reject(new, error, "")
        await self._commit([new])

    async def accept_fallback(self, new: NewCommand) -> AcceptResult:
        """Accepts the fallback of another account's command. Raises `StoreError`.

        With an id that another command has nothing is stored (`AcceptOutcome.REUSED`).
        """
        self._ctx.counters.commands += 1
        (accepted,) = await self._acceptance.accept([new])
        if accepted.outcome is AcceptOutcome.NEW and new.result is not None:
            self._sender.outcomes.record(new.command.kind, new.result, is_fallback=True)
        return accepted

    async def accept_call(self, new: NewCommand) -> AcceptResult:
        """Accepts a command from HTTP together with the deliveries of the broker, in the order of receipt.

        Raises `StoreError` where the store does not take it, or nothing accepts it in time: then it is not
        stored. Only when the account ends meanwhile, it may be.
        """
        call = PendingCall(new, asyncio.get_running_loop().create_future())
        self._open_calls.add(call)
        self._queue.append(call)
        self._wake_event.set()
        try:
            done, _ = await asyncio.wait([call.accepted], timeout=CALL_TIMEOUT_SECONDS)
            if not done and call in self._queue:
                self._queue.remove(call)
                call.refuse(StoreError("the store does not take it now"))
            await asyncio.wait([call.accepted])
            return call.accepted.result()
        finally:
            self._open_calls.discard(call)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await self._wake_event.wait()
                    self._wake_event.clear()
                    while self._queue:
                        await self._accept_batch(tasks)
        finally:
            for call in self._open_calls:
                call.refuse(StoreError("the account is being stopped"))

    async def _accept_batch(self, tasks: asyncio.TaskGroup) -> None:
        """Accepts what waits.

        1. Each delivery is read: it is a command, or another request, which is answered in a task.
        2. A command with a file, and each one that must stay behind it, is accepted in a task.
        3. All others are stored with one commit; then their deliveries and calls are answered.
        """
        batch: list[Pending] = []
        while self._queue and len(batch) < MAX_ACCEPT_BATCH:
            batch.append(self._queue.popleft())
        ready: list[tuple[Pending, NewCommand]] = []
        batch_committed = asyncio.Event()
        now = asyncio.get_running_loop().time
        resumed_at = now()
        for pending in batch:
            resumed_at = await yield_after_long_work(resumed_at, now)
            if isinstance(pending, PendingCall):
                new, is_slow = pending.new, False  # its file is stored already
            else:
                read = await self._read_command(pending, tasks)
                if read is None:
                    continue
                new, is_slow = read, self.attachment_intake.is_needed(read, pending.delivery)
            if is_slow or self._accept_order.must_wait(new):
                ticket = self._accept_order.enqueue(new, batch_committed)
                tasks.create_task(self._accept_later(pending, new, ticket, self._session))
            else:
                ready.append((pending, new))
        if ready:
            await self._commit_batch(ready)
        batch_committed.set()

    async def _read_command(self, pending: PendingDelivery, tasks: asyncio.TaskGroup) -> NewCommand | None:
        """Returns the command of a delivery; None where it is none: it is acknowledged, or answered first."""
        topic = self._topics.parse(pending.delivery.topic)
        may_be_clear = not pending.delivery.payload
        if topic is None or (may_be_clear and self._retained_commands.is_own_clear(pending.delivery)):
            self._acknowledge(pending)
            return None
        if pending.delivery.retain:
            pending.delivery = await self._retained_commands.judge(pending.delivery)
        if not isinstance(topic, RequestTopic):
            return await self._validator.validate_command(pending.delivery, topic, self._session)
        if topic.name in COMMAND_REQUESTS:
            return await self._validator.validate_request(topic.name, pending.delivery, self._session)
        tasks.create_task(self._answer_request(topic.name, pending))
        return None

    async def _commit_batch(self, ready: Sequence[tuple[Pending, NewCommand]]) -> None:
        """Stores commands, then acknowledges their deliveries and answers their calls.

        When the store does not take them, calls are refused at once, and deliveries wait until it does.
        """
        commands: list[NewCommand] = []
        calls: list[PendingCall] = []
        for pending, new in ready:
            commands.append(new)
            if isinstance(pending, PendingCall):
                calls.append(pending)
        try:
            await self._commit(commands, calls)
        except StoreError as error:
            for call in calls:
                call.refuse(error)
            # Also calls that were stored before the error: what follows from them is still to be done.
            not_refused = [
                new
                for pending, new in ready
                if isinstance(pending, PendingDelivery) or pending.accepted.exception() is None
            ]
            if not_refused:
                await retry_until_stored(lambda: self._commit(not_refused))
        for pending, _ in ready:
            if isinstance(pending, PendingDelivery):
                self._acknowledge(pending)

    async def _accept_later(
        self, pending: Pending, new: NewCommand, ticket: AcceptTicket, session: int
    ) -> None:
        """Completes a command, waits for its turn, then commits it; other chats overtake it meanwhile."""
        with self._accept_order.finish_after(ticket):
            if isinstance(pending, PendingDelivery):
                new = await self.attachment_intake.complete(new, pending.delivery, session)
                self._release_payload(pending)  # the wait may be long
            await ticket.wait_for_turn()
            await self._commit_batch([(pending, new)])

    async def _commit(self, new: list[NewCommand], calls: Sequence[PendingCall] = ()) -> None:
        """Stores commands and hands them to the sender. Raises `StoreError`."""
        await self.store_session()
        self._ctx.counters.commands += len(new)
        results = await self._acceptance.accept(new)
        if calls:
            outcomes = {id(command): accepted for command, accepted in zip(new, results, strict=True)}
            for call in calls:
                call.accepted.set_result(outcomes[id(call.new)])
        for accepted in results:
            self._ctx.signals.outbox_changed.emit(accepted.outbox)
        for command, accepted in zip(new, results, strict=True):
            is_new = accepted.outcome is AcceptOutcome.NEW
            if not is_new or command.result is not None:  # else the sender has it
                await self._on_committed(command, accepted)
            if command.blob is not None and not is_new:
                await self.attachment_intake.attachments.release(command.blob)

    async def _on_committed(self, new: NewCommand, accepted: AcceptResult) -> None:
        """Does what a command needs that is not sent: it has its result, or its id is in use."""
        row = accepted.row
        match accepted.outcome:
            case AcceptOutcome.NEW if new.result is not None:
                self._sender.outcomes.record(new.command.kind, new.result)
            case AcceptOutcome.REPEAT if row is not None and row.result is not None:
                await self._ctx.publish(self._results.publications(row.result, new.replies))
            case AcceptOutcome.REUSED if new.command.sender:
                pass  # its caller is told so, and nothing is stored
            case AcceptOutcome.REUSED:  # the rejection gets an id of its own
                rejected = self._validator.reject_reused_id(new)
                (stored,) = await self._journal.commands.accept([rejected])
                self._ctx.signals.outbox_changed.emit(stored.outbox)
                await self._on_committed(rejected, stored)
            case _:
                pass  # the same delivery came again

    async def _answer_request(self, name: str, pending: PendingDelivery) -> None:
        await retry_until_stored(self.store_session)
        await retry_until_stored(lambda: self._requests.dispatch(name, pending.delivery, self._session))
        self._acknowledge(pending)

    def _track_memory(self, added_bytes: int) -> None:
        """Pauses the broker while too many bytes wait: a small machine cannot hold a hundred large files."""
        was_full = self._bytes_in_memory > MAX_PENDING_BYTES
        self._bytes_in_memory += added_bytes
        is_full = self._bytes_in_memory > MAX_PENDING_BYTES
        if is_full != was_full:
            self._broker.set_paused(paused=is_full)

    def _release_payload(self, pending: PendingDelivery) -> None:
        payload_bytes = len(pending.delivery.payload)
        pending.delivery = replace(pending.delivery, payload=b"")
        pending.held_bytes -= payload_bytes
        self._track_memory(-payload_bytes)

    def _acknowledge(self, pending: PendingDelivery) -> None:
        """Sends the PUBACK of a delivery, behind those of all earlier ones, for which it may have to wait."""
        pending.is_finished = True
        if not pending.needs_puback:
            self._track_memory(-pending.held_bytes)
        elif pending is not self._unacknowledged[0]:
            self._release_payload(pending)  # the wait may be long
        while self._unacknowledged and self._unacknowledged[0].is_finished:
            first = self._unacknowledged.popleft()
            self._track_memory(-first.held_bytes)
            self._broker.acknowledge(first.delivery)
