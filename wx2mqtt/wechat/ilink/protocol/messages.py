"""Reads the messages of iLink; each item of a message becomes a `Message` of its own (ilink 5).

    {"from_user_id": "b…@im.wechat", "context_token": "…", "create_time_ms": 1790000000000,
     "item_list": [{"type": 1, "text_item": {"text": "look"}}, {"type": 2, "image_item": {…}}]}

becomes a `ReceivedMessage` with two items: a text, and a picture to download (`ITEM_READERS`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import field, replace

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import ilink_placeholder
from wx2mqtt.model import ChatKind, Handle, Json, Kind, MediaRef, Message
from wx2mqtt.names import clean_filename, cut_filename
from wx2mqtt.values import frozen
from wx2mqtt.wechat.ilink.protocol import crypto
from wx2mqtt.wechat.ilink.protocol.codes import ItemType, SenderType
from wx2mqtt.wechat.ilink.protocol.crypto import DeclaredMedia
from wx2mqtt.wechat.ilink.protocol.message_ids import ids_and_keys, read_id
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_objects, read_text

# Milliseconds since 1970. A message whose time is later counts as one without a time.
MAX_TIME_MS = 1 << 43

# More items of a message are not read. Phones send one or two; a megabyte has place for 300,000.
MAX_ITEMS = 100

# How much of a quoted text is published.
MAX_QUOTE_CHARACTERS = 1000

# A quoted part whose `start` or `end` is a later occurrence than this is not searched for.
MAX_OCCURRENCES = 1000

# A `play_length` below this is in seconds (ilink 5.3.3).
MIN_PLAY_LENGTH_MS = 1000


def read_message(entry: JsonObject, bot: str, language: Language, now: int) -> ReceivedMessage | None:
    """Reads one message; returns None for one that no person wrote.

    `bot` is the id of the bot itself. `now` (milliseconds since 1970) becomes the time of a message without
    one. Raises `ValueError` for a message without a sender.
    """
    sender = Handle(read_text(entry, "from_user_id"))
    is_from_person = "message_type" not in entry or read_number(entry, "message_type") == SenderType.USER
    if sender == bot or not is_from_person:
        return None
    if not sender:
        raise ValueError
    time = read_number(entry, "create_time_ms")
    if not 0 < time < MAX_TIME_MS:
        time = 0
    entries = read_objects(entry, "item_list")[0][:MAX_ITEMS]
    keys = ids_and_keys(entry, entries, sender, time)
    items = []
    for item in entries or [{}]:  # a message without items is published, too
        item_id, key = next(keys)
        content = _read_item(item, language)
        quote = read_quote(item, language) if content.kind is Kind.TEXT else None
        if quote is not None:
            content = replace(content, kind=Kind.QUOTE, detail=quote.detail())
        message = Message(
            key=key,
            id=item_id,
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
        items.append(ReceivedItem(message=message, quote=quote))
    context_token = read_text(entry, "context_token")
    return ReceivedMessage(sender=sender, context_token=context_token, time=time, items=tuple(items))


def is_of_group(entry: JsonObject) -> bool:
    """Returns whether a message names a group: it is no person's (ilink 5.1.4)."""
    return bool(entry.get("group_id"))


@frozen
class ReceivedItem:
    """One item of a message."""

    message: Message
    #: What the message quotes, whose details the receiver completes.
    quote: Quote | None = None


@frozen
class ReceivedMessage:
    """One message of iLink."""

    sender: Handle
    #: A reply must carry it.
    context_token: str = field(default="", repr=False)
    #: In milliseconds since 1970 by WeChat's clock, 0 where the message has none.
    time: int = 0
    items: tuple[ReceivedItem, ...] = ()


@frozen
class ItemContent:
    """What an item says, without the sender and the time of its message."""

    kind: Kind
    text: str
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None
    thumbnail: MediaRef | None = None


# Items: one function for each type.


def _read_item(item: JsonObject, language: Language) -> ItemContent:
    """Reads an item without the message that it may quote."""
    reader = ITEM_READERS.get(read_number(item, "type"))
    if reader is not None:
        return reader(item, language)
    item_type = item.get("type")
    detail: dict[str, Json] = {"type": item_type} if type(item_type) is int else {}
    return ItemContent(
        kind=Kind.UNSUPPORTED, text=ilink_placeholder(language, Kind.UNSUPPORTED), detail=detail
    )


def _text_content(item: JsonObject, _language: Language) -> ItemContent:
    return ItemContent(kind=Kind.TEXT, text=read_text(read_object(item, "text_item"), "text"))


def _image_content(item: JsonObject, language: Language) -> ItemContent:
    """Reads a picture without its sizes: they belong to encrypted bytes of several versions."""
    image = read_object(item, "image_item")
    return ItemContent(
        kind=Kind.IMAGE,
        text=ilink_placeholder(language, Kind.IMAGE),
        media=crypto.picture_locator(image),
        thumbnail=crypto.picture_locator(image, "thumb_media"),
    )


def _voice_content(item: JsonObject, language: Language) -> ItemContent:
    """Reads a voice message; its text is WeChat's transcript.

    The file is SILK, whatever `encode_type` says (ilink 8.5).
    """
    voice = read_object(item, "voice_item")
    text = read_text(voice, "text").strip()
    detail: dict[str, Json] = {**_duration(voice, "playtime"), **({"transcript": True} if text else {})}
    return ItemContent(
        kind=Kind.VOICE,
        text=text or ilink_placeholder(language, Kind.VOICE),
        detail=detail,
        media=crypto.file_locator(voice, DeclaredMedia(mime="audio/silk")),
    )


def _file_content(item: JsonObject, language: Language) -> ItemContent:
    file = read_object(item, "file_item")
    name = cut_filename(clean_filename(read_text(file, "file_name")))
    size = max(0, read_number(file, "len"))
    declared = DeclaredMedia(size=size, md5=read_text(file, "md5"), name=name)
    detail: dict[str, Json] = {**({"name": name} if name else {}), **({"size": size} if size else {})}
    return ItemContent(
        kind=Kind.FILE,
        text=ilink_placeholder(language, Kind.FILE, name),
        detail=detail,
        media=crypto.file_locator(file, declared),
    )


def _video_content(item: JsonObject, language: Language) -> ItemContent:
    video = read_object(item, "video_item")
    size = max(0, read_number(video, "video_size"))
    declared = DeclaredMedia(size=size, md5=read_text(video, "video_md5"))
    return ItemContent(
        kind=Kind.VIDEO,
        text=ilink_placeholder(language, Kind.VIDEO),
        detail=_duration(video, "play_length", MIN_PLAY_LENGTH_MS),
        media=crypto.file_locator(video, declared),
        thumbnail=crypto.picture_locator(video, "thumb_media"),
    )


def _duration(entry: JsonObject, key: str, min_ms: int = 0) -> dict[str, Json]:
    """Returns a duration, in seconds, as a field of the payload.

    It is given in milliseconds. The protocol does not define the unit for a video; no video is shorter than a
    second, so a number below `min_ms` is in seconds (ilink 5.3.3).
    """
    length = read_number(entry, key)
    if 0 < length < min_ms:
        return {"duration": float(length)}
    return {"duration": length / 1000} if 0 < length < MAX_TIME_MS else {}


ITEM_READERS: dict[int, Callable[[JsonObject, Language], ItemContent]] = {
    ItemType.TEXT: _text_content,
    ItemType.IMAGE: _image_content,
    ItemType.VOICE: _voice_content,
    ItemType.FILE: _file_content,
    ItemType.VIDEO: _video_content,
}


# Quotes


@frozen
class Quote:
    """The message that another one quotes."""

    id: str = ""
    #: None, and `text` is empty, where only the id is known.
    kind: Kind | None = None
    text: str = ""
    #: None where the whole text is quoted.
    part: QuotePart | None = None

    def detail(self) -> dict[str, Json]:
        """Returns the fields for the payload; unknown ones are left out."""
        part = None if self.part is None else selected_text(self.text, self.part)
        text = part or self.text
        facts: dict[str, Json] = {
            "id": self.id,
            "kind": "" if self.kind is None else str(self.kind),
            "text": text[:MAX_QUOTE_CHARACTERS],
        }
        return {key: value for key, value in facts.items() if value}


@frozen
class QuotePart:
    """The quoted part of a text: from one occurrence of `start` to the end of one of `end`."""

    start: str
    end: str
    #: The part begins with this occurrence of `start`, counted from 0.
    start_index: int
    #: The part ends with this occurrence of `end`, counted from 0.
    end_index: int
    #: The MD5 of the part in hex; empty where the phone sends none.
    md5: str = ""


def read_quote(item: JsonObject, language: Language) -> Quote | None:
    """Returns the message that an item quotes, or None.

    Newer phones send only its id, older ones the whole item (ilink 5.4.1).
    """
    ref = read_object(item, "ref_msg")
    if not ref:
        return None
    part = read_part(read_object(ref, "partial_text"))
    title = read_text(ref, "title").strip()
    quoted_item = read_object(ref, "message_item")
    if not quoted_item:
        return Quote(id=read_id(ref, "svr_id"), text=title, part=part)
    quoted = _read_item(quoted_item, language)
    return Quote(
        id=read_id(ref, "svr_id") or read_id(quoted_item, "msg_id"),
        kind=quoted.kind,
        text=quoted.text or title,
        part=part,
    )


def read_part(entry: JsonObject) -> QuotePart | None:
    """Returns the quoted part that a phone names, or None where the whole text is quoted."""
    start, end = read_text(entry, "start"), read_text(entry, "end")
    if not (start and end):
        return None
    return QuotePart(
        start=start,
        end=end,
        start_index=read_number(entry, "startindex"),
        end_index=read_number(entry, "endindex"),
        md5=read_text(entry, "quotemd5").strip().lower(),
    )


def selected_text(text: str, part: QuotePart) -> str | None:
    """Returns the quoted part of `text`, or None where it is not in it (ilink 5.4.3).

    In "one two one two three", `start` "two" with index 1 and `end` "three" with index 0 are "two three".
    Some phones count `end` in the whole text, others behind `start`: both are tried, and the MD5 decides.
    """
    start = _nth_index(text, part.start, part.start_index)
    if start is None:
        return None
    end_in_text = _nth_index(text, part.end, part.end_index)
    end_behind_start = _nth_index(text, part.end, part.end_index, start + len(part.start))
    for end in (end_in_text, end_behind_start):
        if end is None or end < start:
            continue
        selection = text[start : end + len(part.end)]
        content = selection.encode("utf-8", "replace")
        if part.md5 in {"", hashlib.md5(content, usedforsecurity=False).hexdigest()}:
            return selection
    return None


def _nth_index(text: str, phrase: str, occurrence: int, start: int = 0) -> int | None:
    """Returns the index of the occurrence of `phrase` with this number (counted from 0) after `start`."""
    if not phrase or not 0 <= occurrence <= MAX_OCCURRENCES:
        return None
    index = text.find(phrase, start)
    for _ in range(occurrence):
        if index < 0:
            return None
        index = text.find(phrase, index + len(phrase))
    return index if index >= 0 else None
