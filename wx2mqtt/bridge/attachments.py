"""Stores the files of commands, from wherever they come, and hands them to the backend.

    store         the file that came with a command: at `path`, in `data`, or as the payload
    store_upload  a file that came before its command; check_upload refuses its size before it comes
    fetch         the file at the `url` of a command

Each file is checked while it is stored (`attachment_checks.py`): of a refused one nothing stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import structlog

from wx2mqtt.bridge.attachment_checks import (
    choose_filename,
    decode_base64,
    file_too_large_error,
    kind_for,
    max_bytes,
    reject_text_as_bytes,
    screen_content,
)
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.errors import BadCommand, DeclaredSizeTooLarge, StoreError, StoreFull
from wx2mqtt.external.local_files import read_file
from wx2mqtt.message_kinds import attachment_kinds
from wx2mqtt.model import Attachment, Blob, Command, Kind
from wx2mqtt.store.blobs import SizeLimitExceeded

if TYPE_CHECKING:
    from wx2mqtt.external.url_fetch import UrlFetcher

log = structlog.get_logger(__name__)

FILE_KINDS = attachment_kinds()

# The longest time for storing a file: a network drive may not answer.
READ_TIMEOUT_SECONDS = 120.0

READ_CHUNK_BYTES = 256 * 1024


class Attachments:
    """The files of the commands of one account."""

    def __init__(self, ctx: AccountContext, fetcher: UrlFetcher | None = None) -> None:
        self._ctx = ctx
        self._blobs = ctx.shared.blobs
        self._limits = ctx.backend.capabilities.media
        #: Made for the first URL, since httpx takes 2 MB.
        self._fetcher = fetcher

    async def store(self, command: Command, payload: bytes) -> Blob:
        """Stores the file that came with a command. Raises `BadCommand`, and leaves no file then."""
        if command.path:
            folders = self._ctx.settings.account.media.send_from
            chunks = read_file(command.path, folders, max_bytes(command.kind, self._limits))
        elif command.data:
            chunks = _yield_chunks(decode_base64(command.data))
        else:
            reject_text_as_bytes(command.kind, payload, self._ctx.topics.out(command.user))
            starts = range(0, len(payload), READ_CHUNK_BYTES)
            chunks = _yield_chunks(payload[start : start + READ_CHUNK_BYTES] for start in starts)
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                return await self._store_chunks(command.kind, chunks)
        except TimeoutError:
            raise BadCommand("bad_file", "file_too_slow") from None

    def check_upload(self, kind: str, size: int) -> None:
        """Checks what is known of an upload before it comes: its kind and size. Raises `BadCommand`."""
        if kind not in self._limits:
            raise BadCommand("unsupported", "unsupported_kind", kind=kind)
        if size > max_bytes(kind, self._limits):
            raise file_too_large_error(kind, self._limits)
        if size > self._ctx.shared.free_bytes_for_commands:
            raise _no_room_error()

    async def store_upload(self, kind: str, chunks: AsyncGenerator[bytes, None]) -> Blob:
        """Stores a file that comes in pieces, before its command is known. Raises `BadCommand`.

        `kind` is the kind as which it will be sent, or file. Raises also what `chunks` raises, and leaves no
        file then. A caller that stores no command with the file calls `release`.
        """
        self.check_upload(kind, 0)
        return await self._store_chunks(kind, chunks)

    async def fetch(self, command: Command, seconds: float) -> Blob:
        """Stores the file at `url` of the command.

        Raises `BadCommand`, or its subclass `TemporarilyUnavailable`, and leaves no file then.
        """
        if self._fetcher is None:
            from wx2mqtt.external.url_fetch import UrlFetcher  # noqa: PLC0415 - see `_fetcher`

            self._fetcher = UrlFetcher()
        chunks = self._fetcher.fetch(
            command.url,
            max_bytes=max_bytes(command.kind, self._limits),
            allowed_hosts=self._ctx.settings.account.media.allow_hosts,
            timeout_seconds=seconds,
        )
        return await self._store_chunks(command.kind, chunks)

    async def release(self, blob: Blob, *, never_referenced: bool = False) -> None:
        """Deletes a file unless a row of the journal needs it.

        `never_referenced`: the file was stored here, and no row ever referred to it.
        """
        if never_referenced:
            self._blobs.mark_referenced(blob)
        try:
            await self._ctx.shared.media_retention.delete_if_unused(blob)
        except StoreError as error:  # it is deleted later, with other unused files
            log.warning("file of a refused command stays for now", problem=str(error))

    async def has_file(self, blob: Blob) -> bool:
        """Returns whether a stored file still exists; it is in the folder then. Raises `StoreError`."""
        return await self._blobs.fetch(blob)

    def kind_of(self, command: Command, blob: Blob) -> Kind:
        """Returns the kind as which a stored file is sent. Raises `BadCommand`."""
        return kind_for(command.kind, blob, self._limits)

    def attachment_for(self, command: Command, blob: Blob) -> Attachment:
        """Returns a stored file with the name under which it is sent."""
        derived = command.path
        if command.url:
            from wx2mqtt.external.url_fetch import filename_in  # noqa: PLC0415 - see `_fetcher`

            derived = filename_in(command.url)
        extension = PurePosixPath(blob.path).suffix
        name = choose_filename(command.name, derived, command.kind, extension)
        return Attachment(file=self._blobs.path_of(blob).absolute(), name=name, blob=blob)

    async def _store_chunks(self, requested_kind: str, chunks: AsyncGenerator[bytes, None]) -> Blob:
        free_bytes = self._ctx.shared.free_bytes_for_commands
        screened = screen_content(chunks, requested_kind, self._limits, free_bytes, _no_room_error())
        async with aclosing(chunks), aclosing(screened):
            try:
                return await self._blobs.store(screened, max_bytes(requested_kind, self._limits))
            except (DeclaredSizeTooLarge, SizeLimitExceeded):
                raise file_too_large_error(requested_kind, self._limits) from None
            except StoreFull:
                raise _no_room_error() from None


def _no_room_error() -> BadCommand:
    return BadCommand("storage_full", "no_room_for_file")


async def _yield_chunks(chunks: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)  # lets other tasks run
