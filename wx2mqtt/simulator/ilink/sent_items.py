"""Reads the single item of a message that a bot sends, and finds its file (ilink 5.2, 6.1, 8.2)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from wx2mqtt.simulator.ilink.cdn_storage import CdnFile, CdnStorage
from wx2mqtt.simulator.media import ByteSource, FileDescription

Fields = dict[str, object]


class BadItem(ValueError):
    """The item is malformed: an argument is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentItem:
    """An item that a bot sent. `visible`: the phone shows it.

    `failure` is why the servers cannot prepare it. `violation` is a mistake that they accept, but no phone
    shows the message. `oddities` are what the official client does not send.
    """

    kind: str
    text: str = ""
    visible: bool = True
    failure: str = ""
    violation: str = ""
    oddities: tuple[str, ...] = ()
    content: ByteSource | None = None
    file: CdnFile | None = None
    raw: Fields = field(default_factory=dict)

    @property
    def media(self) -> FileDescription | None:
        """The file as the phone describes it."""
        if self.content is None:
            return None
        return FileDescription(name=self.text, size=self.content.size, mime=self.content.mime)

    @property
    def sha256(self) -> str:
        """The hash of the file in hex; empty without a file."""
        return self.content.sha256 if self.content else ""


def read_item(value: object, storage: CdnStorage, person: str) -> SentItem:
    """Reads an item; raises `BadItem`."""
    if not isinstance(value, dict):
        raise BadItem("the item is no object")
    number = value.get("type")
    reader = _READERS.get(number) if type(number) is int else None
    if reader is None:
        raise BadItem("the item's type is none that can be sent")
    item = reader(value, storage, person)
    extra = sorted(value.keys() & {"create_time_ms", "update_time_ms", "is_completed"})
    fault = f"a media item with {', '.join(extra)}" if item.content is not None and extra else item.failure
    return replace(item, failure=fault, visible=item.visible and not item.violation, raw=value)


def _sub_object(value: Fields, name: str) -> Fields:
    sub = value.get(name)
    if not isinstance(sub, dict):
        raise BadItem(f"{name} is missing")
    return sub


def _text(value: Fields, _: CdnStorage, __: str) -> SentItem:
    text = _sub_object(value, "text_item").get("text")
    if not isinstance(text, str) or not text:
        raise BadItem("text_item.text is no text")
    return SentItem(kind="text", text=text)


def _voice(_: Fields, __: CdnStorage, ___: str) -> SentItem:
    """Accepted, but never shown (ilink 8.5.3)."""
    return SentItem(kind="voice", visible=False, oddities=("a voice, which no phone shows",))


def _progress(_: Fields, __: CdnStorage, ___: str) -> SentItem:
    """The tool notes of an agent, which the servers drop silently (ilink 5.2.1)."""
    return SentItem(kind="progress", visible=False)


# Files


def _image(value: Fields, storage: CdnStorage, person: str) -> SentItem:
    sub = _sub_object(value, "image_item")
    item = _with_file(SentItem(kind="image"), sub, storage, person, 1)
    return _check_sizes(item, sub, "mid_size", "aeskey")


def _video(value: Fields, storage: CdnStorage, person: str) -> SentItem:
    sub = _sub_object(value, "video_item")
    item = _with_file(SentItem(kind="video"), sub, storage, person, 2)
    return _check_sizes(item, sub, "video_size")


def _document(value: Fields, storage: CdnStorage, person: str) -> SentItem:
    sub = _sub_object(value, "file_item")
    name = sub.get("file_name")
    length = sub.get("len")
    if not isinstance(name, str) or not name:
        raise BadItem("file_item.file_name is no text")
    item = _with_file(SentItem(kind="file", text=name), sub, storage, person, 3)
    if item.content is not None and length != str(item.content.size):
        return replace(item, violation="file_item.len is not the text of the file's size")
    return item


def _with_file(item: SentItem, sub: Fields, storage: CdnStorage, person: str, media_type: int) -> SentItem:
    """Adds the file that `media` names, and what is wrong with the reference."""
    media = _sub_object(sub, "media")
    file = storage.files.get(str(media.get("encrypt_query_param")))
    if file is None or file.slot is None or file.plain is None or file.slot.person != person:
        return replace(item, failure="encrypt_query_param is that of no file uploaded for them")
    item = replace(item, content=file.plain, file=file)
    if media.get("encrypt_type") != 1:
        return replace(item, failure="encrypt_type is not 1")
    if unknown := sorted(media.keys() - {"encrypt_query_param", "aes_key", "encrypt_type"}):
        return replace(item, failure=f"media has {', '.join(unknown)}")
    if media.get("aes_key") != base64.b64encode(file.slot.key.hex().encode()).decode():
        item = replace(item, violation="aes_key is not the base64 of the 32 hex characters: a grey box")
    if file.slot.media_type != media_type or file.slot.is_thumbnail:
        item = replace(item, violation="the file was uploaded as something else")
    return item


def _check_sizes(item: SentItem, sub: Fields, size: str, *forbidden: str) -> SentItem:
    """Checks that the size is that of the ciphertext; fields that only received items have are refused."""
    if item.file is None:
        return item
    if present := [name for name in forbidden if name in sub]:
        return replace(item, failure=f"an item with {', '.join(present)}")
    if sub.get(size) != item.file.content.size:
        return replace(item, oddities=(f"{size} is not the size of the ciphertext",))
    return item


_READERS: dict[int, Callable[[Fields, CdnStorage, str], SentItem]] = {
    1: _text,
    2: _image,
    3: _voice,
    4: _document,
    5: _video,
    11: _progress,
    12: _progress,
}
