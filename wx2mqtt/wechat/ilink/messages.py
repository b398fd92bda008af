"""From iLink's messages to ours: each item is one (ilink 5). Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wx2mqtt.model import ChatKind, Handle, Json, Kind, MediaRef, Message
from wx2mqtt.wechat.fields import Entry, inner, number, objects, text
from wx2mqtt.wechat.ilink import locators
from wx2mqtt.wechat.ilink.codes import Author, Item
from wx2mqtt.wechat.ilink.locators import Told
from wx2mqtt.wechat.ilink.quotes import Quote, quote
from wx2mqtt.wechat.ilink.words import placeholder
from wx2mqtt.words import Language

LATEST = 1 << 43  # milliseconds since 1970; what claims to be later has no time
NAME = 255  # characters of a file's name that are told


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message of iLink: who wrote it and when, what it opens for us, and our messages in it.

    `token` is what an answer must bring along. `time` is WeChat's, in milliseconds since 1970, and 0 where
    it tells none. `quotes` are what the messages answer, by place.
    """

    sender: Handle
    token: str = field(default="", repr=False)
    time: int = 0
    messages: tuple[Message, ...] = ()
    quotes: Mapping[int, Quote] = field(default_factory=dict)


def letter(entry: Entry, bot: str, language: Language, now: int) -> Letter | None:
    """Read one message; None for what no person wrote. `now` stands for a time that is not told.

    Raises `ValueError` for one that tells no sender.
    """
    sender = text(entry, "from_user_id")
    author = number(entry, "message_type") if "message_type" in entry else Author.USER
    if author != Author.USER or sender == bot:
        return None
    if not sender:
        raise ValueError
    told = number(entry, "create_time_ms")
    time = told if 0 < told < LATEST else 0
    items, _ = objects(entry, "item_list")
    read = [_read(item, language) for item in items or [{}]]
    ids = _ids(entry, items, len(read))
    return Letter(
        sender=Handle(sender),
        token=text(entry, "context_token"),
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


def _ids(entry: Entry, items: list[Entry], count: int) -> Iterator[str]:
    """The message's id, with a number behind it for a second item and each further one."""
    known = [text(entry, "message_id"), *(text(item, "msg_id") for item in items)]
    found = next((one.strip() for one in known if one.strip(" 0")), "")
    yield found
    for place in range(1, count):
        yield f"{found}.{place + 1}" if found else ""


def _keys(entry: Entry, sender: str, time: int) -> Iterator[str]:
    """The same for the same message under whatever id it comes (ilink 4.5).

    It is sent again under a new id, seconds later. What it holds and when it was written stay the same; only
    where no time is told must the id do.
    """
    items, _ = objects(entry, "item_list")
    what = [_fingerprint(item) for item in items]
    when = time or text(entry, "message_id") or text(entry, "seq")
    for place in range(max(1, len(what))):
        facts = json.dumps([sender, when, what, place], ensure_ascii=True)
        yield hashlib.sha256(facts.encode()).hexdigest()[:40]


def _fingerprint(item: Entry) -> list[Json]:
    """What makes two items the same: not the address of bytes, which may be made anew for each delivery."""
    found: list[Json] = [number(item, "type")]
    for name in ("text_item", "image_item", "voice_item", "file_item", "video_item"):
        if one := inner(item, name):
            media = inner(one, "media")
            key = text(one, "aeskey") or text(media, "aes_key") or text(media, "encrypt_query_param")
            facts = ("text", "file_name", "len", "md5", "playtime", "mid_size", "video_size", "video_md5")
            found += [key, *(text(one, fact) for fact in facts)]
    answered = inner(item, "ref_msg")
    return [*found, text(answered, "svr_id"), text(inner(answered, "message_item"), "msg_id")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    kind: Kind
    text: str
    detail: Mapping[str, Json] = field(default_factory=dict)
    media: MediaRef | None = None
    thumbnail: MediaRef | None = None
    quote: Quote | None = None


def _read(item: Entry, language: Language) -> _Content:
    match number(item, "type"):
        case Item.TEXT:
            return _text(item, language)
        case Item.IMAGE:
            return _image(inner(item, "image_item"), language)
        case Item.VOICE:
            return _voice(inner(item, "voice_item"), language)
        case Item.FILE:
            return _file(inner(item, "file_item"), language)
        case Item.VIDEO:
            return _video(inner(item, "video_item"), language)
    told = item.get("type")
    detail: dict[str, Json] = {"type": told} if type(told) is int else {}
    return _Content(kind=Kind.UNSUPPORTED, text=placeholder(language, Kind.UNSUPPORTED), detail=detail)


def _text(item: Entry, language: Language) -> _Content:
    said, answered = text(inner(item, "text_item"), "text"), quote(item, language)
    if answered is None:
        return _Content(kind=Kind.TEXT, text=said)
    return _Content(kind=Kind.QUOTE, text=said, detail=answered.detail(), quote=answered)


def _image(image: Entry, language: Language) -> _Content:
    """Its sizes are of what is encrypted, and of several versions: nothing can be checked by them."""
    return _Content(
        kind=Kind.IMAGE,
        text=placeholder(language, Kind.IMAGE),
        media=locators.of_picture(image),
        thumbnail=locators.of_picture(image, "thumb_media"),
    )


def _voice(voice: Entry, language: Language) -> _Content:
    """WeChat's transcript is what it says; the bytes are SILK, whatever `encode_type` claims (ilink 8.5)."""
    said = text(voice, "text").strip()
    detail: dict[str, Json] = {**_seconds(voice, "playtime"), **({"transcript": True} if said else {})}
    return _Content(
        kind=Kind.VOICE,
        text=said or placeholder(language, Kind.VOICE),
        detail=detail,
        media=locators.of_file(voice, Told(mime="audio/silk")),
    )


def _file(file: Entry, language: Language) -> _Content:
    name, size = text(file, "file_name").strip()[:NAME], max(0, number(file, "len"))
    told = Told(size=size, md5=text(file, "md5"), name=name)
    detail: dict[str, Json] = {**({"name": name} if name else {}), **({"size": size} if size else {})}
    return _Content(
        kind=Kind.FILE,
        text=placeholder(language, Kind.FILE, name),
        detail=detail,
        media=locators.of_file(file, told),
    )


def _video(video: Entry, language: Language) -> _Content:
    told = Told(size=max(0, number(video, "video_size")), md5=text(video, "video_md5"))
    return _Content(
        kind=Kind.VIDEO,
        text=placeholder(language, Kind.VIDEO),
        detail=_length(video),
        media=locators.of_file(video, told),
        thumbnail=locators.of_picture(video, "thumb_media"),
    )


def _length(video: Entry) -> dict[str, Json]:
    """How long a video is. Nobody says in which unit; none is shorter than a second (ilink 5.3)."""
    length = number(video, "play_length")
    return {"duration": float(length)} if 0 < length < 1000 else _seconds(video, "play_length")


def _seconds(entry: Entry, key: str) -> dict[str, Json]:
    """A length that is told in milliseconds."""
    length = number(entry, key)
    return {"duration": length / 1000} if 0 < length < LATEST else {}
