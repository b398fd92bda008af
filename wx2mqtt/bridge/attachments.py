"""Base64 as commands carry it: white space is allowed, nothing else that does not belong there. Pure.

What the receiver of a file sees as its name: no path, nothing that hides or turns around what it is. Pure.

A name that the command gives must be good as it stands; one that a path or an address ends with is made good.

As what a file goes out, and whether WeChat takes it: by what is in it, never by its name. Pure.

Looks at bytes while they go by: what they are, how many, and whether there is room for them.

Brings the bytes of a command onto the disk, from wherever it says, and says as what they go out.
"""

from __future__ import annotations

import asyncio
import binascii
import re
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping
from contextlib import aclosing
from pathlib import PurePosixPath

import structlog

from wx2mqtt.bridge.account_settings import AttachmentSources
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.errors import BadCommand, StoreError, StoreFull
from wx2mqtt.external.http import DeclaredSizeTooLarge
from wx2mqtt.external.local_files import read_file
from wx2mqtt.external.url_fetch import UrlFetcher, filename_in
from wx2mqtt.file_names import (
    MAX_FILENAME_BYTES,
    clean_filename,
    cut_filename,
    extension_of,
    is_harmless,
    utf8_size,
)
from wx2mqtt.message_kinds import attachment_kinds
from wx2mqtt.model import Attachment, Blob, Command, Kind
from wx2mqtt.store.blobs import SizeLimitExceeded
from wx2mqtt.store.file_type import SNIFFED_BYTES, file_type_of, image_size
from wx2mqtt.wechat.backend import MediaLimits

BASE64_CHUNK_CHARACTERS = 512 * 1024  # characters that are decoded in one go


def decode_base64(data: str) -> Iterator[bytes]:
    """The bytes, piece by piece. Raises `BadCommand` for what is truncated or no base64."""
    rest, over = "", False
    for start in range(0, len(data), BASE64_CHUNK_CHARACTERS):
        found = rest + "".join(data[start : start + BASE64_CHUNK_CHARACTERS].split())
        whole = len(found) // 4 * 4
        rest, part = found[whole:], found[:whole]
        if over and found:
            raise _bad()
        over = part.endswith("=")
        if part:
            yield _decode_chunk(part)
    if rest:
        raise _bad()


def _decode_chunk(part: str) -> bytes:
    try:
        return binascii.a2b_base64(part, strict_mode=True)
    except ValueError:  # also for what is not ASCII
        raise _bad() from None


def _bad() -> BadCommand:
    return BadCommand("bad_command", "bad_base64")


UNKNOWN_EXTENSION = ".bin"  # the ending of what nobody knows; to a name that was given it adds nothing


def check_filename(name: str) -> None:
    """Raises `BadCommand` for a name that is too long, a path, or that hides what it is."""
    if utf8_size(name) > MAX_FILENAME_BYTES:
        raise BadCommand("bad_command", "name_too_long", limit=MAX_FILENAME_BYTES)
    if name in {".", ".."} or "/" in name or "\\" in name or not all(map(is_harmless, name)):
        raise BadCommand("bad_command", "bad_name")


def filename_of(path: str) -> str:
    """The last part of a path as a good name; empty when nothing is left."""
    return cut_filename(clean_filename(re.split(r"[/\\]", path)[-1]))


def choose_filename(requested: str, derived: str, kind: str, extension: str) -> str:
    """The name of a file: as given, else as found, else by its kind; with the ending if it has none."""
    name = requested.strip() or filename_of(derived)
    if name and (extension_of(name) or extension == UNKNOWN_EXTENSION):
        return name
    return cut_filename(f"{name or kind}{extension}")


LimitsByKind = Mapping[str, MediaLimits]
"""What the backend takes, by kind."""


def kind_for(requested_kind: str, mime: str, limits: LimitsByKind) -> Kind:
    """As what a file of this sort goes out. Raises `BadCommand`."""
    taken = limits.get(requested_kind)
    if taken is None:
        raise BadCommand("unsupported", "unsupported_kind", kind=requested_kind)
    if not taken.mime_types or mime in taken.mime_types:
        return Kind(requested_kind)
    if requested_kind == Kind.IMAGE and Kind.STICKER in limits and mime in limits[Kind.STICKER].mime_types:
        return Kind.STICKER  # a picture that moves
    if mime.startswith(f"{requested_kind}/"):
        raise BadCommand(
            "unsupported",
            "unsupported_sort",
            kind=requested_kind,
            mime=mime,
            known=_known(requested_kind, limits),
        )
    raise wrong_kind_error(requested_kind, mime, limits)


def wrong_kind_error(requested_kind: str, mime: str, limits: LimitsByKind) -> BadCommand:
    """Why something is refused that is no picture, or no video, at all."""
    return BadCommand(
        "bad_file", "not_that_kind", kind=requested_kind, mime=mime, known=_known(requested_kind, limits)
    )


def max_bytes(requested_kind: str, limits: LimitsByKind) -> int:
    """The most bytes that anything asked for as this kind may have."""
    kinds = (requested_kind, Kind.STICKER) if requested_kind == Kind.IMAGE else (requested_kind,)
    return max((limits[kind].max_bytes for kind in kinds if kind in limits), default=0)


def file_too_large_error(kind: str, limits: LimitsByKind) -> BadCommand:
    """Why something is refused that WeChat would not take."""
    return BadCommand("too_large", "file_too_large", kind=kind, limit=limits[kind].max_bytes)


def _known(requested_kind: str, limits: LimitsByKind) -> str:
    return ", ".join(sorted(limits[requested_kind].mime_types))


async def screen_content(
    pieces: AsyncIterable[bytes],
    requested_kind: str,
    limits: LimitsByKind,
    free_bytes: int,
    full_error: BadCommand,
) -> AsyncGenerator[bytes, None]:
    """The same bytes. Raises `BadCommand` before any go by that are of no use.

    `room` is how many bytes the store may still take; beyond it `full` is raised.
    """
    head, size = b"", 0
    kind: Kind | None = None
    async for piece in pieces:
        size += len(piece)
        if size > free_bytes:
            raise full_error
        if kind is None:
            head += piece
            if len(head) < SNIFFED_BYTES:
                continue
            kind = _kind(head, requested_kind, limits, is_complete=False)
            piece = head  # noqa: PLW2901 - what was kept back goes first
        _must_fit(size, kind, limits)
        yield piece
    if not size:
        raise BadCommand("empty", "no_bytes")
    if kind is None:
        _must_fit(size, _kind(head, requested_kind, limits, is_complete=True), limits)
        yield head


def _kind(head: bytes, requested_kind: str, limits: LimitsByKind, *, is_complete: bool) -> Kind:
    mime = file_type_of(head, len(head) + (not is_complete)).mime
    kind = kind_for(requested_kind, mime, limits)
    if is_complete and requested_kind == Kind.IMAGE and image_size(head, mime) is None:
        raise wrong_kind_error(requested_kind, mime, limits)  # it only begins like a picture
    return kind


def _must_fit(size: int, kind: Kind, limits: LimitsByKind) -> None:
    if size > limits[kind].max_bytes:
        raise file_too_large_error(kind, limits)


log = structlog.get_logger(__name__)


FILE_KINDS = attachment_kinds()


READ_TIMEOUT_SECONDS = 120.0  # seconds; the disk of a network may hang


READ_CHUNK_BYTES = 256 * 1024


class Attachments:
    """The files of one account's commands."""

    def __init__(self, ctx: AccountContext, fetcher: UrlFetcher) -> None:
        self._ctx = ctx
        self._blobs = ctx.shared.blobs
        self._limits = ctx.backend.capabilities.media
        self._fetcher = fetcher

    @property
    def _sources(self) -> AttachmentSources:
        return self._ctx.settings.send.attachment_sources

    async def store(self, command: Command, payload: bytes) -> Blob:
        """The bytes of `path` or `data`, else the payload. Raises `BadCommand`, and then leaves nothing."""
        pieces = _payload(payload)
        if command.path:
            pieces = read_file(command.path, self._sources.send_from, max_bytes(command.kind, self._limits))
        elif command.data:
            pieces = _decode_pieces(command.data)
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                return await self._store_pieces(command.kind, pieces)
        except TimeoutError:
            raise BadCommand("bad_file", "file_too_slow") from None

    async def fetch(self, command: Command, seconds: float) -> Blob:
        """The bytes of `url`. Raises `BadCommand`, also as `TemporarilyUnavailable`, and then leaves
        nothing.
        """
        limit, allowed = max_bytes(command.kind, self._limits), self._sources.allow_hosts
        pieces = self._fetcher.fetch(
            command.url, max_bytes=limit, allowed_hosts=allowed, timeout_seconds=seconds
        )
        return await self._store_pieces(command.kind, pieces)

    async def release(self, blob: Blob, *, never_referenced: bool = False) -> None:
        """Take a file away that nobody wants, unless a row needs it; `taken`: no row was ever told of it."""
        if never_referenced:
            self._blobs.mark_referenced(blob)
        try:
            await self._ctx.shared.media_retention.remove_unneeded(blob)
        except StoreError as trouble:  # then it is swept away later
            log.warning("file of a refused command stays for now", problem=str(trouble))

    def exists(self, blob: Blob) -> bool:
        """Whether it is still there."""
        return self._blobs.exists(blob)

    def kind_of(self, command: Command, blob: Blob) -> Kind:
        """As what it goes out."""
        return kind_for(command.kind, blob.mime, self._limits)

    def attachment_for(self, command: Command, blob: Blob) -> Attachment:
        """What the backend is handed."""
        found = filename_in(command.url) if command.url else command.path
        name = choose_filename(command.name, found, command.kind, PurePosixPath(blob.path).suffix)
        return Attachment(file=self._blobs.path_of(blob).absolute(), name=name, blob=blob)

    async def _store_pieces(self, requested_kind: str, pieces: AsyncGenerator[bytes, None]) -> Blob:
        full = BadCommand("storage_full", "no_room_for_file")
        good = screen_content(pieces, requested_kind, self._limits, self._ctx.shared.free_bytes, full)
        async with aclosing(pieces), aclosing(good):
            try:
                return await self._blobs.store(good, max_bytes(requested_kind, self._limits))
            except (DeclaredSizeTooLarge, SizeLimitExceeded):
                raise file_too_large_error(requested_kind, self._limits) from None
            except StoreFull:
                raise full from None


async def _payload(payload: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(payload), READ_CHUNK_BYTES):
        yield payload[start : start + READ_CHUNK_BYTES]


async def _decode_pieces(data: str) -> AsyncGenerator[bytes, None]:
    for piece in decode_base64(data):
        yield piece
        await asyncio.sleep(0)  # others have their turn
