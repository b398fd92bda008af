"""Reads the messages of iLink; each item of a message becomes a `Message` of its own (ilink 5).

    {"from_user_id": "b…@im.wechat", "context_token": "…", "create_time_ms": 1790000000000,
     "item_list": [{"type": 1, "text_item": {"text": "look"}}, {"type": 2, "image_item": {…}}]}

becomes a `ReceivedMessage` with two items: a text, and a picture to download. `read_message` reads the
fields of the whole message, `ITEM_READERS` has a function for each type of item, and `_message_keys` makes
the keys by which a repeated delivery is recognised.

An item may quote another message: by its id, as a copy, or as a part of its text (`read_quote`, ilink 5.4).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from wx2mqtt.file_names import clean_filename, cut_filename
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.wechat import ilink_placeholder
from wx2mqtt.model import ChatKind, Handle, Json, Kind, MediaRef, Message
from wx2mqtt.wechat.ilink.protocol import crypto
from wx2mqtt.wechat.ilink.protocol.crypto import DeclaredMedia
from wx2mqtt.wechat.ilink.protocol.endpoints import ItemType, SenderType
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_objects, read_text

# How much of a quoted text is published.
MAX_QUOTE_CHARACTERS = 1000

# A quoted part whose `start` or `end` is a later occurrence than this is not searched for.
MAX_OCCURRENCES = 1000

# Milliseconds since 1970. A message whose time is later counts as one without a time.
MAX_TIME_MS = 1 << 43

# A `play_length` below this is in seconds (ilink 5.3.3).
MIN_PLAY_LENGTH_MS = 1000

# Characters of the hex digest of a key.
KEY_CHARACTERS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The message that another one quotes. `kind` is None and `text` empty where only its id is known."""

    id: str = ""
    kind: Kind | None = None
    text: str = ""
    part: QuotePart | None = None

    def detail(self) -> dict[str, Json]:
        """Returns the fields for the payload; unknown ones are left out."""
        text = (selected_text(self.text, self.part) if self.part else None) or self.text
        facts: dict[str, Json] = {
            "id": self.id,
            "kind": "" if self.kind is None else str(self.kind),
            "text": text[:MAX_QUOTE_CHARACTERS],
        }
        return {key: value for key, value in facts.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotePart:
    """The quoted part of a text: from one occurrence of `start` to the end of one of `end`.

    `start_index` and `end_index` say which occurrence, counted from 0. `md5` is the hash of the part, in hex,
    or empty.
    """

    start: str
    end: str
    start_index: int
    end_index: int
    md5: str = ""


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
    contents = [_read_content(item, language) for item in items or [{}]]
    ids = _message_ids(entry, items, len(contents))
    keys = _message_keys(entry, items, sender, time)
    return ReceivedMessage(
        sender=sender,
        token=read_text(entry, "context_token"),
        time=time,
        items=tuple(
            ReceivedItem(
                message=_message(content, sender, key, message_id or key, time or now), quote=content.quote
            )
            for content, message_id, key in zip(contents, ids, keys, strict=True)
        ),
    )


def _message(content: _Content, sender: Handle, key: str, message_id: str, time: int) -> Message:
    return Message(
        key=key,
        id=message_id,
        chat=sender,
        chat_kind=ChatKind.FRIEND,
        sender=sender,
        kind=content.kind,
        text=content.text,
        time=time,
        detail=content.detail,
        media=content.media,
        thumbnail=content.thumbnail,
    )


def entry_id(entry: JsonObject) -> str:
    """Returns WeChat's id of a message, empty where it has none."""
    message_id = read_text(entry, "message_id").strip()
    return message_id if message_id.strip("0") else ""


def entry_digest(entry: JsonObject) -> str:
    """Returns a text that is equal for the same message without an id when it is delivered again."""
    serialized = json.dumps(entry, sort_keys=True, default=str)
    return hashlib.sha256(serialized.encode()).hexdigest()[:40]


def _message_ids(entry: JsonObject, items: list[JsonObject], count: int) -> Iterator[str]:
    """Yields an id for each of `count` items: WeChat's id, then this id with `.2`, `.3` and so on.

    All are empty where WeChat sends no id.
    """
    known_ids = [read_text(entry, "message_id"), *(read_text(item, "msg_id") for item in items)]
    first_id = next((known_id.strip() for known_id in known_ids if known_id.strip(" 0")), "")
    yield first_id
    for number in range(2, count + 1):
        yield f"{first_id}.{number}" if first_id else ""


def _message_keys(entry: JsonObject, items: list[JsonObject], sender: str, time: int) -> Iterator[str]:
    """Yields a key for each item, by which a message that is delivered twice is recognised (ilink 4.5.2).

    WeChat may send a message again seconds later under a new id. Content and time stay the same, so the key
    is made of these. The id is used only where the message has no time.
    """
    fingerprints = [_fingerprint(item) for item in items]
    time_or_id = time or read_text(entry, "message_id") or read_text(entry, "seq")
    for index in range(max(1, len(fingerprints))):
        facts = json.dumps([sender, time_or_id, fingerprints, index], ensure_ascii=True)
        yield hashlib.sha256(facts.encode()).hexdigest()[:KEY_CHARACTERS]


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
    reader = ITEM_READERS.get(read_number(item, "type"))
    if reader is not None:
        return reader.read(item, language)
    item_type = item.get("type")
    detail: dict[str, Json] = {"type": item_type} if type(item_type) is int else {}
    return _Content(kind=Kind.UNSUPPORTED, text=ilink_placeholder(language, Kind.UNSUPPORTED), detail=detail)


def _text_content(item: JsonObject, language: Language) -> _Content:
    text = read_text(read_object(item, "text_item"), "text")
    quote = read_quote(item, language)
    if quote is None:
        return _Content(kind=Kind.TEXT, text=text)
    return _Content(kind=Kind.QUOTE, text=text, detail=quote.detail(), quote=quote)


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


class ItemReader(NamedTuple):
    """The function that reads one type of item, and the kind of the message without a quote."""

    kind: Kind
    read: Callable[[JsonObject, Language], _Content]


ITEM_READERS: dict[int, ItemReader] = {
    ItemType.TEXT: ItemReader(Kind.TEXT, _text_content),
    ItemType.IMAGE: ItemReader(Kind.IMAGE, _image_content),
    ItemType.VOICE: ItemReader(Kind.VOICE, _voice_content),
    ItemType.FILE: ItemReader(Kind.FILE, _file_content),
    ItemType.VIDEO: ItemReader(Kind.VIDEO, _video_content),
}


# Quotes.


def read_quote(item: JsonObject, language: Language) -> Quote | None:
    """Returns the message that an item quotes, or None.

    Newer phones send only its id, older ones the whole item (ilink 5.4.1).
    """
    ref = read_object(item, "ref_msg")
    if not ref:
        return None
    quoted_item = read_object(ref, "message_item")
    kind, text = _quoted_content(quoted_item, language) if quoted_item else (None, "")
    return Quote(
        id=_read_id(ref, "svr_id") or _read_id(quoted_item, "msg_id"),
        kind=kind,
        text=text or read_text(ref, "title").strip(),
        part=_read_part(read_object(ref, "partial_text")),
    )


def _read_id(entry: JsonObject, key: str) -> str:
    message_id = read_text(entry, key).strip()
    return message_id if message_id.strip("0") else ""  # 0 stands for no id


def _quoted_content(item: JsonObject, language: Language) -> tuple[Kind, str]:
    """Returns the kind of a quoted item, and its text or a placeholder for it."""
    item_type = read_number(item, "type")
    reader = ITEM_READERS.get(item_type)
    kind = Kind.UNSUPPORTED if reader is None else reader.kind
    if item_type == ItemType.TEXT:
        return kind, read_text(read_object(item, "text_item"), "text")
    if item_type == ItemType.VOICE:
        return kind, read_text(read_object(item, "voice_item"), "text") or ilink_placeholder(language, kind)
    name = read_text(read_object(item, "file_item"), "file_name") if item_type == ItemType.FILE else ""
    return kind, ilink_placeholder(language, kind, name)


def _read_part(entry: JsonObject) -> QuotePart | None:
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
    """Returns the quoted part of `text`, or None where it is not in it.

    Phones count the occurrences of `end` either in the whole text or after `start`. The hash decides which of
    the two is meant (ilink 5.4.3).
    """
    candidates = dict.fromkeys(_candidate_selections(text, part))
    if not part.md5:
        return next(iter(candidates), None)
    return next((candidate for candidate in candidates if _md5(candidate) == part.md5), None)


def _candidate_selections(text: str, part: QuotePart) -> Iterator[str]:
    start = _nth_index(text, part.start, part.start_index)
    if start is None:
        return
    for end in (
        _nth_index(text, part.end, part.end_index),
        _nth_index(text, part.end, part.end_index, start + len(part.start)),
    ):
        if end is not None and end >= start:
            yield text[start : end + len(part.end)]


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


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
