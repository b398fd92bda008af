"""As what a file goes out, and whether WeChat takes it: by what is in it, never by its name. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Kind
from wx2mqtt.wechat.gateway import Sendable

Media = Mapping[str, Sendable]
"""What the backend takes, by kind."""


def kind_for(asked: str, mime: str, media: Media) -> Kind:
    """As what a file of this sort goes out. Raises `BadCommand`."""
    taken = media.get(asked)
    if taken is None:
        raise BadCommand("unsupported", "unsupported_kind", kind=asked)
    if not taken.mimes or mime in taken.mimes:
        return Kind(asked)
    if asked == Kind.IMAGE and Kind.STICKER in media and mime in media[Kind.STICKER].mimes:
        return Kind.STICKER  # a picture that moves
    if mime.startswith(f"{asked}/"):
        raise BadCommand("unsupported", "unsupported_sort", kind=asked, mime=mime, known=_known(asked, media))
    raise not_that_kind(asked, mime, media)


def not_that_kind(asked: str, mime: str, media: Media) -> BadCommand:
    """Why something is refused that is no picture, or no video, at all."""
    return BadCommand("bad_file", "not_that_kind", kind=asked, mime=mime, known=_known(asked, media))


def largest(asked: str, media: Media) -> int:
    """The most bytes that anything asked for as this kind may have."""
    kinds = (asked, Kind.STICKER) if asked == Kind.IMAGE else (asked,)
    return max((media[kind].largest for kind in kinds if kind in media), default=0)


def too_large(kind: str, media: Media) -> BadCommand:
    """Why something is refused that WeChat would not take."""
    return BadCommand("too_large", "file_too_large", kind=kind, limit=media[kind].largest)


def _known(asked: str, media: Media) -> str:
    return ", ".join(sorted(media[asked].mimes))
