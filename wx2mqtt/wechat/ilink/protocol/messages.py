"""From iLink's messages to ours: each item is one message (ilink 5).

A reply names what it answers: the whole message, its id, or a part of its text (ilink 5.4).
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

MAX_QUOTE_CHARACTERS = 1000  # characters of what was answered that are told


MAX_OCCURRENCES = 1000  # occurrences that are looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotePart:
    """Which part of a text was answered: from an occurrence of `start` to one of `end`, counted from 0."""

    start: str
    end: str
    start_index: int
    end_index: int
    md5: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a message answers. `kind` is None and `read_text` empty where only its id is known."""

    id: str = ""
    kind: Kind | None = None
    text: str = ""
    part: QuotePart | None = None

    def detail(self) -> dict[str, Json]:
        """As it is published; what is not known is left out."""
        said = (selected_text(self.text, self.part) if self.part else None) or self.text
        facts: dict[str, Json] = {
            "id": self.id,
            "kind": "" if self.kind is None else str(self.kind),
            "text": said[:MAX_QUOTE_CHARACTERS],
        }
        return {key: value for key, value in facts.items() if value}


def read_quote(item: JsonObject, language: Language) -> Quote | None:
    """What the item answers; None where it answers nothing.

    Newer phones tell the id alone, older ones the whole item (ilink 5.4.1).
    """
    ref = read_object(item, "ref_msg")
    if not ref:
        return None
    whole = read_object(ref, "message_item")
    kind, text = _said(whole, language) if whole else (None, "")
    return Quote(
        id=_id(ref, "svr_id") or _id(whole, "msg_id"),
        kind=kind,
        text=text or read_text(ref, "title").strip(),
        part=_part(read_object(ref, "partial_text")),
    )


def selected_text(text: str, part: QuotePart) -> str | None:
    """The part of a text that was answered; None where it cannot be told.

    The end is counted in the whole text or from behind the start; the hash says which (ilink 5.4.3).
    """
    found = dict.fromkeys(_candidates(text, part))
    if not part.md5:
        return next(iter(found), None)
    return next((one for one in found if _md5(one) == part.md5), None)


def _candidates(whole: str, part: QuotePart) -> Iterator[str]:
    start = _nth(whole, part.start, part.start_index)
    if start is None:
        return
    for end in (
        _nth(whole, part.end, part.end_index),
        _nth(whole, part.end, part.end_index, start + len(part.start)),
    ):
        if end is not None and end >= start:
            yield whole[start : end + len(part.end)]


def _nth(whole: str, phrase: str, occurrence: int, start: int = 0) -> int | None:
    """Where it stands for the `occurrence`th time, from 0."""
    if not phrase or not 0 <= occurrence <= MAX_OCCURRENCES:
        return None
    place = whole.find(phrase, start)
    for _ in range(occurrence):
        if place < 0:
            return None
        place = whole.find(phrase, place + len(phrase))
    return place if place >= 0 else None


def _part(entry: JsonObject) -> QuotePart | None:
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


def _said(item: JsonObject, language: Language) -> tuple[Kind, str]:
    """Kind and line of what was answered."""
    item_type = read_number(item, "type")
    reader = ITEM_READERS.get(item_type)
    kind = Kind.UNSUPPORTED if reader is None else reader.kind
    if item_type == ItemType.TEXT:
        return kind, read_text(read_object(item, "text_item"), "text")
    if item_type == ItemType.VOICE:
        return kind, read_text(read_object(item, "voice_item"), "text") or ilink_placeholder(language, kind)
    name = read_text(read_object(item, "file_item"), "file_name") if item_type == ItemType.FILE else ""
    return kind, ilink_placeholder(language, kind, name)


def _id(entry: JsonObject, key: str) -> str:
    found = read_text(entry, key).strip()
    return found if found.strip("0") else ""


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


MAX_TIME_MS = 1 << 43  # milliseconds since 1970; what claims to be later has no time


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedItem:
    """One message of iLink: who wrote it and when, what it opens for us, and our messages in it.

    `token` is what an answer must bring along. `time` is WeChat's, in milliseconds since 1970, and 0 where
    it tells none. `quotes` are what the messages answer, by place.
    """

    sender: Handle
    token: str = field(default="", repr=False)
    time: int = 0
    messages: tuple[Message, ...] = ()
    quotes: Mapping[int, Quote] = field(default_factory=dict)


def read_item(entry: JsonObject, bot: str, language: Language, now: int) -> ReceivedItem | None:
    """Read one message; None for what no person wrote. `now` stands for a time that is not told.

    Raises `ValueError` for one that tells no sender.
    """
    sender = read_text(entry, "from_user_id")
    author = read_number(entry, "message_type") if "message_type" in entry else SenderType.USER
    if author != SenderType.USER or sender == bot:
        return None
    if not sender:
        raise ValueError
    told = read_number(entry, "create_time_ms")
    time = told if 0 < told < MAX_TIME_MS else 0
    items, _ = read_objects(entry, "item_list")
    read = [_read(item, language) for item in items or [{}]]
    ids = _ids(entry, items, len(read))
    return ReceivedItem(
        sender=Handle(sender),
        token=read_text(entry, "context_token"),
        time=time,
        messages=tuple(
            Message(
                key=key,
                id=one_id or key,
                chat=Handle(sender),
                chat_kind=ChatKind.FRIEND,
                sender=Handle(sender),
                kind=one.kind,
                text=one.text,
                time=time or now,
                detail=one.detail,
                media=one.media,
                thumbnail=one.thumbnail,
            )
            for one, one_id, key in zip(read, ids, _keys(entry, sender, time), strict=True)
        ),
        quotes={place: one.quote for place, one in enumerate(read) if one.quote is not None},
    )


def _ids(entry: JsonObject, items: list[JsonObject], count: int) -> Iterator[str]:
    """The message's id, with a number behind it for a second item and each further one."""
    known = [read_text(entry, "message_id"), *(read_text(item, "msg_id") for item in items)]
    found = next((one.strip() for one in known if one.strip(" 0")), "")
    yield found
    for place in range(1, count):
        yield f"{found}.{place + 1}" if found else ""


def _keys(entry: JsonObject, sender: str, time: int) -> Iterator[str]:
    """The same for the same message under whatever id it comes (ilink 4.5.2).

    It is sent again under a new id, seconds later. What it holds and when it was written stay the same; only
    where no time is told must the id do.
    """
    items, _ = read_objects(entry, "item_list")
    what = [_fingerprint(item) for item in items]
    when = time or read_text(entry, "message_id") or read_text(entry, "seq")
    for place in range(max(1, len(what))):
        facts = json.dumps([sender, when, what, place], ensure_ascii=True)
        yield hashlib.sha256(facts.encode()).hexdigest()[:40]


def _fingerprint(item: JsonObject) -> list[Json]:
    """What makes two items the same: not the address of bytes, which may be made anew for each delivery."""
    found: list[Json] = [read_number(item, "type")]
    for name in ("text_item", "image_item", "voice_item", "file_item", "video_item"):
        if one := read_object(item, name):
            media = read_object(one, "media")
            key = (
                read_text(one, "aeskey")
                or read_text(media, "aes_key")
                or read_text(media, "encrypt_query_param")
            )
            facts = ("text", "file_name", "len", "md5", "playtime", "mid_size", "video_size", "video_md5")
            found += [key, *(read_text(one, fact) for fact in facts)]
    answered = read_object(item, "ref_msg")
    return [*found, read_text(answered, "svr_id"), read_text(read_object(answered, "message_item"), "msg_id")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    kind: Kind
    text: str
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None
    thumbnail: MediaRef | None = None
    quote: Quote | None = None


def _read(item: JsonObject, language: Language) -> _Content:
    reader = ITEM_READERS.get(read_number(item, "type"))
    if reader is not None:
        return reader.read(item, language)
    item_type = item.get("type")
    detail: dict[str, Json] = {"type": item_type} if type(item_type) is int else {}
    return _Content(kind=Kind.UNSUPPORTED, text=ilink_placeholder(language, Kind.UNSUPPORTED), detail=detail)


def _text(item: JsonObject, language: Language) -> _Content:
    said, answered = read_text(read_object(item, "text_item"), "text"), read_quote(item, language)
    if answered is None:
        return _Content(kind=Kind.TEXT, text=said)
    return _Content(kind=Kind.QUOTE, text=said, detail=answered.detail(), quote=answered)


def _image(item: JsonObject, language: Language) -> _Content:
    """Its sizes are of what is encrypted, and of several versions: nothing can be checked by them."""
    image = read_object(item, "image_item")
    return _Content(
        kind=Kind.IMAGE,
        text=ilink_placeholder(language, Kind.IMAGE),
        media=crypto.picture_locator(image),
        thumbnail=crypto.picture_locator(image, "thumb_media"),
    )


def _voice(item: JsonObject, language: Language) -> _Content:
    """WeChat's transcript is what it says; the bytes are SILK, whatever `encode_type` claims (ilink 8.5)."""
    voice = read_object(item, "voice_item")
    text = read_text(voice, "text").strip()
    detail: dict[str, Json] = {**_seconds(voice, "playtime"), **({"transcript": True} if text else {})}
    return _Content(
        kind=Kind.VOICE,
        text=text or ilink_placeholder(language, Kind.VOICE),
        detail=detail,
        media=crypto.file_locator(voice, DeclaredMedia(mime="audio/silk")),
    )


def _file(item: JsonObject, language: Language) -> _Content:
    file = read_object(item, "file_item")
    name = cut_filename(clean_filename(read_text(file, "file_name")))
    size = max(0, read_number(file, "len"))
    told = DeclaredMedia(size=size, md5=read_text(file, "md5"), name=name)
    detail: dict[str, Json] = {**({"name": name} if name else {}), **({"size": size} if size else {})}
    return _Content(
        kind=Kind.FILE,
        text=ilink_placeholder(language, Kind.FILE, name),
        detail=detail,
        media=crypto.file_locator(file, told),
    )


def _video(item: JsonObject, language: Language) -> _Content:
    video = read_object(item, "video_item")
    told = DeclaredMedia(size=max(0, read_number(video, "video_size")), md5=read_text(video, "video_md5"))
    return _Content(
        kind=Kind.VIDEO,
        text=ilink_placeholder(language, Kind.VIDEO),
        detail=_length(video),
        media=crypto.file_locator(video, told),
        thumbnail=crypto.picture_locator(video, "thumb_media"),
    )


def _length(video: JsonObject) -> dict[str, Json]:
    """How long a video is. Nobody says in which unit; none is shorter than a second (ilink 5.3.3)."""
    length = read_number(video, "play_length")
    return {"duration": float(length)} if 0 < length < 1000 else _seconds(video, "play_length")


def _seconds(entry: JsonObject, key: str) -> dict[str, Json]:
    """A length that is told in milliseconds."""
    length = read_number(entry, key)
    return {"duration": length / 1000} if 0 < length < MAX_TIME_MS else {}


class ItemReader(NamedTuple):
    """What a type of item becomes: its kind (a text that answers something is a quote), and who reads it."""

    kind: Kind
    read: Callable[[JsonObject, Language], _Content]


ITEM_READERS: dict[int, ItemReader] = {
    ItemType.TEXT: ItemReader(Kind.TEXT, _text),
    ItemType.IMAGE: ItemReader(Kind.IMAGE, _image),
    ItemType.VOICE: ItemReader(Kind.VOICE, _voice),
    ItemType.FILE: ItemReader(Kind.FILE, _file),
    ItemType.VIDEO: ItemReader(Kind.VIDEO, _video),
}
