"""Reads the messages of iLink; each item of a message becomes a `Message` of its own (ilink 5).

    {"from_user_id": "b…@im.wechat", "context_token": "…", "create_time_ms": 1790000000000,
     "item_list": [{"type": 1, "text_item": {"text": "look"}}, {"type": 2, "image_item": {…}}]}

becomes a `ReceivedMessage` with two items: a text, and a picture to download. `read_message` reads the
fields of the whole message, `ITEM_READERS` has a function for each type of item, and `_item_key` makes the
key by which a repeated delivery is recognised.

A text may quote another message: by its id, or as a copy, which `ITEM_READERS` read as well (`read_quote`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from wx2mqtt.file_names import clean_filename, cut_filename
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import ilink_placeholder
from wx2mqtt.model import ChatKind, Handle, Json, Kind, MediaRef, Message
from wx2mqtt.wechat.ilink.protocol import crypto
from wx2mqtt.wechat.ilink.protocol.crypto import DeclaredMedia
from wx2mqtt.wechat.ilink.protocol.endpoints import ItemType, SenderType
from wx2mqtt.wechat.ilink.protocol.quotes import Quote, read_part
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_objects, read_text

# Milliseconds since 1970. A message whose time is later counts as one without a time.
MAX_TIME_MS = 1 << 43

# A `play_length` below this is in seconds (ilink 5.3.3).
MIN_PLAY_LENGTH_MS = 1000

# Characters of the hex digest of a key.
KEY_CHARACTERS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedItem:
    """One item of a message. `quote` is what the message quotes, whose details its receiver completes."""

    message: Message
    quote: Quote | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMessage:
    """One message of iLink.

    `token` is the context token, which a reply must carry. `time` is in milliseconds since 1970 by WeChat's
    clock, 0 where the message has none.
    """

    sender: Handle
    token: str = field(default="", repr=False)
    time: int = 0
    items: tuple[ReceivedItem, ...] = ()


def read_message(entry: JsonObject, bot: str, language: Language, now: int) -> ReceivedMessage | None:
    """Reads one message; returns None for one that no person wrote.

    `bot` is the id of the bot itself. `now` (milliseconds since 1970) becomes the time of a message without
    one. Raises `ValueError` for a message without a sender.
    """
    sender = Handle(read_text(entry, "from_user_id"))
    author = read_number(entry, "message_type") if "message_type" in entry else SenderType.USER
    if author != SenderType.USER or sender == bot:
        return None
    if not sender:
        raise ValueError
    created_at = read_number(entry, "create_time_ms")
    time = created_at if 0 < created_at < MAX_TIME_MS else 0
    items, _ = read_objects(entry, "item_list")
    message_id = _message_id(entry, items)
    repeated = _hash_repeated_facts(entry, items, sender, time)
    received: list[ReceivedItem] = []
    for index, item in enumerate(items or [{}]):  # a message without items is published, too
        content = _read_content(item, language)
        key = _item_key(repeated, index)
        message = Message(
            key=key,
            id=_item_id(message_id, index) or key,
            chat=sender,
            chat_kind=ChatKind.FRIEND,
            sender=sender,
            kind=content.kind,
            text=content.text,
            time=time or now,
            detail=content.detail,
            media=content.media,
            thumbnail=content.thumbnail,
        )
        received.append(ReceivedItem(message=message, quote=content.quote))
    token = read_text(entry, "context_token")
    return ReceivedMessage(sender=sender, token=token, time=time, items=tuple(received))


def _message_id(entry: JsonObject, items: list[JsonObject]) -> str:
    """Returns WeChat's id of the message, or the first one of its items; empty where it sends none."""
    return next(
        filter(None, [_read_id(entry, "message_id"), *(_read_id(item, "msg_id") for item in items)]), ""
    )


def _item_id(message_id: str, index: int) -> str:
    """Returns the id of an item: that of the message, then with `.2`, `.3` and so on; empty without one."""
    return f"{message_id}.{index + 1}" if message_id and index else message_id


def entry_id(entry: JsonObject) -> str:
    """Returns WeChat's id of a message, empty where it has none."""
    return _read_id(entry, "message_id")


def entry_digest(entry: JsonObject) -> str:
    """Returns a text that is equal for the same message without an id when it is delivered again."""
    serialized = json.dumps(entry, sort_keys=True, default=str)
    return hashlib.sha256(serialized.encode()).hexdigest()[:KEY_CHARACTERS]


def _read_id(entry: JsonObject, key: str) -> str:
    message_id = read_text(entry, key).strip()
    return message_id if message_id.strip("0") else ""  # 0 stands for no id


def _hash_repeated_facts(entry: JsonObject, items: list[JsonObject], sender: str, time: int) -> hashlib._Hash:
    """Returns a digest that begins with what is equal in two deliveries of a message (ilink 4.5.2).

    WeChat may send a message again seconds later under a new id. Content and time stay the same. The id is
    used only where the message has no time.
    """
    time_or_id = time or read_text(entry, "message_id") or read_text(entry, "seq")
    facts = json.dumps([sender, time_or_id, [_fingerprint(item) for item in items]], ensure_ascii=True)
    return hashlib.sha256(facts.removesuffix("]").encode())


def _item_key(repeated: hashlib._Hash, index: int) -> str:
    """Returns the key of an item, by which a message that is delivered twice is recognised.

    It is the digest of the list of the repeated facts and the index. Each item adds only its index: a message
    may have thousands.
    """
    digest = repeated.copy()
    digest.update(f", {index}]".encode())
    return digest.hexdigest()[:KEY_CHARACTERS]


_STABLE_FIELDS = ("text", "file_name", "len", "md5", "playtime", "mid_size", "video_size", "video_md5")


def _fingerprint(item: JsonObject) -> list[Json]:
    """Returns the fields that are equal in two deliveries of an item.

    The address of a file is used only where it has no key: WeChat may make a new one for each delivery.
    """
    fields: list[Json] = [read_number(item, "type")]
    for name in ("text_item", "image_item", "voice_item", "file_item", "video_item"):
        if content := read_object(item, name):
            media = read_object(content, "media")
            key = (
                read_text(content, "aeskey")
                or read_text(media, "aes_key")
                or read_text(media, "encrypt_query_param")
            )
            fields += [key, *(read_text(content, field_name) for field_name in _STABLE_FIELDS)]
    quoted = read_object(item, "ref_msg")
    return [*fields, read_text(quoted, "svr_id"), read_text(read_object(quoted, "message_item"), "msg_id")]


# Items. Each function reads one type of item.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    kind: Kind
    text: str
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None
    thumbnail: MediaRef | None = None
    quote: Quote | None = None


def _read_content(item: JsonObject, language: Language) -> _Content:
    content = _read_item(item, language)
    quote = read_quote(item, language) if content.kind is Kind.TEXT else None
    if quote is None:
        return content
    return replace(content, kind=Kind.QUOTE, detail=quote.detail(), quote=quote)


def _read_item(item: JsonObject, language: Language) -> _Content:
    """Reads an item without the message that it may quote."""
    reader = ITEM_READERS.get(read_number(item, "type"))
    if reader is not None:
        return reader(item, language)
    item_type = item.get("type")
    detail: dict[str, Json] = {"type": item_type} if type(item_type) is int else {}
    return _Content(kind=Kind.UNSUPPORTED, text=ilink_placeholder(language, Kind.UNSUPPORTED), detail=detail)


def _text_content(item: JsonObject, _language: Language) -> _Content:
    return _Content(kind=Kind.TEXT, text=read_text(read_object(item, "text_item"), "text"))


def _image_content(item: JsonObject, language: Language) -> _Content:
    """Reads a picture without its sizes: they belong to encrypted bytes of several versions."""
    image = read_object(item, "image_item")
    return _Content(
        kind=Kind.IMAGE,
        text=ilink_placeholder(language, Kind.IMAGE),
        media=crypto.picture_locator(image),
        thumbnail=crypto.picture_locator(image, "thumb_media"),
    )


def _voice_content(item: JsonObject, language: Language) -> _Content:
    """Reads a voice message; its text is WeChat's transcript.

    The file is SILK, whatever `encode_type` says (ilink 8.5).
    """
    voice = read_object(item, "voice_item")
    text = read_text(voice, "text").strip()
    detail: dict[str, Json] = {**_duration(voice, "playtime"), **({"transcript": True} if text else {})}
    return _Content(
        kind=Kind.VOICE,
        text=text or ilink_placeholder(language, Kind.VOICE),
        detail=detail,
        media=crypto.file_locator(voice, DeclaredMedia(mime="audio/silk")),
    )


def _file_content(item: JsonObject, language: Language) -> _Content:
    file = read_object(item, "file_item")
    name = cut_filename(clean_filename(read_text(file, "file_name")))
    size = max(0, read_number(file, "len"))
    declared = DeclaredMedia(size=size, md5=read_text(file, "md5"), name=name)
    detail: dict[str, Json] = {**({"name": name} if name else {}), **({"size": size} if size else {})}
    return _Content(
        kind=Kind.FILE,
        text=ilink_placeholder(language, Kind.FILE, name),
        detail=detail,
        media=crypto.file_locator(file, declared),
    )


def _video_content(item: JsonObject, language: Language) -> _Content:
    video = read_object(item, "video_item")
    size = max(0, read_number(video, "video_size"))
    declared = DeclaredMedia(size=size, md5=read_text(video, "video_md5"))
    return _Content(
        kind=Kind.VIDEO,
        text=ilink_placeholder(language, Kind.VIDEO),
        detail=_video_duration(video),
        media=crypto.file_locator(video, declared),
        thumbnail=crypto.picture_locator(video, "thumb_media"),
    )


def _video_duration(video: JsonObject) -> dict[str, Json]:
    """Returns the duration of a video, in seconds, as a field of the payload.

    The protocol does not define the unit. No video is shorter than a second, so a number below 1000 is in
    seconds, any other one in milliseconds (ilink 5.3.3).
    """
    length = read_number(video, "play_length")
    return {"duration": float(length)} if 0 < length < MIN_PLAY_LENGTH_MS else _duration(video, "play_length")


def _duration(entry: JsonObject, key: str) -> dict[str, Json]:
    """Returns a duration that is given in milliseconds, in seconds, as a field of the payload."""
    length = read_number(entry, key)
    return {"duration": length / 1000} if 0 < length < MAX_TIME_MS else {}


ITEM_READERS: dict[int, Callable[[JsonObject, Language], _Content]] = {
    ItemType.TEXT: _text_content,
    ItemType.IMAGE: _image_content,
    ItemType.VOICE: _voice_content,
    ItemType.FILE: _file_content,
    ItemType.VIDEO: _video_content,
}


def read_quote(item: JsonObject, language: Language) -> Quote | None:
    """Returns the message that an item quotes, or None.

    Newer phones send only its id, older ones the whole item (ilink 5.4.1).
    """
    ref = read_object(item, "ref_msg")
    if not ref:
        return None
    quoted_item = read_object(ref, "message_item")
    quoted = _read_item(quoted_item, language) if quoted_item else None
    return Quote(
        id=_read_id(ref, "svr_id") or _read_id(quoted_item, "msg_id"),
        kind=quoted.kind if quoted else None,
        text=(quoted.text if quoted else "") or read_text(ref, "title").strip(),
        part=read_part(read_object(ref, "partial_text")),
    )
