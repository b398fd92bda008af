"""Accepts commands that were validated: stores them and hands them to the queues of their chats.

    a text for wife, and nothing holds it back    ->  one commit: the text, and the begin of its attempt
    a file, or a text that must wait for another  ->  the begin of its attempt is a later commit

So a text usually waits for one commit before its request, instead of two (`Acceptance`). `intake.py` commits
commands in batches. What takes time is done beside them (`AttachmentIntake`): the file that a command brings
(payload, `data` or `path`) is stored first, and the checksums of a large delivery are made. Files of a `url`
are fetched later, by `file_preparation.py`.

Commands of one chat, or with one id, keep their order (`AcceptOrder`): one that must wait gets a ticket.

    a picture for wife, a text for wife, a text for me
        ->  the text for me is accepted at once, that for wife only when the picture is stored
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from operator import attrgetter

from wx2mqtt.bridge.attachments import FILE_KINDS, Attachments
from wx2mqtt.bridge.commands.resolver import ChatKey, is_simple
from wx2mqtt.bridge.commands.sender import MAX_CONCURRENT_SENDS, CommandSender
from wx2mqtt.bridge.commands.validation import CommandValidator
from wx2mqtt.bridge.repeats import (
    checksum_of_content,
    delivery_mark,
    fingerprint,
    is_large,
    payload_fingerprint,
)
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.names import composed
from wx2mqtt.store.command_records import AcceptOutcome, AcceptResult, CommandRow, CommandState, NewCommand
from wx2mqtt.store.journal import Journal

# How many files are written at the same time. The others wait, with their bytes in memory.
MAX_CONCURRENT_FILE_WRITES = 4

# What two commands have in common that send the same `path`.
_path_identity = attrgetter("user", "kind", "path", "name")


class Acceptance:
    """Accepts the new commands of one account."""

    def __init__(self, journal: Journal, sender: CommandSender) -> None:
        self._journal = journal
        self._sender = sender
        self._resolver = sender.resolver

    async def accept(self, new: Sequence[NewCommand]) -> list[AcceptResult]:
        """Stores new commands, as `JournaledCommands.accept`, and queues those that wait.

        The attempts that begin with it have taken their tokens of the rate limit. Those that do not begin
        after all give them back: a repeat is not sent, and what is not stored will be tried again.
        """
        begun_count = 0
        if not self._sender.slots.locked():
            new, begun_count = self._begin_at_once(new)
        if not begun_count:
            accepted = await self._journal.commands.accept(new)
            self._add_waiting(accepted)
            return accepted
        async with self._sender.slots:  # a stop waits for it, and then knows the attempts that have begun
            try:
                accepted = await self._journal.commands.accept(new)
                begun_count -= self._add_waiting(accepted)
            finally:
                if begun_count:
                    self._sender.limits.bucket.put_back(begun_count)
        return accepted

    def _begin_at_once(self, new: Sequence[NewCommand]) -> tuple[Sequence[NewCommand], int]:
        """Returns the commands, some with `starts`, and how many these are; takes their tokens."""
        chats: set[ChatKey] = set()
        selected = list(new)
        free_slots = MAX_CONCURRENT_SENDS - len(self._sender.waiting.queues)
        begun_count = 0
        for index, command in enumerate(new):
            if begun_count >= free_slots:
                break
            if command.result is not None:
                continue
            chat = self._resolver.chat_key(command)
            if chat not in chats and self._can_begin_at_once(command, chat):
                self._sender.limits.bucket.take()
                selected[index] = replace(command, starts=True)
                begun_count += 1
            chats.add(chat)
        return selected, begun_count

    def _can_begin_at_once(self, new: NewCommand, chat: ChatKey) -> bool:
        """Returns whether a command is certainly sent next in its chat, and now.

        What is in doubt is left to `next_step.py`, after the command is stored.
        """
        may_be_stored = new.delivery is not None and new.delivery.dup
        return (
            not may_be_stored
            and not new.command.urgent  # the fallback may have to send it
            and (new.expires is None or new.expires > now_ms())
            and is_simple(new)
            and self._resolver.chat_of(new) is not None
            and self._sender.waiting.would_be_first(chat)
            and self._sender.limits.seconds_until_allowed(new) <= 0
            and self._sender.window_wait.messages_left(new) != 1  # others may have to share the last message
        )

    def _add_waiting(self, accepted: Sequence[AcceptResult]) -> int:
        """Queues the commands that wait; returns at how many the attempt has begun in this commit."""
        begun_count = 0
        for result in accepted:
            row = result.row
            if row is None or row.state is not CommandState.WAITING:
                continue
            if result.outcome is AcceptOutcome.NEW:
                self._sender.add(row, is_begun=row.attempt_open)
                if row.attempt_open:
                    begun_count += 1
            elif result.outcome is AcceptOutcome.REPEAT:  # it has further reply targets
                self._sender.add(row)
        return begun_count


# What two commands that must keep their order have in common: `("user", …)`, `("person", …)` or `("id", …)`.
AcceptKey = tuple[str, object]


@dataclass(eq=False)
class AcceptTicket:
    """The position of a command that is not accepted yet."""

    keys: frozenset[AcceptKey]
    #: Set when the commands before it are accepted: those that its batch commits, and for each of its keys
    #: the last command that has the key.
    earlier: list[asyncio.Event]
    #: Set when this command is accepted.
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for_turn(self) -> None:
        for earlier in self.earlier:
            await earlier.wait()


class AcceptOrder:
    """The order of the commands of one account that are not accepted yet."""

    def __init__(self) -> None:
        #: By key: the ticket of the last command that has it.
        self._last_tickets: dict[AcceptKey, AcceptTicket] = {}

    def must_wait(self, new: NewCommand) -> bool:
        """Returns whether an earlier command of the same chat or id is not accepted yet."""
        return bool(self._last_tickets) and any(key in self._last_tickets for key in _keys(new))

    def enqueue(self, new: NewCommand, batch_committed: asyncio.Event) -> AcceptTicket:
        """Returns a ticket behind all earlier commands of the same chat or id, also those of this batch."""
        keys = _keys(new)
        earlier = {self._last_tickets[key] for key in keys if key in self._last_tickets}
        new_ticket = AcceptTicket(keys, [batch_committed, *(ticket.finished for ticket in earlier)])
        self._last_tickets.update(dict.fromkeys(keys, new_ticket))
        return new_ticket

    @contextmanager
    def finish_after(self, ticket: AcceptTicket) -> Iterator[None]:
        """Lets later commands continue at the end of the block, also after an error."""
        try:
            yield
        finally:
            for key in ticket.keys:
                if self._last_tickets.get(key) is ticket:
                    del self._last_tickets[key]
            ticket.finished.set()


def _keys(new: NewCommand) -> frozenset[AcceptKey]:
    user = composed(new.command.user)
    return frozenset({("user", user), ("person", new.person or user), ("id", new.command_id)})


class AttachmentIntake:
    """Does the slow part of the intake of a command."""

    def __init__(self, validator: CommandValidator, attachments: Attachments, journal: Journal) -> None:
        self._validator = validator
        self.attachments = attachments
        self._journal = journal
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_FILE_WRITES)

    def is_needed(self, new: NewCommand, delivery: Delivery) -> bool:
        """Returns whether `complete` has something to do for the command of this delivery."""
        return is_large(delivery.payload) or (new.command.kind != "text" and _brings_file(new))

    async def complete(self, new: NewCommand, delivery: Delivery, session: int) -> NewCommand:
        """Returns the command with its stored file, or with a result that rejects it.

        Raises only `StoreError`, when the journal cannot be read.
        """
        if is_large(delivery.payload):
            new = await asyncio.to_thread(_with_checksums, new, delivery, session)
        return await self._with_file(new, delivery.payload)

    async def complete_call(self, new: NewCommand) -> NewCommand:
        """Returns a command from HTTP with its stored file, or rejected. Raises only `StoreError`."""
        if new.blob is not None:  # it was uploaded before
            return new
        return await self._with_file(new, b"")

    async def _with_file(self, new: NewCommand, payload: bytes) -> NewCommand:
        if not _brings_file(new):
            return new
        try:
            async with self._slots:
                blob = await self.attachments.store(new.command, payload)
        except Exception as error:  # noqa: BLE001 - a bug in the bridge rejects only this command
            content = await asyncio.to_thread(checksum_of_content, new.command, payload)
            rejected = self._validator.reject(new, error, content)
            first = await self._find_first(new)
            return rejected if first is None else replace(rejected, fingerprint=first.fingerprint)
        command = replace(new.command, data="")  # the file is in the store
        return replace(new, command=command, blob=blob, fingerprint=fingerprint(command, blob.sha256))

    async def _find_first(self, new: NewCommand) -> CommandRow | None:
        """Returns the stored command with the same id and `path`, None if there is none.

        A repeat has the result of the first command, although its file may be gone since.
        """
        if not (new.command.path and new.command.id):
            return None
        stored = await self._journal.commands.get(new.command_id)
        is_repeat = stored is not None and _path_identity(stored.command) == _path_identity(new.command)
        return stored if is_repeat else None


def _brings_file(new: NewCommand) -> bool:
    """Returns whether the file of a command is to be stored now: it comes with it, and nothing rejects it."""
    return new.result is None and new.command.kind in FILE_KINDS and not new.command.url


def _with_checksums(new: NewCommand, delivery: Delivery, session: int) -> NewCommand:
    """Returns the command of a large delivery with the checksums that `validation.py` has left out."""
    return replace(
        new,
        delivery=delivery_mark(delivery, session),
        fingerprint=new.fingerprint or payload_fingerprint(delivery.payload),
    )


@dataclass(slots=True)
class PendingDelivery:
    """A delivery that is not accepted yet, or has no PUBACK yet."""

    delivery: Delivery
    #: How much memory it takes still.
    held_bytes: int
    #: Whether it needs a PUBACK on this connection: not with QoS 0, nor after the connection broke.
    needs_puback: bool
    #: Whether it is accepted or answered, so that a PUBACK may go out.
    is_finished: bool = False


@dataclass(slots=True, eq=False)
class PendingCall:
    """A command from HTTP that is not stored yet."""

    new: NewCommand
    #: Gets what became of it, or `StoreError`.
    accepted: asyncio.Future[AcceptResult]

    def refuse(self, error: StoreError) -> None:
        if not self.accepted.done():
            self.accepted.set_exception(error)
            self.accepted.exception()  # the caller may have gone


Pending = PendingDelivery | PendingCall
