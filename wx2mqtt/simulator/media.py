"""The bytes of messages, and how the servers give them out. Knows no HTTP and no login."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from wx2mqtt.simulator import appkinds, samples
from wx2mqtt.simulator.content import Content, Given, MadeUp
from wx2mqtt.simulator.settings import Gone

STORE_STICKER = "store_sticker"
"""Comes without anything to fetch (webwx 2.16)."""

KEPT = 20_000
"""So many messages with bytes are kept."""

_MARK = 64
_KINDS = {
    "image": "image",
    "image_token": "image",
    "private_image": "image",
    "voice": "voice",
    "video": "video",
    "iphone_video": "video",
    "micro_video": "video",
    "sticker": "sticker",
    "app_image": "image",
    "app_sticker": "sticker",
    "file": "file",
}
_PICTURED = frozenset(
    {
        *("image", "image_token", "private_image", "video", "iphone_video", "micro_video", "app_image"),
        *appkinds.PICTURED,
        *("location", "location_48"),
    }
)
"""Kinds that have a small picture: thumbnails, the covers of links, maps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the phone says of a file."""

    name: str
    size: int
    mime: str


@dataclass(slots=True, kw_only=True)
class Attachment:
    """What a message brings: the thing itself, a small picture of it, or both.

    `side` is who stands as FromUserName in the message: the other person or group, or the owner. `empty`
    is how many first answers have no bytes; None: as many as the setting says.
    """

    kind: str
    side: str
    name: str = ""
    content: Content | None = None
    thumbnail: Content | None = None
    gone: Gone = ""
    empty: int | None = None
    given: Counter[str] = field(default_factory=Counter)


def shown(attachment: Attachment | None) -> Shown | None:
    """What the phone says of it; None where there is no file, but at most a small picture."""
    if attachment is None or attachment.content is None:
        return None
    content = attachment.content
    return Shown(name=attachment.name, size=content.size, mime=content.mime)


def has_bytes(kind: str) -> bool:
    """Whether messages of that kind bring a file."""
    return kind in _KINDS


def made_up(kind: str, msg_id: str, size: int | None = None) -> Content:
    """A file of that kind that no other message has; without a `size` it is small."""
    head = samples.of_kind(_KINDS[kind])
    return MadeUp(head, len(head) + _MARK if size is None else size, msg_id)


def attach(kind: str, msg_id: str, side: str, content: Content | None = None) -> Attachment | None:
    """What a message of that kind brings; None for a text."""
    thumbnail = None
    if kind in _PICTURED:
        head = samples.sample("thumb.jpg")
        thumbnail = MadeUp(head, len(head) + _MARK, f"{msg_id} thumbnail")
    if content is None and has_bytes(kind):
        content = made_up(kind, msg_id)
    if content is None and thumbnail is None and kind != STORE_STICKER:
        return None
    return Attachment(kind=kind, side=side, content=content, thumbnail=thumbnail)


def avatar(number: int) -> Content:
    """Somebody's picture; another number, another picture."""
    head = samples.sample("avatar.jpg")
    return MadeUp(head, len(head) + _MARK, f"avatar {number}")


def given(data: bytes) -> Content:
    """Bytes that somebody chose."""
    return Given(data)


class Shelf:
    """All attachments by message id, and how many downloads are under way."""

    def __init__(self) -> None:
        self._all: dict[str, Attachment] = {}
        self.under_way: list[Content] = []
        self.most = 0

    def put(self, msg_id: str, attachment: Attachment) -> None:
        """Keep what a message brings; of very many the oldest go."""
        self._all[msg_id] = attachment
        if len(self._all) > KEPT:
            del self._all[next(iter(self._all))]

    def find(self, msg_id: str) -> Attachment | None:
        """What a message brings."""
        return self._all.get(msg_id)

    def avatar(self, contact_id: str, number: int) -> Attachment:
        """Somebody's picture; with another number it is another one."""
        name = f"avatar:{contact_id}:{number}"
        if name not in self._all:
            self._all[name] = Attachment(kind="avatar", side=contact_id, content=avatar(number))
        return self._all[name]

    def sticker(self, md5: str) -> Attachment | None:
        """A sticker that came, by the MD5 in its XML."""
        found = (one for one in self._all.values() if one.kind == "sticker" and one.content)
        return next((one for one in found if one.content and one.content.md5 == md5), None)

    def begin(self, content: Content) -> None:
        """A download begins."""
        self.under_way.append(content)
        self.most = max(self.most, len(self.under_way))

    def end(self, content: Content) -> None:
        """It is over."""
        self.under_way.remove(content)
