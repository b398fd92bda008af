"""What a person can send to their bot: the items of each kind (ilink 5.2 to 5.5, 12)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wx2mqtt.simulator.content import Content
from wx2mqtt.simulator.ilink.bots import Bot
from wx2mqtt.simulator.ilink.bringing import BadDetail, Brought, bring, made_up, thumbnail
from wx2mqtt.simulator.ilink.chat import Line
from wx2mqtt.simulator.ilink.network import Network
from wx2mqtt.simulator.ilink.storage import File

Fields = dict[str, object]


class UnknownKind(ValueError):
    """A kind that a phone does not send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One message to build. `content` are the bytes of its file, None where it gets some of its own."""

    network: Network
    bot: Bot
    msg_id: int
    kind: str
    text: str
    detail: Mapping[str, object]
    content: Content | None

    def number(self, key: str, default: int) -> int:
        """A detail as a whole number."""
        value = self.detail.get(key, default)
        if type(value) is not int:
            raise BadDetail(f"{key} must be a whole number")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The items, fields of the message that are not usual, and what the phone shows."""

    items: tuple[Fields, ...]
    fields: Fields = field(default_factory=dict)
    brought: Brought | None = None
    name: str = ""
    quoted: str = ""


Builder = Callable[[Asked], Built]


def build(asked: Asked) -> Built:
    """The message; raises `UnknownKind` and `BadDetail`."""
    try:
        builder = _BUILDERS[asked.kind]
    except KeyError:
        raise UnknownKind(f"no kind is named {asked.kind!r}; there are: {', '.join(_BUILDERS)}") from None
    return builder(asked)


def brings_bytes(kind: str) -> str:
    """What a message of that kind brings (image, file, video, voice); empty when it brings nothing."""
    return _BRINGS.get(kind, "")


# texts


def text_item(text: str, **more: object) -> Fields:
    """An item with a text."""
    return {"type": 1, "text_item": {"text": text}, **more}


def _text(asked: Asked) -> Built:
    return Built(items=(text_item(asked.text),))


def _bot(asked: Asked) -> Built:
    return Built(items=(text_item(asked.text),), fields={"message_type": 2})


def _unknown(asked: Asked) -> Built:
    return Built(items=({"type": 99, "new_item": {"text": asked.text}},))


def _empty(_: Asked) -> Built:
    return Built(items=())


# files


def _brought(asked: Asked, kind: str, key: str) -> Brought:
    content = asked.content
    if content is None:
        content = made_up(kind, str(asked.msg_id))
    form = asked.detail.get("key", key)
    return bring(asked.network, asked.bot, content, str(form), asked.detail)


def _image(key: str) -> Builder:
    def builder(asked: Asked) -> Built:
        brought = _brought(asked, "image", key)
        thumb = _thumb(asked)
        item: Fields = {"media": brought.media, "mid_size": brought.sealed_size, **thumb.fields}
        if brought.aeskey:
            item["aeskey"] = brought.aeskey
        if thumb.file:
            brought = _with(brought, thumb.file)
        return Built(items=({"type": 2, "image_item": item},), brought=brought)

    return builder


def _file(key: str) -> Builder:
    def builder(asked: Asked) -> Built:
        brought = _brought(asked, "file", key)
        name = asked.text or "说明书.pdf"
        item = {
            "media": brought.media,
            "file_name": name,
            "md5": str(asked.detail.get("md5", brought.plain.md5)),
            "len": str(asked.number("size", brought.plain.size)),
        }
        return Built(items=({"type": 4, "file_item": item},), brought=brought, name=name)

    return builder


def _video(asked: Asked) -> Built:
    brought = _brought(asked, "video", "44")
    thumb = _thumb(asked)
    item = {
        "media": brought.media,
        "video_size": asked.number("size", brought.sealed_size),
        "play_length": asked.number("seconds", 3) * 1000,
        "video_md5": str(asked.detail.get("md5", brought.plain.md5)),
        **thumb.fields,
    }
    if thumb.file:
        brought = _with(brought, thumb.file)
    return Built(items=({"type": 5, "video_item": item},), brought=brought)


def _voice(asked: Asked) -> Built:
    """encode_type and sample_rate are wrong, as they were seen: it is SILK (ilink 8.5)."""
    brought = _brought(asked, "voice", "44")
    item = {
        "media": brought.media,
        "encode_type": asked.number("encode_type", 4),
        "bits_per_sample": 16,
        "sample_rate": 16000,
        "playtime": asked.number("milliseconds", 2320),
    }
    if asked.text:
        item["text"] = asked.text
    return Built(items=({"type": 3, "voice_item": item},), brought=brought)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Thumb:
    fields: Fields
    file: File | None = None


def _thumb(asked: Asked) -> _Thumb:
    if asked.detail.get("thumb") is False:
        return _Thumb(fields={})
    small = bring(asked.network, asked.bot, thumbnail(str(asked.msg_id)), "44", {})
    sizes = {"thumb_size": small.sealed_size, "thumb_height": 120, "thumb_width": 90}
    return _Thumb(fields={"thumb_media": small.media, **sizes}, file=small.files[0])


def _with(brought: Brought, file: File) -> Brought:
    return Brought(
        plain=brought.plain,
        media=brought.media,
        aeskey=brought.aeskey,
        sealed_size=brought.sealed_size,
        files=(*brought.files, file),
    )


def _several(asked: Asked) -> Built:
    """More than one item in one message: a text and a picture (ilink 5.5)."""
    picture = _image("both")(asked)
    return Built(items=(text_item(asked.text), *picture.items), brought=picture.brought)


# quotes (ilink 5.4)


def _line(asked: Asked) -> Line | None:
    """The message that is quoted: `msg_id`, else the bot's newest. Those of other times have no line."""
    chats, msg_id = asked.network.chats, asked.detail.get("msg_id")
    if msg_id is not None:
        return chats.find(str(msg_id))
    own = (one for one in reversed(chats.lines) if one.person == asked.bot.person and one.by == "bot")
    return next(own, None)


def _quoted_id(asked: Asked, line: Line | None) -> int:
    msg_id = line.msg_id if line else str(asked.detail.get("msg_id", ""))
    if not msg_id.isdecimal():
        raise BadDetail("msg_id must be that of a message: the bot has sent none yet")
    return int(msg_id)


def _quote(asked: Asked) -> Built:
    """An older phone: the quoted item itself."""
    line = _line(asked)
    msg_id = _quoted_id(asked, line)
    shown = line.text if line else ""
    item = _item(asked, str(msg_id)) or text_item(shown)
    ref: Fields = {"title": shown, "message_item": {**item, "msg_id": str(msg_id), "is_completed": True}}
    return Built(items=(text_item(asked.text, ref_msg=ref),), quoted=shown)


def _item(asked: Asked, msg_id: str) -> Fields | None:
    """The quoted message's first item, so that its file can be had again."""
    if (sent := asked.network.attachments.items.get(msg_id)) is not None:
        return sent
    message = asked.bot.find(msg_id)
    items = json.loads(message)["item_list"] if message else []
    return items[0] if items else None


def _quote_id(asked: Asked) -> Built:
    """A newer one: only its id."""
    line = _line(asked)
    ref: Fields = {"svr_id": _quoted_id(asked, line)}
    return Built(items=(text_item(asked.text, ref_msg=ref),), quoted=line.text if line else "")


def _quote_partial(asked: Asked) -> Built:
    """A part of it: `part` is the text that was chosen, `occurrence` which of several (0 is the first)."""
    line = _line(asked)
    whole = line.text if line else ""
    part, occurrence = str(asked.detail.get("part", whole)), asked.number("occurrence", 0)
    ref: Fields = {
        "svr_id": _quoted_id(asked, line),
        "partial_text": partial_text(whole, part, occurrence, relative=bool(asked.detail.get("relative"))),
    }
    return Built(items=(text_item(asked.text, ref_msg=ref),), quoted=part)


def partial_text(whole: str, part: str, occurrence: int, *, relative: bool) -> Fields:
    """How a phone tells which part: its beginning, its end, and the number of each in the text, from 0.

    `relative`: the end is counted from behind the beginning. Raises `BadDetail` when it is no part.
    """
    place = -1
    for _ in range(occurrence + 1):
        place = whole.find(part, place + 1)
        if place < 0 or len(part) < (2 if relative else 1):
            raise BadDetail("part must be a part of the quoted text")
    length = min(3, max(1, len(part) // 2))
    start, end = part[:length], part[-length:]
    before = place + length if relative else 0
    return {
        "start": start,
        "end": end,
        "startindex": whole[:place].count(start),
        "endindex": whole[before : place + len(part) - len(end)].count(end),
        "quotemd5": hashlib.md5(part.encode(), usedforsecurity=False).hexdigest(),
    }


_BRINGS = {
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
    "several": _several,
    "quote": _quote,
    "quote_id": _quote_id,
    "quote_partial": _quote_partial,
    "unknown": _unknown,
    "bot": _bot,
    "empty": _empty,
}


def decode(data: str) -> bytes:
    """Bytes as an order has them; raises `BadDetail`."""
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise BadDetail(f"data is no base64: {error}") from None
