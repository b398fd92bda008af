"""Brings the bytes of a command onto the disk, from wherever it says, and says as what they go out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import structlog

from wx2mqtt.bridge.files.encoded import decoded
from wx2mqtt.bridge.files.names import named
from wx2mqtt.bridge.files.screen import screened
from wx2mqtt.bridge.files.sorts import Media, kind_for, largest, too_large
from wx2mqtt.errors import BadCommand, StoreError, StoreFull
from wx2mqtt.model import Attachment, Blob, Command, Kind
from wx2mqtt.outside.fetching import Fetcher, name_in
from wx2mqtt.outside.files import read_file
from wx2mqtt.outside.trouble import TooLarge
from wx2mqtt.store.blobs import Blobs, TooMuch

log = structlog.get_logger(__name__)

SENT_AS_FILES = (Kind.IMAGE, Kind.VIDEO, Kind.FILE)
READING = 120.0  # seconds; the disk of a network may hang
PIECE = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What of this machine and this house commands may send (DESIGN 3, `media`)."""

    send_from: tuple[Path, ...] = ()
    allow_hosts: tuple[str, ...] = ()


class Files:
    """The files of one account's commands. `room` is how many bytes the store may still take.

    `discard` takes a file away to which no row refers.
    """

    def __init__(
        self,
        *,
        blobs: Blobs,
        discard: Callable[[Blob], Awaitable[None]],
        media: Media,
        reach: Callable[[], Reach],
        room: Callable[[], int],
        fetcher: Fetcher,
    ) -> None:
        self._blobs = blobs
        self._discard = discard
        self._media = media
        self._reach = reach
        self._room = room
        self._fetcher = fetcher

    async def take(self, command: Command, payload: bytes) -> Blob:
        """The bytes of `path` or `data`, else the payload. Raises `BadCommand`, and then leaves nothing."""
        pieces = _payload(payload)
        if command.path:
            pieces = read_file(command.path, self._reach().send_from, largest(command.kind, self._media))
        elif command.data:
            pieces = _decoded(command.data)
        try:
            async with asyncio.timeout(READING):
                return await self._keep(command.kind, pieces)
        except TimeoutError:
            raise BadCommand("bad_file", "file_too_slow") from None

    async def fetch(self, command: Command, seconds: float) -> Blob:
        """The bytes of `url`. Raises `BadCommand`, also as `NotNow`, and then leaves nothing."""
        limit, allowed = largest(command.kind, self._media), self._reach().allow_hosts
        pieces = self._fetcher.fetch(command.url, limit=limit, allowed=allowed, seconds=seconds)
        return await self._keep(command.kind, pieces)

    async def let_go(self, blob: Blob, *, taken: bool = False) -> None:
        """Take a file away that nobody wants, unless a row needs it; `taken`: no row was ever told of it."""
        if taken:
            self._blobs.referred(blob)
        try:
            await self._discard(blob)
        except StoreError as trouble:  # then it is swept away later
            log.warning("file of a refused command stays for now", problem=str(trouble))

    def has(self, blob: Blob) -> bool:
        """Whether it is still there."""
        return self._blobs.has(blob)

    def kind(self, command: Command, blob: Blob) -> Kind:
        """As what it goes out."""
        return kind_for(command.kind, blob.mime, self._media)

    def attachment(self, command: Command, blob: Blob) -> Attachment:
        """What the backend is handed."""
        found = name_in(command.url) if command.url else command.path
        name = named(command.name, found, command.kind, PurePosixPath(blob.path).suffix)
        return Attachment(file=self._blobs.file(blob).absolute(), name=name, blob=blob)

    async def _keep(self, asked: str, pieces: AsyncGenerator[bytes, None]) -> Blob:
        full = BadCommand("storage_full", "no_room_for_file")
        good = screened(pieces, asked, self._media, self._room(), full)
        async with aclosing(pieces), aclosing(good):
            try:
                return await self._blobs.take(good, largest(asked, self._media))
            except (TooLarge, TooMuch):
                raise too_large(asked, self._media) from None
            except StoreFull:
                raise full from None


async def _payload(payload: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(payload), PIECE):
        yield payload[start : start + PIECE]


async def _decoded(data: str) -> AsyncGenerator[bytes, None]:
    for piece in decoded(data):
        yield piece
        await asyncio.sleep(0)  # others have their turn
