"""The kinds of messages that a person can send to their bot, as items (ilink 5.2 to 5.5, 12)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wx2mqtt.simulator.ilink.bot import Bot
from wx2mqtt.simulator.ilink.cdn_storage import CdnFile
from wx2mqtt.simulator.ilink.chat_log import ChatLine
from wx2mqtt.simulator.ilink.file_from_person import (
    BadDetail,
    FileFromPerson,
    generate_file,
    generate_thumbnail,
    store_on_cdn,
)
from wx2mqtt.simulator.ilink.simulated_ilink import SimulatedILink
from wx2mqtt.simulator.media import ByteSource

Fields = dict[str, object]


class UnknownKind(ValueError):
    """A phone does not send this kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRequest:
    """One message to build. `content` are the bytes of its file; None: a sample is generated."""

    ilink: SimulatedILink
    bot: Bot
    msg_id: int
    kind: str
    text: str
    detail: Mapping[str, object]
    content: ByteSource | None

    def number(self, key: str, default: int) -> int:
        """Returns a detail as an integer; raises `BadDetail`."""
        value = self.detail.get(key, default)
        if type(value) is not int:
            raise BadDetail(f"{key} must be a whole number")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltItems:
    """The items, message fields that override the envelope, and what the phone shows."""

    items: tuple[Fields, ...]
    fields: Fields = field(default_factory=dict)
    file: FileFromPerson | None = None
    name: str = ""
    quoted: str = ""


Builder = Callable[[ItemRequest], BuiltItems]


def build(request: ItemRequest) -> BuiltItems:
    """Returns the items of a message; raises `UnknownKind` and `BadDetail`."""
    try:
        builder = _BUILDERS[request.kind]
    except KeyError:
        raise UnknownKind(f"no kind is named {request.kind!r}; there are: {', '.join(_BUILDERS)}") from None
    return builder(request)


def file_kind(kind: str) -> str:
    """Returns what file the kind has: image, file, video or voice; empty when it has none."""
    return _FILE_KINDS.get(kind, "")


# Texts


def text_item(text: str, **more: object) -> Fields:
    return {"type": 1, "text_item": {"text": text}, **more}


def _text(request: ItemRequest) -> BuiltItems:
    return BuiltItems(items=(text_item(request.text),))


def _bot(request: ItemRequest) -> BuiltItems:
    return BuiltItems(items=(text_item(request.text),), fields={"message_type": 2})


def _unknown(request: ItemRequest) -> BuiltItems:
    return BuiltItems(items=({"type": 99, "new_item": {"text": request.text}},))


def _empty(_: ItemRequest) -> BuiltItems:
    return BuiltItems(items=())


# Files


def _stored_file(request: ItemRequest, kind: str, key_form: str) -> FileFromPerson:
    content = request.content
    if content is None:
        content = generate_file(kind, str(request.msg_id))
    form = request.detail.get("key", key_form)
    return store_on_cdn(request.ilink, request.bot, content, str(form), request.detail)


def _image(key_form: str) -> Builder:
    def builder(request: ItemRequest) -> BuiltItems:
        stored = _stored_file(request, "image", key_form)
        thumb = _thumbnail(request)
        item: Fields = {"media": stored.media, "mid_size": stored.ciphertext_size, **thumb.fields}
        if stored.aeskey:
            item["aeskey"] = stored.aeskey
        if thumb.file:
            stored = _with_thumbnail(stored, thumb.file)
        return BuiltItems(items=({"type": 2, "image_item": item},), file=stored)

    return builder


def _file(key_form: str) -> Builder:
    def builder(request: ItemRequest) -> BuiltItems:
        stored = _stored_file(request, "file", key_form)
        name = request.text or "说明书.pdf"
        item = {
            "media": stored.media,
            "file_name": name,
            "md5": str(request.detail.get("md5", stored.plain.md5)),
            "len": str(request.number("size", stored.plain.size)),
        }
        return BuiltItems(items=({"type": 4, "file_item": item},), file=stored, name=name)

    return builder


def _video(request: ItemRequest) -> BuiltItems:
    stored = _stored_file(request, "video", "44")
    thumb = _thumbnail(request)
    item = {
        "media": stored.media,
        "video_size": request.number("size", stored.ciphertext_size),
        "play_length": request.number("seconds", 3) * 1000,
        "video_md5": str(request.detail.get("md5", stored.plain.md5)),
        **thumb.fields,
    }
    if thumb.file:
        stored = _with_thumbnail(stored, thumb.file)
    return BuiltItems(items=({"type": 5, "video_item": item},), file=stored)


def _voice(request: ItemRequest) -> BuiltItems:
    """encode_type and sample_rate are wrong, as real phones send them: the format is SILK (ilink 8.5.1)."""
    stored = _stored_file(request, "voice", "44")
    item = {
        "media": stored.media,
        "encode_type": request.number("encode_type", 4),
        "bits_per_sample": 16,
        "sample_rate": 16000,
        "playtime": request.number("milliseconds", 2320),
    }
    if request.text:
        item["text"] = request.text
    return BuiltItems(items=({"type": 3, "voice_item": item},), file=stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Thumbnail:
    fields: Fields
    file: CdnFile | None = None


def _thumbnail(request: ItemRequest) -> _Thumbnail:
    if request.detail.get("thumb") is False:
        return _Thumbnail(fields={})
    small = store_on_cdn(request.ilink, request.bot, generate_thumbnail(str(request.msg_id)), "44", {})
    sizes = {"thumb_size": small.ciphertext_size, "thumb_height": 120, "thumb_width": 90}
    return _Thumbnail(fields={"thumb_media": small.media, **sizes}, file=small.files[0])


def _with_thumbnail(stored: FileFromPerson, file: CdnFile) -> FileFromPerson:
    return FileFromPerson(
        plain=stored.plain,
        media=stored.media,
        aeskey=stored.aeskey,
        ciphertext_size=stored.ciphertext_size,
        files=(*stored.files, file),
    )


def _text_and_image(request: ItemRequest) -> BuiltItems:
    """Two items in one message (ilink 5.5.2)."""
    picture = _image("both")(request)
    return BuiltItems(items=(text_item(request.text), *picture.items), file=picture.file)


# Quotes (ilink 5.4)


def _quoted_line(request: ItemRequest) -> ChatLine | None:
    """Returns the quoted message: `msg_id`, else the bot's newest. A message that is not kept has no line."""
    chats = request.ilink.chats
    msg_id = request.detail.get("msg_id")
    if msg_id is not None:
        return chats.find(str(msg_id))
    own = (line for line in reversed(chats.lines) if line.person == request.bot.person and line.by == "bot")
    return next(own, None)


def _quoted_id(request: ItemRequest, line: ChatLine | None) -> int:
    msg_id = line.msg_id if line else str(request.detail.get("msg_id", ""))
    if not msg_id.isdecimal():
        raise BadDetail("msg_id must be that of a message: the bot has sent none yet")
    return int(msg_id)


def _quote(request: ItemRequest) -> BuiltItems:
    """A quote of an older phone: it contains the quoted item."""
    line = _quoted_line(request)
    msg_id = _quoted_id(request, line)
    shown = line.text if line else ""
    item = _quoted_item(request, str(msg_id)) or text_item(shown)
    ref: Fields = {"title": shown, "message_item": {**item, "msg_id": str(msg_id), "is_completed": True}}
    return BuiltItems(items=(text_item(request.text, ref_msg=ref),), quoted=shown)


def _quoted_item(request: ItemRequest, msg_id: str) -> Fields | None:
    """Returns the first item of the quoted message, so that its file can be downloaded again."""
    if (item := request.ilink.attachments.items.get(msg_id)) is not None:
        return item
    message = request.bot.find(msg_id)
    items = json.loads(message)["item_list"] if message else []
    return items[0] if items else None


def _quote_id(request: ItemRequest) -> BuiltItems:
    """A quote of a newer phone: it contains only the id."""
    line = _quoted_line(request)
    ref: Fields = {"svr_id": _quoted_id(request, line)}
    return BuiltItems(items=(text_item(request.text, ref_msg=ref),), quoted=line.text if line else "")


def _quote_partial(request: ItemRequest) -> BuiltItems:
    """A quote of the text `part`; `occurrence` selects one of several (0 is the first)."""
    line = _quoted_line(request)
    whole = line.text if line else ""
    part = str(request.detail.get("part", whole))
    occurrence = request.number("occurrence", 0)
    ref: Fields = {
        "svr_id": _quoted_id(request, line),
        "partial_text": partial_text(whole, part, occurrence, relative=bool(request.detail.get("relative"))),
    }
    return BuiltItems(items=(text_item(request.text, ref_msg=ref),), quoted=part)


def partial_text(whole: str, part: str, occurrence: int, *, relative: bool) -> Fields:
    """Returns how a phone describes a part: its start, its end, and the index of each in the whole text.

    With `relative`, the end is counted from the start. Raises `BadDetail` when it is no part.
    """
    offset = -1
    for _ in range(occurrence + 1):
        offset = whole.find(part, offset + 1)
        if offset < 0 or len(part) < (2 if relative else 1):
            raise BadDetail("part must be a part of the quoted text")
    length = min(3, max(1, len(part) // 2))
    start = part[:length]
    end = part[-length:]
    before = offset + length if relative else 0
    return {
        "start": start,
        "end": end,
        "startindex": whole[:offset].count(start),
        "endindex": whole[before : offset + len(part) - len(end)].count(end),
        "quotemd5": hashlib.md5(part.encode(), usedforsecurity=False).hexdigest(),
    }


_FILE_KINDS = {
    **dict.fromkeys(("image", "image_hex", "image_24", "image_44", "image_plain", "several"), "image"),
    **dict.fromkeys(("file", "file_24"), "file"),
    "video": "video",
    "voice": "voice",
}

_BUILDERS: dict[str, Builder] = {
    "text": _text,
    "image": _image("both"),
    "image_hex": _image("hex"),
    "image_24": _image("24"),
    "image_44": _image("44"),
    "image_plain": _image("none"),
    "file": _file("44"),
    "file_24": _file("24"),
    "video": _video,
    "voice": _voice,
    "several": _text_and_image,
    "quote": _quote,
    "quote_id": _quote_id,
    "quote_partial": _quote_partial,
    "unknown": _unknown,
    "bot": _bot,
    "empty": _empty,
}


def decode_base64(data: str) -> bytes:
    """Returns the bytes of an order; raises `BadDetail`."""
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise BadDetail(f"data is no base64: {error}") from None
