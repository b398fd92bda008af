"""Looks at bytes while they go by: what they are, how many, and whether there is room for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable

from wx2mqtt.bridge.files.sorts import Media, kind_for, not_that_kind, too_large
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Kind
from wx2mqtt.store.sniffing import HEAD, pixels, sort_of


async def screened(
    pieces: AsyncIterable[bytes], asked: str, media: Media, room: int, full: BadCommand
) -> AsyncGenerator[bytes, None]:
    """The same bytes. Raises `BadCommand` before any go by that are of no use.

    `room` is how many bytes the store may still take; beyond it `full` is raised.
    """
    head, size = b"", 0
    kind: Kind | None = None
    async for piece in pieces:
        size += len(piece)
        if size > room:
            raise full
        if kind is None:
            head += piece
            if len(head) < HEAD:
                continue
            kind = _kind(head, asked, media, whole=False)
            piece = head  # noqa: PLW2901 - what was kept back goes first
        _must_fit(size, kind, media)
        yield piece
    if not size:
        raise BadCommand("empty", "no_bytes")
    if kind is None:
        _must_fit(size, _kind(head, asked, media, whole=True), media)
        yield head


def _kind(head: bytes, asked: str, media: Media, *, whole: bool) -> Kind:
    mime = sort_of(head, len(head) + (not whole)).mime
    kind = kind_for(asked, mime, media)
    if whole and asked == Kind.IMAGE and pixels(head, mime) is None:
        raise not_that_kind(asked, mime, media)  # it only begins like a picture
    return kind


def _must_fit(size: int, kind: Kind, media: Media) -> None:
    if size > media[kind].largest:
        raise too_large(kind, media)
