"""Stores the file that a command brings (payload, `data` or `path`) before the command is accepted.

    out/wife/file/plan.pdf, 2 MB   ->  the file is in the store, and the command names it (`NewCommand.blob`)

The checksums of a large delivery are made here, too. Both take time: `intake.py` accepts other commands
meanwhile (`accept_order.py`). Files of a `url` are fetched later, by `file_preparation.py`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from operator import attrgetter

from wx2mqtt.bridge.attachments import FILE_KINDS, Attachments
from wx2mqtt.bridge.commands.repeats import (
    checksum_of_content,
    fingerprint,
    is_large,
    payload_fingerprint,
)
from wx2mqtt.bridge.commands.validation import CommandValidator
from wx2mqtt.bridge.requests.dispatcher import delivery_mark
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.store.command_records import CommandRow, NewCommand
from wx2mqtt.store.journal import Journal

# How many files are written at the same time. The others wait, with their bytes in memory.
MAX_CONCURRENT_FILE_WRITES = 4

# What two commands have in common that send the same `path`.
_path_identity = attrgetter("user", "kind", "path", "name")


class AttachmentIntake:
    """Does the slow part of the intake of a command."""

    def __init__(self, validator: CommandValidator, attachments: Attachments, journal: Journal) -> None:
        self._validator = validator
        self.attachments = attachments
        self._journal = journal
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_FILE_WRITES)

    def is_needed(self, new: NewCommand, delivery: Delivery) -> bool:
        """Returns whether `complete` has something to do for the command of this delivery."""
        return is_large(delivery.payload) or _brings_file(new)

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
