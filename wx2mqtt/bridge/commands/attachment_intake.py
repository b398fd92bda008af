"""Stores the file that a command brings (payload, `data` or `path`) before the command is accepted.

    a picture for wife, a text for wife, a text for me
        ->  the text for me is accepted at once, that for wife only when the picture is stored

Storing takes time, and commands of the same chat, or with the same id, must keep their order (`AcceptOrder`).
Files of a `url` are fetched later, by `file_preparation.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from operator import attrgetter

from wx2mqtt.bridge.attachments import Attachments
from wx2mqtt.bridge.commands.validation import CommandValidator, brings_file, fingerprint, payload_fingerprint
from wx2mqtt.bridge.requests.dispatcher import delivery_mark
from wx2mqtt.model import Command
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.names import composed
from wx2mqtt.store.command_records import NewCommand
from wx2mqtt.store.journal import Journal

MAX_CONCURRENT_FILE_WRITES = 4

# What two commands that must keep their order have in common: `("user", …)`, `("person", …)` or `("id", …)`.
AcceptKey = tuple[str, object]


@dataclass(eq=False)
class AcceptTicket:
    """The position of a command that is not accepted yet."""

    keys: frozenset[AcceptKey]
    #: Set when the commands before it are accepted: those of its batch without a file, and for each of its
    #: keys the last command that has the key.
    earlier: list[asyncio.Event]
    #: Set when this command is accepted.
    finished: asyncio.Event = field(default_factory=asyncio.Event)


class AcceptOrder:
    """The order of the commands of one account that are not accepted yet."""

    def __init__(self) -> None:
        #: By key: the ticket of the last command that has it.
        self._last_tickets: dict[AcceptKey, AcceptTicket] = {}

    def must_wait(self, new: NewCommand) -> bool:
        """Returns whether an earlier command of the same chat or id is not accepted yet."""
        return bool(self._last_tickets) and any(key in self._last_tickets for key in _keys(new))

    def enqueue(self, new: NewCommand, batch_finished: asyncio.Event) -> AcceptTicket:
        """Returns a ticket behind all earlier commands of the same chat or id, also those of this batch."""
        keys = _keys(new)
        earlier = {self._last_tickets[key] for key in keys if key in self._last_tickets}
        new_ticket = AcceptTicket(keys, [batch_finished, *(ticket.finished for ticket in earlier)])
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
    """Does the slow part of the intake of a command: its file, and the checksum of a large delivery."""

    def __init__(self, validator: CommandValidator, attachments: Attachments, journal: Journal) -> None:
        self._validator = validator
        self.attachments = attachments
        self._journal = journal
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_FILE_WRITES)

    def is_needed(self, new: NewCommand) -> bool:
        """Returns whether `complete` has something to do for this command."""
        return new.delivery is None or (new.result is None and brings_file(new.command))

    async def complete(self, new: NewCommand, delivery: Delivery, session: int) -> NewCommand:
        """Returns the command with its stored file, or with a result that rejects it.

        Raises only `StoreError`, when the journal cannot be read.
        """
        if new.delivery is None:
            new = replace(new, delivery=await asyncio.to_thread(delivery_mark, delivery, session))
        if not new.fingerprint:
            digest = await asyncio.to_thread(payload_fingerprint, delivery.payload)
            new = replace(new, fingerprint=digest)
        return await self._with_file(new, delivery.payload)

    async def complete_call(self, new: NewCommand) -> NewCommand:
        """Returns a command from HTTP with its stored file, or rejected. Raises only `StoreError`."""
        if new.blob is not None:  # it was uploaded before
            return new
        return await self._with_file(new, b"")

    async def _with_file(self, new: NewCommand, payload: bytes) -> NewCommand:
        if new.result is not None or not brings_file(new.command):
            return new
        try:
            async with self._slots:
                blob = await self.attachments.store(new.command, payload)
        except Exception as error:  # noqa: BLE001 - a bug in the bridge rejects only this command
            content = await asyncio.to_thread(_checksum, new.command, payload)
            rejected = self._validator.reject(new, error, content)
            stored_fingerprint = await self._stored_fingerprint(new)
            return replace(rejected, fingerprint=stored_fingerprint or rejected.fingerprint)
        command = replace(new.command, data="")  # the file is in the store
        return replace(new, command=command, blob=blob, fingerprint=fingerprint(command, blob.sha256))

    async def _stored_fingerprint(self, new: NewCommand) -> str:
        """Returns the fingerprint of the stored command with the same id and `path`; empty if there is none.

        A repeated command has the result of the first one, although its file may be gone since.
        """
        if not (new.command.path and new.command.id):
            return ""
        known = await self._journal.commands.get(new.command_id)
        if known is not None and _path_identity(known.command) == _path_identity(new.command):
            return known.fingerprint
        return ""


_path_identity = attrgetter("user", "kind", "path", "name")


def _checksum(command: Command, payload: bytes) -> str:
    """Returns the SHA-256 of the content that a command brings; empty for a `path`."""
    if command.path and not command.data:
        return ""
    content = command.data.encode() or payload
    return hashlib.sha256(content).hexdigest() if content else ""
