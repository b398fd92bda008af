"""A received message as a line of the web page.

{"kind": "image", "image": {"url": "…/media/a1", …}, …}  ->  MessageLine(kind="image", media="a1", …)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wx2mqtt.model import ChatKind, Json
from wx2mqtt.store.records import MediaState
from wx2mqtt.values import frozen

# A picture above this size is not shown in the list of messages, which may have many, but only when somebody
# opens it.
MAX_PREVIEW_BYTES = 2_000_000

# The MIME types of pictures that a browser shows.
PREVIEW_TYPES = frozenset(f"image/{subtype}" for subtype in ("png", "jpeg", "gif", "webp", "bmp"))

_MEDIA_PATH = "/media/"


@frozen
class MessageLine:
    """A received message."""

    #: In RFC 3339.
    time: str
    user: str
    chat: str
    group: bool
    sender: str
    own: bool
    kind: str
    text: str
    #: The id of its file, empty without one.
    media: str
    #: The id of a picture for a list: the thumbnail that WeChat made, else the picture itself; empty if
    #: neither is stored or small enough.
    preview: str = ""
    #: The number of the message in its account; 0 if it is not known.
    seq: int = 0


@frozen
class FoundMessages:
    """Messages that a search found."""

    #: The newest first.
    lines: Sequence[MessageLine]
    #: Whether there are older ones.
    has_more: bool


def message_line(body: Mapping[str, Json]) -> MessageLine:
    """Returns the line of a message from its published body. Unreadable values count as absent."""
    chat, sender = _object(body.get("chat")), _object(body.get("sender"))
    kind, seq = str(body.get("kind", "")), body.get("seq")
    media = _object(body.get(kind))  # a message of the kind "image" has its file at the key "image"
    return MessageLine(
        time=str(body.get("time", "")),
        user=str(body.get("user", "")),
        chat=str(chat.get("name", "")),
        group=chat.get("kind") == ChatKind.GROUP,
        sender=str(sender.get("name", "")),
        own=sender.get("self") is True,
        kind=kind,
        text=str(body.get("text", "")),
        media=_media_id(media),
        preview=_preview_id(_object(media.get("thumbnail"))) or _preview_id(media),
        seq=seq if isinstance(seq, int) else 0,
    )


def _media_id(media: Mapping[str, Json]) -> str:
    """Returns the id in the URL of a file; empty if there is none."""
    url = str(media.get("url") or "")
    return url.rpartition(_MEDIA_PATH)[2] if _MEDIA_PATH in url else ""


def _preview_id(media: Mapping[str, Json]) -> str:
    """Returns the id of a stored picture that is small enough for a list; empty for anything else."""
    size = media.get("size")
    is_small = isinstance(size, int) and size <= MAX_PREVIEW_BYTES
    is_ready = media.get("state") == MediaState.READY and media.get("mime") in PREVIEW_TYPES
    return _media_id(media) if is_ready and is_small else ""


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}
